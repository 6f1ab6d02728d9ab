//! The nouns of Symphony: ids, money, privacy loss, time, digests, keys, limits and error codes.
//!
//! Pure and `no_std`: no clock, randomness, I/O or floats, so that every node computes the same bytes
//! (R216, R218). Each module owns its public names.
#![no_std]

extern crate alloc;

pub mod amount;
pub mod canonical;
pub mod catalogue;
pub mod digest;
pub mod dividend;
pub mod epsilon;
pub mod id;
pub mod key;
pub mod limits;
pub mod merkle;
pub mod subjects;
pub mod table;
pub mod time;
