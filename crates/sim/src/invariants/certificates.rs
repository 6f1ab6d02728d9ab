//! Every decision carries the signatures of a quorum of that height's keys, over that very block (R195, R205).

use std::collections::BTreeMap;

use symphony_consensus::quorum::block::{Block, name};
use symphony_consensus::quorum::committee::{Committee, Step};

use super::{Invariant, Seen};

/// The committee of each height, followed from the founding.
pub(super) struct Certificates(BTreeMap<u64, Committee>);

impl Certificates {
    pub(super) fn new(founding: Committee) -> Self {
        Self(BTreeMap::from([(1, founding)]))
    }
}

impl Invariant for Certificates {
    fn name(&self) -> &'static str {
        "certificates"
    }

    fn check(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        for sealed in seen.decided.iter().flat_map(|commit| &commit.blocks) {
            let height = sealed.height;
            let fault = |what: &str| Err(format!("host {} at height {height}: {what}", seen.stepped.id));
            let Some(committee) = self.0.get(&height) else { return fault("the height before is undecided") };
            let certificate = &sealed.certificate;
            if certificate.height != height || certificate.step != Step::Precommit {
                return fault("the certificate is about something else");
            }
            if certificate.block != name(&sealed.block) {
                return fault("the certificate is about another block");
            }
            if !committee.certifies(certificate) {
                return fault("the certificate does not hold");
            }
            let Some(block) = Block::from_bytes(&sealed.block) else { return fault("not a block") };
            let Some(next) = committee.rotated(height, &block.rotations) else {
                return fault("a rotation is not admitted");
            };
            self.0.insert(height + 1, next);
        }
        Ok(())
    }
}
