//! A training of the test world, and what its Vaults, the aggregator's enclave and an honest master make of a round.

use symphony_protocol::artifact::training::*;
use symphony_protocol::artifact::*;
use symphony_protocol::execution::failure::Step;
use symphony_protocol::execution::training::{self, aggregate_nonce, helper_nonce, slice_nonce};
use symphony_protocol::lifecycle::training::Position;
use symphony_protocol::lifecycle::{Stage, Task};
use symphony_protocol::machine::Command;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{RequestId, TaskId, VaultId};
use symphony_types::key::{Document, Master, Vault};

use crate::attest::{aggregate_expectation, aggregation_expectation, attest, attest_at, slice_expectation};
use crate::stage::{self, actor, attribute, key, operand, scope, vault};
use crate::world::{Act, World, index, signed_aggregate};

/// How the rounds of a training go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Course {
    /// The quality that each evaluation finds, in their order, the last one ever after. **Units**: millionths.
    pub quality: [u32; 4],
    /// The last round that each Vault computes.
    pub until: [u32; 3],
    /// The aggregator of the rounds.
    pub aggregate: Act,
    /// Where policy has them combined.
    pub environment: Environment,
}

impl Default for Course {
    fn default() -> Self {
        Self {
            quality: [600_000, 650_000, 700_000, 750_000],
            until: [u32::MAX; 3],
            aggregate: Act::Serve,
            environment: Environment::Tee,
        }
    }
}

/// The training: who buys a brand within thirty days, of a person's recency, spend and categories, in four steps with an
/// evaluation before each but the first; it ends when one is not better than those before.
pub(crate) fn propensity(request: &str) -> TaskRequest {
    let brand = || operand("commerce.brand_purchase", Argument::Text("Luckin Coffee".into()));
    let scale = Scale { logarithm: false, centre: 0, spread: 1_000_000, bound: 3_000 };
    let feature = |family, filter| Feature { family, filter, days: 90, scale };
    let training = Training {
        model: ModelKind::Logistic,
        time: attribute("commerce.purchase_date"),
        cohort: vec![operand("geography.city_eligibility", Argument::Text(" Shanghai".into()))],
        features: vec![
            feature(Family::Recency, vec![brand()]),
            feature(Family::Sum(attribute("commerce.amount")), vec![]),
            feature(Family::Distinct(attribute("commerce.category")), vec![]),
        ],
        label: Some(Label { condition: vec![brand()], days: 30 }),
        settings: Settings::PLAIN,
        privacy: PrivacyTerms {
            noise: 4_000,
            sampling: EVERYBODY,
            evaluation_noise: 8_000,
            delta: 10_000_000,
        },
        rounds: 4,
        evaluate_every: 1,
        patience: 1,
        held_out: 200,
        accept_from: 500_000,
    };
    TaskRequest {
        request: RequestId::new(request).unwrap(),
        submitter: actor("trainer"),
        scope: scope("training"),
        vaults: ["vault-c", "vault-a", "vault-b"].map(vault).into(),
        quorum: 2,
        work: Work::Training(TrainingRequest { training, evaluate_at: None }),
        recipient: vec![9; 32],
    }
}

/// The training that a request asks for.
pub(crate) fn wanted(request: &mut TaskRequest) -> &mut Training<Operand> {
    match &mut request.work {
        Work::Training(asked) => &mut asked.training,
        Work::Audience(_) | Work::Compute(_) | Work::Statistic(_) => panic!("the request is for no training"),
    }
}

/// The training of an envelope.
pub(crate) fn planned(envelope: &TaskEnvelope) -> &Training<ResolvedOperand> {
    &envelope.plan.training().expect("the task is a training").training
}

impl World {
    /// Where a training is.
    pub(crate) fn position(&self, task: &TaskId) -> Position {
        match &self.task(task).stage {
            Stage::Training { position } => *position,
            other => panic!("not training: {other:?}"),
        }
    }

    /// Runs a training up to a round.
    pub(crate) fn train_until(&mut self, task: &TaskId, round: u32) -> Position {
        while self.state.tasks.get(task).is_none() || self.position(task).round < round {
            assert!(self.step(false), "round {round} is never reached");
        }
        self.position(task)
    }

    /// What an honest master reports of the round that is due; nothing when no Vault answers, or the aggregator does not.
    pub(crate) fn train(&mut self, task: &TaskId) -> Option<Command> {
        let envelope = self.task(task).envelope.clone();
        let position = self.position(task);
        let mut slices = vec![];
        for vault in &envelope.coordination.participating_vault_ids {
            let place = (*task, vault.clone());
            let serves = position.round <= self.script.course.until[index(vault)];
            if !serves || self.suspended(vault) || !self.reserved.contains_key(&place) {
                continue;
            }
            // A round draws once, however often it is ordered.
            let spent = position.spent(planned(&envelope), Extra::NONE).unwrap();
            let before = self.drawn.insert(place.clone(), spent);
            assert!(before.is_none_or(|before| before <= spent), "R066: what is drawn never falls");
            self.committed.insert(place);
            slices.push(round_slice(&envelope, &position, vault));
        }
        if slices.is_empty() {
            return None;
        }
        let aggregated = match self.script.course.aggregate {
            Act::Serve => training::accepted(&self.state.governance, &envelope, &position, &slices),
            Act::Refuse => Err(Code::AggregationFailed),
            Act::Mumble | Act::Sleep => return None,
        };
        Some(match aggregated {
            Ok(_) => {
                let outcome = outcome(planned(&envelope), &position, &self.script.course);
                let aggregate = round_aggregate(&envelope, &position, &slices, outcome);
                self.rounded(round(&envelope, &position, slices, aggregate))
            }
            Err(code) => self.failure(task, Step::Round(position.round), code),
        })
    }

    /// The report of a round that a majority of the masters found attested.
    pub(crate) fn rounded(&self, round: Round) -> Command {
        Command::RecordRound { round: stage::endorsed(&self.state.governance.registry, round) }
    }
}

/// What a round leaves.
pub(crate) fn round(
    envelope: &TaskEnvelope,
    position: &Position,
    slices: Vec<SignedSlice>,
    aggregate: SignedAggregate,
) -> Round {
    let there = |vault: &VaultId| slices.iter().any(|slice| slice.body.vault == *vault);
    let asked = &envelope.coordination.participating_vault_ids;
    let absent = asked.iter().filter(|vault| !there(vault));
    Round {
        task: envelope.task,
        round: position.round,
        absent: absent.map(|vault| (vault.clone(), Code::VaultUnavailable)).collect(),
        slices,
        aggregate,
        bulk: Digest::of("test/bulk", &(envelope.task, position.round)),
    }
}

/// What comes of a round when its evaluation, if one is due, finds what the course says.
pub(crate) fn outcome(training: &Training<ResolvedOperand>, position: &Position, course: &Course) -> Outcome {
    let Position { round, last, state, .. } = *position;
    let (_, evaluations) = training.done(round, last);
    let place = (evaluations as usize).clamp(1, course.quality.len()) - 1;
    let evaluation = found(course.quality[place]);
    match last {
        true if evaluation.quality >= training.accept_from => {
            Outcome::Model { model: Digest::of("test/model", &state), evaluation }
        }
        true => Outcome::Withheld { evaluation },
        false => Outcome::Step {
            state: Digest::of("test/learner", &(state, round)),
            evaluation: training.evaluates(round, false).then_some(evaluation),
        },
    }
}

/// An evaluation that found this quality.
pub(crate) fn found(quality: u32) -> Evaluation {
    Evaluation { quality, log_loss: Some(400_000), calibration_error: Some(20_000) }
}

/// The slice of a Vault that used as many records as its place in the world says.
pub(crate) fn round_slice(envelope: &TaskEnvelope, position: &Position, vault: &VaultId) -> SignedSlice {
    signed_slice(
        envelope,
        position,
        SliceHeader {
            task: envelope.task,
            vault: vault.clone(),
            nonce: slice_nonce(&envelope.digest(), vault, position),
            attempt: 0,
            epsilon: position.spent(planned(envelope), Extra::NONE).unwrap(),
            coverage: Bucket::of(90_000),
            records: Bucket::of(1_000 << index(vault)),
            input_root: Digest::of("test/input", vault),
            bundle: Digest::of("test/bundle", &(envelope.task, vault, position.round, position.state)),
            report: Digest::ZERO,
            ledger_head: Digest::of("test/head", &(vault, position.round)),
        },
    )
}

/// A header with the report on it, in the name of its Vault.
pub(crate) fn signed_slice(
    envelope: &TaskEnvelope,
    position: &Position,
    mut header: SliceHeader,
) -> SignedSlice {
    let attestation = attest(&slice_expectation(envelope, &header, position.last));
    header.report = Digest::of_bytes(&attestation.report);
    key::<Vault>(header.vault.as_str()).sign(header)
}

/// What the aggregator's enclave says of a round.
pub(crate) fn round_aggregate(
    envelope: &TaskEnvelope,
    position: &Position,
    slices: &[SignedSlice],
    outcome: Outcome,
) -> SignedAggregate {
    let header = AggregateHeader {
        task: envelope.task,
        aggregator: envelope.coordination.aggregator.clone(),
        inputs: slices.iter().map(|slice| (slice.body.vault.clone(), slice.body.bundle)).collect(),
        outcome,
        result: Digest::of("test/result", &(envelope.task, position.round, position.state)),
        seed: Digest::of("test/seed", &(envelope.task, position.round)),
        report: Digest::ZERO,
        helper: helper(envelope, position, slices),
    };
    signed_aggregate(envelope, aggregate_nonce(&envelope.digest(), position), slices, header)
}

/// What the second aggregator gives to a round, where the plan has one.
fn helper(envelope: &TaskEnvelope, position: &Position, slices: &[SignedSlice]) -> Option<HelperShare> {
    (envelope.plan.training()?.environment == Environment::Mpc).then(|| {
        let share = Digest::of("test/share", &(envelope.task, position.round, position.state));
        let report = Digest::of_bytes(&helper_attestation(envelope, position, slices, share).report);
        HelperShare { share, seed: Digest::of("test/other-seed", &(envelope.task, position.round)), report }
    })
}

/// The attestation of that share, by an enclave of another master.
fn helper_attestation(
    envelope: &TaskEnvelope,
    position: &Position,
    slices: &[SignedSlice],
    share: Digest,
) -> Attestation {
    let nonce = helper_nonce(&envelope.digest(), position);
    attest_at("master-2", &aggregation_expectation(envelope, slices, share, nonce))
}

/// A round with its attestations.
pub(crate) fn combined(
    envelope: &TaskEnvelope,
    position: &Position,
    slices: &[SignedSlice],
    aggregate: &SignedAggregate,
) -> Combined {
    let nonce = aggregate_nonce(&envelope.digest(), position);
    let attested = |slice: &SignedSlice| {
        (slice.clone(), attest(&slice_expectation(envelope, &slice.body, position.last)))
    };
    let expected = aggregate_expectation(envelope, slices, &aggregate.body, nonce);
    Combined {
        slices: slices.iter().map(attested).collect(),
        aggregate: (aggregate.clone(), attest(&expected)),
        helper: aggregate
            .body
            .helper
            .map(|helper| helper_attestation(envelope, position, slices, helper.share)),
    }
}

/// The evidence of a training: its earlier rounds, and the slices and the aggregate of the last.
pub(crate) fn evidence(
    task: &Task,
    earlier: &[(Vec<SignedSlice>, SignedAggregate)],
    slices: &[SignedSlice],
    aggregate: &SignedAggregate,
) -> Evidence {
    let envelope = &task.envelope;
    let mut position = Position::FIRST;
    let mut rounds = vec![];
    for (slices, aggregate) in earlier {
        rounds.push(combined(envelope, &position, slices, aggregate));
        position = position.next(planned(envelope), &aggregate.body.outcome).unwrap();
    }
    Evidence {
        envelope: key::<Master>("master-1").endorsed(envelope.clone()),
        receipts: task.receipts.clone(),
        rounds,
        result: combined(envelope, &position, slices, aggregate),
    }
}
