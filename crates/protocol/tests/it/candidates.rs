//! Reports of candidates for attributes and the pool of an epoch (R050, R051, R070, R193).

use std::collections::BTreeMap;

use proptest::prelude::*;
use symphony_protocol::artifact::Bucket;
use symphony_protocol::artifact::adjustment::{BudgetLine, BudgetStanding};
use symphony_protocol::governance::Governance;
use symphony_protocol::governance::approval::Mark;
use symphony_protocol::governance::candidate::*;
use symphony_protocol::machine::{Command, State};
use symphony_protocol::reconcile::budget::drifted;
use symphony_types::amount::Bps;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::epsilon::Epsilon;
use symphony_types::id::{EpochId, PolicyVersion, VaultId};
use symphony_types::key::Vault;
use symphony_types::limits::CANDIDATES_PER_REPORT_MAX;
use symphony_types::time::OrderedMillis;

use crate::council::order;
use crate::stage::{EPOCH_MS, START, VAULTS, attribute, governance, key, policy, scope, vault};

/// The epoch that the world begins in.
const FIRST: u64 = START.0 / EPOCH_MS;

fn pooling() -> CandidatePolicy {
    CandidatePolicy {
        scope: scope("marketing"),
        epsilon: Epsilon(500_000),
        names_per_person: 4,
        records_per_person: 4,
        people_min: 200,
        vaults_min: 2,
        epochs_kept: 3,
    }
}

fn pooled() -> Governance {
    let mut governance = governance();
    governance.policies.get_mut(&PolicyVersion(1)).unwrap().candidates = Some(pooling());
    governance
}

pub(crate) fn report(vault: &VaultId, epoch: u64, found: &[(&str, LocalKind, u64)]) -> SignedReport {
    let found = found.iter().map(|(name, kind, people)| {
        (attribute(name), Found { kind: *kind, people: *people, others: people / 4, records: 3 * people })
    });
    let (epoch, policy, candidates) = (EpochId(epoch), PolicyVersion(1), found.collect());
    key::<Vault>(vault.as_str()).sign(CandidateReport { vault: vault.clone(), epoch, policy, candidates })
}

fn taken(state: &mut State, at: OrderedMillis, report: &SignedReport) -> Result<usize, Code> {
    let command = Command::ReportCandidates { report: report.clone() };
    order(state, at, command).map(|events| events.len()).map_err(|refusal| refusal.code)
}

const TIER: (&str, LocalKind, u64) = ("loyalty.tier", LocalKind::Text, 400);

/// R051, R193: a report counts once, of an epoch that is over and not for too long, of a Vault that signed it and takes part; each refusal has
/// its code and leaves nothing.
#[test]
fn a_report_is_taken_once_and_in_time() {
    let (mut state, a) = (State::genesis(pooled()), vault("vault-a"));
    let good = report(&a, FIRST, &[TIER]);
    let after = |epochs: u64| START.plus(epochs * EPOCH_MS);
    assert_eq!(taken(&mut state, after(1).minus(1), &good), Err(Code::EpochOpen));
    assert_eq!(taken(&mut state, after(4), &good), Err(Code::CandidatesClosed), "kept for three epochs");
    let before = state.clone();
    let mut forged = good.clone();
    forged.body.candidates.values_mut().for_each(|found| found.people += 1);
    assert_eq!(taken(&mut state, after(1), &forged), Err(Code::Unauthenticated));
    let stranger = report(&vault("vault-z"), FIRST, &[TIER]);
    assert_eq!(taken(&mut state, after(1), &stranger), Err(Code::VaultUnknown));
    let mut other = good.body.clone();
    other.policy = PolicyVersion(2);
    assert_eq!(taken(&mut state, after(1), &key::<Vault>("vault-a").sign(other)), Err(Code::Malformed));
    let few = report(&a, FIRST, &[("loyalty.tier", LocalKind::Text, 199)]);
    let names: Vec<_> = (0..=CANDIDATES_PER_REPORT_MAX).map(|nth| format!("column.n{nth}")).collect();
    let many: Vec<_> = names.iter().map(|name| (name.as_str(), LocalKind::Text, 200)).collect();
    for bad in [few, report(&a, FIRST, &many), report(&a, FIRST, &[])] {
        assert_eq!(taken(&mut state, after(1), &bad), Err(Code::Malformed));
    }
    assert_eq!(state, before);
    let mut frozen = state.clone();
    frozen.governance.registry.suspensions.insert(a.clone(), Mark::FOUNDED);
    assert_eq!(taken(&mut frozen, after(1), &good), Err(Code::VaultSuspended));
    let mut silent = State::genesis(governance());
    assert_eq!(taken(&mut silent, after(1), &good), Err(Code::CandidatesClosed), "the policy pools nothing");

    assert_eq!(taken(&mut state, after(3), &good), Ok(1));
    assert_eq!(taken(&mut state, after(3), &good), Ok(0));
    let other = report(&a, FIRST, &[("loyalty.tier", LocalKind::Text, 300)]);
    assert_eq!(taken(&mut state, after(3), &other), Err(Code::IdempotencyConflict));
    assert_eq!(taken(&mut state, after(3), &report(&vault("vault-b"), FIRST, &[TIER])), Ok(1));
    assert_eq!((state.pooled(), state.pool(EpochId(FIRST)).len()), (vec![EpochId(FIRST)], 1));
    // With the first report that comes when their time is over, they go.
    assert_eq!(taken(&mut state, after(5), &report(&a, FIRST + 4, &[TIER])), Ok(1));
    assert_eq!((state.pooled(), state.pool(EpochId(FIRST))), (vec![EpochId(FIRST + 4)], vec![]));
}

/// R051: names and kinds of fewer Vaults than the policy's least are not shown; what is shown sums up what Vaults said, and says in how many
/// epochs in a row that was so.
#[test]
fn a_candidate_of_too_few_vaults_is_not_shown() {
    let mut state = State::genesis(pooled());
    let late = START.plus(3 * EPOCH_MS);
    for epoch in [FIRST, FIRST + 1, FIRST + 2] {
        // In the first epoch one Vault alone has the tier.
        let from = usize::from(epoch == FIRST) * 2;
        for name in &VAULTS[from..] {
            let kind = if *name == "vault-c" { LocalKind::Number } else { LocalKind::Text };
            let own = format!("own.{}", name.replace('-', "_"));
            let found = [TIER, ("till.number", kind, 800), (own.as_str(), LocalKind::Time, 900)];
            taken(&mut state, late, &report(&vault(name), epoch, &found)).unwrap();
        }
    }
    assert_eq!(state.pool(EpochId(FIRST)), []);
    let tier = Pooled {
        name: attribute("loyalty.tier"),
        kind: LocalKind::Text,
        vaults: 3,
        vaults_other: 0,
        people: 1_200,
        others: 300,
        records: 3_600,
        epochs: 1,
    };
    assert_eq!(tier.agreement(), Bps(8_000));
    let till = |epochs| Pooled {
        name: attribute("till.number"),
        vaults: 2,
        vaults_other: 1,
        people: 1_600,
        others: 400,
        records: 4_800,
        epochs,
        ..tier.clone()
    };
    assert_eq!(state.pool(EpochId(FIRST + 1)), [tier.clone(), till(1)]);
    assert_eq!(state.pool(EpochId(FIRST + 2)), [Pooled { epochs: 2, ..tier.clone() }, till(2)]);
}

/// R051, R070, R188: a policy under which one person's name, or one Vault's, would show, or that nobody can afford, is not sound.
#[test]
fn the_policy_keeps_a_name_of_few_from_being_shown() {
    let sound = |change: fn(&mut CandidatePolicy)| {
        let mut pooling = pooling();
        change(&mut pooling);
        symphony_protocol::governance::policy::Policy { candidates: Some(pooling), ..policy() }.check()
    };
    assert_eq!(sound(|_| ()), Ok(()));
    let unsound: [fn(&mut CandidatePolicy); 10] = [
        |pooling| pooling.people_min = 192,
        |pooling| pooling.vaults_min = 1,
        |pooling| pooling.vaults_min = 2_000,
        |pooling| pooling.epsilon = Epsilon::ZERO,
        |pooling| pooling.epsilon = Epsilon(u64::MAX),
        |pooling| pooling.scope = scope("weather"),
        |pooling| pooling.names_per_person = 0,
        |pooling| pooling.records_per_person = 0,
        |pooling| pooling.epochs_kept = 0,
        |pooling| pooling.epochs_kept = 17,
    ];
    for (nth, change) in unsound.into_iter().enumerate() {
        assert!(sound(change).is_err(), "{nth}");
    }
}

/// R071, R219: what a Vault charges for a report is no drift of its ledger, and anything else that is of no task is.
#[test]
fn the_charge_of_a_report_is_no_drift() {
    let (state, a) = (State::genesis(pooled()), vault("vault-a"));
    let line = |task, epochs: u64| BudgetLine {
        task,
        preparation: Digest::ZERO,
        epsilon: Epsilon(1),
        spent: Epsilon(1),
        people: Bucket::of(60),
        standing: BudgetStanding::Committed,
        reserved_at: START.plus(epochs * EPOCH_MS),
        deadline: START.plus(epochs * EPOCH_MS),
    };
    let drifts =
        |vault: &VaultId, task, epochs| drifted(&state, vault, &task, Some(&line(task, epochs))).is_some();
    let task = charge(&a, EpochId(FIRST));
    assert!(!drifts(&a, task, 1) && !drifts(&a, task, 4));
    assert!(drifts(&a, task, 40), "it was made long after");
    assert!(drifts(&vault("vault-b"), task, 1), "another's");
    assert!(drifts(&a, charge(&a, EpochId(FIRST + 9)), 1), "of an epoch to come");
}

/// A report of some epoch, of one of a few Vaults, with a few of a few names.
fn some_report() -> impl Strategy<Value = CandidateReport> {
    let found = ((0..4_usize), (0..3_usize), 0..1_000_u64);
    (0..6_usize, 0..4_u64, proptest::collection::vec(found, 0..4)).prop_map(|(of, epoch, found)| {
        let candidates: BTreeMap<_, _> = found
            .into_iter()
            .map(|(name, kind, people)| {
                let found = Found { kind: LocalKind::ALL[kind], people, others: people / 3, records: people };
                (attribute(&format!("column.n{name}")), found)
            })
            .collect();
        CandidateReport {
            vault: vault(&format!("vault-{of}")),
            epoch: EpochId(epoch),
            policy: PolicyVersion(1),
            candidates,
        }
    })
}

proptest! {
    /// R051: the pool is the same in whatever order reports come and however often, and shows nothing of fewer Vaults than its least.
    #[test]
    fn the_pool_follows_from_the_reports(
        reports in proptest::collection::vec(some_report(), 0..24),
        shuffled in any::<prop::sample::Index>(),
        least in 2..5_u32,
    ) {
        // A Vault says one thing of an epoch.
        let mut reports: Vec<_> = reports.into_iter().map(|one| ((one.epoch, one.vault.clone()), one))
            .collect::<BTreeMap<_, _>>().into_values().collect();
        for epoch in (0..4).map(EpochId) {
            let pooled = pool(&reports, epoch, least);
            for one in &pooled {
                let same = |found: &&CandidateReport| found.epoch == epoch
                    && found.candidates.get(&one.name).is_some_and(|found| found.kind == one.kind);
                let vaults = reports.iter().filter(same).count();
                prop_assert_eq!(vaults, one.vaults as usize);
                prop_assert!(one.vaults >= least && (1..=4).contains(&one.epochs));
            }
            let mut other = reports.clone();
            other.reverse();
            if !other.is_empty() {
                let at = shuffled.index(other.len());
                other.rotate_left(at);
                other.push(other[at].clone());
            }
            prop_assert_eq!(&pool(&other, epoch, least), &pooled);
        }
        reports.clear();
        prop_assert_eq!(pool(&reports, EpochId(0), least), vec![]);
    }
}
