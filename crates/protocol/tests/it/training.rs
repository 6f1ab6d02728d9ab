//! Trainings through the rules (R060, R097-R104, R237): what is admitted and what it costs, round after round under every
//! disturbance, which rounds are refused, what the verifier finds, and who is paid.

mod admission;
mod evidence;
mod flow;
mod refusals;
mod settlement;
mod shared;

use symphony_protocol::artifact::TaskRequest;
use symphony_types::id::TaskId;

use crate::rounds::{Course, propensity};
use crate::stage::PLENTY;
use crate::world::{Disturbance, Script, World};

/// A world in which one training was requested.
fn requested(request: &TaskRequest, script: Script) -> (World, TaskId) {
    let mut world = World::new(script);
    world.submit(request, PLENTY).unwrap();
    (world, request.task())
}

/// Runs a training by a script to its very end.
fn play(request: &TaskRequest, script: Script, disturbance: Disturbance) -> (World, TaskId) {
    let (mut world, task) = requested(request, script);
    world.run(disturbance);
    (world, task)
}

/// A training whose every step succeeds, at the beginning of a round.
fn at_round(round: u32) -> (World, TaskId) {
    let (mut world, task) = requested(&propensity("t1"), Script::default());
    world.train_until(&task, round);
    (world, task)
}

/// A script in which only the rounds are special.
fn course(change: impl FnOnce(&mut Course)) -> Script {
    let mut script = Script::default();
    change(&mut script.course);
    script
}
