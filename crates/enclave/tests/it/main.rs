//! Enclaves driven in process, through their handlers, the way hosts drive them through pipes.

#![allow(clippy::unwrap_used, reason = "tests panic rather than return errors")]

mod course;
mod flow;
mod hardware;
mod modules;
mod parse;
mod portions;
mod process;
mod shares;
mod stage;
mod statistic;
mod training;
