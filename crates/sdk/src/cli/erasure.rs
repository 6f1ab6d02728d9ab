//! Proofs of erasure, of a receipt or a person, checked and told without a network (D12, R080).

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use serde_json::{Value, json};
use symphony_protocol::governance::Governance;
use symphony_sdk::erasure::{self, ErasureError};
use symphony_sdk::verify::governance_digest;
use symphony_types::digest::Digest;
use symphony_types::id::VaultId;
use symphony_types::time::OrderedMillis;

use super::args::ErasureProof;
use super::run::{Session, UNVERIFIED, Usage};
use super::show;

/// What a proof says.
struct Told {
    /// Whose word it is.
    vault: VaultId,
    /// What is erased, by the name of its member.
    what: (&'static str, Value),
    /// The same in words.
    words: String,
    at: OrderedMillis,
    /// The Vault's journal then.
    journal: (u64, Digest),
}

impl Session {
    pub(super) fn check_receipt(&self, proof: &ErasureProof) -> Result<ExitCode> {
        self.check_erasure(proof, |bytes, governance| {
            let erased = erasure::check(bytes, governance)?;
            let name = erased.commitment.to_string();
            Ok(Told {
                vault: erased.vault,
                what: ("receipt_id", json!(name)),
                words: name,
                at: erased.at,
                journal: (erased.height, erased.head),
            })
        })
    }

    pub(super) fn check_person(&self, proof: &ErasureProof) -> Result<ExitCode> {
        self.check_erasure(proof, |bytes, governance| {
            let erased = erasure::check_person(bytes, governance)?;
            Ok(Told {
                vault: erased.vault,
                what: ("person", json!(erased.subject.0)),
                words: format!("person {}", erased.subject.0),
                at: erased.at,
                journal: (erased.height, erased.head),
            })
        })
    }

    fn check_erasure(
        &self,
        proof: &ErasureProof,
        check: impl FnOnce(&[u8], &Governance) -> Result<Told, ErasureError>,
    ) -> Result<ExitCode> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|error| Usage(format!("reading {}: {error}", path.display())))
        };
        let (bytes, governance) = (read(&proof.file)?, erasure::governance(&read(&proof.governance)?)?);
        let digest = governance_digest(&governance).to_hex();
        match check(&bytes, &governance) {
            Ok(Told { vault, what, words, at, journal: (height, head) }) => {
                let head = head.to_hex();
                let mut answer = json!({"verified": true, "vault": vault.as_str(), "erased_ms": at.0,
                    "height": height, "head": head, "governance": digest});
                answer[what.0] = what.1;
                show::print(self.json, &answer, |_| {
                    format!(
                        "vault {vault} erased {words} at {} ms; its journal then: height {height}, head {head}\ngovernance {digest}",
                        at.0
                    )
                });
                Ok(ExitCode::SUCCESS)
            }
            Err(fault) => {
                let answer = json!({"verified": false, "fault": fault.to_string(), "governance": digest});
                show::print(self.json, &answer, |_| format!("not verified: {fault}\ngovernance {digest}"));
                Ok(ExitCode::from(UNVERIFIED))
            }
        }
    }
}
