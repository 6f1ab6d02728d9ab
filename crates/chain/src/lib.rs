//! The chain behind one port, and the reference ledger: an exact, deterministic model of the contracts' rules
//! (R169-R178, R181, R182). A client of a real chain fills the same port, and a Move VM must behave equally.

pub mod ledger;
pub mod port;
pub mod transaction;
