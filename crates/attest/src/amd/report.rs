//! An AMD attestation report, decoded by the vendor community's crate, and its signature, checked over the bytes as they
//! were sent. The crate would encode the report anew before hashing, and refuses one form that exists: version 2 from a
//! machine that hides its chip.

use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};
use sev::Generation;
use sev::firmware::guest::AttestationReport;
use sev::firmware::host::TcbVersion;
use sev::parser::ByteParser as _;

use crate::claims::Register;
use crate::fault::{Fault, FaultCode};

/// Which key signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SigningKey {
    /// The chip's own, versioned by its firmware.
    Chip,
    /// One that the operator of the machine loaded.
    Loaded,
    /// None: the machine was told not to sign.
    None,
}

/// Security versions of the firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    /// The boot loader.
    pub bootloader: u8,
    /// The secure processor's system.
    pub tee: u8,
    /// The firmware of encrypted virtualisation.
    pub snp: u8,
    /// The microcode.
    pub microcode: u8,
    /// The first mutable code; since the generation Turin.
    pub fmc: Option<u8>,
}

impl Versions {
    /// **Shape**: bootloader, tee, snp, microcode, fmc (0 where there is none).
    pub fn components(&self) -> [u8; 5] {
        [self.bootloader, self.tee, self.snp, self.microcode, self.fmc.unwrap_or(0)]
    }
}

/// What a report says.
#[derive(Clone, Debug)]
pub struct Report {
    raw: Vec<u8>,
    vendor: AttestationReport,
    /// The version of the report's form.
    pub version: u32,
    /// Which key signed.
    pub signing_key: SigningKey,
    /// The host may look inside.
    pub debug: bool,
    /// Two threads may share a core.
    pub smt: bool,
    /// The privilege level that asked.
    pub vmpl: u32,
    /// What the guest bound.
    pub report_data: [u8; 64],
    /// The guest as launched.
    pub measurement: [u8; 48],
    /// The chip; all zero when it hides itself.
    pub chip_id: [u8; 64],
    /// The generation, where the report names one: since version 3.
    pub generation: Option<&'static str>,
}

impl Report {
    /// Reads a report of version 2 to 5 or later.
    ///
    /// **Errors**: `evidence-malformed` or `evidence-unsupported`.
    pub fn read(raw: &[u8]) -> Result<Self, Fault> {
        if raw.len() != BYTES {
            return Err(Fault::malformed(format!("a report has {BYTES} bytes, not {}", raw.len())));
        }
        if raw[SIGNATURE_ALGORITHM_AT..SIGNATURE_ALGORITHM_AT + 4] != [1, 0, 0, 0] {
            return Err(Fault::new(FaultCode::Unsupported, "not signed by ECDSA P-384 with SHA-384"));
        }
        let hidden = raw[CHIP_ID_AT..CHIP_ID_AT + 64].iter().all(|byte| *byte == 0);
        let mut shown = raw.to_vec();
        if hidden && raw[0] == 2 {
            // Version 2 does not name the generation, and the decoder takes it from the chip's id. Only generations whose
            // ids are long made version 2, so any long id gives the right layout.
            shown[CHIP_ID_AT + 63] = 1;
        }
        let mut vendor = AttestationReport::from_bytes(&shown)
            .map_err(|error| Fault::malformed(format!("report: {error}")))?;
        if hidden {
            vendor.chip_id = [0; 64];
        }
        let generation = match (vendor.cpuid_fam_id, vendor.cpuid_mod_id) {
            (Some(family), Some(model)) => Some(match Generation::identify_cpu(family, model) {
                Ok(Generation::Milan) => "Milan",
                Ok(Generation::Genoa) => "Genoa",
                Ok(Generation::Turin) => "Turin",
                Ok(_) | Err(_) => {
                    return Err(Fault::new(FaultCode::Unsupported, "a generation without a built-in root"));
                }
            }),
            _ => None,
        };
        let signing_key = match vendor.key_info.signing_key() {
            0 => SigningKey::Chip,
            1 => SigningKey::Loaded,
            7 => SigningKey::None,
            other => return Err(Fault::malformed(format!("signing key {other} is reserved"))),
        };
        Ok(Self {
            raw: raw.to_vec(),
            version: vendor.version,
            signing_key,
            debug: vendor.policy.debug_allowed(),
            smt: vendor.plat_info.smt_enabled(),
            vmpl: vendor.vmpl,
            report_data: vendor.report_data,
            measurement: vendor.measurement,
            chip_id: vendor.chip_id,
            generation,
            vendor,
        })
    }

    /// Whether a migration agent may move the guest, or stands beside it.
    pub fn migratable(&self) -> bool {
        // Without an agent its report id is all ones; firmware before that rule wrote zeros.
        let id = &self.vendor.report_id_ma;
        let none = id.iter().all(|byte| *byte == 0xff) || id.iter().all(|byte| *byte == 0);
        self.vendor.policy.migrate_ma_allowed() || !none
    }

    /// The four levels that a report names, by name.
    pub fn tcbs(&self) -> [(&'static str, Versions); 4] {
        [
            ("reported", versions(&self.vendor.reported_tcb)),
            ("committed", versions(&self.vendor.committed_tcb)),
            ("launch", versions(&self.vendor.launch_tcb)),
            ("current", versions(&self.vendor.current_tcb)),
        ]
    }

    /// The level that the signing key was derived for.
    pub fn reported(&self) -> Versions {
        versions(&self.vendor.reported_tcb)
    }

    /// All but launch measurement, bound bytes and chip.
    pub fn registers(&self) -> Vec<Register> {
        let report = &self.vendor;
        vec![
            Register::new("HOST_DATA", report.host_data),
            Register::new("ID_KEY_DIGEST", report.id_key_digest),
            Register::new("AUTHOR_KEY_DIGEST", report.author_key_digest),
            Register::new("FAMILY_ID", report.family_id),
            Register::new("IMAGE_ID", report.image_id),
            Register::new("REPORT_ID", report.report_id),
            Register::new("REPORT_ID_MA", report.report_id_ma),
            Register::new("GUEST_SVN", report.guest_svn.to_be_bytes()),
            Register::new("POLICY", u64::from(report.policy).to_be_bytes()),
            Register::new("PLATFORM", u64::from(report.plat_info).to_be_bytes()),
        ]
    }

    /// Checks the signature over the report's bytes with an uncompressed P-384 point.
    ///
    /// **Errors**: `signature-invalid`.
    pub fn signed_by(&self, key: &[u8]) -> Result<(), Fault> {
        let mut signature = [0; 96];
        for (part, at) in [SIGNATURE_AT, SIGNATURE_AT + NUMBER_BYTES].into_iter().enumerate() {
            let number = &self.raw[at..at + NUMBER_BYTES];
            let (low, high) = number.split_at(48);
            if high.iter().any(|byte| *byte != 0) {
                return Err(Fault::new(
                    FaultCode::SignatureInvalid,
                    "a number of the signature is too large",
                ));
            }
            // The report has them little-endian.
            for (to, from) in signature[part * 48..][..48].iter_mut().zip(low.iter().rev()) {
                *to = *from;
            }
        }
        UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, key)
            .verify(&self.raw[..SIGNATURE_AT], &signature)
            .map_err(|_| {
                Fault::new(FaultCode::SignatureInvalid, "the report was not signed by the chip's key")
            })
    }
}

fn versions(tcb: &TcbVersion) -> Versions {
    Versions {
        bootloader: tcb.bootloader,
        tee: tcb.tee,
        snp: tcb.snp,
        microcode: tcb.microcode,
        fmc: tcb.fmc,
    }
}

/// Every report has this many bytes.
pub const BYTES: usize = 0x4a0;
/// Where the number of the signature's algorithm stands.
pub const SIGNATURE_ALGORITHM_AT: usize = 0x34;
/// Where the chip's id stands.
pub const CHIP_ID_AT: usize = 0x1a0;
/// Where the signature begins; all before it is signed.
pub const SIGNATURE_AT: usize = 0x2a0;
const NUMBER_BYTES: usize = 72;
