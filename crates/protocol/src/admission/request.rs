//! The first half of admission: everything that can be decided before a Vault is asked (R015-R023).

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use symphony_types::catalogue::Code;
use symphony_types::id::{EpochId, SchemaVersion, VaultId};
use symphony_types::limits::FILINGS_PER_TASK_MAX;
use symphony_types::time::OrderedMillis;

use super::{compute, identity, semantics, statistic, training};
use crate::artifact::training::Environment;
use crate::artifact::{Fee, LockFact, Plan, Preparation, PrivacyCharge, TaskRequest, Versions, Work};
use crate::governance::Governance;
use crate::governance::approval::Purpose;
use crate::governance::pricing::{self, Rounds};
use crate::governance::stake::Staking;

/// Bytes of what all rounds of a training leave, which masters keep: a gibibyte.
const ROUNDS_BYTES_MAX: u64 = 1 << 30;
/// Coordinates of all Vaults of a round on shares. Each is some 40 elements of 16 bytes.
const SHARED_NUMBERS_MAX: u64 = 49_152;
/// Slices of all rounds of a training, which its evidence has.
const SLICES_MAX: u64 = 10_000;
/// The version of record and envelope shapes that this code speaks.
pub const SCHEMA: SchemaVersion = SchemaVersion(1);

/// A request that passed every check of the master and waits for the Vaults. Not a task yet (R026).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdmissionRequest {
    /// What was asked.
    pub request: TaskRequest,
    /// The lock that pays for it.
    pub lock: LockFact,
    /// What it means.
    pub plan: Plan,
    /// What each person will be charged.
    pub charge: PrivacyCharge,
    /// Versions that it is judged by.
    pub versions: Versions,
    /// The epoch of the request.
    pub epoch: EpochId,
    /// Vaults asked, in ascending order.
    pub vaults: Vec<VaultId>,
    /// Vaults must have answered by then.
    pub prepare_by: OrderedMillis,
    /// Slices must be in by then; reservations end then.
    pub execute_by: OrderedMillis,
}

impl AdmissionRequest {
    /// The question to one Vault.
    pub fn preparation(&self, vault: &VaultId) -> Preparation {
        Preparation {
            task: self.request.task(),
            vault: vault.clone(),
            scope: self.request.scope.clone(),
            // Checked when the request was judged.
            epsilon: self.charge.per_subject().unwrap_or_default(),
            policy: self.versions.policy,
            attributes: self.plan.attributes().into_iter().collect(),
            deadline: self.execute_by,
        }
    }
}

/// What work would cost and mean, without recording anything: the basis of a quote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The most that it can cost: what must be locked.
    pub worst_case: Fee,
    /// What it means.
    pub plan: Plan,
    /// What each person is charged.
    pub charge: PrivacyCharge,
    /// Vaults asked, in ascending order.
    pub vaults: Vec<VaultId>,
    /// The lock must not be reclaimable before.
    pub lock_until: OrderedMillis,
}

/// The terms of a request under the active policy, whatever nodes have staked, which the masters know. **Errors**: the codes of
/// identity, meaning, Vaults, quorum, cap and platform.
pub fn terms(governance: &Governance, request: &TaskRequest, at: OrderedMillis) -> Result<Terms, Code> {
    terms_of(governance, None, request, at)
}

/// The terms of a request with the nodes that have the stake that policy asks for (R185). **Errors**: those of [`terms`]; `VLT-0024`
/// where the quorum does not hold without those that do not, `GOV-0024` where the network's own do not.
pub fn terms_among(staking: &Staking<'_>, request: &TaskRequest) -> Result<Terms, Code> {
    terms_of(staking.governance, Some(staking), request, staking.at)
}

fn terms_of(
    governance: &Governance,
    staking: Option<&Staking<'_>>,
    request: &TaskRequest,
    at: OrderedMillis,
) -> Result<Terms, Code> {
    identity::submitter(governance, &request.submitter, &request.scope, at)?;
    let mut vaults = vaults(governance, request)?;
    if governance.registry.aggregator == request.submitter {
        return Err(Code::Forbidden);
    }
    if !governance.admits_enclaves() {
        return Err(Code::PlatformRefused);
    }
    servable(governance)?;
    if let Some(staking) = staking {
        vaults = staked(staking, request, vaults)?;
    }
    let (plan, charge, worst_case) = meaning(governance, request, vaults.len() as u64, at)?;
    let lock_until = lock_until(governance, &plan, at);
    Ok(Terms { worst_case, plan, charge, vaults, lock_until })
}

/// What the work means, what each person is charged for it, and the most that it costs.
fn meaning(
    governance: &Governance,
    request: &TaskRequest,
    vaults: u64,
    at: OrderedMillis,
) -> Result<(Plan, PrivacyCharge, Fee), Code> {
    let policy = governance.policy_at(at);
    match &request.work {
        Work::Audience(query) => {
            // Consent to training is no consent to anything else.
            if policy.train.scopes.contains(&request.scope) {
                return Err(Code::ScopeUnsuited);
            }
            let plan = Plan::Audience(semantics::resolve(governance, query, at)?);
            let charge = pricing::charge(policy);
            charge.per_subject().ok_or(Code::Malformed)?;
            Ok((plan, charge, pricing::worst_case(policy, vaults, query.cap)?))
        }
        Work::Training(asked) => {
            let plan = training::resolve(governance, &request.scope, asked, at)?;
            let charge = training::charge(governance, &request.scope, &plan.training, at)?;
            let rounds = u64::from(plan.training.rounds) + 1;
            // A round leaves a learner, which has two numbers a parameter, and the sums of its step; shares of all Vaults
            // go to an aggregator at once; the evidence has every slice.
            let shape = plan.training.shape();
            let left = (shape.parameters() as u64).saturating_mul(24);
            let shared = (shape.coordinates() as u64).saturating_mul(vaults);
            let slices = rounds.saturating_mul(vaults);
            if left.saturating_mul(rounds) > ROUNDS_BYTES_MAX
                || (plan.environment == Environment::Mpc && shared > SHARED_NUMBERS_MAX)
                || slices > SLICES_MAX
            {
                return Err(Code::SettingOutOfRange);
            }
            let done = Rounds { rounds, slices };
            let consumed = charge.noised.checked_mul(vaults).ok_or(Code::Malformed)?;
            let worst_case = pricing::training_fee(&policy.train, done, consumed)?;
            Ok((Plan::Training(plan), charge, worst_case))
        }
        Work::Compute(asked) => {
            let plan = compute::resolve(governance, &request.scope, asked, at)?;
            let charge = compute::charge(&plan);
            let run = compute::worst_case(&plan, vaults);
            let worst_case = pricing::compute_fee(&policy.compute, run, charge.noised)?;
            Ok((Plan::Compute(plan), charge, worst_case))
        }
        Work::Statistic(asked) => {
            let plan = statistic::resolve(governance, &request.scope, asked, at)?;
            let charge = statistic::charge(&plan);
            let worst_case = pricing::fee(&policy.fees, vaults, 0, charge)?;
            Ok((Plan::Statistic(plan), charge, worst_case))
        }
    }
}

/// Judges a submission up to the point where the Vaults are asked. **Errors**: the codes of [`terms_among`] and of
/// the escrow lock.
pub fn judge(
    staking: &Staking<'_>,
    request: &TaskRequest,
    lock: Option<&LockFact>,
) -> Result<AdmissionRequest, Code> {
    let Staking { governance, at, .. } = *staking;
    identity::submitter(governance, &request.submitter, &request.scope, at)?;
    let lock = lock.ok_or(Code::EscrowMissing)?;
    if !serves(governance, request, lock) {
        return Err(Code::EscrowMismatch);
    }
    let terms = terms_among(staking, request)?;
    if lock.amount < terms.worst_case.total || lock.expires < terms.lock_until {
        return Err(Code::EscrowTooSmall);
    }
    let policy = governance.policy_at(at);
    Ok(AdmissionRequest {
        request: request.clone(),
        lock: *lock,
        execute_by: execute_by(governance, &terms.plan, at),
        plan: terms.plan,
        charge: terms.charge,
        versions: Versions {
            schema: SCHEMA,
            semantic: governance.semantics_at(at).version,
            policy: governance.version_at(at),
            governance: governance.sequence,
        },
        epoch: governance.epoch_of(at),
        vaults: terms.vaults,
        prepare_by: at.plus(policy.deadlines.prepare_ms),
    })
}

/// Whether active code can serve a task (R120). **Errors**: `GOV-0013`.
pub fn servable(governance: &Governance) -> Result<(), Code> {
    let registry = &governance.registry;
    let wanted = [Purpose::Slices, Purpose::Aggregation];
    if registry.can_serve(&registry.active_code(), &wanted) { Ok(()) } else { Err(Code::CodeInactive) }
}

/// Whether a lock was made by the submitter's own account for this very request.
pub fn serves(governance: &Governance, request: &TaskRequest, lock: &LockFact) -> bool {
    let account = governance.registry.actors.get(&request.submitter).map(|actor| actor.account);
    lock.purpose == request.lock_purpose() && account == Some(lock.owner)
}

/// Whether the payout of this epoch can still give a lock back: it serves the request, and its owner cannot take it
/// away before. A lock that ends sooner is left to its owner, because one that is gone stops the whole batch (R169).
pub fn refundable(
    governance: &Governance,
    request: &TaskRequest,
    lock: &LockFact,
    at: OrderedMillis,
) -> bool {
    let epoch_ms = epoch_ms(governance, at);
    serves(governance, request, lock) && lock.expires >= at.plus(epoch_ms).plus(epoch_ms)
}

/// The Vaults that are asked, in ascending order: those that are named, without suspended ones and those that leave, as long as
/// the quorum holds without them (R187).
fn vaults(governance: &Governance, request: &TaskRequest) -> Result<Vec<VaultId>, Code> {
    let (named, quorum) = (&request.vaults, usize::from(request.quorum));
    let distinct: BTreeSet<_> = named.iter().collect();
    if distinct.len() != named.len() || distinct.is_empty() {
        return Err(Code::Malformed);
    }
    let (mut serving, mut withheld) = (Vec::with_capacity(distinct.len()), Code::QuorumInvalid);
    for vault in &distinct {
        match governance.registry.serving(vault) {
            Ok(_) => serving.push(VaultId::clone(vault)),
            Err(code @ (Code::VaultSuspended | Code::VaultLeaving)) => withheld = code,
            Err(code) => return Err(code),
        }
    }
    if quorum == 0 || quorum > distinct.len() {
        return Err(Code::QuorumInvalid);
    }
    if quorum > serving.len() { Err(withheld) } else { Ok(serving) }
}

/// Those of the Vaults whose operators have the stake that policy asks for, as long as the quorum holds without the others (R185).
fn staked(
    staking: &Staking<'_>,
    request: &TaskRequest,
    mut vaults: Vec<VaultId>,
) -> Result<Vec<VaultId>, Code> {
    staking.network()?;
    vaults.retain(|vault| staking.vault(vault).is_ok());
    if vaults.len() < usize::from(request.quorum) { Err(Code::VaultUnstaked) } else { Ok(vaults) }
}

/// When slices must be in: of a training, the last of all rounds.
fn execute_by(governance: &Governance, plan: &Plan, at: OrderedMillis) -> OrderedMillis {
    let policy = governance.policy_at(at);
    let rounds_ms = match plan {
        Plan::Audience(_) | Plan::Compute(_) | Plan::Statistic(_) => 0,
        Plan::Training(plan) => (u64::from(plan.training.rounds) + 1).saturating_mul(policy.train.round_ms),
    };
    at.plus(policy.deadlines.prepare_ms).plus(policy.deadlines.execute_ms).plus(rounds_ms)
}

/// Length of an epoch under the version in force, or under the one that waits for its epoch where that is longer.
fn epoch_ms(governance: &Governance, at: OrderedMillis) -> u64 {
    governance.policy_at(at).epoch_ms.max(governance.calendar.last().1.epoch_ms)
}

/// A lock made now must outlive every stage and the payout of the epoch after.
fn lock_until(governance: &Governance, plan: &Plan, at: OrderedMillis) -> OrderedMillis {
    let policy = governance.policy_at(at);
    let deadlines = &policy.deadlines;
    let reviews_ms = deadlines.review_ms.saturating_mul(u64::from(FILINGS_PER_TASK_MAX));
    let stages = [deadlines.aggregate_ms, deadlines.verify_ms, deadlines.challenge_ms, reviews_ms];
    stages
        .into_iter()
        .chain([epoch_ms(governance, at); 2])
        .fold(execute_by(governance, plan, at), OrderedMillis::plus)
}
