//! The rules of Symphony: the whole specification of behaviour is in this crate.
//!
//! Pure and `no_std`. One shape everywhere: `decide` checks and changes nothing, `evolve` cannot fail,
//! events lease to one node what must be done outside. Outside facts arrive as fields of commands.
#![no_std]

extern crate alloc;

pub mod admission;
pub mod artifact;
pub mod evidence;
pub mod execution;
pub mod governance;
pub mod journal;
pub mod lifecycle;
pub mod machine;
pub mod reconcile;
pub mod settlement;
pub mod vault;
pub mod verification;
