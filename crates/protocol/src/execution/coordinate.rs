//! Slices of a multi-Vault task: which assignment a Vault gets, which answers count, whether enough are in
//! (R105-R111).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::epsilon::Epsilon;
use symphony_types::id::VaultId;
use symphony_types::key::Document;

use crate::artifact::{SignedSlice, TaskEnvelope};
use crate::governance::Governance;

/// The nonce of one Vault's slice: bound to the envelope, so that a report serves one slice of one task only.
pub fn slice_nonce(envelope: &TaskEnvelope, vault: &VaultId) -> Digest {
    Digest::of("symphony/slice-nonce/v1", &(envelope.digest(), vault))
}

/// The slices that count, in ascending order of Vaults: each signed by its participating Vault, for this task
/// and nonce, with exactly the reserved epsilon committed, and of one attempt, because one aggregator's enclave opens
/// them. **Errors**: `EXE-0001` when they are fewer than the quorum.
pub fn accepted(
    governance: &Governance,
    envelope: &TaskEnvelope,
    slices: &[SignedSlice],
) -> Result<Vec<SignedSlice>, Code> {
    let epsilon = envelope.charge.per_subject().ok_or(Code::Malformed)?;
    let asked = Asked { nonce: &|vault| slice_nonce(envelope, vault), least: epsilon, most: epsilon };
    accepted_as(governance, envelope, &asked, slices)
}

/// What a slice must say to count.
pub(super) struct Asked<'a> {
    /// The nonce of each Vault's.
    pub(super) nonce: &'a dyn Fn(&VaultId) -> Digest,
    /// What is committed for each person: at least this.
    pub(super) least: Epsilon,
    /// And at most this.
    pub(super) most: Epsilon,
}

/// As [`accepted`], for slices that were asked for like this.
pub(super) fn accepted_as(
    governance: &Governance,
    envelope: &TaskEnvelope,
    asked: &Asked<'_>,
    slices: &[SignedSlice],
) -> Result<Vec<SignedSlice>, Code> {
    let mut accepted = Vec::new();
    for vault in &envelope.coordination.participating_vault_ids {
        let slice = slices.iter().find(|slice| slice.body.vault == *vault);
        if let Some(slice) = slice.filter(|slice| genuine(governance, envelope, asked, slice)) {
            accepted.push(slice.clone());
        }
    }
    let attempt = attempt(&accepted);
    accepted.retain(|slice| slice.body.attempt == attempt);
    if accepted.len() < usize::from(envelope.coordination.minimum_vault_quorum) {
        return Err(Code::QuorumBroken);
    }
    Ok(accepted)
}

/// The attempt that most of the slices are of, the latest of several; of accepted slices it is that of all.
pub fn attempt(slices: &[SignedSlice]) -> u32 {
    let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
    for slice in slices {
        *counts.entry(slice.body.attempt).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(attempt, count)| (*count, *attempt)).map_or(0, |(attempt, _)| attempt)
}

pub(super) fn genuine(
    governance: &Governance,
    envelope: &TaskEnvelope,
    asked: &Asked<'_>,
    slice: &SignedSlice,
) -> bool {
    let body = &slice.body;
    governance.registry.vaults.get(&body.vault).is_some_and(|vault| slice.verify(&vault.key))
        && body.task == envelope.task
        && body.nonce == (asked.nonce)(&body.vault)
        && (asked.least..=asked.most).contains(&body.epsilon)
}
