//! Bytes between processes: generated protobuf, canonical documents, sealed messages, mutual TLS, signatures
//! over exact bytes, and the catalogue as gRPC status.
//!
//! Everything that enters a node is parsed here once, into values that are valid by construction.

pub mod caller;
pub mod convert;
pub mod documents;
pub mod enclave;
pub mod evidence;
pub mod moving;
#[allow(missing_docs, clippy::all, unreachable_pub)]
#[rustfmt::skip]
#[path = "generated/symphony.v1.rs"]
pub mod v1;
pub mod sealed;
pub mod signing;
pub mod status;
pub mod tls;
