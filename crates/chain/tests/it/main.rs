//! Integration tests of the chain: the ledger's rules, its aborts, conservation under random operations, and
//! the port over bytes.

#![allow(clippy::unwrap_used, reason = "a test panics rather than returning errors")]

mod aborts;
mod batch;
mod conservation;
mod port;
mod rules;
mod world;
