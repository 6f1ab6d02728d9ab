//! The enterprise node: one private Vault, its records at rest, consent and budget of its people, and the slices
//! that it lets its enclave compute (R055-R081, R213).
//!
//! [`enterprise`] holds the parts together: [`keys`], [`store`] and the journal of the [`machine`]. [`ingest`]
//! serves the Vault's own people, `analysis` writes their records into segments, [`documents`] keeps and erases their receipts, [`slots`] the keys of those, [`parse`] has them read, `runtime`, `rounds` and [`dividend`] serve the masters, [`agent`] keeps the enclave
//! alive, [`check`] looks at everything that is kept, [`rpc`] is the door and [`node`] runs it all.

pub mod agent;
mod analysis;
pub mod check;
pub mod dividend;
pub mod documents;
pub mod enterprise;
mod governing;
pub mod ingest;
pub mod keys;
pub mod machine;
mod modules;
pub mod node;
pub mod parse;
pub mod problem;
mod reading;
mod rounds;
pub mod rpc;
mod runtime;
mod serving;
pub mod slots;
pub mod store;
