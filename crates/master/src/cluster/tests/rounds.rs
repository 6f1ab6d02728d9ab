//! What a master endorses of a training.

use symphony_protocol::artifact::training::RoundOrder;
use symphony_protocol::artifact::training::{
    Environment, Family, Feature, Label, ModelKind, PrivacyTerms, Scale, Settings, Training, TrainingPlan,
};
use symphony_protocol::execution::training::slice_nonce;
use symphony_protocol::governance::registry::VaultRecord;
use symphony_protocol::lifecycle::training::Position;
use symphony_tee::report::slice_step;
use symphony_types::key::Vault;
use symphony_wire::v1::SharedPart;

use super::*;
use crate::helping;
use crate::node::now;
use crate::round::{self, Handed};

/// The state while a round of a training is computed, which this master leads.
fn training(at: Stage, leads: u8) -> State {
    let mut state = leased(state(Answer::Admitted, Some(at)), Effect::Train(task()), leads, 0);
    let known = state.tasks.get_mut(&task()).unwrap();
    known.envelope.plan = Plan::Training(plan());
    known.receipts = ["a", "b"].map(receipt).into();
    state
}

fn plan() -> TrainingPlan {
    let scale = Scale { logarithm: false, centre: 0, spread: 1_000_000, bound: 3_000 };
    let feature = Feature { family: Family::Recency, filter: vec![], days: 30, scale };
    TrainingPlan {
        training: Training {
            model: ModelKind::Logistic,
            time: AttributeName::new("commerce.purchase_date").unwrap(),
            cohort: vec![],
            features: vec![feature],
            label: Some(Label { condition: vec![], days: 28 }),
            settings: Settings::PLAIN,
            privacy: PrivacyTerms {
                noise: 5_000,
                sampling: 1_000_000_000,
                evaluation_noise: 5_000,
                delta: 10_000_000,
            },
            rounds: 10,
            evaluate_every: 5,
            patience: 0,
            held_out: 200,
            accept_from: 500_000,
        },
        evaluated_at: OrderedMillis(0),
        combined_privacy_class: PrivacyClass::Sensitive,
        minimum_cohort: 10,
        environment: Environment::Tee,
    }
}

fn receipt(name: &str) -> SignedReceipt {
    PrivateKey::<Vault>::from_seed(&[2; 32]).sign(ReserveReceipt {
        task: task(),
        vault: vault(name),
        refusal: None,
        epsilon: Epsilon(10),
        coverage: Bucket(64),
        deadline: OrderedMillis(2_000),
        ledger_head: Digest::ZERO,
    })
}

fn third() -> Position {
    Position::of(3, false, digest(40))
}

/// What the first master asks the second to stand behind.
fn asked(vaults: &[&str]) -> Handed {
    Handed {
        task: task(),
        round: 3,
        attempt: 7,
        vaults: vaults.iter().map(|name| vault(name)).collect(),
        aggregator_boot: encode(&boot(1, EnclaveRole::Aggregator, "aggregator", 20)),
        helper_boot: None,
    }
}

fn endorsed(state: &State, master: u8, handed: &Handed) -> Result<Digest, Doubt> {
    round::order(NETWORK, state, &node(master), handed)
}

/// R097, R195: a round is ordered by the master that leads the training, at the round where it is, from the learner that
/// the state knows; sums are divided by what the receipts say.
#[test]
fn a_round_is_ordered_as_the_state_has_it() {
    let state = training(Stage::Training { position: third() }, 1);
    let handed = asked(&["a", "b"]);
    let order = handed.order(state.tasks.get(&task()).unwrap(), third());
    assert_eq!((order.state, order.round, order.last), (digest(40), 3, false));
    assert_eq!(order.subjects, [96, 96]);
    assert_eq!(endorsed(&state, 1, &handed).unwrap(), order.digest());
    // Whom it leaves out is its word, and another order.
    let without = asked(&["b"]);
    assert_eq!(without.order(state.tasks.get(&task()).unwrap(), third()).subjects, [96]);
    assert_ne!(endorsed(&state, 1, &without).unwrap(), order.digest());

    let other_round = Handed { round: 2, ..handed.clone() };
    let other_boot = |of, role, name, measured| Handed {
        aggregator_boot: encode(&boot(of, role, name, measured)),
        ..handed.clone()
    };
    let refused = [
        ("not the leader", endorsed(&state, 3, &handed)),
        ("another round", endorsed(&state, 1, &other_round)),
        (
            "another master's enclave",
            endorsed(&state, 1, &other_boot(2, EnclaveRole::Aggregator, "aggregator", 20)),
        ),
        ("a slice enclave", endorsed(&state, 1, &other_boot(1, EnclaveRole::Slice, "aggregator", 20))),
        ("another actor's", endorsed(&state, 1, &other_boot(1, EnclaveRole::Aggregator, "somebody", 20))),
        ("other code", endorsed(&state, 1, &other_boot(1, EnclaveRole::Aggregator, "aggregator", 21))),
        ("no training", endorsed(&super::state(Answer::Admitted, Some(Stage::Computing)), 1, &handed)),
    ];
    for (why, answer) in refused {
        assert!(answer.is_err(), "{why}");
    }
}

/// R113, R195: where two aggregators compute on shares, the second is the enclave of another master, and of nobody else;
/// where one combines, there is none.
#[test]
fn the_second_aggregator_is_another_masters() {
    let alone = training(Stage::Training { position: third() }, 1);
    let mut two = alone.clone();
    let Plan::Training(plan) = &mut two.tasks.get_mut(&task()).unwrap().envelope.plan else { unreachable!() };
    plan.environment = Environment::Mpc;
    let with = |helper: SignedBoot| Handed { helper_boot: Some(encode(&helper)), ..asked(&["a", "b"]) };
    let aggregator = |of| boot(of, EnclaveRole::Aggregator, "aggregator", 20);
    let handed = with(aggregator(2));
    let order = handed.order(two.tasks.get(&task()).unwrap(), third());
    assert_eq!(order.helper_boot, handed.helper_boot);
    assert_eq!(endorsed(&two, 1, &handed).unwrap(), order.digest());
    let refused = [
        ("none", endorsed(&two, 1, &asked(&["a", "b"]))),
        ("the leader itself", endorsed(&two, 1, &with(aggregator(1)))),
        ("no master", endorsed(&two, 1, &with(aggregator(9)))),
        ("a slice enclave", endorsed(&two, 1, &with(boot(2, EnclaveRole::Slice, "aggregator", 20)))),
        ("another actor's", endorsed(&two, 1, &with(boot(2, EnclaveRole::Aggregator, "somebody", 20)))),
        ("other code", endorsed(&two, 1, &with(boot(2, EnclaveRole::Aggregator, "aggregator", 21)))),
        ("where one combines", endorsed(&alone, 1, &handed)),
    ];
    for (why, answer) in refused {
        assert!(answer.is_err(), "{why}");
    }
}

/// The part of vault a in a round on shares, as the leading master hands it to the second; `signer` speaks for the Vault.
fn handed_over(
    order: &RoundOrder,
    signer: u8,
    change: impl FnOnce(&mut SliceHeader, &mut AttestationReport),
) -> SharedPart {
    let position = Position::of(order.round, order.last, order.state);
    let (boot, bundle) = (boot(4, EnclaveRole::Slice, "executor", 20), b"bundle".to_vec());
    let mut header = SliceHeader {
        task: task(),
        vault: vault("a"),
        nonce: slice_nonce(&order.envelope.digest(), &vault("a"), &position),
        attempt: order.attempt,
        epsilon: order.envelope.charge.per_subject().unwrap(),
        coverage: Bucket(64),
        records: Bucket(64),
        input_root: digest(50),
        bundle: Digest::of_bytes(&bundle),
        report: Digest::ZERO,
        ledger_head: Digest::ZERO,
    };
    let mut report = AttestationReport {
        class: PlatformClass::Software,
        boot: boot.body.digest(),
        actor: actor("executor"),
        signing_key: boot.body.signing_key,
        measurement: boot.body.measurement,
        platform: boot.body.platform,
        task: task(),
        step: slice_step(&vault("a")),
        nonce: header.nonce,
        module: None,
        input_root: header.input_root,
        output: header.bundle,
        schema: VERSIONS.schema,
        semantic: VERSIONS.semantic,
        policy: VERSIONS.policy,
        purged: false,
        memory_locked: false,
        notice: PlatformClass::Software.notice().to_owned(),
    };
    change(&mut header, &mut report);
    let report = encode(&enclave(6).sign(report));
    header.report = Digest::of_bytes(&report);
    let header = encode(&PrivateKey::<Vault>::from_seed(&[signer; 32]).sign(header));
    SharedPart { vault_id: "a".to_owned(), bundle, half: vec![], boot: encode(&boot), header, report }
}

/// R093, R113: the second master holds a half against the word of its Vault and the attestation of the Vault's enclave; what
/// the leading master makes up is not computed on.
#[test]
fn a_half_without_its_vaults_word_is_not_computed_on() {
    let mut state = training(Stage::Training { position: third() }, 1);
    let known = state.tasks.get_mut(&task()).unwrap();
    known.envelope.charge.noised = Epsilon(100_000_000);
    let record = VaultRecord {
        operator: actor("operator"),
        executor: actor("executor"),
        key: PrivateKey::from_seed(&[2; 32]).public(),
        sealing_key: vec![0; 32],
    };
    state.governance.registry.vaults.insert(vault("a"), record);
    let order = asked(&["a", "b"]).order(state.tasks.get(&task()).unwrap(), third());
    let judged = |name: &str, part: &SharedPart| {
        helping::check(NETWORK, &state, &order, &vault(name), part).map_err(|(code, _)| code)
    };
    let good = handed_over(&order, 2, |_, _| {});
    assert_eq!(judged("a", &good), Ok(()));
    assert_eq!(judged("b", &good), Err(Code::ResultRejected), "another Vault's place");
    let other = SharedPart { bundle: b"another".to_vec(), ..good.clone() };
    assert_eq!(judged("a", &other), Err(Code::ResultRejected), "another bundle");
    let malformed = SharedPart { header: vec![1], ..good };
    assert_eq!(judged("a", &malformed), Err(Code::Malformed));
    let wrong = [
        ("not the Vault's key", handed_over(&order, 3, |_, _| {})),
        ("an earlier attempt", handed_over(&order, 2, |header, _| header.attempt -= 1)),
        ("another round", handed_over(&order, 2, |header, _| header.nonce = digest(9))),
        ("another enclave's actor", handed_over(&order, 2, |_, report| report.actor = actor("somebody"))),
        ("a report on another output", handed_over(&order, 2, |_, report| report.output = digest(9))),
    ];
    for (why, part) in wrong {
        assert!(judged("a", &part).is_err(), "{why}");
    }
}

/// R196: attempts are counted by time, so a master cannot use up the numbers of those after it.
#[test]
fn an_attempt_from_the_future_is_refused() {
    let mut state = training(Stage::Training { position: third() }, 1);
    state.tasks.get_mut(&task()).unwrap().envelope.admitted_at = now();
    let at = |attempt| Handed { attempt, ..asked(&["a", "b"]) };
    assert!(endorsed(&state, 1, &at(0)).is_ok());
    assert!(endorsed(&state, 1, &at(u32::MAX)).is_err());
}

/// D20: what the rounds did not draw goes back once they are over, and not before.
#[test]
fn a_training_past_its_rounds_is_released() {
    let of = |state: &State| of_state(state, &Subject::Release(task(), vault("a")));
    let release = Release { task: task(), vault: vault("a") }.digest();
    let Stage::Aggregating { slices, .. } = accepted(0) else { unreachable!() };
    let header = AggregateHeader {
        task: task(),
        aggregator: actor("aggregator"),
        inputs: vec![],
        outcome: Outcome::Suppressed,
        result: Digest::ZERO,
        seed: Digest::ZERO,
        report: Digest::ZERO,
        helper: None,
    };
    let verifying = || Stage::Verifying {
        slices: slices.clone(),
        aggregate: enclave(1).sign(header.clone()),
        verify_by: OrderedMillis(9_000),
    };
    assert_eq!(of(&training(verifying(), 1)), Some(release));
    assert_eq!(of(&training(Stage::Training { position: third() }, 1)), None);
    assert_eq!(of(&super::state(Answer::Admitted, Some(verifying()))), None, "a query draws nothing");
}
