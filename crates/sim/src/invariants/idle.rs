//! After a tick the next one lies ahead: a host never spins.

use super::{Invariant, Seen};

pub(super) struct Idle;

impl Invariant for Idle {
    fn name(&self) -> &'static str {
        "idle"
    }

    fn check(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        let host = seen.stepped;
        let Some(replica) = host.replica.as_ref().filter(|_| seen.ticked && host.writing.is_none()) else {
            return Ok(());
        };
        let (now, due) = (host.moment(seen.now).elapsed, replica.deadline());
        if due > now {
            return Ok(());
        }
        Err(format!("host {} wants a tick at {due} after one at {now}", host.id))
    }
}
