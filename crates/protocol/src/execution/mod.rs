//! Execution: one assignment per Vault, slices against quorum and deadline, then one aggregate (R105-R119).

pub mod aggregate;
pub mod coordinate;
