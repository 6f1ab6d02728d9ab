//! Applying a block to a state: what every master does before it votes (R012, R035).

use std::sync::Arc;

use symphony_types::limits::COMMAND_BYTES_MAX;
use symphony_types::time::OrderedMillis;

use super::super::block::{Block, VERSION};
use super::super::committee::Committee;
use super::Placed;
use crate::entry::{EVENTS_BYTES_MAX, Head, decode, encode};
use crate::journal::{Draft, Row};
use crate::machine::Machine;
use crate::orderer::Ordered;

/// The end of the journal and the state there.
pub struct Chain<M: Machine> {
    /// The end of the journal.
    pub head: Head,
    /// The state.
    pub state: Arc<M::State>,
}

/// A block that applies, with everything that deciding it makes durable.
pub struct Staged<M: Machine> {
    /// Canonical bytes of the block.
    pub bytes: Arc<[u8]>,
    /// Its time.
    pub at: OrderedMillis,
    /// Who made it.
    pub proposer: super::Seat,
    /// Journal entries.
    pub rows: Vec<Row>,
    /// What is ordered.
    pub ordered: Vec<Placed<M>>,
    /// Journal and state after it.
    pub chain: Chain<M>,
    /// Who votes after it.
    pub committee: Committee,
}

/// Why a block does not apply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Not a block, or one over its limits.
    #[error("not a block within its limits")]
    Malformed,
    /// Of a version whose rules this program does not have.
    #[error("block version {0} is not in force")]
    Version(u32),
    /// For another height, or on another state.
    #[error("the block stands elsewhere")]
    Misplaced,
    /// Earlier than the state that it stands on.
    #[error("the block is earlier than its parent")]
    Time,
    /// A rotation that the committee does not admit, or a maker without a seat.
    #[error("a rotation is not admitted")]
    Rotation,
    /// A command is refused, changes nothing, or is over its limits.
    #[error("command {index} does not belong there: {why}")]
    Command {
        /// Its place in the block.
        index: usize,
        /// Why.
        why: String,
    },
}

/// Applies the bytes of a block that follows `height` to a chain. **Errors**: [`Invalid`].
pub fn stage<M: Machine>(
    base: &Chain<M>,
    committee: &Committee,
    height: u64,
    bytes: &[u8],
) -> Result<Staged<M>, Invalid> {
    let block = Block::from_bytes(bytes).ok_or(Invalid::Malformed)?;
    if block.version != VERSION {
        return Err(Invalid::Version(block.version));
    }
    if block.height != height + 1 || block.parent != base.head {
        return Err(Invalid::Misplaced);
    }
    if block.at < base.head.at {
        return Err(Invalid::Time);
    }
    if committee.member(block.proposer).is_none() {
        return Err(Invalid::Rotation);
    }
    let mut applying = Applying::new(base, block.at);
    for (index, item) in block.commands.iter().enumerate() {
        let command = |why: &str| Invalid::Command { index, why: why.to_owned() };
        let decoded: M::Command =
            decode(&item.command, COMMAND_BYTES_MAX).ok_or_else(|| command("not a command"))?;
        match applying.take((item.from, item.ticket), &decoded, item.command.clone()) {
            Outcome::Taken => {}
            Outcome::Nothing => return Err(command("changes nothing")),
            Outcome::TooLarge => return Err(command("events over their limit")),
            Outcome::Refused(refusal) => return Err(command(&refusal.to_string())),
        }
    }
    applying.finish(committee, &block, Arc::from(bytes))
}

/// What became of a command.
pub(super) enum Outcome<M: Machine> {
    /// It has its place.
    Taken,
    /// It is allowed and changes nothing.
    Nothing,
    /// Its events are over the limit.
    TooLarge,
    /// The rules turned it down.
    Refused(M::Refusal),
}

/// A state on its way through a block.
pub(super) struct Applying<M: Machine> {
    head: Head,
    at: OrderedMillis,
    state: Arc<M::State>,
    drafts: Vec<Draft>,
    ordered: Vec<Placed<M>>,
}

impl<M: Machine> Applying<M> {
    pub(super) fn new(base: &Chain<M>, at: OrderedMillis) -> Self {
        Self { head: base.head, at, state: Arc::clone(&base.state), drafts: Vec::new(), ordered: Vec::new() }
    }

    pub(super) fn take(
        &mut self,
        (from, ticket): (super::Seat, u64),
        command: &M::Command,
        bytes: Vec<u8>,
    ) -> Outcome<M> {
        let events = match M::decide(&self.state, self.at, command) {
            Err(refusal) => return Outcome::Refused(refusal),
            Ok(events) if events.is_empty() => return Outcome::Nothing,
            Ok(events) => events,
        };
        let Some(encoded) = encode(&events, EVENTS_BYTES_MAX) else { return Outcome::TooLarge };
        // Copies the state on the first change only: after that nobody shares it.
        let state = Arc::make_mut(&mut self.state);
        for event in &events {
            M::evolve(state, self.at, event);
        }
        let height = self.head.height + self.drafts.len() as u64 + 1;
        self.drafts.push(Draft { at: self.at, command: bytes, events: encoded, state: None, hook: None });
        self.ordered.push((from, ticket, Arc::new(Ordered { height, at: self.at, events })));
        Outcome::Taken
    }

    /// Closes the block: the last entry carries the digest of the state.
    pub(super) fn finish(
        mut self,
        committee: &Committee,
        block: &Block,
        bytes: Arc<[u8]>,
    ) -> Result<Staged<M>, Invalid> {
        let committee = committee.rotated(block.height, &block.rotations).ok_or(Invalid::Rotation)?;
        let mut head = self.head;
        if let Some(last) = self.drafts.last_mut() {
            last.state = Some(M::digest(Arc::make_mut(&mut self.state)));
        }
        let rows = self.drafts.into_iter().map(|draft| Row::of(draft, &mut head)).collect();
        Ok(Staged {
            bytes,
            at: self.at,
            proposer: block.proposer,
            rows,
            ordered: self.ordered,
            chain: Chain { head, state: self.state },
            committee,
        })
    }
}
