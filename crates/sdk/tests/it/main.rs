//! The checker against a bundle made by the protocol's own functions, and the client and wallet against a gateway that
//! loses answers.

#![allow(clippy::unwrap_used, reason = "a test panics rather than returning errors")]

mod bundle;
mod council;
mod gateway;
mod hardware;
mod models;
mod money;
mod own;
mod parses;
mod proofs;
mod receipts;
mod settle;
mod trained;
mod trains;
mod verify;
mod watching;
