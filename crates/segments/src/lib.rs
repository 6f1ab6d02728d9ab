//! Encrypted columnar segments of a Vault, and the queries over them (R055-R081).
//!
//! - [`schema`], [`segment`], [`people`]: what a segment has, what it is called, who is in it.
//! - [`open`]: a segment is opened and its bytes asked for. [`answer`]: who is selected, by a scan, within bounds.
//! - [`handed`]: segments as a Vault hands them to its enclave.
//! - [`sort`], [`writer`]: records become a segment. [`reader`]: segments of a store are read and checked.
//! - [`tiers`], [`merge`]: which segments become one, and how.
//! - [`catalogue`]: which segments and which erasures make up each version.
//! - [`composition`]: what may be asked; [`resolved`]: an audience query in these words; [`statistic`]: what a statistic needs to know of people.
//! - [`engine`]: the answers over a store, within limits; [`limits`] has them.
//!
//! This is a library for a Vault and its enclaves: keys come as secrets, files through a port, and nothing here reaches a
//! network of its own. What needs a store and a runtime stands behind the feature `store`, so that an enclave has neither; the
//! plan of an engine stands behind `plans`. Answers carry no noise: counts, sums and histograms are exact and bounded per person,
//! and whoever releases them draws the noise (crate `compute`).

pub mod answer;
pub mod catalogue;
pub mod composition;
#[cfg(feature = "store")]
pub mod engine;
pub mod error;
pub mod handed;
pub mod limits;
#[cfg(feature = "store")]
pub mod merge;
pub mod open;
pub mod people;
#[cfg(feature = "store")]
pub mod reader;
pub mod resolved;
mod scan;
pub mod schema;
pub mod segment;
#[cfg(feature = "store")]
pub mod sort;
pub mod statistic;
pub mod tiers;
#[cfg(feature = "store")]
pub mod writer;

#[cfg(all(test, feature = "store"))]
mod tests;
