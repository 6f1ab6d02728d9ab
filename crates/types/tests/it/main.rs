//! The nouns from outside: canonical bytes, exact sums, Merkle proofs, sets, names, keys and the catalogue.
#![allow(clippy::unwrap_used, reason = "a test panics rather than returning errors")]

mod amount;
mod canonical;
mod catalogue;
mod id;
mod key;
mod merkle;
mod subjects;
mod table;
