//! Any bytes as evidence end in claims or a fault, twice in the same one, without a panic: quotes, reports with a table
//! of certificates, documents, and their canonical form (R125).

#![no_main]

use libfuzzer_sys::fuzz_target;
use symphony_attest::collateral::Collateral;
use symphony_attest::evidence::Evidence;
use symphony_attest::roots::Roots;
use symphony_attest::verify::verify;
use symphony_attest::{intel, nitro};
use symphony_types::time::OrderedMillis;

fuzz_target!(|bytes: &[u8]| {
    let at = OrderedMillis(1_750_400_000_000);
    if let Ok(evidence) = Evidence::read(bytes) {
        let decided = verify(&evidence, &Collateral::None, at);
        assert_eq!(decided, verify(&evidence, &Collateral::None, at), "the same evidence was decided differently");
        assert_eq!(Evidence::from_canonical(&evidence.to_canonical()).as_ref(), Ok(&evidence));
    }
    let _ = Evidence::from_canonical(bytes);
    let _ = intel::signatures_alone(bytes, &Roots::pinned(), at);
    let _ = intel::unverified(bytes);
    let _ = nitro::unverified(bytes);
});
