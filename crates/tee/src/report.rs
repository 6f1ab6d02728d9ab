//! The two documents of an enclave: the boot report, vouched for by the platform, names the enclave's keys; the
//! attestation report, signed by those keys, names one piece of work (R116, R123). Both carry the platform's
//! class and, for the software class, a sentence that says what it is not (R130).

use serde::{Deserialize, Serialize};
use symphony_attest::binding::Binding;
use symphony_attest::claims::Class;
use symphony_attest::{collateral, evidence};
use symphony_types::canonical;
use symphony_types::digest::Digest;
use symphony_types::id::{
    ActorId, Measurement, NodeId, PlatformId, PolicyVersion, SchemaVersion, SemanticVersion, TaskId, VaultId,
};
use symphony_types::key::{Document, PublicKey, Signed, SoftwareEnclave, SoftwarePlatform};

use crate::voucher::{VendorDigests, VendorWord, Voucher};

/// What stands behind a platform's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PlatformClass {
    /// A locked-down process and no hardware: development only.
    Software,
    /// Evidence in a vendor's format under roots of our own making, and no hardware: development only.
    Development(Class),
    /// Evidence that a vendor of hardware vouches for.
    Hardware(Class),
}

impl PlatformClass {
    /// The word that stands in metrics, the API and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Software => "software",
            Self::Development(_) => "development",
            Self::Hardware(class) => class.as_str(),
        }
    }

    /// Whether no hardware vouches for the platform (R130).
    pub const fn is_software(self) -> bool {
        match self {
            Self::Software | Self::Development(_) => true,
            Self::Hardware(_) => false,
        }
    }

    /// The kind of evidence that must vouch for it; none of software.
    pub const fn vendor(self) -> Option<Class> {
        match self {
            Self::Software => None,
            Self::Development(class) | Self::Hardware(class) => Some(class),
        }
    }

    /// The sentence that a report of this class must carry.
    pub const fn notice(self) -> &'static str {
        match self {
            Self::Software => SOFTWARE_NOTICE,
            Self::Development(_) => DEVELOPMENT_NOTICE,
            Self::Hardware(_) => HARDWARE_NOTICE,
        }
    }
}

/// What an enclave is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum EnclaveRole {
    /// Evaluates a task over the records of one Vault.
    Slice,
    /// Combines the slices of a task.
    Aggregator,
}

/// What one start of an enclave is: its code, its keys and where it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootReport {
    /// The platform's class.
    pub class: PlatformClass,
    /// What the enclave is there for.
    pub role: EnclaveRole,
    /// The name of the network that it serves.
    pub chain: String,
    /// The node that started it.
    pub node: NodeId,
    /// The actor that answers for it.
    pub actor: ActorId,
    /// Material for the enclave is sealed to this X25519 key (R122).
    pub hpke_key: [u8; 32],
    /// Signs its attestation reports.
    pub signing_key: PublicKey<SoftwareEnclave>,
    /// The program that runs: of class `software` SHA-256 of its file; of the others what the evidence measures, which is the
    /// whole guest that the program is part of.
    pub measurement: Measurement,
    /// The machine that it runs on.
    pub platform: PlatformId,
    /// The rules of its sandbox and session.
    pub engine: Digest,
    /// Chosen by who asked for this start.
    pub nonce: Digest,
    /// What vouches for it, by digest; none of class `software`.
    pub vendor: Option<VendorDigests>,
    /// What the class is worth, in words.
    pub notice: String,
}

impl Document for BootReport {
    const TAG: &'static str = "symphony/boot-report/v2";
}

impl BootReport {
    /// What evidence of hardware must have bound: all of the start that the evidence does not tell itself (R123).
    pub fn binding(&self) -> Binding {
        let engine = Digest::of("symphony/bound-engine/v1", &(self.engine, self.role, &self.actor));
        Binding {
            chain: self.chain.clone(),
            node: self.node.clone(),
            hpke_key: self.hpke_key,
            signing_key: *self.signing_key.as_bytes(),
            engine,
            nonce: self.nonce,
        }
    }
}

/// A boot report with what vouches for it. Nothing here is believed before it is appraised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedBoot {
    /// What is vouched for.
    pub body: BootReport,
    /// By what.
    pub voucher: Voucher,
}

impl SignedBoot {
    /// Reads canonical bytes; `None` when they are too long or no boot report.
    pub fn from_canonical(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > BOOT_BYTES_MAX {
            return None;
        }
        bcs::from_bytes(bytes).ok()
    }

    /// The canonical bytes.
    pub fn to_canonical(&self) -> Vec<u8> {
        canonical::to_bytes(self)
    }

    /// Whether this machine without hardware vouches for it.
    pub fn quoted_by(&self, machine: &PublicKey<SoftwarePlatform>) -> bool {
        match &self.voucher {
            Voucher::Software { key, signature } => {
                key == machine && machine.verifies(&self.body.digest(), signature)
            }
            Voucher::Vendor(_) => false,
        }
    }

    /// The evidence that vouches for it, if that is what the report names.
    pub fn vendor_word(&self) -> Option<&VendorWord> {
        match &self.voucher {
            Voucher::Software { .. } => None,
            Voucher::Vendor(word) => (self.body.vendor == Some(word.digests())).then_some(word),
        }
    }
}

impl From<Signed<BootReport, SoftwarePlatform>> for SignedBoot {
    fn from(signed: Signed<BootReport, SoftwarePlatform>) -> Self {
        let Signed { body, key, signature } = signed;
        Self { body, voucher: Voucher::Software { key, signature } }
    }
}

/// Which module ran, and what was set aside for it (R095, R123).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleRun {
    /// SHA-256 of its bytes.
    pub code: Digest,
    /// Whose instructions the fuel counts, such as `wasmtime-48`.
    pub fuel_schedule: String,
    /// The fuel that the order covers: it depends on no record.
    pub fuel_max: u64,
}

/// What an enclave did for one step of one task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttestationReport {
    /// The platform's class.
    pub class: PlatformClass,
    /// The boot report that vouches for the signing key.
    pub boot: Digest,
    /// The actor that answers for the enclave.
    pub actor: ActorId,
    /// The key that signs this report.
    pub signing_key: PublicKey<SoftwareEnclave>,
    /// The program that ran.
    pub measurement: Measurement,
    /// The machine that it ran on.
    pub platform: PlatformId,
    /// The task.
    pub task: TaskId,
    /// The step of the task: [`slice_step`], [`scan_step`], [`move_step`] or [`AGGREGATE_STEP`].
    pub step: String,
    /// The challenge of who asked for the step.
    pub nonce: Digest,
    /// The module that ran, where one did.
    pub module: Option<ModuleRun>,
    /// Root over the inputs.
    pub input_root: Digest,
    /// Hash of the output.
    pub output: Digest,
    /// Shapes that the inputs were read by.
    pub schema: SchemaVersion,
    /// Registry that attributes were read by.
    pub semantic: SemanticVersion,
    /// Policy that the step followed.
    pub policy: PolicyVersion,
    /// Whether the enclave wiped its inputs after the output was sealed (R117, R127).
    pub purged: bool,
    /// Whether key memory is kept from the swap. Stated as it is.
    pub memory_locked: bool,
    /// What the class is worth, in words.
    pub notice: String,
}

impl Document for AttestationReport {
    const TAG: &'static str = "symphony/attestation-report/v2";
}

/// An attestation report with the signature of its enclave.
pub type SignedReport = Signed<AttestationReport, SoftwareEnclave>;

/// The machine that quotes with `key`.
pub fn platform_id(key: &PublicKey<SoftwarePlatform>) -> PlatformId {
    key.platform()
}

/// The step in which the records of `vault` are evaluated.
pub fn slice_step(vault: &VaultId) -> String {
    format!("slice:{vault}")
}

/// The step in which one of several enclaves of `vault` reads a portion of its segments.
pub fn scan_step(vault: &VaultId) -> String {
    format!("scan:{vault}")
}

/// The step in which a batch of people leaves a Vault for another.
pub fn move_step(from: &VaultId, to: &VaultId) -> String {
    format!("move:{from}:{to}")
}

/// The step in which slices are combined.
pub const AGGREGATE_STEP: &str = "aggregate";

/// A boot report with its voucher is at most this long.
pub const BOOT_BYTES_MAX: usize =
    evidence::BYTES_MAX + evidence::TABLE_BYTES_MAX + collateral::BYTES_MAX + (8 << 10);

const HARDWARE_NOTICE: &str = "hardware: vouched for by evidence of its vendor";
const DEVELOPMENT_NOTICE: &str = "development: no hardware stands behind this evidence";
const SOFTWARE_NOTICE: &str = "software: not a trusted execution environment";
