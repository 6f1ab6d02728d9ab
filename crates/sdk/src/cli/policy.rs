//! `symphony policy`: what is in force and what another policy changes, checked on this machine.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use serde_json::json;
use symphony_protocol::governance::Governance as Governed;
use symphony_protocol::governance::policy::Policy as Terms;
use symphony_sdk::council::checked;
use symphony_sdk::policy::{self, differences};
use symphony_sdk::replay::on_journal;
use symphony_types::id::PolicyVersion;
use symphony_types::time::OrderedMillis;

use super::args::governance::Policy;
use super::governance::told_whole;
use super::run::{Session, UNVERIFIED, Usage};
use super::show::{self, table};

impl Session {
    pub(super) async fn policy(&self, command: Policy) -> Result<ExitCode> {
        match command {
            Policy::Show { version } => {
                let governed = self.governed().await?;
                let (version, policy) = chosen(&governed, version)?;
                let from = governed.calendar.iter().find(|(_, known)| known.version == version);
                let first = from.map_or(0, |(epoch, _)| epoch.0);
                let answer = json!({"version": version.0, "from_epoch": first, "policy": policy});
                show::print(self.json, &answer, |_| {
                    format!("# version {version}, in force from epoch {first}\n{}", policy::written(policy))
                });
            }
            Policy::Diff { file, version } => {
                let other = read(&file)?;
                let governed = self.governed().await?;
                let (version, policy) = chosen(&governed, version)?;
                let found = differences(policy, &other);
                let fields = found
                    .iter()
                    .map(|one| (one.field.clone(), json!({"before": one.before, "after": one.after})));
                let answer =
                    json!({"version": version.0, "differences": fields.collect::<serde_json::Map<_, _>>()});
                show::print(self.json, &answer, |_| {
                    let cell = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
                    let rows =
                        found.iter().map(|one| [one.field.clone(), cell(&one.before), cell(&one.after)]);
                    table(["field", "before", "after"], rows)
                });
            }
            Policy::Simulate { file, journal, from, to } => {
                let mut args = vec![file.into_os_string(), journal.into_os_string()];
                args.push(format!("--from={from}").into());
                args.extend(to.map(|to| OsString::from(format!("--to={to}"))));
                let args: Vec<_> = args.iter().map(OsString::as_os_str).collect();
                let status = on_journal("simulate", &args, self.json)?;
                return Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::from(UNVERIFIED) });
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    /// What governs after the whole log, each vote of it counted again.
    pub(super) async fn governed(&self) -> Result<Governed> {
        let trusted = self.profile.trusted()?;
        let log = self.profile.client()?.governance_log().await?;
        Ok(checked(&trusted, &log).context("checking the log of governance")?.governance().clone())
    }
}

/// A policy out of a file of TOML.
pub(super) fn read(file: &Path) -> Result<Terms> {
    let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let policy = policy::read(&text);
    Ok(policy.map_err(|error| Usage(format!("{}: {}", file.display(), told_whole(&error))))?)
}

/// A version, or the one in force by this machine's clock.
fn chosen(governed: &Governed, version: Option<u32>) -> Result<(PolicyVersion, &Terms)> {
    let version = version.map_or_else(|| governed.version_at(clock()), PolicyVersion);
    let known = governed.policy_of(version);
    Ok((version, known.map_err(|code| Usage(format!("{code}: version {version}")))?))
}

/// This machine's clock, which nodes order by.
pub(super) fn clock() -> OrderedMillis {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    OrderedMillis(u64::try_from(now).unwrap_or(u64::MAX))
}
