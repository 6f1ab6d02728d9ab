//! Computation on private records: what comes in ([`upload`]), what a Vault seals for its enclave
//! ([`material`]), the evaluation of one slice ([`slice`]), the combination of slices ([`combine`], [`cells`]), numbers about people ([`statistic`]), the rounds of a
//! training ([`train`]) and the reading of a receipt's words ([`parse`]).
//!
//! Everything here is a pure function of its arguments: no clock, no operating-system randomness, no floats in
//! anything that leaves but models, whose floats are computed in a fixed order. The same input gives the same bytes on
//! every replay (D10).

pub mod candidates;
pub mod cells;
pub mod combine;
pub mod material;
pub mod modules;
pub mod parse;
pub mod slice;
pub mod statistic;
pub mod train;
pub mod upload;

mod columns;
mod keyed;
