//! Ordering by three masters: Byzantine fault tolerant finality with 2 of 3 (R007-R012, R211-R217).
//!
//! [`committee`] says who votes and what a quorum is, [`guard`] what a voting key signs, [`block`] what a height
//! decides. [`core`] drives the Tendermint engine, [`replica`] is one master's whole ordering as a pure step
//! function, [`node`] runs it behind the port [`crate::orderer::Orderer`].

pub mod block;
pub mod committee;
pub mod conflict;
pub mod core;
pub mod guard;
pub mod message;
pub mod node;
pub mod replica;
pub mod socket;
mod store;

pub use store::conflicts;
