//! One Vault from outside: uploads, reservations, crashes, a slice in the real enclave, dividends.

// Helpers of tests panic like tests do.
#![allow(clippy::unwrap_used)]

mod backup;
mod candidates;
mod check;
mod documents;
mod erasure;
mod executors;
mod governing;
mod ingest;
mod ledger;
mod meanings;
mod moving;
mod objects;
mod parse;
mod retention;
mod rotation;
mod segments;
#[path = "../../../depot/tests/it/server.rs"]
#[allow(dead_code)] // of its faults some are tried there alone
mod server;
mod slice;
mod statistic;
mod suspension;
mod torn;
mod world;
