//! Trainings through real processes: a model out of three Vaults, private, settled and provable; what is refused; and
//! whatever dies between two rounds (R060, R097-R104, R237, D20).

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use symphony_compute::train::step::{Cohort, Learner};
use symphony_protocol::artifact::{Attestation, Outcome};
use symphony_protocol::evidence::EndorsedBundle;
use symphony_sdk::campaign::Submitter;
use symphony_sdk::client::Upload;
use symphony_sdk::shape::Task;
use symphony_sdk::submission::{Step, SubmissionError};
use symphony_sdk::training::{Trained, TrainingSpec};
use symphony_sdk::verify::verify;
use symphony_tee::report::SignedBoot;
use symphony_types::id::{RequestId, TaskId};
use symphony_wire::documents::decode;

use crate::network::{Network, TURN, VAULTS, eventually, now_ms};

/// People of each Vault.
const PEOPLE: u32 = 160;
pub const DAY: u64 = 86_400_000;
/// Short windows, and time for a node to come back.
pub const POLICY: &str =
    "training=600000000,subject_cap=600000000,prepare=20000,execute=30000,challenge=800,epoch=1000";

/// A moment that all histories end at: the same in one run.
pub fn evaluated() -> u64 {
    now_ms() / DAY * DAY - 40 * DAY
}

/// Some people buy coffee often and will again, others do not; everybody buys tea at times.
pub async fn populate(network: &Network, scope: &str) {
    let mut random = StdRng::seed_from_u64(7);
    let evaluated = evaluated();
    for (number, vault) in VAULTS.iter().enumerate() {
        let (mut subjects, mut consents, mut records) = (Vec::new(), Vec::new(), Vec::new());
        for person in 0..PEOPLE {
            let subject = format!("shopper-{number}-{person:04}");
            subjects.push(json!({"subject": subject, "contact": format!("+65 7{number}{person:06}")}));
            consents.push(json!({"subject": subject, "scope": scope, "state": "granted"}));
            let fond = random.random_bool(0.5);
            let mut buy = |category: &str, at: u64| {
                records.push(json!({
                    "request_id": format!("r-{subject}-{}", records.len()), "subject": subject,
                    "commerce.category": category, "commerce.purchase_date": at,
                    "commerce.amount": "4.20", "commerce.merchant": "Corner",
                }));
            };
            for week in 1..=12 {
                if random.random_bool(if fond { 0.7 } else { 0.1 }) {
                    buy("coffee", evaluated - week * 7 * DAY);
                }
                if random.random_bool(0.3) {
                    buy("tea", evaluated - week * 7 * DAY + DAY);
                }
            }
            if random.random_bool(if fond { 0.8 } else { 0.15 }) {
                buy("coffee", evaluated + 5 * DAY);
            }
        }
        for (upload, kind, lines) in [
            (Upload::Subjects, "subjects", subjects),
            (Upload::Consents, "consents", consents),
            (Upload::Records, "records", records),
        ] {
            let report = network.put(vault, upload, &format!("{scope}-{kind}"), &lines).await;
            assert_eq!(report.refused_total, 0, "{:?}", report.refused);
        }
    }
}

/// Who will buy coffee within four weeks?
pub fn spec(rounds: u32) -> Value {
    let coffee = json!([{"rule": "commerce.category_purchase", "texts": ["coffee"]}]);
    let scale = json!({"logarithm": true, "centre": 1.0, "spread": 1.0, "bound": 4.0});
    json!({
        "usage_scope": "training", "vaults": VAULTS, "quorum": 2,
        "model": {"kind": "logistic"}, "time": "commerce.purchase_date",
        "features": [
            {"family": "frequency", "filter": coffee, "days": 90, "scale": scale},
            {"family": "recency", "filter": coffee, "days": 90,
             "scale": {"logarithm": true, "centre": 3.0, "spread": 1.0, "bound": 4.0}},
            {"family": "frequency", "days": 90, "scale": scale},
            {"family": "share", "attribute": "commerce.amount", "filter": coffee, "days": 90,
             "scale": {"logarithm": false, "centre": 0.5, "spread": 0.5, "bound": 2.0}},
        ],
        "label": {"condition": coffee, "days": 28},
        "settings": {"clip": 2.0, "learning_rate": 2.0, "momentum": 0.5, "penalty": 0.0},
        "privacy": {"noise": 2.0, "evaluation_noise": 0.8, "delta": 1e-5},
        "rounds": rounds, "evaluate_every": rounds, "held_out": 0.25, "accept_from": 0.6,
        "evaluate_at_ms": evaluated(),
    })
}

pub fn read(spec: Value) -> TrainingSpec {
    serde_json::from_value(spec).unwrap()
}

pub fn name(text: &str) -> RequestId {
    RequestId::new(text).unwrap()
}

/// The code that a submission is refused with, as a quote or as a task.
async fn refusal(network: &Network, spec: Value, request: &str) -> String {
    match network.submitter("luckin").train(&read(spec), &name(request), |_| ()).await {
        Ok(Trained { task, model: None }) => task.code,
        Err(SubmissionError::Client(symphony_sdk::client::ClientError::Refused(problem))) => problem.code,
        other => panic!("not refused: {other:?}"),
    }
}

/// What one person has reserved and lost in the scope of trainings.
pub async fn balance(network: &Network) -> (u64, u64) {
    let operator = network.client("operator-vault-a");
    let entries = operator.budget("vault-a", "shopper-0-0000").await.unwrap();
    let entry = entries.iter().find(|entry| entry.usage_scope == "training").unwrap();
    (entry.reserved_micro_epsilon, entry.committed_micro_epsilon)
}

/// Follows a training until so many rounds are done.
async fn until_round(network: &Network, request: &str, rounds: u32) -> Task {
    let client = network.client("luckin");
    let submitter = network.submitter("luckin");
    let id = symphony_protocol::artifact::task_id(&submitter.actor, &name(request));
    eventually("the rounds are done", async || {
        let task = client.task(id).await.ok()?;
        let done = task.training.as_ref()?.done;
        (done >= rounds).then_some(task)
    })
    .await
}

/// Evidence that holds for somebody without a network.
pub fn verified(bytes: &[u8]) -> EndorsedBundle {
    let report = verify(bytes, None);
    let faults: Vec<_> = report.checks.iter().filter(|check| check.fault.is_some()).collect();
    assert!(faults.is_empty(), "{faults:?}");
    decode(bytes).unwrap()
}

/// The evidence of a training after all checks, and the learner that it ended with: with the transcripts the submitter
/// repeats every step, to the digests that were ordered.
pub async fn proven(submitter: &Submitter, task: TaskId) -> (EndorsedBundle, Learner) {
    let bundle = verified(&submitter.client.evidence(task).await.unwrap());
    let plan = bundle.body.evidence.envelope.body.plan.training().unwrap();
    let mut learner = Learner::initial(plan.training.shape(), task).unwrap();
    for (number, round) in (1..).zip(&bundle.body.evidence.rounds) {
        let sealed = submitter.client.step(task, number).await.unwrap();
        let step = submitter.recipient.open_step(task, number, &sealed.sealed).unwrap();
        let subjects = step.subjects * u64::from(1_000 - plan.training.held_out) / 1_000;
        let cohort = Cohort { subjects, rate: plan.training.privacy.sampling };
        learner.step(&plan.training.round_settings(), &step.sums, cohort).unwrap();
        let Outcome::Step { state, .. } = round.aggregate.0.body.outcome else { panic!("no step") };
        assert_eq!(learner.digest(), state);
    }
    (bundle, learner)
}

/// R097-R101, R104, R154, D20: a model that is better than chance, the same that the masters ordered; every person lost what
/// the accountant says and nothing is reserved; anybody can check all rounds without a network.
#[tokio::test(flavor = "multi_thread")]
async fn a_training_is_settled_and_provable() {
    let _turn = TURN.lock().await;
    let network = Network::start(&["--policy", POLICY]);
    network.ready().await;
    populate(&network, "training").await;
    let mut quoted = None;
    let submitter = network.submitter("luckin");
    let step = |step| {
        if let Step::Quoted(quote) = step {
            quoted = Some(quote);
        }
    };
    let Trained { task, model } = submitter.train(&read(spec(8)), &name("t1"), step).await.unwrap();
    assert_eq!((task.state.as_str(), task.code.as_str()), ("completed", ""), "{task:?}");
    let (model, progress) = (model.unwrap(), task.training.clone().unwrap());
    assert_eq!((progress.rounds, progress.done, model.steps), (8, 9, 8));
    assert_eq!(model.parameters.len(), 5 * 8);
    assert!(model.evaluation.quality > 600_000, "{:?}", model.evaluation);
    assert_eq!(progress.curve.last().unwrap().quality_micro, model.evaluation.quality);
    assert!(quoted.unwrap().rounds_possible >= 8);
    assert!(progress.spent_micro_epsilon < progress.reserved_micro_epsilon);

    // D20: what the rounds cost is lost, what was spare is given back, and nothing is held.
    let spent = progress.spent_micro_epsilon;
    eventually("the rest is given back", async || (balance(&network).await == (0, spent)).then_some(()))
        .await;

    let (bundle, learner) = proven(&submitter, task.task_id).await;
    assert_eq!(bundle.body.evidence.rounds.len(), 8);
    let Outcome::Model { model: digest, evaluation } = bundle.body.evidence.result.aggregate.0.body.outcome
    else {
        panic!("no model")
    };
    assert_eq!((model.digest(), model.evaluation), (digest, evaluation));
    assert_eq!(learner.model().digest(), digest);
    // R104: twenty, a tenth a slice and a tenth a round, and two an epsilon and Vault.
    let fee = &bundle.body.context.fee;
    assert_eq!((fee.vaults.0, fee.aggregation.0), (27 * 10_000_000, 9 * 10_000_000));
    assert_eq!(task.charged.unwrap().total.0 + task.refunded.0, task.locked.0);
}

/// R097-R100, R112: four rounds of five local steps are settled, proved and repeated like twenty rounds of one, and cost a person
/// less. That they come as far is shown without noise, in `compute::train`: a few hundred people here are judged by noised
/// counts, which differ by more than the models do.
#[tokio::test(flavor = "multi_thread")]
async fn local_steps_cost_a_fraction_of_the_rounds() {
    let _turn = TURN.lock().await;
    let network = Network::start(&["--policy", POLICY]);
    network.ready().await;
    populate(&network, "training").await;
    let submitter = network.submitter("luckin");
    let trained = async |request: &str, rounds: u32, local: Value, rate: f64| {
        let mut spec = spec(rounds);
        spec["model"]["local"] = local;
        spec["settings"] = json!({"clip": 2.0, "learning_rate": rate});
        spec["privacy"] = json!({"noise": 0.5, "evaluation_noise": 0.5, "delta": 1e-5});
        spec["accept_from"] = json!(0.5);
        let Trained { task, model } = submitter.train(&read(spec), &name(request), |_| ()).await.unwrap();
        assert_eq!((task.state.as_str(), task.code.as_str()), ("completed", ""), "{task:?}");
        let (bundle, learner) = proven(&submitter, task.task_id).await;
        let model = model.unwrap();
        assert_eq!((model.steps, bundle.body.evidence.rounds.len()), (rounds, rounds as usize));
        assert_eq!(learner.model().digest(), model.digest());
        let progress = task.training.unwrap();
        // Better than chance by far more than the noise of its evaluation.
        assert!(model.evaluation.quality > 600_000, "{request}: {:?}", model.evaluation);
        progress.spent_micro_epsilon
    };
    // The bound on the length of a step with features of norm 4.
    let local = trained("local", 4, json!({"steps": 5, "rate": 0.25, "norm": 4.0}), 1.0).await;
    let many = trained("many", 20, Value::Null, 0.25).await;
    assert!(local < many / 2, "{local} {many}");
}

/// R060, R098: what a training may not be, and that nobody who did not consent to trainings is in one.
#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_trained_is_refused() {
    let _turn = TURN.lock().await;
    let network = Network::start(&["--policy", "challenge=800,epoch=1000"]);
    network.ready().await;
    populate(&network, "marketing").await;
    let affordable = || {
        let mut spec = spec(4);
        spec["privacy"] = json!({"noise": 4.0, "evaluation_noise": 2.0, "delta": 1e-5});
        spec
    };
    let with = |change: &dyn Fn(&mut Value)| {
        let mut spec = affordable();
        change(&mut spec);
        spec
    };
    let cases: [(&str, Value); 7] = [
        ("ADM-0028", with(&|spec| spec["usage_scope"] = json!("marketing"))),
        ("ADM-0029", with(&|spec| spec["privacy"]["noise"] = json!(0.5))),
        ("ADM-0027", with(&|spec| spec["privacy"]["noise"] = json!(0.1))),
        ("ADM-0027", with(&|spec| spec["rounds"] = json!(100_000))),
        ("ADM-0027", with(&|spec| spec["model"]["local"] = json!({"steps": 5, "rate": 0.26, "norm": 4.0}))),
        (
            "ADM-0010",
            with(&|spec| {
                spec["features"][0]["filter"] = json!([{"rule": "commerce.card_match", "text": "1"}])
            }),
        ),
        (
            "ADM-0010",
            with(&|spec| {
                spec["features"][3]["family"] = json!("distinct");
                spec["features"][3]["attribute"] = json!("identity.contact_handle");
            }),
        ),
    ];
    for (number, (expected, spec)) in cases.into_iter().enumerate() {
        assert_eq!(refusal(&network, spec, &format!("no-{number}")).await, expected);
    }
    // Everybody consented to marketing, nobody to trainings: there is nobody to train on.
    assert_eq!(refusal(&network, affordable(), "nobody").await, "EXE-0002");
    assert_eq!(balance(&network).await, (0, 0));
}

/// R102, R237: whatever dies in the middle of a training, it goes on at the round that is next and ends with a model whose
/// rounds all verify, each drawn once.
#[tokio::test(flavor = "multi_thread")]
async fn a_training_survives_whatever_dies() {
    let _turn = TURN.lock().await;
    let mut network = Network::start(&["--masters", "3", "--policy", POLICY]);
    network.ready().await;
    populate(&network, "training").await;
    for victim in ["master-1", "master-1 enclave", "enterprise-vault-a", "enterprise-vault-a enclave", "all"]
    {
        let request = victim.replace(' ', "-");
        let submitter = network.submitter("luckin");
        let rounds = 24;
        submitter.submit(&read(spec(rounds)), &name(&request), |_| ()).await.unwrap();
        let before = until_round(&network, &request, 3).await;
        match victim {
            "all" => {
                let folder = network.crash();
                let dir = network.dir.clone();
                network = Network::start_in(&dir, &[]);
                std::mem::forget(folder);
                network.ready().await;
            }
            node => match node.strip_suffix(" enclave") {
                Some(node) => network.kill(network.enclave_pid(node).unwrap()),
                None => network.kill(network.pid(node)),
            },
        }
        let client = network.client("luckin");
        let ended = eventually_long("the training ends", async || {
            let task = client.task(before.task_id).await.ok()?;
            matches!(task.state.as_str(), "completed" | "rejected" | "timed_out").then_some(task)
        })
        .await;
        assert_eq!((ended.state.as_str(), ended.code.as_str()), ("completed", ""), "{victim}: {ended:?}");
        assert_eq!(ended.training.as_ref().unwrap().done, rounds + 1, "{victim}");
        let evidence =
            eventually("the evidence is there", async || client.evidence(before.task_id).await.ok()).await;
        verified(&evidence);
    }
}

/// R113, R102: where policy asks for two aggregators, the same training runs on shares through the enclaves of two masters,
/// which the evidence shows for every round; and it goes on when one of the three masters is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_training_on_shares_is_settled_and_survives_a_master() {
    let _turn = TURN.lock().await;
    let network = Network::start(&["--masters", "3", "--policy", &format!("{POLICY},environment=mpc")]);
    network.ready().await;
    populate(&network, "training").await;
    let submitter = network.submitter("luckin");
    let Trained { task, model } = submitter.train(&read(spec(8)), &name("shared"), |_| ()).await.unwrap();
    assert_eq!((task.state.as_str(), task.code.as_str()), ("completed", ""), "{task:?}");
    let (model, progress) = (model.unwrap(), task.training.unwrap());
    assert_eq!((progress.environment.as_str(), progress.done, model.steps), ("mpc", 9, 8));
    assert!(model.evaluation.quality > 600_000, "{:?}", model.evaluation);
    let (bundle, learner) = proven(&submitter, task.task_id).await;
    let evidence = &bundle.body.evidence;
    assert_eq!(learner.model().digest(), model.digest());
    for round in evidence.rounds.iter().chain([&evidence.result]) {
        let node = |attestation: &Attestation| decode::<SignedBoot>(&attestation.boot).unwrap().body.node;
        let (first, second) = (node(&round.aggregate.1), node(round.helper.as_ref().unwrap()));
        assert_ne!(first, second);
    }

    submitter.submit(&read(spec(24)), &name("goes-on"), |_| ()).await.unwrap();
    let before = until_round(&network, "goes-on", 3).await;
    network.pause(network.pid("master-2"), true);
    let client = network.client("luckin");
    let ended = eventually_long("the training ends", async || {
        let task = client.task(before.task_id).await.ok()?;
        matches!(task.state.as_str(), "completed" | "rejected" | "timed_out").then_some(task)
    })
    .await;
    network.pause(network.pid("master-2"), false);
    assert_eq!((ended.state.as_str(), ended.code.as_str()), ("completed", ""), "{ended:?}");
    verified(&client.evidence(before.task_id).await.unwrap());
}

/// R099, R107: a Vault that is gone is left out while the quorum holds, and the rounds say so.
#[tokio::test(flavor = "multi_thread")]
async fn a_vault_that_is_gone_is_left_out() {
    let _turn = TURN.lock().await;
    let network = Network::start(&["--policy", POLICY]);
    network.ready().await;
    populate(&network, "training").await;
    let submitter = network.submitter("luckin");
    submitter.submit(&read(spec(20)), &name("left-out"), |_| ()).await.unwrap();
    let task = until_round(&network, "left-out", 3).await;
    network.pause(network.pid("enterprise-vault-c"), true);
    let client = network.client("luckin");
    let ended = eventually_long("the training ends", async || {
        let task = client.task(task.task_id).await.ok()?;
        (task.state == "completed").then_some(task)
    })
    .await;
    network.pause(network.pid("enterprise-vault-c"), false);
    assert_eq!(ended.training.unwrap().done, 21);
    let bundle: EndorsedBundle = decode(&client.evidence(task.task_id).await.unwrap()).unwrap();
    let slices: Vec<_> = bundle.body.evidence.rounds.iter().map(|round| round.slices.len()).collect();
    assert!(slices.contains(&3) && slices.contains(&2), "{slices:?}");
}

/// Polls until `probe` answers; three minutes at most, for what waits for deadlines of nodes that hang.
async fn eventually_long<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    for _ in 0..1_800 {
        if let Some(found) = probe().await {
            return found;
        }
        ticks.tick().await;
    }
    panic!("in three minutes it did not happen that {what}")
}
