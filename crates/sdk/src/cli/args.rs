//! The words of the command line. Its help is pinned by a snapshot.

pub(crate) mod compute;
pub(crate) mod governance;
pub(crate) mod money;
pub(crate) mod training;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use symphony_sdk::client::Upload;
use symphony_types::amount::{SYM_DECIMALS, SYM_UNIT, Sym};
use symphony_types::digest::Digest;
use symphony_types::id::{ActorId, RequestId, UsageScope, VaultId};
use symphony_types::time::OrderedMillis;

/// The Symphony platform: audiences across Vaults, without the records
#[derive(Parser)]
#[command(name = "symphony", version)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// Print JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Args, Default)]
pub(crate) struct Connection {
    /// Folder with client.toml, whose values the other options replace
    #[arg(long, global = true, env = "SYMPHONY_PROFILE", value_name = "DIR")]
    pub(crate) profile: Option<PathBuf>,
    /// The gateway
    #[arg(long, global = true, env = "SYMPHONY_GATEWAY", value_name = "URL")]
    pub(crate) gateway: Option<String>,
    /// PEM file of the authority that the gateway's certificate is from, instead of the system's
    #[arg(long, global = true, env = "SYMPHONY_CA", value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Identity token; better given by environment or file
    #[arg(long, global = true, env = "SYMPHONY_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// File of the identity token
    #[arg(long, global = true, env = "SYMPHONY_TOKEN_FILE", value_name = "FILE", conflicts_with = "token")]
    pub(crate) token_file: Option<PathBuf>,
    /// Who asks: the token's subject
    #[arg(long, global = true, env = "SYMPHONY_ACTOR", value_parser = ActorId::new)]
    pub(crate) actor: Option<ActorId>,
    /// Key file of the chain account
    #[arg(long, global = true, env = "SYMPHONY_WALLET", value_name = "FILE")]
    pub(crate) wallet: Option<PathBuf>,
    /// Have the network's sponsor pay the gas of your transactions
    #[arg(long, global = true, env = "SYMPHONY_SPONSORED")]
    pub(crate) sponsored: bool,
    /// Key file that opens results
    #[arg(long, global = true, env = "SYMPHONY_RECIPIENT", value_name = "FILE")]
    pub(crate) recipient: Option<PathBuf>,
    /// Governance that you trust; with it, you and your Vault seal receipts and records to each other
    #[arg(long, global = true, env = "SYMPHONY_TRUST", value_name = "FILE")]
    pub(crate) trust: Option<PathBuf>,
    /// Folder of trained models; `models` of the profile's folder when absent
    #[arg(long, global = true, env = "SYMPHONY_MODELS", value_name = "DIR")]
    pub(crate) models: Option<PathBuf>,
    /// Key file of a council member
    #[arg(long, global = true, env = "SYMPHONY_COUNCIL", value_name = "FILE")]
    pub(crate) council: Option<PathBuf>,
    /// Name of the chain
    #[arg(long, global = true, env = "SYMPHONY_CHAIN")]
    pub(crate) chain: Option<String>,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Price a campaign; nothing is recorded
    Quote {
        /// Campaign file, JSON or TOML
        spec: PathBuf,
    },
    /// Lock the worst case of a campaign's quote
    Lock {
        /// Campaign file, JSON or TOML
        spec: PathBuf,
        /// Your name for the request
        #[arg(long, value_parser = RequestId::new)]
        request_id: RequestId,
    },
    /// Quote, lock and submit a campaign; again under the same name it has no second effect
    Submit {
        /// Campaign file, JSON or TOML
        spec: PathBuf,
        /// Your name for the request; made up when absent
        #[arg(long, value_parser = RequestId::new)]
        request_id: Option<RequestId>,
        /// Follow the task to its end and open the result
        #[arg(long)]
        wait: bool,
    },
    /// Follow a task to its end; without one, check the evidence of every result that is not final yet
    Watch(Watch),
    /// Open the result of a completed task
    Result {
        /// Task id, 64 hexadecimal digits
        #[arg(value_parser = digest)]
        task: Digest,
        /// Write the audience to this file instead
        #[arg(long, short)]
        out: Option<PathBuf>,
    },
    /// Show a task
    Task {
        /// Task id, 64 hexadecimal digits
        #[arg(value_parser = digest)]
        task: Digest,
    },
    /// Dispute the result of a task, and see what became of it
    #[command(subcommand)]
    Challenge(Challenge),
    /// Trainings: models out of many people's records, without the records
    #[command(subcommand)]
    Train(training::Train),
    /// Computations: approved modules over many people's records, without the records
    #[command(subcommand)]
    Compute(compute::Compute),
    /// Your trained models
    #[command(subcommand)]
    Model(training::Model),
    /// Your consents
    #[command(subcommand)]
    Consent(Consent),
    /// A person's privacy budget
    #[command(args_conflicts_with_subcommands = true)]
    Budget {
        #[command(subcommand)]
        what: Option<Budget>,
        #[command(flatten)]
        person: Person,
    },
    /// Send a file to a Vault
    Upload {
        /// What the file holds
        kind: UploadKind,
        /// JSON lines (.jsonl), Parquet (.parquet) or Arrow stream (.arrow)
        file: PathBuf,
        /// A Vault, or your own
        #[arg(long, default_value = "assigned")]
        vault: String,
        /// Your name for the upload: the same again has no second effect; made up when absent
        #[arg(long, value_parser = RequestId::new)]
        request_id: Option<RequestId>,
    },
    /// Your receipts at your own Vault
    #[command(subcommand)]
    Receipt(Receipt),
    /// What a Vault keeps of a person, as a whole
    #[command(subcommand)]
    Vault(Vault),
    /// A person's records
    Records(Person),
    /// What modules found of a person, which stays in the Vault
    Attributes(Person),
    /// Your chain account
    #[command(subcommand)]
    Wallet(money::Wallet),
    /// Add to your stake
    Stake {
        /// Whose stake it is
        tier: money::TierName,
        /// In SYM
        #[arg(value_parser = sym)]
        amount: Sym,
    },
    /// Move stake into its cooldown, or take out what has cooled down
    Unstake {
        /// Whose stake it is
        tier: money::TierName,
        /// In SYM; without it, what has cooled down is taken out
        #[arg(value_parser = sym)]
        amount: Option<Sym>,
    },
    /// A person's dividends, and which of them are taken
    Rewards(Person),
    /// Take every dividend of your account that is not taken yet
    Claim(Person),
    /// The treasury, and what its signers approve
    #[command(subcommand)]
    Treasury(money::Treasury),
    /// The key that opens your results
    #[command(subcommand)]
    Recipient(Recipient),
    /// The evidence of a task
    #[command(subcommand)]
    Evidence(Evidence),
    /// What governs, and the council that changes it
    #[command(subcommand)]
    Governance(governance::Governance),
    /// The policy: fees, shares, limits and deadlines
    #[command(subcommand)]
    Policy(governance::Policy),
    /// What names mean, and how those of a task were resolved
    #[command(subcommand)]
    Semantics(governance::Semantics),
    /// Check an evidence bundle, without a network and without trust in any node; ends with 5 where all holds so far, but is not final
    Verify {
        /// The bundle
        file: PathBuf,
        /// Digest of the governance that you expect
        #[arg(long, value_name = "HEX", value_parser = digest)]
        governance: Option<Digest>,
    },
    /// Evidence of trusted hardware
    #[command(subcommand)]
    Tee(Tee),
    /// The masters' journal: check a range of it again, and prove what is in it
    #[command(subcommand)]
    Audit(governance::Audit),
    /// What closed epochs paid
    #[command(subcommand)]
    Settle(governance::Settle),
    /// Rebuild the state from a master's journal and compare the state hash
    Replay {
        /// A journal export, or the journal database of a master that does not run
        journal: PathBuf,
    },
    /// What drifted apart between masters, chain and Vaults, and what was done about it; ends with 4 while a drift is open
    Reconcile {
        /// Compare now, and wait for it
        #[arg(long)]
        now: bool,
        /// The first record to show; the last ones when absent
        #[arg(long, value_name = "NUMBER")]
        from: Option<u64>,
    },
    /// The network's state
    Status,
    /// The catalogue of refusals
    Errors,
}

#[derive(Args)]
pub(crate) struct Watch {
    /// Task id, 64 hexadecimal digits
    #[arg(value_parser = digest)]
    pub(crate) task: Option<Digest>,
    /// Dispute what does not pass, with a bond each time; without it, what is found is only told
    #[arg(long, requires = "cursor", conflicts_with = "task")]
    pub(crate) challenge: bool,
    /// Keep what was looked at and disputed in this file, and its exhibits beside it
    #[arg(long, value_name = "FILE", conflicts_with = "task")]
    pub(crate) cursor: Option<PathBuf>,
    /// Pass over results that came to await their end before, in milliseconds since 1970
    #[arg(long, value_name = "MS", default_value_t, conflicts_with = "task")]
    pub(crate) since: u64,
    /// End after one pass
    #[arg(long, conflicts_with_all = ["task", "seconds"])]
    pub(crate) once: bool,
    /// End after this time; without it and --once, never
    #[arg(long = "for", value_name = "SECONDS", conflicts_with = "task")]
    pub(crate) seconds: Option<u64>,
}

#[derive(Subcommand)]
pub(crate) enum Challenge {
    /// Dispute a result before it is final: its time stands still while the masters look at it again
    File {
        /// Task id, 64 hexadecimal digits
        #[arg(value_parser = digest)]
        task: Digest,
        /// Why, in at most 1000 characters
        #[arg(long)]
        grounds: String,
        /// Have this round of a training, or 1 of a computation, computed again; without it every master judges the evidence anew
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
        round: Option<u32>,
        /// What shows it: its hash is filed; to open a dispute again, one that was not shown before
        #[arg(long, value_name = "FILE")]
        exhibit: Vec<PathBuf>,
    },
    /// List the challenges of a task
    List {
        /// Task id, 64 hexadecimal digits
        #[arg(value_parser = digest)]
        task: Digest,
    },
}

#[derive(Args)]
pub(crate) struct Person {
    /// The person; you when absent
    #[arg(long)]
    pub(crate) subject: Option<String>,
    /// A Vault, or your own
    #[arg(long, default_value = "assigned")]
    pub(crate) vault: String,
}

#[derive(Args)]
pub(crate) struct ErasureProof {
    /// The proof
    pub(crate) file: PathBuf,
    /// The governance that names the Vault's key
    #[arg(long, value_name = "FILE")]
    pub(crate) governance: PathBuf,
}

#[derive(Subcommand)]
pub(crate) enum Budget {
    /// What spent it, each entry proven against the root of the Vault's ledger; needs a trusted governance
    Statement(Person),
}

#[derive(Subcommand)]
pub(crate) enum Consent {
    /// Consent to a use
    Grant {
        /// The use, such as marketing
        #[arg(long, value_parser = UsageScope::new)]
        scope: UsageScope,
        /// Until then, in milliseconds since 1970
        #[arg(long)]
        expires_ms: Option<u64>,
        /// A Vault, or your own
        #[arg(long, default_value = "assigned")]
        vault: String,
    },
    /// Withdraw the consent to a use
    Withdraw {
        /// The use, such as marketing
        #[arg(long, value_parser = UsageScope::new)]
        scope: UsageScope,
        /// A Vault, or your own
        #[arg(long, default_value = "assigned")]
        vault: String,
    },
    /// List consents
    List {
        #[command(flatten)]
        person: Person,
        /// Only for this use
        #[arg(long)]
        scope: Option<String>,
    },
}

#[derive(Subcommand)]
pub(crate) enum Receipt {
    /// Upload photos, pictures and PDF files; the same content again is the same receipt
    Upload {
        /// JPEG, PNG or PDF
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Have them read as well, and show what was read
        #[arg(long)]
        parse: bool,
    },
    /// Have uploaded receipts read, and show what was read
    Parse {
        /// Receipt ids, 64 hexadecimal digits each
        #[arg(required = true, value_name = "ID", value_parser = digest)]
        ids: Vec<Digest>,
    },
    /// List receipts, erased ones among them
    List,
    /// Show a receipt and what was read of it, and check its content against its commitment
    Show {
        /// Receipt id, 64 hexadecimal digits
        #[arg(value_parser = digest)]
        id: Digest,
        /// Write the content to this file
        #[arg(long, short)]
        out: Option<PathBuf>,
        /// Write a picture of a page to this PNG file, with a box around each value that was read
        #[arg(long, value_name = "FILE")]
        drawing: Option<PathBuf>,
        /// The page of the picture, from 0
        #[arg(long, default_value_t, requires = "drawing")]
        page: u32,
    },
    /// Correct what was read of a receipt; campaigns then see what you say
    Correct {
        /// Receipt id, 64 hexadecimal digits
        #[arg(value_parser = digest)]
        id: Digest,
        /// merchant=, city=, date=2018-03-25, time=19:04:00 or total=12.30; nothing after the sign for none
        #[arg(long = "set", required = true, value_name = "FIELD=VALUE", value_parser = correction)]
        corrections: Vec<(String, String)>,
    },
    /// Erase a receipt: its key, its salt and its content; the commitment stays
    Erase {
        /// Receipt id, 64 hexadecimal digits
        #[arg(value_parser = digest)]
        id: Digest,
        /// Write the Vault's proof to this file
        #[arg(long, short)]
        out: Option<PathBuf>,
    },
    /// Check a proof of erasure, without a network
    CheckErasure(ErasureProof),
}

#[derive(Subcommand)]
pub(crate) enum Vault {
    /// Erase a person: consents, profile, records and receipts, and every key of them; the commitments stay
    Erase {
        #[command(flatten)]
        person: Person,
        /// Really: it cannot be undone, and dividends that are not taken need their proofs, which go as well
        #[arg(long, required = true)]
        everything: bool,
        /// Write the Vault's proof to this file
        #[arg(long, short)]
        out: Option<PathBuf>,
    },
    /// Check a proof that a person is erased, without a network
    CheckErasure(ErasureProof),
    /// The Vault of your own data, whether it is suspended, and where you may register meanwhile
    Assigned,
    /// Where moves of everything from one Vault to another are
    MoveStatus {
        /// The Vault that is left: write what proves that nothing is left there to the file
        #[arg(long, requires = "out", value_parser = VaultId::new)]
        vault: Option<VaultId>,
        /// The file
        #[arg(long, short, requires = "vault")]
        out: Option<PathBuf>,
    },
    /// Check that everything of a Vault is at another by the council's decision, without a network
    CheckMove(ErasureProof),
    /// Wrap all keys of your Vault under a new key, while it serves; for its operator
    RotateKey {
        /// The Vault
        #[arg(long)]
        vault: String,
    },
    /// Columns of your Vault's records that no governed attribute is for; for its operator
    Candidates {
        /// The Vault
        #[arg(long)]
        vault: String,
    },
    /// How long your Vault keeps records, and what has ended; for its operator
    Retention {
        /// The Vault
        #[arg(long)]
        vault: String,
    },
    /// Write who is paid what by your Vault's dividend tree of an epoch; for its operator
    Leaves {
        /// The Vault
        #[arg(long, value_parser = VaultId::new)]
        vault: VaultId,
        /// The epoch
        #[arg(long)]
        epoch: u64,
        /// The file
        #[arg(long, short)]
        out: PathBuf,
    },
    /// Take a backup of your Vault into its node's standby, while it serves; for its operator
    Backup {
        /// The Vault
        #[arg(long)]
        vault: String,
    },
}

#[derive(Subcommand)]
pub(crate) enum Recipient {
    /// Make a key in a new file
    New,
}

#[derive(Subcommand)]
pub(crate) enum Tee {
    /// Explain evidence: what it is, who vouches for it, what it says, what speaks against it; without a network
    Inspect {
        /// A quote, report or document of a vendor: binary, hexadecimal, base64, PEM, JSON, or in a cloud's wrapper
        file: PathBuf,
        /// Certificates and lists of revoked ones (DER or PEM), or collateral as JSON; may be given again and again
        #[arg(long, value_name = "FILE")]
        collateral: Vec<PathBuf>,
        /// The moment to judge at, such as 2026-01-31T00:00:00Z; now when absent
        #[arg(long, value_name = "TIME", value_parser = moment)]
        at: Option<OrderedMillis>,
    },
}

#[derive(Subcommand)]
pub(crate) enum Evidence {
    /// Write the bundle of a completed task
    Export {
        /// Task id, 64 hexadecimal digits
        #[arg(value_parser = digest)]
        task: Digest,
        /// Of a result that awaits its end, which anybody who may dispute it may have: it is not final
        #[arg(long)]
        candidate: bool,
        /// The file to write
        #[arg(long, short)]
        out: PathBuf,
    },
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum UploadKind {
    Subjects,
    Consents,
    Records,
}

impl From<UploadKind> for Upload {
    fn from(kind: UploadKind) -> Self {
        match kind {
            UploadKind::Subjects => Self::Subjects,
            UploadKind::Consents => Self::Consents,
            UploadKind::Records => Self::Records,
        }
    }
}

fn correction(text: &str) -> Result<(String, String), &'static str> {
    let (field, value) = text.split_once('=').ok_or("FIELD=VALUE")?;
    Ok((field.to_owned(), value.to_owned()))
}

fn moment(text: &str) -> Result<OrderedMillis, String> {
    symphony_attest::moment::parse(text)
        .ok_or_else(|| "not a date and time such as 2026-01-31T00:00:00Z".to_owned())
}

fn digest(text: &str) -> Result<Digest, &'static str> {
    Digest::from_hex(text).ok_or("64 hexadecimal digits")
}

/// Reads whole SYM with up to eight decimals, exactly.
fn sym(text: &str) -> Result<Sym, &'static str> {
    const WRONG: &str = "SYM with at most eight decimals, such as 12.5";
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let decimals = SYM_DECIMALS as usize;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || part.len() > decimals || !digits(whole) || !digits(part) || text.ends_with('.') {
        return Err(WRONG);
    }
    let whole: u64 = whole.parse().map_err(|_| WRONG)?;
    let part: u64 = format!("{part:0<decimals$}").parse().map_err(|_| WRONG)?;
    whole.checked_mul(SYM_UNIT).and_then(|units| units.checked_add(part)).map(Sym).ok_or(WRONG)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn amounts_are_read_exactly() {
        assert_eq!(sym("12.5"), Ok(Sym(1_250_000_000)));
        assert_eq!(sym("0.00000001"), Ok(Sym(1)));
        assert_eq!(sym("184467440737.09551615"), Ok(Sym(u64::MAX)));
        for wrong in ["", ".5", "5.", "-1", "+1", "1e3", "0.000000001", "184467440737.09551616"] {
            assert!(sym(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_help_is_pinned() {
        let mut command = Cli::command().term_width(100);
        command.clone().debug_assert();
        let mut text = String::new();
        pages(&mut command, &mut text);
        insta::assert_snapshot!(text);
    }

    fn pages(command: &mut clap::Command, text: &mut String) {
        command.build();
        text.push_str(&format!("{}\n", command.render_help()));
        for inner in command.get_subcommands_mut().filter(|inner| inner.get_name() != "help") {
            // The options of the connection stand on the first page.
            let mut inner = inner.clone().mut_args(|arg| {
                let global = arg.is_global_set();
                arg.hide(global)
            });
            pages(&mut inner, text);
        }
    }
}
