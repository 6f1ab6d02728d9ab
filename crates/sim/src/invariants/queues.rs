//! What others can make a replica hold is bounded.

use super::{Invariant, Seen};

/// More than any bound of the replica for what others send.
const HELD_LEN_MAX: usize = 16_384;

pub(super) struct Queues;

impl Invariant for Queues {
    fn name(&self) -> &'static str {
        "queues"
    }

    fn check(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        let Some(replica) = seen.stepped.replica.as_ref() else { return Ok(()) };
        let held = replica.held();
        if held <= HELD_LEN_MAX {
            return Ok(());
        }
        Err(format!("host {} holds {held} things of others", seen.stepped.id))
    }
}
