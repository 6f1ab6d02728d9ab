//! The aggregator's side of a round: ends it when its parts have been added, seals what comes out (R093, R097-R100, R112,
//! R116).
//!
//! It keeps nothing between rounds: the learner comes sealed, its key in the part of the round's first Vault; and goes, a
//! step further, to the enclaves of all Vaults that go on. So any aggregator of the task can take the next round.

use serde::de::DeserializeOwned;
use symphony_compute::train::TrainError;
use symphony_compute::train::gathering::Combined;
use symphony_compute::train::sharing::Role;
use symphony_compute::train::step::Learner;
use symphony_protocol::artifact::Outcome;
use symphony_protocol::artifact::training::{
    EndorsedRoundOrder, Evaluation, RoundOrder, StepTranscript, TrainedModel, TrainingPlan,
};
use symphony_protocol::execution::training::aggregate_nonce;
use symphony_protocol::lifecycle::training::Position;
use symphony_tee::report::EnclaveRole;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::VaultId;
use symphony_types::key::{Document as _, Master, PublicKey};
use symphony_wire::documents;
use symphony_wire::enclave::{Answer, Gathered, Helped, PartWord, SignedPartWord, purpose};
use symphony_wire::sealed::{SealError, SealingKey, seal};
use zeroize::Zeroizing;

use super::{
    Aggregators, check_round, key_circumstances, learner_circumstances, open_learner, piece_circumstances,
    pieces, shares, stage,
};
use crate::aggregate::{Made, stated};
use crate::handler::Handler;
use crate::refusal::{Refusal, admit_boot, check_members, verify_order};
use crate::station::Station;

/// A sealed key by Vault.
type Keys = Vec<(VaultId, Vec<u8>)>;

/// Why a round is not combined.
pub(crate) enum Halt {
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
pub(crate) struct Round<'a> {
    pub(super) order: &'a RoundOrder,
    pub(super) plan: &'a TrainingPlan,
    pub(super) position: Position,
    pub(super) aggregators: Aggregators,
    policy: &'a [u8],
}

impl<'a> Round<'a> {
    /// The round, if its order is the masters' and names this very enclave in this role: another one could open no part,
    /// and would blame a Vault for it.
    pub(crate) fn check<S: Station>(
        handler: &Handler<S>,
        order: &'a EndorsedRoundOrder,
        policy: &'a [u8],
        masters: &[PublicKey<Master>],
        role: Role,
    ) -> Result<Self, Refusal> {
        verify_order(order, masters)?;
        let order = &order.body;
        let (plan, position) = check_round(order)?;
        let aggregators = Aggregators::admit(plan, order, policy)?;
        let named = match role {
            Role::Leader => Some(&aggregators.first),
            Role::Helper => aggregators.helper.as_ref(),
        };
        if named != Some(handler.station.boot()) {
            return Err(Refusal::new(Code::EnvelopeInvalid, "another enclave is the aggregator"));
        }
        Ok(Self { order, plan, position, aggregators, policy })
    }

    /// The same of a round that has been gathered whole.
    pub(super) fn gathered<S: Station>(
        handler: &Handler<S>,
        gathered: &'a Gathered,
        role: Role,
    ) -> Result<Self, Refusal> {
        let round = Self::check(handler, &gathered.order, &gathered.policy, &gathered.masters, role)?;
        if !gathered.bundles.iter().map(|(vault, _)| vault).eq(&round.order.vaults) {
            return Err(Refusal::new(Code::Malformed, "the bundles are not those of the round's vaults"));
        }
        let halves = if round.aggregators.helper.is_some() { round.order.vaults.len() } else { 0 };
        if gathered.halves.len() != halves {
            return Err(Refusal::new(Code::Malformed, "the halves are not those of the bundles"));
        }
        check_members(&round.order.envelope, gathered.slices.iter().map(|(vault, _)| vault))?;
        Ok(round)
    }

    /// What an admitted slice enclave sealed to this one for this order, Vault and place in the part.
    pub(super) fn open<S: Station, T: DeserializeOwned>(
        &self,
        handler: &Handler<S>,
        (vault, number): (&VaultId, usize),
        boot: &[u8],
        sealed: &[u8],
    ) -> Result<T, Halt> {
        let order = self.order;
        let halt = |detail: &str| Halt::Part(vault.clone(), detail.into());
        let slice = admit_boot(boot, self.policy, &order.envelope, EnclaveRole::Slice)
            .map_err(|refusal| halt(&refusal.detail))?;
        let opened = handler.sealing.open(purpose::PART, &piece_circumstances(order, vault, number), sealed);
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

    /// The learner that the round begins with, under the key that its first Vault has brought.
    pub(super) fn learner(&self, gathered: &Gathered, key: Option<&[u8; 32]>) -> Result<Learner, Halt> {
        let first = self.order.vaults.first().ok_or_else(nobody)?;
        open_learner(self.plan, self.order, key.zip(gathered.learner.as_deref()))
            .map_err(|error| Halt::Part(first.clone(), error.to_string()))
    }
}

/// Combines the parts of a round.
pub(crate) fn combine<S: Station>(
    handler: &Handler<S>,
    gathered: &Gathered,
    helped: Option<&Helped>,
) -> Result<Answer, Refusal> {
    let round = Round::gathered(handler, gathered, Role::Leader)?;
    if round.aggregators.helper.is_some() != helped.is_some() {
        return Err(Refusal::new(Code::EnvelopeInvalid, "the environment of the plan is another one"));
    }
    let made = match helped {
        None => added(handler, &round, gathered).map(|(learner, combined)| (learner, combined, None)),
        Some(helped) => shares::combine(handler, &round, gathered, helped)
            .map(|(learner, combined, helper)| (learner, combined, Some(helper))),
    };
    let (learner, combined, helper) = match made {
        Ok(made) => made,
        Err(halt) => return halt.answer(),
    };
    let (sealed_learner, keys) = match &combined.next {
        None => (None, Vec::new()),
        Some(next) => {
            let (key, sealed) = seal_learner(handler, &round, next)?;
            match seal_key(&round, gathered, &next.digest(), &key) {
                Ok(keys) => (Some(sealed), keys),
                Err((vault, Refusal { code, detail })) => {
                    return Ok(Answer::PartRefused { vault, code, detail });
                }
            }
        }
    };
    let (outcome, sealed) = release(&round, &learner, &combined)?;
    // Pieces wiped themselves when they were added, and nothing of the round stays here.
    let (result, seed) = (Digest::of_bytes(&sealed), &combined.seed);
    let made = Made { bundles: &gathered.bundles, outcome, result, seed, helper };
    let envelope = &round.order.envelope;
    let nonce = aggregate_nonce(&envelope.digest(), &round.position);
    let (header, report) = stated(handler, envelope, nonce, made);
    Ok(Answer::Combined { header, sealed, learner: sealed_learner, keys, report })
}

/// The end of a round whose parts have been added piece by piece.
fn added<S: Station>(
    handler: &Handler<S>,
    round: &Round<'_>,
    gathered: &Gathered,
) -> Result<(Learner, Combined), Halt> {
    let sums = pieces::whole(handler, round, &gathered.bundles)?;
    let learner = round.learner(gathered, sums.key.as_deref())?;
    let stage = stage(round.plan, &round.position, round.order);
    let combined = sums.gathering.finish(&stage, &learner).map_err(failed)?;
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

/// The next learner sealed under a key of its own, after that key.
fn seal_learner<S: Station>(
    handler: &Handler<S>,
    round: &Round<'_>,
    next: &Learner,
) -> Result<(Zeroizing<[u8; 32]>, Vec<u8>), Refusal> {
    let (task, state) = (round.order.envelope.task, next.digest());
    let key = handler.secret(LEARNER_TAG, task, &state.0);
    let (to, aad) = (SealingKey::from_seed(&key).public(), learner_circumstances(task, &state));
    let sealed = seal(&to, purpose::LEARNER, &aad, &Zeroizing::new(next.bytes())).map_err(unsealed)?;
    Ok((key, sealed))
}

/// The key of a learner for each enclave that goes on. One that cannot be sealed to stays behind, if it had no part.
/// **Errors**: the Vault of the round whose enclave is not admitted, and why.
fn seal_key(
    round: &Round<'_>,
    gathered: &Gathered,
    state: &Digest,
    key: &[u8; 32],
) -> Result<Keys, (VaultId, Refusal)> {
    let envelope = &round.order.envelope;
    let mut keys = Vec::with_capacity(gathered.slices.len());
    for (vault, boot) in &gathered.slices {
        let aad = key_circumstances(envelope, vault, state);
        let sealed = admit_boot(boot, round.policy, envelope, EnclaveRole::Slice)
            .and_then(|slice| seal(&slice.hpke_key, purpose::LEARNER_KEY, &aad, key).map_err(unsealed));
        match sealed {
            Ok(sealed) => keys.push((vault.clone(), sealed)),
            Err(refusal) if round.order.vaults.contains(vault) => return Err((vault.clone(), refusal)),
            Err(_) => {}
        }
    }
    Ok(keys)
}

fn unsealed(error: SealError) -> Refusal {
    Refusal::new(Code::SealInvalid, error.to_string())
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
        let (round, subjects) = (order.round, order.people());
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
const LEARNER_TAG: &str = "symphony/training-learner-key/v1";
