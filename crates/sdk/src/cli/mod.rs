//! The command line: its words, its profile, its output, and what each command does.

pub(crate) mod args;
mod audit;
mod challenge;
mod compute;
mod erasure;
mod governance;
mod model;
mod money;
mod parse;
mod plot;
mod policy;
mod profile;
mod reading;
mod receipt;
mod reconcile;
pub(crate) mod run;
mod semantics;
mod settle;
mod show;
mod tee;
mod train;
mod vault;
mod watch;
