//! The first governance of a development network: who takes part, what things mean, what they cost.
//!
//! Everything here is data of the governed store from the first command on; nothing reads it from here later.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use symphony_chain::ledger::inflation::Schedule;
use symphony_chain::ledger::{Genesis, Parameters, Roles, TierTerms};
use symphony_chain::transaction::ChainId;
use symphony_protocol::artifact::training::Environment;
use symphony_protocol::artifact::{PrivacyClass, SelectionRule};
use symphony_protocol::governance::Governance;
use symphony_protocol::governance::approval::{
    ApprovedModule, EnclaveCode, Machine, Mark, Platform, Purpose,
};
use symphony_protocol::governance::candidate::CandidatePolicy;
use symphony_protocol::governance::epoch::Calendar;
use symphony_protocol::governance::hardware::HardwareRules;
use symphony_protocol::governance::meaning::Meanings;
use symphony_protocol::governance::policy::{
    ChallengePolicy, ComputePolicy, Deadlines, ParsePolicy, Penalties, Policy, Privacy, ProposalPolicy,
    QueryFees, Shares, TrainPolicy,
};
use symphony_protocol::governance::registry::{Actor, Registry, Role, VaultRecord, VerifierRecord};
use symphony_protocol::governance::semantics::{
    Attribute, AttributeLifecycle, CrossDomainPolicy, Queryability, Rule, RuleKind, Semantics, ValueType,
};
use symphony_protocol::governance::stake::StakePolicy;
use symphony_types::amount::{Bps, SYM_UNIT, Sym};
use symphony_types::digest::Digest;
use symphony_types::epsilon::Epsilon;
use symphony_types::id::{
    AccountId, ActorId, AttributeName, DomainName, GovernanceSequence, Measurement, NameError, NodeId,
    PlatformId, PolicyVersion, RuleName, UsageScope, VaultId,
};
use symphony_types::key::{
    Gateway, Governance as CouncilKey, Master, Payout, PublicKey, Treasury, Vault, Verifier,
};
use symphony_types::time::DAY_MS;
use symphony_wasm::catalogue::{self, Built};

/// What the network's makers decide about its policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Profile {
    /// Software enclaves serve, windows are short.
    Development,
    /// As development, but as production is: software enclaves are refused.
    Production,
}

/// Public keys and accounts of the network that is being made.
pub(crate) struct Parties {
    /// Vaults with their keys.
    pub vaults: Vec<(VaultId, PublicKey<Vault>, [u8; 32])>,
    /// The masters with their keys.
    pub masters: BTreeMap<NodeId, PublicKey<Master>>,
    /// The verifier.
    pub verifier: PublicKey<Verifier>,
    /// The gateway.
    pub gateway: PublicKey<Gateway>,
    /// The payout service.
    pub payout: PublicKey<Payout>,
    /// The payout service's account.
    pub payout_account: AccountId,
    /// The settlement plane's slashing account.
    pub slasher_account: AccountId,
    /// The council's account, which records its votes on the chain.
    pub recorder_account: AccountId,
    /// Who releases from the treasury.
    pub treasury: Vec<PublicKey<Treasury>>,
    /// Approved enclave code.
    pub measurement: Measurement,
    /// Machines that host enclaves.
    pub platforms: BTreeMap<PlatformId, Machine>,
    /// What is asked of trusted hardware; none where all machines are of class `software`.
    pub hardware: Option<HardwareRules>,
    /// Members of the council with their keys.
    pub council: BTreeMap<ActorId, PublicKey<CouncilKey>>,
    /// Accounts of services and operators by actor.
    pub accounts: BTreeMap<String, AccountId>,
    /// Accounts of submitters by actor.
    pub submitters: BTreeMap<String, AccountId>,
    /// Further accounts that start with money.
    pub funded: Vec<AccountId>,
}

/// The operator of a Vault.
pub(crate) fn operator(vault: &VaultId) -> String {
    format!("operator:{vault}")
}

/// The executor behind a Vault's slice enclave.
pub(crate) fn executor(vault: &VaultId) -> String {
    format!("executor:{vault}")
}

/// The aggregator.
pub(crate) const AGGREGATOR: &str = "aggregator";
/// The verifier.
pub(crate) const VERIFIER: &str = "verifier";
/// The scope that models are trained for.
const TRAINING: &str = "training";
/// The treasury.
pub(crate) const TREASURY: &str = "treasury";

/// The governance of a new network. **Errors**: an actor has no account, or a name is not valid.
pub(crate) fn governance(parties: &Parties, policy: Policy) -> Result<Governance> {
    Ok(Governance {
        calendar: Calendar::new(PolicyVersion(1), policy.epoch_ms),
        policies: BTreeMap::from([(PolicyVersion(1), policy)]),
        registry: registry(parties)?,
        meanings: Meanings::new(semantics()?),
        hardware: parties.hardware.iter().map(|rules| (GovernanceSequence(0), rules.clone())).collect(),
        sequence: GovernanceSequence(0),
    })
}

/// The chain of a new network: 8, 5, 3 and 1.5 % of new money a year, then none (R179), in epochs of so long from now on.
/// **Errors**: a name is not valid, or an epoch has no length.
pub(crate) fn chain(
    parties: &Parties,
    name: &str,
    (epoch_ms, stakes): (u64, StakePolicy),
) -> Result<Genesis> {
    let epochs_per_step = YEAR_MS.checked_div(epoch_ms).context("an epoch of inflation has a length")?.max(1);
    let terms = |minimum: u64, days: u64| TierTerms { minimum: sym(minimum), cooldown_ms: days * DAY_MS };
    let rich = parties.submitters.values().map(|account| (*account, sym(1_000_000)));
    let funded = parties.funded.iter().map(|account| (*account, sym(1_000)));
    let staking = staking(parties, stakes);
    Ok(Genesis {
        chain: ChainId::new(name)?,
        balances: rich.chain(funded).chain(staking).collect(),
        treasury: sym(10_000_000),
        pool: Sym::ZERO,
        incentives: sym(1_000_000),
        inflation: Schedule {
            start: symphony_master::node::now(),
            epoch_ms,
            epochs_per_step,
            rates: [800, 500, 300, 150].map(Bps).to_vec(),
            treasury: Bps(2_000),
        },
        roles: Roles {
            payout: parties.payout_account,
            slasher: parties.slasher_account,
            recorder: parties.recorder_account,
            treasury: parties.treasury.iter().copied().collect(),
            treasury_threshold: 2,
        },
        parameters: Parameters {
            master: terms(MASTER_STAKE, 30),
            enterprise: terms(ENTERPRISE_STAKE, 30),
            producer: terms(10, 7),
            lock_ms_min: 10_000,
            transaction_ms_max: 600_000,
            receipt_ms: DAY_MS,
            payees_per_tree_min: u64::from(PAYEES_MIN),
            quorum: Bps(6_000),
        },
    })
}

/// What the founders of a network start with whose policy asks them for a stake: twice that much. They stake themselves.
fn staking(parties: &Parties, stakes: StakePolicy) -> impl Iterator<Item = (AccountId, Sym)> {
    let account = |name: &str| parties.accounts.get(name).copied();
    let twice = |minimum: Sym, nodes: u64| Sym(minimum.0.saturating_mul(2).saturating_mul(nodes));
    let masters = parties.masters.len() as u64;
    let mut balances = BTreeMap::new();
    let operators = parties.vaults.iter().map(|(vault, ..)| (operator(vault), stakes.enterprise_min, 1));
    let own = [(AGGREGATOR, masters), (VERIFIER, 1)]
        .map(|(name, nodes)| (name.to_owned(), stakes.master_min, nodes));
    for (name, minimum, nodes) in operators.chain(own) {
        balances.extend(account(&name).map(|account| (account, twice(minimum, nodes))));
    }
    balances.into_iter().filter(|(_, amount)| *amount > Sym::ZERO)
}

/// What nodes must stake: as much as the chain takes at least, where the network is not for development.
const fn stakes(profile: Profile) -> StakePolicy {
    match profile {
        Profile::Development => StakePolicy { warning: WARNING, ..StakePolicy::NONE },
        Profile::Production => StakePolicy {
            master_min: Sym(MASTER_STAKE * SYM_UNIT),
            enterprise_min: Sym(ENTERPRISE_STAKE * SYM_UNIT),
            warning: WARNING,
        },
    }
}

/// A stake is warned about that exceeds the minimum by less than this part of it.
const WARNING: Bps = Bps(2_000);
/// The least that the chain takes as a stake of one of the network's own nodes, in whole SYM.
const MASTER_STAKE: u64 = 100_000;
/// The least that it takes as that of an enterprise.
const ENTERPRISE_STAKE: u64 = 10_000;

/// How long a rate of inflation lasts.
const YEAR_MS: u64 = 365 * DAY_MS;
/// Fewest payees of a dividend tree.
const PAYEES_MIN: u32 = 20;

fn sym(whole: u64) -> Sym {
    Sym(whole * SYM_UNIT)
}

/// The policy that a network of this profile is founded with. **Errors**: a name is not valid.
pub(crate) fn policy(profile: Profile) -> Result<Policy> {
    Ok(Policy {
        fees: QueryFees {
            base: sym(10),
            per_vault: sym(5),
            per_record: Sym(SYM_UNIT / 100),
            per_epsilon: sym(2),
        },
        shares: Shares {
            contributors: Bps(4_500),
            operators: Bps(2_000),
            executors: Bps(1_400),
            aggregators: Bps(600),
            verifiers: Bps(750),
            treasury: Bps(750),
        },
        parse: ParsePolicy {
            operator: Sym(SYM_UNIT / 10),
            executor: Sym(SYM_UNIT / 20),
            verifier: Sym(SYM_UNIT / 20),
            per_vault_epoch: 1_000,
            reward: Sym(SYM_UNIT / 2),
            score_min: Bps(5_000),
            completeness: Bps(4_000),
            checks: Bps(3_000),
            confidence: Bps(3_000),
        },
        train: TrainPolicy {
            scopes: BTreeSet::from([UsageScope::new(TRAINING)?]),
            base: sym(20),
            per_vault_round: Sym(SYM_UNIT / 10),
            per_round: Sym(SYM_UNIT / 10),
            per_epsilon: sym(2),
            rounds_max: 10_000,
            noise_min: 300,
            // The chance that a loss is exceeded is at most one in a hundred thousand.
            delta_max: 10_000_000,
            minimum_cohort: 50,
            environment: Environment::Tee,
            round_ms: 10_000,
        },
        compute: ComputePolicy {
            base: sym(5),
            per_vault: Sym(SYM_UNIT / 2),
            per_giga_fuel: Sym(SYM_UNIT / 100),
            per_million_records: Sym(SYM_UNIT / 10),
            per_epsilon: sym(2),
            fuel_max: 100_000_000_000,
            epsilon_max: Epsilon(1_000_000),
            minimum_cohort: 50,
        },
        privacy: Privacy {
            scope_limits: BTreeMap::from([
                (UsageScope::new("marketing")?, Epsilon(3_000_000)),
                (UsageScope::new("research")?, Epsilon(2_000_000)),
                (UsageScope::new(TRAINING)?, Epsilon(10_000_000)),
            ]),
            subject_cap: Epsilon(12_000_000),
            exposure_charge: Epsilon(500_000),
            count_epsilon: Epsilon(100_000),
            minimum_result_cardinality: 50,
            audience_cap_max: 5_000,
            selection: SelectionRule::Random,
        },
        deadlines: Deadlines {
            prepare_ms: 5_000,
            execute_ms: 30_000,
            aggregate_ms: 30_000,
            verify_ms: 20_000,
            challenge_ms: 1_000,
            review_ms: 60_000,
            lease_ms: 3_000,
        },
        epoch_ms: 4_000,
        dividend_payees_min: PAYEES_MIN,
        unstaked: Bps(5_000),
        producer_stake_min: sym(10),
        node_pay: sym(1),
        software_admitted: profile == Profile::Development,
        proposals: ProposalPolicy {
            quorum: Bps(6_000),
            majority: Bps(6_000),
            voting_ms: 600_000,
            timelock_ms: 2_000,
            open_max: 16,
        },
        challenges: ChallengePolicy {
            bond: sym(20),
            penalties: Penalties {
                invalid_result: sym(10_000),
                invalid_attestation: sym(10_000),
                consent_or_budget: sym(20_000),
            },
        },
        candidates: Some(CandidatePolicy {
            scope: UsageScope::new("research")?,
            epsilon: Epsilon(500_000),
            names_per_person: 4,
            records_per_person: 4,
            people_min: 200,
            vaults_min: 3,
            epochs_kept: 8,
        }),
        stakes: stakes(profile),
    })
}

fn registry(parties: &Parties) -> Result<Registry> {
    let mut actors = BTreeMap::new();
    for (name, account) in &parties.submitters {
        let scopes = BTreeSet::from([UsageScope::new("marketing")?, UsageScope::new(TRAINING)?]);
        actors.insert(ActorId::new(name)?, actor(*account, Role::TaskSubmitter, scopes));
    }
    let mut service = |name: &str, role| -> Result<ActorId> {
        let id = ActorId::new(name)?;
        let account = parties.accounts.get(name).copied();
        let account = account.ok_or_else(|| anyhow::anyhow!("{name} has no account"))?;
        actors.insert(id.clone(), actor(account, role, BTreeSet::new()));
        Ok(id)
    };
    let mut vaults = BTreeMap::new();
    for (vault, key, sealing_key) in &parties.vaults {
        let record = VaultRecord {
            operator: service(&operator(vault), Role::VaultOperator)?,
            executor: service(&executor(vault), Role::Executor)?,
            key: *key,
            sealing_key: sealing_key.to_vec(),
        };
        vaults.insert(vault.clone(), record);
    }
    let aggregator = service(AGGREGATOR, Role::Aggregator)?;
    let verifier = VerifierRecord { actor: service(VERIFIER, Role::Verifier)?, key: parties.verifier };
    let treasury = service(TREASURY, Role::TreasuryAuthority)?;
    Ok(Registry {
        actors,
        vaults,
        aggregator,
        verifier,
        masters: parties.masters.clone(),
        gateway: parties.gateway,
        payout: parties.payout,
        treasury,
        measurements: BTreeMap::from([(parties.measurement, EnclaveCode::founded(Purpose::Any))]),
        platforms: platforms(parties),
        modules: modules()?,
        moves: BTreeMap::new(),
        suspensions: BTreeMap::new(),
        admissions: BTreeMap::new(),
        exits: BTreeMap::new(),
        council: parties.council.clone(),
    })
}

/// The machines, believed from the beginning.
fn platforms(parties: &Parties) -> BTreeMap<PlatformId, Platform> {
    let platforms = parties.platforms.iter();
    platforms.map(|(id, machine)| (*id, Platform::founded_machine(machine.clone()))).collect()
}

fn actor(account: AccountId, role: Role, scopes: BTreeSet<UsageScope>) -> Actor {
    Actor { account, roles: BTreeSet::from([role]), scopes, suspended: false }
}

/// The modules that come with the program (R095).
fn modules() -> Result<BTreeMap<Digest, ApprovedModule>> {
    let founded = |built: Built| {
        let Built { about, declaration, measurement, source, recipe, .. } = built;
        let approved = Mark::FOUNDED;
        (measurement, ApprovedModule { about, declaration, source, recipe, approved, revoked: None })
    };
    Ok(catalogue::built()?.into_iter().map(founded).collect())
}

/// Meaning, version 1: commerce, geography and identity (R044-R050).
fn semantics() -> Result<Semantics> {
    use AttributeLifecycle::Active;
    use Queryability::{DeliverableOnly, DerivedOnly, DirectlyQueryable, LocalOnly};
    let attribute = |name: &str, value, privacy_class, queryability| -> Result<_, NameError> {
        let domain = DomainName::new(name.split('.').next().unwrap_or_default())?;
        let entry = Attribute { domain, value, privacy_class, queryability, lifecycle: Active };
        Ok((AttributeName::new(name)?, entry))
    };
    let rule = |name: &str, attribute: &str, kind, cross_domain_policy| -> Result<_, NameError> {
        Ok((
            RuleName::new(name)?,
            Rule { attribute: AttributeName::new(attribute)?, kind, cross_domain_policy },
        ))
    };
    let (sensitive, low) = (PrivacyClass::Sensitive, PrivacyClass::Low);
    let attributes = [
        attribute("commerce.merchant", ValueType::Text, sensitive, DirectlyQueryable)?,
        attribute("commerce.category", ValueType::Text, sensitive, DirectlyQueryable)?,
        attribute("commerce.purchase_date", ValueType::Time, sensitive, DerivedOnly)?,
        attribute("commerce.amount", ValueType::Cents, sensitive, DerivedOnly)?,
        attribute("commerce.department", ValueType::Text, sensitive, DirectlyQueryable)?,
        attribute("commerce.brand", ValueType::Text, sensitive, DirectlyQueryable)?,
        attribute("commerce.coupon_discount", ValueType::Cents, sensitive, DerivedOnly)?,
        attribute("commerce.payment_card", ValueType::Text, PrivacyClass::Identifying, LocalOnly)?,
        attribute("geography.city", ValueType::Text, low, DirectlyQueryable)?,
        attribute("identity.contact_handle", ValueType::Text, PrivacyClass::Identifying, DeliverableOnly)?,
        // No time among these: the first one by name orders the segments of Vaults, and that is the date of a purchase.
        attribute("behaviour.channel", ValueType::Text, low, DirectlyQueryable)?,
        attribute("behaviour.activity", ValueType::Text, sensitive, DirectlyQueryable)?,
        attribute("model_governance.model", ValueType::Text, low, DirectlyQueryable)?,
        attribute("model_governance.decision", ValueType::Text, sensitive, DirectlyQueryable)?,
    ];
    let (allowed, denied) = (CrossDomainPolicy::Allowed, CrossDomainPolicy::Denied);
    let rules = [
        rule("commerce.merchant_purchase", "commerce.merchant", RuleKind::Equality, allowed)?,
        rule("commerce.category_purchase", "commerce.category", RuleKind::SetMembership, allowed)?,
        rule("commerce.purchase_recency", "commerce.purchase_date", RuleKind::Threshold, allowed)?,
        rule("commerce.purchase_range", "commerce.purchase_date", RuleKind::Range, allowed)?,
        rule("commerce.purchase_count", "commerce.purchase_date", RuleKind::Count, allowed)?,
        rule("commerce.amount_at_least", "commerce.amount", RuleKind::Threshold, denied)?,
        rule("commerce.amount_range", "commerce.amount", RuleKind::Range, denied)?,
        rule("commerce.amount_sum", "commerce.amount", RuleKind::Sum, allowed)?,
        rule("commerce.department_purchase", "commerce.department", RuleKind::SetMembership, allowed)?,
        rule("commerce.brand_purchase", "commerce.brand", RuleKind::SetMembership, allowed)?,
        rule("commerce.coupon_at_least", "commerce.coupon_discount", RuleKind::Threshold, denied)?,
        rule("commerce.card_match", "commerce.payment_card", RuleKind::Equality, allowed)?,
        rule("geography.city_eligibility", "geography.city", RuleKind::Equality, allowed)?,
        rule("behaviour.channel_used", "behaviour.channel", RuleKind::SetMembership, allowed)?,
        rule("behaviour.activity_seen", "behaviour.activity", RuleKind::SetMembership, allowed)?,
        rule("behaviour.activity_count", "behaviour.activity", RuleKind::Count, allowed)?,
        rule("model_governance.model_asked", "model_governance.model", RuleKind::Equality, allowed)?,
        rule("model_governance.decision_met", "model_governance.decision", RuleKind::Equality, denied)?,
    ];
    Ok(Semantics::founding(attributes.into_iter().collect(), rules.into_iter().collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R157, R158: the development policy keeps its shares in the bands and at the whole.
    #[test]
    fn the_first_policy_is_sound() {
        policy(Profile::Development).unwrap().check().unwrap();
        policy(Profile::Production).unwrap().check().unwrap();
        semantics().unwrap().check().unwrap();
    }

    /// R044, R048: the vocabulary that a network starts with has the five domains, each attribute with a rule that reads it or nothing that asks
    /// for it, and the date of a purchase is the time that comes first by name.
    #[test]
    fn a_network_starts_with_a_vocabulary() {
        let Semantics { attributes, rules, domains, .. } = semantics().unwrap();
        let names: Vec<_> = domains.keys().map(|domain| domain.as_str()).collect();
        assert_eq!(names, ["behaviour", "commerce", "geography", "identity", "model_governance"]);
        for (name, attribute) in &attributes {
            let read = rules.values().any(|rule| rule.attribute == *name);
            assert!(read || attribute.queryability == Queryability::DeliverableOnly, "{name}");
        }
        let first = attributes.iter().find(|(_, attribute)| attribute.value == ValueType::Time).unwrap();
        assert_eq!(first.0.as_str(), "commerce.purchase_date");
    }
}
