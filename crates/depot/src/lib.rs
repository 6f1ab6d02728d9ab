//! Where the sealed files of a Vault's segments are (R076, R078): its own folder, or a store of objects that speaks S3.
//!
//! - [`depot`]: the port, and the choice between the two. [`folder`]: files in the Vault's folder and its standby.
//! - [`objects`]: objects, each put whole or in parts that a crash cannot hide; [`blocks`]: what was read of them lately.
//! - [`config`]: which store, and the credentials for it.
//!
//! Whatever comes here is sealed already, and what a place gives back is authenticated where it is opened. So a place can lose,
//! hold back or spoil a segment, and neither read it nor pass another one off as it. Which segments there are is the
//! catalogue's word alone: what it does not name is removed.

pub mod blocks;
pub mod config;
pub mod depot;
pub mod folder;
pub mod objects;
mod upload;
