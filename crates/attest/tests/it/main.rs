//! Evidence of real machines, evidence of our own vendor, and bytes that are neither.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test panics

mod appraisal;
mod development;
mod explained;
mod forms;
mod hostile;
mod purity;
mod samples;
mod sources;
mod verified;
