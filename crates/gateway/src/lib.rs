//! The public edge: REST and gRPC for users on one TLS port, who they are, how much they may send (R009, R203,
//! R204). It decides nothing of the protocol: it proves the caller, signs and seals in the caller's name, and
//! carries answers back (R027).
//!
//! | module | decides |
//! |---|---|
//! | [`config`] | what one gateway runs with |
//! | [`server`] | listener, TLS, timers, shutdown |
//! | [`identity`] | who asks, from a signed token |
//! | [`problem`] | how a refusal looks |
//! | [`rest`] | routes and their description |

pub mod config;
pub mod identity;
pub mod problem;
pub mod rest;
pub mod server;

mod connection;
mod gateway;
mod grpc;
mod operations;
mod pace;
mod upload;
