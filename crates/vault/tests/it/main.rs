//! One Vault from outside: uploads, reservations, crashes, a slice in the real enclave, dividends.

// Helpers of tests panic like tests do.
#![allow(clippy::unwrap_used)]

mod backup;
mod check;
mod documents;
mod erasure;
mod governing;
mod ingest;
mod ledger;
mod moving;
mod parse;
mod rotation;
mod segments;
mod slice;
mod statistic;
mod world;
