//! The words for SYM: the account, its stakes, and the treasury.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use symphony_chain::transaction::Tier;
use symphony_types::amount::Sym;
use symphony_types::digest::Digest;

use super::{digest, sym};

#[derive(Subcommand)]
pub(crate) enum Wallet {
    /// Make an account's key in a new file
    New,
    /// Show the account
    Show,
    /// Pay another account
    Transfer {
        /// Account, 64 hexadecimal digits
        #[arg(value_parser = digest)]
        to: Digest,
        /// In SYM
        #[arg(value_parser = sym)]
        amount: Sym,
    },
    /// Take back an expired lock that was never used
    Reclaim {
        /// Lock reference, 64 hexadecimal digits
        #[arg(value_parser = digest)]
        lock: Digest,
    },
}

#[derive(Subcommand)]
pub(crate) enum Treasury {
    /// Show what the protocol itself has
    Show,
    /// As a signer of the treasury, approve a release; write the approval to a file
    Approve {
        /// Account, 64 hexadecimal digits
        #[arg(long, value_parser = digest, value_name = "HEX")]
        to: Digest,
        /// In SYM
        #[arg(long, value_parser = sym)]
        amount: Sym,
        /// The proposal that allows it; it serves once
        #[arg(long, value_parser = digest, value_name = "HEX")]
        proposal: Digest,
        /// Key file of the signer
        #[arg(long, value_name = "FILE")]
        signer: PathBuf,
        /// The file to write
        #[arg(long, short)]
        out: PathBuf,
    },
    /// Bring approvals of enough signers to the chain
    Release {
        /// Approvals of one release
        #[arg(required = true, num_args = 1..)]
        approvals: Vec<PathBuf>,
    },
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum TierName {
    Master,
    Enterprise,
    Producer,
}

impl From<TierName> for Tier {
    fn from(name: TierName) -> Self {
        match name {
            TierName::Master => Self::Master,
            TierName::Enterprise => Self::Enterprise,
            TierName::Producer => Self::Producer,
        }
    }
}
