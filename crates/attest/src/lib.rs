//! Vendor evidence: what trusted hardware says of an enclave, verified to the vendors' roots and judged by policy
//! (R121, R123, R124). No other crate names a vendor.
//!
//! [`verify`](verify::verify) is pure: evidence, collateral and time are arguments, so that every master and every later
//! replay decides alike. [`appraise`](appraise::appraise) compares what was verified with policy and with what was asked.
//! [`inspect`] explains any file to a person. Only [`sources`] touches the machine, to make evidence.

pub mod amd;
pub mod appraise;
pub mod binding;
mod certificate;
pub mod claims;
pub mod collateral;
mod container;
#[cfg(any(test, feature = "development"))]
pub mod development;
pub mod evidence;
pub mod fault;
pub mod inspect;
pub mod intel;
pub mod moment;
pub mod nitro;
pub mod policy;
pub mod roots;
pub mod sources;
pub mod verify;
