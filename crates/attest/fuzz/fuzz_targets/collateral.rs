//! Any bytes as collateral of good evidence end in the claims of good collateral or in a fault (R125).

#![no_main]

use libfuzzer_sys::fuzz_target;
use symphony_attest::collateral::{AmdCollateral, Collateral, IntelCollateral};
use symphony_attest::evidence::Evidence;
use symphony_attest::verify::verify;
use symphony_types::time::OrderedMillis;

const QUOTE: &[u8] = include_bytes!("../../../../vectors/evidence/tdx_quote.bin");
const REPORT: &[u8] = include_bytes!("../../../../vectors/evidence/snp_milan.bin");

fuzz_target!(|bytes: &[u8]| {
    let at = OrderedMillis(1_750_400_000_000);
    let quote = Evidence::read(QUOTE).expect("the sample is evidence");
    if let Ok(intel) = IntelCollateral::from_json(bytes) {
        let collateral = Collateral::Intel(Box::new(intel));
        let decided = verify(&quote, &collateral, at);
        assert_eq!(decided, verify(&quote, &collateral, at), "the same collateral was decided differently");
    }
    if let Ok(collateral) = Collateral::from_canonical(bytes) {
        assert_eq!(collateral.to_canonical(), bytes, "two forms of one collateral");
        let _ = verify(&quote, &collateral, at);
    }
    let report = Evidence::read(REPORT).expect("the sample is evidence");
    let amd = AmdCollateral { certificates: vec![bytes.to_vec()], revocations: vec![bytes.to_vec()] };
    assert!(verify(&report, &Collateral::Amd(amd), at).is_err(), "bytes are certificate and list at once");
});
