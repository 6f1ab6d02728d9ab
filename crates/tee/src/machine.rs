//! What the enclaves of a node rest on, and how a start gets its voucher: a seed where nothing stands behind it, or evidence
//! that the machine makes over 64 bytes that the enclave chose (R121, R123, R130).

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use symphony_attest::claims::Claims;
use symphony_attest::collateral::Collateral;
use symphony_attest::fault::Fault;
use symphony_attest::roots::Roots;
use symphony_attest::sources::{self, EvidenceSource, SourceError};
use symphony_attest::verify::verify_under;
use symphony_types::id::{Measurement, PlatformId};
use symphony_types::time::OrderedMillis;

use crate::keys::PlatformSeed;
use crate::report::PlatformClass;
use crate::voucher::VendorWord;

/// What the enclaves of a node rest on.
#[derive(Clone)]
pub enum EnclaveMachine {
    /// A machine without trusted hardware: class `software`.
    Software(PlatformSeed),
    /// A machine whose vendor vouches for it, or that plays one in development.
    Vendor(Arc<VendorMachine>),
}

/// A machine that makes evidence.
pub struct VendorMachine {
    source: Box<dyn WordSource>,
    roots: Roots,
}

/// Makes evidence that binds 64 bytes, with what it is verified by.
pub trait WordSource: Send + Sync {
    /// The word of this machine over `report_data`. May take seconds. **Errors**: [`MachineError`].
    fn word(&self, report_data: &[u8; 64]) -> Result<VendorWord, MachineError>;
}

/// Why a machine gave no voucher.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// The machine makes no evidence.
    #[error("asking the machine for evidence")]
    Source(#[from] SourceError),
    /// A file of collateral cannot be read.
    #[error("reading {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The evidence does not verify with the collateral: it would be refused everywhere.
    #[error("verifying the machine's own evidence")]
    Verify(#[from] Fault),
    /// The evidence tells no machine: it would be refused everywhere.
    #[error("the machine hides itself in its evidence")]
    Masked,
    /// No such source of evidence.
    #[error("{0} is no source of evidence")]
    Unknown(String),
    /// A development vendor could not sign.
    #[error("making development evidence: {0}")]
    Development(String),
}

/// What a host hands its enclave for the boot report. The enclave repeats it, and whoever appraises compares it with the evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vouched {
    /// What stands behind the machine.
    pub class: PlatformClass,
    /// What was launched.
    pub measurement: Measurement,
    /// The machine.
    pub platform: PlatformId,
    /// The evidence and its collateral.
    pub word: VendorWord,
}

impl VendorMachine {
    /// The machine that this process runs on, by the word of its source, with files of collateral that are read anew at each
    /// start. **Errors**: there is no such source.
    pub fn of_source(word: &str, collateral: Vec<PathBuf>) -> Result<Self, MachineError> {
        let source = sources::named(word).ok_or_else(|| MachineError::Unknown(word.to_owned()))?;
        Ok(Self { source: Box::new(Device { source, collateral }), roots: Roots::pinned() })
    }

    /// A machine of another kind, verified under stated roots.
    pub fn new(source: Box<dyn WordSource>, roots: Roots) -> Self {
        Self { source, roots }
    }

    /// Makes and checks the voucher of one start. Blocks.
    ///
    /// **Errors**: [`MachineError`]; what does not verify here and now is not worth starting an enclave for.
    pub fn vouch(&self, report_data: &[u8; 64]) -> Result<Vouched, MachineError> {
        let word = self.source.word(report_data)?;
        let claims = verify_under(&self.roots, &word.evidence, &word.collateral, clock())?;
        let platform = claims.platform.id.ok_or(MachineError::Masked)?;
        Ok(Vouched { class: class(&claims), measurement: claims.measurement, platform, word })
    }
}

/// The class that claims stand for.
fn class(claims: &Claims) -> PlatformClass {
    if claims.development {
        PlatformClass::Development(claims.class)
    } else {
        PlatformClass::Hardware(claims.class)
    }
}

/// Hardware of this machine.
struct Device {
    source: Box<dyn EvidenceSource + Send + Sync>,
    collateral: Vec<PathBuf>,
}

impl WordSource for Device {
    fn word(&self, report_data: &[u8; 64]) -> Result<VendorWord, MachineError> {
        let evidence = self.source.evidence(report_data)?;
        let read = |path: &PathBuf| {
            fs::read(path).map_err(|source| MachineError::File { path: path.clone(), source })
        };
        let files = self.collateral.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
        let collateral = Collateral::from_files(evidence.format, &files)?;
        Ok(VendorWord { evidence, collateral })
    }
}

/// The host's own clock: it decides here only whether a start is worth trying.
pub(crate) fn clock() -> OrderedMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    OrderedMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
