//! The flow from task keys to the opened result, and what breaks it.

use proptest::prelude::*;
use symphony_protocol::artifact::{EndorsedAssignment, EndorsedEnvelope, Outcome};
use symphony_tee::appraise::{Expected, appraise};
use symphony_tee::report::{EnclaveRole, SignedReport};
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{ActorId, Measurement};
use symphony_types::key::{Document as _, Master, PrivateKey};
use symphony_wire::documents::{decode, encode};
use symphony_wire::enclave::{Answer, Call, purpose};
use symphony_wire::sealed::{SealingKey, seal};

use crate::stage::{Person, Stage, name_of, plain_material, set_cap, vault};

/// Vault 1: a, b; Vault 2: b again, c, one too early; Vault 3: d, e, one elsewhere.
fn people() -> [Vec<Person>; 3] {
    [
        vec![(0, "a@x.org", vec![("Cafe", 200), ("bar", 900)]), (1, "b@x.org", vec![(" CAFE", 300)])],
        vec![
            (0, "B@X.org", vec![("cafe", 800)]),
            (1, "c@x.org", vec![("cafe", 400)]),
            (2, "z@x.org", vec![("cafe", 99)]),
        ],
        vec![
            (7, "d@x.org", vec![("cafe", 500)]),
            (9, "e@x.org", vec![("cafe", 600)]),
            (8, "y@x.org", vec![("bar", 500)]),
        ],
    ]
}

fn refusal(answer: &Answer) -> Code {
    match answer {
        Answer::Refused { code, .. } => *code,
        other => panic!("{}", name_of(other)),
    }
}

/// R087, R091, R093, R112: one person in two Vaults is one person, and only handles come out.
#[test]
fn the_submitter_opens_the_union_without_duplicates() {
    let stage = Stage::new();
    let result = stage.run(stage.envelope(1, 100), &people());
    assert_eq!(result.outcome, Outcome::Audience { returned: 5 });
    assert_eq!(result.handles, ["B@X.org", "a@x.org", "c@x.org", "d@x.org", "e@x.org"]);
    assert!(result.eligible_noised.is_some());
    let again = stage.run(stage.envelope(1, 100), &people());
    assert_eq!(result, again);
}

/// R089, R090: the latest three of five.
#[test]
fn the_cap_holds_and_recency_chooses() {
    let stage = Stage::new();
    let result = stage.run(stage.envelope(1, 3), &people());
    assert_eq!(result.outcome, Outcome::Audience { returned: 3 });
    assert_eq!(result.handles, ["B@X.org", "d@x.org", "e@x.org"]);
}

/// R088: every slice has two, so three hide each slice; and the aggregate of one full slice is hidden, too.
#[test]
fn too_few_people_are_suppressed_in_slice_and_aggregate() {
    let stage = Stage::new();
    let result = stage.run(stage.envelope(3, 100), &people());
    assert_eq!(
        (result.outcome, result.handles.len(), result.eligible_noised),
        (Outcome::Suppressed, 0, None)
    );
    let mut twice = people();
    twice[1] = twice[0].clone();
    twice[2] = twice[0].clone();
    let mut envelope = stage.envelope(2, 100);
    assert_eq!(stage.run(envelope.clone(), &twice).outcome, Outcome::Audience { returned: 2 });
    set_cap(&mut envelope, 1);
    assert_eq!(stage.run(envelope, &twice).outcome, Outcome::Suppressed);
}

/// R110, R116, R117, R127: reports bind inputs and outputs, and say that inputs were wiped.
#[test]
fn reports_verify_and_state_the_purge() {
    let stage = Stage::new();
    let envelope = stage.master.endorsed(stage.envelope(1, 100));
    let keys = stage.open(&envelope);
    let order = stage.assignment(&envelope.body, &vault(1), keys[&vault(1)].clone());
    let material = stage.material(&order, &people()[0]);
    let slice = &stage.slices[&vault(1)];
    let answer = slice.call(&stage.evaluate_call(&stage.master.endorsed(order.clone()), material));
    let Answer::Evaluated { bundle, input_root, report, .. } = answer else { panic!("{}", name_of(&answer)) };
    let report: SignedReport = decode(&report).unwrap();
    let expected = Expected {
        task: envelope.body.task,
        step: "slice:vault-1".into(),
        nonce: order.nonce,
        input_root: Some(input_root),
        output: Digest::of_bytes(&bundle),
        actor: ActorId::new("operator-1").unwrap(),
        role: EnclaveRole::Slice,
        module: None,
        purged: true,
    };
    assert_eq!(appraise(&slice.boot, &report, &stage.policy, &expected), Ok(()));
    assert!(report.body.purged);

    let bundles = stage.bundles(&envelope, &people());
    let answer = stage.aggregator.call(&stage.aggregate_call(&envelope, bundles.clone()));
    let Answer::Aggregated { header, sealed, report } = answer else { panic!("{}", name_of(&answer)) };
    assert!(header.verify(&stage.aggregator.boot.body.signing_key));
    assert_eq!(header.body.report, Digest::of_bytes(&report));
    assert_eq!(header.body.result, Digest::of_bytes(&sealed));
    assert_eq!(header.body.outcome, Outcome::Audience { returned: 5 });
    assert!(
        header
            .body
            .inputs
            .iter()
            .zip(&bundles)
            .all(|(input, bundle)| { input.0 == bundle.0 && input.1 == Digest::of_bytes(&bundle.1) })
    );
    let expected = Expected {
        step: "aggregate".into(),
        nonce: Digest([3; 32]),
        module: None,
        input_root: None,
        output: header.body.result,
        actor: ActorId::new("aggregator").unwrap(),
        role: EnclaveRole::Aggregator,
        ..expected
    };
    let report: SignedReport = decode(&report).unwrap();
    assert_eq!(appraise(&stage.aggregator.boot, &report, &stage.policy, &expected), Ok(()));
}

/// R126: an enclave does only what it was started for.
#[test]
fn the_wrong_role_is_refused() {
    let stage = Stage::new();
    let envelope = stage.master.endorsed(stage.envelope(1, 100));
    let slice = &stage.slices[&vault(1)];
    assert_eq!(refusal(&slice.call(&stage.open_call(&envelope))), Code::Forbidden);
    assert_eq!(refusal(&slice.call(&stage.aggregate_call(&envelope, Vec::new()))), Code::Forbidden);
    let order = stage.master.endorsed(stage.assignment(&envelope.body, &vault(1), Vec::new()));
    assert_eq!(refusal(&stage.aggregator.call(&stage.evaluate_call(&order, Vec::new()))), Code::Forbidden);
}

/// R195: of three masters two must stand behind an order, whatever the host says alone.
#[test]
fn an_order_of_one_master_of_three_is_refused() {
    let stage = Stage::new();
    let key = |number: u8| PrivateKey::<Master>::from_seed(&[number; 32]);
    let three = [41, 42, 43].map(|number| key(number).public()).to_vec();
    let mut envelope = stage.master.endorsed(stage.envelope(1, 100));
    let answer = |envelope: &EndorsedEnvelope| {
        let mut call = stage.open_call(envelope);
        if let Call::OpenTask { masters, .. } = &mut call {
            masters.clone_from(&three);
        }
        stage.aggregator.call(&call)
    };
    assert_eq!(refusal(&answer(&envelope)), Code::EnvelopeInvalid);
    let first = envelope.endorsements[0].clone();
    envelope.endorsements.push(first);
    assert_eq!(refusal(&answer(&envelope)), Code::EnvelopeInvalid);
    envelope.endorsements[1] = key(43).endorse(&envelope.body.digest());
    assert_eq!(name_of(&answer(&envelope)), "opened");
}

/// R115
#[test]
fn orders_that_no_master_gave_or_that_break_the_rules_are_refused() {
    let stage = Stage::new();
    let stranger = PrivateKey::<Master>::from_seed(&[99; 32]);
    let forged = stranger.endorsed(stage.envelope(1, 100));
    assert_eq!(refusal(&stage.aggregator.call(&stage.open_call(&forged))), Code::EnvelopeInvalid);
    assert_eq!(
        refusal(&stage.aggregator.call(&stage.aggregate_call(&forged, Vec::new()))),
        Code::EnvelopeInvalid
    );
    let mut changed = stage.master.endorsed(stage.envelope(1, 100));
    set_cap(&mut changed.body, 1_000_000);
    assert_eq!(refusal(&stage.aggregator.call(&stage.open_call(&changed))), Code::EnvelopeInvalid);

    let mut own = stage.envelope(1, 100);
    own.submitter = own.coordination.aggregator.clone();
    let own = stage.master.endorsed(own);
    assert_eq!(refusal(&stage.aggregator.call(&stage.open_call(&own))), Code::EnvelopeInvalid);
    let mut other = stage.envelope(1, 100);
    other.coordination.aggregator = ActorId::new("somebody").unwrap();
    let other = stage.master.endorsed(other);
    assert_eq!(refusal(&stage.aggregator.call(&stage.open_call(&other))), Code::EnvelopeInvalid);

    let honest = stage.master.endorsed(stage.envelope(1, 100));
    let keys = stage.open(&honest);
    let order = stage.assignment(&honest.body, &vault(1), keys[&vault(1)].clone());
    let material = stage.material(&order, &people()[0]);
    let forged = stage.evaluate_call(&stranger.endorsed(order.clone()), material.clone());
    assert_eq!(refusal(&stage.slices[&vault(1)].call(&forged)), Code::EnvelopeInvalid);
}

/// Keys of another Vault's slice, of another task or of a forger do not serve.
#[test]
fn task_keys_serve_one_slice_of_one_task() {
    let stage = Stage::new();
    let envelope = stage.master.endorsed(stage.envelope(1, 100));
    let keys = stage.open(&envelope);
    let evaluate = |sealed: Vec<u8>, envelope| {
        let order = stage.assignment(envelope, &vault(1), sealed);
        let material = stage.material(&order, &people()[0]);
        stage.slices[&vault(1)].call(&stage.evaluate_call(&stage.master.endorsed(order), material))
    };
    assert!(matches!(evaluate(keys[&vault(1)].clone(), &envelope.body), Answer::Evaluated { .. }));
    assert_eq!(refusal(&evaluate(keys[&vault(2)].clone(), &envelope.body)), Code::SealInvalid);
    let mut next = envelope.body.clone();
    next.task.0 = Digest([2; 32]);
    assert_eq!(refusal(&evaluate(keys[&vault(1)].clone(), &next)), Code::SealInvalid);

    // Well sealed, and signed by somebody else than the appraised aggregator.
    let aad = encode(&(envelope.body.task, vault(1)));
    let slice_secret = SealingKey::from_seed(&[1; 32]);
    let opened = slice_secret.open(purpose::TASK_KEYS, &aad, &keys[&vault(1)]).unwrap();
    let mut forged: symphony_wire::enclave::SignedTaskKeys = decode(&opened).unwrap();
    forged = PrivateKey::from_seed(&[98; 32]).sign(forged.body);
    let sealed = seal(&slice_secret.public(), purpose::TASK_KEYS, &aad, &encode(&forged)).unwrap();
    assert_eq!(refusal(&evaluate(sealed, &envelope.body)), Code::SealInvalid);
}

/// Material of one assignment is not evaluated under another, nor by another enclave.
#[test]
fn replayed_material_is_refused() {
    let stage = Stage::new();
    let envelope = stage.master.endorsed(stage.envelope(1, 100));
    let keys = stage.open(&envelope);
    let first = stage.assignment(&envelope.body, &vault(1), keys[&vault(1)].clone());
    let material = stage.material(&first, &people()[0]);
    let mut second = first.clone();
    second.nonce = Digest([9; 32]);
    let call = |order: EndorsedAssignment| stage.evaluate_call(&order, material.clone());
    assert_eq!(
        refusal(&stage.slices[&vault(1)].call(&call(stage.master.endorsed(second)))),
        Code::SealInvalid
    );
    assert_eq!(
        refusal(&stage.slices[&vault(2)].call(&call(stage.master.endorsed(first)))),
        Code::SealInvalid
    );
}

/// R126: nothing is sealed to an enclave that does not appraise, on either side.
#[test]
fn enclaves_that_do_not_appraise_get_nothing() {
    let mut stage = Stage::new();
    let envelope = stage.master.endorsed(stage.envelope(1, 100));
    let keys = stage.open(&envelope);
    let order = stage.assignment(&envelope.body, &vault(1), keys[&vault(1)].clone());
    let material = stage.material(&order, &people()[0]);
    let order = stage.master.endorsed(order);

    let mut wrong_role = stage.master.endorsed(stage.assignment(&envelope.body, &vault(1), Vec::new()));
    wrong_role.body.aggregator_boot = encode(&stage.slices[&vault(2)].boot);
    let wrong_role = stage.master.endorsed(wrong_role.body);
    let answer = stage.slices[&vault(1)].call(&stage.evaluate_call(&wrong_role, Vec::new()));
    assert_eq!(refusal(&answer), Code::AttestationFailed);

    stage.policy.software_admitted = false;
    assert_eq!(refusal(&stage.aggregator.call(&stage.open_call(&envelope))), Code::AttestationFailed);
    let answer = stage.slices[&vault(1)].call(&stage.evaluate_call(&order, material));
    assert_eq!(refusal(&answer), Code::AttestationFailed);

    // A program that the host's policy knows and the task was not admitted with.
    stage.policy.software_admitted = true;
    let mut other = stage.envelope(1, 100);
    other.coordination.measurements = vec![Measurement(Digest([8; 32]))];
    let other = stage.master.endorsed(other);
    assert_eq!(refusal(&stage.aggregator.call(&stage.open_call(&other))), Code::AttestationFailed);
}

/// R112: bundles are of participating Vaults, each once, unchanged, and enough of them.
#[test]
fn bundles_that_do_not_fit_are_refused() {
    let stage = Stage::new();
    let envelope = stage.master.endorsed(stage.envelope(1, 100));
    let bundles = stage.bundles(&envelope, &people());
    let aggregate = |bundles: Vec<_>| stage.aggregator.call(&stage.aggregate_call(&envelope, bundles));
    assert!(matches!(aggregate(bundles[..2].to_vec()), Answer::Aggregated { .. }));
    assert_eq!(refusal(&aggregate(bundles[..1].to_vec())), Code::QuorumBroken);
    assert_eq!(refusal(&aggregate(vec![bundles[0].clone(), bundles[0].clone()])), Code::Malformed);
    let mut swapped = bundles.clone();
    swapped[0].1 = bundles[1].1.clone();
    assert_eq!(refusal(&aggregate(swapped)), Code::AggregationFailed);
    let mut strange = bundles.clone();
    strange[2].0 = vault(9);
    assert_eq!(refusal(&aggregate(strange)), Code::EnvelopeInvalid);
    let mut damaged = bundles;
    damaged[0].1[40] ^= 1;
    assert_eq!(refusal(&aggregate(damaged)), Code::AggregationFailed);
}

/// R093: nobody but the submitter opens the result.
#[test]
fn the_result_opens_for_the_submitter_alone() {
    let stage = Stage::new();
    let envelope = stage.master.endorsed(stage.envelope(1, 100));
    let bundles = stage.bundles(&envelope, &people());
    let answer = stage.aggregator.call(&stage.aggregate_call(&envelope, bundles));
    let Answer::Aggregated { sealed, .. } = answer else { panic!("{}", name_of(&answer)) };
    let aad = encode(&envelope.body.task);
    assert!(stage.submitter.open(purpose::RESULT, &aad, &sealed).is_ok());
    for seed in [1, 2, 3, 50] {
        assert!(SealingKey::from_seed(&[seed; 32]).open(purpose::RESULT, &aad, &sealed).is_err());
    }
}

#[test]
fn hostile_material_is_refused_and_the_enclave_lives_on() {
    let stage = Stage::new();
    let envelope = stage.master.endorsed(stage.envelope(1, 100));
    let keys = stage.open(&envelope);
    let order = stage.assignment(&envelope.body, &vault(1), keys[&vault(1)].clone());
    let signed = stage.master.endorsed(order.clone());
    let slice = &stage.slices[&vault(1)];
    let plain = plain_material(&people()[0]);
    let aad = symphony_types::key::Document::digest(&order).0;
    for index in (0..plain.len()).step_by(5) {
        let mut damaged = plain.clone();
        damaged[index] ^= 0x7f;
        let sealed = seal(&slice.boot.body.hpke_key, purpose::MATERIAL, &aad, &damaged).unwrap();
        slice.call(&stage.evaluate_call(&signed, sealed));
    }
    let material = stage.material(&order, &people()[0]);
    assert!(matches!(slice.call(&stage.evaluate_call(&signed, material)), Answer::Evaluated { .. }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_have_an_answer(bytes: Vec<u8>, damage in proptest::collection::vec((0_usize..2000, any::<u8>()), 1..6)) {
        let stage = Stage::new();
        let mut call = encode(&stage.open_call(&stage.master.endorsed(stage.envelope(1, 100))));
        for (at, byte) in damage {
            let at = at % call.len();
            call[at] = byte;
        }
        for request in [&bytes, &call] {
            for enclave in [&stage.aggregator, &stage.slices[&vault(1)]] {
                prop_assert!(decode::<Answer>(&enclave.answer(request)).is_ok());
            }
        }
    }
}
