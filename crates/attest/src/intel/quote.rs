//! The parts of a quote: what its body says, the path of certificates that it carries, and its two signatures.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use dcap_qvl::quote::{AuthData, EnclaveReport, Quote, Report, TDReport10};

use crate::certificate;
use crate::claims::{Class, Register};
use crate::fault::{Fault, FaultCode};

/// What the body of a quote says.
pub(crate) struct Body {
    pub(crate) class: Class,
    pub(crate) launch: Vec<u8>,
    pub(crate) registers: Vec<Register>,
    pub(crate) report_data: Vec<u8>,
    pub(crate) versions: Vec<Register>,
    pub(crate) debug: bool,
    pub(crate) service_domain: bool,
}

/// Reads the body.
pub(crate) fn body(report: &Report) -> Body {
    match report {
        Report::SgxEnclave(enclave) => process(enclave),
        Report::TD10(domain) => machine(domain),
        Report::TD15(domain) => {
            let mut body = machine(&domain.base);
            body.registers.push(Register::new("MRSERVICETD", domain.mr_service_td));
            body.versions.push(Register::new("TEE_TCB_SVN2", domain.tee_tcb_svn2));
            body.service_domain |= domain.mr_service_td != [0; 48];
            body
        }
        Report::TD15Ex(domain) => {
            let base = &domain.base;
            let mut body = machine(&base.base);
            body.registers.push(Register::new("MRSERVICETD", base.mr_service_td));
            body.registers.push(Register::new("TD_ID", domain.td_id));
            body.registers.push(Register::new("DEVICES", domain.dev_info));
            body.registers.push(Register::new("CURRENT_SERVICETD", domain.cur_service_td_hash));
            body.versions.push(Register::new("TEE_TCB_SVN2", base.tee_tcb_svn2));
            body.service_domain |= base.mr_service_td != [0; 48] || domain.cur_service_td_hash != [0; 48];
            body
        }
    }
}

fn process(enclave: &EnclaveReport) -> Body {
    Body {
        class: Class::IntelSgx,
        launch: enclave.mr_enclave.to_vec(),
        registers: vec![
            Register::new("MRSIGNER", enclave.mr_signer),
            Register::new("ISVPRODID", enclave.isv_prod_id.to_be_bytes()),
            Register::new("ISVSVN", enclave.isv_svn.to_be_bytes()),
            Register::new("ATTRIBUTES", enclave.attributes),
            Register::new("MISCSELECT", enclave.misc_select.to_be_bytes()),
        ],
        report_data: enclave.report_data.to_vec(),
        versions: Vec::new(),
        debug: enclave.attributes[0] & PROCESS_DEBUG != 0,
        service_domain: false,
    }
}

fn machine(domain: &TDReport10) -> Body {
    Body {
        class: Class::IntelTdx,
        launch: domain.mr_td.to_vec(),
        registers: vec![
            Register::new("RTMR0", domain.rt_mr0),
            Register::new("RTMR1", domain.rt_mr1),
            Register::new("RTMR2", domain.rt_mr2),
            Register::new("RTMR3", domain.rt_mr3),
            Register::new("MRCONFIGID", domain.mr_config_id),
            Register::new("MROWNER", domain.mr_owner),
            Register::new("MROWNERCONFIG", domain.mr_owner_config),
            Register::new("MRSEAM", domain.mr_seam),
            Register::new("MRSIGNERSEAM", domain.mr_signer_seam),
            Register::new("TDATTRIBUTES", domain.td_attributes),
            Register::new("XFAM", domain.xfam),
        ],
        report_data: domain.report_data.to_vec(),
        versions: vec![Register::new("TEE_TCB_SVN", domain.tee_tcb_svn)],
        // Any of the bits "under debug", not only the first.
        debug: domain.td_attributes[0] != 0,
        service_domain: domain.td_attributes[2] & MACHINE_SERVICE != 0,
    }
}

/// The path of the platform's key, as DER, from collateral or out of the quote.
///
/// **Errors**: `collateral-missing` when neither has one, `evidence-malformed`.
pub(crate) fn path(quote: &Quote, given: Option<&str>) -> Result<Vec<Vec<u8>>, Fault> {
    let text = match given {
        Some(text) => text.as_bytes(),
        None if quote.inner_cert_type() == PATH_INCLUDED => quote.inner_cert_data(),
        None => {
            let detail = "the quote names its platform's key encrypted; the certificate must be given";
            return Err(Fault::new(FaultCode::CollateralMissing, detail));
        }
    };
    // Quoting enclaves end the text with a zero byte.
    let end = text.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let path = certificate::pem(&text[..end])?;
    if path.is_empty() {
        return Err(Fault::malformed("the quote's path of certificates is empty"));
    }
    Ok(path)
}

/// Checks both signatures of a quote: the platform's over the quoting enclave, the quoting enclave's over the body.
///
/// **Errors**: `signature-invalid`, `evidence-malformed`.
pub(crate) fn signed(bytes: &[u8], quote: &Quote, path: &[Vec<u8>]) -> Result<(), Fault> {
    let invalid = |what: &str| Fault::new(FaultCode::SignatureInvalid, what);
    let auth = match &quote.auth_data {
        AuthData::V3(data) => data.clone(),
        AuthData::V4(data) => data.clone().into_v3(),
    };
    let leaf = path.first().ok_or_else(|| Fault::malformed("the quote's path of certificates is empty"))?;
    let platform = certificate::parse(leaf)?;
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &platform.public_key().subject_public_key.data)
        .verify(&auth.qe_report, &auth.qe_report_signature)
        .map_err(|_| invalid("the platform's key did not sign the quoting enclave's report"))?;
    let bound = [&auth.ecdsa_attestation_key[..], &auth.qe_auth_data.data].concat();
    let at = auth.qe_report.len() - 64;
    if auth.qe_report[at..at + 32] != *digest(&SHA256, &bound).as_ref() {
        return Err(invalid("the quoting enclave's report is about another key"));
    }
    let key = [&[4][..], &auth.ecdsa_attestation_key].concat();
    let body = bytes.get(..quote.signed_length()).ok_or_else(|| Fault::malformed("the quote is cut off"))?;
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key)
        .verify(body, &auth.ecdsa_signature)
        .map_err(|_| invalid("the quoting enclave's key did not sign the quote"))
}

/// The certification data is the PEM path of the platform's key.
const PATH_INCLUDED: u16 = 5;
const PROCESS_DEBUG: u8 = 2;
/// Bit 17 of the attributes, in their third byte.
const MACHINE_SERVICE: u8 = 2;
