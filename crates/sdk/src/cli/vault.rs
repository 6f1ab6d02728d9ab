//! `symphony vault`: a person is erased at a Vault, a Vault's key is rotated, a backup is taken, local columns are listed, and a move
//! to another is followed and checked (R051, R055, R062, R076, R080, R081).

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use serde_json::json;
use symphony_sdk::{erasure, moved};
use symphony_types::id::{EpochId, VaultId};
use symphony_wire::documents::encode;

use super::args::{ErasureProof, Person, Vault};
use super::run::{Session, UNVERIFIED, Usage};
use super::show::{self, table};

impl Session {
    pub(super) async fn vault(&self, command: Vault) -> Result<ExitCode> {
        match command {
            Vault::Erase { person, out, everything: _ } => self.erase_person(&person, out.as_deref()).await?,
            Vault::Assigned => {
                let assigned = self.profile.client()?.assigned().await?;
                show::print(self.json, &assigned, show::assigned);
            }
            Vault::CheckErasure(proof) => return self.check_person(&proof),
            Vault::MoveStatus { vault, out } => return self.moves(vault.as_ref().zip(out.as_deref())).await,
            Vault::CheckMove(proof) => return self.check_move(&proof),
            Vault::RotateKey { vault } => {
                let rotated = self.profile.client()?.rotate_key(&vault).await?;
                show::print(self.json, &rotated, |rotated| format!("{} keys under a new key", rotated.keys));
            }
            Vault::Candidates { vault } => {
                let candidates = self.profile.client()?.candidates(&vault).await?;
                show::print(self.json, &candidates, |candidates| show::candidates(candidates));
            }
            Vault::Retention { vault } => {
                let retention = self.profile.client()?.retention(&vault).await?;
                show::print(self.json, &retention, show::retention);
            }
            Vault::Leaves { vault, epoch, out } => {
                let leaves = self.profile.client()?.leaves(&vault, EpochId(epoch)).await?;
                std::fs::write(&out, encode(&leaves))
                    .with_context(|| format!("writing {}", out.display()))?;
                let answer = json!({"file": out, "leaves": leaves.leaves.len()});
                show::print(self.json, &answer, |_| {
                    format!("{} leaves in {}", leaves.leaves.len(), out.display())
                });
            }
            Vault::Backup { vault } => {
                let taken = self.profile.client()?.back_up(&vault).await?;
                show::print(self.json, &taken, |taken| format!("backup {} is taken", taken.number));
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Tells of all moves; of one that is closed, writes its proof. A move that is not closed yet has none, and the code says so.
    async fn moves(&self, wanted: Option<(&VaultId, &Path)>) -> Result<ExitCode> {
        let client = self.profile.client()?;
        if let Some((vault, out)) = wanted {
            let Some(proof) = client.move_proof(vault).await? else {
                let answer = json!({"from": vault.as_str(), "closed": false});
                show::print(self.json, &answer, |_| format!("everything of {vault} is not at another vault"));
                return Ok(ExitCode::from(UNVERIFIED));
            };
            std::fs::write(out, &proof).with_context(|| format!("writing {}", out.display()))?;
        }
        let moves = client.governance().await?.moves;
        show::print(self.json, &moves, |moves| {
            let rows = moves.iter().map(|one| [one.from.clone(), one.to.clone(), one.status.clone()]);
            table(["vault", "moves to", "status"], rows)
        });
        Ok(ExitCode::SUCCESS)
    }

    fn check_move(&self, proof: &ErasureProof) -> Result<ExitCode> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|error| Usage(format!("reading {}: {error}", path.display())))
        };
        let (bytes, trusted) = (read(&proof.file)?, erasure::governance(&read(&proof.governance)?)?);
        match moved::check(&bytes, &trusted) {
            Ok(standing) => {
                let answer = json!({
                    "verified": true, "from": standing.from.as_str(), "to": standing.to.as_str(),
                    "proposal": standing.proposal.to_hex(), "batches": standing.batches,
                    "people_bucket": standing.people.0, "records_bucket": standing.records.0,
                    "documents_bucket": standing.documents.0, "root": standing.root.to_hex(),
                });
                show::print(self.json, &answer, |_| {
                    format!(
                        "everything of {} is at {}: {} or more people, {} or more records, {} or more documents\nroot  {}\nverified",
                        standing.from,
                        standing.to,
                        standing.people.0,
                        standing.records.0,
                        standing.documents.0,
                        standing.root.to_hex(),
                    )
                });
                Ok(ExitCode::SUCCESS)
            }
            Err(fault) => {
                let answer = json!({"verified": false, "fault": fault.to_string()});
                show::print(self.json, &answer, |_| format!("NOT VERIFIED: {fault}"));
                Ok(ExitCode::from(UNVERIFIED))
            }
        }
    }

    async fn erase_person(&self, person: &Person, out: Option<&Path>) -> Result<()> {
        let subject = self.profile.subject(person.subject.as_deref())?;
        let erased = self.profile.own_client()?.erase_person(&person.vault, subject).await?;
        if let Some(out) = out {
            std::fs::write(out, &erased.proof).with_context(|| format!("writing {}", out.display()))?;
        }
        show::print(self.json, &erased, |_| format!("erased {subject}"));
        Ok(())
    }
}
