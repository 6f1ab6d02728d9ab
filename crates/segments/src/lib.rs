//! Encrypted columnar segments of a Vault, and the queries over them (R055-R081).
//!
//! - [`schema`], [`segment`], [`people`]: what a segment has, what it is called, who is in it.
//! - [`sort`], [`writer`]: records become a segment. [`reader`]: a segment is opened, read and checked.
//! - [`catalogue`]: which segments and which erasures make up each version.
//! - [`composition`]: what may be asked; [`resolved`]: today's audience query in these words.
//! - [`engine`]: the answers, within limits; [`limits`] has them.
//!
//! This is a library for a Vault and its enclaves: keys come as secrets, files through a port, and nothing here reaches a
//! network of its own. Answers carry no noise: counts, sums and histograms are exact and bounded per person, and whoever
//! releases them draws the noise (crate `compute`).

pub mod catalogue;
pub mod composition;
pub mod engine;
pub mod error;
pub mod limits;
pub mod people;
pub mod reader;
pub mod resolved;
pub mod schema;
pub mod segment;
pub mod sort;
pub mod writer;

#[cfg(test)]
mod tests;
