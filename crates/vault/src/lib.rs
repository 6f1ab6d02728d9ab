//! The enterprise node: one private Vault, its records at rest, consent and budget of its people, and the slices
//! that it lets its enclave compute (R055-R081, R213).
//!
//! [`enterprise`] holds the parts together: [`keys`] with [`people`], [`ring`] and [`custody`], [`store`] and the journal of the
//! [`machine`]. [`ingest`] serves the Vault's own people, `erase` takes them away, `rotate` replaces the Vault's key, [`retention`] ends what was kept for its time, with the keys of [`periods`], [`moving`] takes everything to another Vault, [`backup`] copies everything into a second place, `analysis`
//! has their records in segments, [`tending`] writes, merges and releases those, [`documents`] keeps and erases their receipts, [`slots`] the keys of those, [`parse`] has them read, `runtime`, `rounds` and [`dividend`] serve the masters, `candidates` reports columns that nothing governs, [`agent`] keeps the enclave
//! alive, [`check`] looks at everything that is kept, [`rpc`] is the door and [`node`] runs it all.

pub mod agent;
mod analysis;
pub mod backup;
mod candidates;
pub mod check;
pub mod custody;
pub mod dividend;
pub mod documents;
pub mod enterprise;
mod erase;
mod governing;
pub mod ingest;
pub mod keys;
pub mod machine;
mod modules;
pub mod moving;
pub mod node;
pub mod parse;
pub mod people;
pub mod periods;
pub mod problem;
mod reading;
pub mod retention;
pub mod ring;
mod rotate;
mod rounds;
pub mod rpc;
mod runtime;
mod serving;
pub mod slots;
pub mod store;
pub mod tending;
