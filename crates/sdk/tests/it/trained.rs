//! A settled training of three steps and a last round with all its evidence, made by the protocol's own functions.

use symphony_protocol::artifact::training::{
    Environment, Evaluation, Extra, Family, Feature, Label, ModelKind, PrivacyTerms, Scale, Settings,
    StepTranscript, TrainedModel, Training, TrainingPlan,
};
use symphony_protocol::artifact::*;
use symphony_protocol::evidence::EvidenceBundle;
use symphony_protocol::execution::training::{aggregate_nonce, slice_nonce};
use symphony_protocol::governance::Governance;
use symphony_protocol::governance::pricing::{self, Rounds};
use symphony_protocol::lifecycle::training::Position;
use symphony_sdk::recipient::Recipient;
use symphony_types::digest::Digest;
use symphony_types::epsilon::Epsilon;
use symphony_types::id::*;
use symphony_types::key::Document as _;
use symphony_types::time::{OrderedMillis, RecordMillis};
use symphony_wire::documents::encode;
use symphony_wire::enclave::purpose;
use symphony_wire::sealed::seal;

use crate::bundle::{
    Asked, Keys, VAULTS, actor, aggregate, digest, envelope, governance, receipts, scope, settled, slice,
};

/// Steps of the training; the last round comes after them.
pub(crate) const STEPS: u32 = 3;
/// Two weights and a bias.
pub(crate) const PARAMETERS: [f64; 3] = [1.5, -0.5, 0.25];

/// The task.
pub(crate) fn task() -> TaskId {
    TaskId(digest(71))
}

/// How good the released model is.
pub(crate) const GOOD: Evaluation =
    Evaluation { quality: 812_345, log_loss: Some(456_789), calibration_error: Some(12_300) };

/// What the submitter opens.
pub(crate) fn model() -> TrainedModel {
    TrainedModel {
        task: task(),
        steps: STEPS,
        shape: training().shape(),
        parameters: PARAMETERS.iter().flat_map(|number| number.to_le_bytes()).collect(),
        evaluation: GOOD,
    }
}

fn name(text: &str) -> AttributeName {
    AttributeName::new(text).unwrap()
}

fn operand(rule: &str, attribute: &str, predicate: Predicate) -> ResolvedOperand {
    ResolvedOperand { rule: RuleName::new(rule).unwrap(), attribute: name(attribute), predicate }
}

fn training() -> Training<ResolvedOperand> {
    let scale = |logarithm, centre, bound| Scale { logarithm, centre, spread: 2_000_000, bound };
    let coffee = Predicate::TextIn(vec!["coffee".to_owned(), "tea".to_owned()]);
    let window = Predicate::Between { since: RecordMillis(1), until: RecordMillis(1_000) };
    let brand = Predicate::TextEquals("luckin coffee".to_owned());
    let feature = |family, filter, scale| Feature { family, filter, days: 90, scale };
    Training {
        model: ModelKind::Logistic,
        time: name("commerce.purchase_date"),
        cohort: vec![operand("commerce.purchase_recency", "commerce.purchase_date", window)],
        features: vec![
            feature(Family::Frequency, Vec::new(), scale(true, 0, 4_000)),
            feature(
                Family::Share(name("commerce.amount")),
                vec![operand("commerce.category_purchase", "commerce.category", coffee)],
                scale(false, -250_000, 3_000),
            ),
        ],
        label: Some(Label {
            condition: vec![operand("commerce.merchant_purchase", "commerce.merchant", brand)],
            days: 28,
        }),
        settings: Settings::PLAIN,
        privacy: PrivacyTerms {
            noise: 3_000,
            sampling: 1_000_000_000,
            evaluation_noise: 3_000,
            delta: 10_000_000,
        },
        rounds: STEPS,
        evaluate_every: 2,
        patience: 0,
        held_out: 200,
        accept_from: 600_000,
    }
}

fn order(governance: &Governance, receipts: &[SignedReceipt], charge: PrivacyCharge) -> TaskEnvelope {
    let rounds = u64::from(STEPS) + 1;
    let vaults = VAULTS.len() as u64;
    let done = Rounds { rounds, slices: rounds * vaults };
    let locked = pricing::training_fee(
        &governance.policy_in(EpochId(0)).train,
        done,
        charge.noised.checked_mul(vaults).unwrap(),
    )
    .unwrap()
    .total;
    let query = envelope(governance, receipts, task());
    TaskEnvelope {
        request: RequestId::new("propensity").unwrap(),
        scope: scope("training"),
        locked,
        charge,
        plan: Plan::Training(TrainingPlan {
            training: training(),
            evaluated_at: OrderedMillis(1_000),
            combined_privacy_class: PrivacyClass::Sensitive,
            minimum_cohort: 100,
            environment: Environment::Tee,
        }),
        coordination: CoordinationEnvelope {
            aggregation_method: AggregationMethod::FederatedAverage,
            ..query.coordination.clone()
        },
        ..query
    }
}

/// One round: both Vaults' slices and what was made of them.
fn round(
    keys: &Keys,
    envelope: &TaskEnvelope,
    position: &Position,
    outcome: Outcome,
    result: Digest,
) -> Combined {
    let named = envelope.digest();
    let epsilon = position.spent(&training(), Extra::NONE).unwrap();
    // The records of one Vault change before the last round.
    let input_root = |vault: &str| digest(if position.last && vault == VAULTS[1] { 52 } else { 51 });
    let slices = VAULTS.iter().zip([4096, 512]).map(|(vault, records)| {
        let nonce = slice_nonce(&named, &VaultId::new(vault).unwrap(), position);
        slice(keys, &Asked { envelope, vault, nonce, epsilon, records, input_root: input_root(vault) })
    });
    let slices: Vec<_> = slices.collect();
    let nonce = aggregate_nonce(&named, position);
    let aggregate = aggregate(keys, envelope, &slices, (nonce, outcome, result));
    Combined { slices, aggregate, helper: None }
}

/// The transcript of a round, as the submitter opens it.
pub(crate) fn transcript(round: u32) -> StepTranscript {
    StepTranscript { task: task(), round, subjects: 900, sums: vec![i64::from(round), -7, 1 << 40] }
}

/// The same sealed: other bytes each time.
pub(crate) fn sealed_step(recipient: &Recipient, round: u32) -> Vec<u8> {
    let (aad, plain) = (encode(&(task(), round)), encode(&transcript(round)));
    seal(&recipient.public(), purpose::STEP, &aad, &plain).unwrap()
}

/// The bundle of a training that ended so, with digests of the sealed transcripts of its steps.
pub(crate) fn bundle(keys: &Keys, last: Outcome, steps: &[Digest]) -> EvidenceBundle {
    let governance = governance(keys);
    let noised = training().spent(STEPS + 1, true, training().spare()).unwrap().max(Epsilon(1));
    let receipts = receipts(keys, noised, task());
    let envelope = order(&governance, &receipts, PrivacyCharge { exposure: Epsilon::ZERO, noised });
    let mut position = Position::FIRST;
    let mut rounds = Vec::new();
    for (number, sealed) in (1..).zip(steps) {
        let quality = 500_000 + number * 1_000;
        let evaluation = Evaluation { quality, log_loss: Some(693_147), calibration_error: None };
        let evaluation = training().evaluates(number, false).then_some(evaluation);
        let outcome = Outcome::Step { state: digest(90 + number as u8), evaluation };
        rounds.push(round(keys, &envelope, &position, outcome, *sealed));
        position = position.next(&training(), &outcome).unwrap();
    }
    let result = round(keys, &envelope, &position, last, digest(60));
    let evidence = Evidence { envelope: keys.master.endorsed(envelope), receipts, rounds, result };
    assert_eq!(evidence.envelope.body.submitter, actor("luckin"));
    settled(keys, governance, evidence)
}

/// Digests that stand for sealed transcripts where nobody opens them.
pub(crate) fn unopened() -> Vec<Digest> {
    (1..=STEPS).map(|number| digest(100 + number as u8)).collect()
}

/// The evidence of a training that released [`model`], as masters deliver it.
pub(crate) fn evidence(keys: &Keys) -> Vec<u8> {
    let last = Outcome::Model { model: model().digest(), evaluation: GOOD };
    encode(&keys.master.endorsed(bundle(keys, last, &unopened())))
}
