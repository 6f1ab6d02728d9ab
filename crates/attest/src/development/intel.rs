//! Quotes of process enclaves and of virtual machines in Intel's format, with the levels, identities and lists that
//! verification needs.

use aws_lc_rs::digest::{SHA256, digest};
use dcap_qvl::INTEL_QE_VENDOR_ID;
use rcgen::CustomExtension;
use serde_json::json;
use symphony_types::time::OrderedMillis;
use time::format_description::well_known::Rfc3339;

use crate::collateral::{Collateral, IntelCollateral};
use crate::development::DevelopmentVendor;
use crate::development::authority::{Authority, Curve, VendorError, date};
use crate::evidence::{Evidence, Format};

pub(super) struct Issuers {
    pub(super) root: Authority,
    pub(super) platform: Authority,
    pub(super) levels: Authority,
}

/// What a development quote says, and what the vendor says of its firmware.
#[derive(Clone, Debug)]
pub struct QuoteSpec {
    /// What the enclave bound.
    pub report_data: [u8; 64],
    /// MRENCLAVE.
    pub measurement: [u8; 32],
    /// The machine; all zero hides it.
    pub ppid: [u8; 16],
    /// The security version of every component of the platform.
    pub svn: u8,
    /// The version from which on the vendor's levels say `UpToDate`; below they say `OutOfDate`, below 1 nothing.
    pub svn_wanted: u8,
    /// The number of the vendor's collection of levels.
    pub eval_number: u32,
    /// Debugging is on.
    pub debug: bool,
    /// Whether the platform key's certificate is on its issuer's list.
    pub revoked: bool,
}

impl Default for QuoteSpec {
    fn default() -> Self {
        Self {
            report_data: [0; 64],
            measurement: [0x44; 32],
            ppid: [0x55; 16],
            svn: 7,
            svn_wanted: 7,
            eval_number: 17,
            debug: false,
            revoked: false,
        }
    }
}

/// What a development quote of a virtual machine says, and what the vendor says of its firmware.
#[derive(Clone, Debug)]
pub struct DomainSpec {
    /// What the guest bound.
    pub report_data: [u8; 64],
    /// MRTD.
    pub measurement: [u8; 48],
    /// The machine; all zero hides it.
    pub ppid: [u8; 16],
    /// As of [`QuoteSpec`], and of every component of the module.
    pub svn: u8,
    /// As of [`QuoteSpec`].
    pub svn_wanted: u8,
    /// As of [`QuoteSpec`].
    pub eval_number: u32,
    /// Debugging is on.
    pub debug: bool,
    /// As of [`QuoteSpec`].
    pub revoked: bool,
}

impl Default for DomainSpec {
    fn default() -> Self {
        let QuoteSpec { report_data, ppid, svn, svn_wanted, eval_number, debug, revoked, .. } =
            QuoteSpec::default();
        let measurement = [0x44; 48];
        Self { report_data, measurement, ppid, svn, svn_wanted, eval_number, debug, revoked }
    }
}

impl Issuers {
    pub(super) fn new(from: OrderedMillis, until: OrderedMillis) -> Result<Self, VendorError> {
        let root = Authority::root(ROOT, Curve::P256, from, until)?;
        let platform = root.issue(PLATFORM, true, Vec::new(), 2)?;
        let levels = root.issue(LEVELS, false, Vec::new(), 3)?;
        Ok(Self { root, platform, levels })
    }
}

impl DevelopmentVendor {
    /// A quote with its collateral.
    ///
    /// **Errors**: [`VendorError`].
    pub fn quote(&self, spec: &QuoteSpec) -> Result<(Evidence, Collateral), VendorError> {
        let report = report(&spec.measurement, &[0x66; 32], spec.debug, &spec.report_data);
        self.quoted(spec, Kind::Process, [header(Kind::Process), report].concat())
    }

    /// A quote of a virtual machine with its collateral.
    ///
    /// **Errors**: [`VendorError`].
    pub fn domain(&self, spec: &DomainSpec) -> Result<(Evidence, Collateral), VendorError> {
        let DomainSpec { ppid, svn, svn_wanted, eval_number, revoked, .. } = *spec;
        let of_machine = QuoteSpec { ppid, svn, svn_wanted, eval_number, revoked, ..QuoteSpec::default() };
        self.quoted(&of_machine, Kind::Machine, [header(Kind::Machine), domain_report(spec)].concat())
    }

    /// Signs a header with a report. Of `spec` counts what it says of machine and firmware.
    fn quoted(
        &self,
        spec: &QuoteSpec,
        kind: Kind,
        body: Vec<u8>,
    ) -> Result<(Evidence, Collateral), VendorError> {
        let issuers = &self.intel;
        let extension = CustomExtension::from_oid_content(&PLATFORM_OID, platform_extension(spec));
        let key =
            issuers.platform.issue("Development PCK Certificate", false, vec![extension], KEY_SERIAL)?;
        // The quoting enclave's key needs no certificate: its report names it.
        let quoting = issuers.platform.issue("quoting", false, Vec::new(), 9)?;
        let bound = [quoting.point(), &[0; 32]].concat();
        let mut report_data = [0; 64];
        report_data[..32].copy_from_slice(digest(&SHA256, &bound).as_ref());
        let quoting_report = report(&QUOTING_MEASUREMENT, &QUOTING_SIGNER, false, &report_data);
        let chain = [key.pem(), issuers.platform.pem(), issuers.root.pem()].concat();
        let certified = [
            quoting_report.clone(),
            key.sign(&quoting_report)?,
            32_u16.to_le_bytes().to_vec(),
            vec![0; 32],
            5_u16.to_le_bytes().to_vec(),
            (chain.len() as u32).to_le_bytes().to_vec(),
            chain.into_bytes(),
        ]
        .concat();
        let wrapped = match kind {
            Kind::Process => certified,
            Kind::Machine => {
                [&6_u16.to_le_bytes()[..], &(certified.len() as u32).to_le_bytes(), &certified].concat()
            }
        };
        let auth = [quoting.sign(&body)?, quoting.point().to_vec(), wrapped].concat();
        let body = [body, (auth.len() as u32).to_le_bytes().to_vec(), auth].concat();
        let evidence = Evidence { format: Format::IntelQuote, body, certificates: Vec::new() };
        Ok((evidence, Collateral::Intel(Box::new(self.levels(spec, kind)?))))
    }

    fn levels(&self, spec: &QuoteSpec, kind: Kind) -> Result<IntelCollateral, VendorError> {
        let issuers = &self.intel;
        let text = |at| date(at)?.format(&Rfc3339).map_err(|error| VendorError::Encode(error.to_string()));
        let (from, until) = (text(self.from)?, text(self.until)?);
        let level = |svn: u8, status: &str, advisories: &[&str]| {
            let components = vec![json!({ "svn": svn }); 16];
            // The second is the module's version, which reports leave at zero.
            let of_module: Vec<_> =
                (0..16).map(|part| json!({ "svn": if part == 1 { 0 } else { svn } })).collect();
            json!({
                "tcb": { "sgxtcbcomponents": components, "tdxtcbcomponents": of_module, "pcesvn": svn },
                "tcbDate": from, "tcbStatus": status, "advisoryIDs": advisories,
            })
        };
        let levels = [level(spec.svn_wanted, "UpToDate", &[]), level(1, "OutOfDate", &["DEVELOPMENT-SA-1"])];
        let (levels_of, quoting_of) = match kind {
            Kind::Process => ("SGX", "QE"),
            Kind::Machine => ("TDX", "TD_QE"),
        };
        let tcb_info = json!({
            "id": levels_of, "version": 3, "issueDate": from, "nextUpdate": until,
            "fmspc": hex::encode_upper(FMSPC), "pceId": "0000", "tcbType": 0,
            "tcbEvaluationDataNumber": spec.eval_number, "tcbLevels": levels,
            "tdxModule": {
                "mrsigner": hex::encode_upper([0; 48]), "attributes": hex::encode_upper([0; 8]),
                "attributesMask": hex::encode_upper([0xff; 8]),
            },
        })
        .to_string();
        let qe_identity = json!({
            "id": quoting_of, "version": 2, "issueDate": from, "nextUpdate": until,
            "tcbEvaluationDataNumber": spec.eval_number,
            "miscselect": "00000000", "miscselectMask": "FFFFFFFF",
            "attributes": hex::encode_upper(attributes(false)),
            "attributesMask": hex::encode_upper([0xff; 16]),
            "mrsigner": hex::encode_upper(QUOTING_SIGNER), "isvprodid": 1,
            "tcbLevels": [{ "tcb": { "isvsvn": 1 }, "tcbDate": from, "tcbStatus": "UpToDate" }],
        })
        .to_string();
        let chain = [issuers.levels.pem(), issuers.root.pem()].concat();
        let revoked: &[u64] = if spec.revoked { &[KEY_SERIAL] } else { &[] };
        Ok(IntelCollateral {
            pck_crl_issuer_chain: [issuers.platform.pem(), issuers.root.pem()].concat(),
            root_ca_crl: issuers.root.list(&[])?,
            pck_crl: issuers.platform.list(revoked)?,
            tcb_info_issuer_chain: chain.clone(),
            tcb_info_signature: issuers.levels.sign(tcb_info.as_bytes())?,
            tcb_info,
            qe_identity_issuer_chain: chain,
            qe_identity_signature: issuers.levels.sign(qe_identity.as_bytes())?,
            qe_identity,
            pck_certificate_chain: None,
        })
    }
}

/// What is quoted.
#[derive(Clone, Copy)]
enum Kind {
    /// A process enclave.
    Process,
    /// A virtual machine.
    Machine,
}

/// The header of a quote of version 3 or 4, signed by ECDSA P-256.
fn header(kind: Kind) -> Vec<u8> {
    let (version, class) = match kind {
        Kind::Process => (3_u16, 0_u32),
        Kind::Machine => (4, 0x81),
    };
    let words = [version.to_le_bytes(), 2_u16.to_le_bytes()].concat();
    let class = class.to_le_bytes().to_vec();
    [words, class, vec![0; 4], INTEL_QE_VENDOR_ID.to_vec(), vec![0; 20]].concat()
}

/// The report of a virtual machine of the first form.
fn domain_report(spec: &DomainSpec) -> Vec<u8> {
    let mut report = vec![0; 584];
    let mut put = |at: usize, bytes: &[u8]| report[at..at + bytes.len()].copy_from_slice(bytes);
    // The second component is the module's version: zero has no identity of its own.
    put(0, &[spec.svn, 0]);
    put(2, &[spec.svn; 14]);
    put(120, &((1_u64 << 28) | u64::from(spec.debug)).to_le_bytes());
    put(136, &spec.measurement);
    put(520, &spec.report_data);
    report
}

fn report(measurement: &[u8; 32], signer: &[u8; 32], debug: bool, report_data: &[u8; 64]) -> Vec<u8> {
    let mut report = vec![0; 384];
    let mut put = |at: usize, bytes: &[u8]| report[at..at + bytes.len()].copy_from_slice(bytes);
    put(48, &attributes(debug));
    put(64, measurement);
    put(128, signer);
    put(256, &1_u16.to_le_bytes());
    put(258, &1_u16.to_le_bytes());
    put(320, report_data);
    report
}

const fn attributes(debug: bool) -> [u8; 16] {
    let mut attributes = [0; 16];
    // Initialised and 64 bits wide, and the debug bit between them.
    attributes[0] = if debug { 0x07 } else { 0x05 };
    attributes
}

/// What the platform key's certificate says of the platform.
fn platform_extension(spec: &QuoteSpec) -> Vec<u8> {
    let octets = |bytes: &[u8]| tlv(0x04, bytes);
    let member = |below: &[u8], value: Vec<u8>| tlv(0x30, &[oid(below), value].concat());
    let mut tcb: Vec<u8> = (1..=17).flat_map(|part| member(&[2, part], tlv(0x02, &[spec.svn]))).collect();
    tcb.extend(member(&[2, 18], octets(&[spec.svn; 16])));
    let members = [
        member(&[1], octets(&spec.ppid)),
        member(&[2], tlv(0x30, &tcb)),
        member(&[3], octets(&[0; 2])),
        member(&[4], octets(&FMSPC)),
        member(&[5], tlv(0x0a, &[0])),
    ];
    tlv(0x30, &members.concat())
}

/// 1.2.840.113741.1.13.1 and what is below it.
fn oid(below: &[u8]) -> Vec<u8> {
    tlv(0x06, &[&[0x2a, 0x86, 0x48, 0x86, 0xf8, 0x4d, 0x01, 0x0d, 0x01], below].concat())
}

fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
    let length = match value.len() {
        short @ 0..=0x7f => vec![short as u8],
        middle @ 0x80..=0xff => vec![0x81, middle as u8],
        long => vec![0x82, (long >> 8) as u8, long as u8],
    };
    [&[tag][..], &length, value].concat()
}

pub(super) const ROOT: &str = "Development Root CA";
pub(super) const PLATFORM: &str = "Development PCK CA";
pub(super) const LEVELS: &str = "Development TCB Signing";
const PLATFORM_OID: [u64; 7] = [1, 2, 840, 113_741, 1, 13, 1];
const FMSPC: [u8; 6] = [0x00, 0x90, 0x6e, 0xd5, 0x00, 0x00];
const QUOTING_MEASUREMENT: [u8; 32] = [0x77; 32];
const QUOTING_SIGNER: [u8; 32] = [0x88; 32];
const KEY_SERIAL: u64 = 7;
