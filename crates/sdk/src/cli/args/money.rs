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
    /// Show what the protocol itself has, and what is minted next
    Show,
    /// With the council's wallet, record on the chain how it voted on a release
    Record {
        #[command(flatten)]
        release: Released,
        /// Votes for it
        #[arg(long = "for", value_name = "VOTES")]
        votes_for: u64,
        /// Votes against it
        #[arg(long = "against", value_name = "VOTES", default_value_t = 0)]
        votes_against: u64,
        /// How many might vote
        #[arg(long, value_name = "VOTES")]
        eligible: u64,
    },
    /// As a signer of the treasury, approve a release; write the approval to a file
    Approve {
        #[command(flatten)]
        release: Released,
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

/// A payment out of the treasury.
#[derive(clap::Args)]
pub(crate) struct Released {
    /// Account, 64 hexadecimal digits
    #[arg(long, value_parser = digest, value_name = "HEX")]
    pub to: Digest,
    /// In SYM
    #[arg(long, value_parser = sym)]
    pub amount: Sym,
    /// The proposal that allows it; it serves once
    #[arg(long, value_parser = digest, value_name = "HEX")]
    pub proposal: Digest,
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
