//! The development chain: Move contracts compiled, tested and run with a tool that the developer downloads.
//!
//! [`compiler`] builds packages and runs their unit tests.

pub mod compiler;
mod native;
