//! Asks each Vault what candidates for attributes an epoch brought, once it is over, and has that ordered; and tells the pool (R051, R193).
//!
//! The master that leads asks; the others do where it has not for a while. Nothing is owed: what a Vault says of an epoch stays the same,
//! the same report twice is one, and what no master asked for in time is counted in the Vault's next report.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use symphony_protocol::governance::candidate::SignedReport;
use symphony_protocol::machine::{Command, State};
use symphony_types::catalogue::Code;
use symphony_types::id::{EpochId, VaultId};
use symphony_wire::documents::decode;
use symphony_wire::v1::{CandidatePool, CandidatesRequest, PooledCandidate};
use tokio::time::sleep;
use tonic::Request;

use crate::effects::Fault;
use crate::node::{Node, now};

/// How often it is looked whether an epoch is over.
const EVERY: Duration = Duration::from_secs(1);
/// How long others wait for the master that leads, after the end of an epoch. **Units**: milliseconds.
const PATIENCE_MS: u64 = 3_000;
/// How long a Vault may take to count.
const COUNT_TIMEOUT: Duration = Duration::from_secs(120);

/// Asks for ever.
pub(crate) async fn run(node: Arc<Node>) {
    let mut silent: (EpochId, BTreeSet<VaultId>) = (EpochId(0), BTreeSet::new());
    loop {
        sleep(EVERY).await;
        let state = node.state();
        let Some(epoch) = over(&node, &state) else { continue };
        if silent.0 != epoch {
            silent = (epoch, BTreeSet::new());
        }
        let mut vaults = node.peers.vaults();
        vaults.retain(|vault| {
            let known = state.candidates.contains_key(&(epoch, vault.clone())) || silent.1.contains(vault);
            !known && state.governance.registry.serving(vault).is_ok()
        });
        let answers = join_all(vaults.iter().map(|vault| ask(&node, vault, epoch))).await;
        for (vault, answer) in vaults.into_iter().zip(answers) {
            match answer {
                Ok(true) => {}
                Ok(false) => drop(silent.1.insert(vault)),
                Err(fault) => tracing::debug!(%vault, %epoch, %fault, "a vault reports no candidates yet"),
            }
        }
    }
}

/// The epoch that was the last to end, if its candidates are pooled and it is this master's turn to ask.
fn over(node: &Node, state: &State) -> Option<EpochId> {
    let (governance, now) = (&state.governance, now());
    let epoch = EpochId(governance.epoch_of(now).0.checked_sub(1)?);
    let turn = node.leads() || now >= governance.end_of(epoch).plus(PATIENCE_MS);
    (turn && governance.policy_in(epoch).candidates.is_some()).then_some(epoch)
}

/// Has a Vault's report ordered; whether there is one. **Errors**: [`Fault`].
async fn ask(node: &Node, vault: &VaultId, epoch: EpochId) -> Result<bool, Fault> {
    let mut client = node.peers.vault(vault).map_err(|code| Fault::Again(format!("{vault}: {code}")))?;
    let mut request = Request::new(CandidatesRequest { epoch: epoch.0 });
    request.set_timeout(COUNT_TIMEOUT);
    let document = client.report_candidates(request).await?.into_inner().document;
    if document.is_empty() {
        return Ok(false);
    }
    let report: SignedReport =
        decode(&document).map_err(|error| Fault::Again(format!("{vault}: {error}")))?;
    if (&report.body.vault, report.body.epoch) != (vault, epoch) {
        return Err(Fault::Again(format!("{vault} reports something else")));
    }
    node.order(Command::ReportCandidates { report }).await?;
    Ok(true)
}

/// The pool of an epoch: of the last one that there are reports of when none is named. **Errors**: `ADM-0004` where there are none.
pub(crate) fn view(state: &State, epoch: Option<u64>) -> Result<CandidatePool, Code> {
    let epochs = state.pooled();
    let epoch = epoch.map(EpochId).or(epochs.last().copied()).filter(|epoch| epochs.contains(epoch));
    let epoch = epoch.ok_or(Code::NotFound)?;
    let policy = state.governance.policy_in(epoch).candidates.as_ref();
    let candidates = state.pool(epoch).into_iter().map(|one| PooledCandidate {
        kind: one.kind.as_str().to_owned(),
        vaults: one.vaults,
        vaults_other: one.vaults_other,
        people: one.people,
        records: one.records,
        agreement: u32::from(one.agreement().0),
        epochs: one.epochs,
        name: one.name.to_string(),
    });
    Ok(CandidatePool {
        epoch: epoch.0,
        vaults_min: policy.map_or(0, |policy| policy.vaults_min),
        epochs: epochs.iter().map(|epoch| epoch.0).collect(),
        candidates: candidates.collect(),
    })
}
