//! `symphony governance`: the council's motions, what governs, and the log checked on this machine.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use serde_json::json;
use symphony_protocol::artifact::module::Declaration;
use symphony_protocol::governance::approval::Machine;
use symphony_protocol::governance::change;
use symphony_protocol::governance::log::{LogEntry, LogHead, LogUpdate};
use symphony_protocol::governance::proposal::Motion;
use symphony_sdk::council::{LogError, Member, checked, proven};
use symphony_sdk::hardware;
use symphony_sdk::semantics::promoted;
use symphony_sdk::shape::governance::{GovernanceView, ProposalEntry};
use symphony_tee::measure;
use symphony_types::amount::Sym;
use symphony_types::digest::Digest;
use symphony_types::id::{GovernanceSequence, Measurement, PlatformId, PolicyVersion, SemanticVersion};
use symphony_types::key::{Document as _, PublicKey};
use symphony_wasm::module::Module;
use symphony_wire::documents::{decode, encode};

use super::args::governance::{Change, Governance};
use super::run::{Session, UNVERIFIED, Usage};
use super::show::{self, table};

impl Session {
    pub(super) async fn governance(&self, command: Governance) -> Result<ExitCode> {
        match command {
            Governance::Propose { summary, amends, change } => self.propose(summary, amends, &change).await?,
            Governance::Vote { proposal, against } => {
                self.motion(|member| member.votes(proposal, !against)).await?;
            }
            Governance::Withdraw { proposal } => self.motion(|member| member.withdraws(proposal)).await?,
            Governance::List => {
                let governance = self.profile.client()?.governance().await?;
                show::print(self.json, &governance.proposals, |proposals| list(proposals));
            }
            Governance::Show => {
                let governance = self.profile.client()?.governance().await?;
                show::print(self.json, &governance, view);
            }
            Governance::Log { out } => return self.log(out.as_deref()).await,
            Governance::Proof { sequence, since } => return self.proof(sequence, since.as_deref()).await,
            Governance::Verify { file } => return self.told(&kept(&file)?),
            Governance::Measure { program } => {
                let measurement =
                    measure::program(&program).with_context(|| format!("measuring {}", program.display()))?;
                let text = measurement.0.to_hex();
                show::print(self.json, &json!({"measurement": text}), |_| text.clone());
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn propose(&self, summary: String, amends: Option<Digest>, change: &Change) -> Result<()> {
        let (client, key) = (self.profile.client()?, self.profile.council()?);
        let name = self.profile.actor()?;
        let governance = client.governance().await?;
        let foundation = Digest::from_hex(&governance.foundation).context("reading the foundation")?;
        // A motion for another network than the trusted one is never signed.
        if let Ok(trusted) = self.profile.trusted() {
            let own = symphony_sdk::verify::governance_digest(&trusted);
            if own != foundation {
                return Err(Usage("the network is not the one of the trusted governance".to_owned()).into());
            }
        }
        let known = governance.council.iter().find(|member| member.member == name.as_str());
        let known = known.ok_or_else(|| Usage(format!("{name} is no member of the council")))?;
        let member = Member { name, key: &key };
        let wanted = wanted(change)?;
        let summary = self.founded(change, &wanted, summary).await?;
        let (motion, _) = member.proposes(foundation, known.number + 1, wanted, summary, amends);
        let proposal = client.govern(&motion).await?;
        show::print(self.json, &proposal, |proposal| list(std::slice::from_ref(proposal)));
        Ok(())
    }

    /// Why a change is proposed: of one that makes an attribute of a candidate, with what Vaults found.
    async fn founded(&self, change: &Change, wanted: &change::Change, summary: String) -> Result<String> {
        let (
            Change::AmendMeaning { candidate: Some(name), epoch, .. },
            change::Change::AmendMeaning { amendment, .. },
        ) = (change, wanted)
        else {
            return Ok(summary);
        };
        let pool = self.profile.client()?.candidate_pool(*epoch).await?;
        Ok(promoted(&pool, name, amendment, &summary).map_err(|error| Usage(error.to_string()))?)
    }

    async fn motion(&self, motion: impl FnOnce(&Member<'_>) -> Motion) -> Result<()> {
        let key = self.profile.council()?;
        let member = Member { name: self.profile.actor()?, key: &key };
        let proposal = self.profile.client()?.govern(&motion(&member)).await?;
        show::print(self.json, &proposal, |proposal| list(std::slice::from_ref(proposal)));
        Ok(())
    }

    async fn log(&self, out: Option<&Path>) -> Result<ExitCode> {
        let log = self.profile.client()?.governance_log().await?;
        if let Some(out) = out {
            std::fs::write(out, encode(&log)).with_context(|| format!("writing {}", out.display()))?;
        }
        self.told(&log)
    }

    /// Tells what a log says, if it verifies.
    fn told(&self, log: &LogUpdate) -> Result<ExitCode> {
        let followed = match checked(&self.profile.trusted()?, log) {
            Ok(followed) => followed,
            Err(fault) => return Ok(self.unverified(&fault)),
        };
        let head = followed.head();
        let entries: Vec<_> = log.entries.iter().map(entry).collect();
        let answer = json!({"verified": true, "head": told_head(&head), "entries": entries});
        show::print(self.json, &answer, |_| {
            let rows = log.entries.iter().map(row);
            let table = table(["entry", "change", "subject", "by", "votes", "at ms"], rows);
            format!("{table}\n{}\nverified", lines(&head))
        });
        Ok(ExitCode::SUCCESS)
    }

    async fn proof(&self, sequence: u64, since: Option<&Path>) -> Result<ExitCode> {
        let trusted = self.profile.trusted()?;
        let known = match since {
            None => None,
            Some(file) => match checked(&trusted, &kept(file)?) {
                Ok(followed) => Some(followed.head()),
                Err(fault) => return Ok(self.unverified(&fault)),
            },
        };
        let size = known.map_or(0, |head| head.sequence.0);
        let client = self.profile.client()?;
        let proof = client.governance_proof(GovernanceSequence(sequence), size).await?;
        let (shown, head) = match proven(&trusted, &proof, known.as_ref()) {
            Ok(shown) => shown,
            Err(fault) => return Ok(self.unverified(&fault)),
        };
        if shown.sequence.0 != sequence {
            return Ok(self.unverified(&LogError::NotIncluded));
        }
        let answer = json!({"verified": true, "head": told_head(&head), "entry": entry(&shown)});
        show::print(self.json, &answer, |_| {
            let table = table(["entry", "change", "subject", "by", "votes", "at ms"], [row(&shown)]);
            format!("{table}\n{}\nverified", lines(&head))
        });
        Ok(ExitCode::SUCCESS)
    }

    fn unverified(&self, fault: &LogError) -> ExitCode {
        let answer = json!({"verified": false, "fault": fault.to_string()});
        show::print(self.json, &answer, |_| format!("NOT VERIFIED: {fault}"));
        ExitCode::from(UNVERIFIED)
    }
}

fn kept(file: &Path) -> Result<LogUpdate> {
    let bytes = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    Ok(decode(&bytes).map_err(|error| Usage(format!("{} is no log: {error}", file.display())))?)
}

fn wanted(change: &Change) -> Result<change::Change> {
    Ok(match change {
        Change::Register { measurement, purpose, recipe } => change::Change::RegisterMeasurement {
            measurement: Measurement(*measurement),
            purpose: *purpose,
            recipe: *recipe,
        },
        Change::Activate { measurement } => {
            change::Change::ActivateMeasurement { measurement: Measurement(*measurement) }
        }
        Change::Revoke { measurement } => {
            change::Change::RevokeMeasurement { measurement: Measurement(*measurement) }
        }
        Change::AdmitPlatform { key, hardware } => {
            let machine = match hardware {
                None => Machine::Software { key: PublicKey::from_bytes(key.0) },
                Some(class) => Machine::Hardware { class: class.clone(), platform: PlatformId(*key) },
            };
            change::Change::AdmitPlatform { machine }
        }
        Change::SetHardware { file } => {
            let text =
                std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
            let rules = hardware::read(&text).map_err(|error| Usage(told_whole(&error)))?;
            change::Change::SetHardwareRules { rules }
        }
        Change::RevokePlatform { platform } => {
            change::Change::RevokePlatform { platform: PlatformId(*platform) }
        }
        Change::ApproveModule { code, declaration, about, source, recipe } => {
            let file =
                |path: &Path| std::fs::read(path).with_context(|| format!("reading {}", path.display()));
            let (code, text) = (file(code)?, file(declaration)?);
            let declaration: Declaration = toml::from_slice(&text)
                .map_err(|error| Usage(format!("{}: {error}", declaration.display())))?;
            // What no enclave would load is not worth a vote.
            Module::check(&code, &declaration, &Digest::of_bytes(&code))
                .map_err(|refused| Usage(format!("no enclave would load the module: {refused}")))?;
            let (about, source, recipe) = (about.clone(), *source, *recipe);
            change::Change::ApproveModule { about, code, declaration, source, recipe }
        }
        Change::RevokeModule { code } => change::Change::RevokeModule { code: *code },
        Change::AdoptPolicy { file, version } => {
            let (version, policy) = (PolicyVersion(*version), Box::new(super::policy::read(file)?));
            policy.check().map_err(|fault| Usage(format!("{}: {fault}", file.display())))?;
            change::Change::AdoptPolicy { version, policy }
        }
        Change::AmendMeaning { file, version, .. } => {
            let amendment = Box::new(super::semantics::amendment(file)?);
            change::Change::AmendMeaning { version: SemanticVersion(*version), amendment }
        }
        Change::MoveVault { from, to } => change::Change::MoveVault { from: from.clone(), to: to.clone() },
        Change::SuspendNode { vault } => change::Change::SuspendNode { vault: vault.clone() },
        Change::ReinstateNode { vault } => change::Change::ReinstateNode { vault: vault.clone() },
        Change::ReleaseEnterprise { vault } => change::Change::ReleaseEnterprise { vault: vault.clone() },
        Change::AdmitEnterprise { file } => {
            let bytes = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
            let enterprise = decode(&bytes)
                .map_err(|error| Usage(format!("{} is no enterprise: {error}", file.display())))?;
            change::Change::AdmitEnterprise { enterprise: Box::new(enterprise) }
        }
    })
}

/// An error with its causes, in one line.
pub(super) fn told_whole(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// What a change brings, beside what it is about.
fn content(change: &change::Change) -> serde_json::Value {
    match change {
        change::Change::AdmitPlatform { machine } => json!({"class": machine.class()}),
        change::Change::SetHardwareRules { rules } => json!(hardware::written(rules)),
        change::Change::AdoptPolicy { version, policy } => {
            json!({"version": version.0, "policy": json!(policy)})
        }
        change::Change::AmendMeaning { version, amendment } => {
            json!({"version": version.0, "amendment": json!(amendment)})
        }
        change::Change::MoveVault { from, to } => json!({"from": from.as_str(), "to": to.as_str()}),
        change::Change::SuspendNode { vault }
        | change::Change::ReinstateNode { vault }
        | change::Change::ReleaseEnterprise { vault } => {
            json!({"vault": vault.as_str()})
        }
        change::Change::AdmitEnterprise { enterprise } => json!({
            "vault": enterprise.vault.as_str(), "node": enterprise.node.as_str(), "address": enterprise.address,
            "operator": enterprise.operator.as_str(), "operator_account": enterprise.operator_account.to_string(),
            "executor": enterprise.executor.as_str(), "executor_account": enterprise.executor_account.to_string(),
            "key": Digest(*enterprise.key.as_bytes()).to_hex(), "class": enterprise.machine.class(),
            "platform": enterprise.machine.platform().0.to_hex(),
        }),
        change::Change::ApproveModule { about, declaration, source, recipe, .. } => json!({
            "about": about, "name": declaration.name.as_str(), "version": declaration.version,
            "source": source.to_hex(), "recipe": recipe.to_hex(),
        }),
        change::Change::RegisterMeasurement { .. }
        | change::Change::ActivateMeasurement { .. }
        | change::Change::RevokeMeasurement { .. }
        | change::Change::RevokePlatform { .. }
        | change::Change::RevokeModule { .. } => serde_json::Value::Null,
    }
}

fn entry(entry: &LogEntry) -> serde_json::Value {
    let body = &entry.proposal.body;
    json!({
        "sequence": entry.sequence.0, "proposal": body.digest().to_hex(), "proposer": body.proposer.as_str(),
        "change": body.change.as_str(), "subject": body.change.subject().to_hex(), "summary": body.summary,
        "content": content(&body.change),
        "at_ms": entry.at.0, "digest": entry.digest().to_hex(),
        "votes": entry.votes.iter().map(|vote| (vote.body.voter.to_string(), vote.body.approve)).collect::<Vec<_>>(),
    })
}

fn row(entry: &LogEntry) -> [String; 6] {
    let body = &entry.proposal.body;
    let approvals = entry.votes.iter().filter(|vote| vote.body.approve).count();
    [
        entry.sequence.to_string(),
        body.change.as_str().to_owned(),
        body.change.subject().to_hex(),
        body.proposer.to_string(),
        format!("{approvals} of {}", entry.votes.len()),
        entry.at.0.to_string(),
    ]
}

fn told_head(head: &LogHead) -> serde_json::Value {
    json!({
        "foundation": head.foundation.to_hex(), "sequence": head.sequence.0, "last": head.last.to_hex(),
        "root": head.root.to_hex(),
    })
}

fn lines(head: &LogHead) -> String {
    format!("foundation  {}\nentries     {}\nroot        {}", head.foundation, head.sequence, head.root)
}

fn list(proposals: &[ProposalEntry]) -> String {
    table(
        ["proposal", "change", "subject", "by", "state", "for", "against"],
        proposals.iter().map(|one| {
            let state =
                if one.code.is_empty() { one.state.clone() } else { format!("{} {}", one.state, one.code) };
            [
                one.proposal_id.clone(),
                one.change.clone(),
                one.subject.clone(),
                one.proposer.clone(),
                state,
                one.approvals.join(" "),
                one.rejections.join(" "),
            ]
        }),
    )
}

fn view(governance: &GovernanceView) -> String {
    let since = |mark: &Option<symphony_sdk::shape::governance::GovernanceMark>| {
        mark.as_ref().map_or_else(String::new, |mark| mark.sequence.to_string())
    };
    let code = governance
        .measurements
        .iter()
        .map(|one| [one.measurement.clone(), one.status.clone(), one.purpose.clone(), since(&one.since)]);
    let machines = governance
        .platforms
        .iter()
        .map(|one| [one.platform.clone(), one.class.clone(), one.status.clone(), since(&one.since)]);
    let council = governance.council.iter().map(|one| [one.member.clone(), one.key.clone()]);
    let moves = governance
        .moves
        .iter()
        .map(|one| [one.from.clone(), one.to.clone(), one.status.clone(), since(&one.since)]);
    let moves: Vec<_> = moves.collect();
    let moves = match moves.is_empty() {
        true => String::new(),
        false => format!("\n{}", table(["vault", "moves to", "status", "since entry"], moves)),
    };
    let enterprises = governance
        .enterprises
        .iter()
        .map(|one| [one.vault_id.clone(), one.operator.clone(), one.status.clone(), since(&one.since)]);
    let stakes = governance.stakes.iter().map(|one| {
        let cooling = if one.cooling > Sym::ZERO { show::sym(one.cooling) } else { String::new() };
        let (deposit, minimum) = (show::sym(one.deposit), show::sym(one.minimum));
        [one.actors.join(" "), one.tier.clone(), deposit, cooling, minimum, one.standing.clone()]
    });
    format!(
        "{}\n{}\n{}\n{}\n{}{moves}\nfoundation  {}\nentries     {}\nroot        {}\nhardware    {}",
        table(["enclave code", "status", "for", "since entry"], code),
        table(["machine", "class", "status", "since entry"], machines),
        table(["vault", "enterprise", "status", "since entry"], enterprises),
        table(["stake of", "tier", "staked", "cooling", "minimum", "standing"], stakes),
        table(["council", "key"], council),
        governance.foundation,
        governance.sequence,
        governance.root,
        if governance.hardware_rules.is_empty() { "nothing said" } else { &governance.hardware_rules },
    )
}
