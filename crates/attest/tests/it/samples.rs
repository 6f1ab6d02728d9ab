//! Evidence of real machines, with collateral and a time at which it holds. Where each file is from stands in
//! `vectors/evidence/README.md`.

use symphony_attest::collateral::{AmdCollateral, Collateral, IntelCollateral};
use symphony_attest::evidence::Evidence;
use symphony_types::time::OrderedMillis;

macro_rules! file {
    ($name:literal) => {
        include_bytes!(concat!("../../../../vectors/evidence/", $name)).as_slice()
    };
}

pub(crate) const SGX: &[u8] = file!("sgx_quote.bin");
pub(crate) const SGX_COLLATERAL: &[u8] = file!("sgx_quote_collateral.json");
pub(crate) const TDX: &[u8] = file!("tdx_quote.bin");
pub(crate) const TDX_COLLATERAL: &[u8] = file!("tdx_quote_collateral.json");
pub(crate) const TDX_OUTDATED: &[u8] = file!("tdx_quote_outdated.bin");
pub(crate) const TDX_OUTDATED_COLLATERAL: &[u8] = file!("tdx_quote_outdated_collateral.json");
pub(crate) const TDX_EX: &[u8] = file!("tdx_quote_td15ex.bin");
pub(crate) const TDX_EX_COLLATERAL: &[u8] = file!("tdx_quote_td15ex_collateral.json");
pub(crate) const SNP: &[u8] = file!("snp_milan.bin");
pub(crate) const SNP_KEY: &[u8] = file!("snp_milan_vcek.der");
pub(crate) const SNP_CHAIN: &[u8] = file!("snp_milan_chain.pem");
pub(crate) const SNP_TURIN_KEY: &[u8] = file!("snp_turin_vcek.der");
pub(crate) const AZURE_SNP: &[u8] = file!("azure_hcl_snp.bin");
pub(crate) const AZURE_SNP_CERTS: &[u8] = file!("azure_hcl_snp_certs.pem");
pub(crate) const AZURE_TD: &[u8] = file!("azure_hcl_td.bin");
pub(crate) const NITRO: &[u8] = file!("nitro.cose");

/// 2025-06-20, when the collateral of the first two quotes holds.
pub(crate) const SUMMER_2025: OrderedMillis = OrderedMillis(1_750_400_000_000);
/// 2026-02-20.
pub(crate) const WINTER_2026: OrderedMillis = OrderedMillis(1_771_600_000_000);
/// 2026-10-10.
pub(crate) const AUTUMN_2026: OrderedMillis = OrderedMillis(1_791_600_000_000);
/// When the document of the Nitro module was made: 2025-01-06.
pub(crate) const JANUARY_2025: OrderedMillis = OrderedMillis(1_736_179_625_000);

pub(crate) fn intel(json: &[u8]) -> Collateral {
    Collateral::Intel(Box::new(IntelCollateral::from_json(json).unwrap()))
}

pub(crate) fn amd(certificates: &[&[u8]]) -> Collateral {
    let certificates = certificates.iter().map(|der| der.to_vec()).collect();
    Collateral::Amd(AmdCollateral { certificates, revocations: Vec::new() })
}

/// Every real sample that verifies, with its name.
pub(crate) fn good() -> Vec<(&'static str, Evidence, Collateral, OrderedMillis)> {
    let read = |bytes| Evidence::read(bytes).unwrap();
    vec![
        ("sgx", read(SGX), intel(SGX_COLLATERAL), SUMMER_2025),
        ("tdx", read(TDX), intel(TDX_COLLATERAL), SUMMER_2025),
        ("tdx-td15ex", read(TDX_EX), intel(TDX_EX_COLLATERAL), AUTUMN_2026),
        ("snp-milan", read(SNP), amd(&[SNP_KEY]), SUMMER_2025),
        ("nitro", read(NITRO), Collateral::None, JANUARY_2025),
    ]
}
