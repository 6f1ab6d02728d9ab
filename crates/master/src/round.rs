//! What masters ask each other to stand behind in a training (R195): the order of a round, by its parts that another master
//! cannot make; and a finished round, which each appraises for itself. And what a round leaves beside the journal.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use symphony_protocol::artifact::training::{Environment, Round, RoundOrder, TrainingPlan};
use symphony_protocol::artifact::{Attestation, Combined, Outcome, TaskEnvelope};
use symphony_protocol::lifecycle::training::Position;
use symphony_protocol::lifecycle::{Stage, Task};
use symphony_protocol::machine::{Effect, State};
use symphony_protocol::verification;
use symphony_tee::governed;
use symphony_tee::report::EnclaveRole;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{NodeId, TaskId, VaultId};
use symphony_types::key::Document as _;
use symphony_types::time::OrderedMillis;
use symphony_wire::documents::decode;
use symphony_wire::v1;

use crate::blobs::{Kind, Place};
use crate::bulk;
use crate::cluster::{Doubt, UNSEEN};
use crate::effects::Fault;
use crate::node::{Node, now};
use crate::review;

/// How far ahead another master's clock may count attempts. **Units**: milliseconds.
const CLOCKS_APART_MS: u32 = 5_000;

/// The parts of a round's order that the asking master chose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handed {
    /// The task.
    pub task: TaskId,
    /// The round.
    pub round: u32,
    /// The attempt.
    pub attempt: u32,
    /// Who computes it.
    pub vaults: Vec<VaultId>,
    /// Boot report of the aggregator's enclave.
    pub aggregator_boot: Vec<u8>,
    /// That of another master, where two compute on shares.
    pub helper_boot: Option<Vec<u8>>,
}

impl Handed {
    /// The order itself.
    pub fn order(&self, known: &Task, position: Position) -> RoundOrder {
        RoundOrder {
            envelope: known.envelope.clone(),
            round: position.round,
            last: position.last,
            attempt: self.attempt,
            state: position.state,
            subjects: self.vaults.iter().map(|vault| subjects(known, vault)).collect(),
            vaults: self.vaults.clone(),
            aggregator_boot: self.aggregator_boot.clone(),
            helper_boot: self.helper_boot.clone(),
        }
    }
}

/// About how many people a Vault has: its bucket holds what is counted up to twice as much, so half is added.
fn subjects(known: &Task, vault: &VaultId) -> u64 {
    let of = known.receipts.iter().find(|receipt| receipt.body.vault == *vault);
    of.map_or(0, |receipt| receipt.body.coverage.0 + receipt.body.coverage.0 / 2)
}

/// The number of an attempt made now: later ones are higher, on whichever master.
pub fn attempt(envelope: &TaskEnvelope, now: OrderedMillis) -> u32 {
    u32::try_from(now.0.saturating_sub(envelope.admitted_at.0)).unwrap_or(u32::MAX)
}

/// What a round leaves beside the journal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RoundBulk {
    /// Attestations of the slices, in their order.
    pub slices: Vec<Attestation>,
    /// Attestation of the aggregation.
    pub aggregate: Attestation,
    /// Attestation of the second aggregator, where two compute on shares.
    pub helper: Option<Attestation>,
    /// The transcript of the step, sealed to the submitter; empty in the last round.
    pub sealed: Vec<u8>,
    /// The next learner, sealed under its key; none after the last round.
    pub learner: Option<Vec<u8>>,
    /// That key, sealed to each Vault's enclave.
    pub keys: Vec<(VaultId, Vec<u8>)>,
}

/// The learner that a round begins with.
#[derive(Clone, Default)]
pub struct Begins {
    /// Sealed under its key; none in the first round.
    pub learner: Option<Vec<u8>>,
    /// That key, sealed to each Vault's enclave.
    pub keys: BTreeMap<VaultId, Vec<u8>>,
}

impl Begins {
    /// What a Vault is handed with the order of the round.
    pub fn assignment(&self, vault: &VaultId, order: v1::SignedDocument) -> v1::RoundAssignment {
        let v1::SignedDocument { document, standing } = order;
        let learner = self.learner.clone().unwrap_or_default();
        let learner_key = self.keys.get(vault).cloned().unwrap_or_default();
        v1::RoundAssignment { document, learner, learner_key, standing }
    }
}

/// What a recorded round left; `None` where no master has it.
pub async fn bulk_of(node: &Node, round: &Round) -> Option<RoundBulk> {
    let place = Place { task: round.task, kind: Kind::Round(round.round), digest: round.bulk };
    decode(&bulk::get(node, &place).await?).ok()
}

/// The sealed learner that a round begins with. **Errors**: [`Fault::Again`] while no master that can be reached has it.
pub async fn begins(node: &Node, state: &State, known: &Task, position: &Position) -> Result<Begins, Fault> {
    if position.round == 1 {
        return Ok(Begins::default());
    }
    let before = state.rounds.get(&(known.envelope.task, position.round - 1));
    let before = before.ok_or_else(|| Fault::Again("the round before is not known".to_owned()))?;
    let bulk = bulk_of(node, before).await;
    let bulk = bulk.ok_or_else(|| Fault::Again("the learner of the round is nowhere".to_owned()))?;
    Ok(Begins { learner: bulk.learner, keys: bulk.keys.into_iter().collect() })
}

/// A round with the attestations that were kept of it. What nobody has any more is shown as absent, and the verifier
/// rejects it.
pub async fn combined(node: &Node, round: &Round) -> Combined {
    let absent = || Attestation { boot: vec![], report: vec![] };
    let bulk = bulk_of(node, round).await;
    let (mut slices, aggregate, helper) =
        bulk.map_or((vec![], absent(), None), |bulk| (bulk.slices, bulk.aggregate, bulk.helper));
    slices.resize_with(round.slices.len(), absent);
    Combined {
        slices: round.slices.iter().cloned().zip(slices).collect(),
        aggregate: (round.aggregate.clone(), aggregate),
        helper,
    }
}

/// The sealed transcript of a step. **Errors**: `ADM-0004` when there is no such step.
pub async fn step(node: &Node, task: &TaskId, number: u32) -> Result<v1::SealedStep, Code> {
    let state = node.state();
    let round = state.rounds.get(&(*task, number)).ok_or(Code::NotFound)?;
    let Outcome::Step { .. } = round.aggregate.body.outcome else { return Err(Code::NotFound) };
    // A master that does not hold the bytes vouches for their digest; the gateway gets them from another one.
    let sealed = bulk_of(node, round).await.map(|bulk| bulk.sealed).unwrap_or_default();
    Ok(v1::SealedStep { sealed, sealed_digest: round.aggregate.body.result.0.to_vec() })
}

/// Where a training is; `None` of another task.
pub fn progress(state: &State, known: &Task) -> Option<v1::TrainingProgress> {
    let TrainingPlan { training, environment, .. } = known.envelope.plan.training()?;
    let (mut done, mut position) = (0, Some(Position::FIRST));
    let (mut spent, mut curve, mut model_digest) = (0, Vec::new(), Vec::new());
    for round in state.rounds_of(&known.envelope.task) {
        let Some(at) = position else { break };
        let outcome = &round.aggregate.body.outcome;
        let evaluation = match outcome {
            Outcome::Step { evaluation, .. } => *evaluation,
            Outcome::Model { evaluation, model } => {
                model_digest = model.0.to_vec();
                Some(*evaluation)
            }
            Outcome::Withheld { evaluation } => Some(*evaluation),
            Outcome::Audience { .. } | Outcome::Suppressed | Outcome::Computed { .. } => None,
        };
        curve.extend(evaluation.map(|evaluation| v1::EvaluationEntry {
            step: at.round - 1,
            quality_micro: evaluation.quality,
            log_loss_micro: evaluation.log_loss,
            calibration_error_micro: evaluation.calibration_error,
        }));
        done = at.round;
        spent = round.slices.iter().map(|slice| slice.body.epsilon.0).max().unwrap_or(spent);
        position = at.next(training, outcome);
    }
    Some(v1::TrainingProgress {
        rounds: training.rounds,
        done,
        spent_micro_epsilon: spent,
        reserved_micro_epsilon: known.envelope.charge.noised.0,
        curve,
        model_digest,
        environment: environment.name().to_owned(),
    })
}

/// The digest of the order that another master asks to endorse: the training is its to run, and the aggregator's enclave is
/// its own and appraises, as does the second one's, which is another master's. Whom it leaves out is its word alone: what a round without them gives never leaves the enclaves
/// before the masters agree on it.
pub(crate) fn order(network: &str, state: &State, master: &NodeId, handed: &Handed) -> Result<Digest, Doubt> {
    let known = state.tasks.get(&handed.task).ok_or(UNSEEN)?;
    let (effect, position) = match known.stage {
        Stage::Training { position } => (Effect::Train(handed.task), position),
        _ => (Effect::Review(handed.task), review::position(state, known).ok_or(UNSEEN)?),
    };
    let lease = state.leases.get(&effect).ok_or(UNSEEN)?;
    if lease.runner != *master || position.round != handed.round {
        return Err(Doubt::Other("the round is not that master's to order"));
    }
    let envelope = &known.envelope;
    if handed.attempt > attempt(envelope, now()).saturating_add(CLOCKS_APART_MS) {
        return Err(Doubt::Other("the attempt is counted by another clock"));
    }
    let admitted = |boot: &[u8]| {
        let boot = governed::admit(network, &state.governance, envelope, boot, EnclaveRole::Aggregator)
            .map_err(|(code, detail)| Doubt::Wrong(code, detail))?;
        let another =
            || Doubt::Wrong(Code::AttestationFailed, "the enclave is not an aggregator's".to_owned());
        if boot.actor == envelope.coordination.aggregator { Ok(boot) } else { Err(another()) }
    };
    let environment = envelope.plan.training().map(|plan| plan.environment);
    let first = admitted(&handed.aggregator_boot)?;
    let helper = handed.helper_boot.as_deref().map(admitted).transpose()?;
    let two = helper.is_some() == (environment == Some(Environment::Mpc));
    let apart = helper.as_ref().is_none_or(|helper| {
        helper.node != *master
            && helper.platform != first.platform
            && state.governance.registry.masters.contains_key(&helper.node)
    });
    if first.node != *master || !two || !apart {
        return Err(Doubt::Wrong(Code::AttestationFailed, "the enclaves are other aggregators'".to_owned()));
    }
    Ok(handed.order(known, position).digest())
}

/// The digest of a finished round, if all that it names is here and approved enclaves made it.
pub(crate) async fn attested(node: &Node, state: &State, round: &Round) -> Result<Digest, Doubt> {
    let known = state.tasks.get(&round.task).ok_or(UNSEEN)?;
    let Stage::Training { position } = known.stage else { return Err(UNSEEN) };
    if position.round != round.round {
        return Err(UNSEEN);
    }
    appraised(node, state, known, position, round).await?;
    Ok(round.digest())
}

/// Whether all that a round of this position names is here, and approved enclaves made it.
pub(crate) async fn appraised(
    node: &Node,
    state: &State,
    known: &Task,
    position: Position,
    round: &Round,
) -> Result<(), Doubt> {
    let bulk = bulk_of(node, round).await.ok_or(Doubt::Other("what the round leaves is not here"))?;
    let keyed = |vault| bulk.keys.iter().any(|(of, sealed)| of == vault && !sealed.is_empty());
    let going_on = bulk.learner.as_ref().is_some_and(|learner| !learner.is_empty())
        && round.slices.iter().all(|slice| keyed(&slice.body.vault));
    let transcript = Digest::of_bytes(&bulk.sealed) == round.aggregate.body.result;
    let whole = position.last || (going_on && transcript);
    if !whole {
        return Err(Doubt::Wrong(Code::AggregationFailed, "the round leaves too little".to_owned()));
    }
    if position.last {
        let result = Place { task: round.task, kind: Kind::Result, digest: round.aggregate.body.result };
        bulk::get(node, &result).await.ok_or(Doubt::Other("the model is not here"))?;
    }
    let combined = combined(node, round).await;
    let appraise = |attestation: &_, expected: &_| {
        governed::judge(&node.network, &state.governance, attestation, expected)
    };
    verification::round(&state.governance, &known.envelope, position, &combined, &appraise)
        .map_err(|(code, detail)| Doubt::Wrong(code, detail))
}
