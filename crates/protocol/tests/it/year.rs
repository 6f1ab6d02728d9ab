//! A year of a network: tasks that end in every way, challenges, policies, meanings and programs that come and go, day after day; and all of it again
//! from its journal (R035, R041, R135, R149, R158, R168, R173, R188, R189, R190, R192, R217).
//!
//! `SYMPHONY_YEAR_TASKS` sets how many tasks, beyond some ten thousand of them in more years than one; what the run prints is in
//! `docs/src/figures.md`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Serialize;
use symphony_protocol::admission::explain;
use symphony_protocol::artifact::challenge::{Dispute, Filing};
use symphony_protocol::governance::change::Change;
use symphony_protocol::governance::epoch::Calendar;
use symphony_protocol::governance::log::replay;
use symphony_protocol::governance::meaning::between;
use symphony_protocol::governance::semantics::{Attribute, AttributeLifecycle, Semantics};
use symphony_protocol::lifecycle::{Stage, Task, TaskState};
use symphony_protocol::machine::{State, decide, evolve};
use symphony_protocol::settlement::epoch::{differences, owed, recompute};
use symphony_protocol::settlement::payout::check_statement;
use symphony_types::amount::{SYM_UNIT, Sym};
use symphony_types::canonical::to_bytes;
use symphony_types::digest::Digest;
use symphony_types::id::{Measurement, PolicyVersion, SemanticVersion, TaskId};
use symphony_types::time::{DAY_MS, OrderedMillis};

use crate::council::{activate, register, revoke, tasks};
use crate::flow::assert_nothing_is_left;
use crate::parse;
use crate::rounds::propensity;
use crate::stage::{PLENTY, START, actor, attribute, campaign, lock, policy};
use crate::world::{Act, Script, World};

/// The same numbers in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// A network whose epochs are days.
fn daily() -> World {
    let mut world = World::new(Script::default());
    let mut governance = crate::world::governance(world.script.course.environment);
    let mut founded = policy();
    founded.epoch_ms = DAY_MS;
    governance.calendar = Calendar::new(PolicyVersion(1), DAY_MS);
    governance.policies.insert(PolicyVersion(1), founded);
    world.state = State::genesis(governance);
    world.watched = false;
    world
}

/// What everybody does at a task: their duty, mostly.
fn script(random: &mut Random) -> Script {
    let all = Script::default();
    let [serve, refuse, mumble, sleep] = [Act::Serve, Act::Refuse, Act::Mumble, Act::Sleep];
    match random.below(40) {
        0 => Script { prepare: [refuse, serve, serve], ..all },
        1 => Script { prepare: [refuse, sleep, serve], ..all },
        2 => Script { slice: [serve, mumble, serve], ..all },
        3 => Script { slice: [sleep, mumble, serve], ..all },
        4 => Script { aggregate: refuse, ..all },
        5 => Script { aggregate: sleep, ..all },
        6 => Script { verify: refuse, ..all },
        7 => Script { verify: sleep, ..all },
        8 => Script { review: refuse, ..all },
        9 => Script { review: sleep, ..all },
        10 => Script { dividends: [refuse, sleep, serve], ..all },
        _ => all,
    }
}

/// What the council decides in a month, from the first on.
fn decided(world: &World, month: u64) -> Change {
    let measurement = Measurement(Digest::of("test/program", &(month / 4)));
    let amended = |change: &dyn Fn(&mut Semantics)| {
        let (_, last) = world.state.governance.meanings.last();
        let mut next = last.clone();
        change(&mut next);
        let version = SemanticVersion(last.version.0 + 1);
        Change::AmendMeaning { version, amendment: Box::new(between(last, &next)) }
    };
    let tier = attribute("commerce.tier");
    let lived =
        |next: &mut Semantics, lifecycle| next.attributes.get_mut(&tier).unwrap().lifecycle = lifecycle;
    match month {
        1 => register(measurement),
        2 => activate(Measurement(Digest::of("test/program", &0_u64))),
        3 => revoke(Measurement(Digest::of("test/program", &0_u64))),
        4 => amended(&|next| {
            let brand = next.attributes[&attribute("commerce.brand")].clone();
            let registered = Attribute { lifecycle: AttributeLifecycle::Registered, ..brand };
            next.attributes.insert(tier.clone(), registered);
        }),
        5 => amended(&|next| lived(next, AttributeLifecycle::Active)),
        6 => amended(&|next| lived(next, AttributeLifecycle::Deprecated)),
        7 => amended(&|next| lived(next, AttributeLifecycle::Retired)),
        _ => {
            let (_, last) = world.state.governance.calendar.last();
            let mut next = world.state.governance.policy_of(last.version).unwrap().clone();
            next.fees.base = Sym(next.fees.base.0 + SYM_UNIT);
            next.epoch_ms = DAY_MS - (month % 2) * (DAY_MS / 10);
            Change::AdoptPolicy { version: PolicyVersion(last.version.0 + 1), policy: Box::new(next) }
        }
    }
}

/// Lets time pass, and everybody do what is due by then.
fn pass(world: &mut World, until: OrderedMillis) {
    loop {
        while world.step(false) {}
        match world.state.timer().filter(|due| *due <= until) {
            Some(due) => drop(world.advance(due.max(world.now))),
            None => break,
        }
    }
    world.now = world.now.max(until);
    world.expire();
}

/// One task as the script says, and a challenge where it may be.
fn one(world: &mut World, number: u64, random: &mut Random) -> Option<TaskId> {
    let name = format!("task-{number}");
    if number % 11 == 3 {
        let mut ticket = parse::ticket(&name);
        ticket.expires = world.now.plus(DAY_MS);
        world.order(&parse::submission(ticket)).unwrap();
        while world.step(false) {}
        return None;
    }
    let request = if number % 199 == 7 { propensity(&name) } else { campaign(&name) };
    let mut fact = lock(&request, PLENTY);
    fact.expires = world.now.plus(30 * DAY_MS);
    world.locked.insert(fact.lock, PLENTY);
    let submission = world.submission(&request, fact);
    // The same request once more, and its answer, change nothing (R209).
    for _ in 0..=random.below(2) {
        world.order(&submission).unwrap();
    }
    while world.step(false) {}
    let task = request.task();
    let awaits = |world: &World| {
        world.state.tasks.get(&task).is_some_and(|task| task.state() == TaskState::AwaitingSettlement)
    };
    if random.below(25) == 0 && awaits(world) {
        let filing = Filing {
            task,
            challenger: actor("operator-a"),
            dispute: Dispute::Evidence,
            result: Digest::ZERO,
            grounds: "the transcript gives other people".to_owned(),
            exhibits: vec![],
        };
        world.challenge(&filing).unwrap();
        while world.step(false) {}
    }
    Some(task)
}

/// R149, R158, R168, R173: whoever has what was settled computes the payout of every epoch again, to the last base unit.
fn assert_epochs_are_computed_again(state: &State) {
    let (mut waits, mut settled) = (0, 0);
    for epoch in state.epochs.keys() {
        let record = state.epoch_record(*epoch).unwrap();
        let anchors = &record.instructions.anchors;
        let settlements: Vec<_> = anchors.iter().map(|(task, _)| state.settlement(task).unwrap()).collect();
        for (settlement, (task, root)) in settlements.iter().zip(anchors) {
            assert_eq!((settlement.task(), settlement.root()), (*task, *root));
            assert_eq!(settlement.sound(&state.governance), Ok(()), "{task} of epoch {epoch}");
        }
        let owed = owed(&record, &settlements);
        let again = recompute(&record, &settlements, &owed).unwrap();
        assert_eq!(differences(&again, &record.instructions), Vec::<&str>::new(), "epoch {epoch}");
        for statement in &record.statements {
            let account = owed.get(&statement.body.vault).cloned().unwrap_or_default();
            check_statement(&state.governance, *epoch, &account, statement).unwrap();
        }
        waits += record.waited.len();
        settled += settlements.len();
    }
    assert!(settled > 0 && waits > 0, "{settled} settled, {waits} waited");
}

#[test]
fn a_year_replays_to_the_same_state() {
    let tasks = std::env::var("SYMPHONY_YEAR_TASKS").map_or(800, |count| count.parse().unwrap());
    let (mut world, mut random, played) = (daily(), Random(1), Instant::now());
    let genesis = world.state.clone();
    let (year, mut months, mut asked) = ((365 * DAY_MS).max(tasks * TASK_MS), 0, Vec::new());
    for number in 0..tasks {
        let at = START.plus(year / tasks * number);
        // Some epochs end while Vaults do not state their dividends.
        world.script = match number % 9 {
            4 => Script { dividends: [Act::Refuse, Act::Sleep, Act::Serve], ..Script::default() },
            _ => Script::default(),
        };
        pass(&mut world, at);
        while months < number * 12 / tasks {
            months += 1;
            let change = decided(&world, months);
            tasks::decide(&mut world, months, change);
            // Whoever starts now begins from what is stored.
            world.crash();
        }
        world.script = script(&mut random);
        asked.extend(one(&mut world, number, &mut random));
        // Who sleeps does so until it is too late.
        let later = world.now.plus(HALF_AN_HOUR_MS);
        pass(&mut world, later);
    }
    world.script = Script::default();
    pass(&mut world, START.plus(year + 60 * DAY_MS));
    assert_nothing_is_left(&world);

    let governance = &world.state.governance;
    let mut ended = BTreeMap::<_, u64>::new();
    for task in &asked {
        let Some(known) = world.state.tasks.get(task) else { continue };
        *ended.entry(known.state().as_str()).or_default() += 1;
        let envelope = &known.envelope;
        let semantics = governance.semantics_of(envelope.versions.semantic).unwrap();
        assert!(explain::path(semantics, &envelope.plan).is_ok(), "{task}");
        if let Stage::Completed { context, .. } = &known.stage {
            assert_eq!(context.epoch, governance.epoch_of(context.finalized_at), "{task}");
        }
    }
    assert!(
        ["completed", "rejected", "timed_out"].iter().all(|state| ended.contains_key(state)),
        "{ended:?}"
    );
    assert_eq!(governance.meanings.last().1.version, SemanticVersion(5));
    assert!(governance.calendar.last().1.version >= PolicyVersion(4));
    let entries: Vec<_> = world.state.proposals.log.entries().cloned().collect();
    assert_eq!(&replay(&genesis.governance, &entries).unwrap(), governance);

    println!("{tasks} tasks are played in {:?}", played.elapsed());
    assert_epochs_are_computed_again(&world.state);
    let (began, mut hashing) = (Instant::now(), Duration::ZERO);
    let mut again = genesis;
    for (at, order, events) in &world.journal {
        let decided = decide(&again, *at, order).unwrap();
        assert_eq!(&decided, events);
        decided.iter().for_each(|event| evolve(&mut again, *at, event));
        let begun = Instant::now();
        again.digest();
        hashing += begun.elapsed();
    }
    let took = began.elapsed();
    assert_eq!(again.digest(), world.state.digest());
    let (bytes, orders) = (to_bytes(&again).len(), world.journal.len());
    println!("{tasks} tasks in {orders} orders, replayed in {took:?}, of it hashing {hashing:?}; {ended:?}");
    let each = |bytes: usize| bytes / usize::try_from(tasks).unwrap();
    println!(
        "{bytes} bytes of state, {} a task: {:?}",
        each(bytes),
        parts(&again).map(|(part, of)| (part, each(of)))
    );
}

/// Where the canonical bytes of a state are.
fn parts(state: &State) -> [(&'static str, usize); 10] {
    fn of<T: Serialize>(part: &T) -> usize {
        to_bytes(part).len()
    }
    let tasks = |part: fn(&Task) -> usize| state.tasks.values().map(part).sum();
    let completed = |part: fn(&Stage) -> usize| state.tasks.values().map(|task| part(&task.stage)).sum();
    [
        ("envelopes", tasks(|task| of(&task.envelope))),
        ("receipts", tasks(|task| of(&task.receipts))),
        (
            "slices",
            completed(|stage| if let Stage::Completed { slices, .. } = stage { of(slices) } else { 0 }),
        ),
        (
            "aggregates and verdicts",
            completed(|stage| match stage {
                Stage::Completed { aggregate, verdict, .. } => of(aggregate) + of(verdict),
                _ => 0,
            }),
        ),
        (
            "settlements",
            completed(|stage| if let Stage::Completed { context, .. } = stage { of(context) } else { 0 }),
        ),
        ("requests", of(&state.requests)),
        ("parses", of(&state.parses)),
        ("rounds", of(&state.rounds)),
        ("challenges and penalties", of(&state.challenges) + of(&state.penalties)),
        ("epochs", of(&state.epochs)),
    ]
}

/// The shortest time from one task to the next.
const TASK_MS: u64 = 45 * 60_000;

/// Longer than any deadline, and shorter than the time between two tasks.
const HALF_AN_HOUR_MS: u64 = 30 * 60_000;
