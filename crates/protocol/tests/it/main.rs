//! The rules from outside: one test world plays Vaults, aggregator, verifier, payout service and chain, and
//! every path through the machine is driven with every step repeated, failed and crashed.
#![allow(clippy::unwrap_used, reason = "a test panics rather than returning errors")]

mod accountant;
mod admission;
mod attempts;
mod attest;
mod candidates;
mod challenges;
mod compute;
mod council;
mod flow;
mod governance;
mod leases;
mod liars;
mod lifecycle;
mod parse;
mod payout;
mod reconcile;
mod rounds;
mod settlement;
mod stage;
mod stakes;
mod statistic;
mod training;
mod upgrade;
mod vectors;
mod verification;
mod world;
mod year;
