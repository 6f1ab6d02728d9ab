//! The gateway over its own TLS port, with a master and a Vault played by this test.
#![allow(clippy::unwrap_used)] // a test panics

mod certificates;
mod description;
mod flows;
mod grpc;
mod masters;
mod parses;
mod receipts;
mod refusals;
mod stage;
mod statistics;
mod trainings;
