//! The whole consensus stack of a cluster in one thread, out of one seed (R007, R012, R195-R198, R211-R217).
//!
//! [`world`] runs hosts, guards, disks, clocks and a network that lies; [`scenario`] draws from a seed what goes
//! wrong; [`invariants`] says what may never happen and is asked after every step. The same seed gives the same
//! bytes: [`run`] compares nothing with a clock, a thread or the order of a hash.

pub mod bank;
pub mod chance;
pub mod forger;
pub mod guards;
pub mod host;
pub mod invariants;
pub mod network;
pub mod run;
pub mod scenario;
pub mod trace;
pub mod workload;
pub mod world;
