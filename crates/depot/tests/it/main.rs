//! The place of segments from outside: a real server of the S3 protocol, with faults.

// Helpers of tests panic like tests do.
#![allow(clippy::unwrap_used)]

mod objects;
mod server;
