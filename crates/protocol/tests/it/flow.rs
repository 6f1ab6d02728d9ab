//! A task from request to payout: every step twice, failed at every step, crashed at every step; afterwards
//! nothing is left reserved, locked or owed.

use symphony_protocol::artifact::*;
use symphony_protocol::lifecycle::{Stage, TaskState};
use symphony_protocol::machine::*;
use symphony_protocol::settlement::payout::EpochStage;
use symphony_types::canonical::to_bytes;
use symphony_types::catalogue::Code;
use symphony_types::id::TaskId;
use symphony_types::key::{Payout, Verifier};

use crate::attest::appraise;
use crate::stage::{PLENTY, actor, campaign, key};
use crate::world::{Act, Disturbance, Script, World};

/// Runs one campaign by a script to its very end.
pub(crate) fn play(script: Script, disturbance: Disturbance) -> (World, TaskId) {
    let request = campaign("c1");
    let mut world = World::new(script);
    world.submit(&request, PLENTY).unwrap();
    world.run(disturbance);
    (world, request.task())
}

/// R025, R065, R169, R176: no reservation, no lock, no debt, no open epoch.
pub(crate) fn assert_nothing_is_left(world: &World) {
    assert!(world.reserved.is_empty(), "reserved: {:?}", world.reserved);
    assert!(world.locked.is_empty(), "locked: {:?}", world.locked);
    assert_eq!(outstanding(&world.state), vec![]);
    assert!(world.state.leases.is_empty(), "leased: {:?}", world.state.leases);
    assert!(world.owed.is_empty());
    assert_eq!(world.state.timer(), None);
    assert_eq!(world.state.open(), 0);
    for (epoch, account) in &world.state.epochs {
        assert!(matches!(account.stage, EpochStage::Confirmed(_)), "epoch {epoch}: {account:?}");
    }
    for (vault, account) in &world.state.contributors {
        assert_eq!(account.waiting, world.waiting.get(vault).copied().unwrap_or_default());
    }
}

/// Scripts that end in every way there is, with the state that the task ends in; `None`: it never is one.
pub(crate) fn endings() -> Vec<(&'static str, Script, Option<TaskState>)> {
    let all = Script::default();
    let [serve, refuse, mumble, sleep] = [Act::Serve, Act::Refuse, Act::Mumble, Act::Sleep];
    let completed = Some(TaskState::Completed);
    let rejected = Some(TaskState::Rejected);
    let timed_out = Some(TaskState::TimedOut);
    vec![
        ("happy", all, completed),
        ("suppressed", Script { outcome: Outcome::Suppressed, ..all }, completed),
        ("one vault refuses", Script { prepare: [serve, refuse, serve], ..all }, completed),
        ("one vault is lost", Script { prepare: [mumble, serve, serve], ..all }, completed),
        ("one slice is lost", Script { slice: [serve, serve, mumble], ..all }, completed),
        ("no dividends", Script { dividends: [sleep; 3], ..all }, completed),
        ("dividends wait", Script { dividends: [refuse, sleep, serve], ..all }, completed),
        ("quorum unprepared", Script { prepare: [serve, refuse, sleep], ..all }, None),
        ("all mumble", Script { prepare: [mumble; 3], ..all }, None),
        ("quorum broken", Script { slice: [serve, refuse, mumble], ..all }, rejected),
        ("all slices refused", Script { slice: [refuse; 3], ..all }, rejected),
        ("aggregate refused", Script { aggregate: refuse, ..all }, rejected),
        ("over the cap", Script { outcome: Outcome::Audience { returned: 5_001 }, ..all }, rejected),
        ("below cardinality", Script { outcome: Outcome::Audience { returned: 49 }, ..all }, rejected),
        ("verdict rejected", Script { verify: refuse, ..all }, rejected),
        ("slices time out", Script { slice: [sleep; 3], ..all }, timed_out),
        ("slices computed, none heard", Script { slice: [mumble; 3], ..all }, timed_out),
        ("aggregate times out", Script { aggregate: sleep, ..all }, timed_out),
        ("verdict times out", Script { verify: sleep, ..all }, timed_out),
    ]
}

/// R034, R165, R173: the campaign ends completed, delivered and paid, by six commands that are about it.
#[test]
fn the_happy_path_takes_six_commands_and_is_paid() {
    let request = campaign("c1");
    let mut world = World::new(Script::default());
    world.submit(&request, PLENTY).unwrap();
    while world.step(false) {}
    assert_eq!(world.task(&request.task()).state(), TaskState::AwaitingSettlement);
    let delivery = Command::RecordDelivery { task: request.task() };
    assert_eq!(world.order(&delivery).unwrap_err().code, Code::ResultNotReady);
    world.advance(world.state.timer().unwrap());
    assert_eq!(world.order(&delivery).unwrap().len(), 1);
    assert_eq!(world.order(&delivery), Ok(vec![]), "R232: delivered once");
    world.run(Disturbance::default());
    let of_the_task = world.commands.iter().filter(|command| {
        !matches!(
            command,
            Command::AdvanceTime | Command::RecordDividends { .. } | Command::RecordPayout { .. }
        )
    });
    assert_eq!(of_the_task.count(), 6);
    let Stage::Completed { delivered_at: Some(_), .. } = world.task(&request.task()).stage else {
        panic!("not completed")
    };
    assert_eq!(world.committed.len(), 3);
    assert_nothing_is_left(&world);
}

/// R025, R036, R037, R107, R108, R125, R176: every way to end leaves nothing behind.
#[test]
fn every_ending_leaves_nothing_behind() {
    for (name, script, ending) in endings() {
        let (world, task) = play(script, Disturbance::default());
        assert_eq!(world.state.tasks.get(&task).map(|task| task.state()), ending, "{name}");
        assert_nothing_is_left(&world);
    }
}

/// R209, R171: every effect done twice and every report given twice is as if once, to the byte.
#[test]
fn every_step_twice_is_every_step_once() {
    for (name, script, _) in endings() {
        let (once, _) = play(script, Disturbance::default());
        let (twice, _) = play(script, Disturbance { twice: true, ..Disturbance::default() });
        assert_eq!(to_bytes(&once.state), to_bytes(&twice.state), "{name}");
        assert_nothing_is_left(&twice);
    }
}

/// R102, R172, R217: a master that dies before any step ends where one ends that never died.
#[test]
fn a_crash_at_any_step_changes_nothing() {
    for (name, script, _) in endings() {
        let (calm, _) = play(script, Disturbance::default());
        for step in 0..20 {
            let disturbance = Disturbance { crash_at: Some(step), ..Disturbance::default() };
            let (world, _) = play(script, disturbance);
            assert_eq!(to_bytes(&calm.state), to_bytes(&world.state), "{name}, step {step}");
            assert_nothing_is_left(&world);
        }
        let always = Disturbance { crash_always: true, twice: true, ..Disturbance::default() };
        let (world, _) = play(script, always);
        assert_eq!(to_bytes(&calm.state), to_bytes(&world.state), "{name}, always");
        assert_nothing_is_left(&world);
    }
}

/// R065: what a dead task reserved is released at once, not only at its deadline.
#[test]
fn a_closed_task_releases_at_once() {
    let script = Script { slice: [Act::Serve, Act::Refuse, Act::Refuse], ..Script::default() };
    let mut world = World::new(script);
    world.submit(&campaign("c1"), PLENTY).unwrap();
    while world.step(false) {}
    assert_eq!(world.committed.len(), 1);
    assert!(world.reserved.is_empty());
    assert!(world.now < world.task(&campaign("c1").task()).envelope.execute_by);
}

/// R025: a request whose quorum is not prepared releases at once what the others reserved.
#[test]
fn a_refused_request_releases_at_once() {
    let script = Script { prepare: [Act::Serve, Act::Refuse, Act::Refuse], ..Script::default() };
    let mut world = World::new(script);
    world.submit(&campaign("c1"), PLENTY).unwrap();
    while world.step(false) {}
    assert!(world.reserved.is_empty());
    assert_eq!(world.state.tasks.len(), 0);
}

/// R040, R041: every command of a whole run, at every stage of another: a repetition changes nothing, and what
/// comes too early or too late is refused.
#[test]
fn a_command_out_of_order_has_no_effect() {
    let (finished, _) = play(Script::default(), Disturbance::default());
    let reports: Vec<Command> =
        finished.commands.iter().filter(|command| **command != Command::AdvanceTime).cloned().collect();
    let mut world = World::new(Script::default());
    for next in 0..reports.len() {
        for (at, report) in reports.iter().enumerate().filter(|(at, _)| *at != next) {
            let before = to_bytes(&world.state);
            match world.order(report) {
                Ok(events) => assert!(events.is_empty() && at < next, "{report:?} at step {next}"),
                Err(refusal) => {
                    assert!(at > next, "{report:?} at step {next}");
                    let expected = [Code::NotFound, Code::IllegalTransition, Code::EpochOpen];
                    assert!(expected.contains(&refusal.code), "{refusal}");
                }
            }
            assert_eq!(to_bytes(&world.state), before);
        }
        while !due(&world, &reports[next]) {
            let timer = world.state.timer().unwrap();
            world.advance(timer);
        }
        assert!(!world.order(&reports[next]).unwrap().is_empty());
    }
    world.run(Disturbance::default());
    assert_eq!(to_bytes(&world.state.epochs), to_bytes(&finished.state.epochs));
}

/// Whether the outside owes this report now.
fn due(world: &World, report: &Command) -> bool {
    let owed = outstanding(&world.state);
    match report {
        Command::RecordDividends { .. } => {
            owed.iter().any(|effect| matches!(effect, Effect::CloseDividends(_)))
        }
        Command::RecordPayout { .. } => owed.iter().any(|effect| matches!(effect, Effect::Pay(_))),
        _ => true,
    }
}

/// R040: after the end, any further report is without effect, and a second delivery too.
#[test]
fn nothing_moves_a_finished_task() {
    for (name, script, ending) in endings() {
        let (mut world, _) = play(script, Disturbance::default());
        let before = to_bytes(&world.state);
        for command in world.commands.clone() {
            assert_eq!(world.order(&command), Ok(vec![]), "{name}, {ending:?}: {command:?}");
        }
        assert_eq!(to_bytes(&world.state), before);
    }
}

/// R036, R199: a slice set that comes at its deadline is too late, whatever it holds.
#[test]
fn slices_after_the_deadline_do_not_count() {
    let request = campaign("c1");
    let mut world = World::new(Script::default());
    world.submit(&request, PLENTY).unwrap();
    world.step(false);
    let report = world.perform(&Effect::AssignSlices(request.task())).unwrap();
    world.now = world.task(&request.task()).envelope.execute_by;
    world.order(&report).unwrap();
    assert_eq!(world.task(&request.task()).state(), TaskState::TimedOut);
    world.run(Disturbance::default());
    assert_nothing_is_left(&world);
}

/// R107, R111: slices of another Vault, task, nonce, epsilon or signer do not count towards the quorum.
#[test]
fn foreign_slices_do_not_count() {
    let bend: [fn(&mut SignedSlice); 5] = [
        |slice| slice.body.task = TaskId(symphony_types::digest::Digest::ZERO),
        |slice| slice.body.nonce = symphony_types::digest::Digest::ZERO,
        |slice| slice.body.epsilon = symphony_types::epsilon::Epsilon(1),
        |slice| slice.body.bundle = symphony_types::digest::Digest::ZERO,
        |slice| slice.key = key("vault-c").public(),
    ];
    for (case, bend) in bend.into_iter().enumerate() {
        // Cases that change the content are signed anew, so that the content is what is refused.
        let resign = case < 3;
        let request = campaign("c1");
        let mut world = World::new(Script::default());
        world.submit(&request, PLENTY).unwrap();
        world.step(false);
        let Some(Command::RecordSlices { task, mut slices }) =
            world.perform(&Effect::AssignSlices(request.task()))
        else {
            panic!("no slices")
        };
        slices.truncate(2);
        bend(&mut slices[1]);
        if resign {
            slices[1] = key("vault-b").sign(slices[1].body.clone());
        }
        let refusal = world.order(&Command::RecordSlices { task, slices }).unwrap_err();
        assert_eq!(refusal.code, Code::QuorumBroken, "case {case}");
        assert_eq!(world.task(&task).stage, Stage::Computing, "case {case}");
    }
}

/// R108: a Vault that answers twice counts once.
#[test]
fn a_vault_counts_once() {
    let request = campaign("c1");
    let mut world = World::new(Script::default());
    world.submit(&request, PLENTY).unwrap();
    world.step(false);
    let Some(Command::RecordSlices { task, slices }) = world.perform(&Effect::AssignSlices(request.task()))
    else {
        panic!("no slices")
    };
    let slices = vec![slices[0].clone(), slices[0].clone(), slices[0].clone()];
    assert_eq!(world.order(&Command::RecordSlices { task, slices }).unwrap_err().code, Code::QuorumBroken);
    assert_eq!(world.task(&task).stage, Stage::Computing);
}

/// R118, R133, R205: only the registered verifier's verdict on this very task moves it.
#[test]
fn a_foreign_verdict_is_refused() {
    let request = campaign("c1");
    let mut world = World::new(Script { verify: Act::Sleep, ..Script::default() });
    world.submit(&request, PLENTY).unwrap();
    while world.step(false) {}
    let genuine = world.verdict(&request.task());
    let evidence = world.evidence(&request.task());
    let verdict = symphony_protocol::verification::verdict(&world.state.governance, &evidence, &appraise);
    assert_eq!(verdict.decision, Decision::Accepted);
    let mut as_aggregator = verdict.clone();
    as_aggregator.verifier = actor("aggregator");
    let mut bent = genuine.clone();
    bent.body.decision = Decision::Rejected(Code::ResultRejected);
    let verifier = key::<Verifier>("verifier");
    for forged in [key::<Verifier>("somebody").sign(verdict), verifier.sign(as_aggregator), bent] {
        let refusal = world.order(&Command::RecordVerdict { verdict: forged }).unwrap_err();
        assert_eq!(refusal.code, Code::Forbidden);
    }
    assert_eq!(world.task(&request.task()).state(), TaskState::Verifying);
    assert!(!world.order(&Command::RecordVerdict { verdict: genuine }).unwrap().is_empty());
}

/// R170, R171: only the payout service confirms, and only the batch that was issued.
#[test]
fn a_foreign_confirmation_is_refused() {
    let request = campaign("c1");
    let mut world = World::new(Script::default());
    world.submit(&request, PLENTY).unwrap();
    while !world.owed.iter().any(|effect| matches!(effect, Effect::Pay(_))) {
        if !world.step(false) {
            world.advance(world.state.timer().unwrap());
        }
    }
    let pay = world.owed.iter().find(|effect| matches!(effect, Effect::Pay(_))).unwrap().clone();
    let Some(Command::RecordPayout { confirmation }) = world.perform(&pay) else { panic!("not paid") };
    let forged = key::<Payout>("somebody").sign(confirmation.body.clone());
    let mut other = confirmation.body.clone();
    other.batch = symphony_types::digest::Digest::ZERO;
    let other = key::<Payout>("payout").sign(other);
    for (confirmation, code) in [(forged, Code::Forbidden), (other, Code::BatchConflict)] {
        assert_eq!(world.order(&Command::RecordPayout { confirmation }).unwrap_err().code, code);
    }
    world.run(Disturbance::default());
    assert_nothing_is_left(&world);
}

/// R217: the journal replayed over genesis gives the same bytes, after every single event.
#[test]
fn replay_gives_the_same_state() {
    for (name, script, _) in endings() {
        let (world, _) = play(script, Disturbance::default());
        let mut replayed = World::new(script).state;
        for (at, event) in &world.log {
            let stored: Event = bcs::from_bytes(&to_bytes(event)).unwrap();
            evolve(&mut replayed, *at, &stored);
        }
        assert_eq!(to_bytes(&replayed), to_bytes(&world.state), "{name}");
    }
}

/// R035, R214: every transition says from where, why, in which epoch and when.
#[test]
fn the_trail_of_a_campaign_is_pinned() {
    let (world, _) = play(Script::default(), Disturbance::default());
    let trail: Vec<String> = world
        .log
        .iter()
        .filter_map(|(_, event)| match event {
            Event::TaskTransitioned { from, to, cause, epoch, at, .. } => {
                Some(format!("{} -> {}: {cause:?}, epoch {epoch}, at {}", from.as_str(), to.as_str(), at.0))
            }
            _ => None,
        })
        .collect();
    insta::assert_snapshot!(trail.join("\n"));
}

/// Several campaigns at once do not disturb each other: their ends are what they are alone.
#[test]
fn campaigns_run_beside_each_other() {
    let mut world = World::new(Script::default());
    for number in 0..5 {
        world.submit(&campaign(&format!("c{number}")), PLENTY).unwrap();
    }
    world.run(Disturbance { crash_at: Some(7), ..Disturbance::default() });
    assert!(world.state.tasks.values().all(|task| task.state() == TaskState::Completed));
    assert_eq!(world.committed.len(), 15);
    assert_nothing_is_left(&world);
}
