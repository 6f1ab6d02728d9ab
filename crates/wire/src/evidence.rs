//! Evidence bundles as a node compares them without judging them (R195, R208): what masters must agree about, and
//! whether the evidence that the verdict is about is there whole.

use symphony_protocol::evidence::{EndorsedBundle, EndorsedCandidate};
use symphony_types::digest::Digest;
use symphony_types::key::Document;

use crate::documents::decode;

/// Of a settled task, or of a result that awaits its end.
enum Bundle {
    Settled(Box<EndorsedBundle>),
    Candidate(Box<EndorsedCandidate>),
}

fn read(bundle: &[u8]) -> Option<Bundle> {
    let settled = decode(bundle).map(|bundle| Bundle::Settled(Box::new(bundle)));
    settled.or_else(|_| decode(bundle).map(|bundle| Bundle::Candidate(Box::new(bundle)))).ok()
}

/// What two masters must say alike: everything but their endorsements and the evidence's bytes,
/// whose digest is in the verdict. `None` when the bytes are no bundle.
pub fn content(bundle: &[u8]) -> Option<Digest> {
    Some(match read(bundle)? {
        Bundle::Settled(bundle) => {
            let body = bundle.body;
            let governed = (&body.governance, &body.changes, &body.later);
            let said = (&body.network, governed, &body.verdict, &body.context, &body.root, &body.payout);
            Digest::of("symphony/evidence-content/v1", &said)
        }
        Bundle::Candidate(bundle) => {
            let body = bundle.body;
            let said = (body.final_at, &body.network, &body.governance, &body.changes, &body.verdict);
            Digest::of("symphony/candidate-content/v1", &said)
        }
    })
}

/// Whether a bundle holds the very evidence that its verdict is about. What cannot be read is not judged.
pub fn complete(bundle: &[u8]) -> bool {
    match read(bundle) {
        Some(Bundle::Settled(bundle)) => bundle.body.evidence.digest() == bundle.body.verdict.body.evidence,
        Some(Bundle::Candidate(bundle)) => bundle.body.evidence.digest() == bundle.body.verdict.body.evidence,
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R208: bytes of a form that this node does not know have no content to compare, and lack nothing.
    #[test]
    fn unknown_bytes_are_not_judged() {
        assert_eq!(content(b"not a bundle"), None);
        assert!(complete(b"not a bundle"));
    }
}
