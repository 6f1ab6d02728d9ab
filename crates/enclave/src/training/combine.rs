//! The aggregator's side of a round: opens the parts, combines them, seals what comes out (R093, R097-R100, R112, R116).
//!
//! It keeps nothing between rounds: the learner comes in the part of the round's first Vault and goes, a step further, to
//! the enclaves of all Vaults that go on. So any aggregator of the task can take the next round.

use symphony_compute::train::TrainError;
use symphony_compute::train::gathering::{Combined, Gathering};
use symphony_compute::train::part::Part;
use symphony_compute::train::step::Learner;
use symphony_protocol::artifact::training::{
    EndorsedRoundOrder, Evaluation, RoundOrder, StepTranscript, TrainedModel, TrainingPlan,
};
use symphony_protocol::artifact::{AggregateHeader, Outcome};
use symphony_protocol::execution::training::aggregate_nonce;
use symphony_protocol::lifecycle::training::Position;
use symphony_tee::report::{AGGREGATE_STEP, EnclaveRole, SignedBoot};
use symphony_tee::session::Work;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::VaultId;
use symphony_types::key::{Document as _, Master, PublicKey};
use symphony_wire::documents;
use symphony_wire::enclave::{Answer, PartWord, SignedPartWord, purpose};
use symphony_wire::sealed::seal;
use zeroize::Zeroizing;

use super::{check_round, learner_circumstances, part_circumstances};
use crate::aggregate::{SEED_COMMITMENT_TAG, bundles_root};
use crate::handler::Handler;
use crate::refusal::{Refusal, admit_boot, check_members, verify_order};
use crate::station::Station;

/// What a host asks of an aggregator in a round.
pub(crate) struct Combination<'a> {
    pub(crate) order: &'a EndorsedRoundOrder,
    pub(crate) bundles: &'a [(VaultId, Vec<u8>)],
    pub(crate) slices: &'a [(VaultId, Vec<u8>)],
    pub(crate) policy: &'a [u8],
    pub(crate) masters: &'a [PublicKey<Master>],
}

/// Sealed learners by Vault.
type Learners = Vec<(VaultId, Vec<u8>)>;

/// Why a round is not combined.
enum Halt {
    Refused(Refusal),
    /// Another round without this Vault can be.
    Part(VaultId, String),
}

impl From<Refusal> for Halt {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Combines the parts of a round.
pub(crate) fn combine<S: Station>(handler: &Handler<S>, asked: &Combination<'_>) -> Result<Answer, Refusal> {
    verify_order(asked.order, asked.masters)?;
    let order = &asked.order.body;
    let (plan, position) = check_round(order)?;
    check_own(handler, order)?;
    if !asked.bundles.iter().map(|(vault, _)| vault).eq(&order.vaults) {
        return Err(Refusal::new(Code::Malformed, "the bundles are not those of the round's vaults"));
    }
    check_members(&order.envelope, asked.slices.iter().map(|(vault, _)| vault))?;
    let (learner, combined) = match gather(handler, plan, &position, asked) {
        Ok(combined) => combined,
        Err(Halt::Refused(refusal)) => return Err(refusal),
        Err(Halt::Part(vault, detail)) => {
            return Ok(Answer::PartRefused { vault, code: Code::UpdateInvalid, detail });
        }
    };
    let learners = match combined.next.as_ref().map(|next| seal_learners(order, next, asked)) {
        Some(Ok(learners)) => learners,
        Some(Err((vault, refusal))) => {
            return Ok(Answer::PartRefused { vault, code: refusal.code, detail: refusal.detail });
        }
        None => Vec::new(),
    };
    let (outcome, sealed) = release(order, plan, &learner, &combined)?;
    let (inputs, input_root) = bundles_root(asked.bundles);
    let envelope = &order.envelope;
    let output = Digest::of_bytes(&sealed);
    // Parts wiped themselves when they were added, and nothing of the round stays here.
    let report = handler.station.report(Work {
        task: envelope.task,
        step: AGGREGATE_STEP.into(),
        nonce: aggregate_nonce(&envelope.digest(), &position),
        input_root,
        output,
        schema: envelope.versions.schema,
        semantic: envelope.versions.semantic,
        policy: envelope.versions.policy,
        purged: true,
    });
    let report = documents::encode(&report);
    let header = handler.station.sign(AggregateHeader {
        task: envelope.task,
        aggregator: envelope.coordination.aggregator.clone(),
        inputs,
        outcome,
        result: output,
        seed: Digest::tagged(SEED_COMMITMENT_TAG, &combined.seed.0),
        report: Digest::of_bytes(&report),
    });
    Ok(Answer::Combined { header, sealed, learners, report })
}

/// Whether the order names this very enclave: another one could open no part, and would blame a Vault for it.
fn check_own<S: Station>(handler: &Handler<S>, order: &RoundOrder) -> Result<(), Refusal> {
    let own = handler.station.boot();
    let boot: SignedBoot = documents::decode(&order.aggregator_boot)
        .map_err(|_| Refusal::new(Code::Malformed, "the boot report is malformed"))?;
    if own.actor != order.envelope.coordination.aggregator || boot.body != *own {
        return Err(Refusal::new(Code::EnvelopeInvalid, "another enclave is the aggregator"));
    }
    Ok(())
}

/// Opens one part after the other, and combines. No part is there any more on return.
fn gather<S: Station>(
    handler: &Handler<S>,
    plan: &TrainingPlan,
    position: &Position,
    asked: &Combination<'_>,
) -> Result<(Learner, Combined), Halt> {
    let order = &asked.order.body;
    let task = order.envelope.task;
    let mut gathering = Gathering::new(task, plan, position);
    let mut learner = None;
    for (vault, bundle) in asked.bundles {
        let halt = |error: TrainError| Halt::Part(vault.clone(), error.to_string());
        let part = open_part(handler, asked, vault, bundle)?;
        if learner.is_none() {
            let bytes = part.learner.as_deref();
            learner = Some(Learner::at(plan.training.shape(), task, &order.state, bytes).map_err(halt)?);
        }
        gathering.add(vault, &part).map_err(halt)?;
    }
    let learner = learner.ok_or_else(|| Refusal::new(Code::QuorumBroken, "a round without vaults"))?;
    let combined = gathering.finish(&learner, order.subjects).map_err(|error| match error {
        TrainError::TooFew => Refusal::new(Code::BelowCardinality, error.to_string()),
        other => Refusal::new(Code::AggregationFailed, other.to_string()),
    })?;
    Ok((learner, combined))
}

/// A part that an admitted slice enclave made for this order and Vault.
fn open_part<S: Station>(
    handler: &Handler<S>,
    asked: &Combination<'_>,
    vault: &VaultId,
    bundle: &[u8],
) -> Result<Part, Halt> {
    let order = &asked.order.body;
    let halt = |detail: &str| Halt::Part(vault.clone(), detail.into());
    let (_, boot) = asked
        .slices
        .iter()
        .find(|(slice, _)| slice == vault)
        .ok_or_else(|| halt("its enclave is not known"))?;
    let slice = admit_boot(boot, asked.policy, &order.envelope, EnclaveRole::Slice)
        .map_err(|refusal| halt(&refusal.detail))?;
    let opened = handler.sealing.open(purpose::PART, &part_circumstances(order, vault), bundle);
    let opened = Zeroizing::new(opened.map_err(|_| halt("the part does not open"))?);
    let malformed = |_| halt("the part is malformed");
    let (part, word): (Vec<u8>, SignedPartWord) = documents::decode(&opened).map_err(malformed)?;
    let part = Zeroizing::new(part);
    let expected = PartWord { order: order.digest(), vault: vault.clone(), part: Digest::of_bytes(&part) };
    if word.body != expected || !word.verify(&slice.signing_key) {
        return Err(halt("the part is not its enclave's"));
    }
    documents::decode(&part).map_err(malformed)
}

/// The next learner for each enclave that goes on. One that cannot be sealed to stays behind, if it had no part.
/// **Errors**: the Vault of the round whose enclave is not admitted, and why.
fn seal_learners(
    order: &RoundOrder,
    next: &Learner,
    asked: &Combination<'_>,
) -> Result<Learners, (VaultId, Refusal)> {
    let (bytes, state) = (Zeroizing::new(next.bytes()), next.digest());
    let mut learners = Vec::with_capacity(asked.slices.len());
    for (vault, boot) in asked.slices {
        let aad = learner_circumstances(&order.envelope, vault, &state);
        let sealed = admit_boot(boot, asked.policy, &order.envelope, EnclaveRole::Slice).and_then(|slice| {
            seal(&slice.hpke_key, purpose::LEARNER, &aad, &bytes)
                .map_err(|error| Refusal::new(Code::SealInvalid, error.to_string()))
        });
        match sealed {
            Ok(sealed) => learners.push((vault.clone(), sealed)),
            Err(refusal) if order.vaults.contains(vault) => return Err((vault.clone(), refusal)),
            Err(_) => {}
        }
    }
    Ok(learners)
}

/// What the submitter receives of the round, sealed, and what everybody may know of it.
fn release(
    order: &RoundOrder,
    plan: &TrainingPlan,
    learner: &Learner,
    combined: &Combined,
) -> Result<(Outcome, Vec<u8>), Refusal> {
    let task = order.envelope.task;
    let seal = |purpose, aad: &[u8], plaintext: &[u8]| {
        seal(&order.envelope.recipient, purpose, aad, plaintext)
            .map_err(|error| Refusal::new(Code::SealInvalid, error.to_string()))
    };
    if let Some(next) = &combined.next {
        let (round, subjects) = (order.round, order.subjects);
        let transcript = StepTranscript { task, round, subjects, sums: combined.sums.clone() };
        let outcome = Outcome::Step { state: next.digest(), evaluation: combined.evaluation };
        let aad = documents::encode(&(task, order.round));
        return Ok((outcome, seal(purpose::STEP, &aad, &documents::encode(&transcript))?));
    }
    let model = learner.model();
    let evaluation = combined.evaluation.unwrap_or(UNKNOWN);
    let (outcome, parameters) = if evaluation.quality >= plan.training.accept_from {
        (Outcome::Model { model: model.digest(), evaluation }, model.bytes())
    } else {
        (Outcome::Withheld { evaluation }, Vec::new())
    };
    let trained = TrainedModel { task, steps: order.round - 1, shape: model.shape(), parameters, evaluation };
    let plaintext = Zeroizing::new(documents::encode(&trained));
    Ok((outcome, seal(purpose::RESULT, &documents::encode(&task), &plaintext)?))
}

/// The figures of a model that nobody could be asked about.
const UNKNOWN: Evaluation = Evaluation { quality: 0, log_loss: None, calibration_error: None };
