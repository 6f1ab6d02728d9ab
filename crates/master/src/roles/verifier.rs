//! The verifier: decides on results by the protocol's own checks, with a key that signs nothing else (R118,
//! R131, R132). Holds no state: the same evidence gives the same verdict.

use std::future::Future;
use std::net::TcpListener;
use std::sync::Arc;

use anyhow::Result;
use symphony_protocol::artifact::parse::ParseEvidence;
use symphony_protocol::artifact::{Attestation, Evidence, Verdict};
use symphony_protocol::governance::Governance;
use symphony_protocol::verification::{self, Appraised, Expectation};
use symphony_tee::governed;
use symphony_types::catalogue::Code;
use symphony_types::key::{PrivateKey, Verifier};
use symphony_types::limits::SEALED_BYTES_MAX;
use symphony_wire::documents::encode;
use symphony_wire::tls::{self, Credentials, NodeRole, Peer};
use symphony_wire::v1::SignedDocument;
use symphony_wire::v1::verifier_node_server::{VerifierNode, VerifierNodeServer};
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use super::from_masters;

/// Everything that the verifier runs with.
pub struct VerifierConfig {
    /// The name of the network.
    pub network: String,
    /// Where masters connect. Bound by the caller.
    pub listener: TcpListener,
    /// This node's certificate.
    pub credentials: Credentials,
    /// Signs verdicts.
    pub key: PrivateKey<Verifier>,
    /// Keys, code and platforms in force.
    pub governance: Governance,
}

struct Service {
    network: String,
    governance: Governance,
    key: PrivateKey<Verifier>,
}

impl Service {
    fn appraise(&self) -> impl Fn(&Attestation, &Expectation) -> Result<Appraised, (Code, String)> {
        |attestation, expectation| governed::judge(&self.network, &self.governance, attestation, expectation)
    }

    fn sign(&self, verdict: Verdict) -> Response<SignedDocument> {
        tracing::info!(task = %verdict.task, decision = ?verdict.decision, reasons = ?verdict.reasons, "verified");
        Response::new(SignedDocument { document: encode(&self.key.sign(verdict)) })
    }
}

#[tonic::async_trait]
impl VerifierNode for Service {
    async fn verify(&self, request: Request<SignedDocument>) -> Result<Response<SignedDocument>, Status> {
        let evidence: Evidence = from_masters(&self.governance, &request.get_ref().document)?;
        Ok(self.sign(verification::verdict(&self.governance, &evidence, &self.appraise())))
    }

    async fn verify_parse(
        &self,
        request: Request<SignedDocument>,
    ) -> Result<Response<SignedDocument>, Status> {
        let evidence: ParseEvidence = from_masters(&self.governance, &request.get_ref().document)?;
        Ok(self.sign(verification::parse::verdict(&self.governance, &evidence, &self.appraise())))
    }
}

/// Runs the verifier until `shutdown`. **Errors**: the listener failed.
pub async fn run(config: VerifierConfig, shutdown: impl Future<Output = ()>) -> Result<()> {
    config.listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(config.listener)?;
    let service = Service { network: config.network, governance: config.governance, key: config.key };
    let server = VerifierNodeServer::new(service).max_decoding_message_size(SEALED_BYTES_MAX);
    let approve = Arc::new(|peer: &Peer| peer.role == NodeRole::Master);
    tracing::info!("verifier is up");
    Ok(tls::serve(listener, config.credentials, approve, Routes::new(server), shutdown).await?)
}
