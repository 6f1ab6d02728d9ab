//! Real evidence verifies to the vendors' roots, and stops to when any part of it is changed (R121, R123, R125).

use symphony_attest::claims::{Class, TcbStatus};
use symphony_attest::collateral::Collateral;
use symphony_attest::evidence::{self, Evidence};
use symphony_attest::fault::FaultCode;
use symphony_attest::verify::verify;
use symphony_types::digest::Digest;
use symphony_types::time::OrderedMillis;

use crate::samples::{
    AUTUMN_2026, JANUARY_2025, NITRO, SGX, SGX_COLLATERAL, SNP, SNP_CHAIN, SNP_KEY, SNP_TURIN_KEY,
    SUMMER_2025, TDX, TDX_COLLATERAL, TDX_EX, TDX_OUTDATED, TDX_OUTDATED_COLLATERAL, WINTER_2026, amd, good,
    intel,
};

fn code(bytes: &[u8], collateral: &Collateral, at: OrderedMillis) -> FaultCode {
    let evidence = Evidence::read(bytes).unwrap();
    verify(&evidence, collateral, at).unwrap_err().code
}

/// R121 R123
#[test]
fn evidence_of_real_machines_verifies_to_the_vendors_roots() {
    for (name, evidence, collateral, at) in good() {
        let claims = verify(&evidence, &collateral, at).unwrap_or_else(|fault| panic!("{name}: {fault}"));
        assert!(!claims.development, "{name}");
        assert!(claims.platform.id.is_some(), "{name}: the machine is named");
        assert!(!claims.traits.debug, "{name}");
        assert!(claims.valid_from <= at && at <= claims.valid_until, "{name}");
        assert_eq!(claims.root, claims.signers.last().unwrap().fingerprint, "{name}");
        assert_eq!(claims.launch.len(), if claims.class == Class::IntelSgx { 32 } else { 48 }, "{name}");
    }
}

/// R123
#[test]
fn claims_tell_program_machine_and_firmware() {
    let claims = |wanted: &str| {
        let (_, evidence, collateral, at) = good().into_iter().find(|(name, ..)| *name == wanted).unwrap();
        verify(&evidence, &collateral, at).unwrap()
    };
    let domain = claims("tdx");
    assert_eq!(domain.class, Class::IntelTdx);
    assert_eq!(domain.tcb.status, Some(TcbStatus::UpToDate));
    assert_eq!(domain.tcb.eval_number, Some(17));
    assert_eq!(domain.platform.model, "B0C06F000000");
    assert_eq!(domain.register("RTMR3").unwrap().len(), 48);
    let guest = claims("snp-milan");
    assert_eq!(guest.platform.model, "Milan");
    let reported = guest.tcb.versions.iter().find(|level| level.name == "reported").unwrap();
    assert_eq!(reported.value, [3, 0, 8, 115, 0]);
    assert!(!guest.revocation_checked);
    let enclave = claims("nitro");
    assert_eq!(enclave.platform.raw, b"i-0bee92034f3d60691");
    assert_eq!(enclave.registers.len(), 15);
}

/// The published fingerprints of the vendors' roots.
#[test]
fn the_roots_are_the_vendors_own() {
    let roots: Vec<String> = good()
        .iter()
        .map(|(_, evidence, collateral, at)| verify(evidence, collateral, *at).unwrap().root.to_hex())
        .collect();
    assert_eq!(
        [&roots[0], &roots[3], &roots[4]],
        [
            "44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3",
            "69d063b45344d26a2e94e1f4210de49ef555308287d4c174445c95639a540bcd",
            "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b",
        ]
    );
}

/// R125
#[test]
fn evidence_changed_after_it_was_signed_is_refused() {
    // A byte of what the program bound, in each format.
    let mut quote = SGX.to_vec();
    quote[48 + 320] ^= 1;
    assert_eq!(code(&quote, &intel(SGX_COLLATERAL), SUMMER_2025), FaultCode::SignatureInvalid);
    let mut quote = TDX.to_vec();
    quote[48 + 520] ^= 1;
    assert_eq!(code(&quote, &intel(TDX_COLLATERAL), SUMMER_2025), FaultCode::SignatureInvalid);
    let mut report = SNP.to_vec();
    report[0x50] ^= 1;
    assert_eq!(code(&report, &amd(&[SNP_KEY]), SUMMER_2025), FaultCode::SignatureInvalid);
    let mut document = NITRO.to_vec();
    document[pcr0_at(NITRO)] ^= 1;
    assert_eq!(code(&document, &Collateral::None, JANUARY_2025), FaultCode::SignatureInvalid);
}

/// Where the first byte of PCR0 stands.
fn pcr0_at(document: &[u8]) -> usize {
    document.windows(3).position(|window| window == [0x00, 0x58, 0x30]).unwrap() + 3
}

/// R125
#[test]
fn every_bit_of_a_real_report_is_under_the_signature() {
    let collateral = amd(&[SNP_KEY]);
    // All that is signed, and the two numbers of the signature.
    for at in (0..0x2a0).chain(0x2a0..0x2d0).chain(0x2e8..0x318) {
        let mut report = SNP.to_vec();
        report[at] ^= 1;
        let read = Evidence::read(&report).and_then(|evidence| verify(&evidence, &collateral, SUMMER_2025));
        assert!(read.is_err(), "byte {at} is not under the signature");
    }
}

/// R125
#[test]
fn what_does_not_hold_at_the_time_is_refused() {
    let day = 86_400_000;
    for (name, evidence, collateral, _) in good() {
        for at in [OrderedMillis(1_500_000_000_000), OrderedMillis(2_500_000_000_000)] {
            let fault = verify(&evidence, &collateral, at).unwrap_err();
            assert_eq!(fault.code, FaultCode::NotValidAt, "{name} at {}", at.0);
        }
    }
    let late = OrderedMillis(JANUARY_2025.0 + 2 * day);
    assert_eq!(code(NITRO, &Collateral::None, late), FaultCode::NotValidAt);
    assert_eq!(code(TDX, &intel(TDX_COLLATERAL), WINTER_2026), FaultCode::NotValidAt);
}

/// R125
#[test]
fn firmware_below_every_level_of_the_vendor_is_refused() {
    assert_eq!(code(TDX_OUTDATED, &intel(TDX_OUTDATED_COLLATERAL), WINTER_2026), FaultCode::TcbUnknown);
}

#[test]
fn collateral_of_another_machine_or_kind_is_refused() {
    assert_eq!(code(SGX, &intel(TDX_COLLATERAL), SUMMER_2025), FaultCode::CollateralDiffers);
    assert_eq!(code(SNP, &intel(TDX_COLLATERAL), SUMMER_2025), FaultCode::CollateralDiffers);
    assert_eq!(code(NITRO, &amd(&[SNP_KEY]), JANUARY_2025), FaultCode::CollateralDiffers);
    assert_eq!(code(SNP, &amd(&[SNP_TURIN_KEY]), SUMMER_2025), FaultCode::EndorsementDiffers);
}

#[test]
fn missing_collateral_is_told_apart_from_wrong() {
    assert_eq!(code(TDX, &Collateral::None, SUMMER_2025), FaultCode::CollateralMissing);
    assert_eq!(code(TDX_EX, &Collateral::None, AUTUMN_2026), FaultCode::CollateralMissing);
    assert_eq!(code(SNP, &Collateral::None, SUMMER_2025), FaultCode::CollateralMissing);
}

#[test]
fn levels_that_the_vendor_did_not_sign_are_refused() {
    let forged = String::from_utf8(TDX_COLLATERAL.to_vec()).unwrap();
    let forged = forged.replacen("\\\"OutOfDate\\\"", "\\\"UpToDate\\\"", 1);
    assert_ne!(forged.as_bytes(), TDX_COLLATERAL);
    assert_eq!(code(TDX, &intel(forged.as_bytes()), SUMMER_2025), FaultCode::SignatureInvalid);
}

/// A certificate table behind a report is what the kernel hands out beside it.
#[test]
fn the_table_of_certificates_behind_a_report_is_its_collateral() {
    let table = table(&[SNP_KEY]);
    let evidence = Evidence::read(&[SNP, &table].concat()).unwrap();
    assert_eq!(evidence.certificates, [SNP_KEY]);
    verify(&evidence, &Collateral::None, SUMMER_2025).unwrap();
    let cut = Evidence::read(&[SNP, &table[..table.len() - 1]].concat()).unwrap_err();
    assert_eq!(cut.code, FaultCode::Malformed);
}

/// The issuer that is given need not be the built-in one, and stray certificates do no harm.
#[test]
fn a_chain_file_of_the_vendor_is_accepted() {
    let pem = String::from_utf8(SNP_CHAIN.to_vec()).unwrap();
    assert_eq!(pem.matches("BEGIN CERTIFICATE").count(), 2);
    let inspection = symphony_attest::inspect::inspect(SNP, &[SNP_KEY, SNP_CHAIN], SUMMER_2025).unwrap();
    assert!(inspection.is_good(), "{inspection}");
}

#[test]
fn more_than_the_limits_is_refused_before_it_is_read() {
    let mut quote = TDX.to_vec();
    quote.resize(evidence::BYTES_MAX + 1, 0);
    assert_eq!(Evidence::read(&quote).unwrap_err().code, FaultCode::TooLarge);
    let certificates = vec![vec![0; 1000]; 17];
    let many =
        Collateral::Amd(symphony_attest::collateral::AmdCollateral { certificates, revocations: vec![] });
    assert_eq!(code(SNP, &many, SUMMER_2025), FaultCode::TooLarge);
    let large = Collateral::Amd(symphony_attest::collateral::AmdCollateral {
        certificates: vec![vec![0; 65 << 10]],
        revocations: vec![],
    });
    assert_eq!(code(SNP, &large, SUMMER_2025), FaultCode::TooLarge);
    assert_eq!(Collateral::from_canonical(&large.to_canonical()).unwrap_err().code, FaultCode::TooLarge);
}

/// Decisions name evidence and collateral by digest, so their bytes may not drift.
#[test]
fn evidence_and_collateral_have_canonical_bytes() {
    for (name, evidence, collateral, at) in good() {
        assert_eq!(Evidence::from_canonical(&evidence.to_canonical()).unwrap(), evidence, "{name}");
        let read = Collateral::from_canonical(&collateral.to_canonical()).unwrap();
        assert_eq!(read, collateral, "{name}");
        assert_eq!(read.digest(), collateral.digest(), "{name}");
        assert_eq!(verify(&evidence, &read, at), verify(&evidence, &collateral, at), "{name}");
    }
    assert_eq!(
        Collateral::None.digest(),
        Digest::tagged("symphony/vendor-collateral/v1", &[0]),
        "the first variant is the byte zero"
    );
}

pub(crate) fn table(certificates: &[&[u8]]) -> Vec<u8> {
    let mut offset = 24 * (certificates.len() + 1);
    let mut table = Vec::new();
    for der in certificates {
        table.extend([0x63; 16]);
        table.extend((offset as u32).to_le_bytes());
        table.extend((der.len() as u32).to_le_bytes());
        offset += der.len();
    }
    table.extend([0; 24]);
    certificates.iter().for_each(|der| table.extend(*der));
    table
}
