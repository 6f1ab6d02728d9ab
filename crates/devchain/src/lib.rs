//! The development chain: Move contracts compiled, tested and run with a tool that the developer downloads.
//!
//! [`compiler`] builds packages and runs their unit tests; [`vm`] executes, over a [`store`]; [`genesis`] says how a chain begins;
//! [`host`] is one chain; [`contracts`] translates between the reference ledger and the contracts. [`node`] takes transactions as a full
//! node does, with [`faults`] on command and a [`journal`], and [`rest`] is its API, in the JSON of [`values`]. [`development`] says who holds what on a
//! chain of one's own, and [`client`] is the script that every official client runs;
//! [`bench`] measures.

pub mod bench;
pub mod client;
pub mod compiler;
pub mod contracts;
pub mod development;
pub mod faults;
pub mod genesis;
pub mod host;
pub mod journal;
mod native;
pub mod node;
pub mod rest;
mod show;
pub mod store;
pub mod values;
pub mod vm;
