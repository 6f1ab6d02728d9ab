//! What one height decides: a batch of commands on top of a known state (R012, R035, R211).

use serde::{Deserialize, Serialize};
use symphony_types::canonical;
use symphony_types::digest::Digest;
use symphony_types::limits::COMMAND_BYTES_MAX;
use symphony_types::time::OrderedMillis;

use super::committee::{Rotation, SEATS_MAX, Seat};
use crate::entry::{Head, decode};

/// The version of the rules that blocks of this program follow.
pub const VERSION: u32 = 1;
/// Commands that one block takes at most.
pub const COMMANDS_MAX: usize = 1_024;
/// Bytes of a block at most: one command of full size, or many small ones, and the fixed fields.
pub const BLOCK_BYTES_MAX: usize = COMMAND_BYTES_MAX + (64 << 10);

/// A batch of commands in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// The version of the rules.
    pub version: u32,
    /// Position in the chain of blocks; the first is 1.
    pub height: u64,
    /// The end of the journal that it stands on, with the digest of the state there.
    pub parent: Head,
    /// The proposer's time, never earlier than that of the parent.
    pub at: OrderedMillis,
    /// Who made it. The maker of the last block leads the next height.
    pub proposer: Seat,
    /// Keys of restarted guards, in force from the next height on.
    pub rotations: Vec<Rotation>,
    /// The commands; each gives at least one event.
    pub commands: Vec<Item>,
}

/// A command of a block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// The seat whose client waits for it.
    pub from: Seat,
    /// That seat's own number for it.
    pub ticket: u64,
    /// Canonical bytes of the command.
    #[serde(with = "serde_bytes")]
    pub command: Vec<u8>,
}

impl Block {
    /// The canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        canonical::to_bytes(self)
    }

    /// Reads canonical bytes within the limits. **Errors**: `None` for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let block: Self = decode(bytes, BLOCK_BYTES_MAX)?;
        let fits = block.commands.len() <= COMMANDS_MAX && block.rotations.len() <= SEATS_MAX;
        (fits && block.to_bytes() == bytes).then_some(block)
    }
}

/// The name of a block: the digest of its canonical bytes.
pub fn name(bytes: &[u8]) -> Digest {
    Digest::tagged("symphony/block/v1", bytes)
}
