//! The words of `symphony governance`.

use std::path::PathBuf;

use clap::Subcommand;
use symphony_protocol::governance::approval::Purpose;
use symphony_types::digest::Digest;
use symphony_types::id::{AttributeName, VaultId};

use super::digest;

#[derive(Subcommand)]
pub(crate) enum Governance {
    /// Propose a change to the council
    Propose {
        /// Why, in one line
        #[arg(long, default_value = "")]
        summary: String,
        /// Your own open proposal that it takes the place of, 64 hexadecimal digits; votes begin anew
        #[arg(long, value_name = "PROPOSAL", value_parser = digest)]
        amends: Option<Digest>,
        #[command(subcommand)]
        change: Change,
    },
    /// Vote on a proposal
    Vote {
        /// Proposal, 64 hexadecimal digits
        #[arg(value_parser = digest)]
        proposal: Digest,
        /// Vote against it
        #[arg(long)]
        against: bool,
    },
    /// Take back your own proposal
    Withdraw {
        /// Proposal, 64 hexadecimal digits
        #[arg(value_parser = digest)]
        proposal: Digest,
    },
    /// List proposals
    List,
    /// Show what governs: enclave code, machines, the council
    Show,
    /// Fetch the log of changes and check every vote in it against the governance that you trust
    Log {
        /// Keep the log in this file
        #[arg(long, short)]
        out: Option<PathBuf>,
    },
    /// Check that an entry is in the log
    Proof {
        /// The entry, from 1
        sequence: u64,
        /// A log kept before: the log must go on from it
        #[arg(long, value_name = "FILE")]
        since: Option<PathBuf>,
    },
    /// Check a kept log, without a network and without trust in any node
    Verify {
        /// The log
        file: PathBuf,
    },
    /// Measure an enclave program
    Measure {
        /// The program
        program: PathBuf,
    },
}

#[derive(Subcommand)]
pub(crate) enum Policy {
    /// Show a version as the council adopted it, checked against the governance that you trust
    Show {
        /// The version; the one in force when absent
        #[arg(long)]
        version: Option<u32>,
    },
    /// Show which fields of the policy in force another one changes
    Diff {
        /// The other policy, TOML
        file: PathBuf,
        /// Compare with this version
        #[arg(long)]
        version: Option<u32>,
    },
    /// Show what another policy would have changed in refusals and rewards of past epochs, by replay
    Simulate {
        /// The other policy, TOML
        file: PathBuf,
        /// A journal export, or the journal database of a master that does not run
        #[arg(long)]
        journal: PathBuf,
        /// The first epoch
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// The last epoch; of all when absent
        #[arg(long)]
        to: Option<u64>,
    },
}

#[derive(Subcommand)]
pub(crate) enum Semantics {
    /// Show a version as the council made it, checked against the governance that you trust
    Show {
        /// The version; the one in force when absent
        #[arg(long)]
        version: Option<u32>,
    },
    /// Write the amendment that makes another meaning of the last version, TOML
    Diff {
        /// The other meaning, TOML
        file: PathBuf,
    },
    /// List columns that enough Vaults have and no governed attribute is for, with noised counts
    Candidates {
        /// The epoch; the last one that Vaults reported of when absent
        #[arg(long)]
        epoch: Option<u64>,
    },
    /// Show what each name of a settled task came to, after every check of its evidence
    Explain {
        /// Task, 64 hexadecimal digits
        #[arg(value_parser = digest)]
        task: Digest,
    },
}

#[derive(Subcommand)]
pub(crate) enum Audit {
    /// Make every decision of the range again, and compare events and hashes
    Verify {
        /// A journal export, or the journal database of a master that does not run
        journal: PathBuf,
        /// The first height; everything before is only followed
        #[arg(long, default_value_t = 1)]
        from: u64,
        /// The last height
        #[arg(long)]
        to: Option<u64>,
        /// Up to the end of this epoch
        #[arg(long, conflicts_with_all = ["to", "at"])]
        epoch: Option<u64>,
        /// Up to this moment of ordered time, in milliseconds
        #[arg(long, conflicts_with = "to")]
        at: Option<u64>,
    },
    /// Prove that an entry is in the journal that a majority of the masters vouches for
    Prove {
        /// A task of your own, 64 hexadecimal digits: the entry by which it came to its state; or a place in the journal, from 1
        what: String,
        /// The journal as it was at the end of this epoch; as it is now when absent
        #[arg(long)]
        epoch: Option<u64>,
        /// Write the proof to this file
        #[arg(long, short, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Prove that the journal at the end of a later epoch goes on from the one at the end of an earlier epoch
    Consistent {
        /// The earlier epoch
        earlier: u64,
        /// The later epoch
        later: u64,
        /// A proof that you kept of the earlier epoch: the masters must not show another head of it now
        #[arg(long, value_name = "FILE")]
        known: Option<PathBuf>,
        /// Write the proof to this file
        #[arg(long, short, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Check a proof that was written to a file, without a network
    Check {
        /// The proof
        file: PathBuf,
    },
}

#[derive(Subcommand)]
pub(crate) enum Settle {
    /// Compute the payout of a closed epoch again out of what was settled, and compare it with what the masters signed; ends with 3 when
    /// anything differs, with 5 when all holds and the chain has not confirmed it yet
    Verify {
        /// The epoch
        epoch: u64,
        /// What was fetched before, without a network
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// Leaves of a Vault's dividend tree, to be added up too; may be given again and again
        #[arg(long, value_name = "FILE")]
        leaves: Vec<PathBuf>,
        /// Compare with the chain's own records as well
        #[arg(long, conflicts_with = "file")]
        on_chain: bool,
        /// Write what was fetched to this file
        #[arg(long, short, value_name = "FILE", conflicts_with = "file")]
        out: Option<PathBuf>,
    },
}

#[derive(Subcommand)]
pub(crate) enum Change {
    /// Make enclave code known
    Register {
        /// Measurement of the code
        #[arg(value_parser = digest)]
        measurement: Digest,
        /// What it is for: any, slices or aggregation
        #[arg(long, default_value = "any", value_parser = purpose)]
        purpose: Purpose,
        /// Digest of the recipe that it is built by
        #[arg(long, value_name = "HEX", value_parser = digest)]
        recipe: Digest,
    },
    /// Let new tasks be served by registered code
    Activate {
        /// Measurement of the code
        #[arg(value_parser = digest)]
        measurement: Digest,
    },
    /// End all dispatch to code at once
    Revoke {
        /// Measurement of the code
        #[arg(value_parser = digest)]
        measurement: Digest,
    },
    /// Believe a machine
    AdmitPlatform {
        /// Its quoting key; of a machine with trusted hardware its name, as `symphony tee inspect` tells it
        #[arg(value_parser = digest)]
        key: Digest,
        /// Kind of trusted hardware
        #[arg(long, value_name = "CLASS")]
        hardware: Option<String>,
    },
    /// Let tasks name a module
    ApproveModule {
        /// The module, WebAssembly
        code: PathBuf,
        /// What is enforced about it, TOML
        #[arg(long, value_name = "FILE")]
        declaration: PathBuf,
        /// What it is for, in a sentence
        #[arg(long)]
        about: String,
        /// Digest of the sources that it is built from
        #[arg(long, value_name = "HEX", value_parser = digest)]
        source: Digest,
        /// Digest of the recipe that it is built by
        #[arg(long, value_name = "HEX", value_parser = digest)]
        recipe: Digest,
    },
    /// Run a module no more, at once
    RevokeModule {
        /// SHA-256 of its bytes
        #[arg(value_parser = digest)]
        code: Digest,
    },
    /// Believe a machine no more, at once
    RevokePlatform {
        /// The machine
        #[arg(value_parser = digest)]
        platform: Digest,
    },
    /// Move everything that a Vault keeps to another, for ever
    MoveVault {
        /// The Vault that is left
        #[arg(value_parser = VaultId::new)]
        from: VaultId,
        /// The Vault that takes its people
        #[arg(value_parser = VaultId::new)]
        to: VaultId,
    },
    /// Put a version of the policy into force, after one epoch of notice
    AdoptPolicy {
        /// The policy, TOML, as `symphony policy show` writes one
        file: PathBuf,
        /// Its version: the one after the last
        #[arg(long)]
        version: u32,
    },
    /// Put a version of meaning into force, after one epoch of notice
    AmendMeaning {
        /// The amendment, TOML, as `symphony semantics diff` writes one
        file: PathBuf,
        /// The version that it makes: the one after the last
        #[arg(long)]
        version: u32,
        /// A candidate that it makes an attribute of: the proposal says what Vaults found
        #[arg(long, value_name = "NAME", value_parser = AttributeName::new)]
        candidate: Option<AttributeName>,
        /// In this epoch; in the last one that Vaults reported of when absent
        #[arg(long, requires = "candidate")]
        epoch: Option<u64>,
    },
    /// Approve an enterprise: masters connect to its node, and its Vault takes part
    AdmitEnterprise {
        /// What it asks with, as `symphonyd enterprise` writes it
        file: PathBuf,
    },
    /// Let an enterprise leave: its Vault gets nothing new, and after some epochs nothing holds it
    ReleaseEnterprise {
        /// Its Vault
        #[arg(value_parser = VaultId::new)]
        vault: VaultId,
    },
    /// Freeze an enterprise node, at once
    SuspendNode {
        /// Its Vault
        #[arg(value_parser = VaultId::new)]
        vault: VaultId,
    },
    /// Let a suspended node take part again
    ReinstateNode {
        /// Its Vault
        #[arg(value_parser = VaultId::new)]
        vault: VaultId,
    },
    /// Replace what is asked of trusted hardware
    SetHardware {
        /// The rules
        file: PathBuf,
    },
}

fn purpose(word: &str) -> Result<Purpose, String> {
    let known = Purpose::ALL.into_iter().find(|purpose| purpose.as_str() == word);
    known.ok_or_else(|| "a purpose is any, slices or aggregation".to_owned())
}
