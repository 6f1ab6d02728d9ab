//! Which fault a refused quote has. The pinned crate answers in sentences; dates and revocation are looked up here in
//! what was given, and only the rest is told apart by those sentences. A refusal stays a refusal whatever this finds.

use dcap_qvl::intel::parse_pck_extension;
use dcap_qvl::quote::Quote;
use dcap_qvl::{SvnComponent, TcbInfo};
use serde::Deserialize;
use symphony_types::time::OrderedMillis;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use x509_parser::revocation_list::CertificateRevocationList;

use crate::certificate::{holds_at, millis, parse, parse_list, pem, signer};
use crate::collateral::IntelCollateral;
use crate::fault::{Fault, FaultCode};
use crate::intel::quote;
use crate::roots::Roots;

/// The fault behind the crate's `sentence`.
pub(super) fn fault(
    sentence: &str,
    quote: &Quote,
    collateral: &IntelCollateral,
    roots: &Roots,
    at: OrderedMillis,
) -> Fault {
    if let Some(fault) = dated(quote, collateral, roots, at).or_else(|| revoked(quote, collateral)) {
        return fault;
    }
    let found = SENTENCES.iter().find(|(part, _)| sentence.contains(part));
    let code = found.map_or(FaultCode::ChainInvalid, |(_, code)| *code);
    let missing = (code == FaultCode::TcbUnknown).then(|| shortfall(quote, collateral)).flatten();
    Fault::new(code, missing.map_or_else(|| sentence.to_owned(), |missing| format!("{sentence}: {missing}")))
}

/// The first moment at which the vendor's levels, identities and lists all were issued.
pub(crate) fn begins(collateral: &IntelCollateral) -> Option<OrderedMillis> {
    let mut latest = OrderedMillis(0);
    for text in [&collateral.tcb_info, &collateral.qe_identity] {
        let dates: Dates = serde_json::from_str(text).ok()?;
        let issued = OffsetDateTime::parse(&dates.issue_date, &Rfc3339).ok()?.unix_timestamp();
        latest = latest.max(OrderedMillis(u64::try_from(issued).ok()?.saturating_mul(1000)));
    }
    Some(lists(collateral).iter().map(|list| millis(list.last_update())).fold(latest, OrderedMillis::max))
}

/// The first thing that does not hold at `at`.
fn dated(quote: &Quote, collateral: &IntelCollateral, roots: &Roots, at: OrderedMillis) -> Option<Fault> {
    for (what, text) in
        [("levels", &collateral.tcb_info), ("quoting enclave's identity", &collateral.qe_identity)]
    {
        let Ok(dates) = serde_json::from_str::<Dates>(text) else { continue };
        let moment =
            |text: &str| OffsetDateTime::parse(text, &Rfc3339).ok().map(OffsetDateTime::unix_timestamp);
        let (Some(from), Some(to)) = (moment(&dates.issue_date), moment(&dates.next_update)) else {
            continue;
        };
        let now = i64::try_from(at.0 / 1000).unwrap_or(i64::MAX);
        if now < from || now > to {
            let detail =
                format!("the vendor's {what} hold from {} to {}", dates.issue_date, dates.next_update);
            return Some(Fault::new(FaultCode::NotValidAt, detail));
        }
    }
    for list in lists(collateral).iter() {
        if at < millis(list.last_update()) || list.next_update().is_none_or(|next| at >= millis(next)) {
            let detail = format!("the list of revoked certificates of {} does not hold", list.issuer());
            return Some(Fault::new(FaultCode::NotValidAt, detail));
        }
    }
    let chains = [&collateral.tcb_info_issuer_chain, &collateral.qe_identity_issuer_chain];
    let mut certificates: Vec<Vec<u8>> =
        chains.iter().filter_map(|chain| pem(chain.as_bytes()).ok()).flatten().collect();
    certificates.extend(quote::path(quote, collateral.pck_certificate_chain.as_deref()).unwrap_or_default());
    certificates.push(roots.intel.to_vec());
    certificates.iter().find_map(|der| holds_at(&signer(&parse(der).ok()?, der), at).err())
}

/// The first certificate that one of the lists names.
fn revoked(quote: &Quote, collateral: &IntelCollateral) -> Option<Fault> {
    let mut certificates = quote::path(quote, collateral.pck_certificate_chain.as_deref()).ok()?;
    certificates.extend(pem(collateral.tcb_info_issuer_chain.as_bytes()).ok()?);
    for der in &certificates {
        let certificate = parse(der).ok()?;
        for list in lists(collateral).iter().filter(|list| list.issuer() == certificate.issuer()) {
            if list.iter_revoked_certificates().any(|entry| entry.raw_serial() == certificate.raw_serial()) {
                let detail = format!("the certificate of {} was revoked", certificate.subject());
                return Some(Fault::new(FaultCode::Revoked, detail));
            }
        }
    }
    None
}

/// What the firmware lacks to the level that it is nearest to.
fn shortfall(quote: &Quote, collateral: &IntelCollateral) -> Option<String> {
    let levels: TcbInfo = serde_json::from_str(&collateral.tcb_info).ok()?;
    let path = quote::path(quote, collateral.pck_certificate_chain.as_deref()).ok()?;
    let platform = parse_pck_extension(path.first()?).ok()?;
    let domain = quote.report.as_td10().map(|domain| &domain.tee_tcb_svn);
    let lacks = levels.tcb_levels.iter().filter_map(|level| {
        let lacks = level.shortfalls(&platform.cpu_svn, platform.pce_svn, domain).ok()?;
        (!lacks.is_empty()).then_some(lacks)
    });
    let nearest = lacks.min_by_key(Vec::len)?;
    let parts: Vec<String> = nearest
        .iter()
        .map(|lack| {
            let component = match lack.component {
                SvnComponent::Sgx(part) => format!("platform component {part}"),
                SvnComponent::Tdx(part) => format!("domain component {part}"),
                SvnComponent::PceSvn => "provisioning enclave".to_owned(),
                SvnComponent::TdxModuleIsvSvn => "domain module".to_owned(),
            };
            format!("{component} is at {}, the nearest level asks for {}", lack.have, lack.needs)
        })
        .collect();
    Some(parts.join("; "))
}

fn lists(collateral: &IntelCollateral) -> Vec<CertificateRevocationList<'_>> {
    [&collateral.root_ca_crl, &collateral.pck_crl].iter().filter_map(|der| parse_list(der).ok()).collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Dates {
    issue_date: String,
    next_update: String,
}

/// Parts of the crate's sentences, the more telling first.
const SENTENCES: [(&str, FaultCode); 26] = [
    ("Failed to decode quote", FaultCode::Malformed),
    ("Failed to decode TcbInfo", FaultCode::CollateralMalformed),
    ("Failed to decode QeIdentity", FaultCode::CollateralMalformed),
    ("QE Identity id", FaultCode::CollateralDiffers),
    ("Unsupported", FaultCode::Unsupported),
    ("must have version", FaultCode::Unsupported),
    ("Unknown QE vendor", FaultCode::Unsupported),
    ("invalid: Revoked", FaultCode::TcbRevoked),
    ("No matching TCB level", FaultCode::TcbUnknown),
    ("below minimum required", FaultCode::TcbUnknown),
    ("No matching QE TCB level", FaultCode::TcbUnknown),
    ("Fmspc mismatch", FaultCode::CollateralDiffers),
    ("TCB info in the collateral", FaultCode::CollateralDiffers),
    ("No TDX module identity", FaultCode::CollateralDiffers),
    ("TDX module", FaultCode::AttributesForbidden),
    ("TD migration", FaultCode::AttributesForbidden),
    ("TD profiling", FaultCode::AttributesForbidden),
    ("TD attributes", FaultCode::AttributesForbidden),
    ("SERVTD", FaultCode::AttributesForbidden),
    ("service TD", FaultCode::AttributesForbidden),
    ("SEPT_VE", FaultCode::AttributesForbidden),
    ("UnknownIssuer", FaultCode::RootUnknown),
    ("ignature is invalid", FaultCode::SignatureInvalid),
    ("hash mismatch", FaultCode::SignatureInvalid),
    ("QE auth data", FaultCode::Malformed),
    ("Failed to decode", FaultCode::CollateralMalformed),
];
