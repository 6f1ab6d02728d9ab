//! The council at a master's door (R191, R194): motions become commands, and what governs is told in the words of the public
//! messages, with proofs that a client checks itself.

use symphony_protocol::governance::approval::{Mark, Status as Standing};
use symphony_protocol::governance::change::Change;
use symphony_protocol::governance::membership::MemberStatus;
use symphony_protocol::governance::proposal::{Motion, ProposalRecord, ProposalStage};
use symphony_protocol::governance::registry::Registry;
use symphony_protocol::machine::{Command, State};
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{GovernanceSequence, VaultId};
use symphony_types::limits::PROPOSAL_BYTES_MAX;
use symphony_wasm::module::Module;
use symphony_wire::documents::{decode, encode};
use symphony_wire::status::refusal;
use symphony_wire::{convert, v1};
use tonic::Status;

use crate::effects::Fault;
use crate::node::{Node, now};
use crate::{following, stakes};

/// Entries of one answer.
const ENTRIES_MAX: u32 = 256;

/// What no enclave would load is not put to the vote (R095). **Errors**: `GOV-0016`.
fn check(motion: &Motion) -> Result<(), Status> {
    if let Motion::Propose(proposal) = motion
        && let Change::ApproveModule { code, declaration, .. } = &proposal.body.change
    {
        let checked = Module::check(code, declaration, &Digest::of_bytes(code));
        checked
            .map_err(|refused| refusal(Code::ModuleRefused, format!("the module is refused: {refused}")))?;
    }
    Ok(())
}

/// Orders a motion; the proposal as it is then. **Errors**: it is no motion, or the rules' refusal.
pub(crate) async fn submit(node: &Node, motion: &[u8]) -> Result<v1::ProposalEntry, Status> {
    if motion.len() > PROPOSAL_BYTES_MAX + 8 {
        return Err(refusal(Code::BodyTooLarge, "a motion is smaller"));
    }
    let motion: Motion = decode(motion).map_err(|error| refusal(Code::Malformed, error))?;
    check(&motion)?;
    let id = motion.proposal();
    let ordered = node.order(Command::Govern { motion }).await;
    ordered.map_err(|error| refusal(error.code, error.detail))?;
    let state = node.state();
    let record = state.proposals.get(&id).ok_or_else(|| plain(Code::ProposalUnknown))?;
    Ok(proposal(&id, record))
}

/// What governs.
pub(crate) fn view(state: &State) -> v1::GovernanceView {
    let (registry, head) = (&state.governance.registry, state.proposals.log.head());
    let measurements = registry.measurements.iter().map(|(measurement, code)| {
        let since = match code.status() {
            Standing::Registered => Some(code.registered),
            Standing::Active => code.activated,
            Standing::Revoked => code.revoked,
        };
        v1::MeasurementEntry {
            measurement: measurement.0.0.to_vec(),
            status: code.status().as_str().to_owned(),
            purpose: code.purpose.as_str().to_owned(),
            recipe: code.recipe.0.to_vec(),
            since: since.map(mark),
        }
    });
    let platforms = registry.platforms.iter().map(|(id, platform)| v1::PlatformEntry {
        platform: id.0.0.to_vec(),
        status: if platform.revoked.is_some() { "revoked" } else { "admitted" }.to_owned(),
        since: Some(mark(platform.revoked.unwrap_or(platform.admitted))),
        class: platform.machine.class().to_owned(),
    });
    let modules = registry
        .modules
        .iter()
        .map(|(code, module)| convert::module(code, module, mark(module.revoked.unwrap_or(module.approved))));
    let council = registry.council.iter().map(|(member, key)| v1::CouncilEntry {
        member: member.to_string(),
        key: key.as_bytes().to_vec(),
        number: state.proposals.number(member),
    });
    let moves = registry.moves.iter().map(|(from, known)| {
        let closing = state.moves.get(from);
        v1::MoveEntry {
            from: from.to_string(),
            to: known.to.to_string(),
            status: if closing.is_some() { "closed" } else { "moving" }.to_owned(),
            since: Some(mark(known.since)),
            closing: closing.map(encode).unwrap_or_default(),
        }
    });
    let enterprises = registry.vaults.iter().map(|(vault, record)| v1::EnterpriseEntry {
        vault_id: vault.to_string(),
        operator: record.operator.to_string(),
        status: state.status(vault, now()).map_or("", MemberStatus::as_str).to_owned(),
        since: Some(mark(since(registry, vault))),
        until_epoch: registry.exits.get(vault).map_or(0, |exit| exit.until.0),
    });
    let rules = state.governance.hardware_at(state.governance.sequence);
    v1::GovernanceView {
        foundation: head.foundation.0.to_vec(),
        sequence: head.sequence.0,
        last: head.last.0.to_vec(),
        root: head.root.0.to_vec(),
        policy_version: state.governance.version_at(now()).0,
        measurements: measurements.collect(),
        platforms: platforms.collect(),
        modules: modules.collect(),
        moves: moves.collect(),
        enterprises: enterprises.collect(),
        council: council.collect(),
        proposals: state.proposals.iter().map(|(id, record)| proposal(id, record)).collect(),
        stakes: stakes::view(state, now()),
        hardware_rules: rules.map(|rules| rules.digest().0.to_vec()).unwrap_or_default(),
    }
}

/// Entries of the log with its head. **Errors**: `GOV-0005` while the masters do not agree on the head.
pub(crate) async fn log(node: &Node, asked: &v1::GovernanceLogRequest) -> Result<v1::GovernanceLog, Status> {
    let head = following::head(node).await.map_err(undecided)?;
    let limit = asked.limit.clamp(1, ENTRIES_MAX) as usize;
    let state = node.state();
    let entries = state.proposals.log.entries();
    let wanted =
        entries.filter(|entry| entry.sequence.0 >= asked.from && entry.sequence <= head.body.sequence);
    Ok(v1::GovernanceLog { entries: wanted.take(limit).map(encode).collect(), head: encode(&head) })
}

/// What shows that an entry is in the log, and that the log goes on from an earlier one. **Errors**: `ADM-0004` when there is
/// no such entry or no such earlier log, `GOV-0005`.
pub(crate) async fn proof(
    node: &Node,
    asked: &v1::GovernanceProofRequest,
) -> Result<v1::GovernanceProof, Status> {
    let head = following::head(node).await.map_err(undecided)?;
    let state = node.state();
    let log = &state.proposals.log;
    if log.head() != head.body {
        return Err(plain(Code::Undecided));
    }
    let sequence = GovernanceSequence(asked.sequence);
    let entry = log.entry(sequence).zip(log.inclusion(sequence));
    let (entry, inclusion) = entry.ok_or_else(|| plain(Code::NotFound))?;
    let consistency = log.consistency(GovernanceSequence(asked.since));
    let consistency = consistency.ok_or_else(|| plain(Code::NotFound))?;
    let path = |path: Vec<Digest>| path.into_iter().map(|step| step.0.to_vec()).collect();
    Ok(v1::GovernanceProof {
        entry: encode(entry),
        inclusion: path(inclusion),
        consistency: path(consistency),
        head: encode(&head),
    })
}

/// Since when an enterprise stands where it stands.
fn since(registry: &Registry, vault: &VaultId) -> Mark {
    let admitted = registry.admissions.get(vault).map(|admission| admission.since);
    let leaving = registry.exits.get(vault).map(|exit| exit.since);
    registry.suspensions.get(vault).copied().or(leaving).or(admitted).unwrap_or(Mark::FOUNDED)
}

fn mark(mark: Mark) -> v1::GovernanceMark {
    v1::GovernanceMark { sequence: mark.sequence.0, at_ms: mark.at.0, proposal: mark.by.0.to_vec() }
}

fn proposal(id: &Digest, record: &ProposalRecord) -> v1::ProposalEntry {
    let body = &record.proposal.body;
    let voters = |approve| {
        let votes = record.votes.values().filter(move |vote| vote.body.approve == approve);
        votes.map(|vote| vote.body.voter.to_string()).collect()
    };
    let mut entry = v1::ProposalEntry {
        proposal_id: id.0.to_vec(),
        proposer: body.proposer.to_string(),
        number: body.number,
        change: body.change.as_str().to_owned(),
        subject: body.change.subject().0.to_vec(),
        summary: body.summary.clone(),
        state: record.stage.as_str().to_owned(),
        vote_by_ms: record.vote_by.0,
        approvals: voters(true),
        rejections: voters(false),
        amends: body.amends.map_or_else(Vec::new, |earlier| earlier.0.to_vec()),
        ..v1::ProposalEntry::default()
    };
    match record.stage {
        ProposalStage::Accepted { execute_at } => entry.execute_at_ms = execute_at.0,
        ProposalStage::Executed { sequence } => entry.sequence = sequence.0,
        ProposalStage::Rejected { code } => {
            entry.code = code.map_or_else(String::new, |code| code.as_str().to_owned());
        }
        ProposalStage::Amended { by } => entry.amended_by = by.0.to_vec(),
        ProposalStage::Open | ProposalStage::Withdrawn | ProposalStage::Expired => {}
    }
    entry
}

fn plain(code: Code) -> Status {
    refusal(code, code.title())
}

fn undecided(fault: Fault) -> Status {
    refusal(Code::Undecided, fault)
}
