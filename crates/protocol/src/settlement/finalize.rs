//! The final context of a task and its `SettlementRoot` (R144-R149).
//!
//! The root is the RFC 9162 Merkle root over the context's parts, each a tagged leaf, so that one part can be
//! shown without the others and anyone who holds the context recomputes the same bytes.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use symphony_types::canonical;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::epsilon::Epsilon;
use symphony_types::id::VaultId;
use symphony_types::key::Document;
use symphony_types::merkle;
use symphony_types::time::OrderedMillis;

use super::reward::{self, Served};
use crate::artifact::compute::ComputePlan;
use crate::artifact::training::Extra;
use crate::artifact::{
    Fee, Plan, SettlementContext, SignedAggregate, SignedSlice, SignedVerdict, TaskEnvelope,
};
use crate::governance::Governance;
use crate::governance::pricing::{self, Rounds, Run};
use crate::lifecycle::training::{Position, plan};

/// What a settlement rests on.
#[derive(Clone, Copy)]
pub struct Settled<'a> {
    /// The order.
    pub envelope: &'a TaskEnvelope,
    /// Rounds of a training before its last: slices, and what was made of them.
    pub rounds: &'a [(Vec<SignedSlice>, SignedAggregate)],
    /// Slices of the query, or of the last round.
    pub slices: &'a [SignedSlice],
    /// What was made of them.
    pub aggregate: &'a SignedAggregate,
}

impl Settled<'_> {
    /// What is charged for what was done (D5, D13): for a query, the Vaults whose slices count, the records that were
    /// returned and the epsilon that was committed; for a training, its rounds and the epsilon of those (R104); for a
    /// computation, its Vaults, and fuel and records by the sizes that they signed (R094).
    /// **Errors**: those of pricing and policy.
    pub fn charged(&self, governance: &Governance) -> Result<Fee, Code> {
        let policy = governance.policy_of(self.envelope.versions.policy)?;
        let records = u64::from(self.aggregate.body.outcome.returned());
        match &self.envelope.plan {
            // A statistic returns no records.
            Plan::Audience(_) | Plan::Statistic(_) => {
                pricing::fee(&policy.fees, self.slices.len() as u64, records, self.envelope.charge)
            }
            Plan::Training(_) => {
                let served = self.served();
                let done = Rounds {
                    rounds: self.rounds.len() as u64 + 1,
                    slices: served.iter().map(|served| served.slices).sum(),
                };
                pricing::training_fee(&policy.train, done, self.consumed()?)
            }
            Plan::Compute(plan) => {
                let run = self.run(plan);
                pricing::compute_fee(&policy.compute, run, self.envelope.charge.noised)
            }
        }
    }

    /// What Vaults did for a computation, by the buckets of their headers: never more than was quoted, and nothing that tells
    /// how many people or records there are to the last.
    fn run(&self, plan: &ComputePlan) -> Run {
        self.slices.iter().map(|slice| &slice.body).fold(Run::default(), |run, body| {
            let people = body.coverage.0.min(plan.people_max.into());
            let records = body.records.0.min(plan.records_max);
            Run {
                vaults: run.vaults + 1,
                fuel: run.fuel.saturating_add(plan.declaration.fuel_bound(people, records)),
                records: run.records.saturating_add(records),
            }
        })
    }

    /// What a person lost by the last round that its Vault has a slice of, summed over the Vaults; not what a Vault says
    /// that it drew beyond that. **Errors**: `ADM-0001` for sums that do not fit, those of the accountant.
    fn consumed(&self) -> Result<Epsilon, Code> {
        let training = &plan(self.envelope)?.training;
        let mut position = Some(Position::FIRST);
        let mut lost: BTreeMap<&VaultId, Position> = BTreeMap::new();
        let rounds = self.rounds.iter().map(|(slices, aggregate)| (slices.as_slice(), aggregate));
        for (slices, aggregate) in rounds.chain([(self.slices, self.aggregate)]) {
            let Some(at) = position else { break };
            lost.extend(slices.iter().map(|slice| (&slice.body.vault, at)));
            position = at.next(training, &aggregate.body.outcome);
        }
        lost.values().try_fold(Epsilon::ZERO, |sum, position| {
            sum.checked_add(position.spent(training, Extra::NONE)?).ok_or(Code::Malformed)
        })
    }

    /// What each Vault did, in ascending order: slices, and the records that they used times the epsilon of the query.
    fn served(&self) -> Vec<Served> {
        let mut vaults: BTreeMap<VaultId, Served> = BTreeMap::new();
        for slice in self.rounds.iter().flat_map(|(slices, _)| slices).chain(self.slices) {
            let body = &slice.body;
            let weight = match &self.envelope.plan {
                Plan::Audience(_) | Plan::Compute(_) | Plan::Statistic(_) => {
                    body.records.0.saturating_mul(body.epsilon.0)
                }
                // Each round spends a part of one reservation, alike in every Vault.
                Plan::Training(_) => body.records.0,
            };
            let none = || Served { vault: body.vault.clone(), weight: 0, slices: 0 };
            let served = vaults.entry(body.vault.clone()).or_insert_with(none);
            // At least one, so that a Vault that found nothing is still paid for looking when no Vault found anything.
            served.weight = served.weight.saturating_add(weight.max(1));
            served.slices += 1;
        }
        vaults.into_values().collect()
    }
}

/// The final context of an accepted task. **Errors**: `GOV-0004` when what was charged exceeds the lock or the
/// registry lost somebody; both are excluded by admission.
pub fn context(
    governance: &Governance,
    settled: &Settled<'_>,
    verdict: &SignedVerdict,
    at: OrderedMillis,
) -> Result<SettlementContext, Code> {
    let Settled { envelope, rounds, slices, aggregate } = *settled;
    let policy = governance.policy_of(envelope.versions.policy)?;
    let fee = settled.charged(governance)?;
    let refunded = envelope.locked.checked_sub(fee.total).ok_or(Code::Internal)?;
    let shares = reward::shares(governance, policy, fee.total, &settled.served())?;
    let leaves: Vec<Digest> = rounds.iter().map(round_leaf).collect();
    Ok(SettlementContext {
        task: envelope.task,
        versions: envelope.versions,
        epoch: governance.epoch_of(at),
        envelope: envelope.digest(),
        slices: slices.iter().map(|slice| (slice.body.vault.clone(), slice.body.digest())).collect(),
        aggregate: aggregate.body.digest(),
        rounds: merkle::root(&leaves),
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

/// What a settlement says of an earlier round: who said what.
fn round_leaf((slices, aggregate): &(Vec<SignedSlice>, SignedAggregate)) -> Digest {
    let slices: Vec<_> = slices.iter().map(|slice| (&slice.body.vault, slice.body.digest())).collect();
    part("round", &(slices, aggregate.body.digest()))
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
        rounds,
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
        part("rounds", rounds),
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
