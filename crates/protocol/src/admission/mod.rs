//! Admission: from a request to a complete order, or a refusal that leaves nothing behind (R015-R027).
//!
//! The order of checks is fixed: identity, authorization, escrow, meaning, constraints; then the Vaults are
//! asked for consent and budget; then the envelope is assembled.

pub mod compute;
pub mod envelope;
pub mod explain;
pub mod identity;
pub mod parse;
pub mod request;
pub mod semantics;
pub mod statistic;
pub mod training;
