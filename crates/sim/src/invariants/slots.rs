//! No key signs two values in one slot, whoever asks and however often it restarts (R198).

use std::collections::BTreeMap;

use symphony_consensus::quorum::committee::Step;
use symphony_types::digest::Digest;

use super::{Invariant, Seen};

type Slot = ([u8; 32], (u64, u32, Step));

/// What every key signed in every slot.
#[derive(Default)]
pub(super) struct Slots(BTreeMap<Slot, Option<Digest>>);

impl Invariant for Slots {
    fn name(&self) -> &'static str {
        "slots"
    }

    fn check(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        for given in seen.given {
            let first = *self.0.entry((*given.key.as_bytes(), given.slot)).or_insert(given.block);
            if first != given.block {
                return Err(format!(
                    "{} signed {first:?} and {:?} in {:?}",
                    given.seat, given.block, given.slot
                ));
            }
        }
        Ok(())
    }
}
