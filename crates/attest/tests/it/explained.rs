//! What a person reads about each sample, pinned.

use symphony_attest::inspect::{Verdict, inspect};
use symphony_types::time::OrderedMillis;

use crate::samples::{
    AUTUMN_2026, AZURE_SNP, AZURE_SNP_CERTS, AZURE_TD, JANUARY_2025, NITRO, SGX, SGX_COLLATERAL, SNP,
    SNP_KEY, SUMMER_2025, TDX, TDX_COLLATERAL, TDX_EX, TDX_EX_COLLATERAL, TDX_OUTDATED,
    TDX_OUTDATED_COLLATERAL, WINTER_2026,
};

fn text(file: &[u8], collateral: &[&[u8]], at: OrderedMillis) -> String {
    inspect(file, collateral, at).unwrap().to_string()
}

#[test]
fn a_quote_of_an_enclave() {
    insta::assert_snapshot!(text(SGX, &[SGX_COLLATERAL], SUMMER_2025));
}

#[test]
fn a_quote_of_a_virtual_machine() {
    insta::assert_snapshot!(text(TDX, &[TDX_COLLATERAL], SUMMER_2025));
}

#[test]
fn a_quote_of_the_newest_form() {
    insta::assert_snapshot!(text(TDX_EX, &[TDX_EX_COLLATERAL], AUTUMN_2026));
}

#[test]
fn a_quote_without_collateral() {
    insta::assert_snapshot!(text(TDX, &[], SUMMER_2025));
}

#[test]
fn a_quote_whose_collateral_has_expired() {
    insta::assert_snapshot!(text(TDX, &[TDX_COLLATERAL], AUTUMN_2026));
}

#[test]
fn a_quote_of_old_firmware() {
    insta::assert_snapshot!(text(TDX_OUTDATED, &[TDX_OUTDATED_COLLATERAL], WINTER_2026));
}

#[test]
fn a_report_with_its_key() {
    insta::assert_snapshot!(text(SNP, &[SNP_KEY], SUMMER_2025));
}

#[test]
fn a_report_without_its_key() {
    insta::assert_snapshot!(text(SNP, &[], SUMMER_2025));
}

#[test]
fn a_report_out_of_a_clouds_wrapper() {
    insta::assert_snapshot!(text(AZURE_SNP, &[AZURE_SNP_CERTS], SUMMER_2025));
}

#[test]
fn a_report_that_only_its_machine_can_check() {
    insta::assert_snapshot!(text(AZURE_TD, &[], SUMMER_2025));
}

#[test]
fn a_document() {
    insta::assert_snapshot!(text(NITRO, &[], JANUARY_2025));
}

#[test]
fn a_document_that_has_expired() {
    insta::assert_snapshot!(text(NITRO, &[], AUTUMN_2026));
}

#[test]
fn a_document_that_was_changed() {
    let mut changed = NITRO.to_vec();
    let at = changed.len() - 1;
    changed[at] ^= 1;
    let inspection = inspect(&changed, &[], JANUARY_2025).unwrap();
    assert_eq!(inspection.verdict, Verdict::Refused);
    assert_eq!(inspection.fault.unwrap().code, "signature-invalid");
}
