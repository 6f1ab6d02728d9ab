//! What the developer commands and the tests that guard the workspace share.

pub mod markdown;
pub mod repo;
pub mod source;
