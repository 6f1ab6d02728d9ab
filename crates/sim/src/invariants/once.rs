//! No request is carried out twice (R212).

use std::collections::BTreeSet;

use symphony_consensus::quorum::block::Block;

use super::{Invariant, Seen};
use crate::bank::Transfer;

/// Requests of the decided blocks, by height in order.
#[derive(Default)]
pub(super) struct Once {
    height: u64,
    requests: BTreeSet<u64>,
}

impl Invariant for Once {
    fn name(&self) -> &'static str {
        "once"
    }

    fn check(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        for sealed in seen.decided.iter().flat_map(|commit| &commit.blocks) {
            if sealed.height != self.height + 1 {
                continue;
            }
            self.height += 1;
            for transfer in transfers(&sealed.block) {
                if !self.requests.insert(transfer.request) {
                    return Err(format!("request {} is decided again at {}", transfer.request, self.height));
                }
            }
        }
        Ok(())
    }
}

/// The transfers of a block.
pub(super) fn transfers(block: &[u8]) -> Vec<Transfer> {
    let block = Block::from_bytes(block);
    let items = block.into_iter().flat_map(|block| block.commands);
    items.filter_map(|item| crate::bank::read(&item.command)).collect()
}
