//! A slice whose segments are dealt out to several executors: the same answer as from one, and what happens when executors are lost.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::Method;
use symphony_protocol::artifact::selection::{Qualification, Quantity, ResolvedMeasure, Selection};
use symphony_protocol::artifact::statistic::{Measure, StatisticResult};
use symphony_protocol::artifact::{
    Assignment, AudienceResult, EndorsedAssignment, Outcome, Plan, Predicate, ResolvedOperand, SelectionRule,
};
use symphony_protocol::governance::approval::{EnclaveCode, Purpose};
use symphony_protocol::governance::semantics::{Attribute, ValueType};
use symphony_tee::measure;
use symphony_tee::report::EnclaveRole;
use symphony_types::canonical;
use symphony_types::catalogue::Code;
use symphony_types::id::RuleName;
use symphony_types::time::RecordMillis;
use symphony_vault::agent::{Agent, Watch};
use symphony_vault::store::Transcript;

use crate::objects::{over, tried};
use crate::segments::{Scene, segments, tea};
use crate::server::{Fault, Server};
use crate::statistic::{at, merchants, noised, plan, spent, tips};
use crate::world::*;

const DATE: &str = "commerce.purchase_date";

/// A Vault with a time, whose uploads of at least so many records become segments.
fn dated(segment_rows: u32) -> Scene {
    Scene::governed(segment_rows, |governance| {
        let attributes = &mut governance.meanings.founded.attributes;
        let amount = attributes[&attribute("commerce.amount")].clone();
        attributes.insert(attribute(DATE), Attribute { value: ValueType::Time, ..amount });
    })
}

/// So many executors in place of what the scene had, each telling its process to the watch.
fn executors(scene: &Scene, count: usize, watch: Arc<Watch>) -> Arc<Agent> {
    let role = ("acme-executor", EnclaveRole::Slice);
    Arc::new(agents(&scene.world, &scene.program, scene.world.path(), role, count).watched(watch))
}

/// Notes who asked.
fn noting() -> (Arc<Watch>, Arc<Mutex<BTreeSet<u32>>>) {
    let asked = Arc::new(Mutex::new(BTreeSet::new()));
    let noted = Arc::clone(&asked);
    let watch = move |pid| {
        noted.lock().unwrap().insert(pid);
    };
    (Arc::new(watch), asked)
}

fn signal(name: &str, pid: u32) {
    assert!(Command::new("kill").args([name, &pid.to_string()]).status().unwrap().success());
}

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// Uploads of random sizes, of random people, places, amounts and times; the last of them stay beside segments.
async fn uploads(scene: &Scene, random: &mut Random) {
    for (upload, most) in [11, 7, 13, 9, 12, 3].into_iter().enumerate() {
        let count = if most > 6 { 6 + random.below(most - 5) } else { most };
        let lines: Vec<String> = (0..count)
            .map(|n| {
                let (person, cents) = (random.below(12), random.below(900));
                let merchant = ["Cafe Luna", " CAFE  luna", "Tea House", "Kiosk"][random.below(4) as usize];
                let mut line = format!(r#"{{"request_id":"{upload}-{n}","subject":"p{person}""#);
                let with = |line: &mut String, name: &str, value: String| {
                    line.push_str(&format!(r#","{name}":{value}"#));
                };
                if random.below(5) > 0 {
                    with(&mut line, "commerce.merchant", format!("\"{merchant}\""));
                }
                if random.below(5) > 0 {
                    with(&mut line, "commerce.amount", format!("\"{}.{:02}\"", cents / 100, cents % 100));
                }
                with(&mut line, DATE, (1 + random.below(900)).to_string());
                line + "}"
            })
            .collect();
        let request = format!("upload-{upload}");
        let done = scene.world.ask(OPERATOR, &request, put_records(&lines.join("\n"))).await;
        assert_eq!((done.accepted, done.refused_total), (count, 0), "{done:?}");
    }
}

fn rule() -> RuleName {
    RuleName::new("commerce.rule").unwrap()
}

fn measured(merchant: &str, quantity: Quantity, at_least: u64) -> Selection<Qualification> {
    let name = if quantity == Quantity::Sum { "commerce.amount" } else { "commerce.merchant" };
    let measure = ResolvedMeasure { rule: rule(), attribute: attribute(name), quantity, at_least };
    let Selection::Record(Qualification { operands, .. }) = at(merchant) else { panic!("no condition") };
    Selection::Record(Qualification { operands, measures: vec![measure] })
}

/// At the cafe since some time.
fn lately() -> Selection<Qualification> {
    let Selection::Record(mut condition) = at("cafe luna") else { panic!("no condition") };
    let predicate = Predicate::Between { since: RecordMillis(200), until: RecordMillis(1_000) };
    condition.operands.push(ResolvedOperand { rule: rule(), attribute: attribute(DATE), predicate });
    Selection::Record(condition)
}

/// Every kind of what a slice over segments is asked for.
fn plans(world: &World) -> Vec<Plan> {
    let not = |who| Selection::Not(Box::new(who));
    let audience = |who, selection, cap| {
        let Plan::Audience(query) = &world.plan else { panic!("no audience") };
        let mut query = query.clone();
        (query.who, query.selection, query.cap) = (who, selection, cap);
        Plan::Audience(query)
    };
    let regulars = measured("cafe luna", Quantity::Records, 2);
    let spenders = measured("cafe luna", Quantity::Sum, 700);
    let spends = measured("tea house", Quantity::Sum, 1);
    let elsewhere = measured("kiosk", Quantity::Sum, 300);
    let tree = Selection::All(vec![
        Selection::Any(vec![regulars.clone(), spenders]),
        not(elsewhere.clone()),
        Selection::Any(vec![lately(), at("tea house")]),
    ]);
    let beyond = Measure::Sum {
        amount: attribute("commerce.amount"),
        over: vec![ResolvedOperand {
            rule: rule(),
            attribute: attribute("commerce.amount"),
            predicate: Predicate::AtLeast(200),
        }],
        clamp: 1_500,
    };
    vec![
        audience(at("cafe luna"), SelectionRule::Random, 100),
        audience(lately(), SelectionRule::RecencyWeighted, 3),
        audience(tree, SelectionRule::RecencyWeighted, 100),
        audience(not(at("kiosk")), SelectionRule::Random, 4),
        audience(Selection::Any(vec![spends.clone(), regulars.clone()]), SelectionRule::Largest(0), 3),
        audience(Selection::Any(vec![spends, regulars.clone()]), SelectionRule::Largest(1), 3),
        plan(not(at("tea house")), Measure::People, 2),
        plan(Selection::Any(vec![regulars, elsewhere]), spent(), 2),
        plan(not(at("nowhere")), beyond, 2),
        plan(Selection::Any(vec![at("cafe luna"), at("kiosk")]), merchants(), 2),
        plan(Selection::Any(vec![]), Measure::People, 2),
        noised(),
    ]
}

/// What the submitter opens, with what the slice says it was computed on, as bytes; and whether there is something in it.
fn answered(scene: &Scene, order: &EndorsedAssignment, transcript: &Transcript) -> (Vec<u8>, bool) {
    let header = &transcript.header.body;
    let about = canonical::to_bytes(&(header.input_root, header.records, header.coverage));
    let (result, outcome) = match &order.body.envelope.plan {
        Plan::Audience(_) => {
            let result: AudienceResult = scene.opened(order, transcript);
            (canonical::to_bytes(&result), result.outcome)
        }
        Plan::Statistic(_) => {
            let result: StatisticResult = scene.opened(order, transcript);
            (canonical::to_bytes(&result), result.outcome)
        }
        Plan::Training(_) | Plan::Compute(_) => panic!("no question"),
    };
    ([result, about].concat(), outcome != Outcome::Suppressed)
}

/// The order again, for the latest attempt.
fn attempt(scene: &Scene, order: &Assignment, attempt: u32) -> EndorsedAssignment {
    scene.world.master.endorsed(Assignment { attempt, ..order.clone() })
}

/// R057, R079, R087, R088, R090, R092, R105: over random records in segments and beside them, every kind of selection and statistic has
/// the same answer, byte for byte and with the same noise, from one executor, from two and from three, and each of them reads.
#[tokio::test]
async fn an_answer_is_byte_equal_however_many_executors_read() {
    for seed in 1..=2 {
        let mut scene = dated(6);
        scene.world.populate(12).await;
        uploads(&scene, &mut Random(seed)).await;
        scene.world.withdraw("p3").await;
        assert!((4..8).contains(&segments(&scene.world).len()), "{:?}", segments(&scene.world));
        let mut orders = Vec::new();
        for (name, plan) in (1..).zip(plans(&scene.world)) {
            scene.world.plan = plan;
            let receipt = scene.world.prepare(name, 3, 5_000).await;
            orders.push(scene.assigned(name, &receipt).body);
        }
        let mut answers: Vec<Vec<(Vec<u8>, bool)>> = Vec::new();
        for count in 1..=3 {
            let (watch, asked) = noting();
            scene.slice = executors(&scene, count, watch);
            let mut found = Vec::new();
            for order in &orders {
                let order = attempt(&scene, order, count as u32 - 1);
                found.push(answered(&scene, &order, &scene.computed(&order).await));
            }
            assert_eq!(asked.lock().unwrap().len(), if count > 1 { count } else { 0 });
            answers.push(found);
        }
        for (number, first) in answers[0].iter().enumerate() {
            assert!(answers[1..].iter().all(|answer| answer[number] == *first), "plan {number} of {seed}");
        }
        let told = answers[0].iter().filter(|(_, told)| *told).count();
        assert!(told >= orders.len() - 2, "{told} of {} have an answer", orders.len());
    }
}

/// A scene with five segments and records beside them, what one executor answers to an audience and to a statistic, and the orders.
async fn counted() -> (Scene, Vec<(Assignment, (Vec<u8>, bool))>) {
    let mut scene = Scene::new(4);
    scene.world.populate(10).await;
    for upload in 0..4 {
        scene.more(&format!("more-{upload}"), 5, |n| tea(5 * upload + n)).await;
    }
    scene.more("tips", 3, tips).await;
    let tree = Selection::Any(vec![measured("cafe luna", Quantity::Records, 3), at("tea house")]);
    let Plan::Audience(query) = &mut scene.world.plan else { panic!("no audience") };
    query.who = tree;
    let mut done = Vec::new();
    for name in [1, 2] {
        let receipt = scene.world.prepare(name, 7, 5_000).await;
        let order = scene.assigned(name, &receipt);
        let transcript = scene.computed(&order).await;
        done.push((order.body.clone(), answered(&scene, &order, &transcript)));
        scene.world.plan = noised();
    }
    (scene, done)
}

/// Sends a signal to the first executor that asks, of those that finish slices or of those that do not.
fn striking(signal_name: &'static str, finishes: bool) -> (Arc<Watch>, Arc<(AtomicUsize, AtomicBool)>) {
    // The process that finishes, known once it runs; and whether one was struck.
    let known = Arc::new((AtomicUsize::new(0), AtomicBool::new(false)));
    let told = Arc::clone(&known);
    let watch = move |pid: u32| {
        let finisher = told.0.load(Ordering::SeqCst) == pid as usize;
        if finisher == finishes && !told.1.swap(true, Ordering::SeqCst) {
            signal(signal_name, pid);
        }
    };
    (Arc::new(watch), known)
}

/// R105, R116, R196: an executor that is killed, or stalls beyond its time, while it reads a portion, also the one that finishes the slice:
/// its portion is read by another one and the answer is the same; nobody is charged again.
#[tokio::test]
async fn a_lost_executors_portion_is_read_by_another() {
    let (mut scene, orders) = counted().await;
    let charged = scene.world.budget("p1").await;
    let mut times = 0;
    for (signal_name, deadline) in [("-KILL", 60), ("-STOP", 4)] {
        for finishes in [false, true] {
            times += 1;
            for (order, expected) in &orders {
                let (watch, known) = striking(signal_name, finishes);
                let agent = Arc::into_inner(executors(&scene, 3, watch)).unwrap();
                scene.slice = Arc::new(agent.with_deadline(Duration::from_secs(deadline)));
                known.0.store(scene.slice.pid() as usize, Ordering::SeqCst);
                let order = attempt(&scene, order, times);
                let transcript = scene.computed(&order).await;
                assert!(known.1.load(Ordering::SeqCst), "nobody was struck");
                assert_eq!(answered(&scene, &order, &transcript), *expected, "{signal_name} {finishes}");
            }
        }
    }
    assert_eq!(scene.world.budget("p1").await, charged);
}

/// R065, R105, R196: when every executor is lost whenever it reads, the slice is refused under a code; the same order, asked for again, is
/// computed and charges nothing more; and asked for once more it is answered from what is kept, without anybody reading.
#[tokio::test]
async fn a_slice_whose_executors_are_all_lost_is_refused_and_goes_on_afterwards() {
    let (mut scene, orders) = counted().await;
    let charged = scene.world.budget("p1").await;
    for (order, expected) in &orders {
        scene.slice = executors(&scene, 2, Arc::new(|pid| signal("-KILL", pid)));
        let order = attempt(&scene, order, 1);
        assert_eq!(tried(&scene, &order).await.unwrap_err().code(), Code::Internal);
        let (watch, asked) = noting();
        scene.slice = executors(&scene, 2, watch);
        let transcript = tried(&scene, &order).await.unwrap();
        assert_eq!(answered(&scene, &order, &transcript), *expected);
        assert_eq!(asked.lock().unwrap().len(), 2);
        asked.lock().unwrap().clear();
        assert_eq!(tried(&scene, &order).await.unwrap().header, transcript.header);
        assert_eq!(asked.lock().unwrap().len(), 0, "what was answered is answered");
    }
    assert_eq!(scene.world.budget("p1").await, charged);
}

/// R110, R120, R121: an executor that answers garbage is as good as lost; one whose program nobody approved gets nothing, and the slice
/// is refused before anybody is charged.
#[tokio::test]
async fn garbage_is_a_loss_and_code_that_is_not_approved_gets_no_portion() {
    let probe = program("tee-probe");
    for approved in [true, false] {
        let code = measure::program(&probe).unwrap();
        let scene = Scene::governed(4, |governance| {
            if approved {
                governance.registry.measurements.insert(code, EnclaveCode::founded(Purpose::Any));
            }
        });
        scene.world.populate(10).await;
        scene.more("more", 9, tea).await;
        let order = scene.order(1).await;
        let (watch, asked) = noting();
        let folder = scene.world.path().join("probe");
        std::fs::create_dir_all(&folder).unwrap();
        let other = agent(&scene.world, &probe, &folder, "acme-executor", EnclaveRole::Slice);
        let agent = Arc::into_inner(executors(&scene, 1, watch)).unwrap().with_beside(vec![other]);
        let agent = Arc::new(agent);
        let done = Arc::clone(scene.world.vault()).assign(Arc::clone(&agent), order.clone()).await;
        if approved {
            assert_eq!(scene.result(&order, &done.unwrap()).handles.len(), 10);
            assert_eq!(asked.lock().unwrap().iter().copied().collect::<Vec<_>>(), [agent.pid()]);
        } else {
            assert_eq!(done.unwrap_err().code(), Code::AttestationFailed);
            assert_eq!(scene.world.budget("p0").await, (10, 0));
        }
    }
}

/// R078, R079, R230: executors read segments of a store of objects as those of a folder; while the store is away the slice is refused under
/// its own code and nothing is remembered of what it began, and afterwards the answer is the same.
#[tokio::test]
async fn executors_read_from_a_store_of_objects() {
    let server = Server::start();
    let (mut scene, orders) = counted().await;
    over(&mut scene.world, &server);
    scene = scene.restarted(|_| ());
    let (watch, asked) = noting();
    scene.slice = executors(&scene, 3, watch);
    for (number, (order, expected)) in orders.iter().enumerate() {
        let order = attempt(&scene, order, 1);
        if number == 0 {
            server.fail(Fault::Status(503), Some(Method::GET), usize::MAX);
            assert_eq!(tried(&scene, &order).await.unwrap_err().code(), Code::SegmentsUnavailable);
            server.mend();
        }
        let transcript = tried(&scene, &order).await.unwrap();
        assert_eq!(answered(&scene, &order, &transcript), *expected);
    }
    assert_eq!(asked.lock().unwrap().len(), 3);
    assert!(server.seen().contains(&Method::GET));
}

/// R076, R079, R126: nothing that an executor finds is in a file or a log of the Vault, and each has keys of its own.
#[tokio::test]
async fn executors_leave_nothing_in_the_clear() {
    let (mut scene, orders) = counted().await;
    let (watch, _) = noting();
    scene.slice = executors(&scene, 3, watch);
    let order = attempt(&scene, &orders[0].0, 1);
    scene.computed(&order).await;
    let mut keys = BTreeSet::new();
    for file in scene.world.files() {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.windows(10).any(|part| part == b"@example.o"), "{}", file.display());
        if file.ends_with("enclave.keys") {
            keys.insert(bytes);
        }
    }
    assert_eq!(keys.len(), 3);
}
