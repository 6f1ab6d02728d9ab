//! The verifier: decides on results by the protocol's own checks, with a key that signs nothing else (R118,
//! R131, R132). Of tasks it holds no state: the same evidence gives the same verdict. It follows the governance log, because
//! a result is judged by what held when its task was admitted (R128, R129).

use std::future::Future;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use symphony_protocol::artifact::parse::ParseEvidence;
use symphony_protocol::artifact::{Attestation, Evidence, Verdict};
use symphony_protocol::governance::Governance;
use symphony_protocol::verification::{self, Appraised, Expectation};
use symphony_tee::governed;
use symphony_types::catalogue::Code;
use symphony_types::id::GovernanceSequence;
use symphony_types::key::{PrivateKey, Verifier};
use symphony_types::limits::SEALED_BYTES_MAX;
use symphony_wire::documents::{decode, encode};
use symphony_wire::status::refusal;
use symphony_wire::tls::{self, Credentials, NodeRole, Peer};
use symphony_wire::v1::verifier_node_server::{VerifierNode, VerifierNodeServer};
use symphony_wire::v1::{GovernancePosition, GovernanceUpdate, SignedDocument};
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use super::follower::Follower;
use super::from_masters;

/// Everything that the verifier runs with.
pub struct VerifierConfig {
    /// The name of the network.
    pub network: String,
    /// What it knows of the governance log is kept here.
    pub folder: PathBuf,
    /// Where masters connect. Bound by the caller.
    pub listener: TcpListener,
    /// This node's certificate.
    pub credentials: Credentials,
    /// Signs verdicts.
    pub key: PrivateKey<Verifier>,
    /// What the network was founded with.
    pub governance: Governance,
}

struct Service {
    network: String,
    follower: Follower,
    key: PrivateKey<Verifier>,
}

impl Service {
    /// What governs, if it is known up to where a task was admitted. **Errors**: `GOV-0014`.
    fn governance(&self, admitted: GovernanceSequence) -> Result<Governance, Status> {
        let governance = self.follower.governance();
        if governance.sequence < admitted {
            let here = governance.sequence;
            let detail = format!("governance is at {here} here, the task was admitted at {admitted}");
            return Err(refusal(Code::GovernanceBehind, detail));
        }
        Ok(governance)
    }

    fn appraise<'a>(
        &'a self,
        governance: &'a Governance,
    ) -> impl Fn(&Attestation, &Expectation) -> Result<Appraised, (Code, String)> {
        move |attestation, expectation| governed::judge(&self.network, governance, attestation, expectation)
    }

    fn sign(&self, verdict: Verdict) -> Response<SignedDocument> {
        tracing::info!(task = %verdict.task, decision = ?verdict.decision, reasons = ?verdict.reasons, "verified");
        Response::new(SignedDocument { document: encode(&self.key.sign(verdict)), standing: vec![] })
    }
}

#[tonic::async_trait]
impl VerifierNode for Service {
    async fn verify(&self, request: Request<SignedDocument>) -> Result<Response<SignedDocument>, Status> {
        let founded = self.follower.governance();
        let evidence: Evidence = from_masters(&founded, &request.get_ref().document)?;
        let governance = self.governance(evidence.envelope.body.versions.governance)?;
        Ok(self.sign(verification::verdict(&governance, &evidence, &self.appraise(&governance))))
    }

    async fn verify_parse(
        &self,
        request: Request<SignedDocument>,
    ) -> Result<Response<SignedDocument>, Status> {
        let founded = self.follower.governance();
        let evidence: ParseEvidence = from_masters(&founded, &request.get_ref().document)?;
        let governance = self.governance(evidence.order.body.versions.governance)?;
        Ok(self.sign(verification::parse::verdict(&governance, &evidence, &self.appraise(&governance))))
    }

    async fn follow_governance(
        &self,
        request: Request<GovernanceUpdate>,
    ) -> Result<Response<GovernancePosition>, Status> {
        let GovernanceUpdate { update } = request.into_inner();
        let sequence = if update.is_empty() {
            self.follower.governance().sequence
        } else {
            let update = decode(&update).map_err(|error| refusal(Code::Malformed, error))?;
            self.follower.follow(&update).map_err(|(code, detail)| refusal(code, detail))?
        };
        Ok(Response::new(GovernancePosition { sequence: sequence.0 }))
    }
}

/// Runs the verifier until `shutdown`. **Errors**: the listener failed, or what is kept of the governance log does not verify.
pub async fn run(config: VerifierConfig, shutdown: impl Future<Output = ()>) -> Result<()> {
    config.listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(config.listener)?;
    let follower = Follower::open(&config.folder, config.governance).context("opening the governance log")?;
    let service = Service { network: config.network, follower, key: config.key };
    let server = VerifierNodeServer::new(service).max_decoding_message_size(SEALED_BYTES_MAX);
    let approve = Arc::new(|peer: &Peer| peer.role == NodeRole::Master);
    tracing::info!("verifier is up");
    Ok(tls::serve(listener, config.credentials, approve, Routes::new(server), shutdown).await?)
}
