//! The second place of a Vault's node: a folder on another disk in which whatever was answered is as durable as in the first
//! (R062, R066, R076, R078).
//!
//! Key files stand in both places, byte by byte ([`place`]), and in no backup: overwriting one reaches every backup at once. What a
//! transaction of the database writes is a frame of a hash-chained log here ([`redo`]) before it is in the database ([`backend`]).
//! A [`backup`] is a copy of the database with the segments beside it, signed; [`restore`] makes a folder of one and of all frames
//! after it, so that what comes back is never older than the last answer. [`standby`] compares both places at a start.

pub mod backend;
pub mod backup;
mod files;
pub mod place;
pub mod redo;
pub mod restore;
pub mod standby;
