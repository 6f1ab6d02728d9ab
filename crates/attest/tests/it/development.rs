//! Evidence of our own vendor runs the hardware path from end to end; each of its faults is refused (R125, R130).

use symphony_attest::claims::{Class, TcbStatus};
use symphony_attest::collateral::Collateral;
use symphony_attest::development::{
    DevelopmentVendor, DocumentSpec, DomainSpec, NOTICE, QuoteSpec, ReportSpec, StartSpec,
};
use symphony_attest::evidence::Evidence;
use symphony_attest::fault::FaultCode;
use symphony_attest::inspect::{Verdict, inspect_under};
use symphony_attest::roots::Roots;
use symphony_attest::verify::{verify, verify_under};
use symphony_types::digest::Digest;
use symphony_types::time::OrderedMillis;

const NOW: OrderedMillis = OrderedMillis(1_790_000_000_000);
const FROM: OrderedMillis = OrderedMillis(NOW.0 - 86_400_000);
const UNTIL: OrderedMillis = OrderedMillis(NOW.0 + 86_400_000);

fn vendor() -> DevelopmentVendor {
    DevelopmentVendor::new(FROM, UNTIL).unwrap()
}

fn code(roots: &Roots, evidence: &Evidence, collateral: &Collateral) -> FaultCode {
    verify_under(roots, evidence, collateral, NOW).unwrap_err().code
}

/// R130
#[test]
fn evidence_of_development_verifies_under_its_own_roots_and_is_marked() {
    let vendor = vendor();
    let (report, lists) = vendor.report(&ReportSpec::default()).unwrap();
    let (quote, levels) = vendor.quote(&QuoteSpec::default()).unwrap();
    let (domain, levels_of_domain) = vendor.domain(&DomainSpec::default()).unwrap();
    let document = vendor.document(&DocumentSpec::at(NOW)).unwrap();
    let all = [
        (Class::IntelTdx, domain, levels_of_domain),
        (Class::AmdSevSnp, report, lists),
        (Class::IntelSgx, quote, levels),
        (Class::AwsNitro, document, Collateral::None),
    ];
    for (class, evidence, collateral) in all {
        let claims = verify_under(&vendor.roots(), &evidence, &collateral, NOW)
            .unwrap_or_else(|fault| panic!("{class:?}: {fault}"));
        assert_eq!(claims.class, class);
        assert!(claims.development && claims.class_label().contains("development"), "{class:?}");
        assert!(claims.signers.iter().all(|signer| signer.subject.contains(NOTICE)), "{class:?}");
        assert!(claims.revocation_checked, "{class:?}");
        // The vendors' own roots know none of it.
        let fault = verify(&evidence, &collateral, NOW).unwrap_err();
        let unknown = [FaultCode::RootUnknown, FaultCode::ChainInvalid, FaultCode::CollateralMissing];
        assert!(unknown.contains(&fault.code), "{class:?}: {fault}");
    }
}

/// R125
#[test]
fn revoked_certificates_are_refused() {
    let vendor = vendor();
    let (report, lists) = vendor.report(&ReportSpec { revoked: true, ..ReportSpec::default() }).unwrap();
    assert_eq!(code(&vendor.roots(), &report, &lists), FaultCode::Revoked);
    let (quote, levels) = vendor.quote(&QuoteSpec { revoked: true, ..QuoteSpec::default() }).unwrap();
    assert_eq!(code(&vendor.roots(), &quote, &levels), FaultCode::Revoked);
}

/// R125
#[test]
fn expired_certificates_are_refused() {
    let vendor = vendor();
    let key_until = Some(OrderedMillis(NOW.0 - 1000));
    let (report, lists) = vendor.report(&ReportSpec { key_until, ..ReportSpec::default() }).unwrap();
    assert_eq!(code(&vendor.roots(), &report, &lists), FaultCode::NotValidAt);
    let document = vendor.document(&DocumentSpec { key_until, ..DocumentSpec::at(NOW) }).unwrap();
    assert_eq!(code(&vendor.roots(), &document, &Collateral::None), FaultCode::NotValidAt);
    let ahead = vendor.document(&DocumentSpec::at(OrderedMillis(NOW.0 + 600_000))).unwrap();
    assert_eq!(code(&vendor.roots(), &ahead, &Collateral::None), FaultCode::NotValidAt);
}

/// R125: a genuine key of another chip or firmware signs nothing for this one.
#[test]
fn a_key_certified_for_another_chip_or_firmware_is_refused() {
    let vendor = vendor();
    let tcb = ReportSpec::default().tcb;
    let firmware = (0..4).map(|part| {
        let mut certified = tcb;
        certified[part] += 1;
        ReportSpec { certified_tcb: Some(certified), ..ReportSpec::default() }
    });
    let chip = ReportSpec { certified_chip: Some([0x23; 64]), ..ReportSpec::default() };
    for spec in firmware.chain([chip]) {
        let (report, lists) = vendor.report(&spec).unwrap();
        assert_eq!(code(&vendor.roots(), &report, &lists), FaultCode::EndorsementDiffers, "{spec:?}");
    }
}

/// R123: what speaks against a machine stays visible in its claims.
#[test]
fn debug_and_old_firmware_become_claims() {
    let vendor = vendor();
    let claims = |spec: &QuoteSpec| {
        let (quote, levels) = vendor.quote(spec).unwrap();
        verify_under(&vendor.roots(), &quote, &levels, NOW).unwrap()
    };
    assert!(claims(&QuoteSpec { debug: true, ..QuoteSpec::default() }).traits.debug);
    assert_eq!(claims(&QuoteSpec::default()).tcb.status, Some(TcbStatus::UpToDate));
    let old = claims(&QuoteSpec { svn: 6, ..QuoteSpec::default() });
    assert_eq!(old.tcb.status, Some(TcbStatus::OutOfDate));
    assert_eq!(old.tcb.advisories, ["DEVELOPMENT-SA-1"]);
    assert_eq!(claims(&QuoteSpec { ppid: [0; 16], ..QuoteSpec::default() }).platform.id, None);
    let (quote, levels) = vendor.quote(&QuoteSpec { svn: 0, ..QuoteSpec::default() }).unwrap();
    assert_eq!(code(&vendor.roots(), &quote, &levels), FaultCode::TcbUnknown);
    let document = vendor.document(&DocumentSpec { pcr0: [0; 48], ..DocumentSpec::at(NOW) }).unwrap();
    assert!(verify_under(&vendor.roots(), &document, &Collateral::None, NOW).unwrap().traits.debug);
}

/// R125: one vendor's evidence is nothing under another's roots, and lists of another issuer revoke nothing.
#[test]
fn another_vendor_of_the_same_names_is_not_believed() {
    let (ours, theirs) = (vendor(), vendor());
    let (report, lists) = theirs.report(&ReportSpec::default()).unwrap();
    assert_eq!(code(&ours.roots(), &report, &lists), FaultCode::ChainInvalid);
    let document = theirs.document(&DocumentSpec::at(NOW)).unwrap();
    assert_eq!(code(&ours.roots(), &document, &Collateral::None), FaultCode::RootUnknown);
    let (quote, levels) = theirs.quote(&QuoteSpec::default()).unwrap();
    assert!(verify_under(&ours.roots(), &quote, &levels, NOW).is_err());
    let (report, own) = ours.report(&ReportSpec::default()).unwrap();
    let (Collateral::Amd(mut own), Collateral::Amd(lists)) = (own, lists) else {
        panic!("lists of AMD's form")
    };
    own.revocations = lists.revocations;
    assert_eq!(code(&ours.roots(), &report, &Collateral::Amd(own)), FaultCode::ChainInvalid);
}

/// R130: whoever looks at the evidence reads what it is not.
#[test]
fn the_explanation_of_development_evidence_says_so() {
    let vendor = vendor();
    let document = vendor.document(&DocumentSpec::at(NOW)).unwrap();
    let inspection = inspect_under(&vendor.roots(), &document.body, &[], NOW).unwrap();
    assert_eq!(inspection.verdict, Verdict::Genuine);
    assert!(!inspection.is_good());
    let text = inspection.to_string();
    assert!(text.contains("no hardware behind it") && text.contains("development-root-refused"), "{text}");
}

/// R130: a vendor that comes back from its file is the same to whoever verifies, for every class.
#[test]
fn a_kept_vendor_is_the_same_vendor() {
    let vendor = vendor();
    let again = DevelopmentVendor::from_file(&vendor.to_file()).unwrap();
    assert_eq!(vendor.roots(), again.roots());
    for class in Class::ALL {
        let spec = StartSpec::good(class, [7; 32], Digest([8; 32]), NOW);
        let (evidence, collateral) = again.start(&spec).unwrap();
        let claims = verify_under(&vendor.roots(), &evidence, &collateral, NOW)
            .unwrap_or_else(|fault| panic!("{class:?}: {fault}"));
        assert_eq!((claims.class, claims.measurement), (class, spec.measurement()));
        assert_eq!(claims.platform.id, spec.platform());
    }
    assert!(DevelopmentVendor::from_file(&vendor.to_file()[1..]).is_err());
    assert!(DevelopmentVendor::from_file(&vec![0; 100_000]).is_err());
}
