//! A watcher against a gateway of the test, which shows what it is told to: what masters vouch for and does not hold is disputed,
//! once; everything else is told and costs nothing (R139, R140).

use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, body::Bytes};
use serde::Deserialize;
use serde_json::{Value, json};
use symphony_protocol::artifact::Decision;
use symphony_protocol::evidence::CandidateBundle;
use symphony_sdk::recipient::Recipient;
use symphony_sdk::submission::Submitter;
use symphony_sdk::verify::{Finality, candidate as check, either, governance_digest, verify};
use symphony_sdk::watching::{Notes, Observation, Opinion, Passed, Watcher};
use symphony_types::amount::Sym;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{NodeId, TaskId};
use symphony_types::key::{Document as _, Master, PrivateKey};
use symphony_types::time::OrderedMillis;
use symphony_wire::documents::encode;
use symphony_wire::evidence::{complete, content};

use crate::bundle::{actor, bundle, candidate, digest, governance, keys};
use crate::gateway::World;

const BOND: u64 = 20;

/// What the gateway of the test shows, and what it was sent.
#[derive(Default)]
struct Desk {
    /// Tasks that await their end, with the bytes that are served as their evidence.
    shown: Vec<(TaskId, Vec<u8>)>,
    /// The result that each of them is said to have.
    result: String,
    /// Filings as they came in.
    filed: Vec<Value>,
    /// Answers with a refusal instead: of the list, of evidence, of filings.
    list_fault: Option<Code>,
    evidence_fault: Option<Code>,
    filing_fault: Option<Code>,
    /// Entries of a page.
    page: usize,
}

type Shared = Arc<Mutex<Desk>>;

fn refusal(code: Code) -> Response {
    let body = json!({"code": code.as_str(), "title": code.title(), "detail": "d", "status": code.http(),
        "retryable": code.retry()});
    (StatusCode::from_u16(code.http()).unwrap(), Json(body)).into_response()
}

#[derive(Deserialize)]
struct Page {
    after: String,
}

fn list(desk: &Desk, after: &str) -> Response {
    if let Some(code) = desk.list_fault {
        return refusal(code);
    }
    let entry = |(task, _): &(TaskId, Vec<u8>)| {
        json!({"task_id": task.to_string(), "task_class": "query", "state": "awaiting_settlement",
            "until_ms": 130_000, "since_ms": 9, "a_later_field": 1})
    };
    let rest = desk.shown.iter().filter(|(task, _)| task.to_string().as_str() > after);
    let page: Vec<_> = rest.take(desk.page).collect();
    let next =
        page.last().filter(|_| page.len() == desk.page).map_or_else(String::new, |last| last.0.to_string());
    Json(json!({"tasks": page.into_iter().map(entry).collect::<Vec<_>>(), "next": next})).into_response()
}

fn shown(desk: &Desk, task: &str) -> Response {
    if let Some(code) = desk.evidence_fault {
        return refusal(code);
    }
    match desk.shown.iter().find(|(known, _)| known.to_string() == task) {
        Some((_, bytes)) => bytes.clone().into_response(),
        None => refusal(Code::NotFound),
    }
}

fn challenges(desk: &Desk, task: &str) -> Response {
    let of_task = desk.filed.iter().filter(|filing| filing["task"] == task);
    let filings: Vec<_> = of_task
        .map(|filing| {
            json!({"challenger": filing["challenger"], "grounds": filing["grounds"], "exhibits": filing["exhibits"],
                "ruling": "", "code": "", "bond": "held", "bond_base": BOND.to_string(),
                "bond_lock_ref": filing["bond_lock_ref"]})
        })
        .collect();
    let known = json!({"number": 1, "round": 0, "state": "reviewing", "filings": filings, "steps": []});
    let known = if filings.is_empty() { vec![] } else { vec![known] };
    let state = if filings.is_empty() { "awaiting_settlement" } else { "challenged" };
    Json(json!({"task_id": task, "task_state": state, "challenges": known, "result": desk.result,
        "bond_base": BOND.to_string(), "bond_ms": 1_000, "policy_version": 1, "penalties": []}))
    .into_response()
}

fn file(desk: &mut Desk, task: &str, body: &[u8]) -> Response {
    if let Some(code) = desk.filing_fault {
        return refusal(code);
    }
    let mut filing: Value = serde_json::from_slice(body).unwrap();
    filing["task"] = task.into();
    filing["challenger"] = "luckin".into();
    desk.filed.push(filing);
    challenges(desk, task)
}

/// A gateway, its desk, and who watches.
struct Scene {
    world: World,
    desk: Shared,
    submitter: Submitter,
}

impl Scene {
    async fn open(shown_tasks: Vec<(TaskId, Vec<u8>)>, result: String) -> Self {
        let desk = Arc::new(Mutex::new(Desk { shown: shown_tasks, result, page: 2, ..Desk::default() }));
        let routes = Router::new();
        let of = Arc::clone(&desk);
        let routes = routes.route(
            "/v1/tasks",
            get(async move |Query(Page { after }): Query<Page>| list(&of.lock().unwrap(), &after)),
        );
        let of = Arc::clone(&desk);
        let routes = routes.route(
            "/v1/tasks/{id}/candidate",
            get(async move |Path(id): Path<String>| shown(&of.lock().unwrap(), &id)),
        );
        let (of, to) = (Arc::clone(&desk), Arc::clone(&desk));
        let filings = get(async move |Path(id): Path<String>| challenges(&of.lock().unwrap(), &id))
            .post(async move |Path(id): Path<String>, body: Bytes| file(&mut to.lock().unwrap(), &id, &body));
        let world = World::with(routes.route("/v1/tasks/{id}/challenges", filings)).await;
        let submitter = Submitter {
            client: world.client.clone(),
            wallet: world.wallet(),
            recipient: Recipient::create(&world.folder.path().join("recipient.seed")).unwrap(),
            actor: actor("luckin"),
        };
        Self { world, desk, submitter }
    }

    /// One task with this evidence.
    async fn of(bundle: &CandidateBundle, bytes: Vec<u8>) -> Self {
        let result = bundle.evidence.result.aggregate.0.body.digest().to_string();
        Self::open(vec![(bundle.evidence.envelope.body.task, bytes)], result).await
    }

    fn notes(&self) -> Notes {
        Notes::open(&self.world.folder.path().join("cursor.json")).unwrap()
    }

    fn watcher(&self, challenges: bool, notes: Notes) -> Watcher<'_> {
        let challenger = challenges.then_some(&self.submitter);
        Watcher::new(&self.world.client, trusted(), OrderedMillis(0), challenger, notes)
    }

    fn filed(&self) -> Vec<Value> {
        self.desk.lock().unwrap().filed.clone()
    }

    async fn purse(&self) -> Sym {
        self.submitter.wallet.holding(&self.world.client).await.unwrap().balance
    }
}

fn trusted() -> Digest {
    governance_digest(&governance(&keys()))
}

fn vouched(bundle: CandidateBundle) -> Vec<u8> {
    encode(&keys().master.endorsed(bundle))
}

/// What a slice's enclave is said to have reported is gone.
fn tampered() -> CandidateBundle {
    candidate(&keys(), |evidence| evidence.result.slices[1].1.report.clear())
}

async fn pass(watcher: &mut Watcher<'_>) -> (Passed, Vec<Observation>) {
    let mut told = Vec::new();
    let passed = watcher.pass(|seen| told.push(seen.clone())).await.unwrap();
    (passed, told)
}

/// R139, R140: evidence that masters vouch for and that does not support its result is told; and disputed when that is asked for, by the
/// check that fails and with the bundle as its exhibit: once, whatever of the watcher is lost.
#[tokio::test]
async fn a_result_that_does_not_hold_is_disputed_once() {
    let bytes = vouched(tampered());
    let scene = Scene::of(&tampered(), bytes.clone()).await;
    let before = scene.purse().await;
    let (passed, told) = pass(&mut scene.watcher(false, Notes::default())).await;
    assert_eq!(passed, Passed { open: 1, looked: 1, found: 1, missed: 0, filed: 0 });
    assert_eq!((told[0].opinion, &told[0].challenge), (Opinion::Wrong, &None));
    assert!(told[0].grounds.starts_with("slice-attestations: EXE-0003"), "{}", told[0].grounds);
    assert!(scene.filed().is_empty() && scene.purse().await == before, "without being asked it only tells");

    let mut watcher = scene.watcher(true, scene.notes());
    let (passed, again) = pass(&mut watcher).await;
    assert_eq!((passed.found, passed.filed), (1, 1));
    assert_eq!(again[0].challenge.as_deref(), Some("filed"));
    let filed = scene.filed();
    assert_eq!(filed.len(), 1);
    let exhibit = Digest::of_bytes(&bytes).to_string();
    assert_eq!((&filed[0]["grounds"], &filed[0]["exhibits"]), (&json!(told[0].grounds), &json!([exhibit])));
    assert_eq!(filed[0].get("round"), None, "the evidence is disputed");
    let kept = scene.world.folder.path().join(format!("cursor.json.exhibits/{exhibit}.bundle"));
    assert_eq!(std::fs::read(kept).unwrap(), bytes, "who disputes can show it");
    assert_eq!(scene.purse().await, Sym(before.0 - BOND));

    let (passed, told) = pass(&mut watcher).await;
    assert_eq!((passed.looked, passed.filed, told), (0, 0, vec![]), "again there is nothing new");
    for notes in [scene.notes(), Notes::default()] {
        let (passed, _) = pass(&mut scene.watcher(true, notes)).await;
        assert_eq!(passed.found, 1);
    }
    assert_eq!((scene.filed().len(), scene.purse().await), (1, Sym(before.0 - BOND)), "one filing, one bond");
}

/// R139: a result that holds is looked at once and never disputed, beside one that does not; pages follow one another.
#[tokio::test]
async fn a_result_that_holds_is_not_disputed() {
    let good = candidate(&keys(), |_| {});
    let scene = Scene::of(&good, vouched(good.clone())).await;
    let mut watcher = scene.watcher(true, scene.notes());
    let (passed, told) = pass(&mut watcher).await;
    assert_eq!(passed, Passed { open: 1, looked: 1, found: 0, missed: 0, filed: 0 });
    assert_eq!((told[0].opinion, told[0].until_ms), (Opinion::Holds, 130_000));
    let after_a_crash = pass(&mut scene.watcher(true, scene.notes())).await.0;
    assert_eq!((after_a_crash.open, after_a_crash.looked), (1, 0));
    assert!(scene.filed().is_empty());
    // Four more, of which the evidence is another task's: three pages.
    let others = (71..75).map(|byte| (TaskId(digest(byte)), vouched(good.clone())));
    scene.desk.lock().unwrap().shown.extend(others);
    let (passed, told) = pass(&mut watcher).await;
    assert_eq!((passed.open, passed.looked, passed.found, told.len()), (5, 4, 4, 4));
    assert!(told.iter().all(|seen| seen.grounds == "the evidence is of another task"), "{told:?}");
    let late = Watcher::new(&scene.world.client, trusted(), OrderedMillis(10), None, Notes::default());
    let mut late = late;
    assert_eq!(pass(&mut late).await.0.open, 0, "what came before is passed over");
    assert!(scene.filed().is_empty());
}

/// R139: what nobody vouches for is told and not disputed, because whoever brought it can have made it; so is what the masters would
/// not look at. None of it ends the watcher.
#[tokio::test]
async fn evidence_that_proves_nothing_costs_no_bond() {
    let good = candidate(&keys(), |_| {});
    let stranger = PrivateKey::<Master>::from_seed(&[99; 32]);
    let mut flipped = vouched(good.clone());
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    let mut elsewhere = tampered();
    let other = NodeId::new("master-9").unwrap();
    elsewhere.governance.registry.masters = [(other, stranger.public())].into();
    let mut nobodys = good.clone();
    nobodys.evidence.envelope.endorsements.clear();
    assert_eq!(nobodys.digest(), good.digest(), "no digest covers who endorses the order");
    // What the verifier accepted is not there whole: masters that lack a part of it find it in a review.
    let mut lacking = good.clone();
    lacking.evidence.result.slices[1].1.report.clear();
    let mut rejected = good.clone();
    let mut verdict = rejected.verdict.body.clone();
    verdict.decision = Decision::Rejected(Code::ResultRejected);
    rejected.verdict = keys().verifier.sign(verdict);
    let cases = [
        ("decode", b"no bundle at all".to_vec()),
        ("decode", vec![]),
        ("decode", encode(&keys().master.endorsed(bundle(&keys())))),
        ("bundle-signature", flipped),
        ("bundle-signature", encode(&stranger.endorsed(tampered()))),
        ("governance-pinned", encode(&stranger.endorsed(elsewhere))),
        ("envelope-signature", vouched(nobodys)),
        ("slice-attestations", vouched(lacking)),
        ("verdict-accepted", vouched(rejected)),
    ];
    for (name, bytes) in cases {
        let scene = Scene::of(&good, bytes).await;
        let mut watcher = scene.watcher(true, scene.notes());
        let (passed, told) = pass(&mut watcher).await;
        assert_eq!((passed.found, passed.filed), (1, 0), "{name}");
        assert_eq!(told[0].opinion, Opinion::Doubtful, "{name}: {told:?}");
        assert!(told[0].grounds.starts_with(name), "{name}: {}", told[0].grounds);
        assert!(scene.filed().is_empty(), "{name}");
        // It is fetched again, told once, and believed when it is whole.
        let (passed, told) = pass(&mut watcher).await;
        assert_eq!((passed.looked, told.len()), (1, 0), "{name}");
        scene.desk.lock().unwrap().shown[0].1 = vouched(good.clone());
        assert_eq!(pass(&mut watcher).await.1[0].opinion, Opinion::Holds, "{name}");
    }
}

/// R139, R172: a crash between the bond and the filing: the same is filed by the next watcher, with the same bond.
#[tokio::test]
async fn a_dispute_that_was_broken_off_is_the_same_one_again() {
    let scene = Scene::of(&tampered(), vouched(tampered())).await;
    let before = scene.purse().await;
    scene.desk.lock().unwrap().filing_fault = Some(Code::Undecided);
    let (passed, told) = pass(&mut scene.watcher(true, scene.notes())).await;
    assert_eq!((passed.found, passed.filed), (1, 0));
    assert!(told[0].challenge.as_ref().unwrap().starts_with("again: "), "{told:?}");
    assert_eq!(scene.purse().await, Sym(before.0 - BOND), "the bond is locked");
    scene.desk.lock().unwrap().filing_fault = None;
    let (passed, _) = pass(&mut scene.watcher(true, scene.notes())).await;
    assert_eq!((passed.looked, passed.filed, scene.filed().len()), (0, 1, 1));
    assert_eq!(scene.purse().await, Sym(before.0 - BOND), "and locked once");
}

/// R141, R142: a refusal that stays is noted, and not asked for again; a review under way is waited for; another result than the one
/// that was looked at is not disputed.
#[tokio::test]
async fn what_the_masters_do_not_take_is_not_tried_for_ever() {
    let scene = Scene::of(&tampered(), vouched(tampered())).await;
    let mut watcher = scene.watcher(true, scene.notes());
    let before = scene.purse().await;
    scene.desk.lock().unwrap().result = "cd".repeat(32);
    assert!(pass(&mut watcher).await.1[0].challenge.as_ref().unwrap().starts_with("again: another result"));
    scene.desk.lock().unwrap().result = String::new();
    pass(&mut watcher).await;
    assert_eq!(scene.purse().await, before, "nothing is locked where nothing may be disputed");
    scene.desk.lock().unwrap().result = tampered().evidence.result.aggregate.0.body.digest().to_string();
    scene.desk.lock().unwrap().filing_fault = Some(Code::NotChallengeable);
    let told = pass(&mut watcher).await.1;
    assert!(told[0].challenge.as_ref().unwrap().starts_with("again: SET-0009"), "{told:?}");
    scene.desk.lock().unwrap().filing_fault = Some(Code::OwnChallenge);
    let told = pass(&mut watcher).await.1;
    assert!(told[0].challenge.as_ref().unwrap().starts_with("refused: SET-0017"), "{told:?}");
    scene.desk.lock().unwrap().filing_fault = None;
    let (passed, told) = pass(&mut scene.watcher(true, scene.notes())).await;
    assert_eq!((passed.filed, scene.filed().len()), (0, 0));
    assert!(told[0].challenge.as_ref().unwrap().starts_with("refused: "), "{told:?}");
}

/// R196: a gateway that does not answer is tried again, and what it could not show is looked at later.
#[tokio::test]
async fn a_silent_network_is_waited_for() {
    let scene = Scene::of(&tampered(), vouched(tampered())).await;
    let mut watcher = scene.watcher(true, scene.notes());
    scene.desk.lock().unwrap().list_fault = Some(Code::Unavailable);
    assert!(!watcher.pass(|_| {}).await.unwrap_err().lasting());
    scene.desk.lock().unwrap().list_fault = Some(Code::Forbidden);
    assert!(watcher.pass(|_| {}).await.unwrap_err().lasting());
    scene.desk.lock().unwrap().list_fault = None;
    scene.desk.lock().unwrap().evidence_fault = Some(Code::NotChallengeable);
    let (passed, told) = pass(&mut watcher).await;
    assert_eq!((passed.missed, passed.found, told[0].opinion), (1, 0, Opinion::Missed));
    scene.desk.lock().unwrap().evidence_fault = None;
    assert_eq!(pass(&mut watcher).await.0.filed, 1);
}

/// R139, R208: the command line tells a candidate from a settlement by words and by how it ends, and so does the watcher.
#[tokio::test]
async fn the_command_line_says_what_is_not_final() {
    let good = candidate(&keys(), |_| {});
    let scene = Scene::of(&good, vouched(good.clone())).await;
    let folder = scene.world.folder.path().to_owned();
    std::fs::write(folder.join("good"), vouched(good)).unwrap();
    std::fs::write(folder.join("bad"), vouched(tampered())).unwrap();
    std::fs::write(folder.join("settled"), encode(&keys().master.endorsed(bundle(&keys())))).unwrap();
    std::fs::write(folder.join("governance"), encode(&governance(&keys()))).unwrap();
    let url = scene.world.url.clone();
    let run = async |words: &str| -> (i32, String) {
        let words: Vec<_> = words.split(' ').map(str::to_owned).collect();
        let (url, folder) = (url.clone(), folder.clone());
        let output: Output = tokio::task::spawn_blocking(move || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_symphony"));
            command.current_dir(folder).args(["--gateway", &url, "--token", "token", "--actor", "luckin"]);
            command.args(["--wallet", "wallet.seed", "--recipient", "recipient.seed", "--chain", "test"]);
            command.args(words).output().unwrap()
        })
        .await
        .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(said).unwrap())
    };
    let (code, said) = run("verify good").await;
    assert!(
        code == 5 && said.contains("holds so far, NOT FINAL") && !said.contains("verified"),
        "{code}: {said}"
    );
    let (code, said) = run("verify bad").await;
    assert!(code == 3 && said.contains("NOT VERIFIED"), "{code}: {said}");
    let (code, said) = run("verify settled").await;
    assert!(code == 0 && said.trim_end().ends_with("verified"), "{code}: {said}");
    let (code, said) = run("evidence export --candidate --out fetched 4646464646464646464646464646464646464646464646464646464646464646").await;
    assert_eq!(code, 0, "{said}");
    assert_eq!(std::fs::read(folder.join("fetched")).unwrap(), std::fs::read(folder.join("good")).unwrap());

    let (code, said) = run("--trust governance watch --once").await;
    assert!(code == 0 && said.contains("holds so far") && said.contains("0 do not hold"), "{code}: {said}");
    let (code, said) = run("watch --once").await;
    assert!(code == 2 && said.contains("trust"), "whom a watcher believes is said: {code}: {said}");
    let (code, said) = run("--trust governance watch --once --challenge").await;
    assert!(code == 2 && said.contains("--cursor"), "{code}: {said}");
    scene.desk.lock().unwrap().shown[0].1 = vouched(tampered());
    let (code, said) = run("--trust governance watch --for 0").await;
    assert!(code == 0 && !said.contains("WRONG"), "its time is over before it looks: {code}: {said}");
    let (code, said) = run("--trust governance watch --once --challenge --cursor cursor.json").await;
    assert!(
        code == 3 && said.contains("WRONG slice-attestations") && said.contains("challenge filed"),
        "{code}: {said}"
    );
    assert_eq!(scene.filed().len(), 1);
    scene.desk.lock().unwrap().list_fault = Some(Code::Forbidden);
    let (code, said) = run("--trust governance watch --for 600 --cursor cursor.json").await;
    assert!(code == 1 && said.contains("ADM-0003"), "a refusal that stays ends it: {code}: {said}");
}

/// R134, R139: the bundle of a candidate has every check of the result, is no bundle of a settlement, and none is one of it; another
/// time of its end is another document.
#[test]
fn a_candidate_is_not_a_settlement() {
    let good = candidate(&keys(), |_| {});
    let bytes = vouched(good.clone());
    let report = check(&bytes, Some(trusted()));
    assert!(report.passed() && report.vouched() && report.disputable().is_none(), "{report:?}");
    assert_eq!(report.finality, Finality::Candidate { final_ms: 130_000 });
    assert_eq!(either(&bytes, Some(trusted())), report);
    assert!(!check(&bytes, None).vouched(), "without a governance that was expected nobody is believed");
    let settled = encode(&keys().master.endorsed(bundle(&keys())));
    let as_settled = verify(&bytes, Some(trusted()));
    assert_eq!(as_settled.failed().map(|check| check.name).collect::<Vec<_>>(), ["decode"]);
    assert!(as_settled.checks[0].fault.as_ref().unwrap().contains("candidate"), "{as_settled:?}");
    assert_eq!(check(&settled, None).failed().map(|check| check.name).collect::<Vec<_>>(), ["decode"]);
    assert_eq!(either(&settled, None).finality, Finality::Final);
    let names = |report: &symphony_sdk::verify::Report| -> Vec<&str> {
        report.checks.iter().map(|check| check.name).collect()
    };
    let final_names = names(&verify(&settled, Some(trusted())));
    assert!(
        names(&report).iter().all(|name| final_names.contains(name)),
        "it proves nothing that the other does not"
    );
    let later = CandidateBundle { final_at: OrderedMillis(130_001), ..good.clone() };
    assert_ne!(later.digest(), good.digest());
    let mut moved = keys().master.endorsed(good.clone());
    moved.body = later;
    let failed: Vec<_> = check(&encode(&moved), None).failed().map(|check| check.name).collect();
    assert_eq!(failed, ["bundle-signature"]);
    insta::assert_snapshot!(good.digest().to_hex());
}

/// R195: two masters show one candidate alike, whoever endorses it and whatever of the evidence one of them lacks; the bytes count that
/// its verdict is about.
#[test]
fn a_candidate_is_compared_as_a_settlement_is() {
    let good = candidate(&keys(), |_| {});
    let other = PrivateKey::<Master>::from_seed(&[98; 32]);
    let (whole, of_another) = (vouched(good.clone()), encode(&other.endorsed(good.clone())));
    let mut lacking = good.clone();
    lacking.evidence.result.slices[0].1.report.clear();
    let lacking = vouched(lacking);
    assert_eq!(content(&whole), content(&of_another));
    assert_eq!(content(&whole), content(&lacking));
    assert!(complete(&whole) && !complete(&lacking));
    let later = vouched(CandidateBundle { final_at: OrderedMillis(1), ..good });
    let settled = encode(&keys().master.endorsed(bundle(&keys())));
    assert!(content(&later).is_some() && content(&later) != content(&whole));
    assert!(content(&settled).is_some() && content(&settled) != content(&whole) && complete(&settled));
}

/// R134: flipping any byte of a candidate fails with the name of a check.
#[test]
fn no_byte_of_a_candidate_can_be_changed_unseen() {
    let bytes = vouched(candidate(&keys(), |_| {}));
    for index in (0..bytes.len()).step_by(11).chain(bytes.len() - 97..bytes.len()) {
        let mut flipped = bytes.clone();
        flipped[index] ^= 1 << (index % 8);
        let report = either(&flipped, Some(trusted()));
        assert!(!report.passed() && !report.vouched(), "byte {index}");
    }
}
