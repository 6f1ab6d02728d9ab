//! Approved modules: code that governance has measured, run on the records of one person at a time (R094-R096).
//!
//! [`symphony_protocol::artifact::module`] says what a module reads and may answer; [`module`] checks its bytes before any engine sees them;
//! [`table`] holds records person by person; [`engine`] is the port, with two engines behind it, [`interpreted`] and
//! (feature `wasmtime`) [`compiled`]; [`output`] bounds what one person adds to a result. [`catalogue`] has the modules that are
//! built from `guests/`.

pub mod catalogue;
#[cfg(feature = "wasmtime")]
pub mod compiled;
pub mod engine;
pub mod interpreted;
pub mod job;
pub mod module;
pub mod output;
pub mod table;

mod calls;
mod guest;
