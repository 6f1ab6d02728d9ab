//! `symphony semantics`: what names mean, what another meaning changes, and how a task's names were resolved.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use serde_json::json;
use symphony_protocol::governance::log::governance_digest;
use symphony_protocol::governance::meaning::{Amendment, between};
use symphony_sdk::semantics;
use symphony_sdk::shape::candidates::CandidatePool;
use symphony_types::catalogue::Code;
use symphony_types::id::{SemanticVersion, TaskId};

use super::args::governance::Semantics;
use super::governance::told_whole;
use super::policy::clock;
use super::run::{Session, UNVERIFIED, Usage};
use super::show::{self, table};

impl Session {
    pub(super) async fn semantics(&self, command: Semantics) -> Result<ExitCode> {
        match command {
            Semantics::Show { version } => {
                let governed = self.governed().await?;
                let known = match version {
                    Some(version) => governed.meanings.of(SemanticVersion(version)),
                    None => Some(governed.semantics_at(clock())),
                };
                let known = known.ok_or_else(|| Usage(format!("{}: version", Code::PolicyUnknown)))?;
                let from = governed.meanings.iter().find(|(_, one)| one.version == known.version);
                let from = from.map_or(0, |(from, _)| from.0);
                let answer = json!({"version": known.version.0, "from_ms": from, "semantics": known});
                show::print(self.json, &answer, |_| {
                    format!("# in force from {from} ms of ordered time on\n{}", semantics::written(known))
                });
            }
            Semantics::Diff { file } => {
                let other = text(&file)?;
                let other = semantics::read(&other)
                    .map_err(|error| Usage(format!("{}: {}", file.display(), told_whole(&error))))?;
                let governed = self.governed().await?;
                let amendment = between(governed.meanings.last().1, &other);
                show::print(self.json, &json!(amendment), |_| semantics::written_amendment(&amendment));
            }
            Semantics::Candidates { epoch } => {
                let pool = self.profile.client()?.candidate_pool(epoch).await?;
                show::print(self.json, &pool, candidates);
            }
            Semantics::Explain { task } => {
                let trusted = governance_digest(&self.profile.trusted()?);
                let bundle = self.profile.client()?.evidence(TaskId(task)).await?;
                let resolution = match semantics::explain(&bundle, trusted) {
                    Ok(resolution) => resolution,
                    Err(error) => {
                        eprintln!("{error}");
                        return Ok(ExitCode::from(UNVERIFIED));
                    }
                };
                show::print(self.json, &resolution, |resolution| {
                    let rows = resolution.steps.iter().map(|step| {
                        let rule = step.rule.clone().unwrap_or_else(|| "-".to_owned());
                        let since = step.defined_in.to_string();
                        let (class, asks) = (step.privacy_class.clone(), step.asks.clone());
                        [rule, step.attribute.clone(), step.domain.join(" / "), class, since, asks]
                    });
                    let rows = table(["rule", "attribute", "domain", "class", "since", "asks"], rows);
                    format!("meaning, version {}\n{rows}", resolution.semantic_version)
                });
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn candidates(pool: &CandidatePool) -> String {
    let rows = pool.candidates.iter().map(|one| {
        let agreement = format!("{}.{:02} %", one.agreement / 100, one.agreement % 100);
        let vaults = one.vaults.to_string();
        let (people, records) = (one.people.to_string(), one.records.to_string());
        [one.name.clone(), one.kind.clone(), vaults, people, records, agreement, one.epochs.to_string()]
    });
    let rows = table(["candidate", "kind", "vaults", "people", "records", "of this kind", "epochs"], rows);
    let (epoch, least) = (pool.epoch, pool.vaults_min);
    format!("epoch {epoch}, of {least} vaults or more; counts have noise\n{rows}")
}

/// An amendment out of a file of TOML.
pub(super) fn amendment(file: &Path) -> Result<Amendment> {
    let amendment = semantics::read_amendment(&text(file)?);
    Ok(amendment.map_err(|error| Usage(format!("{}: {}", file.display(), told_whole(&error))))?)
}

fn text(file: &Path) -> Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))
}
