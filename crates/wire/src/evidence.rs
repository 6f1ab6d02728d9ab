//! Evidence bundles as a node compares them without judging them (R195, R208): what masters must agree about, and
//! whether the evidence that the verdict is about is there whole.

use symphony_protocol::evidence::EndorsedBundle;
use symphony_types::digest::Digest;
use symphony_types::key::Document;

use crate::documents::decode;

/// What two masters must say alike of a settled task: everything but their endorsements and the evidence's bytes,
/// whose digest is in the verdict. `None` when the bytes are no bundle.
pub fn content(bundle: &[u8]) -> Option<Digest> {
    let body = decode::<EndorsedBundle>(bundle).ok()?.body;
    let governed = (&body.governance, &body.changes, &body.later);
    let said = (&body.network, governed, &body.verdict, &body.context, &body.root, &body.payout);
    Some(Digest::of("symphony/evidence-content/v1", &said))
}

/// Whether a bundle holds the very evidence that its verdict is about. What cannot be read is not judged.
pub fn complete(bundle: &[u8]) -> bool {
    decode::<EndorsedBundle>(bundle)
        .map_or(true, |bundle| bundle.body.evidence.digest() == bundle.body.verdict.body.evidence)
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
