//! Rounds of a training (R097, R098, R101): which slices and which aggregate a round may have. The machine and the verifier
//! ask the same questions.

use alloc::vec::Vec;

use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::VaultId;
use symphony_types::key::Document as _;

use super::aggregate::{combines, made_by_order};
use super::coordinate::{self, Asked};
use crate::artifact::training::{Environment, Extra, TrainingPlan};
use crate::artifact::{Outcome, SignedAggregate, SignedSlice, TaskEnvelope};
use crate::governance::Governance;
use crate::lifecycle::training::{Position, plan};

/// The nonce of one Vault's slice of a round: a report serves one slice of one round, from one learner.
pub fn slice_nonce(envelope: &Digest, vault: &VaultId, position: &Position) -> Digest {
    Digest::of("symphony/round-slice-nonce/v1", &(envelope, vault, position.round, &position.state))
}

/// The nonce of the report on a round's aggregation.
pub fn aggregate_nonce(envelope: &Digest, position: &Position) -> Digest {
    Digest::of("symphony/round-aggregate-nonce/v1", &(envelope, position.round, &position.state))
}

/// The nonce of the report of the second aggregator, where two compute on shares.
pub fn helper_nonce(envelope: &Digest, position: &Position) -> Digest {
    Digest::of("symphony/round-helper-nonce/v1", &(envelope, position.round, &position.state))
}

/// The slices of a round that count: as [`coordinate::accepted`]. **Errors**: `EXE-0001`, `EXE-0006`.
pub fn accepted(
    governance: &Governance,
    envelope: &TaskEnvelope,
    position: &Position,
    slices: &[SignedSlice],
) -> Result<Vec<SignedSlice>, Code> {
    let digest = envelope.digest();
    let nonce = |vault: &VaultId| slice_nonce(&digest, vault, position);
    coordinate::accepted_as(governance, envelope, &asked(envelope, position, &nonce)?, slices)
}

/// Whether one slice counts in a round, whatever the others.
pub fn counts(
    governance: &Governance,
    envelope: &TaskEnvelope,
    position: &Position,
    slice: &SignedSlice,
) -> bool {
    let digest = envelope.digest();
    let nonce = |vault: &VaultId| slice_nonce(&digest, vault, position);
    let asked = asked(envelope, position, &nonce);
    asked.is_ok_and(|asked| coordinate::genuine(governance, envelope, &asked, slice))
}

fn asked<'a>(
    envelope: &TaskEnvelope,
    position: &Position,
    nonce: &'a dyn Fn(&VaultId) -> Digest,
) -> Result<Asked<'a>, Code> {
    Ok(Asked {
        nonce,
        // A Vault that was asked for a round more than once has drawn more, and never more than was reserved.
        least: position.spent(&plan(envelope)?.training, Extra::NONE)?,
        most: envelope.charge.per_subject().ok_or(Code::Malformed)?,
    })
}

/// Whether the aggregate of a round is what the plan allows of it: made by the named aggregator of exactly these slices,
/// evaluated when that was due, released only when it is as good as the task asked, and with a second aggregator where
/// the environment has one. **Errors**: `EXE-0009`.
pub fn check(
    envelope: &TaskEnvelope,
    position: &Position,
    slices: &[SignedSlice],
    aggregate: &SignedAggregate,
) -> Result<(), Code> {
    let TrainingPlan { training, environment, .. } = plan(envelope)?;
    let allowed = match aggregate.body.outcome {
        Outcome::Step { evaluation, .. } => {
            !position.last && (evaluation.is_none() || training.evaluates(position.round, false))
        }
        Outcome::Model { evaluation, .. } => position.last && evaluation.quality >= training.accept_from,
        Outcome::Withheld { evaluation } => position.last && evaluation.quality < training.accept_from,
        Outcome::Audience { .. } | Outcome::Suppressed | Outcome::Computed { .. } => false,
    };
    let shared = aggregate.body.helper.is_some() == (*environment == Environment::Mpc);
    let fits = allowed && shared && combines(slices, aggregate) && made_by_order(envelope, aggregate);
    if fits { Ok(()) } else { Err(Code::AggregationFailed) }
}
