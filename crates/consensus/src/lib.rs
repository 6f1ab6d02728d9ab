//! Ordering: commands become a durable, hash-chained sequence that drives a pure machine (R035, R216, R217).
//!
//! Generic over the machine: a master orders its protocol with it, and a Vault is a cluster of one with the same
//! journal and the same replay. Read [`machine`] for the rules it expects, [`orderer`] for the port that nodes
//! call, [`journal`] for what is on disk and [`replay`] for how a state is rebuilt and checked. [`quorum`] is the order that three masters agree on,
//! and [`tree`] what proves to others that an entry is in it.

pub mod checkpoint;
pub mod entry;
mod front;
pub mod journal;
pub mod machine;
pub mod orderer;
pub mod quorum;
pub mod replay;
pub mod tree;
