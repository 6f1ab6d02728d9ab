//! Tests that need the downloaded tool; `cargo xtask move test` runs them, and without it they are ignored.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test panics

mod client;
mod differential;
mod node;
mod sources;
mod tool;
mod upgrade;
mod world;
