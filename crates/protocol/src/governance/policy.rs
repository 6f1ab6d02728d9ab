//! Policy: every number that the protocol uses and no process may configure (R155, R188, R189).

use alloc::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use symphony_types::amount::{Bps, SYM_UNIT, Sym};
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::epsilon::Epsilon;
use symphony_types::id::{PolicyVersion, UsageScope};
use symphony_types::limits::POLICIES_MAX;
use symphony_types::time::OrderedMillis;

use super::Governance;
use super::candidate::CandidatePolicy;
use super::stake::StakePolicy;
use crate::artifact::SelectionRule;
use crate::artifact::penalty::Fault;
use crate::artifact::training::Environment;

/// One version of the policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Prices of a query.
    pub fees: QueryFees,
    /// How a charged fee is split.
    pub shares: Shares,
    /// What the protocol pays for a parse.
    pub parse: ParsePolicy,
    /// Prices and limits of a training.
    pub train: TrainPolicy,
    /// Prices and limits of a computation.
    pub compute: ComputePolicy,
    /// Privacy limits and charges.
    pub privacy: Privacy,
    /// Deadlines of stages.
    pub deadlines: Deadlines,
    /// Length of an epoch. **Units**: milliseconds.
    pub epoch_ms: u64,
    /// Fewer payees than this are carried to the next epoch (D7).
    pub dividend_payees_min: u32,
    /// What an unstaked producer gets of its dividend (R161).
    pub unstaked: Bps,
    /// The least that a producer stakes to count as staked.
    pub producer_stake_min: Sym,
    /// What each node is paid for an epoch of inflation, out of the epoch pool, while the schedule lasts (R164).
    pub node_pay: Sym,
    /// Whether enclaves of class `software` may serve tasks: development only (R130).
    pub software_admitted: bool,
    /// How the council changes what governs.
    pub proposals: ProposalPolicy,
    /// What a challenge takes.
    pub challenges: ChallengePolicy,
    /// How candidates for attributes are pooled (R051); absent where nothing is.
    #[serde(default)]
    pub candidates: Option<CandidatePolicy>,
    /// What nodes must stake.
    pub stakes: StakePolicy,
}

/// What a challenge takes of whoever files it (R139, R143).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChallengePolicy {
    /// What a filing locks, and loses when the masters look again and the result stands.
    pub bond: Sym,
    /// What is taken of the stake of whoever a wrong result is proven against.
    pub penalties: Penalties,
}

/// What a fault costs, by class (R143).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Penalties {
    /// Of a result that what was computed does not support.
    pub invalid_result: Sym,
    /// Of an attestation that does not hold.
    pub invalid_attestation: Sym,
    /// Of work that consent or budget did not allow.
    pub consent_or_budget: Sym,
}

impl ChallengePolicy {
    /// The least that can be locked, and nobody's stake is taken.
    pub const LEAST: Self = Self {
        bond: Sym(1),
        penalties: Penalties {
            invalid_result: Sym::ZERO,
            invalid_attestation: Sym::ZERO,
            consent_or_budget: Sym::ZERO,
        },
    };

    /// What a fault costs.
    pub const fn penalty(&self, fault: Fault) -> Sym {
        match fault {
            Fault::InvalidResult => self.penalties.invalid_result,
            Fault::InvalidAttestation => self.penalties.invalid_attestation,
            Fault::ConsentOrBudget => self.penalties.consent_or_budget,
        }
    }
}

/// How proposals are voted on (R191).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProposalPolicy {
    /// The part of the council that must vote.
    pub quorum: Bps,
    /// The part of the votes that must be for it: more than half.
    pub majority: Bps,
    /// How long votes count. **Units**: milliseconds of ordered time.
    pub voting_ms: u64,
    /// From acceptance to enactment; a revocation does not wait. **Units**: milliseconds of ordered time.
    pub timelock_ms: u64,
    /// How many proposals may be open or accepted at once.
    pub open_max: u16,
}

impl ProposalPolicy {
    /// Nothing is proposed.
    pub const NONE: Self =
        Self { quorum: Bps::WHOLE, majority: Bps::WHOLE, voting_ms: 1, timelock_ms: 0, open_max: 0 };
}

/// Prices of a query (R152).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryFees {
    /// Per task.
    pub base: Sym,
    /// Per Vault.
    pub per_vault: Sym,
    /// Per record returned.
    pub per_record: Sym,
    /// Per whole epsilon consumed.
    pub per_epsilon: Sym,
}

/// What the protocol pays for a parse, which costs its submitter nothing (R085, R086, R163, D11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParsePolicy {
    /// To the Vault's operator.
    pub operator: Sym,
    /// To the Vault's executor.
    pub executor: Sym,
    /// To the verifier.
    pub verifier: Sym,
    /// How many one Vault may have in an epoch: it vouches for its own documents.
    pub per_vault_epoch: u64,
    /// To the owner, for a record without fault.
    pub reward: Sym,
    /// A record of a lower score earns nothing.
    pub score_min: Bps,
    /// Weight of the fields that were read.
    pub completeness: Bps,
    /// Weight of the sums that add up.
    pub checks: Bps,
    /// Weight of how sure the reading is. The three weights sum to the whole.
    pub confidence: Bps,
}

impl ParsePolicy {
    /// No parse is admitted, and none is paid for.
    pub const NONE: Self = Self {
        operator: Sym::ZERO,
        executor: Sym::ZERO,
        verifier: Sym::ZERO,
        per_vault_epoch: 0,
        reward: Sym::ZERO,
        score_min: Bps::WHOLE,
        completeness: Bps::WHOLE,
        checks: Bps(0),
        confidence: Bps(0),
    };
}

/// Prices and limits of a training (R060, R098, R104).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainPolicy {
    /// Scopes that models are trained for, and nothing else is done.
    pub scopes: BTreeSet<UsageScope>,
    /// Per task.
    pub base: Sym,
    /// Per Vault and round.
    pub per_vault_round: Sym,
    /// Per round, for its aggregation.
    pub per_round: Sym,
    /// Per whole epsilon consumed in a Vault.
    pub per_epsilon: Sym,
    /// The most rounds.
    pub rounds_max: u32,
    /// The least noise of a step or an evaluation. **Units**: thousandths.
    pub noise_min: u32,
    /// The largest chance that a loss is exceeded. **Units**: 1e-12.
    pub delta_max: u64,
    /// Fewer people than this are not trained or evaluated on.
    pub minimum_cohort: u32,
    /// Where the Vaults' parts are combined (R113).
    pub environment: Environment,
    /// How long a round may take. **Units**: milliseconds of ordered time.
    pub round_ms: u64,
}

impl TrainPolicy {
    /// No training is admitted.
    pub const NONE: Self = Self {
        scopes: BTreeSet::new(),
        base: Sym::ZERO,
        per_vault_round: Sym::ZERO,
        per_round: Sym::ZERO,
        per_epsilon: Sym::ZERO,
        rounds_max: 0,
        noise_min: u32::MAX,
        delta_max: 0,
        minimum_cohort: u32::MAX,
        environment: Environment::Tee,
        round_ms: 1,
    };
}

/// Prices and limits of a computation (R094, R152).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComputePolicy {
    /// Per task.
    pub base: Sym,
    /// Per Vault.
    pub per_vault: Sym,
    /// Per billion of fuel that is set aside.
    pub per_giga_fuel: Sym,
    /// Per million records that are read.
    pub per_million_records: Sym,
    /// Per whole epsilon consumed in a Vault.
    pub per_epsilon: Sym,
    /// The most fuel that is set aside for one Vault.
    pub fuel_max: u64,
    /// The most epsilon of one task.
    pub epsilon_max: Epsilon,
    /// Fewer people than this are not computed on.
    pub minimum_cohort: u32,
}

impl ComputePolicy {
    /// No computation is admitted.
    pub const NONE: Self = Self {
        base: Sym::ZERO,
        per_vault: Sym::ZERO,
        per_giga_fuel: Sym::ZERO,
        per_million_records: Sym::ZERO,
        per_epsilon: Sym::ZERO,
        fuel_max: 0,
        epsilon_max: Epsilon::ZERO,
        minimum_cohort: u32::MAX,
    };
}

/// Rates that sum to the whole (R157, R158, D3, D4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shares {
    /// Data producers, 30 to 50 %.
    pub contributors: Bps,
    /// Vault operators, 15 to 25 %.
    pub operators: Bps,
    /// Executors of slices; with the aggregators 15 to 25 %.
    pub executors: Bps,
    /// Aggregators, inside the executors' band.
    pub aggregators: Bps,
    /// Verifiers, 5 to 10 %.
    pub verifiers: Bps,
    /// Treasury, 5 to 10 %.
    pub treasury: Bps,
}

/// Privacy limits and charges (R070).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Privacy {
    /// Scopes that consent can be given for, with the limit per person (R063).
    pub scope_limits: BTreeMap<UsageScope, Epsilon>,
    /// The cap per person over all scopes (R073).
    pub subject_cap: Epsilon,
    /// Charged per evaluated person when handles may be released (D17).
    pub exposure_charge: Epsilon,
    /// Epsilon of the noised count beside an audience.
    pub count_epsilon: Epsilon,
    /// Below this many people a result is suppressed.
    pub minimum_result_cardinality: u32,
    /// The largest audience cap that a query may ask for.
    pub audience_cap_max: u32,
    /// How an audience over the cap is chosen.
    pub selection: SelectionRule,
}

/// How long each stage may take. **Units**: milliseconds of ordered time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deadlines {
    /// From request to the Vaults' receipts.
    pub prepare_ms: u64,
    /// From admission to the last slice that counts.
    pub execute_ms: u64,
    /// From the slices to the aggregate.
    pub aggregate_ms: u64,
    /// From the aggregate to the verdict.
    pub verify_ms: u64,
    /// How long an accepted result may be challenged before it is final.
    pub challenge_ms: u64,
    /// How long the masters may take to look at a challenged result again.
    pub review_ms: u64,
    /// How long a master may stay silent before another one takes over what it performs.
    pub lease_ms: u64,
}

impl Policy {
    /// What a proposal about it is about.
    pub fn digest(&self) -> Digest {
        Digest::of("symphony/policy/v1", self)
    }

    /// Whether the policy is sound: shares sum to the whole and stay in their bands, deadlines and the epoch
    /// are positive. **Errors**: what is wrong. **Spec**: R157, R158.
    pub fn check(&self) -> Result<(), &'static str> {
        let Shares { contributors, operators, executors, aggregators, verifiers, treasury } = self.shares;
        let all = [contributors, operators, executors, aggregators, verifiers, treasury];
        if all.iter().map(|rate| u32::from(rate.0)).sum::<u32>() != u32::from(Bps::WHOLE.0) {
            return Err("the shares do not sum to the whole");
        }
        let bands = [
            (contributors.0, 3_000, 5_000),
            (operators.0, 1_500, 2_500),
            (executors.0.saturating_add(aggregators.0), 1_500, 2_500),
            (verifiers.0, 500, 1_000),
            (treasury.0, 500, 1_000),
        ];
        if bands.iter().any(|(rate, low, high)| rate < low || rate > high) {
            return Err("a share leaves its band");
        }
        let ParsePolicy { completeness, checks, confidence, score_min, .. } = self.parse;
        let weights = [completeness, checks, confidence];
        if weights.iter().map(|rate| u32::from(rate.0)).sum::<u32>() != u32::from(Bps::WHOLE.0) {
            return Err("the weights of a record's quality do not sum to the whole");
        }
        if score_min > Bps::WHOLE {
            return Err("the lowest score exceeds the whole");
        }
        if self.unstaked > Bps::WHOLE {
            return Err("the unstaked rate exceeds the whole");
        }
        let Deadlines { prepare_ms, execute_ms, aggregate_ms, verify_ms, challenge_ms, review_ms, lease_ms } =
            self.deadlines;
        let stages = [prepare_ms, execute_ms, aggregate_ms, verify_ms, challenge_ms, review_ms];
        if stages.contains(&0) || [lease_ms, self.epoch_ms].contains(&0) {
            return Err("a deadline or the epoch length is zero");
        }
        let ProposalPolicy { quorum, majority, voting_ms, .. } = self.proposals;
        let part = |rate: Bps| rate > Bps(0) && rate <= Bps::WHOLE;
        if !part(quorum) || !part(majority) || majority.0 <= Bps::WHOLE.0 / 2 || voting_ms == 0 {
            return Err("the council decides by a quorum and more than half of the votes, in some time");
        }
        if self.challenges.bond == Sym::ZERO || self.challenges.bond > BOND_MAX {
            return Err("a challenge has a bond that somebody can lock");
        }
        let Penalties { invalid_result, invalid_attestation, consent_or_budget } = self.challenges.penalties;
        if [invalid_result, invalid_attestation, consent_or_budget].iter().any(|amount| *amount > PENALTY_MAX)
        {
            return Err("a penalty exceeds what one fault may cost");
        }
        self.stakes.check(self.software_admitted)?;
        if self.train.round_ms == 0 || self.train.minimum_cohort == 0 {
            return Err("the length of a round and the minimum cohort must be positive");
        }
        if self.compute.minimum_cohort == 0 {
            return Err("the minimum cohort of a computation must be positive");
        }
        if self.train.scopes.iter().any(|scope| !self.privacy.scope_limits.contains_key(scope)) {
            return Err("a scope of trainings has no limit");
        }
        if self.privacy.minimum_result_cardinality == 0 || self.privacy.count_epsilon == Epsilon::ZERO {
            return Err("the minimum cardinality and the count's epsilon must be positive");
        }
        if matches!(self.privacy.selection, SelectionRule::Largest(_)) {
            return Err("only a query ranks people by what it measures");
        }
        self.candidates.as_ref().map_or(Ok(()), |candidates| candidates.check(&self.privacy))
    }
}

impl Governance {
    /// Whether a policy can be the next version (R157, R158, R188, R190). **Errors**: `GOV-0012` for another version than the one after the last;
    /// `GOV-0019` while one waits for its epoch; `GOV-0018` for a policy that is not sound; `ADM-0019` for one that would
    /// make a network for development of one that is not, or the other way; `GOV-0020` for one that strands money.
    pub(super) fn adoptable(
        &self,
        version: PolicyVersion,
        policy: &Policy,
        at: OrderedMillis,
    ) -> Result<(), Code> {
        let (_, last) = self.calendar.last();
        if version.0 != last.version.0.saturating_add(1) || self.policies.len() >= POLICIES_MAX {
            return Err(Code::ChangeUnfit);
        }
        if last.from > at {
            return Err(Code::VersionPending);
        }
        if policy.software_admitted != self.software_admitted() {
            return Err(Code::PlatformRefused);
        }
        self.check_policy(policy).map_err(|_| Code::PolicyUnsound)?;
        if policy.strands(last.epoch_ms) { Err(Code::PolicyStrands) } else { Ok(()) }
    }
}

impl Policy {
    /// Whether money that is locked or earned under epochs of this length would be out of reach under it. A lock outlives its task by
    /// two epochs of the length at its admission, and a task that is settled under this version is paid when an epoch of it ends;
    /// what the people of a Vault earn is carried on and on where fewer are paid than it asks for.
    const fn strands(&self, epoch_ms: u64) -> bool {
        let longest = epoch_ms.saturating_add(epoch_ms / 2);
        self.epoch_ms > longest || self.dividend_payees_min > PAYEES_MIN_MAX
    }
}

/// The largest bond of a challenge: more would leave disputes to the rich. Ten thousand SYM.
const BOND_MAX: Sym = Sym(10_000 * SYM_UNIT);
/// The most that one fault costs. A million SYM.
const PENALTY_MAX: Sym = Sym(1_000_000 * SYM_UNIT);
/// The most payees that may be asked for before a Vault's dividends are paid (D7).
const PAYEES_MIN_MAX: u32 = 10_000;
