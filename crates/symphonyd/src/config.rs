//! The configuration of one process (R230): where it listens and where its files are. What the protocol does is
//! policy and comes from the network file. Unknown keys are errors.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use figment::Figment;
use figment::providers::{Env, Format, Toml};
use serde::{Deserialize, Serialize};
use symphony_depot::config::StoreConfig;
use symphony_protocol::machine::version;
use symphony_standby::place::Place;
use symphony_standby::standby::Standby;
use symphony_types::id::{AttributeName, NodeId, ProtocolVersion, VaultId};
use symphony_vault::enterprise::Keeping;
use symphony_wire::enclave::EXECUTORS_MAX;

/// One node's configuration; every role reads the same keys, a Vault needs `vault` too.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NodeConfig {
    /// The node's name, as its certificate has it.
    pub node: NodeId,
    /// The network file: governance, addresses, chain.
    pub network: PathBuf,
    /// Data and keys; the certificate is in `tls` below it.
    pub folder: PathBuf,
    /// Where the node accepts connections.
    pub listen: SocketAddr,
    /// The Vault of an enterprise node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vault: Option<VaultId>,
    /// The governance log that the council admitted the Vault in, as `symphony governance log --out` writes it; for the first start of
    /// a Vault that the network was founded without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub governance_log: Option<PathBuf>,
    /// The measured enclave program; `symphony-enclave` beside this program when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enclave: Option<PathBuf>,
    /// The program that reads receipts; `symphony-reader` beside this program when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reader: Option<PathBuf>,
    /// The committee that the masters were founded with; a master alone has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committee: Option<PathBuf>,
    /// The socket of a master's guard; a master alone has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<PathBuf>,
    /// The highest version of the protocol that a master speaks, to hold an upgrade back; what the program speaks when
    /// absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol_max: Option<u32>,
    /// The REST API of a full node, for the chain node of a network whose money is on Aptos, such as
    /// `https://fullnode.mainnet.aptoslabs.com/v1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full_node: Option<String>,
    /// Has the chain node pay the gas of members' calls on Aptos, with the account of `keys/sponsor-wallet.seed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sponsor: Option<SponsorConfig>,
    /// Where the node's gauges are read, as Prometheus does; nowhere when absent. Behind a wall: it asks nobody who they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<SocketAddr>,
    /// The file of the passphrase that a Vault's secrets are under; they are bare files when neither this nor the next is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passphrase_file: Option<PathBuf>,
    /// The variable of the environment that has it instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passphrase_env: Option<String>,
    /// A folder on another disk in which whatever a Vault answers is kept as well; nowhere when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standby: Option<PathBuf>,
    /// The store of objects that has a Vault's segments; its own folder when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segments_store: Option<StoreConfig>,
    /// Enclaves that a Vault has for its slices: more than one share the segments of a slice.
    #[serde(default = "executors")]
    pub executors: usize,
    /// Records that a Vault takes at most.
    #[serde(default = "records_max")]
    pub records_max: u64,
    /// Receipt documents that a Vault takes of one person at most.
    #[serde(default = "documents_max")]
    pub documents_max: u32,
    /// Bytes of receipt documents that a Vault takes of one person at most.
    #[serde(default = "document_bytes_max")]
    pub document_bytes_max: u64,
    /// Uploaded records that a Vault writes into one segment; until there are so many, each is read by itself.
    #[serde(default = "segment_rows")]
    pub segment_rows: u32,
    /// How long a Vault keeps records and receipts; for good when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<RetentionConfig>,
    /// Columns that a Vault reports nothing of when candidates for attributes are pooled.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub withheld_columns: BTreeSet<AttributeName>,
    /// Requests a second that the gateway takes of one caller.
    #[serde(default = "requests_per_second")]
    pub requests_per_second: u32,
    /// Development only: a folder for every message with other nodes, in clear.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wiretap: Option<PathBuf>,
    /// What the node's enclaves rest on; a machine of class `software` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<PlatformConfig>,
}

/// What the enclaves of a node rest on.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlatformConfig {
    /// Where evidence comes from: `software`, `development`, or the word of a source of hardware.
    pub source: String,
    /// Files of collateral, read anew at each start of the enclave.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub collateral: Vec<PathBuf>,
    /// Development only: the file of the vendor that plays hardware.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor: Option<PathBuf>,
    /// Development only: the class that is played.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
}

/// Whose gas the chain node pays. Counted anew each day and with each start.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SponsorConfig {
    /// Calls of one account a day.
    pub per_account: u32,
    /// Calls of all accounts together a day.
    pub per_day: u32,
}

/// How long a Vault keeps what came in.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RetentionConfig {
    /// Whole days from the end of the day on which a record arrived; one at least.
    pub days: NonZeroU32,
}

const fn records_max() -> u64 {
    20_000_000
}

const fn executors() -> usize {
    1
}

const fn segment_rows() -> u32 {
    1 << 12
}

const fn documents_max() -> u32 {
    2_000
}

const fn document_bytes_max() -> u64 {
    1 << 30
}

const fn requests_per_second() -> u32 {
    200
}

impl NodeConfig {
    /// Reads a file; `SYMPHONY_NODE_<KEY>` in the environment overrides a key. Relative paths are taken from the
    /// file's folder. **Errors**: an unreadable file, an unknown key, a value of the wrong type.
    pub(crate) fn load(path: &Path) -> Result<Self> {
        let figment = Figment::new().merge(Toml::file_exact(path)).merge(Env::prefixed("SYMPHONY_NODE_"));
        let mut config: Self = figment.extract().with_context(|| format!("reading {}", path.display()))?;
        let base = path.parent().unwrap_or_else(|| Path::new("."));
        config.network = base.join(&config.network);
        config.folder = base.join(&config.folder);
        for file in [
            &mut config.enclave,
            &mut config.reader,
            &mut config.committee,
            &mut config.guard,
            &mut config.wiretap,
            &mut config.passphrase_file,
            &mut config.standby,
            &mut config.governance_log,
        ] {
            *file = file.take().map(|file| base.join(file));
        }
        config.segments_store = config.segments_store.take().map(|store| store.based(base));
        if let Some(platform) = &mut config.platform {
            platform.vendor = platform.vendor.take().map(|file| base.join(file));
            platform.collateral.iter_mut().for_each(|file| *file = base.join(&file));
        }
        Ok(config)
    }

    /// The highest version of the protocol that a master speaks. **Errors**: one that this program does not have.
    pub(crate) fn protocol_max(&self) -> Result<ProtocolVersion> {
        let latest = version::LATEST;
        let chosen = self.protocol_max.map_or(latest, ProtocolVersion);
        let known = version::FIRST..=latest;
        ensure!(known.contains(&chosen), "protocol_max is {chosen}, and this program speaks 1 to {latest}");
        Ok(chosen)
    }

    /// How many enclaves a Vault has for its slices. **Errors**: none, or too many.
    pub(crate) fn executors(&self) -> Result<usize> {
        let possible = 1..=EXECUTORS_MAX;
        ensure!(
            possible.contains(&self.executors),
            "executors is {}, and a vault has 1 to {EXECUTORS_MAX}",
            self.executors
        );
        Ok(self.executors)
    }

    /// A Vault's folder, with its standby when there is one, which is opened. **Errors**: the standby, or another process has it.
    pub(crate) fn place(&self) -> Result<Place> {
        let folder = self.folder.join("data");
        let Some(standby) = &self.standby else { return Ok(folder.as_path().into()) };
        let vault = self.vault.as_ref().context("only an enterprise node has a standby")?;
        Ok(Place::with(&folder, Standby::open(standby, vault, &folder)?))
    }

    /// How a Vault's secrets and segments are kept. **Errors**: the passphrase, or the store of segments cannot be meant.
    pub(crate) fn keeping(&self, place: &Place) -> Result<Keeping> {
        let segments = self.segments_store.as_ref().map(StoreConfig::settings).transpose()?;
        Ok(Keeping { custody: crate::seal::custody(self, place)?, segments })
    }

    /// The enclave program. **Errors**: this program's own place is not known.
    pub(crate) fn enclave_program(&self) -> Result<PathBuf> {
        match &self.enclave {
            Some(program) => Ok(program.clone()),
            None => beside("symphony-enclave"),
        }
    }

    /// The program that reads receipts. **Errors**: this program's own place is not known.
    pub(crate) fn reader_program(&self) -> Result<PathBuf> {
        match &self.reader {
            Some(program) => Ok(program.clone()),
            None => beside("symphony-reader"),
        }
    }
}

/// A program in the folder of this one. **Errors**: this program's own place is not known, or there is none.
pub(crate) fn beside(name: &str) -> Result<PathBuf> {
    let path = std::env::current_exe().context("finding this program")?.with_file_name(name);
    anyhow::ensure!(path.exists(), "{name} is not beside this program: build the workspace's binaries");
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R230: every sample configuration of the repository is valid.
    #[test]
    fn the_sample_files_are_valid() {
        let folder = Path::new("../../config");
        for role in ["master", "verifier", "payout", "ledger", "vault", "gateway"] {
            NodeConfig::load(&folder.join(format!("{role}.toml"))).unwrap();
        }
    }

    #[test]
    fn an_unknown_key_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.toml");
        let text = "node = \"m1\"\nnetwork = \"n\"\nfolder = \".\"\nlisten = \"127.0.0.1:1\"\nepoch_ms = 5\n";
        std::fs::write(&path, text).unwrap();
        assert!(format!("{:#}", NodeConfig::load(&path).unwrap_err()).contains("epoch_ms"));
    }

    /// R080, R230: how long a Vault keeps records is a whole number of days, one at least, and nothing beside it.
    #[test]
    fn retention_is_a_number_of_days() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.toml");
        let read = |lines: &str| {
            let text =
                format!("node = \"v1\"\nnetwork = \"n\"\nfolder = \".\"\nlisten = \"127.0.0.1:1\"\n{lines}");
            std::fs::write(&path, text).unwrap();
            NodeConfig::load(&path).map(|config| config.retention.map(|kept| kept.days.get()))
        };
        assert_eq!(read("").unwrap(), None);
        assert_eq!(read("[retention]\ndays = 730\n").unwrap(), Some(730));
        for wrong in ["days = 0", "days = -1", "days = \"long\"", "", "days = 1\nhours = 2"] {
            assert!(read(&format!("[retention]\n{wrong}\n")).is_err(), "{wrong}");
        }
    }

    /// R221: an upgrade is held back with a version that this program has, and with no other.
    #[test]
    fn an_upgrade_is_held_back_within_what_the_program_speaks() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.toml");
        let speaks = |line: &str| {
            let text =
                format!("node = \"m1\"\nnetwork = \"n\"\nfolder = \".\"\nlisten = \"127.0.0.1:1\"\n{line}");
            std::fs::write(&path, text).unwrap();
            NodeConfig::load(&path).unwrap().protocol_max().map_err(|error| error.to_string())
        };
        assert_eq!(speaks(""), Ok(version::LATEST));
        assert_eq!(speaks("protocol_max = 1"), Ok(version::FIRST));
        for wrong in [0, version::LATEST.0 + 1] {
            assert!(speaks(&format!("protocol_max = {wrong}")).unwrap_err().contains("speaks 1 to"));
        }
    }

    /// R230: a Vault has one enclave unless its configuration says how many, within limits.
    #[test]
    fn a_vault_has_one_enclave_or_as_many_as_are_configured() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.toml");
        let has = |line: &str| {
            let text =
                format!("node = \"v1\"\nnetwork = \"n\"\nfolder = \".\"\nlisten = \"127.0.0.1:1\"\n{line}");
            std::fs::write(&path, text).unwrap();
            NodeConfig::load(&path).unwrap().executors().map_err(|error| error.to_string())
        };
        assert_eq!(has(""), Ok(1));
        assert_eq!(has("executors = 3"), Ok(3));
        for wrong in [0, EXECUTORS_MAX + 1] {
            assert!(has(&format!("executors = {wrong}")).unwrap_err().contains("a vault has 1 to"));
        }
    }

    /// R230: files of a master's guard are found from the configuration's folder, whoever reads it.
    #[test]
    fn relative_paths_start_at_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.toml");
        let text = "node = \"m1\"\nnetwork = \"n\"\nfolder = \".\"\nlisten = \"127.0.0.1:1\"\n\
                    committee = \"../c\"\nguard = \"g/s\"\n";
        std::fs::write(&path, text).unwrap();
        let config = NodeConfig::load(&path).unwrap();
        assert_eq!(config.committee, Some(folder.path().join("../c")));
        assert_eq!(config.guard, Some(folder.path().join("g/s")));
        assert_eq!(config.enclave, None);
    }
}
