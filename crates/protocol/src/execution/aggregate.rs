//! The aggregate against the order: made by the named aggregator from exactly the accepted slices, within the
//! cap and above the minimum cardinality (R088, R089, R109, R114-R116), and attested before a majority (R195).

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::key::{Document, Endorsed, Master};

use crate::artifact::{Outcome, Plan, SignedAggregate, SignedSlice, TaskEnvelope};

/// An aggregate whose attestation a master has appraised, and whose result and attestation it holds. The rules cannot
/// look into an attestation, and anybody can sign a header with a key of his own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttestedAggregate {
    /// The aggregate.
    pub aggregate: SignedAggregate,
}

impl Document for AttestedAggregate {
    const TAG: &'static str = "symphony/attested-aggregate/v1";
}

/// An aggregate that masters endorse.
pub type EndorsedAggregate = Endorsed<AttestedAggregate, Master>;

/// The nonce of the aggregation's attestation report.
pub fn aggregate_nonce(envelope: &TaskEnvelope) -> Digest {
    Digest::of("symphony/aggregate-nonce/v1", &envelope.digest())
}

/// Whether an aggregate was made from exactly these slices, and not from those of another attempt.
pub fn combines(slices: &[SignedSlice], aggregate: &SignedAggregate) -> bool {
    let inputs: Vec<_> = slices.iter().map(|slice| (slice.body.vault.clone(), slice.body.bundle)).collect();
    aggregate.body.inputs == inputs
}

/// Checks an aggregate against its order. The signature's key is appraised by the masters that endorse it and by the
/// verifier; here it must at least fit the document. **Errors**: `EXE-0009`, `EXE-0006` when the task is a training.
pub fn check(
    envelope: &TaskEnvelope,
    slices: &[SignedSlice],
    aggregate: &SignedAggregate,
) -> Result<(), Code> {
    let within = match (&envelope.plan, aggregate.body.outcome) {
        (Plan::Training(_), _) => return Err(Code::EnvelopeInvalid),
        (Plan::Audience(query), Outcome::Audience { returned }) => {
            returned <= query.cap && returned >= query.minimum_result_cardinality
        }
        (Plan::Compute(_) | Plan::Statistic(_), Outcome::Computed { .. }) => true,
        (Plan::Audience(_) | Plan::Compute(_) | Plan::Statistic(_), Outcome::Suppressed) => true,
        (Plan::Audience(_), Outcome::Computed { .. })
        | (Plan::Compute(_) | Plan::Statistic(_), Outcome::Audience { .. })
        | (_, Outcome::Step { .. } | Outcome::Model { .. } | Outcome::Withheld { .. }) => false,
    };
    let alone = aggregate.body.helper.is_none();
    let fits = within && alone && combines(slices, aggregate) && made_by_order(envelope, aggregate);
    if fits { Ok(()) } else { Err(Code::AggregationFailed) }
}

/// Whether an aggregate is of this task, by its aggregator, and signed with the key that it names.
pub(super) fn made_by_order(envelope: &TaskEnvelope, aggregate: &SignedAggregate) -> bool {
    let body = &aggregate.body;
    body.task == envelope.task
        && body.aggregator == envelope.coordination.aggregator
        && body.aggregator != envelope.submitter
        && aggregate.key.verifies(&body.digest(), &aggregate.signature)
}
