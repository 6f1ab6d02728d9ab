//! Execution: one assignment per Vault, slices against quorum and deadline, then one aggregate
//! (R105-R119), or the word of a majority that there will be none.

pub mod aggregate;
pub mod coordinate;
pub mod failure;
pub mod parse;
pub mod training;
