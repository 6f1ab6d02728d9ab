//! The public edge: REST and gRPC for users on one TLS port, who they are, how much they may send (R009, R203,
//! R204). It decides nothing of the protocol: it proves the caller, signs and seals in the caller's name, and
//! carries answers back (R027). It believes no master alone: an answer counts when a majority gave it (R195).
//!
//! | module | decides |
//! |---|---|
//! | [`config`] | what one gateway runs with |
//! | [`server`] | listener, TLS, timers, shutdown |
//! | [`identity`] | who asks, from a signed token |
//! | [`problem`] | how a refusal looks |
//! | [`rest`] | routes and their description |
//! | `certificate`, `connection` | the public certificate of now, connections before HTTP |
//! | `confirm`, `agreement` | when an answer counts, and what of it must be equal |
//! | `masters`, `watch`, `status` | questions to the masters, their streams, how they compare |

pub mod config;
pub mod identity;
pub mod problem;
mod receipts;
pub mod rest;
pub mod server;

mod agreement;
mod certificate;
mod confirm;
mod connection;
mod gateway;
mod grpc;
mod masters;
mod operations;
mod pace;
mod status;
mod upload;
mod watch;
