//! The master node: the protocol's machine behind an orderer, and the runners that perform its effects.
//!
//! The five names again: [`admission`], [`execution`], [`settlement`] perform the effects of the plane of that
//! name. [`rpc`] is what the gateway calls, [`views`] the read side, [`roles`] the processes of their own with
//! keys of their own: verifier and payout. Between masters: [`claim`] is what they ask each other to endorse,
//! [`endorsing`] asks, [`cluster`] answers, [`bulk`] spreads the [`blobs`].

pub mod admission;
pub mod batches;
pub mod blobs;
pub mod bulk;
mod candidates;
pub mod chain;
pub mod claim;
pub mod cluster;
pub mod config;
mod council;
pub mod effects;
pub mod endorsing;
mod epochs;
pub mod execution;
mod following;
pub(crate) mod helping;
pub mod machine;
mod moving;
pub mod net;
pub mod node;
pub mod ordering;
mod orders;
pub mod parse;
pub mod peers;
mod proofs;
pub mod reconcile;
pub mod review;
pub mod roles;
pub mod round;
pub mod rpc;
pub mod settlement;
pub mod stakes;
pub mod training;
pub mod views;
mod watching;
