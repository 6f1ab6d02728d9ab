//! Challenges through the rules (R038, R039, R101, R129, R136-R143, R237): every way to end, under every disturbance; what is
//! refused; which findings count.

use std::fmt::Write;

use symphony_protocol::artifact::challenge::{
    Dismissal, Dispute, Filing, Finding, Replay, ReplayRefusal, Ruling, SignedReplayRefusal,
};
use symphony_protocol::artifact::training::Round;
use symphony_protocol::artifact::{AggregateHeader, Decision, Outcome, SliceHeader, TaskRequest};
use symphony_protocol::execution::failure::Step;
use symphony_protocol::lifecycle::{Stage, TaskState};
use symphony_protocol::machine::{Command, Effect, Event};
use symphony_protocol::settlement::challenge::{Challenge, ChallengeState};
use symphony_types::canonical::to_bytes;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::TaskId;
use symphony_types::key::Vault;
use symphony_types::limits::{EXHIBITS_MAX, FILINGS_PER_TASK_MAX, GROUNDS_CHARS_MAX};

use crate::flow::assert_nothing_is_left;
use crate::rounds::{propensity, round, round_aggregate, signed_slice};
use crate::stage::{self, PLENTY, actor, campaign, key, vault};
use crate::world::{Act, Disturbance, Script, World, failure, master};

/// R136: the eight states and what follows each, exactly.
#[test]
fn the_table_of_challenges_is_the_specifications() {
    let mut table = String::new();
    for from in ChallengeState::ALL {
        let next = ChallengeState::ALL.into_iter().filter(|next| from.may_become(*next));
        let next: Vec<_> = next.map(ChallengeState::as_str).collect();
        writeln!(table, "{}: {}", from.as_str(), next.join(", ")).unwrap();
    }
    let expected = [
        "opened: reviewing",
        "reviewing: confirmed, not_confirmed",
        "confirmed: approved",
        "not_confirmed: closed_without_penalty",
        "approved: penalty_recorded",
        "closed_without_penalty: reopened",
        "penalty_recorded: ",
        "reopened: reviewing",
    ];
    assert_eq!(table.lines().collect::<Vec<_>>(), expected);
}

fn filing(task: &TaskId, dispute: Dispute, exhibits: &[u8]) -> Filing {
    Filing {
        task: *task,
        challenger: actor("operator-a"),
        dispute,
        grounds: "the transcript gives another model".to_owned(),
        exhibits: exhibits.iter().map(|byte| Digest([*byte; 32])).collect(),
    }
}

impl World {
    fn challenge(&mut self, filing: &Filing) -> Result<Vec<Event>, Code> {
        self.order(&Command::Challenge { filing: filing.clone() }).map_err(|refusal| refusal.code)
    }

    fn task_state(&self, task: &TaskId) -> Option<TaskState> {
        self.state.tasks.get(task).map(|task| task.state())
    }

    fn disputed(&self, task: &TaskId) -> (u32, Challenge) {
        let Stage::Challenged { challenge, .. } = self.task(task).stage else { panic!("not challenged") };
        (challenge, self.state.challenges[&(*task, challenge)].clone())
    }

    /// A round as it was computed again.
    fn replay(&self, task: &TaskId, number: u32, stands: bool) -> Round {
        let known = self.task(task);
        let envelope = &known.envelope;
        let recorded = &self.state.rounds[&(*task, number)];
        let position = self.state.position_at(known, number).unwrap();
        let again = |slice: &SliceHeader| {
            signed_slice(envelope, &position, SliceHeader { attempt: slice.attempt + 1, ..slice.clone() })
        };
        let slices: Vec<_> = recorded.slices.iter().map(|slice| again(&slice.body)).collect();
        let outcome = match (recorded.aggregate.body.outcome, stands) {
            (outcome, true) => outcome,
            (Outcome::Step { evaluation, .. }, false) => Outcome::Step { state: Digest([9; 32]), evaluation },
            (Outcome::Model { evaluation, .. }, false) => {
                Outcome::Model { model: Digest([9; 32]), evaluation }
            }
            (other, false) => panic!("{other:?}"),
        };
        let body = round_aggregate(envelope, &position, &slices, outcome).body;
        let report = Digest::of("test/another-report", &number);
        let aggregate = stage::enclave().sign(AggregateHeader { report, ..body });
        round(envelope, &position, slices, aggregate)
    }

    fn finding(&self, task: &TaskId, stands: bool) -> Finding {
        let (challenge, known) = self.disputed(task);
        let (decision, replay) = match known.dispute {
            Dispute::Evidence if stands => (Decision::Accepted, Replay::None),
            Dispute::Evidence => (Decision::Rejected(Code::AttestationFailed), Replay::None),
            Dispute::Round(round) => (Decision::Accepted, Replay::Computed(self.replay(task, round, stands))),
        };
        let filing = u32::try_from(known.filings.len()).unwrap();
        Finding { task: *task, challenge, filing, decision, replay }
    }

    /// A finding that a majority endorses.
    pub(crate) fn found(&self, task: &TaskId, stands: bool) -> Command {
        self.endorsed(self.finding(task, stands))
    }

    fn endorsed(&self, finding: Finding) -> Command {
        Command::RecordFinding { finding: stage::endorsed(&self.state.governance.registry, finding) }
    }
}

/// A world in which a task has come to a state.
fn at(request: &TaskRequest, script: Script, state: TaskState) -> (World, TaskId) {
    let mut world = World::new(script);
    world.submit(request, PLENTY).unwrap();
    let task = request.task();
    while world.task_state(&task) != Some(state) {
        assert!(world.step(false), "{state:?} is never reached");
    }
    (world, task)
}

/// What is disputed, and in which state of the task.
const DISPUTES: [(Dispute, TaskState); 5] = [
    (Dispute::Evidence, TaskState::AwaitingSettlement),
    (Dispute::Evidence, TaskState::Verifying),
    (Dispute::Round(1), TaskState::AwaitingSettlement),
    (Dispute::Round(3), TaskState::Verifying),
    (Dispute::Round(5), TaskState::AwaitingSettlement),
];

/// What the masters do, and how the task ends.
const REVIEWS: [(Act, TaskState); 3] = [
    (Act::Serve, TaskState::Completed),
    (Act::Refuse, TaskState::Rejected),
    (Act::Sleep, TaskState::TimedOut),
];

fn play(dispute: Dispute, from: TaskState, review: Act, disturbance: Disturbance) -> (World, TaskId) {
    let script = Script { review, ..Script::default() };
    let (mut world, task) = at(&propensity("t1"), script, from);
    let filed = filing(&task, dispute, &[1]);
    world.challenge(&filed).unwrap();
    assert_eq!(world.challenge(&filed), Ok(vec![]), "R209: a repetition");
    assert_eq!(world.task_state(&task), Some(TaskState::Challenged));
    world.run(disturbance);
    (world, task)
}

/// R038, R039, R101, R137, R142, R143, R176, R237: a result that stands is settled, a wrong one is rejected and refunded, one
/// that nobody judges times out; nothing is left reserved, locked or owed, and nothing of a wrong result is paid.
#[test]
fn every_review_ends_its_task_and_leaves_nothing_behind() {
    for (dispute, from) in DISPUTES {
        for (review, ending) in REVIEWS {
            let (world, task) = play(dispute, from, review, Disturbance::default());
            assert_eq!(world.task_state(&task), Some(ending), "{dispute:?} {from:?} {review:?}");
            let steps = world.state.challenges[&(task, 1)].steps.iter().map(|(state, _)| state.as_str());
            let steps: Vec<_> = steps.collect();
            let end: &[_] = match review {
                Act::Refuse => &["confirmed", "approved", "penalty_recorded"],
                Act::Serve | Act::Mumble | Act::Sleep => &["not_confirmed", "closed_without_penalty"],
            };
            assert_eq!(steps, [&["opened", "reviewing"], end].concat());
            assert_nothing_is_left(&world);
            let paid = world.state.epochs.values().any(|epoch| !epoch.settled.is_empty());
            assert_eq!(paid, ending == TaskState::Completed);
        }
    }
}

/// R135, R209, R217: twice, and with a crash before every step, a challenged training ends where it ends in calm.
#[test]
fn a_review_survives_repetition_and_crashes() {
    for (dispute, from) in DISPUTES {
        for (review, _) in REVIEWS {
            let (calm, _) = play(dispute, from, review, Disturbance::default());
            for disturbance in [
                Disturbance { twice: true, ..Disturbance::default() },
                Disturbance { crash_always: true, ..Disturbance::default() },
            ] {
                let (world, _) = play(dispute, from, review, disturbance);
                assert_eq!(to_bytes(&world.state), to_bytes(&calm.state), "{dispute:?} {from:?} {review:?}");
            }
        }
    }
}

/// R142: while a result is disputed its time stands still, and afterwards it has what it had left.
#[test]
fn a_dispute_stops_the_time_of_its_task() {
    let silent = Script { review: Act::Sleep, ..Script::default() };
    let (mut world, task) = at(&campaign("c1"), silent, TaskState::AwaitingSettlement);
    let Stage::AwaitingSettlement { final_at, .. } = world.task(&task).stage else { panic!() };
    world.now = world.now.plus(4_000);
    let left = final_at.0 - world.now.0;
    world.challenge(&filing(&task, Dispute::Evidence, &[])).unwrap();
    world.advance(final_at.plus(1));
    assert_eq!(world.task_state(&task), Some(TaskState::Challenged), "not final while it is disputed");
    let found = world.found(&task, true);
    world.order(&found).unwrap();
    let Stage::AwaitingSettlement { final_at, .. } = world.task(&task).stage else { panic!() };
    assert_eq!(final_at, world.now.plus(left));
    assert_eq!(world.order(&found), Ok(vec![]), "a late finding is a repetition");
}

/// R139: any registered actor may dispute, and nobody else.
#[test]
fn who_may_not_act_may_not_dispute() {
    let (mut world, task) = at(&campaign("c1"), Script::default(), TaskState::AwaitingSettlement);
    for name in ["nobody", "banned"] {
        let filed = Filing { challenger: actor(name), ..filing(&task, Dispute::Evidence, &[]) };
        assert_eq!(world.challenge(&filed), Err(Code::Forbidden), "{name}");
    }
    for name in ["verifier", "executor-b", "mute"] {
        let filed = Filing { challenger: actor(name), ..filing(&task, Dispute::Evidence, &[]) };
        assert!(world.clone().challenge(&filed).is_ok(), "{name}");
    }
}

/// R140: what is filed has its limits, and is about something that there is.
#[test]
fn a_filing_has_limits() {
    let (mut world, task) = at(&propensity("t1"), Script::default(), TaskState::AwaitingSettlement);
    let good = filing(&task, Dispute::Round(5), &[1, 2]);
    let changed = |change: fn(&mut Filing)| {
        let mut filing = good.clone();
        change(&mut filing);
        filing
    };
    let bad = [
        changed(|filing| filing.grounds.clear()),
        changed(|filing| filing.grounds = "  \n".to_owned()),
        changed(|filing| filing.grounds = "ü".repeat(GROUNDS_CHARS_MAX + 1)),
        changed(|filing| filing.exhibits.reverse()),
        changed(|filing| filing.exhibits = vec![Digest::ZERO; 2]),
        changed(|filing| filing.exhibits = (0..=EXHIBITS_MAX as u8).map(|byte| Digest([byte; 32])).collect()),
        changed(|filing| filing.dispute = Dispute::Round(0)),
        changed(|filing| filing.dispute = Dispute::Round(6)),
    ];
    for filing in bad {
        assert_eq!(world.challenge(&filing), Err(Code::Malformed), "{filing:?}");
    }
    let unknown = Filing { task: TaskId(Digest::ZERO), ..good.clone() };
    assert_eq!(world.challenge(&unknown), Err(Code::NotFound));
    let longest = changed(|filing| filing.grounds = "ü".repeat(GROUNDS_CHARS_MAX));
    assert!(world.challenge(&longest).is_ok());
    let (mut world, task) = at(&campaign("c1"), Script::default(), TaskState::AwaitingSettlement);
    assert_eq!(world.challenge(&filing(&task, Dispute::Round(1), &[])), Err(Code::Malformed));
}

/// R038: before there is a result, after it is final, and while it is under a review, nothing can be disputed.
#[test]
fn a_result_is_disputed_between_its_aggregate_and_its_end() {
    let (mut early, task) = at(&campaign("c1"), Script::default(), TaskState::Dispatched);
    let filed = filing(&task, Dispute::Evidence, &[]);
    assert_eq!(early.challenge(&filed), Err(Code::NotChallengeable), "there is no result");
    let (mut world, task) = at(&campaign("c1"), Script::default(), TaskState::AwaitingSettlement);
    let mut late = world.clone();
    late.now = late.task(&task).timer().unwrap();
    assert_eq!(late.challenge(&filed), Err(Code::NotChallengeable), "at its end, before time was ordered");
    late.run(Disturbance::default());
    assert_eq!(late.challenge(&filed), Err(Code::NotChallengeable), "never after completed");
    world.challenge(&filed).unwrap();
    let other = filing(&task, Dispute::Evidence, &[7]);
    assert_eq!(world.challenge(&other), Err(Code::NotChallengeable), "under a review");
}

/// R138: the same dispute is opened again with something new only, and not for ever.
#[test]
fn a_dispute_is_reopened_with_something_new() {
    let (mut world, task) = at(&campaign("c1"), Script::default(), TaskState::AwaitingSettlement);
    let file = |world: &mut World, exhibits: &[u8]| {
        let filed = filing(&task, Dispute::Evidence, exhibits);
        world.challenge(&filed).map(|events| events.len())
    };
    let settle = |world: &mut World| {
        let found = world.found(&task, true);
        world.order(&found).unwrap();
    };
    assert!(file(&mut world, &[1]).is_ok());
    settle(&mut world);
    let again = Filing { grounds: "once more".to_owned(), ..filing(&task, Dispute::Evidence, &[1]) };
    assert_eq!(world.challenge(&again), Err(Code::NothingNew));
    assert_eq!(file(&mut world, &[]), Err(Code::NothingNew));
    for exhibit in 2..=u8::try_from(FILINGS_PER_TASK_MAX).unwrap() {
        assert!(file(&mut world, &[1, exhibit]).is_ok());
        settle(&mut world);
    }
    assert_eq!(file(&mut world, &[9]), Err(Code::ChallengeLimit));
    let known = &world.state.challenges[&(task, 1)];
    assert_eq!((known.filings.len(), known.rulings.len()), (4, 4));
    let reopened = known.steps.iter().filter(|(state, _)| *state == ChallengeState::Reopened).count();
    assert_eq!(reopened, 3);
    world.run(Disturbance::default());
    assert_eq!(world.task_state(&task), Some(TaskState::Completed));
    assert_nothing_is_left(&world);
}

/// A training whose third round is disputed.
fn disputed_round() -> (World, TaskId) {
    let (mut world, task) = at(&propensity("t1"), Script::default(), TaskState::AwaitingSettlement);
    world.challenge(&filing(&task, Dispute::Round(3), &[])).unwrap();
    (world, task)
}

/// R134, R135, R195: a finding without a majority, one that answers another filing and one that answers nothing are not
/// believed; the recorded round proves nothing about itself.
#[test]
fn findings_that_do_not_count() {
    let (mut world, task) = disputed_round();
    let good = world.finding(&task, false);
    let Command::RecordFinding { mut finding } = world.endorsed(good.clone()) else { panic!() };
    finding.endorsements.clear();
    let alone = world.order(&Command::RecordFinding { finding });
    assert_eq!(alone.map_err(|refusal| refusal.code), Err(Code::Undecided));
    for other in [Finding { challenge: 2, ..good.clone() }, Finding { filing: 2, ..good.clone() }] {
        let other = world.endorsed(other);
        assert_eq!(world.order(&other), Ok(vec![]));
    }
    let recorded = world.state.rounds[&(task, 3)].clone();
    let elsewhere = world.replay(&task, 2, true);
    let with = |replay: Replay| world.endorsed(Finding { replay, ..good.clone() });
    let none = [Replay::None, Replay::Computed(recorded.clone()), Replay::Computed(elsewhere)].map(with);
    let mixed = Round { slices: recorded.slices, ..world.replay(&task, 3, true) };
    let mixed = with(Replay::Computed(mixed));
    for command in none {
        let refused = world.order(&command).map_err(|refusal| refusal.code);
        assert_eq!(refused, Err(Code::Malformed));
    }
    assert!(world.order(&mixed).is_err(), "the recorded slices under another aggregate");
    assert_eq!(world.task_state(&task), Some(TaskState::Challenged));
    let good = world.endorsed(good);
    world.order(&good).unwrap();
    assert_eq!(world.task_state(&task), Some(TaskState::Rejected));
    let rulings = &world.state.challenges[&(task, 1)].rulings;
    assert_eq!(*rulings, [Ruling::Confirmed(Code::ReplayDiffers)]);
}

fn refusal(task: &TaskId, round: u32, name: &str) -> SignedReplayRefusal {
    key::<Vault>(name).sign(ReplayRefusal { task: *task, round, vault: vault(name) })
}

/// R135: on other records, or when a Vault of the round signs that it cannot, nothing can be said against the result.
#[test]
fn what_cannot_be_repeated_stands() {
    let (world, task) = disputed_round();
    let good = world.finding(&task, true);
    let ruled = |replay: Replay| {
        let mut world = world.clone();
        let command = world.endorsed(Finding { replay, ..good.clone() });
        world.order(&command).map_err(|refusal| refusal.code)?;
        Ok((world.task_state(&task), world.state.challenges[&(task, 1)].rulings.clone()))
    };
    let known = world.task(&task);
    let position = world.state.position_at(known, 3).unwrap();
    let mut other = world.replay(&task, 3, false);
    let body = SliceHeader { input_root: Digest([3; 32]), ..other.slices[0].body.clone() };
    other.slices[0] = signed_slice(&known.envelope, &position, body);
    let upheld =
        Ok((Some(TaskState::AwaitingSettlement), vec![Ruling::NotConfirmed(Dismissal::NotRepeatable)]));
    assert_eq!(ruled(Replay::Computed(other)), upheld);
    assert_eq!(ruled(Replay::Refused(refusal(&task, 3, "vault-b"))), upheld);
    let mut forged = refusal(&task, 3, "vault-b");
    forged.body.vault = vault("vault-a");
    for wrong in [refusal(&task, 2, "vault-b"), refusal(&task, 3, "vault-s"), forged] {
        assert_eq!(ruled(Replay::Refused(wrong)), Err(Code::Malformed));
    }
}

/// R140, R141: whoever made what is under review hands it to the next master, and says nothing against the task by that.
#[test]
fn a_master_does_not_review_its_own_work() {
    let mut world = World::of_three(Script::default());
    world.submit(&campaign("c1"), PLENTY).unwrap();
    let task = campaign("c1").task();
    while world.task_state(&task) != Some(TaskState::AwaitingSettlement) {
        assert!(world.step(false));
    }
    world.challenge(&filing(&task, Dispute::Evidence, &[])).unwrap();
    let own = failure(&master(1), &task, Step::Review, Code::Forbidden);
    world.order(&own).unwrap();
    assert_eq!(world.state.leases[&Effect::Review(task)].runner, master(2));
    assert_eq!(world.order(&own), Ok(vec![]), "it no longer holds it");
    assert_eq!(world.task_state(&task), Some(TaskState::Challenged));
    world.replace(master(2));
    world.run(Disturbance::default());
    assert_eq!(world.task_state(&task), Some(TaskState::Completed));
    assert_nothing_is_left(&world);
}
