//! The whole network as real processes on loopback, driven through its public interface.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub)]

mod actors;
mod candidates;
mod certificates;
mod challenges;
mod commands;
mod computes;
mod council;
mod crash;
mod disk;
mod evidence;
mod hardware;
mod ingest;
mod masters;
mod meanings;
mod models;
mod money;
mod moves;
mod network;
mod objects;
mod parses;
mod people;
mod policies;
mod proofs;
mod receipts;
mod refusals;
#[path = "../../../depot/tests/it/server.rs"]
#[allow(dead_code)] // of its faults some are tried by the depot alone
mod server;
mod stakes;
mod statistics;
mod taint;
mod trainings;
mod transport;
mod trickle;
mod upgrade;
mod watching;
