//! The cluster out of a seed: 200 runs that must hold, and weakened guards that must not.

#![allow(clippy::unwrap_used, reason = "a test panics rather than returning errors")]

mod controls;
mod faults;
