//! Reports in AMD's format, signed by a key that the development vendor certified for their chip and firmware.

use rcgen::CustomExtension;
use symphony_types::time::OrderedMillis;

use crate::amd::report::{BYTES, SIGNATURE_AT};
use crate::collateral::{AmdCollateral, Collateral};
use crate::development::DevelopmentVendor;
use crate::development::authority::{Authority, Curve, VendorError};
use crate::evidence::{Evidence, Format};

pub(super) struct Issuers {
    pub(super) root: Authority,
    pub(super) issuer: Authority,
}

/// What a development report says. The default is a guest that nothing speaks against.
#[derive(Clone, Debug)]
pub struct ReportSpec {
    /// What the guest bound.
    pub report_data: [u8; 64],
    /// The guest as launched.
    pub measurement: [u8; 48],
    /// The chip; all zero hides it.
    pub chip_id: [u8; 64],
    /// The chip that the signing key is certified for; the report's when absent.
    pub certified_chip: Option<[u8; 64]>,
    /// Bootloader, tee, snp, microcode.
    pub tcb: [u8; 4],
    /// The firmware that the signing key is certified for; the report's when absent.
    pub certified_tcb: Option<[u8; 4]>,
    /// The firmware that the guest was launched on; the report's when absent.
    pub launch_tcb: Option<[u8; 4]>,
    /// Debugging is on.
    pub debug: bool,
    /// A migration agent may move the guest.
    pub migratable: bool,
    /// Two threads may share a core.
    pub smt: bool,
    /// The privilege level that asked.
    pub vmpl: u32,
    /// Whether the signing key's certificate is on its issuer's list.
    pub revoked: bool,
    /// The last moment of the signing key's certificate; the vendor's when absent.
    pub key_until: Option<OrderedMillis>,
}

impl Default for ReportSpec {
    fn default() -> Self {
        Self {
            report_data: [0; 64],
            measurement: [0x11; 48],
            chip_id: [0x22; 64],
            certified_chip: None,
            tcb: [4, 0, 23, 213],
            certified_tcb: None,
            launch_tcb: None,
            debug: false,
            migratable: false,
            smt: false,
            vmpl: 0,
            revoked: false,
            key_until: None,
        }
    }
}

impl Issuers {
    pub(super) fn new(from: OrderedMillis, until: OrderedMillis) -> Result<Self, VendorError> {
        let root = Authority::root(ROOT, Curve::P384, from, until)?;
        let issuer = root.issue(ISSUER, true, Vec::new(), 2)?;
        Ok(Self { root, issuer })
    }
}

impl DevelopmentVendor {
    /// A report with its collateral: the key's certificate and both issuers' lists.
    ///
    /// **Errors**: [`VendorError`].
    pub fn report(&self, spec: &ReportSpec) -> Result<(Evidence, Collateral), VendorError> {
        let certified = spec.certified_tcb.unwrap_or(spec.tcb);
        let chip = spec.certified_chip.unwrap_or(spec.chip_id);
        let mut extensions: Vec<CustomExtension> =
            [(1, certified[0]), (2, certified[1]), (3, certified[2]), (8, certified[3])]
                .map(|(part, value)| extension(&[3, part], integer(value)))
                .to_vec();
        extensions.push(extension(&[4], chip.to_vec()));
        let until = spec.key_until.unwrap_or(self.until);
        let issuer = &self.amd.issuer;
        let key = issuer.issue_between("SEV-VCEK", false, extensions, KEY_SERIAL, self.from, until)?;
        let mut body = body(spec);
        let signature = key.sign(&body[..SIGNATURE_AT])?;
        for (part, at) in [SIGNATURE_AT, SIGNATURE_AT + 72].into_iter().enumerate() {
            let number = signature[part * 48..][..48].iter().rev();
            body[at..at + 48].iter_mut().zip(number).for_each(|(to, from)| *to = *from);
        }
        let revoked: &[u64] = if spec.revoked { &[KEY_SERIAL] } else { &[] };
        let collateral = AmdCollateral {
            certificates: vec![key.der()],
            revocations: vec![self.amd.root.list(&[])?, issuer.list(revoked)?],
        };
        let evidence = Evidence { format: Format::AmdReport, body, certificates: Vec::new() };
        Ok((evidence, Collateral::Amd(collateral)))
    }
}

/// A report of version 3 without its signature.
fn body(spec: &ReportSpec) -> Vec<u8> {
    let mut body = vec![0; BYTES];
    let mut put = |at: usize, bytes: &[u8]| body[at..at + bytes.len()].copy_from_slice(bytes);
    let versions = |tcb: [u8; 4]| [tcb[0], tcb[1], 0, 0, 0, 0, tcb[2], tcb[3]];
    let flag = |on: bool, bit: u64| u64::from(on) << bit;
    let policy = flag(true, 17) | flag(spec.migratable, 18) | flag(spec.debug, 19);
    put(0x000, &3_u32.to_le_bytes());
    put(0x008, &policy.to_le_bytes());
    put(0x030, &spec.vmpl.to_le_bytes());
    put(0x034, &1_u32.to_le_bytes());
    put(0x038, &versions(spec.tcb));
    put(0x040, &flag(spec.smt, 0).to_le_bytes());
    put(0x050, &spec.report_data);
    put(0x090, &spec.measurement);
    put(0x160, &[0xff; 32]);
    put(0x180, &versions(spec.tcb));
    put(0x188, &[0x19, 0x01, 0x01]);
    put(0x1a0, &spec.chip_id);
    put(0x1e0, &versions(spec.tcb));
    put(0x1f0, &versions(spec.launch_tcb.unwrap_or(spec.tcb)));
    body
}

fn extension(below: &[u64], content: Vec<u8>) -> CustomExtension {
    let oid = [&[1, 3, 6, 1, 4, 1, 3704, 1], below].concat();
    CustomExtension::from_oid_content(&oid, content)
}

fn integer(value: u8) -> Vec<u8> {
    if value < 0x80 { vec![2, 1, value] } else { vec![2, 2, 0, value] }
}

/// Reports of version 3 name their processor; the layout that is written is this generation's.
pub(super) const GENERATION: &str = "Milan";
pub(super) const ROOT: &str = "ARK-Development";
pub(super) const ISSUER: &str = "SEV-Development";
const KEY_SERIAL: u64 = 7;
