//! What verified evidence says: the class of hardware, the program that was launched, the machine, its firmware and the
//! bytes that the program bound to itself (R123). Nothing here is a judgement.

use std::fmt::Display;

use serde::{Deserialize, Serialize, Serializer};
use symphony_types::digest::Digest;
use symphony_types::id::{Measurement, PlatformId};
use symphony_types::time::OrderedMillis;

use crate::moment;

/// The vendor and kind of hardware that stands behind evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Class {
    /// A process enclave of an Intel processor.
    IntelSgx,
    /// A virtual machine of an Intel processor.
    IntelTdx,
    /// A virtual machine of an AMD processor.
    AmdSevSnp,
    /// A virtual machine under the AWS Nitro hypervisor.
    AwsNitro,
}

impl Class {
    /// Every class, in order.
    pub const ALL: [Self; 4] = [Self::IntelSgx, Self::IntelTdx, Self::AmdSevSnp, Self::AwsNitro];

    /// The class of a word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.as_str() == word)
    }

    /// The word that stands in policy, metrics and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::IntelSgx => "intel-sgx",
            Self::IntelTdx => "intel-tdx",
            Self::AmdSevSnp => "amd-sev-snp",
            Self::AwsNitro => "aws-nitro",
        }
    }
}

/// Everything that verified evidence says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Claims {
    /// The kind of hardware.
    pub class: Class,
    /// Whether the path ends at a root of our own making: no hardware vouches for anything here (R130).
    pub development: bool,
    /// The program as it was launched, in the project's form: tagged SHA-256 over class and `launch`.
    #[serde(serialize_with = "digits")]
    pub measurement: Measurement,
    /// The program as the vendor measures it. **Shape**: 32 or 48 bytes.
    #[serde(with = "hex::serde")]
    pub launch: Vec<u8>,
    /// Every other register, by the vendor's name, in the vendor's order.
    pub registers: Vec<Register>,
    /// What the program bound to itself. **Shape**: 64 bytes; of AWS documents whatever `user_data` holds.
    #[serde(with = "hex::serde")]
    pub report_data: Vec<u8>,
    /// The challenge, of AWS documents only.
    pub nonce: Option<Hex>,
    /// The key that material may be sealed to, of AWS documents only.
    pub public_key: Option<Hex>,
    /// The machine.
    pub platform: Platform,
    /// Its firmware.
    pub tcb: Tcb,
    /// How the program runs.
    pub traits: Traits,
    /// From when all of it holds: the latest beginning in the path and the collateral.
    #[serde(serialize_with = "date")]
    pub valid_from: OrderedMillis,
    /// Until when all of it holds: the earliest end in the path and the collateral.
    #[serde(serialize_with = "date")]
    pub valid_until: OrderedMillis,
    /// SHA-256 of the root certificate.
    #[serde(serialize_with = "digits")]
    pub root: Digest,
    /// The path of certificates, from the one that signed the evidence to the root.
    pub signers: Vec<Signer>,
    /// Whether lists of revoked certificates were among the collateral, or none exist for the class.
    pub revocation_checked: bool,
}

impl Claims {
    /// The word for the class, with a mark when no hardware stands behind it (R130).
    pub fn class_label(&self) -> String {
        let mark = if self.development { " (development: software, no hardware behind it)" } else { "" };
        format!("{}{mark}", self.class.as_str())
    }

    /// The value of a register.
    pub fn register(&self, name: &str) -> Option<&[u8]> {
        self.registers.iter().find(|register| register.name == name).map(|register| register.value.as_slice())
    }
}

/// One register of the evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Register {
    /// The vendor's name, such as `RTMR0`.
    pub name: String,
    /// Its bytes.
    #[serde(with = "hex::serde")]
    pub value: Vec<u8>,
}

impl Register {
    pub(crate) fn new(name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        Self { name: name.into(), value: value.into() }
    }
}

/// Bytes that print as hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hex(#[serde(with = "hex::serde")] pub Vec<u8>);

/// Which machine made the evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Platform {
    /// Tagged SHA-256 over class and `raw`; absent when the machine hides itself.
    #[serde(serialize_with = "some_digits")]
    pub id: Option<PlatformId>,
    /// What the vendor tells machines apart by: PPID, chip id or module id.
    #[serde(with = "hex::serde")]
    pub raw: Vec<u8>,
    /// The model of the processor, as far as the evidence tells: FMSPC, generation or none.
    pub model: String,
}

/// How the vendor judges the firmware, where it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TcbStatus {
    /// Nothing is missing.
    UpToDate,
    /// The program itself must be built against a known weakness.
    SwHardeningNeeded,
    /// The machine must be configured otherwise.
    ConfigurationNeeded,
    /// Both of the two above.
    ConfigurationAndSwHardeningNeeded,
    /// Updates are missing.
    OutOfDate,
    /// Updates are missing and the machine must be configured otherwise.
    OutOfDateConfigurationNeeded,
    /// The machine was updated; the domain must be started anew to profit.
    RelaunchAdvised,
    /// The same, and the machine must be configured otherwise.
    RelaunchAdvisedConfigurationNeeded,
    /// The vendor takes the keys for known.
    Revoked,
}

impl TcbStatus {
    /// Every judgement, in order.
    pub const ALL: [Self; 9] = [
        Self::UpToDate,
        Self::SwHardeningNeeded,
        Self::ConfigurationNeeded,
        Self::ConfigurationAndSwHardeningNeeded,
        Self::OutOfDate,
        Self::OutOfDateConfigurationNeeded,
        Self::RelaunchAdvised,
        Self::RelaunchAdvisedConfigurationNeeded,
        Self::Revoked,
    ];

    /// The judgement of a vendor's word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// The vendor's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UpToDate => "UpToDate",
            Self::SwHardeningNeeded => "SWHardeningNeeded",
            Self::ConfigurationNeeded => "ConfigurationNeeded",
            Self::ConfigurationAndSwHardeningNeeded => "ConfigurationAndSWHardeningNeeded",
            Self::OutOfDate => "OutOfDate",
            Self::OutOfDateConfigurationNeeded => "OutOfDateConfigurationNeeded",
            Self::RelaunchAdvised => "TDRelaunchAdvised",
            Self::RelaunchAdvisedConfigurationNeeded => "TDRelaunchAdvisedConfigurationNeeded",
            Self::Revoked => "Revoked",
        }
    }
}

/// The firmware below the program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tcb {
    /// The vendor's judgement, where collateral carries one.
    pub status: Option<TcbStatus>,
    /// Weaknesses that the vendor lists against this level.
    pub advisories: Vec<String>,
    /// The number of the vendor's collection of levels; older collateral has a smaller one.
    pub eval_number: Option<u32>,
    /// Security versions by name: for AMD `reported`, `committed`, `launch` and `current`, each as bootloader, tee, snp,
    /// microcode, fmc.
    pub versions: Vec<Register>,
}

/// How the program runs, as far as the class tells.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traits {
    /// The host may look inside.
    pub debug: bool,
    /// The program may be moved to another machine, or a migration agent stands beside it.
    pub migratable: bool,
    /// The privilege level inside the guest that asked; 0 is the highest.
    pub vmpl: Option<u32>,
    /// Two threads share a core.
    pub smt: Option<bool>,
    /// The set of processor packages may grow.
    pub dynamic_platform: Option<bool>,
    /// Keys of the platform are kept by the vendor's registration service.
    pub cached_keys: Option<bool>,
    /// A service domain is bound to this one and may act on it.
    pub service_domain: bool,
}

/// One certificate of the path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Signer {
    /// Its subject.
    pub subject: String,
    /// Its first moment.
    #[serde(serialize_with = "date")]
    pub not_before: OrderedMillis,
    /// Its last moment.
    #[serde(serialize_with = "date")]
    pub not_after: OrderedMillis,
    /// SHA-256 over it.
    #[serde(serialize_with = "digits")]
    pub fingerprint: Digest,
}

/// The project's form of a vendor's launch measurement.
pub fn measurement(class: Class, launch: &[u8]) -> Measurement {
    Measurement(Digest::of(MEASUREMENT_TAG, &(class, launch)))
}

/// The project's form of a vendor's machine id; none when the bytes hide the machine.
pub fn platform_id(class: Class, raw: &[u8]) -> Option<PlatformId> {
    let shown = raw.iter().any(|byte| *byte != 0);
    shown.then(|| PlatformId(Digest::of(PLATFORM_TAG, &(class, raw))))
}

fn digits<S: Serializer, T: Display>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

fn some_digits<S: Serializer, T: Display>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.collect_str(value),
        None => serializer.serialize_none(),
    }
}

fn date<S: Serializer>(at: &OrderedMillis, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&moment::text(*at))
}

const MEASUREMENT_TAG: &str = "symphony/vendor-measurement/v1";
const PLATFORM_TAG: &str = "symphony/vendor-platform/v1";
