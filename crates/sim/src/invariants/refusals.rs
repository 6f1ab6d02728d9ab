//! A host that follows the protocol is refused nothing by its guard, unless a restart made one of them forget.

use symphony_consensus::quorum::guard::Refusal;

use super::{Invariant, Seen};

pub(super) struct Refusals;

impl Invariant for Refusals {
    fn name(&self) -> &'static str {
        "refusals"
    }

    fn check(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        let unexplained = seen.refused.iter().find(|(ask, refusal)| {
            seen.stepped.honest && ask.height > seen.disturbed && *refusal != Refusal::Unreachable
        });
        match unexplained {
            Some((ask, refusal)) => Err(format!("host {} is refused {ask:?}: {refusal}", seen.stepped.id)),
            None => Ok(()),
        }
    }
}
