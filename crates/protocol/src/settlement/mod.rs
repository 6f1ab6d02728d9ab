//! Settlement: the verdict, the window in which it may be challenged, the final context with its root, who
//! earns what, and the batch that pays it (R131-R168).

pub mod bootstrap;
pub mod challenge;
pub mod epoch;
pub mod finalize;
pub mod parse;
pub mod payout;
pub mod penalty;
pub mod reward;
pub mod verdict;
