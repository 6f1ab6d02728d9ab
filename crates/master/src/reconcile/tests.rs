//! When a drift is recorded, recorded again, and left alone; what a comparison keeps of the one before.

use std::collections::BTreeMap;

use symphony_protocol::artifact::adjustment::BudgetStanding;
use symphony_protocol::governance::Governance;
use symphony_protocol::governance::epoch::Calendar;
use symphony_protocol::governance::meaning::Meanings;
use symphony_protocol::governance::registry::{Registry, VerifierRecord};
use symphony_protocol::governance::semantics::Semantics;
use symphony_protocol::machine::{Event, evolve};
use symphony_protocol::settlement::payout::{EpochAccount, PayoutInstructionSet};
use symphony_types::id::{ActorId, GovernanceSequence, PolicyVersion, TaskId, VaultId};
use symphony_types::key::PrivateKey;

use super::*;

fn state() -> State {
    let actor = |name: &str| ActorId::new(name).unwrap();
    let registry = Registry {
        actors: BTreeMap::new(),
        vaults: BTreeMap::new(),
        aggregator: actor("aggregator"),
        verifier: VerifierRecord { actor: actor("verifier"), key: PrivateKey::from_seed(&[21; 32]).public() },
        masters: BTreeMap::new(),
        gateway: PrivateKey::from_seed(&[22; 32]).public(),
        payout: PrivateKey::from_seed(&[23; 32]).public(),
        treasury: actor("treasury"),
        measurements: BTreeMap::new(),
        modules: BTreeMap::new(),
        moves: BTreeMap::new(),
        suspensions: BTreeMap::new(),
        admissions: BTreeMap::new(),
        exits: BTreeMap::new(),
        platforms: BTreeMap::new(),
        council: BTreeMap::new(),
    };
    State::genesis(Governance {
        policies: BTreeMap::new(),
        calendar: Calendar::new(PolicyVersion(1), 1_000),
        registry,
        meanings: Meanings::new(Semantics::founding(BTreeMap::new(), BTreeMap::new())),
        hardware: BTreeMap::new(),
        sequence: GovernanceSequence(0),
    })
}

fn drift(kind: DriftKind) -> Drift {
    let task = TaskId(Digest([1; 32]));
    let subject = DriftSubject::Budget(task, VaultId::new("a").unwrap());
    Drift { kind, subject, here: "dead".to_owned(), there: BudgetStanding::Reserved.as_str().to_owned() }
}

fn recorded(state: &mut State, number: u64, drift: &Drift, occurrence: u32, step: AdjustmentStep) {
    let repair = drift.kind.repair();
    let adjustment = Adjustment { drift: drift.clone(), occurrence, step, repair };
    evolve(state, OrderedMillis(1), &Event::AdjustmentRecorded { number, adjustment, epoch: EpochId(1) });
}

/// R219, R220: a drift that is repaired is recorded once while it stands and repaired again; found later, it is recorded
/// again.
#[test]
fn a_repaired_drift_is_recorded_each_time_that_it_is_found() {
    let (mut state, drift) = (state(), drift(DriftKind::BudgetUnreleased));
    assert_eq!(due(&state, &drift), Some(Some(1)));
    recorded(&mut state, 1, &drift, 1, AdjustmentStep::Found);
    assert_eq!(due(&state, &drift), Some(None), "recorded, and repaired again");
    recorded(&mut state, 2, &drift, 1, AdjustmentStep::Settled);
    assert_eq!(due(&state, &drift), Some(Some(2)));
}

/// R220: a drift whose record is its repair is recorded once, and again only when it says something else.
#[test]
fn a_recorded_drift_is_left_alone() {
    let (mut state, drift) = (state(), drift(DriftKind::BudgetConsumed));
    recorded(&mut state, 1, &drift, 1, AdjustmentStep::Found);
    assert_eq!(due(&state, &drift), None);
    let other = Drift { there: "drawn".to_owned(), ..drift };
    assert_eq!(due(&state, &other), Some(Some(2)));
}

/// R219: a drift is as old as the first comparison that found it without a break; gauges count what was found last.
#[test]
fn a_drift_is_as_old_as_it_was_seen_without_a_break() {
    let watch = Watch::default();
    let one = drift(DriftKind::BudgetUnreleased);
    let first = watch.keep(vec![one.clone()], true, OrderedMillis(1));
    let second = watch.keep(vec![one.clone(), drift(DriftKind::BudgetConsumed)], true, OrderedMillis(2));
    let since = |seen: &[(Drift, Instant)]| seen.iter().find(|(drift, _)| *drift == one).unwrap().1;
    assert_eq!(since(&first), since(&second));
    assert_eq!(watch.gauges().values().sum::<u64>(), 2);
    assert_eq!((watch.gauges()["budget_unreleased"], watch.gauges()["lost_confirmation"]), (1, 0));
    assert!(watch.keep(vec![], false, OrderedMillis(3)).is_empty());
    assert!(since(&watch.keep(vec![one.clone()], true, OrderedMillis(4))) > since(&second));
    assert_eq!((watch.gauges().len(), watch.gauges().values().sum::<u64>()), (DriftKind::ALL.len(), 1));
}

/// R173: what waits for the chain is compared each time, and of what is confirmed the last epochs and one older in turn.
#[test]
fn every_epoch_has_its_turn() {
    let mut state = state();
    let evidence = |epoch: u64| {
        use symphony_protocol::settlement::payout::{PayoutConfirmation, PayoutEvidence};
        let epoch = EpochId(epoch);
        let instructions = PayoutInstructionSet::empty(epoch);
        let body =
            PayoutConfirmation { epoch, batch: instructions.digest(), transaction: Digest::ZERO, version: 1 };
        let confirmation = PrivateKey::from_seed(&[23; 32]).sign(body);
        EpochStage::Confirmed(PayoutEvidence { instructions, statements: vec![], confirmation })
    };
    let mut put = |epoch: u64, stage| {
        state.epochs.insert(EpochId(epoch), EpochAccount { stage, ..EpochAccount::default() });
    };
    (1..=12).for_each(|epoch| put(epoch, evidence(epoch)));
    put(13, EpochStage::Issued(PayoutInstructionSet::empty(EpochId(13)), vec![]));
    put(14, EpochStage::Closing);
    let numbers = |turn| chosen(&state, turn).iter().map(|epoch| epoch.0).collect::<Vec<_>>();
    let recent: Vec<u64> = (5..=13).collect();
    for turn in 0..8 {
        let older = [4, 3, 2, 1][turn % 4];
        assert_eq!(numbers(turn), [&[older], &recent[..]].concat());
    }
    assert_eq!(chosen(&self::state(), 3), []);
}
