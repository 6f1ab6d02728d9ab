//! Enclaves: the documents that they sign, the judgement of those documents, and the process that stands in for
//! enclave hardware (R116, R120-R125, R130).
//!
//! Two sides use this crate. The *child* is the measured program: it enters by [`session::run`], which makes
//! keys, locks the process down and signs a boot report before the first request is read. The *host* is the node
//! that starts it with [`host::EnclaveProcess`] and otherwise only carries sealed bytes. [`report`] and
//! [`appraise`] are pure and serve every node.
//!
//! The only platform class so far is `software`: process isolation without a hardware root. Whoever is root on
//! the host can read such an enclave's memory, and the host itself hands it the platform seed. The class stands
//! in every signed document and policy refuses it unless told otherwise.

pub mod appraise;
pub mod boot;
pub mod frame;
pub mod governed;
pub mod host;
pub mod keys;
pub mod measure;
pub mod report;
pub mod sandbox;
pub mod session;
