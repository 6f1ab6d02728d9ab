//! A Vault's part of a round of a training, and what both sides of a round check (R097-R099, R110, R116, R126, R127).
//!
//! Records are opened once and become rows of numbers; those stay in the enclave's memory from round to round, and are
//! gone after the last one or with the process. A report says `purged` only where nothing stays. Learners, samples and
//! shares of seeds are derived from the order and this enclave's secret, so a part that is asked for again is the same.

use std::sync::Arc;

use serde::Serialize;
use symphony_compute::material;
use symphony_compute::train::TrainError;
use symphony_compute::train::gathering::Stage;
use symphony_compute::train::part::Part;
use symphony_compute::train::people::People;
use symphony_compute::train::sharing::Sharing;
use symphony_compute::train::step::Learner;
use symphony_protocol::artifact::TaskEnvelope;
use symphony_protocol::artifact::training::{EndorsedRoundOrder, Environment, RoundOrder, TrainingPlan};
use symphony_protocol::execution::training::slice_nonce;
use symphony_protocol::lifecycle::training::{Position, plan};
use symphony_tee::report::{BootReport, EnclaveRole, slice_step};
use symphony_tee::session::Work;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{TaskId, VaultId};
use symphony_types::key::{Document as _, Master, PublicKey};
use symphony_wire::documents;
use symphony_wire::enclave::{Answer, Manifest, PartWord, SealedLearner, purpose};
use symphony_wire::sealed::{SealingKey, seal};
use zeroize::Zeroizing;

use self::datasets::Name;
use crate::handler::Handler;
use crate::refusal::{Refusal, admit_boot, check_envelope, check_vaults, verify_order};
use crate::station::Station;

pub(crate) mod combine;
pub(crate) mod datasets;
pub(crate) mod pieces;
pub(crate) mod shares;

/// What a host asks of a slice enclave in a round.
pub(crate) struct Contribution<'a> {
    pub(crate) order: &'a EndorsedRoundOrder,
    pub(crate) vault: &'a VaultId,
    pub(crate) learner: Option<&'a SealedLearner>,
    pub(crate) input_root: Digest,
    pub(crate) material: Option<Vec<u8>>,
    pub(crate) policy: &'a [u8],
    pub(crate) masters: &'a [PublicKey<Master>],
}

/// Computes a Vault's part of a round and seals it to the aggregator's enclave.
pub(crate) fn contribute<S: Station>(
    handler: &Handler<S>,
    mut asked: Contribution<'_>,
) -> Result<Answer, Refusal> {
    verify_order(asked.order, asked.masters)?;
    let order = &asked.order.body;
    let (plan, position) = check_round(order)?;
    let envelope = &order.envelope;
    if !order.vaults.contains(asked.vault) {
        return Err(Refusal::new(Code::EnvelopeInvalid, "the vault is not of this round"));
    }
    let aggregators = Aggregators::admit(plan, order, asked.policy)?;
    let key = learner_key(handler, &asked)?;
    let sealed = asked.learner.map(|learner| &learner.sealed[..]);
    let learner = open_learner(plan, order, key.as_deref().zip(sealed))
        .map_err(|error| Refusal::new(Code::EnvelopeInvalid, error.to_string()))?;
    let name = Name { envelope: envelope.digest(), root: asked.input_root };
    let Some(people) = people(handler, plan, &name, &mut asked)? else { return Ok(Answer::RecordsWanted) };
    let stage = stage(plan, &position, order);
    let mut part =
        Part::compute(&stage, asked.vault, &learner, &people, draw_seed(handler, order, asked.vault))
            .map_err(|error| Refusal::new(Code::UpdateInvalid, error.to_string()))?;
    part.share = *handler.secret(SHARE_TAG, envelope.task, asked.vault.as_str().as_bytes());
    if order.vaults.first() == Some(asked.vault) {
        part.learner = key.map(|key| *key);
    }
    let pieces = match &aggregators.helper {
        None => pieces(handler, order, asked.vault, &aggregators.first, part)?,
        Some(helper) => {
            let [mine, theirs] = sharing(plan, &position, order)
                .and_then(|sharing| sharing.split(asked.vault, &part))
                .map_err(|error| Refusal::new(Code::UpdateInvalid, error.to_string()))?;
            let first = seal_piece(handler, order, (asked.vault, 0), &aggregators.first, &mine)?;
            vec![first, seal_piece(handler, order, (asked.vault, 1), helper, &theirs)?]
        }
    };
    let named = pieces.iter().map(|piece| Digest::of_bytes(piece)).collect();
    let bundle = documents::encode(&Manifest { pieces: named });
    if position.last {
        handler.datasets().forget(&name.envelope);
    }
    drop(people);
    let report = handler.station.report(Work {
        task: envelope.task,
        step: slice_step(asked.vault),
        nonce: slice_nonce(&name.envelope, asked.vault, &position),
        module: None,
        input_root: asked.input_root,
        output: Digest::of_bytes(&bundle),
        schema: envelope.versions.schema,
        semantic: envelope.versions.semantic,
        policy: envelope.versions.policy,
        purged: position.last,
    });
    Ok(Answer::Contributed { bundle, pieces, report: documents::encode(&report) })
}

/// The enclaves that combine a round.
struct Aggregators {
    first: BootReport,
    /// Where the plan has two.
    helper: Option<BootReport>,
}

impl Aggregators {
    /// Those of an order. **Errors**: a boot report that is not to be believed, of another actor, or both of one node.
    fn admit(plan: &TrainingPlan, order: &RoundOrder, policy: &[u8]) -> Result<Self, Refusal> {
        let envelope = &order.envelope;
        let admitted = |boot: &[u8]| {
            let boot = admit_boot(boot, policy, envelope, EnclaveRole::Aggregator)?;
            if boot.actor == envelope.coordination.aggregator {
                return Ok(boot);
            }
            Err(Refusal::new(Code::AttestationFailed, "boot report: actor-differs"))
        };
        let first = admitted(&order.aggregator_boot)?;
        let helper = order.helper_boot.as_deref().map(admitted).transpose()?;
        if helper.is_some() != (plan.environment == Environment::Mpc) {
            return Err(Refusal::new(Code::EnvelopeInvalid, "the environment of the plan is another one"));
        }
        let one = |helper: &BootReport| helper.node == first.node || helper.platform == first.platform;
        if helper.as_ref().is_some_and(one) {
            return Err(Refusal::new(Code::EnvelopeInvalid, "one node would hold both shares"));
        }
        Ok(Self { first, helper })
    }
}

/// The round, as its order has it.
fn stage<'a>(plan: &'a TrainingPlan, position: &'a Position, order: &'a RoundOrder) -> Stage<'a> {
    let RoundOrder { envelope, vaults, subjects, .. } = order;
    Stage { task: envelope.task, plan, position, vaults, subjects }
}

/// The round on shares.
fn sharing<'a>(
    plan: &'a TrainingPlan,
    position: &'a Position,
    order: &'a RoundOrder,
) -> Result<Sharing<'a>, TrainError> {
    Sharing::new(stage(plan, position, order), order.digest())
}

/// The plan and the place of a round, if its order is sound in itself.
fn check_round(order: &RoundOrder) -> Result<(&TrainingPlan, Position), Refusal> {
    let refuse = |detail| Refusal::new(Code::EnvelopeInvalid, detail);
    check_envelope(&order.envelope)?;
    let plan = plan(&order.envelope).map_err(|code| Refusal::new(code, "the task is not a training"))?;
    let rounds = plan.training.rounds;
    let within = if order.last { 2..=rounds.saturating_add(1) } else { 1..=rounds };
    if !within.contains(&order.round) {
        return Err(refuse("the training has no such round"));
    }
    if (order.round == 1) != (order.state == Digest::ZERO) {
        return Err(refuse("the first round alone begins with the initial learner"));
    }
    check_vaults(&order.envelope, order.vaults.iter())?;
    if order.subjects.len() != order.vaults.len() {
        return Err(refuse("not every vault has its number of people"));
    }
    Ok((plan, Position::of(order.round, order.last, order.state)))
}

/// The key of the learner that the host carries.
fn learner_key<S: Station>(
    handler: &Handler<S>,
    asked: &Contribution<'_>,
) -> Result<Option<Zeroizing<[u8; 32]>>, Refusal> {
    let Some(learner) = asked.learner else { return Ok(None) };
    let order = &asked.order.body;
    let aad = key_circumstances(&order.envelope, asked.vault, &order.state);
    let opened = handler.sealing.open(purpose::LEARNER_KEY, &aad, &learner.key).ok().map(Zeroizing::new);
    let key = opened.and_then(|opened| Some(Zeroizing::new(<[u8; 32]>::try_from(opened.as_slice()).ok()?)));
    Ok(Some(key.ok_or_else(|| Refusal::new(Code::SealInvalid, "the learner does not open"))?))
}

/// The learner that a round begins with: the initial one, or the sealed one under its key. **Errors**:
/// [`TrainError::Learner`] for another one.
fn open_learner(
    plan: &TrainingPlan,
    order: &RoundOrder,
    sealed: Option<(&[u8; 32], &[u8])>,
) -> Result<Learner, TrainError> {
    let (task, aad) = (order.envelope.task, learner_circumstances(order.envelope.task, &order.state));
    let open = |(key, sealed): (&[u8; 32], &[u8])| {
        let opened = SealingKey::from_seed(key).open(purpose::LEARNER, &aad, sealed);
        opened.map(Zeroizing::new).map_err(|_| TrainError::Learner)
    };
    let bytes = sealed.map(open).transpose()?;
    Learner::at(plan.training.shape(), task, &order.state, bytes.as_ref().map(|bytes| bytes.as_slice()))
}

/// The people of the round: those in memory, or those of the records that came along. `None` without either.
fn people<S: Station>(
    handler: &Handler<S>,
    plan: &TrainingPlan,
    name: &Name,
    asked: &mut Contribution<'_>,
) -> Result<Option<Arc<People>>, Refusal> {
    let known = handler.datasets().find(name);
    let Some(sealed) = asked.material.take().filter(|_| known.is_none()) else { return Ok(known) };
    let envelope = &asked.order.body.envelope;
    let aad = documents::encode(&(envelope.task, asked.vault, envelope.execute_by, asked.input_root));
    let opened = handler.sealing.open(purpose::TRAINING, &aad, &sealed);
    let opened = opened.map_err(|_| Refusal::new(Code::SealInvalid, "the records do not open"))?;
    let invalid = |detail: String| Refusal::new(Code::RecordInvalid, detail);
    let material = material::read(opened).map_err(|error| invalid(error.to_string()))?;
    if material.root() != asked.input_root {
        return Err(invalid("the records are not those of the input root".into()));
    }
    // One key for all Vaults of a task: who is held out is held out everywhere, and nobody is trained and evaluated on.
    let key = Digest::of(PEOPLE_TAG, &envelope.task);
    let people = People::read(plan, &material, &key.0).map_err(|error| invalid(error.to_string()))?;
    drop(material);
    let people = Arc::new(people);
    handler.datasets().keep(name, &people);
    Ok(Some(people))
}

/// The seed of the sample that a Vault draws in a round.
fn draw_seed<S: Station>(handler: &Handler<S>, order: &RoundOrder, vault: &VaultId) -> Digest {
    Digest(*handler.secret(SAMPLE_TAG, order.envelope.task, &documents::encode(&(order.round, vault))))
}

/// A part in sealed pieces, so that the aggregator's enclave never holds a whole one: the part with its first sums, then
/// the other sums.
fn pieces<S: Station>(
    handler: &Handler<S>,
    order: &RoundOrder,
    vault: &VaultId,
    aggregator: &BootReport,
    mut part: Part,
) -> Result<Vec<Vec<u8>>, Refusal> {
    let rest = Zeroizing::new(part.sums.split_off(part.sums.len().min(PIECE_SUMS)));
    let mut pieces = vec![seal_piece(handler, order, (vault, 0), aggregator, &part)?];
    for (number, sums) in (1..).zip(rest.chunks(PIECE_SUMS)) {
        pieces.push(seal_piece(handler, order, (vault, number), aggregator, &sums)?);
    }
    Ok(pieces)
}

/// Seals a piece of a part with this enclave's word that it made it: anybody can seal to the aggregator's enclave, and a
/// forged part would have the noise drawn anew over the true ones.
fn seal_piece<S: Station>(
    handler: &Handler<S>,
    order: &RoundOrder,
    (vault, number): (&VaultId, usize),
    aggregator: &BootReport,
    piece: &impl Serialize,
) -> Result<Vec<u8>, Refusal> {
    let piece = Zeroizing::new(documents::encode(piece));
    let word = PartWord { order: order.digest(), vault: vault.clone(), part: Digest::of_bytes(&piece) };
    let plaintext = Zeroizing::new(documents::encode(&(piece.as_slice(), handler.station.sign(word))));
    seal(&aggregator.hpke_key, purpose::PART, &piece_circumstances(order, vault, number), &plaintext)
        .map_err(|error| Refusal::new(Code::SealInvalid, error.to_string()))
}

/// What a piece is sealed under: one order, one Vault and its place in the part.
fn piece_circumstances(order: &RoundOrder, vault: &VaultId, number: usize) -> Vec<u8> {
    documents::encode(&(order.digest(), vault, number as u64))
}

/// What a learner is sealed under.
fn learner_circumstances(task: TaskId, state: &Digest) -> Vec<u8> {
    documents::encode(&(task, state))
}

/// What its key is sealed under.
fn key_circumstances(envelope: &TaskEnvelope, vault: &VaultId, state: &Digest) -> Vec<u8> {
    documents::encode(&(envelope.task, vault, state))
}

/// Sums of one piece: half a mebibyte.
const PIECE_SUMS: usize = 1 << 16;

const PEOPLE_TAG: &str = "symphony/training-people/v1";
const SAMPLE_TAG: &str = "symphony/training-sample/v1";
const SHARE_TAG: &str = "symphony/training-share/v1";
