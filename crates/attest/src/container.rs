//! Forms in which people keep evidence and collateral: text, wrappers of clouds and kernels, JSON around them. Liberal in
//! what is unpacked, because every judgement comes later; each step makes the bytes fewer, and there are few steps.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::Value;

use crate::amd;
use crate::certificate;
use crate::collateral::{AmdCollateral, Collateral, IntelCollateral};
use crate::evidence::{self, Evidence, Format};
use crate::fault::{Fault, FaultCode};

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Evidence of a vendor.
    Evidence(Evidence),
    /// A report that an Intel processor made for itself: only that processor can check it.
    LocalReport(Vec<u8>),
}

/// A file, unpacked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unpacked {
    pub(crate) content: Content,
    /// The forms around it, from the outside inwards.
    pub(crate) forms: Vec<&'static str>,
    /// What a cloud's wrapper binds through the report: runtime data with keys of its virtual TPM.
    pub(crate) runtime: Option<Vec<u8>>,
}

/// Finds the evidence in a file.
///
/// **Errors**: `too-large`, `evidence-unrecognised`, or what the innermost form is at fault for.
pub(crate) fn unpack(file: &[u8]) -> Result<Unpacked, Fault> {
    if file.len() > FILE_BYTES_MAX {
        return Err(Fault::new(FaultCode::TooLarge, format!("{} bytes of file", file.len())));
    }
    let mut bytes = file.to_vec();
    let mut forms = Vec::new();
    let mut runtime = None;
    for _ in 0..STEPS_MAX {
        if evidence::recognise(&bytes).is_some() {
            let content = Content::Evidence(trimmed(&bytes)?);
            return Ok(Unpacked { content, forms, runtime });
        }
        if let Some(cloud) = CloudReport::read(&bytes) {
            forms.push("Azure HCL report");
            runtime = cloud.runtime.map(<[u8]>::to_vec);
            if cloud.local {
                return Ok(Unpacked { content: Content::LocalReport(cloud.report.to_vec()), forms, runtime });
            }
            bytes = cloud.report.to_vec();
        } else if let Some(report) = kernel_response(&bytes) {
            forms.push("response of the guest device");
            bytes = report.to_vec();
        } else if let Some((form, inner)) = text(&bytes) {
            forms.push(form);
            bytes = inner;
        } else {
            break;
        }
    }
    Err(Fault::new(FaultCode::Unrecognised, "no quote, report or document was found in the file"))
}

/// Evidence with padding of devices behind it cut off.
fn trimmed(bytes: &[u8]) -> Result<Evidence, Fault> {
    match Evidence::read(bytes) {
        Ok(evidence) => Ok(evidence),
        Err(fault) if evidence::recognise(bytes) == Some(Format::AmdReport) => {
            // Not a table of certificates behind the report: whatever it is, it is no part of the report.
            let report = bytes.get(..amd::report::BYTES).ok_or(fault)?;
            Evidence::with_table(Format::AmdReport, report, &[])
        }
        Err(fault) => Err(fault),
    }
}

/// Reads files of collateral for evidence of one format, all of them into one value.
///
/// **Errors**: `collateral-malformed`, `collateral-differs` or `too-large`.
pub(crate) fn collateral(format: Format, files: &[&[u8]]) -> Result<Collateral, Fault> {
    let mut intel = None;
    let mut amd = AmdCollateral::default();
    for file in files {
        if file.len() > FILE_BYTES_MAX {
            return Err(Fault::new(FaultCode::TooLarge, format!("{} bytes of collateral", file.len())));
        }
        let file = match text(file) {
            Some((HEX | BASE64, inner)) => inner,
            Some(_) | None => file.to_vec(),
        };
        let begins = file.iter().find(|byte| !byte.is_ascii_whitespace());
        if begins == Some(&b'{') {
            match json_chains(&file) {
                Some(chains) => {
                    for der in certificate::pem(chains.as_bytes())? {
                        sort(der, &mut amd)?;
                    }
                }
                None => intel = Some(IntelCollateral::from_json(&file)?),
            }
        } else if file.windows(PEM_BEGIN.len()).any(|window| window == PEM_BEGIN) {
            for der in certificate::pem(&file)? {
                sort(der, &mut amd)?;
            }
        } else if begins == Some(&DER_SEQUENCE) {
            sort(file, &mut amd)?;
        } else {
            amd.certificates.extend(amd::table::certificates(&file)?);
        }
    }
    let some = !amd.certificates.is_empty() || !amd.revocations.is_empty();
    let collateral = match (format, intel) {
        (Format::IntelQuote, Some(intel)) => Collateral::Intel(Box::new(intel)),
        (Format::IntelQuote | Format::NitroDocument, None) if !some => Collateral::None,
        (Format::AmdReport, None) if some => Collateral::Amd(amd),
        (Format::AmdReport, None) => Collateral::None,
        (Format::AmdReport | Format::NitroDocument, Some(_))
        | (Format::IntelQuote | Format::NitroDocument, _) => {
            return Err(Fault::new(
                FaultCode::CollateralDiffers,
                "the collateral is for another kind of evidence",
            ));
        }
    };
    collateral.within_limits()?;
    Ok(collateral)
}

/// The PEM texts of an object that has certificates and no levels, as clouds hand out AMD's.
fn json_chains(file: &[u8]) -> Option<String> {
    let Ok(Value::Object(members)) = serde_json::from_slice(file) else { return None };
    if members.contains_key("tcb_info") {
        return None;
    }
    let texts = members.values().filter_map(Value::as_str).filter(|text| text.contains("-----BEGIN "));
    let chains: Vec<&str> = texts.collect();
    (!chains.is_empty()).then(|| chains.join("\n"))
}

fn sort(der: Vec<u8>, amd: &mut AmdCollateral) -> Result<(), Fault> {
    if certificate::parse(&der).is_ok() {
        amd.certificates.push(der);
    } else if certificate::parse_list(&der).is_ok() {
        amd.revocations.push(der);
    } else {
        return Err(Fault::collateral("neither a certificate nor a list of revoked ones"));
    }
    Ok(())
}

/// Azure's wrapper: a header, the processor's report, and the data that the report binds.
struct CloudReport<'a> {
    report: &'a [u8],
    runtime: Option<&'a [u8]>,
    local: bool,
}

impl<'a> CloudReport<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        if !bytes.starts_with(b"HCLA") {
            return None;
        }
        let report = bytes.get(CLOUD_HEADER..CLOUD_HEADER + amd::report::BYTES)?;
        let head = CLOUD_HEADER + amd::report::BYTES;
        let word = |at: usize| {
            bytes.get(at..at + 4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]))
        };
        // Size, version, kind of report, kind of hash, size of the data behind.
        let local = word(head + 8) == Some(CLOUD_KIND_LOCAL);
        let length = word(head + 16).and_then(|length| usize::try_from(length).ok());
        let runtime = length.and_then(|length| bytes.get(head + 20..)?.get(..length));
        let report = if local { report.get(..LOCAL_REPORT_BYTES)? } else { report };
        Some(Self { report, runtime, local })
    }
}

/// A response of the guest device: a status of zero, the report's length and reserved bytes before it.
fn kernel_response(bytes: &[u8]) -> Option<&[u8]> {
    let length = (amd::report::BYTES as u32).to_le_bytes();
    let begins = bytes.get(..4) == Some(&[0; 4]) && bytes.get(4..8) == Some(&length);
    begins.then(|| bytes.get(32..32 + amd::report::BYTES)).flatten()
}

/// One layer of text taken off.
fn text(bytes: &[u8]) -> Option<(&'static str, Vec<u8>)> {
    let text = std::str::from_utf8(bytes).ok()?.trim().trim_start_matches('\u{feff}');
    if text.starts_with('{') || text.starts_with('[') || text.starts_with('"') {
        let value: Value = serde_json::from_str(text).ok()?;
        return json(&value, 0).map(|inner| ("JSON", inner));
    }
    if let Some(begin) = text.find("-----BEGIN ") {
        let body = text[begin..].split_once('\n')?.1;
        let body = body.split_once("-----END ")?.0;
        let lines: String = body.lines().filter(|line| !line.contains(':')).collect();
        return base64(&lines).map(|inner| ("PEM", inner));
    }
    let dense: String = text.chars().filter(|c| !c.is_whitespace() && *c != ',').collect();
    let digits = dense.strip_prefix("0x").or_else(|| dense.strip_prefix("0X")).unwrap_or(&dense);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return hex::decode(digits).ok().map(|inner| (HEX, inner));
    }
    base64(&dense).map(|inner| (BASE64, inner))
}

/// The first member that holds evidence, as text or as an array of bytes.
fn json(value: &Value, depth: usize) -> Option<Vec<u8>> {
    if depth == JSON_DEPTH_MAX {
        return None;
    }
    let holds = |inner: &Vec<u8>| {
        evidence::recognise(inner).is_some()
            || CloudReport::read(inner).is_some()
            || kernel_response(inner).is_some()
    };
    match value {
        Value::String(text) => {
            let dense = text.as_bytes();
            self::text(dense).filter(|(form, _)| *form != "JSON").map(|(_, inner)| inner).filter(holds)
        }
        Value::Array(members) => {
            let bytes: Option<Vec<u8>> =
                members.iter().map(|member| u8::try_from(member.as_u64()?).ok()).collect();
            let bytes = bytes.filter(holds);
            bytes.or_else(|| members.iter().find_map(|member| json(member, depth + 1)))
        }
        Value::Object(members) => members.values().find_map(|member| json(member, depth + 1)),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

fn base64(text: &str) -> Option<Vec<u8>> {
    let alphabet = if text.contains(['-', '_']) { &alphabet::URL_SAFE } else { &alphabet::STANDARD };
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let inner = GeneralPurpose::new(alphabet, config).decode(text).ok()?;
    (!inner.is_empty()).then_some(inner)
}

const HEX: &str = "hexadecimal";
const BASE64: &str = "base64";
const PEM_BEGIN: &[u8] = b"-----BEGIN ";
const DER_SEQUENCE: u8 = 0x30;
const FILE_BYTES_MAX: usize = 512 << 10;
const STEPS_MAX: usize = 5;
const JSON_DEPTH_MAX: usize = 6;
const CLOUD_HEADER: usize = 32;
const CLOUD_KIND_LOCAL: u32 = 4;
const LOCAL_REPORT_BYTES: usize = 1024;
