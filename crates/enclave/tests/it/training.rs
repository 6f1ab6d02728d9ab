//! Rounds of a training over three Vaults, and what breaks one.

use symphony_compute::train::gathering::{Gathering, Stage};
use symphony_compute::train::grid::CLIP_UNITS;
use symphony_compute::train::model::Model;
use symphony_compute::train::part::Part;
use symphony_compute::train::step::{Cohort, Learner};
use symphony_protocol::artifact::Outcome;
use symphony_protocol::artifact::training::{EndorsedRoundOrder, Local, ModelKind, RoundOrder};
use symphony_protocol::execution::training::{aggregate_nonce, slice_nonce};
use symphony_protocol::lifecycle::training::Position;
use symphony_tee::appraise::{Expected, Reason, appraise};
use symphony_tee::report::{EnclaveRole, SignedReport};
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{ActorId, TaskId, VaultId};
use symphony_types::key::{Document as _, Master, PrivateKey, SoftwareEnclave};
use symphony_wire::documents::{decode, encode};
use symphony_wire::enclave::{Answer, Call, Manifest, PartWord, SealedLearner, SignedPartWord, purpose};
use symphony_wire::sealed::{SealingKey, seal};

use crate::course::{Course, Left, MadePart, plan, shared_plan};
use crate::stage::{aggregator, attribute, name_of, slice, vault};

pub(crate) fn refusal(answer: &Answer) -> Code {
    match answer {
        Answer::Refused { code, .. } => *code,
        other => panic!("{}", name_of(other)),
    }
}

/// What two runs of the same training must have alike: no sealed bytes, which differ by nature.
pub(crate) fn outcomes(lefts: &[Left]) -> Vec<(Outcome, Digest)> {
    lefts.iter().map(|left| (left.header.body.outcome, left.header.body.seed)).collect()
}

/// R097, R098, R100: steps, evaluations and a model that only the submitter opens; its transcripts repeat it.
#[test]
fn a_training_ends_with_a_model_that_the_submitter_opens() {
    let mut course = Course::new(plan());
    let lefts = course.rest();
    assert_eq!(lefts.len(), 4);
    let evaluated: Vec<bool> = lefts[..3]
        .iter()
        .map(|left| matches!(left.header.body.outcome, Outcome::Step { evaluation: Some(_), .. }))
        .collect();
    assert_eq!(evaluated, [false, false, true]);
    let model = course.model(&lefts[3]);
    let Outcome::Model { model: digest, evaluation } = lefts[3].header.body.outcome else {
        panic!("no model")
    };
    assert_eq!((model.steps, model.evaluation), (3, evaluation));
    assert!(evaluation.quality > 650_000, "{}", evaluation.quality);

    let training = course.plan().training.clone();
    let mut learner = Learner::initial(training.shape(), course.envelope.task).unwrap();
    for (left, round) in lefts[..3].iter().zip(1..) {
        let transcript = course.transcript(round, left);
        assert_eq!((transcript.task, transcript.round), (course.envelope.task, round));
        let cohort = Cohort { subjects: 450 * 700 / 1_000, rate: training.privacy.sampling };
        learner.step(&training.round_settings(), &transcript.sums, cohort).unwrap();
        assert!(matches!(left.header.body.outcome, Outcome::Step { state, .. } if state == learner.digest()));
    }
    assert_eq!((learner.model().bytes(), learner.model().digest()), (model.parameters, digest));

    let aad = encode(&course.envelope.task);
    for seed in [1, 2, 3, 50] {
        assert!(SealingKey::from_seed(&[seed; 32]).open(purpose::RESULT, &aad, &lefts[3].sealed).is_err());
    }
}

/// R099, R100, R112: the same with local steps, Vaults of different sizes and both environments: the submitter repeats it.
#[test]
fn a_training_with_local_steps_is_repeated_from_its_transcripts() {
    for plan in [plan(), shared_plan()] {
        let mut course = Course::new(plan);
        course.plan().training.model =
            ModelKind::LocalLogistic(Local { steps: 4, rate: 200_000, norm: 4_000 });
        let lefts = course.rest();
        let training = course.plan().training.clone();
        let mut learner = Learner::initial(training.shape(), course.envelope.task).unwrap();
        for (left, round) in lefts[..3].iter().zip(1..) {
            let transcript = course.transcript(round, left);
            assert_eq!(transcript.subjects, 450);
            let cohort = Cohort { subjects: 450 * 700 / 1_000, rate: training.privacy.sampling };
            learner.step(&training.round_settings(), &transcript.sums, cohort).unwrap();
            let expected = learner.digest();
            assert!(matches!(left.header.body.outcome, Outcome::Step { state, .. } if state == expected));
        }
        let model = course.model(&lefts[3]);
        assert_eq!(learner.model().bytes(), model.parameters);
        assert!(model.evaluation.quality > 650_000, "{}", model.evaluation.quality);
    }
}

/// R100: a model that is not as good as the task asked stays closed.
#[test]
fn a_model_below_its_threshold_is_withheld() {
    let mut course = Course::new(plan());
    course.plan().training.accept_from = 1_000_000;
    let lefts = course.rest();
    let model = course.model(&lefts[3]);
    assert!(model.parameters.is_empty());
    assert_eq!(lefts[3].header.body.outcome, Outcome::Withheld { evaluation: model.evaluation });
}

/// R099, R110, R116, R117: reports bind inputs and outputs to their round; what stays in memory is not called purged.
#[test]
fn reports_bind_the_round_and_tell_what_stays() {
    let mut course = Course::new(plan());
    let mut position = course.position;
    let envelope = course.envelope.digest();
    for left in course.rest() {
        for (number, (vault, MadePart { bundle, report, .. })) in (1..).zip(&left.parts) {
            let expected = Expected {
                task: course.envelope.task,
                step: format!("slice:{vault}"),
                nonce: slice_nonce(&envelope, vault, &position),
                input_root: Some(course.records[vault].root),
                output: Digest::of_bytes(bundle),
                actor: ActorId::new(&format!("operator-{number}")).unwrap(),
                role: EnclaveRole::Slice,
                module: None,
                purged: true,
            };
            let report: SignedReport = decode(report).unwrap();
            let judged = appraise(&course.stage.slices[vault].boot, &report, &course.stage.policy, &expected);
            assert_eq!(report.body.purged, position.last);
            assert_eq!(judged, if position.last { Ok(()) } else { Err(vec![Reason::NotPurged]) });
        }
        let header = &left.header.body;
        let expected = Expected {
            task: course.envelope.task,
            step: "aggregate".into(),
            nonce: aggregate_nonce(&envelope, &position),
            input_root: None,
            output: header.result,
            actor: ActorId::new("aggregator").unwrap(),
            role: EnclaveRole::Aggregator,
            module: None,
            purged: true,
        };
        let boot = &course.stage.aggregator.boot;
        assert_eq!(appraise(boot, &decode(&left.report).unwrap(), &course.stage.policy, &expected), Ok(()));
        assert!(left.header.verify(&boot.body.signing_key));
        assert_eq!(
            (header.report, header.result),
            (Digest::of_bytes(&left.report), Digest::of_bytes(&left.sealed))
        );
        let inputs: Vec<_> =
            left.parts.iter().map(|(vault, part)| (vault.clone(), Digest::of_bytes(&part.bundle))).collect();
        assert_eq!(header.inputs, inputs);
        if let Some(next) = position.next(&plan().training, &header.outcome) {
            position = next;
        }
    }
}

/// R097, R102: another master's aggregator, with keys of its own, goes on from the same learner to the same bytes.
#[test]
fn another_aggregator_takes_over_without_a_trace() {
    let mut whole = Course::new(plan());
    let expected = outcomes(&whole.rest());
    let mut course = Course::new(plan());
    let mut lefts = vec![course.round(&course.vaults())];
    course.stage.aggregator = aggregator(60);
    lefts.push(course.round(&course.vaults()));
    course.stage.aggregator = aggregator(70);
    lefts.extend(course.rest());
    assert_eq!(outcomes(&lefts), expected);
}

/// R097, R102: a round that is ordered again is the same round; the next round has other noise.
#[test]
fn a_round_again_is_the_same_and_the_next_is_not() {
    let mut course = Course::new(plan());
    let vaults = course.vaults();
    let first = course.round(&vaults);
    let sums = course.transcript(1, &first).sums;
    (course.position, course.attempt) = (Position::FIRST, 1);
    course.learner = None;
    course.keys.clear();
    let again = course.round(&vaults);
    assert_eq!(course.transcript(1, &again).sums, sums);
    assert_eq!(outcomes(&[again]), outcomes(&[first]));
    let next = course.round(&vaults);
    assert_ne!(course.transcript(2, &next).sums, sums);
}

/// R097, R102: a Vault that cannot do one round can do the next; each round of other Vaults has other noise.
#[test]
fn a_vault_left_out_comes_back() {
    let mut course = Course::new(plan());
    let vaults = course.vaults();
    course.round(&vaults);
    // The first of a round hands the learner over, so the others must be able to.
    let without = course.round(&vaults[1..]);
    assert_eq!(without.header.body.inputs.len(), 2);
    let back = course.round(&vaults);
    assert_eq!(back.header.body.inputs.len(), 3);
    let last = course.round(&vaults);
    assert!(matches!(last.header.body.outcome, Outcome::Model { .. }));
    let mut whole = Course::new(plan());
    assert_ne!(outcomes(&whole.rest())[1].1, without.header.body.seed);
}

/// R102, R127: an enclave asks again for records that it lost with its process, and for those it let go after the last
/// round; what it makes of them is the same.
#[test]
fn records_are_wanted_after_a_restart() {
    let mut whole = Course::new(plan());
    let expected = outcomes(&whole.rest());
    let mut course = Course::new(plan());
    let mut lefts = vec![course.round(&course.vaults())];
    let order = course.stage.master.endorsed(course.order(&course.vaults()));
    let without = |course: &Course| {
        course.stage.slices[&vault(2)].call(&course.contribute_call(&order, &vault(2), None))
    };
    assert_eq!(name_of(&without(&course)), "contributed");
    course.stage.slices.insert(vault(2), slice(2));
    assert_eq!(name_of(&without(&course)), "records wanted");
    while !course.position.last {
        lefts.push(course.round(&course.vaults()));
    }
    let learner = (course.learner.clone(), course.keys.clone());
    lefts.extend(course.rest());
    assert_eq!(outcomes(&lefts), expected);
    (course.learner, course.keys) = learner;
    let order = course.stage.master.endorsed(course.order(&course.vaults()));
    let call = course.contribute_call(&order, &vault(2), None);
    assert_eq!(name_of(&course.stage.slices[&vault(2)].call(&call)), "records wanted");
}

/// R127: the datasets of a few trainings stay, the latest used; the rest is asked for again.
#[test]
fn only_a_few_datasets_stay_in_memory() {
    let mut course = Course::new(plan());
    let ask = |course: &mut Course, number: u8, with: bool| {
        course.envelope.task = TaskId(Digest([number; 32]));
        let order = course.stage.master.endorsed(course.order(&course.vaults()));
        let material = with.then(|| course.material(&vault(1)));
        name_of(&course.stage.slices[&vault(1)].call(&course.contribute_call(&order, &vault(1), material)))
    };
    for number in 1..=4 {
        assert_eq!(ask(&mut course, number, true), "contributed");
    }
    // The first is used again, so the second is the longest unused when a fifth comes.
    assert_eq!(ask(&mut course, 1, false), "contributed");
    assert_eq!(ask(&mut course, 5, true), "contributed");
    let kept = [1, 2, 3, 4, 5].map(|number| ask(&mut course, number, false) == "contributed");
    assert_eq!(kept, [true, false, true, true, true]);
}

/// R126: records and calls that somebody has tampered with are refused, and the enclaves live on.
#[test]
fn hostile_records_and_calls_are_survived() {
    let course = Course::new(plan());
    let order = course.stage.master.endorsed(course.order(&course.vaults()));
    let slice = &course.stage.slices[&vault(1)];
    let records = &course.records[&vault(1)];
    let aad = encode(&(course.envelope.task, vault(1), course.envelope.execute_by, records.root));
    for at in (0..records.plain.len()).step_by(499) {
        let mut damaged = records.plain.clone();
        damaged[at] ^= 0x7f;
        let sealed = seal(&slice.boot.body.hpke_key, purpose::TRAINING, &aad, &damaged).unwrap();
        slice.call(&course.contribute_call(&order, &vault(1), Some(sealed)));
    }
    let parts = course.parts(&order);
    let part = encode(&course.contribute_call(&order, &vault(1), None));
    let piece = encode(&course.piece_call(&order, (&parts[0].0, &parts[0].1), 0));
    let whole = encode(&course.combine_call(&order, bundles(&parts)));
    for call in [part, piece, whole] {
        for at in (0..call.len()).step_by(61) {
            let mut damaged = call.clone();
            damaged[at] ^= 0x41;
            for enclave in [slice, &course.stage.aggregator] {
                assert!(decode::<Answer>(&enclave.answer(&damaged)).is_ok());
            }
        }
    }
}

/// R098: fewer people than the plan's minimum train nothing.
#[test]
fn too_few_people_are_refused() {
    let mut course = Course::new(plan());
    course.plan().minimum_cohort = 450;
    let order = course.stage.master.endorsed(course.order(&course.vaults()));
    let parts = course.parts(&order);
    assert_eq!(refusal(&course.combine(&order, &parts)), Code::BelowCardinality);
}

/// R115, R126, R195: orders that no majority gave, that are of another enclave, or that name no round of this plan.
#[test]
fn wrong_orders_are_refused_on_both_sides() {
    let mut course = Course::new(plan());
    course.round(&course.vaults());
    let honest = course.order(&course.vaults());
    let both = |course: &Course, order: &EndorsedRoundOrder| {
        let part = course.contribute_call(order, &vault(1), Some(course.material(&vault(1))));
        let bundles = order.body.vaults.iter().map(|vault| (vault.clone(), Vec::new())).collect();
        let part = course.stage.slices[&vault(1)].call(&part);
        let whole = course.stage.aggregator.call(&course.combine_call(order, bundles));
        (refusal(&part), refusal(&whole))
    };
    let changed = |change: &dyn Fn(&mut RoundOrder)| {
        let mut order = honest.clone();
        change(&mut order);
        both(&course, &course.stage.master.endorsed(order))
    };
    let stranger = PrivateKey::<Master>::from_seed(&[99; 32]);
    let invalid = (Code::EnvelopeInvalid, Code::EnvelopeInvalid);
    assert_eq!(both(&course, &stranger.endorsed(honest.clone())), invalid);
    let mut tampered = course.stage.master.endorsed(honest.clone());
    tampered.body.subjects[0] += 1;
    assert_eq!(both(&course, &tampered), invalid);
    assert_eq!(changed(&|order| order.round = 0), invalid);
    assert_eq!(changed(&|order| order.round = 4), invalid);
    assert_eq!(changed(&|order| order.subjects.truncate(1)), invalid);
    assert_eq!(changed(&|order| order.subjects.push(1)), invalid);
    assert_eq!(changed(&|order| (order.round, order.last) = (5, true)), invalid);
    assert_eq!(changed(&|order| order.round = 1), invalid);
    assert_eq!(changed(&|order| order.state = Digest::ZERO), invalid);
    assert_eq!(changed(&|order| order.envelope = course.stage.envelope(1, 1)), invalid);
    assert_eq!(changed(&|order| order.envelope.submitter = ActorId::new("aggregator").unwrap()), invalid);
    assert_eq!(changed(&|order| order.vaults.push(vault(9))), invalid);
    let malformed = (Code::Malformed, Code::Malformed);
    assert_eq!(changed(&|order| order.vaults.reverse()), malformed);
    assert_eq!(changed(&|order| order.aggregator_boot.truncate(9)), malformed);
    let broken = (Code::QuorumBroken, Code::QuorumBroken);
    assert_eq!(changed(&|order| order.vaults.truncate(1)), broken);

    let other = encode(&aggregator(60).boot);
    let order = course.stage.master.endorsed(RoundOrder { aggregator_boot: other, ..honest.clone() });
    let call = course.combine_call(&order, Vec::new());
    assert_eq!(refusal(&course.stage.aggregator.call(&call)), Code::EnvelopeInvalid);
    let without = course.stage.master.endorsed(course.order(&course.vaults()[1..]));
    let call = course.contribute_call(&without, &vault(1), None);
    assert_eq!(refusal(&course.stage.slices[&vault(1)].call(&call)), Code::EnvelopeInvalid);
}

/// R126: nothing is sealed to an enclave that does not appraise, and an enclave does only what it was started for.
#[test]
fn enclaves_of_another_kind_get_nothing() {
    let mut course = Course::new(plan());
    let honest = course.order(&course.vaults());
    let order = course.stage.master.endorsed(honest.clone());
    let part = course.contribute_call(&order, &vault(1), Some(course.material(&vault(1))));
    let parts = course.parts(&order);
    let first = course.piece_call(&order, (&parts[0].0, &parts[0].1), 0);
    let whole = course.combine_call(&order, bundles(&parts));
    let slice = |course: &Course, call: &Call| refusal(&course.stage.slices[&vault(1)].call(call));
    assert_eq!(refusal(&course.stage.aggregator.call(&part)), Code::Forbidden);
    assert_eq!(slice(&course, &first), Code::Forbidden);
    assert_eq!(slice(&course, &whole), Code::Forbidden);

    let slice_boot = encode(&course.stage.slices[&vault(2)].boot);
    let wrong = course.stage.master.endorsed(RoundOrder { aggregator_boot: slice_boot, ..honest });
    let call = course.contribute_call(&wrong, &vault(1), None);
    assert_eq!(slice(&course, &call), Code::AttestationFailed);
    // Another round can be made without the Vault whose enclave is none.
    let mut strange = first;
    if let Call::Piece { boot, .. } = &mut strange {
        *boot = encode(&course.stage.aggregator.boot);
    }
    assert!(name_of(&course.stage.aggregator.call(&strange)).starts_with("vault-1: EXE-0011"));
    assert_eq!(name_of(&course.combine(&order, &parts)), "combined");
    for (vault, part) in &parts {
        let call = course.piece_call(&order, (vault, part), 0);
        assert_eq!(name_of(&course.stage.aggregator.call(&call)), "added");
    }
    let mut strange = whole;
    if let Call::Combine { round, .. } = &mut strange {
        round.slices[0].1 = encode(&course.stage.aggregator.boot);
    }
    assert!(name_of(&course.stage.aggregator.call(&strange)).starts_with("vault-1: EXE-0004"));
    course.stage.policy.software_admitted = false;
    let call = course.contribute_call(&order, &vault(1), None);
    assert_eq!(slice(&course, &call), Code::AttestationFailed);
}

/// R097, R110: a learner of another round, Vault or maker, and records of another root, serve nothing.
#[test]
fn what_does_not_belong_to_the_round_is_refused() {
    let mut course = Course::new(plan());
    let first = course.stage.master.endorsed(course.order(&course.vaults()));
    let vaults = course.vaults();
    course.round(&vaults);
    let (keys, learner) = (course.keys.clone(), course.learner.clone().unwrap());
    let second = course.stage.master.endorsed(course.order(&vaults));
    let call = |order: &EndorsedRoundOrder, learner: Option<(Vec<u8>, Vec<u8>)>| {
        let mut call = course.contribute_call(order, &vault(1), None);
        if let Call::Contribute { learner: place, .. } = &mut call {
            *place = learner.map(|(key, sealed)| SealedLearner { key, sealed });
        }
        refusal(&course.stage.slices[&vault(1)].call(&call))
    };
    assert_eq!(call(&second, None), Code::EnvelopeInvalid);
    assert_eq!(call(&second, Some((keys[&vault(2)].clone(), learner.clone()))), Code::SealInvalid);
    assert_eq!(call(&first, Some((keys[&vault(1)].clone(), learner.clone()))), Code::SealInvalid);
    let mut damaged = learner;
    damaged[70] ^= 1;
    assert_eq!(call(&second, Some((keys[&vault(1)].clone(), damaged))), Code::EnvelopeInvalid);
    // Well sealed, and not what the order says.
    let shape = plan().training.shape();
    let other = Learner::new(Model::initial(shape, &Digest([1; 32])).unwrap());
    let key = course.stage.slices[&vault(1)].boot.body.hpke_key;
    let sealed = |state: Digest, bytes: &[u8]| {
        let task = course.envelope.task;
        let to = SealingKey::from_seed(&[9; 32]).public();
        let whole = seal(&to, purpose::LEARNER, &encode(&(task, state)), bytes).unwrap();
        (seal(&key, purpose::LEARNER_KEY, &encode(&(task, vault(1), state)), &[9; 32]).unwrap(), whole)
    };
    assert_eq!(call(&second, Some(sealed(second.body.state, &other.bytes()))), Code::EnvelopeInvalid);
    assert_eq!(call(&second, Some(sealed(second.body.state, b"short"))), Code::EnvelopeInvalid);
    assert_eq!(call(&first, Some(sealed(Digest::ZERO, &other.bytes()))), Code::EnvelopeInvalid);

    course.stage.slices.insert(vault(1), slice(1));
    let records = |root: Digest, material: Vec<u8>| {
        let mut call = course.contribute_call(&second, &vault(1), Some(material));
        if let Call::Contribute { input_root, .. } = &mut call {
            *input_root = root;
        }
        refusal(&course.stage.slices[&vault(1)].call(&call))
    };
    let root = course.records[&vault(1)].root;
    assert_eq!(records(Digest([1; 32]), course.material(&vault(1))), Code::SealInvalid);
    assert_eq!(records(root, course.material(&vault(2))), Code::SealInvalid);
    let sealed = |root: Digest, plain: &[u8]| {
        let aad = encode(&(course.envelope.task, vault(1), course.envelope.execute_by, root));
        seal(&key, purpose::TRAINING, &aad, plain).unwrap()
    };
    let other = Digest([1; 32]);
    assert_eq!(records(other, sealed(other, &course.records[&vault(1)].plain)), Code::RecordInvalid);
    assert_eq!(records(root, sealed(root, b"no records")), Code::RecordInvalid);
    // Nothing of these has been kept.
    let call = course.contribute_call(&second, &vault(1), None);
    assert_eq!(name_of(&course.stage.slices[&vault(1)].call(&call)), "records wanted");
}

fn bundles(parts: &[(VaultId, MadePart)]) -> Vec<(VaultId, Vec<u8>)> {
    parts.iter().map(|(vault, part)| (vault.clone(), part.bundle.clone())).collect()
}

/// A part of one piece as the aggregator's enclave finds it.
fn opened_part(aad: &[u8], piece: &[u8]) -> Part {
    let opened = SealingKey::from_seed(&[50; 32]).open(purpose::PART, aad, piece).unwrap();
    let (part, _): (Vec<u8>, SignedPartWord) = decode(&opened).unwrap();
    decode(&part).unwrap()
}

fn blamed(answer: &Answer) -> VaultId {
    match answer {
        Answer::PartRefused { vault, code: Code::UpdateInvalid, .. } => vault.clone(),
        other => panic!("{}", name_of(other)),
    }
}

/// A part of one piece.
fn of_one(piece: Vec<u8>) -> MadePart {
    let bundle = encode(&Manifest { pieces: vec![Digest::of_bytes(&piece)] });
    MadePart { bundle, pieces: vec![piece], report: vec![] }
}

/// R099, R112: a part that is not what its Vault's people can make names the Vault; others can go on.
#[test]
fn a_part_that_cannot_be_used_names_its_vault() {
    let mut course = Course::new(plan());
    course.round(&course.vaults());
    let order = course.stage.master.endorsed(course.order(&course.vaults()));
    let parts = course.parts(&order);
    let with = |at: usize, part: MadePart| {
        let mut parts = parts.clone();
        parts[at].1 = part;
        course.combine(&order, &parts)
    };
    // A part of the Vault's own enclave, or of whoever has this key: whoever knows the order can seal to the aggregator.
    let made = |at: usize, signer: u8, change: &dyn Fn(&mut Part)| {
        let aad = encode(&(order.body.digest(), &parts[at].0, 0_u64));
        let mut part = opened_part(&aad, &parts[at].1.pieces[0]);
        change(&mut part);
        let part = encode(&part);
        let (order, vault) = (order.body.digest(), parts[at].0.clone());
        let word = PartWord { order, vault, part: Digest::of_bytes(&part) };
        let word = PrivateKey::<SoftwareEnclave>::from_seed(&[signer; 32]).sign(word);
        let key = course.stage.aggregator.boot.body.hpke_key;
        with(at, of_one(seal(&key, purpose::PART, &aad, &encode(&(part, word))).unwrap()))
    };
    let forged = |at: usize, change: &dyn Fn(&mut Part)| blamed(&made(at, 101 + at as u8, change));
    assert_eq!(name_of(&made(1, 102, &|_| ())), "combined");
    assert_eq!(blamed(&made(1, 103, &|_| ())), vault(2));
    assert_eq!(blamed(&made(1, 7, &|part| part.share = [9; 32])), vault(2));
    let mut damaged = parts[2].1.pieces[0].clone();
    damaged[50] ^= 1;
    assert_eq!(blamed(&with(2, of_one(damaged))), vault(3));
    assert_eq!(blamed(&with(1, parts[2].1.clone())), vault(2));
    // The clip of a person is the most that it adds: beyond it the whole part is refused.
    assert_eq!(forged(1, &|part| part.sums[0] = 1 + i64::from(part.subjects) * CLIP_UNITS), vault(2));
    assert_eq!(forged(1, &|part| part.sums.truncate(1)), vault(2));
    assert_eq!(forged(2, &|part| part.evaluated += 1), vault(3));
    assert_eq!(forged(0, &|part| part.learner = None), vault(1));
    assert_eq!(forged(0, &|part| part.learner.as_mut().unwrap()[0] ^= 1), vault(1));
    // An earlier attempt's part is of another order.
    course.attempt = 1;
    let again = course.stage.master.endorsed(course.order(&course.vaults()));
    assert_eq!(blamed(&course.combine(&again, &parts)), vault(1));

    let call = |bundles| refusal(&course.stage.aggregator.call(&course.combine_call(&order, bundles)));
    assert_eq!(call(bundles(&parts[..2])), Code::Malformed);
    let mut strange = bundles(&parts);
    strange[2].0 = vault(9);
    assert_eq!(call(strange), Code::Malformed);
}

/// R099: a model larger than a piece comes in pieces, those of all Vaults mixed; one that is not next, and a round of which
/// one is missing, are not combined, and nothing of them stays.
#[test]
fn a_large_model_comes_in_pieces() {
    let mut large = plan();
    let items = (0..1_100).map(|item| format!("item {item:04}")).collect();
    let attribute = attribute("commerce.category");
    large.training.model = ModelKind::Affinity { rank: 64, attribute, items, days: 30, best: 5 };
    (large.training.features, large.training.label) = (vec![], None);
    let mut whole = Course::new(large.clone());
    let expected = outcomes(&[whole.round(&whole.vaults())]);

    let course = Course::new(large);
    let order = course.stage.master.endorsed(course.order(&course.vaults()));
    let parts = course.parts(&order);
    assert!(parts.iter().all(|(_, part)| part.pieces.len() == 2));
    let add = |at: usize, piece: usize| {
        course.stage.aggregator.call(&course.piece_call(&order, (&parts[at].0, &parts[at].1), piece))
    };
    let end = || course.stage.aggregator.call(&course.combine_call(&order, bundles(&parts)));
    for (at, piece) in [(2, 0), (0, 0), (0, 1), (1, 0), (1, 1)] {
        assert_eq!(name_of(&add(at, piece)), "added");
    }
    assert_eq!(refusal(&end()), Code::Unavailable);
    assert_eq!(refusal(&add(1, 1)), Code::Unavailable, "the round was let go, and nobody is blamed for it");
    for (at, piece) in [(2, 0), (0, 0), (2, 1), (1, 0), (1, 1), (0, 1)] {
        assert_eq!(name_of(&add(at, piece)), "added");
    }
    let Answer::Combined { header, .. } = end() else { panic!("not combined") };
    assert_eq!(vec![(header.body.outcome, header.body.seed)], expected);
    assert_eq!(refusal(&end()), Code::Unavailable);

    // A bundle that says otherwise in the middle, and a piece too many.
    assert_eq!(name_of(&add(0, 0)), "added");
    let mut other = parts[0].1.clone();
    other.bundle = encode(&Manifest { pieces: vec![Digest::of_bytes(&other.pieces[0])] });
    let call = course.piece_call(&order, (&parts[0].0, &other), 1);
    assert_eq!(blamed(&course.stage.aggregator.call(&call)), vault(1));
    other.bundle = encode(&Manifest { pieces: vec![Digest::of_bytes(&other.pieces[0]); 3] });
    assert_eq!(blamed(&course.combine(&order, &[(vault(1), other)])), vault(1));
    assert_eq!(
        blamed(&course.stage.aggregator.call(&Call::Piece {
            order: order.clone(),
            vault: vault(1),
            boot: encode(&course.stage.slices[&vault(1)].boot),
            bundle: b"no manifest".to_vec(),
            piece: vec![],
            policy: encode(&course.stage.policy),
            masters: course.stage.masters(),
        })),
        vault(1)
    );
}

/// R099: what an aggregator's enclave makes of the parts is what the kernels make of them.
#[test]
fn the_round_is_that_of_its_parts() {
    let mut course = Course::new(plan());
    let order = course.stage.master.endorsed(course.order(&course.vaults()));
    let parts = course.parts(&order);
    let plan = plan();
    let (vaults, subjects) = (&order.body.vaults, &order.body.subjects);
    let position = &Position::FIRST;
    let stage = Stage { task: course.envelope.task, plan: &plan, position, vaults, subjects };
    let mut gathering = Gathering::new(&stage);
    let mut shares = Vec::new();
    for (vault, part) in &parts {
        let aad = encode(&(order.body.digest(), vault, 0_u64));
        let part = opened_part(&aad, &part.pieces[0]);
        // Of 150 people three tenths are held out.
        assert!((80..130).contains(&part.subjects) && part.evaluated == 0 && part.learner.is_none());
        gathering.add(&stage, vault, &part).unwrap();
        shares.push(part.share);
    }
    shares.sort_unstable();
    shares.dedup();
    assert_eq!(shares.len(), 3);
    let learner = Learner::initial(plan.training.shape(), course.envelope.task).unwrap();
    let made = gathering.finish(&stage, &learner).unwrap();
    let left = course.round(&course.vaults());
    let outcome = Outcome::Step { state: made.next.unwrap().digest(), evaluation: made.evaluation };
    assert_eq!(left.header.body.outcome, outcome);
    assert_eq!(course.transcript(1, &left).sums, made.sums);
}
