//! What other enclaves of a Vault found in portions of its segments: finished as one slice, and refused when anything about it is not
//! what it must be.

use std::collections::BTreeMap;

use symphony_compute::cells::Sums;
use symphony_compute::material::MaterialBuilder;
use symphony_enclave::{Handler, Modules, Station as _, Workers};
use symphony_protocol::artifact::selection::Selection;
use symphony_protocol::artifact::statistic::{Measure, StatisticPlan};
use symphony_protocol::artifact::{Assignment, Plan, Predicate, PrivacyClass, ResolvedOperand};
use symphony_protocol::governance::semantics::ValueType;
use symphony_segments::handed::{Handed, HandedSegment, input_root};
use symphony_segments::people::People;
use symphony_segments::schema::SegmentSchema;
use symphony_segments::segment::SegmentId;
use symphony_segments::statistic::{Found, Said};
use symphony_tee::asking::{AskError, Host, Unserved};
use symphony_tee::report::{SignedBoot, SignedReport, scan_step, slice_step};
use symphony_tee::session::Work;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::epsilon::Epsilon;
use symphony_types::id::{Measurement, RuleName};
use symphony_types::key::{Document as _, Master, PrivateKey};
use symphony_types::time::OrderedMillis;
use symphony_wire::documents::{decode, encode};
use symphony_wire::enclave::{Answer, Call, Dealt, EXECUTORS_MAX, Findings, PIECES_MAX, Question, purpose};
use symphony_wire::sealed::{SealingKey, seal};

use crate::stage::{SLICES, Stage, TestStation, aggregator, attribute, inside, measurement, name_of, vault};

/// The enclave that finishes is that of the first Vault; its colleagues have these numbers.
const FINISHER: u8 = 1;
const COLLEAGUES: [u8; 2] = [21, 22];
const ACTOR: &str = "operator-1";
const PEOPLE: u32 = 10;

/// What an enclave says of its portion, before anything is sealed or signed.
struct Told {
    station: TestStation,
    boot: SignedBoot,
    segments: Vec<u8>,
    permitted: People,
    order: Digest,
    step: String,
    pieces: Vec<Vec<u8>>,
    /// The order that pieces are sealed for.
    sealed_for: Digest,
}

impl Told {
    fn new(number: u8, order: &Assignment, segments: Vec<u8>, people: &[u32]) -> Self {
        let (station, boot) = inside(number, ACTOR, SLICES, measurement());
        let said = |person: &u32| Said { person: *person, holding: 1, known: true, amount: 0, latest: 0 };
        let found = Found { people: people.iter().map(said).collect(), ..Found::default() };
        let (step, sealed_for, permitted) = (scan_step(&order.vault), order.digest(), permitted());
        let (order, pieces) = (order.digest(), found.pieces(2).map(|piece| encode(&piece)).collect());
        Self { station, boot, segments, permitted, order, step, pieces, sealed_for }
    }

    /// As it passes the host: boot report, findings, and the pieces.
    fn sealed(&self, order: &Assignment) -> ((Vec<u8>, Findings), Vec<Vec<u8>>) {
        let key = SealingKey::from_seed(&[FINISHER; 32]).public();
        let sealed = (0_u32..).zip(&self.pieces).map(|(number, piece)| {
            seal(&key, purpose::FINDINGS, &encode(&(self.sealed_for, number)), piece).unwrap()
        });
        let sealed: Vec<Vec<u8>> = sealed.collect();
        let pieces: Vec<Digest> = sealed.iter().map(|piece| Digest::of_bytes(piece)).collect();
        let segments: Vec<_> =
            self.segments.iter().map(|segment| ([*segment; 16], Digest([*segment; 32]))).collect();
        let roots: Vec<_> = segments.iter().map(|(segment, root)| (SegmentId(*segment), *root)).collect();
        let report = self.station.report(Work {
            task: order.envelope.task,
            step: self.step.clone(),
            nonce: self.order,
            module: None,
            input_root: input_root(Digest::ZERO, &roots, &self.permitted),
            output: Digest::of("symphony/findings/v1", &pieces),
            schema: order.envelope.versions.schema,
            semantic: order.envelope.versions.semantic,
            policy: order.envelope.versions.policy,
            purged: true,
        });
        let findings = Findings { segments, pieces, report: encode(&report) };
        ((self.boot.to_canonical(), findings), sealed)
    }
}

/// A host that has kept these pieces of each portion.
struct Kept(Vec<Vec<Vec<u8>>>);

impl Host for Kept {
    fn ask(&mut self, question: &[u8]) -> Result<Vec<u8>, AskError> {
        let Question::Piece { portion, piece } = decode(question).unwrap() else {
            panic!("another question")
        };
        let pieces = self.0.get(portion as usize);
        Ok(pieces.and_then(|pieces| pieces.get(piece as usize)).cloned().unwrap_or_default())
    }
}

fn permitted() -> People {
    (0..PEOPLE).collect()
}

fn handed(segments: &[u8]) -> Handed {
    let attributes = BTreeMap::from([(attribute("commerce.merchant"), ValueType::Text)]);
    let segment = |id: &u8| HandedSegment { id: SegmentId([*id; 16]), bytes: 9, frame_at: 1, key: [*id; 32] };
    Handed {
        schema: SegmentSchema::new(1, None, attributes).unwrap(),
        permitted: permitted(),
        segments: segments.iter().map(segment).collect(),
    }
}

/// An order for how many bought coffee.
fn ordered(stage: &Stage) -> Assignment {
    let mut envelope = stage.envelope(1, 1);
    let coffee = ResolvedOperand {
        rule: RuleName::new("commerce.merchant_is").unwrap(),
        attribute: attribute("commerce.merchant"),
        predicate: Predicate::TextEquals("coffee".into()),
    };
    envelope.plan = Plan::Statistic(StatisticPlan {
        who: Selection::record(vec![coffee]),
        measure: Measure::People,
        combined_privacy_class: PrivacyClass::Sensitive,
        minimum_result_cardinality: 2,
        epsilon: Epsilon(1_000_000),
        evaluated_at: OrderedMillis(1_000),
    });
    let keys = stage.open(&stage.master.endorsed(envelope.clone()));
    stage.assignment(&envelope, &vault(1), keys[&vault(1)].clone())
}

/// Has a slice over three segments finished that two enclaves have read: how many people are counted. What they say may be changed
/// first, and then what the host passes on.
fn finished(
    tell: impl FnOnce(&mut Vec<Told>),
    pass: impl FnOnce(&mut Dealt, &mut Kept),
) -> Result<u64, (Code, String)> {
    let stage = Stage::new();
    let order = ordered(&stage);
    let mut told = vec![
        Told::new(COLLEAGUES[0], &order, vec![1, 3], &[0, 2, 4, 5, 9]),
        Told::new(COLLEAGUES[1], &order, vec![2], &[2, 3]),
    ];
    tell(&mut told);
    let (portions, kept) = told.iter().map(|told| told.sealed(&order)).unzip();
    let (mut dealt, mut host) = (Dealt { policy: encode(&stage.policy), portions }, Kept(kept));
    pass(&mut dealt, &mut host);
    let key = SealingKey::from_seed(&[FINISHER; 32]).public();
    let types = BTreeMap::from([(attribute("commerce.merchant"), ValueType::Text)]);
    let beside = MaterialBuilder::new(&types).unwrap().finish().unwrap();
    let aad = order.digest().0;
    let call = Call::Evaluate {
        material: seal(&key, purpose::MATERIAL, &aad, &beside).unwrap(),
        segments: Some(seal(&key, purpose::SEGMENTS, &aad, &encode(&handed(&[1, 2, 3]))).unwrap()),
        dealt: Some(dealt),
        policy: encode(&stage.policy),
        masters: stage.masters(),
        assignment: stage.master.endorsed(order.clone()),
    };
    let (station, _) = inside(FINISHER, ACTOR, SLICES, measurement());
    let finisher = Handler::new(station, Modules::default(), Workers::default());
    match decode(&finisher.answer(&encode(&call), &mut host)).unwrap() {
        Answer::Evaluated { bundle, input_root: read, report, .. } => {
            let report: SignedReport = decode(&report).unwrap();
            let roots = [1, 2, 3].map(|segment| (SegmentId([segment; 16]), Digest([segment; 32])));
            let beside = symphony_types::merkle::root(&[]);
            assert_eq!(read, input_root(beside, &roots, &permitted()), "as if one had read them all");
            assert_eq!((report.body.input_root, report.body.step), (read, slice_step(&order.vault)));
            let aad = encode(&(order.envelope.task, &order.vault));
            let sums = SealingKey::from_seed(&[50; 32]).open(purpose::BUNDLE, &aad, &bundle).unwrap();
            Ok(decode::<Sums>(&sums).unwrap().people)
        }
        Answer::Refused { code, detail } => Err((code, detail)),
        other => panic!("{}", name_of(&other)),
    }
}

/// R087, R110, R126: what two enclaves found is one slice: who is in both portions is counted once, and the report names all segments.
#[test]
fn portions_are_finished_as_one_slice() {
    assert_eq!(finished(|_| (), |_, _| ()), Ok(6));
    // Pieces of one portion may come in any number, also none.
    assert_eq!(finished(|told| told[1].pieces.clear(), |_, _| ()), Ok(5));
}

/// R110, R120, R121, R124: what an enclave says of another order, of other people, as another's, from a program or a machine that is not
/// approved, or without being sealed for this slice, is not believed.
#[test]
fn a_portion_that_is_not_of_this_slice_is_refused() {
    type Case = (&'static str, fn(&mut Told), Code);
    let cases: [Case; 10] = [
        ("of another order", |told| told.order = Digest([9; 32]), Code::AttestationFailed),
        ("of another step", |told| told.step = "slice:vault-1".into(), Code::AttestationFailed),
        ("of fewer people", |told| told.permitted = (0..9).collect(), Code::AttestationFailed),
        ("another vault's", |told| other(told, "operator-2", SLICES, measurement()), Code::AttestationFailed),
        ("on a strange machine", |told| other(told, ACTOR, 99, measurement()), Code::AttestationFailed),
        (
            "of another program",
            |told| other(told, ACTOR, SLICES, Measurement(Digest([8; 32]))),
            Code::AttestationFailed,
        ),
        (
            "signed by another",
            |told| told.station = inside(23, ACTOR, SLICES, measurement()).0,
            Code::AttestationFailed,
        ),
        ("sealed for another order", |told| told.sealed_for = Digest([9; 32]), Code::SealInvalid),
        ("garbage", |told| told.pieces[0] = vec![0xff; 40], Code::SealInvalid),
        ("of somebody else", |told| told.pieces[0] = stranger(), Code::Malformed),
    ];
    for (case, change, expected) in cases {
        let (code, detail) = finished(|told| change(&mut told[1]), |_, _| ()).unwrap_err();
        assert_eq!(code, expected, "{case}: {detail}");
    }
}

fn other(told: &mut Told, actor: &str, machine: u8, program: Measurement) {
    (told.station, told.boot) = inside(24, actor, machine, program);
}

fn stranger() -> Vec<u8> {
    let said = Said { person: PEOPLE, holding: 1, known: true, amount: 0, latest: 0 };
    encode(&Found { people: vec![said], ..Found::default() })
}

/// R110, R116: a host that leaves a portion out, gives one twice, changes or holds back a piece, or gives more than there may be, gets no
/// answer, and nothing is counted of what it gave.
#[test]
fn what_a_host_does_to_portions_is_refused() {
    type Case = (&'static str, fn(&mut Dealt, &mut Kept), Code);
    let cases: [Case; 8] = [
        ("left out", |dealt, _| drop(dealt.portions.pop()), Code::Malformed),
        ("all left out", |dealt, _| dealt.portions.clear(), Code::Malformed),
        ("twice", |dealt, _| dealt.portions.push(dealt.portions[0].clone()), Code::Malformed),
        ("a changed piece", |_, kept| kept.0[0][1][40] ^= 1, Code::SealInvalid),
        ("a piece held back", |_, kept| drop(kept.0[1].pop()), Code::SealInvalid),
        ("a piece of the other", |_, kept| kept.0.swap(0, 1), Code::SealInvalid),
        ("a shorter list", |dealt, _| dealt.portions[0].1.pieces.truncate(1), Code::AttestationFailed),
        (
            "too many pieces",
            |dealt, _| dealt.portions[0].1.pieces = vec![Digest::ZERO; PIECES_MAX + 1],
            Code::Malformed,
        ),
    ];
    for (case, change, expected) in cases {
        let (code, detail) = finished(|_| (), change).unwrap_err();
        assert_eq!(code, expected, "{case}: {detail}");
    }
    let many = |dealt: &mut Dealt, _: &mut Kept| {
        dealt.portions = vec![dealt.portions[0].clone(); EXECUTORS_MAX + 1];
    };
    assert_eq!(finished(|_| (), many).unwrap_err().0, Code::Malformed);
}

fn scan(
    stage: &Stage,
    (order, master): (&Assignment, &PrivateKey<Master>),
    finisher: &SignedBoot,
    purpose: &str,
) -> Answer {
    let (station, boot) = inside(COLLEAGUES[0], ACTOR, SLICES, measurement());
    let portion = seal(&boot.body.hpke_key, purpose, &order.digest().0, &encode(&handed(&[]))).unwrap();
    let call = Call::Scan {
        assignment: master.endorsed(order.clone()),
        portion,
        finisher: finisher.to_canonical(),
        policy: encode(&stage.policy),
        masters: stage.masters(),
    };
    let handler = Handler::new(station, Modules::default(), Workers::default());
    decode(&handler.answer(&encode(&call), &mut Unserved)).unwrap()
}

/// R110, R120, R121, R195: an enclave reads a portion on the masters' word alone, sealed as one, for an enclave of the same Vault and program on a
/// machine that is approved; an aggregator's reads none.
#[test]
fn an_enclave_reads_a_portion_for_its_own_vault_alone() {
    let stage = Stage::new();
    let order = ordered(&stage);
    let (endorsed, stranger) = ((&order, &stage.master), PrivateKey::<Master>::from_seed(&[77; 32]));
    let boot = |actor: &str, machine, program| inside(FINISHER, actor, machine, program).1;
    let finisher = boot(ACTOR, SLICES, measurement());
    let Answer::Scanned(findings) = scan(&stage, endorsed, &finisher, purpose::PORTION) else {
        panic!("not scanned")
    };
    assert_eq!((findings.segments.len(), findings.pieces.len()), (0, 0));
    let report: SignedReport = decode(&findings.report).unwrap();
    assert_eq!((report.body.nonce, report.body.step), (order.digest(), scan_step(&order.vault)));
    let refused = |answer: Answer, expected: Code| match answer {
        Answer::Refused { code, detail } => assert_eq!(code, expected, "{detail}"),
        other => panic!("{}", name_of(&other)),
    };
    let others = [
        boot("operator-2", SLICES, measurement()),
        boot(ACTOR, 99, measurement()),
        boot(ACTOR, SLICES, Measurement(Digest([8; 32]))),
        aggregator(50).boot,
    ];
    for other in others {
        refused(scan(&stage, endorsed, &other, purpose::PORTION), Code::AttestationFailed);
    }
    refused(scan(&stage, endorsed, &finisher, purpose::SEGMENTS), Code::SealInvalid);
    refused(scan(&stage, (&order, &stranger), &finisher, purpose::PORTION), Code::EnvelopeInvalid);
    let call = Call::Scan {
        assignment: stage.master.endorsed(order),
        portion: vec![],
        finisher: finisher.to_canonical(),
        policy: encode(&stage.policy),
        masters: stage.masters(),
    };
    refused(stage.aggregator.call(&call), Code::Forbidden);
}
