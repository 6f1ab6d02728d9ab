//! `symphony vault`: a person is erased at a Vault, a Vault's key is rotated, a backup is taken, and local columns are
//! listed (R051, R055, R062, R076, R080).

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use super::args::{Person, Vault};
use super::run::Session;
use super::show;

impl Session {
    pub(super) async fn vault(&self, command: Vault) -> Result<ExitCode> {
        match command {
            Vault::Erase { person, out, everything: _ } => self.erase_person(&person, out.as_deref()).await?,
            Vault::CheckErasure(proof) => return self.check_person(&proof),
            Vault::RotateKey { vault } => {
                let rotated = self.profile.client()?.rotate_key(&vault).await?;
                show::print(self.json, &rotated, |rotated| format!("{} keys under a new key", rotated.keys));
            }
            Vault::Candidates { vault } => {
                let candidates = self.profile.client()?.candidates(&vault).await?;
                show::print(self.json, &candidates, |candidates| show::candidates(candidates));
            }
            Vault::Backup { vault } => {
                let taken = self.profile.client()?.back_up(&vault).await?;
                show::print(self.json, &taken, |taken| format!("backup {} is taken", taken.number));
            }
        }
        Ok(ExitCode::SUCCESS)
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
