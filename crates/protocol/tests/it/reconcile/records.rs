//! Adjustment records in the machine: endorsed, in turn, bounded, never edited, and the only thing that changes.

use std::fmt::Write;

use symphony_protocol::artifact::adjustment::{
    Adjustment, AdjustmentStep, Drift, DriftKind, DriftSubject, Repair,
};
use symphony_protocol::machine::{Adjustments, Command, Event, Refusal, evolve};
use symphony_protocol::reconcile::chain::{ChainSight, drifts};
use symphony_types::canonical::to_bytes;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{EpochId, TaskId};
use symphony_types::key::{Endorsed, Master};
use symphony_types::limits::{ADJUSTMENTS_PER_EPOCH_MAX, DRIFT_WORD_CHARS_MAX};

use super::payouts::{confirmed, faithful};
use crate::stage::{self, EPOCH_MS, key, vault};
use crate::world::{Script, World};

fn found(drift: &Drift, occurrence: u32) -> Adjustment {
    Adjustment { drift: drift.clone(), occurrence, step: AdjustmentStep::Found, repair: drift.kind.repair() }
}

fn settled(drift: &Drift, occurrence: u32) -> Adjustment {
    Adjustment { step: AdjustmentStep::Settled, ..found(drift, occurrence) }
}

fn command(world: &World, body: Adjustment) -> Command {
    Command::RecordAdjustment { adjustment: stage::endorsed(&world.state.governance.registry, body) }
}

fn ordered(world: &mut World, body: Adjustment) -> Result<Vec<Event>, Refusal> {
    let command = command(world, body);
    world.order(&command)
}

fn orphan(name: u32) -> Drift {
    Drift {
        kind: DriftKind::BudgetOrphaned,
        subject: DriftSubject::Budget(TaskId(Digest::of("test/orphan", &name)), vault("vault-a")),
        here: "unknown".into(),
        there: "reserved".into(),
    }
}

/// A drift that is repaired, and one that is only recorded.
fn examples(world: &World, epoch: EpochId) -> (Drift, Drift) {
    let lost = drifts(&world.state, epoch, &ChainSight::default()).remove(0);
    let mut other = faithful(&world.state, epoch);
    other.issued.as_mut().unwrap().totals.charged.0 += 1;
    (lost, drifts(&world.state, epoch, &other).remove(0))
}

/// R219, R220: what follows what, pinned: a drift is found, settled and found again; every line is ordered twice.
#[test]
fn the_table_of_records_is_pinned() {
    let (mut world, epoch) = confirmed();
    let (lost, sums) = examples(&world, epoch);
    let mut worded = lost.clone();
    worded.there = "another word".into();
    let steps = [
        ("lost: settled, never found", settled(&lost, 1)),
        ("lost: found, second first", found(&lost, 2)),
        ("lost: found", found(&lost, 1)),
        ("lost: found, other words", found(&worded, 1)),
        ("lost: found again while it stands", found(&lost, 2)),
        ("lost: settled, other words", settled(&worded, 1)),
        ("lost: settled, second", settled(&lost, 2)),
        ("lost: settled", settled(&lost, 1)),
        ("lost: found a second time", found(&worded, 2)),
        ("lost: settled, the first, late", settled(&lost, 1)),
        ("lost: settled a second time", settled(&worded, 2)),
        ("sums: found, which is its repair", found(&sums, 1)),
        ("sums: settled", settled(&sums, 1)),
        ("sums: found a second time", found(&sums, 2)),
    ];
    let mut table = String::new();
    for (name, body) in steps {
        let mut line = format!("{name:<36}");
        for _ in 0..2 {
            let word = match ordered(&mut world, body.clone()) {
                Ok(events) if events.is_empty() => "-".to_owned(),
                Ok(events) => match &events[..] {
                    [Event::AdjustmentRecorded { number, .. }] => format!("record {number}"),
                    other => panic!("{other:?}"),
                },
                Err(refusal) => refusal.code.to_string(),
            };
            write!(line, " {word:<9}").unwrap();
        }
        let open: Vec<_> = world.state.adjustments.open().map(|(number, _)| number.to_string()).collect();
        writeln!(table, "{line} open: {}", open.join(" ")).unwrap();
    }
    let table: Vec<_> = table.lines().map(str::trim_end).collect();
    insta::assert_snapshot!(table.join("\n"));
}

/// R006, R220: records change the records and nothing else, and survive the replay of the log.
#[test]
fn records_change_nothing_else_and_survive_replay() {
    let (mut world, epoch) = confirmed();
    let (lost, sums) = examples(&world, epoch);
    let (before, start) = (world.state.clone(), world.log.len());
    for body in [found(&lost, 1), found(&sums, 1), settled(&lost, 1), found(&lost, 2)] {
        assert_eq!(ordered(&mut world, body.clone()).unwrap().len(), 1);
        assert_eq!(ordered(&mut world, body), Ok(vec![]), "the same record twice is one");
    }
    assert_eq!(world.state.adjustments.records.len(), 4);
    let mut without = world.state.clone();
    without.adjustments = Adjustments::default();
    assert_eq!(to_bytes(&without), to_bytes(&before));
    let mut replayed = before;
    for (at, event) in &world.log[start..] {
        evolve(&mut replayed, *at, event);
    }
    assert_eq!(to_bytes(&replayed), to_bytes(&world.state));
    let mut restored = world.state.clone();
    world.crash();
    assert_eq!(world.state.digest(), restored.digest());
    let open: Vec<_> = world.state.adjustments.open().map(|(number, _)| number).collect();
    assert_eq!(open, [4]);
}

/// R195, R220: a record counts with the word of a majority only.
#[test]
fn a_record_needs_the_word_of_a_majority() {
    let mut world = World::of_three(Script::default());
    let body = found(&orphan(1), 1);
    let alone = key::<Master>("master-1").endorsed(body.clone());
    let mut doubled = alone.clone();
    doubled.endorsements.push(alone.endorsements[0].clone());
    let mut stranger = alone.clone();
    stranger.endorsements.push(key::<Master>("stranger").endorsed(body.clone()).endorsements[0].clone());
    let none = Endorsed { body: body.clone(), endorsements: vec![] };
    for adjustment in [none, alone, doubled, stranger] {
        let refusal = world.order(&Command::RecordAdjustment { adjustment }).unwrap_err();
        assert_eq!(refusal.code, Code::Undecided);
    }
    assert_eq!(ordered(&mut world, body).unwrap().len(), 1);
}

/// R220: a record that says what none may say, or is about nothing, is refused.
#[test]
fn a_record_of_nothing_is_refused() {
    let (mut world, epoch) = confirmed();
    let (lost, _) = examples(&world, epoch);
    let bend: [fn(&mut Adjustment); 8] = [
        |body| body.occurrence = 0,
        |body| body.repair = Repair::Record,
        |body| body.drift.kind = DriftKind::BudgetOrphaned,
        |body| body.drift.kind = DriftKind::AnchorAbsent,
        |body| body.drift.subject = DriftSubject::Budget(TaskId(Digest::ZERO), vault("vault-a")),
        |body| body.drift.here.clear(),
        |body| body.drift.there.clear(),
        |body| body.drift.there = "x".repeat(DRIFT_WORD_CHARS_MAX + 1),
    ];
    for (case, bend) in bend.into_iter().enumerate() {
        let mut body = found(&lost, 1);
        bend(&mut body);
        assert_eq!(ordered(&mut world, body).unwrap_err().code, Code::Malformed, "case {case}");
    }
    let task = *faithful(&world.state, epoch).anchors.keys().next().unwrap();
    let unknown = [
        (DriftKind::LostConfirmation, DriftSubject::Epoch(EpochId(3)), Code::NotFound),
        (DriftKind::DuplicateSubmission, DriftSubject::Batch(EpochId(3), Digest::ZERO), Code::NotFound),
        (DriftKind::AnchorAbsent, DriftSubject::Anchor(EpochId(3), task), Code::NotFound),
        (DriftKind::AnchorAbsent, DriftSubject::Anchor(epoch, TaskId(Digest::ZERO)), Code::NotFound),
        (DriftKind::BudgetConsumed, DriftSubject::Budget(task, vault("vault-x")), Code::VaultUnknown),
    ];
    for (kind, subject, code) in unknown {
        let body = found(&Drift { kind, subject: subject.clone(), ..lost.clone() }, 1);
        assert_eq!(ordered(&mut world, body).unwrap_err().code, code, "{subject:?}");
    }
    assert!(world.state.adjustments.records.is_empty());
}

/// R220: an epoch has room for so many records and not one more; the next epoch has room again.
#[test]
fn an_epoch_has_room_for_so_many_records() {
    let mut world = World::new(Script::default());
    let most = u32::try_from(ADJUSTMENTS_PER_EPOCH_MAX).unwrap();
    for name in 0..most {
        assert_eq!(ordered(&mut world, found(&orphan(name), 1)).unwrap().len(), 1);
    }
    assert_eq!(ordered(&mut world, found(&orphan(most), 1)).unwrap_err().code, Code::RateLimited);
    assert_eq!(ordered(&mut world, found(&orphan(0), 1)), Ok(vec![]), "a repetition needs no room");
    world.now = world.now.plus(EPOCH_MS);
    assert_eq!(ordered(&mut world, found(&orphan(most), 1)).unwrap().len(), 1);
}
