//! The VoteGuard in a process of its own: it holds a master's voting key and signs what the voting rules allow
//! (R007, R198, R205).
//!
//! The rules are [`symphony_consensus::quorum::guard`], the line to the master is
//! [`symphony_consensus::quorum::socket`]. Here is the rest of the process: [`config`] says how it runs, [`birth`]
//! which key it has, [`store`] what a trusted guard keeps on disk, [`keeper`] that nothing leaves before it is kept,
//! [`lockdown`] what the process can still do.
//!
//! Its class is `software`: who is root on the machine, or has the user of the guard, can read the key or put an old
//! state back. See `docs/adr/0001-votes-are-signed-by-a-guard.md`.

pub mod birth;
pub mod blocks;
pub mod config;
pub mod keeper;
pub mod lockdown;
pub mod store;
