//! Enclaves: the documents that they sign, the judgement of those documents, and the process that stands in for
//! enclave hardware (R116, R120-R125, R130).
//!
//! Two sides use this crate. The *child* is the measured program: it enters by [`session::run`], which makes
//! keys, locks the process down and signs a boot report before the first request is read. The *host* is the node
//! that starts it with [`host::EnclaveProcess`] and otherwise only carries sealed bytes, on a call or when it is asked for some
//! ([`asking`]). [`report`] and
//! [`appraise`] are pure and serve every node.
//!
//! What an enclave rests on is its class. `software` is process isolation without a hardware root: whoever is root on
//! the host can read such an enclave's memory, and the host itself hands it the platform seed. The classes of hardware
//! are vouched for by evidence that a vendor signed, judged by the crate `attest` under governed rules; evidence under roots
//! of our own making is of class `development`. The class stands in every signed document, and policy refuses what no hardware
//! vouches for unless told otherwise.

pub mod appraise;
pub mod asking;
pub mod boot;
#[cfg(feature = "development")]
pub mod development;
#[cfg(not(feature = "development"))]
#[path = "development_absent.rs"]
pub mod development;
pub mod frame;
pub mod governed;
pub mod hardware;
pub mod host;
pub mod keys;
pub mod machine;
pub mod measure;
pub mod report;
pub mod sandbox;
pub mod session;
pub mod voucher;
