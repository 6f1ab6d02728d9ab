//! Explains a file of evidence to a person: what it is, whether a vendor vouches for it, what it says of program and
//! machine, what speaks against relying on it, and what could not be checked. Judges by no policy of a network.

mod text;

use serde::Serialize;
use symphony_types::digest::Digest;
use symphony_types::time::OrderedMillis;

use crate::claims::{Claims, TcbStatus};
use crate::collateral::Collateral;
use crate::container::{self, Content};
use crate::evidence::{Evidence, Format};
use crate::fault::{Fault, FaultCode};
use crate::moment;
use crate::roots::Roots;
use crate::verify::verify_under;
use crate::{amd, intel, nitro};

/// What is known of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// What it is, such as `Intel TDX quote, version 4`.
    pub kind: String,
    /// Forms that were unpacked on the way, from the outside inwards.
    pub forms: Vec<&'static str>,
    /// Length of the vendor's bytes.
    pub bytes: usize,
    /// Digest that a decision names the evidence by.
    pub evidence: String,
    /// Digest that a decision names the collateral by.
    pub collateral: String,
    /// The time that everything was judged at, RFC 3339.
    pub at: String,
    /// Whether a vendor vouches for it.
    pub verdict: Verdict,
    /// Why not.
    pub fault: Option<Refusal>,
    /// When it would verify, when the time alone is at fault.
    pub would_hold: Option<Window>,
    /// What it says. Believe it only when the verdict is genuine.
    pub claims: Option<Claims>,
    /// What speaks against relying on it, by code and sentence.
    pub concerns: Vec<Refusal>,
    /// What was checked and held, where not everything was.
    pub checked: Vec<String>,
    /// What could not be checked, and what would be needed.
    pub unchecked: Vec<String>,
}

/// Whether a vendor vouches for evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Every check was made and held.
    Genuine,
    /// What was checked held, but something needed was not given.
    Unproven,
    /// A check failed.
    Refused,
    /// Nobody but the machine itself can check this form.
    Uncheckable,
}

impl Verdict {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Genuine => "genuine",
            Self::Unproven => "not proven",
            Self::Refused => "refused",
            Self::Uncheckable => "cannot be checked by anybody else",
        }
    }
}

/// A code and its sentence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// Stable.
    pub code: &'static str,
    /// For people.
    pub detail: String,
}

/// From when until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Window {
    /// RFC 3339.
    pub from: String,
    /// RFC 3339.
    pub until: String,
}

impl Inspection {
    /// Whether a vendor vouches for it and nothing speaks against it.
    pub fn is_good(&self) -> bool {
        self.verdict == Verdict::Genuine && self.concerns.is_empty()
    }
}

/// Explains `file` with the given files of collateral, as of `at`, under the vendors' roots.
///
/// **Errors**: a [`Fault`] when no evidence is found in the file, or a file of collateral cannot be read.
pub fn inspect(file: &[u8], collateral: &[&[u8]], at: OrderedMillis) -> Result<Inspection, Fault> {
    inspect_under(&Roots::pinned(), file, collateral, at)
}

/// The same under stated roots.
///
/// **Errors**: as of [`inspect`].
pub fn inspect_under(
    roots: &Roots,
    file: &[u8],
    collateral: &[&[u8]],
    at: OrderedMillis,
) -> Result<Inspection, Fault> {
    let unpacked = container::unpack(file)?;
    let evidence = match unpacked.content {
        Content::LocalReport(report) => return Ok(local(&report, unpacked.forms, at)),
        Content::Evidence(evidence) => evidence,
    };
    let collateral = container::collateral(evidence.format, collateral)?;
    let mut inspection = Inspection {
        kind: kind(&evidence),
        forms: unpacked.forms,
        bytes: evidence.body.len(),
        evidence: evidence.digest().to_hex(),
        collateral: collateral.digest().to_hex(),
        at: moment::text(at),
        verdict: Verdict::Genuine,
        fault: None,
        would_hold: None,
        claims: None,
        concerns: Vec::new(),
        checked: Vec::new(),
        unchecked: Vec::new(),
    };
    match verify_under(roots, &evidence, &collateral, at) {
        Ok(claims) => inspection.claims = Some(claims),
        Err(fault) => refused(&mut inspection, &evidence, &collateral, roots, at, fault),
    }
    if let Some(claims) = &inspection.claims {
        inspection.concerns = concerns(claims);
        if let Some(runtime) = &unpacked.runtime {
            bound(claims, runtime, &mut inspection.concerns);
        }
        if !claims.revocation_checked && inspection.verdict == Verdict::Genuine {
            let detail = "whether a certificate was revoked: no list of revoked certificates was given";
            inspection.unchecked.push(detail.to_owned());
        }
    }
    Ok(inspection)
}

fn refused(
    inspection: &mut Inspection,
    evidence: &Evidence,
    collateral: &Collateral,
    roots: &Roots,
    at: OrderedMillis,
    fault: Fault,
) {
    inspection.verdict = Verdict::Refused;
    if fault.code == FaultCode::CollateralMissing {
        inspection.verdict = Verdict::Unproven;
        inspection.unchecked.push(needed(evidence.format).to_owned());
    }
    if fault.code == FaultCode::NotValidAt
        && let Some(claims) = moment_of(evidence, collateral)
            .and_then(|then| verify_under(roots, evidence, collateral, then).ok())
    {
        let (from, until) = (moment::text(claims.valid_from), moment::text(claims.valid_until));
        inspection.would_hold = Some(Window { from, until });
        inspection.claims = Some(claims);
    }
    if inspection.claims.is_none() {
        inspection.claims = stated(evidence, inspection, roots, at);
    }
    // A check that failed outweighs one that could not be made.
    inspection.fault.get_or_insert(Refusal { code: fault.code.as_str(), detail: fault.detail });
}

/// What evidence says without, or with only a part of, its checks.
fn stated(
    evidence: &Evidence,
    inspection: &mut Inspection,
    roots: &Roots,
    at: OrderedMillis,
) -> Option<Claims> {
    match evidence.format {
        Format::IntelQuote => {
            match intel::signatures_alone(&evidence.body, roots, at) {
                Ok(claims) => {
                    let detail = "every signature from the program's report up to Intel's root";
                    inspection.checked.push(detail.to_owned());
                    return Some(claims);
                }
                Err(fault) if fault.code == FaultCode::CollateralMissing => {}
                // Without collateral this is the only word on the evidence.
                Err(fault) if inspection.verdict == Verdict::Unproven => {
                    inspection.verdict = Verdict::Refused;
                    inspection.fault = Some(Refusal { code: fault.code.as_str(), detail: fault.detail });
                }
                Err(_) => {}
            }
            intel::unverified(&evidence.body).ok()
        }
        Format::AmdReport => amd::unverified(&evidence.body).ok(),
        Format::NitroDocument => nitro::unverified(&evidence.body).ok(),
    }
}

/// A moment at which evidence would hold, if there is one.
fn moment_of(evidence: &Evidence, collateral: &Collateral) -> Option<OrderedMillis> {
    match evidence.format {
        Format::IntelQuote => match collateral {
            Collateral::Intel(collateral) => intel::begins(collateral),
            Collateral::None | Collateral::Amd(_) => None,
        },
        Format::NitroDocument => nitro::unverified(&evidence.body).ok().map(|claims| claims.valid_from),
        Format::AmdReport => {
            let given = match collateral {
                Collateral::Amd(amd) => amd.certificates.as_slice(),
                Collateral::None | Collateral::Intel(_) => &[],
            };
            let certificates = given.iter().chain(&evidence.certificates);
            certificates.filter_map(|der| crate::certificate::begins(der)).max()
        }
    }
}

fn local(report: &[u8], forms: Vec<&'static str>, at: OrderedMillis) -> Inspection {
    Inspection {
        kind: "Intel TDX report for the same machine (not a quote)".to_owned(),
        forms,
        bytes: report.len(),
        evidence: Digest::of_bytes(report).to_hex(),
        collateral: Collateral::None.digest().to_hex(),
        at: moment::text(at),
        verdict: Verdict::Uncheckable,
        fault: None,
        would_hold: None,
        claims: None,
        concerns: Vec::new(),
        checked: Vec::new(),
        unchecked: vec![
            "the report carries a code that only the processor which made it can check; \
             its quoting enclave turns it into a quote, and a quote can be checked anywhere"
                .to_owned(),
        ],
    }
}

fn kind(evidence: &Evidence) -> String {
    let word = |at: usize| evidence.body.get(at).copied().unwrap_or(0);
    match evidence.format {
        Format::IntelQuote => {
            let what =
                if word(4) == 0x81 { "TDX quote of a virtual machine" } else { "SGX quote of an enclave" };
            format!("Intel {what}, version {}", word(0))
        }
        Format::AmdReport => format!("AMD SEV-SNP attestation report, version {}", word(0)),
        Format::NitroDocument => "AWS Nitro attestation document".to_owned(),
    }
}

/// What any reader of evidence should stumble over.
fn concerns(claims: &Claims) -> Vec<Refusal> {
    let mut found = Vec::new();
    let mut concern = |holds: bool, code: &'static str, detail: &str| {
        if holds {
            found.push(Refusal { code, detail: detail.to_owned() });
        }
    };
    let traits = &claims.traits;
    concern(
        claims.development,
        "development-root-refused",
        "the root is of our own making: no hardware vouches for it",
    );
    concern(
        traits.debug,
        "debug-enabled",
        "debugging is on: whoever runs the machine can read everything inside",
    );
    concern(
        traits.migratable,
        "migration-enabled",
        "the guest may be moved to another machine by a migration agent",
    );
    concern(
        traits.service_domain,
        "service-domain-bound",
        "a service domain is bound and may act on this one",
    );
    let zero = claims.report_data.iter().all(|byte| *byte == 0);
    let alone = claims.nonce.is_none() && claims.public_key.is_none();
    concern(
        zero && alone,
        "report-data-empty",
        "nothing is bound to it: anybody can replay it, and no key belongs to it",
    );
    concern(
        claims.platform.id.is_none() && !claims.platform.raw.is_empty(),
        "platform-masked",
        "the machine hides itself, so no list of machines can admit it",
    );
    let level = traits.vmpl.filter(|level| *level > 0);
    if let Some(level) = level {
        let detail = format!("asked from privilege level {level} of the guest, not from its highest");
        found.push(Refusal { code: "privilege-level-refused", detail });
    }
    if let Some(status) = claims.tcb.status.filter(|status| *status != TcbStatus::UpToDate) {
        let detail = match claims.tcb.advisories.as_slice() {
            [] => format!("the vendor judges the firmware {}", status.as_str()),
            list => format!("the vendor judges the firmware {}: {}", status.as_str(), list.join(", ")),
        };
        found.push(Refusal { code: "tcb-status-refused", detail });
    }
    found
}

/// Whether the data of a cloud's wrapper is what the report binds.
fn bound(claims: &Claims, runtime: &[u8], concerns: &mut Vec<Refusal>) {
    let hash = Digest::of_bytes(runtime);
    if claims.report_data.get(..32) != Some(&hash.0[..]) {
        let detail = "the wrapper's runtime data is not what the report binds".to_owned();
        concerns.push(Refusal { code: "report-data-differs", detail });
    }
}

const fn needed(format: Format) -> &'static str {
    match format {
        Format::IntelQuote => {
            "the firmware's level, and whether a certificate was revoked: \
             give the collateral of the quote's FMSPC as JSON with --collateral"
        }
        Format::AmdReport => {
            "everything: give the certificate of the key that signed (VCEK or VLEK, DER or PEM) with --collateral; \
             for a VLEK its issuer (ASVK) too"
        }
        Format::NitroDocument => "nothing more is needed",
    }
}
