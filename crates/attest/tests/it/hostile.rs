//! Bytes that a stranger made end in a fault, never in a panic (R125).

use proptest::prelude::*;
use symphony_attest::collateral::{AmdCollateral, Collateral, IntelCollateral};
use symphony_attest::evidence::{Evidence, Format};
use symphony_attest::inspect::inspect;
use symphony_attest::verify::verify;

use crate::samples::{SUMMER_2025, TDX_COLLATERAL, good};

/// A cut, an overwrite or an insertion.
#[derive(Clone, Debug)]
struct Change {
    at: usize,
    with: Vec<u8>,
    cut: bool,
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let change = (any::<usize>(), proptest::collection::vec(any::<u8>(), 0..6), any::<bool>())
        .prop_map(|(at, with, cut)| Change { at, with, cut });
    proptest::collection::vec(change, 1..4)
}

fn apply(bytes: &[u8], changes: &[Change]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for Change { at, with, cut } in changes {
        let at = at % (bytes.len() + 1);
        if *cut {
            bytes.truncate(at);
        } else {
            let end = bytes.len().min(at + with.len());
            bytes.splice(at..end, with.iter().copied());
        }
    }
    bytes
}

proptest! {
    #[test]
    fn changed_evidence_never_verifies_to_other_claims(sample in 0_usize..5, changes in changes()) {
        let (name, evidence, collateral, at) = good().swap_remove(sample);
        let before = verify(&evidence, &collateral, at).unwrap();
        let body = apply(&evidence.body, &changes);
        let changed = Evidence { body, ..evidence };
        if let Ok(after) = verify(&changed, &collateral, at) {
            // Certificates that a quote carries beside the path in use are not under its signature.
            prop_assert_eq!(after, before, "{}", name);
        }
        let _ = inspect(&changed.body, &[], at);
    }

    #[test]
    fn any_bytes_end_in_a_fault(bytes in proptest::collection::vec(any::<u8>(), 0..3000), format in 0_usize..3) {
        let format = [Format::IntelQuote, Format::AmdReport, Format::NitroDocument][format];
        let evidence = Evidence { format, body: bytes.clone(), certificates: vec![bytes.clone()] };
        let amd = AmdCollateral { certificates: vec![bytes.clone()], revocations: vec![bytes.clone()] };
        for collateral in [Collateral::None, Collateral::Amd(amd)] {
            prop_assert!(verify(&evidence, &collateral, SUMMER_2025).is_err());
        }
        let _ = Evidence::from_canonical(&bytes);
        let _ = Collateral::from_canonical(&bytes);
        let _ = IntelCollateral::from_json(&bytes);
        let _ = inspect(&bytes, &[&bytes], SUMMER_2025);
    }

    #[test]
    fn changed_collateral_never_verifies_to_better_claims(changes in changes()) {
        let (_, evidence, collateral, at) = good().swap_remove(1);
        let before = verify(&evidence, &collateral, at).unwrap();
        let Ok(changed) = IntelCollateral::from_json(&apply(TDX_COLLATERAL, &changes)) else { return Ok(()) };
        if let Ok(after) = verify(&evidence, &Collateral::Intel(Box::new(changed)), at) {
            prop_assert_eq!(after, before);
        }
    }
}
