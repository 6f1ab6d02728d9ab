//! The chain behind one port, and the reference ledger: an exact, deterministic model of the contracts' rules
//! (R169-R178, R181, R182). The client of the contracts on Aptos fills the same port, and a Move VM must behave equally.

pub mod contracts;
pub mod ledger;
pub mod outbox;
pub mod port;
pub mod refusal;
pub mod transaction;
