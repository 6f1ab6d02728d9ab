//! One block a height, over all hosts, also those that lie: a certificate is a decision (R007, R195).

use std::collections::BTreeMap;

use symphony_types::digest::Digest;

use super::{Invariant, Seen};

/// The block of each height, as first decided.
#[derive(Default)]
pub(super) struct Agreement(BTreeMap<u64, Digest>);

impl Invariant for Agreement {
    fn name(&self) -> &'static str {
        "agreement"
    }

    fn check(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        for sealed in seen.decided.iter().flat_map(|commit| &commit.blocks) {
            let first = *self.0.entry(sealed.height).or_insert(sealed.certificate.block);
            if first != sealed.certificate.block {
                return Err(format!(
                    "host {} decided {} at height {}, another {first}",
                    seen.stepped.id, sealed.certificate.block, sealed.height
                ));
            }
        }
        Ok(())
    }
}
