//! What each command does, and the exit code of its end.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use rand::TryRng as _;
use serde_json::json;
use symphony_protocol::artifact::statistic::StatisticResult;
use symphony_protocol::artifact::{AudienceResult, Outcome};
use symphony_sdk::budget;
use symphony_sdk::client::{ClientError, Format, ProblemDetails};
use symphony_sdk::model::ModelError;
use symphony_sdk::recipient::Recipient;
use symphony_sdk::replay::on_journal;
use symphony_sdk::shape::{ConsentEntry, TaskResult};
use symphony_sdk::statistic::{QueryResult, QuerySpec};
use symphony_sdk::submission::{self, Submission as _, SubmissionError};
use symphony_sdk::verify::{Finality, either};
use symphony_sdk::wallet::WalletError;
use symphony_sdk::watching::WatchError;
use symphony_types::digest::Digest;
use symphony_types::id::{RequestId, TaskId};

use super::args::{self, Budget, Cli, Command, Person, UploadKind};
use super::profile::Profile;
use super::show::{self, Progress};

/// The command cannot be carried out as it was given: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Usage(pub(super) String);

/// Stands for the Vault that the caller's name is assigned to.
pub(super) const ASSIGNED: &str = "assigned";
pub(super) const REFUSED: u8 = 1;
const USAGE: u8 = 2;
pub(super) const UNVERIFIED: u8 = 3;
/// Every check of a candidate passes, and it may still be disputed.
pub(super) const NOT_FINAL: u8 = 5;

/// Carries out a command and tells how it ended.
pub(crate) async fn main(cli: Cli) -> ExitCode {
    let json = cli.json;
    match run(cli).await {
        Ok(code) => code,
        Err(error) => {
            let problem = error.chain().find_map(refusal);
            match problem {
                Some(problem) if json => println!("{}", json!({ "problem": problem })),
                Some(problem) => eprintln!("refused: {} {}\n{}", problem.code, problem.title, problem.detail),
                None if json => println!("{}", json!({ "error": format!("{error:#}") })),
                None => eprintln!("error: {error:#}"),
            }
            let usage = error.is::<Usage>()
                || error.downcast_ref().is_some_and(misused)
                || matches!(error.downcast_ref(), Some(ClientError::Config(_)));
            ExitCode::from(if usage { USAGE } else { REFUSED })
        }
    }
}

/// Whether the file of a submission is at fault.
const fn misused(error: &SubmissionError) -> bool {
    matches!(error, SubmissionError::File(..) | SubmissionError::Shape(..) | SubmissionError::Number(_))
}

/// The refusal that a fault carries. The errors of wallet, submission and registry show the client's as their own.
pub(super) fn refusal<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a ProblemDetails> {
    let client = error
        .downcast_ref::<ClientError>()
        .or_else(|| match error.downcast_ref::<WalletError>() {
            Some(WalletError::Client(error)) => Some(error),
            _ => None,
        })
        .or_else(|| match error.downcast_ref::<SubmissionError>() {
            Some(SubmissionError::Client(error) | SubmissionError::Wallet(WalletError::Client(error))) => {
                Some(error)
            }
            _ => None,
        })
        .or_else(|| match error.downcast_ref::<ModelError>() {
            Some(ModelError::Client(error)) => Some(error),
            _ => None,
        })
        .or_else(|| match error.downcast_ref::<WatchError>() {
            Some(WatchError::Client(error)) => Some(error),
            _ => None,
        });
    match client {
        Some(ClientError::Refused(problem)) => Some(problem),
        _ => None,
    }
}

async fn run(cli: Cli) -> Result<ExitCode> {
    let session = Session { profile: Profile::read(cli.connection)?, json: cli.json };
    match cli.command {
        Command::Quote { spec } => session.quote(&spec).await?,
        Command::Lock { spec, request_id } => session.lock(&spec, &request_id).await?,
        Command::Submit { spec, request_id, wait } => session.submit(&spec, request_id, wait).await?,
        Command::Watch(watch) => return session.watch(watch).await,
        Command::Result { task, out } => session.result(TaskId(task), out.as_deref()).await?,
        Command::Task { task } => {
            show::print(cli.json, &session.profile.client()?.task(TaskId(task)).await?, show::task);
        }
        Command::Challenge(command) => session.challenge(command).await?,
        Command::Train(command) => session.train(command).await?,
        Command::Compute(command) => session.compute(command).await?,
        Command::Model(command) => return session.model(command).await,
        Command::Consent(command) => session.consent(command).await?,
        Command::Budget { what: None, person } => session.budget(&person).await?,
        Command::Budget { what: Some(Budget::Statement(person)), .. } => session.statement(&person).await?,
        Command::Upload { kind, file, vault, request_id } => {
            session.upload(kind, &file, &vault, request_id).await?;
        }
        Command::Receipt(command) => return session.receipt(command).await,
        Command::Vault(command) => return session.vault(command).await,
        Command::Records(person) => session.records(&person).await?,
        Command::Attributes(person) => session.attributes(&person).await?,
        Command::Wallet(command) => session.wallet(command).await?,
        Command::Stake { tier, amount } => session.stake(tier.into(), amount).await?,
        Command::Unstake { tier, amount } => session.unstake(tier.into(), amount).await?,
        Command::Rewards(person) => session.rewards(&person).await?,
        Command::Claim(person) => session.claim(&person).await?,
        Command::Treasury(command) => session.treasury(command).await?,
        Command::Recipient(args::Recipient::New) => {
            let recipient = Recipient::create(session.profile.recipient_file()?)?;
            session.key("recipient", &hex::encode(recipient.public()));
        }
        Command::Evidence(args::Evidence::Export { task, candidate, out }) => {
            let client = session.profile.client()?;
            let bundle = match candidate {
                true => client.candidate(TaskId(task)).await?,
                false => client.evidence(TaskId(task)).await?,
            };
            std::fs::write(&out, &bundle).with_context(|| format!("writing {}", out.display()))?;
            show::print(cli.json, &json!({"file": out, "bytes": bundle.len()}), |_| {
                format!("{} bytes in {}", bundle.len(), out.display())
            });
        }
        Command::Governance(command) => return session.governance(command).await,
        Command::Policy(command) => return session.policy(command).await,
        Command::Semantics(command) => return session.semantics(command).await,
        Command::Verify { file, governance } => return session.verify(&file, governance),
        Command::Tee(command) => return session.tee(command),
        Command::Audit(command) => return session.audit(command).await,
        Command::Settle(command) => return session.settle(command).await,
        Command::Replay { journal } => {
            let status = on_journal("replay", &[journal.as_os_str()], cli.json)?;
            return Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::from(UNVERIFIED) });
        }
        Command::Reconcile { now, from } => return session.reconcile(now, from).await,
        Command::Status => session.status().await?,
        Command::Errors => session.errors().await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// One command's circumstances.
pub(super) struct Session {
    pub(super) profile: Profile,
    pub(super) json: bool,
}

impl Session {
    async fn quote(&self, spec: &Path) -> Result<()> {
        let quote = self.profile.client()?.quote(&submission::read::<QuerySpec>(spec)?.spec()?).await?;
        show::print(self.json, &quote, show::quote);
        Ok(())
    }

    async fn lock(&self, spec: &Path, request: &RequestId) -> Result<()> {
        let spec: QuerySpec = submission::read(spec)?;
        let submitter = self.profile.submitter()?;
        let lock = submitter.lock(&spec, request, |_| {}).await?;
        let answer = json!({"request_id": request, "budget_lock_ref": lock.to_string()});
        show::print(self.json, &answer, |_| format!("request {request}\nlock    {lock}"));
        Ok(())
    }

    async fn submit(&self, spec: &Path, request: Option<RequestId>, wait: bool) -> Result<()> {
        let spec: QuerySpec = submission::read(spec)?;
        let submitter = self.profile.submitter()?;
        let mut progress = Progress::new();
        let request = announced(request, "campaign", &mut progress)?;
        let step = |step| progress.step(step);
        if !wait {
            let task = submitter.submit(&spec, &request, step).await?;
            show::print(self.json, &task, show::task);
            return Ok(());
        }
        let answered = submitter.query(&spec, &request, step).await?;
        let (name, result) = match answered.result.as_ref() {
            Some(QueryResult::Statistic(result)) => ("statistic", Some(statistic(result))),
            Some(QueryResult::Audience(result)) => ("audience", Some(audience(result))),
            None => ("audience", None),
        };
        let answer = json!({"task": answered.task, name: result});
        show::print(self.json, &answer, |_| {
            let result = answered.result.as_ref().map(shown);
            format!("{}\n{}", show::task(&answered.task), result.unwrap_or_default())
        });
        Ok(())
    }

    async fn result(&self, task: TaskId, out: Option<&Path>) -> Result<()> {
        let recipient = self.profile.recipient()?;
        let sealed: TaskResult = self.profile.client()?.result(task).await?;
        let result = recipient.open_query(task, &sealed.sealed)?;
        let Some(out) = out else {
            let answer = match &result {
                QueryResult::Audience(result) => audience(result),
                QueryResult::Statistic(result) => statistic(result),
            };
            show::print(self.json, &answer, |_| shown(&result));
            return Ok(());
        };
        let (rows, returned, summary) = match &result {
            QueryResult::Audience(result) => (show::csv(result), result.handles.len(), show::summary(result)),
            QueryResult::Statistic(result) => {
                (show::cells_csv(result), result.cells.len(), show::cells(result))
            }
        };
        std::fs::write(out, rows).with_context(|| format!("writing {}", out.display()))?;
        show::print(self.json, &json!({"file": out, "returned": returned}), |_| summary);
        Ok(())
    }

    async fn consent(&self, command: args::Consent) -> Result<()> {
        let client = self.profile.client()?;
        let key = unique("consent")?;
        let report = match command {
            args::Consent::Grant { scope, expires_ms, vault } if vault == ASSIGNED => {
                client.grant(&scope, expires_ms, &key).await?
            }
            args::Consent::Grant { scope, expires_ms, vault } => {
                client.grant_at(&vault, self.profile.actor()?.as_str(), &scope, expires_ms, &key).await?
            }
            args::Consent::Withdraw { scope, vault } if vault == ASSIGNED => {
                client.withdraw(&scope, &key).await?
            }
            args::Consent::Withdraw { scope, vault } => {
                client.withdraw_at(&vault, self.profile.actor()?.as_str(), &scope, &key).await?
            }
            args::Consent::List { person, scope } => {
                let subject = self.profile.subject(person.subject.as_deref())?;
                let mut consents = client.consents(&person.vault, subject).await?;
                consents.retain(|consent| scope.as_ref().is_none_or(|scope| *scope == consent.usage_scope));
                show::print(self.json, &consents, |consents| table_of_consents(consents));
                return Ok(());
            }
        };
        show::print(self.json, &report, show::upload);
        Ok(())
    }

    async fn budget(&self, person: &Person) -> Result<()> {
        let subject = self.profile.subject(person.subject.as_deref())?;
        let budget = self.profile.client()?.budget(&person.vault, subject).await?;
        show::print(self.json, &budget, |budget| {
            let rows = budget.iter().map(|entry| {
                let scope = if entry.usage_scope.is_empty() { "(all)" } else { &entry.usage_scope };
                let limit = show::epsilon(entry.limit_micro_epsilon);
                let reserved = show::epsilon(entry.reserved_micro_epsilon);
                [scope.to_owned(), limit, reserved, show::epsilon(entry.committed_micro_epsilon)]
            });
            show::table(["scope", "limit", "reserved", "committed"], rows)
        });
        Ok(())
    }

    async fn statement(&self, person: &Person) -> Result<()> {
        let subject = self.profile.subject(person.subject.as_deref())?;
        let (client, governance) = (self.profile.client()?, self.profile.trusted()?);
        let told = budget::statement(&client, &governance, &person.vault, subject).await?;
        let lines = told.lines.iter().map(|(scope, line)| {
            json!({"scope": scope.as_str(), "task": line.task.to_string(), "kind": line.kind.name(),
                "micro_epsilon": line.epsilon.0, "at_ms": line.at.0})
        });
        let answer = json!({"vault": told.ledger.vault.as_str(), "root": told.ledger.root.to_string(),
            "entries": told.ledger.entries, "at_ms": told.ledger.at.0, "lines": lines.collect::<Vec<_>>()});
        show::print(self.json, &answer, |_| {
            let rows = told.lines.iter().map(|(scope, line)| {
                let (task, kind) = (line.task.to_string(), line.kind.name().to_owned());
                [scope.as_str().to_owned(), task, kind, show::epsilon(line.epsilon.0)]
            });
            let head = format!("under root {} of {}\n\n", told.ledger.root, told.ledger.vault);
            head + &show::table(["scope", "task", "what", "epsilon"], rows)
        });
        Ok(())
    }

    async fn upload(
        &self,
        kind: UploadKind,
        file: &Path,
        vault: &str,
        request: Option<RequestId>,
    ) -> Result<()> {
        let format = Format::of(file).ok_or_else(|| {
            Usage(format!("{}: the file's ending is jsonl, ndjson, parquet, arrow or arrows", file.display()))
        })?;
        let request = request.map_or_else(|| unique("upload"), Ok)?;
        let report = self.profile.client()?.upload(vault, kind.into(), format, &request, file).await?;
        show::print(self.json, &report, show::upload);
        Ok(())
    }

    async fn records(&self, person: &Person) -> Result<()> {
        let subject = self.profile.subject(person.subject.as_deref())?;
        let records = self.profile.own_client()?.records(&person.vault, subject).await?;
        show::print(self.json, &records, |records| {
            let rows = records.iter().map(|record| [record.commitment.clone(), record.json.clone()]);
            show::table(["commitment", "record"], rows)
        });
        Ok(())
    }

    async fn attributes(&self, person: &Person) -> Result<()> {
        let subject = self.profile.subject(person.subject.as_deref())?;
        let attributes = self.profile.own_client()?.attributes(&person.vault, subject).await?;
        show::print(self.json, &attributes, |attributes| {
            let rows = attributes.iter().map(|one| {
                let value = if one.label.is_empty() { one.value.to_string() } else { one.label.clone() };
                [format!("{} {}", one.module, one.version), value, one.task_id.clone()]
            });
            show::table(["module", "value", "task"], rows)
        });
        Ok(())
    }

    fn verify(&self, file: &Path, governance: Option<Digest>) -> Result<ExitCode> {
        let bytes =
            std::fs::read(file).map_err(|error| Usage(format!("reading {}: {error}", file.display())))?;
        let report = either(&bytes, governance);
        show::print(self.json, &report, show::report);
        Ok(match report.finality {
            _ if !report.passed() => ExitCode::from(UNVERIFIED),
            Finality::Final => ExitCode::SUCCESS,
            Finality::Candidate { .. } | Finality::Unknown => ExitCode::from(NOT_FINAL),
        })
    }

    async fn status(&self) -> Result<()> {
        let status = self.profile.client()?.status().await?;
        show::print(self.json, &status, |status| {
            let facts = [
                ("network", status.network.clone()),
                ("masters", status.masters.to_string()),
                ("height", status.height.to_string()),
                ("state hash", status.state_hash.clone()),
                ("epoch", status.epoch_id.to_string()),
                ("policy", status.policy_version.to_string()),
                ("protocol", format!("{} since epoch {}", status.protocol_version, status.protocol_since)),
                ("semantics", status.semantic_version.to_string()),
                ("platform", status.platform_class.clone()),
            ];
            let nodes = status.nodes.iter().map(|node| {
                let reachable = show::yes(node.reachable).to_owned();
                let (status, stake) = (node.status.clone(), node.stake.clone());
                [node.node.clone(), node.role.clone(), reachable, status, stake]
            });
            let facts = show::table(["", ""], facts.map(|(name, value)| [name.to_owned(), value]));
            let nodes = show::table(["node", "role", "reachable", "status", "stake"], nodes);
            let (masters, ordering) =
                (show::masters(&status.master_nodes), show::ordering(&status.master_nodes));
            format!("{facts}\n{masters}\n{ordering}\n{nodes}")
        });
        Ok(())
    }

    async fn errors(&self) -> Result<()> {
        let errors = self.profile.client()?.errors().await?;
        show::print(self.json, &errors, |errors| {
            let rows = errors.iter().map(|entry| {
                let retry = if entry.retryable { "may" } else { "" };
                [entry.code.clone(), entry.http_status.to_string(), retry.to_owned(), entry.title.clone()]
            });
            show::table(["code", "http", "retry", "title"], rows)
        });
        Ok(())
    }

    pub(super) fn key(&self, name: &str, value: &str) {
        show::print(self.json, &json!({ name: value }), |_| format!("{name} {value}"));
    }
}

fn shown(result: &QueryResult) -> String {
    match result {
        QueryResult::Audience(result) => format!("{}\n{}", show::summary(result), show::csv(result)),
        QueryResult::Statistic(result) => show::cells(result),
    }
}

fn statistic(result: &StatisticResult) -> serde_json::Value {
    let cell = |(name, noised): &(String, i64)| json!({"name": name, "noised": noised});
    json!({"task_id": result.task.to_string(), "suppressed": result.outcome == Outcome::Suppressed,
        "cells": result.cells.iter().map(cell).collect::<Vec<_>>(), "unit": show::unit(result.unit),
        "noise_scale": result.noise_scale, "epsilon_micro": result.epsilon.0, "vaults": result.vaults})
}

fn audience(result: &AudienceResult) -> serde_json::Value {
    json!({"task_id": result.task.to_string(), "returned": result.outcome.returned(), "handles": result.handles,
        "eligible_noised": result.eligible_noised, "noise_micro_epsilon": result.noise_epsilon.0})
}

fn table_of_consents(consents: &[ConsentEntry]) -> String {
    let rows = consents.iter().map(|consent| {
        let expires =
            if consent.expires_ms == 0 { "never".to_owned() } else { consent.expires_ms.to_string() };
        [consent.usage_scope.clone(), consent.state.clone(), consent.since_ms.to_string(), expires]
    });
    show::table(["scope", "state", "since (ms)", "expires (ms)"], rows)
}

/// The name of a submission, said before anything is locked, so that a broken one can be repeated under the same name.
pub(super) fn announced(given: Option<RequestId>, what: &str, progress: &mut Progress) -> Result<RequestId> {
    let request = given.map_or_else(|| unique(what), Ok)?;
    progress.say(&format!("request {request}"));
    Ok(request)
}

/// A name for a request that its caller did not name.
pub(super) fn unique(what: &str) -> Result<RequestId> {
    let mut bytes = [0; 8];
    rand::rngs::SysRng.try_fill_bytes(&mut bytes).context("reading randomness")?;
    Ok(RequestId::new(&format!("{what}-{}", hex::encode(bytes)))?)
}
