//! Nobody is accused of a double vote: guards with all rules make none, whatever their hosts do.

use super::{Invariant, Seen};

pub(super) struct Accused;

impl Invariant for Accused {
    fn name(&self) -> &'static str {
        "accused"
    }

    fn check(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        match seen.accused.first() {
            Some(conflict) => Err(format!("host {} accuses {:?}", seen.stepped.id, conflict)),
            None => Ok(()),
        }
    }
}
