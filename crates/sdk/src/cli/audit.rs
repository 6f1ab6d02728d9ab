//! `symphony audit`: a range of a journal checked again by the node binary, and proofs of the masters' journal checked on this machine.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use serde_json::json;
use symphony_sdk::audit::{Asked, Kept, ProofError, Shown, ShownHead, check, head};
use symphony_sdk::replay::on_journal;
use symphony_types::digest::Digest;
use symphony_types::id::{EpochId, TaskId};
use symphony_wire::documents::{decode, encode};

use super::args::governance::Audit;
use super::run::{Session, UNVERIFIED, Usage};
use super::show;

impl Session {
    pub(super) async fn audit(&self, command: Audit) -> Result<ExitCode> {
        match command {
            Audit::Verify { journal, from, to, epoch, at } => {
                let mut args = vec![journal.into_os_string(), format!("--from={from}").into()];
                for (name, value) in [("to", to), ("epoch", epoch), ("at", at)] {
                    args.extend(value.map(|value| OsString::from(format!("--{name}={value}"))));
                }
                let args: Vec<_> = args.iter().map(OsString::as_os_str).collect();
                let status = on_journal("audit", &args, self.json)?;
                Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::from(UNVERIFIED) })
            }
            Audit::Prove { what, epoch, out } => {
                let task = Digest::from_hex(&what).map(TaskId);
                let height = what.parse().ok().filter(|height| *height > 0);
                if task.is_none() && height.is_none() {
                    return Err(Usage(format!("{what} is neither a task id nor a place from 1")).into());
                }
                let height = height.filter(|_| task.is_none());
                let asked = Asked { epoch: epoch.map(EpochId), task, height, ..Asked::default() };
                self.proven(&asked, out.as_deref()).await
            }
            Audit::Consistent { earlier, later, known, out } => {
                let known = known.map(|file| kept(&file)).transpose()?;
                let known =
                    known.map(|kept| head(&self.profile.trusted()?, &kept).map_err(anyhow::Error::from));
                let known = match known.transpose() {
                    Ok(known) => known,
                    Err(fault) => return Ok(self.disproven(&fault)),
                };
                if known.is_some_and(|known| known.epoch != Some(EpochId(earlier))) {
                    return Err(Usage(format!("the kept proof is not of the end of epoch {earlier}")).into());
                }
                let (epoch, since) = (Some(EpochId(later)), Some(EpochId(earlier)));
                self.proven(&Asked { epoch, since, known, ..Asked::default() }, out.as_deref()).await
            }
            Audit::Check { file } => {
                let kept = kept(&file)?;
                Ok(self.said(check(&self.profile.trusted()?, &kept.log, &kept.proof, &Asked::default())))
            }
        }
    }

    /// Fetches a proof, keeps it, and checks it.
    async fn proven(&self, asked: &Asked, out: Option<&Path>) -> Result<ExitCode> {
        let (client, trusted) = (self.profile.client()?, self.profile.trusted()?);
        // The log is fetched after the proof, so that it has whoever signed that.
        let proof = client.journal_proof(asked).await?;
        let kept = Kept { log: client.governance_log().await?, proof };
        if let Some(out) = out {
            std::fs::write(out, encode(&kept)).with_context(|| format!("writing {}", out.display()))?;
        }
        Ok(self.said(check(&trusted, &kept.log, &kept.proof, asked)))
    }

    fn said(&self, checked: Result<Shown, ProofError>) -> ExitCode {
        match checked {
            Ok(shown) => {
                show::print(self.json, &json!({"verified": true, "shown": shown}), |_| lines(&shown));
                ExitCode::SUCCESS
            }
            Err(fault) => self.disproven(&fault.into()),
        }
    }

    fn disproven(&self, fault: &anyhow::Error) -> ExitCode {
        let text = fault.to_string();
        show::print(self.json, &json!({"verified": false, "fault": text}), |_| {
            format!("NOT VERIFIED: {text}")
        });
        ExitCode::from(UNVERIFIED)
    }
}

fn kept(file: &Path) -> Result<Kept> {
    let bytes = std::fs::read(file).map_err(|error| Usage(format!("reading {}: {error}", file.display())))?;
    Ok(decode(&bytes).map_err(|error| Usage(format!("reading {}: {error}", file.display())))?)
}

fn lines(shown: &Shown) -> String {
    let mut lines = vec![line("journal", &shown.head)];
    lines.extend(shown.earlier.as_ref().map(|earlier| line("goes on from", earlier)));
    if let Some(entry) = &shown.entry {
        lines.push(format!("entry         {} {}", entry.height, entry.digest));
        lines.extend(entry.at_ms.map(|at| format!("ordered at    {at} ms")));
        lines.extend(entry.tasks.iter().map(|task| format!("about task    {task}")));
    }
    lines.push("verified".to_owned());
    lines.join("\n")
}

fn line(name: &str, head: &ShownHead) -> String {
    let end = head.epoch.map_or_else(String::new, |epoch| format!(" at the end of epoch {epoch}"));
    format!("{name:<13} {} entries{end}, root {}", head.height, head.root)
}
