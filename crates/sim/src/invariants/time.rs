//! Ordered time never runs backwards, and is not further ahead than the clocks of who may vote allow.

use std::collections::BTreeMap;

use symphony_consensus::quorum::block::Block;
use symphony_types::time::OrderedMillis;

use super::{Invariant, Seen};
use crate::host::PACE;

/// Time of each height that has commands.
#[derive(Default)]
pub(super) struct Time(BTreeMap<u64, OrderedMillis>);

impl Invariant for Time {
    fn name(&self) -> &'static str {
        "time"
    }

    fn check(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        for sealed in seen.decided.iter().flat_map(|commit| &commit.blocks) {
            let Some(block) = Block::from_bytes(&sealed.block) else { continue };
            // A block without a command leaves no trace in the journal, nor its time.
            let before = self.0.range(..sealed.height).next_back().map_or(OrderedMillis(0), |(_, at)| *at);
            if block.at < before {
                return Err(format!("height {} is earlier than the journal before", sealed.height));
            }
            if !block.commands.is_empty() {
                self.0.insert(sealed.height, block.at);
            }
            // The second clock from the top: one of any quorum but the proposer shows no more than it.
            let mut clocks: Vec<_> =
                seen.hosts.iter().filter(|host| host.honest).map(|host| host.clock.wall(seen.now)).collect();
            clocks.sort_unstable();
            let Some(limit) = clocks.iter().rev().nth(usize::from(clocks.len() > 2)) else { continue };
            if block.at > limit.plus(PACE.drift_ms) {
                return Err(format!(
                    "height {} is at {:?}, the clocks show {limit:?}",
                    sealed.height, block.at
                ));
            }
        }
        Ok(())
    }
}
