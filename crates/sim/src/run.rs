//! One run from its seed to its verdict: faults, then calm, then everybody must agree and go on (R196, R197).

use std::panic::{AssertUnwindSafe, catch_unwind};

use symphony_consensus::quorum::conflict::Conflict;
use symphony_types::digest::Digest;

use crate::invariants::Violation;
use crate::scenario::{CALM_MS, Scenario, Theme};
use crate::world::World;

/// After the faults, everybody stands at the same height within this time. **Units**: milliseconds.
const CONVERGE_MS: u64 = 15_000;
/// And new commands are answered within this one.
const LIVE_MS: u64 = 6_000;

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Its scenario.
    pub scenario: Scenario,
    /// Stands for everything that happened.
    pub trace: Digest,
    /// Steps of the trace.
    pub steps: u64,
    /// The height at the end.
    pub height: u64,
    /// Requests that were answered, and those of them that were carried out.
    pub answered: (usize, usize),
    /// Every proof of a double vote.
    pub accused: Vec<Conflict>,
    /// States that hosts took from others.
    pub joined: u64,
    /// What broke.
    pub violation: Option<Violation>,
    /// The last lines of the trace, if they were asked for.
    pub lines: Vec<String>,
}

/// Runs a scenario to its end or to the first broken invariant.
pub fn run(scenario: Scenario, readable: bool) -> Outcome {
    let mut world = World::new(scenario, readable);
    let verdict = catch_unwind(AssertUnwindSafe(|| play(&mut world)));
    let violation = match verdict {
        Ok(verdict) => verdict.err(),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Some(Violation { invariant: "panic", what: text.unwrap_or_default() })
        }
    };
    Outcome {
        trace: world.trace.digest(),
        steps: world.trace.len(),
        height: world.hosts.iter().map(crate::host::Host::height).max().unwrap_or(0),
        answered: world.workload.counts(),
        accused: world.accused,
        joined: world.joined,
        violation,
        lines: world.trace.lines().map(str::to_owned).collect(),
        scenario: world.scenario,
    }
}

fn play(world: &mut World) -> Result<(), Violation> {
    if world.scenario.theme == Theme::TwoDown {
        two_down(world)?;
    }
    world.run_until(CALM_MS)?;
    world.calm()?;
    let quiet = settle(world, world.now + CONVERGE_MS)?;
    // The network works: what is asked now is answered soon.
    world.busy = true;
    let before = world.workload.counts().0;
    world.run_until(quiet + 1_000)?;
    world.busy = false;
    world.run_until(quiet + LIVE_MS)?;
    if world.workload.counts().0 <= before || !world.workload.open().is_empty() {
        return Err(broken("liveness", format!("requests {:?} are not answered", world.workload.open())));
    }
    settle(world, world.now + CONVERGE_MS)?;
    at_the_end(world)
}

/// With two of three down nothing is decided and nothing is lost; see the faults of the theme.
fn two_down(world: &mut World) -> Result<(), Violation> {
    // What was on its way when they went down has arrived by now.
    world.run_until(2_500)?;
    let heights: Vec<_> = world.hosts.iter().map(crate::host::Host::height).collect();
    world.run_until(4_400)?;
    let later: Vec<_> = world.hosts.iter().map(crate::host::Host::height).collect();
    if heights == later {
        return Ok(());
    }
    Err(broken("two down", format!("decided alone: {heights:?} became {later:?}")))
}

/// Lets everything come to rest; gives the moment at which all requests are answered and all hosts are level.
fn settle(world: &mut World, end: u64) -> Result<u64, Violation> {
    world.busy = false;
    while world.now < end {
        world.run_until(world.now + 50)?;
        if world.workload.open().is_empty() && level(world) && world.settled() {
            return Ok(world.now);
        }
    }
    let heights: Vec<_> = world.hosts.iter().map(crate::host::Host::height).collect();
    let open = world.workload.open();
    Err(broken(
        "convergence",
        format!("heights {heights:?}, keys known: {}, open: {open:?}", world.settled()),
    ))
}

fn level(world: &World) -> bool {
    let first = world.hosts[0].height();
    world.hosts.iter().all(|host| host.height() == first && host.writing.is_none() && host.replica.is_some())
}

/// Everybody has the same state, and it has all that clients were told.
fn at_the_end(world: &World) -> Result<(), Violation> {
    let states: Vec<_> =
        world.hosts.iter().filter_map(|host| host.replica.as_ref()).map(|r| r.chain()).collect();
    let Some((head, state)) = states.first() else { return Err(broken("end", "nobody is up".to_owned())) };
    if states.len() != 3 || states.iter().any(|(other, books)| other != head || books != state) {
        return Err(broken("end", "the states differ".to_owned()));
    }
    match world.workload.done().find(|request| !state.done.contains(request)) {
        Some(request) => Err(broken("end", format!("request {request} was told done and is not"))),
        None => Ok(()),
    }
}

fn broken(invariant: &'static str, what: String) -> Violation {
    Violation { invariant, what }
}
