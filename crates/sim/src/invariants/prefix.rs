//! Equal heights have equal journals and equal states, and a host never goes back (R211, R217).

use std::collections::BTreeMap;

use symphony_consensus::entry::Head;
use symphony_consensus::machine::state_digest;
use symphony_types::digest::Digest;

use super::{Invariant, Seen};

/// The end of the journal and the state at each height that a host stood at.
#[derive(Default)]
pub(super) struct Prefix(BTreeMap<u64, (Head, Digest)>);

impl Invariant for Prefix {
    fn name(&self) -> &'static str {
        "prefix"
    }

    fn check(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        let Some(commit) = seen.durable else { return Ok(()) };
        let (height, host) = (commit.place.height, seen.stepped);
        let here = (commit.head, state_digest(&*commit.state));
        let first = self.0.entry(height).or_insert(here);
        if *first != here {
            return Err(format!(
                "host {} stands at {here:?} at height {height}, another at {first:?}",
                host.id
            ));
        }
        let base = host.disk.base.as_ref().map_or(0, |base| base.place.height);
        let consecutive =
            host.disk.blocks.iter().zip(base + 1..).all(|(sealed, height)| sealed.height == height);
        if !consecutive || host.height() != height {
            return Err(format!("host {} has a gap before height {height}", host.id));
        }
        Ok(())
    }
}
