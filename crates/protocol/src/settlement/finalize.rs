//! The final context of a task and its `SettlementRoot` (R144-R149).
//!
//! The root is the RFC 9162 Merkle root over the context's parts, each a tagged leaf, so that one part can be
//! shown without the others and anyone who holds the context recomputes the same bytes.

use alloc::vec;
use alloc::vec::Vec;

use symphony_types::canonical;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::key::Document;
use symphony_types::merkle;
use symphony_types::time::OrderedMillis;

use super::reward;
use crate::artifact::{
    Fee, SettlementContext, SignedAggregate, SignedSlice, SignedVerdict, SliceHeader, TaskEnvelope,
};
use crate::governance::epoch::epoch_of;
use crate::governance::{Governance, pricing};

/// What is charged for what was done: the Vaults whose slices count, the records that were returned, the epsilon
/// that was committed (D5, D13). **Errors**: those of pricing and policy.
pub fn charged(
    governance: &Governance,
    envelope: &TaskEnvelope,
    slices: usize,
    aggregate: &SignedAggregate,
) -> Result<Fee, Code> {
    let policy = governance.policy_of(envelope.versions.policy)?;
    let records = u64::from(aggregate.body.outcome.returned());
    pricing::fee(&policy.fees, slices as u64, records, envelope.charge)
}

/// The final context of an accepted task. **Errors**: `GOV-0004` when what was charged exceeds the lock or the
/// registry lost somebody; both are excluded by admission.
pub fn context(
    governance: &Governance,
    envelope: &TaskEnvelope,
    slices: &[SignedSlice],
    aggregate: &SignedAggregate,
    verdict: &SignedVerdict,
    at: OrderedMillis,
) -> Result<SettlementContext, Code> {
    let policy = governance.policy_of(envelope.versions.policy)?;
    let fee = charged(governance, envelope, slices.len(), aggregate)?;
    let refunded = envelope.locked.checked_sub(fee.total).ok_or(Code::Internal)?;
    let headers: Vec<&SliceHeader> = slices.iter().map(|slice| &slice.body).collect();
    let shares = reward::shares(governance, policy, fee.total, &headers)?;
    Ok(SettlementContext {
        task: envelope.task,
        versions: envelope.versions,
        epoch: epoch_of(governance.policy(), at),
        envelope: envelope.digest(),
        slices: slices.iter().map(|slice| (slice.body.vault.clone(), slice.body.digest())).collect(),
        aggregate: aggregate.body.digest(),
        verdict: verdict.body.digest(),
        lock: envelope.budget_lock_ref,
        locked: envelope.locked,
        fee,
        refunded,
        shares,
        software: envelope.coordination.software_admitted,
        finalized_at: at,
    })
}

/// The root of a context.
pub fn settlement_root(context: &SettlementContext) -> Digest {
    let SettlementContext {
        task,
        versions,
        epoch,
        envelope,
        slices,
        aggregate,
        verdict,
        lock,
        locked,
        fee,
        refunded,
        shares,
        software,
        finalized_at,
    } = context;
    merkle::root(&[
        part("task", &(task, versions, epoch)),
        part("envelope", envelope),
        part("slices", slices),
        part("aggregate", aggregate),
        part("verdict", verdict),
        part("fee", &(lock, locked, fee, refunded)),
        part("shares", shares),
        part("software", software),
        part("finalized_at", finalized_at),
    ])
}

pub(super) fn part<T: serde::Serialize>(name: &str, value: &T) -> Digest {
    let mut bytes = vec![];
    bytes.extend_from_slice(&canonical::to_bytes(&("symphony/settlement-part/v1", name)));
    bytes.extend_from_slice(&canonical::to_bytes(value));
    merkle::leaf(&bytes)
}
