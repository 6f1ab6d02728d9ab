//! The aggregator's side of a round: opens the parts, combines them, seals what comes out (R093, R097-R100, R112, R116).
//!
//! It keeps nothing between rounds: the learner comes in the part of the round's first Vault and goes, a step further, to
//! the enclaves of all Vaults that go on. So any aggregator of the task can take the next round.

use serde::de::DeserializeOwned;
use symphony_compute::train::TrainError;
use symphony_compute::train::gathering::{Combined, Gathering};
use symphony_compute::train::part::Part;
use symphony_compute::train::sharing::Role;
use symphony_compute::train::step::Learner;
use symphony_protocol::artifact::Outcome;
use symphony_protocol::artifact::training::{
    Evaluation, RoundOrder, StepTranscript, TrainedModel, TrainingPlan,
};
use symphony_protocol::execution::training::aggregate_nonce;
use symphony_protocol::lifecycle::training::Position;
use symphony_tee::report::EnclaveRole;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::VaultId;
use symphony_types::key::Document as _;
use symphony_wire::documents;
use symphony_wire::enclave::{Answer, Gathered, Helped, PartWord, SignedPartWord, purpose};
use symphony_wire::sealed::seal;
use zeroize::Zeroizing;

use super::{Aggregators, check_round, learner_circumstances, part_circumstances, shares};
use crate::aggregate::{Made, stated};
use crate::handler::Handler;
use crate::refusal::{Refusal, admit_boot, check_members, verify_order};
use crate::station::Station;

/// Sealed learners by Vault.
type Learners = Vec<(VaultId, Vec<u8>)>;

/// Why a round is not combined.
pub(super) enum Halt {
    Refused(Refusal),
    /// Another round without this Vault can be.
    Part(VaultId, String),
}

impl From<Refusal> for Halt {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Halt {
    pub(super) fn answer(self) -> Result<Answer, Refusal> {
        match self {
            Self::Refused(refusal) => Err(refusal),
            Self::Part(vault, detail) => Ok(Answer::PartRefused { vault, code: Code::UpdateInvalid, detail }),
        }
    }
}

/// A round that this enclave has a part in combining.
pub(super) struct Round<'a> {
    pub(super) gathered: &'a Gathered,
    pub(super) order: &'a RoundOrder,
    pub(super) plan: &'a TrainingPlan,
    pub(super) position: Position,
    pub(super) aggregators: Aggregators,
}

impl<'a> Round<'a> {
    /// The round, if its order is the masters' and names this very enclave in this role: another one could open no part,
    /// and would blame a Vault for it.
    pub(super) fn check<S: Station>(
        handler: &Handler<S>,
        gathered: &'a Gathered,
        role: Role,
    ) -> Result<Self, Refusal> {
        verify_order(&gathered.order, &gathered.masters)?;
        let order = &gathered.order.body;
        let (plan, position) = check_round(order)?;
        let aggregators = Aggregators::admit(plan, order, &gathered.policy)?;
        let named = match role {
            Role::Leader => Some(&aggregators.first),
            Role::Helper => aggregators.helper.as_ref(),
        };
        if named != Some(handler.station.boot()) {
            return Err(Refusal::new(Code::EnvelopeInvalid, "another enclave is the aggregator"));
        }
        if !gathered.bundles.iter().map(|(vault, _)| vault).eq(&order.vaults) {
            return Err(Refusal::new(Code::Malformed, "the bundles are not those of the round's vaults"));
        }
        let halves = if aggregators.helper.is_some() { order.vaults.len() } else { 0 };
        if gathered.halves.len() != halves {
            return Err(Refusal::new(Code::Malformed, "the halves are not those of the bundles"));
        }
        check_members(&order.envelope, gathered.slices.iter().map(|(vault, _)| vault))?;
        Ok(Self { gathered, order, plan, position, aggregators })
    }

    /// What an admitted slice enclave sealed to this one for this order and Vault.
    pub(super) fn open<S: Station, T: DeserializeOwned>(
        &self,
        handler: &Handler<S>,
        vault: &VaultId,
        sealed: &[u8],
    ) -> Result<T, Halt> {
        let (order, Gathered { slices, policy, .. }) = (self.order, self.gathered);
        let halt = |detail: &str| Halt::Part(vault.clone(), detail.into());
        let boot = slices.iter().find(|(slice, _)| slice == vault);
        let (_, boot) = boot.ok_or_else(|| halt("its enclave is not known"))?;
        let slice = admit_boot(boot, policy, &order.envelope, EnclaveRole::Slice)
            .map_err(|refusal| halt(&refusal.detail))?;
        let opened = handler.sealing.open(purpose::PART, &part_circumstances(order, vault), sealed);
        let opened = Zeroizing::new(opened.map_err(|_| halt("the part does not open"))?);
        let malformed = |_| halt("the part is malformed");
        let (part, word): (Vec<u8>, SignedPartWord) = documents::decode(&opened).map_err(malformed)?;
        let part = Zeroizing::new(part);
        let expected =
            PartWord { order: order.digest(), vault: vault.clone(), part: Digest::of_bytes(&part) };
        if word.body != expected || !word.verify(&slice.signing_key) {
            return Err(halt("the part is not its enclave's"));
        }
        documents::decode(&part).map_err(malformed)
    }

    /// The learner that the round begins with, as the part of its first Vault has it.
    pub(super) fn learner(&self, vault: &VaultId, bytes: Option<&[u8]>) -> Result<Learner, Halt> {
        let (shape, task) = (self.plan.training.shape(), self.order.envelope.task);
        Learner::at(shape, task, &self.order.state, bytes)
            .map_err(|error| Halt::Part(vault.clone(), error.to_string()))
    }
}

/// Combines the parts of a round.
pub(crate) fn combine<S: Station>(
    handler: &Handler<S>,
    gathered: &Gathered,
    helped: Option<&Helped>,
) -> Result<Answer, Refusal> {
    let round = Round::check(handler, gathered, Role::Leader)?;
    let made = match helped {
        None => gather(handler, &round).map(|(learner, combined)| (learner, combined, None)),
        Some(helped) => shares::combine(handler, &round, helped)
            .map(|(learner, combined, helper)| (learner, combined, Some(helper))),
    };
    let (learner, combined, helper) = match made {
        Ok(made) => made,
        Err(halt) => return halt.answer(),
    };
    let learners = match combined.next.as_ref().map(|next| seal_learners(&round, next)) {
        Some(Ok(learners)) => learners,
        Some(Err((vault, refusal))) => {
            return Ok(Answer::PartRefused { vault, code: refusal.code, detail: refusal.detail });
        }
        None => Vec::new(),
    };
    let (outcome, sealed) = release(&round, &learner, &combined)?;
    // Parts wiped themselves when they were added, and nothing of the round stays here.
    let (result, seed) = (Digest::of_bytes(&sealed), &combined.seed);
    let made = Made { bundles: &gathered.bundles, outcome, result, seed, helper };
    let envelope = &round.order.envelope;
    let nonce = aggregate_nonce(&envelope.digest(), &round.position);
    let (header, report) = stated(handler, envelope, nonce, made);
    Ok(Answer::Combined { header, sealed, learners, report })
}

/// Opens one part after the other, and combines. No part is there any more on return.
fn gather<S: Station>(handler: &Handler<S>, round: &Round<'_>) -> Result<(Learner, Combined), Halt> {
    let Round { order, plan, position, gathered, aggregators } = round;
    if aggregators.helper.is_some() {
        return Err(Refusal::new(Code::EnvelopeInvalid, "the second aggregator's share is missing").into());
    }
    let mut gathering = Gathering::new(order.envelope.task, plan, position, order.subjects);
    let mut learner = None;
    for (vault, bundle) in &gathered.bundles {
        let part: Part = round.open(handler, vault, bundle)?;
        if learner.is_none() {
            learner = Some(round.learner(vault, part.learner.as_deref())?);
        }
        gathering.add(vault, &part).map_err(|error| Halt::Part(vault.clone(), error.to_string()))?;
    }
    let learner = learner.ok_or_else(nobody)?;
    let combined = gathering.finish(&learner).map_err(failed)?;
    Ok((learner, combined))
}

pub(super) fn nobody() -> Refusal {
    Refusal::new(Code::QuorumBroken, "a round without vaults")
}

/// What a round that cannot be ended is refused with.
pub(super) fn failed(error: TrainError) -> Refusal {
    match error {
        TrainError::TooFew => Refusal::new(Code::BelowCardinality, error.to_string()),
        other => Refusal::new(Code::AggregationFailed, other.to_string()),
    }
}

/// The next learner for each enclave that goes on. One that cannot be sealed to stays behind, if it had no part.
/// **Errors**: the Vault of the round whose enclave is not admitted, and why.
fn seal_learners(round: &Round<'_>, next: &Learner) -> Result<Learners, (VaultId, Refusal)> {
    let (order, Gathered { slices, policy, .. }) = (round.order, round.gathered);
    let (bytes, state) = (Zeroizing::new(next.bytes()), next.digest());
    let mut learners = Vec::with_capacity(slices.len());
    for (vault, boot) in slices {
        let aad = learner_circumstances(&order.envelope, vault, &state);
        let sealed = admit_boot(boot, policy, &order.envelope, EnclaveRole::Slice).and_then(|slice| {
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
fn release(round: &Round<'_>, learner: &Learner, combined: &Combined) -> Result<(Outcome, Vec<u8>), Refusal> {
    let (order, plan) = (round.order, round.plan);
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
