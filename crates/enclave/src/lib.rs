//! What runs inside an enclave: one handler that answers a host's calls, for slice and aggregator alike.
//!
//! The host carries sealed bytes and is believed nothing: each call brings its endorsed order, and what is opened
//! is bound to that order (R110, R116, R121, R126). An enclave does only what its boot report says it is for.

mod aggregate;
mod handler;
mod modules;
mod moving;
mod parse;
mod portions;
mod refusal;
mod segments;
mod slice;
mod station;
mod training;
mod workers;

pub use handler::Handler;
pub use modules::Modules;
pub use station::Station;
pub use workers::Workers;
