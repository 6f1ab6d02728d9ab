//! A client is turned down only for what the decided state of that host says.

use symphony_consensus::machine::Machine;
use symphony_consensus::orderer::OrderError;

use super::{Invariant, Seen};
use crate::bank::Bank;

pub(super) struct Justified;

impl Invariant for Justified {
    fn name(&self) -> &'static str {
        "justified"
    }

    fn check(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        let Some(replica) = seen.stepped.replica.as_ref().filter(|_| seen.stepped.honest) else {
            return Ok(());
        };
        for (transfer, answer) in seen.answers {
            let Err(error) = answer else { continue };
            let (head, state) = replica.chain();
            let decided = Bank::decide(&state, head.at, transfer);
            let fits = matches!((error, &decided), (OrderError::Refused(told), Err(due)) if told == due);
            if !fits {
                return Err(format!(
                    "host {} tells {transfer:?}: {error}; the state: {decided:?}",
                    seen.stepped.id
                ));
            }
        }
        Ok(())
    }
}
