//! Models other than logistic regression through real processes: clusters, a small network, affinities, over people of
//! whom it is known what each model should find; and a model that is withheld (R097-R100).

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use symphony_compute::train::dataset::{Features, Scale};
use symphony_compute::train::evaluate::MeanScore;
use symphony_compute::train::model::Model;
use symphony_compute::train::step::Learner;
use symphony_protocol::artifact::training::{Evaluation, Shape, TrainedModel, TrainingPlan};
use symphony_protocol::artifact::{Outcome, task_id};
use symphony_sdk::campaign::Submitter;
use symphony_sdk::client::Upload;
use symphony_sdk::model::predict::{Person, Prediction, Predictor};
use symphony_sdk::training::Trained;

use crate::network::{Network, TURN, VAULTS};
use crate::trainings::{DAY, POLICY, evaluated, name, proven, read};

/// People of each Vault: a multiple of the kinds times the levels.
const PEOPLE: usize = 198;
/// Kinds of people, each with as many items that it likes.
const KINDS: usize = 3;
const ITEMS_PER_KIND: usize = 6;
/// What an item costs a person of each level, in cents.
const LEVELS: [u32; 3] = [400, 800, 1_200];
/// Recommendations a person.
const BEST: usize = 4;

/// Somebody who likes the items of one kind, and gives a present afterwards or not.
struct Shopper {
    kind: usize,
    /// Items by number, with what was paid for them.
    bought: BTreeMap<usize, u32>,
    gives: bool,
}

fn item(number: usize) -> String {
    format!("item-{number:02}")
}

/// All people, Vault by Vault. Kinds and levels are even; what somebody likes is bought three times in four, anything else
/// one time in sixteen; who spends on the middle level gives presents, others hardly ever.
fn shoppers() -> Vec<Shopper> {
    let mut random = StdRng::seed_from_u64(11);
    let mut shopper = |number: usize| {
        let (kind, level) = (number % KINDS, number / KINDS % LEVELS.len());
        let mut bought = BTreeMap::new();
        for item in 0..KINDS * ITEMS_PER_KIND {
            let likes = item / ITEMS_PER_KIND == kind;
            if random.random_bool(if likes { 0.75 } else { 0.0625 }) {
                bought.insert(item, LEVELS[level] - 100 + random.random_range(0..200));
            }
        }
        let gives = random.random_bool(if level == 1 { 0.85 } else { 0.1 });
        Shopper { kind, bought, gives }
    };
    (0..PEOPLE * VAULTS.len()).map(&mut shopper).collect()
}

async fn populate(network: &Network, shoppers: &[Shopper]) {
    let evaluated = evaluated();
    for (vault, people) in VAULTS.iter().zip(shoppers.chunks(PEOPLE)) {
        let (mut subjects, mut consents, mut records) = (Vec::new(), Vec::new(), Vec::new());
        for (number, shopper) in people.iter().enumerate() {
            let subject = format!("{vault}-{number:03}");
            subjects.push(json!({"subject": subject, "contact": format!("{subject}@example.org")}));
            consents.push(json!({"subject": subject, "scope": "training", "state": "granted"}));
            let mut record = |category: String, cents: u32, at: u64| {
                records.push(json!({
                    "request_id": format!("r-{subject}-{category}"), "subject": subject,
                    "commerce.category": category, "commerce.purchase_date": at,
                    "commerce.amount": format!("{}.{:02}", cents / 100, cents % 100),
                }));
            };
            for (item_number, cents) in &shopper.bought {
                record(item(*item_number), *cents, evaluated - (1 + *item_number as u64) * DAY);
            }
            if shopper.gives {
                record("present".to_owned(), 2_000, evaluated + 5 * DAY);
            }
        }
        for (upload, kind, lines) in [
            (Upload::Subjects, "subjects", subjects),
            (Upload::Consents, "consents", consents),
            (Upload::Records, "records", records),
        ] {
            let report = network.put(vault, upload, &format!("models-{kind}"), &lines).await;
            assert_eq!(report.refused_total, 0, "{:?}", report.refused);
        }
    }
}

/// What all trainings here have in common.
fn spec(model: Value, rounds: u32) -> Value {
    json!({
        "usage_scope": "training", "vaults": VAULTS, "quorum": 3, "model": model,
        "time": "commerce.purchase_date",
        "privacy": {"noise": 1.0, "evaluation_noise": 0.8, "delta": 1e-5},
        "rounds": rounds, "evaluate_every": rounds, "held_out": 0.25, "evaluate_at_ms": evaluated(),
    })
}

/// The three shares of what was spent that went into each kind of items.
fn clusters() -> Value {
    let share = |kind: usize| {
        let items: Vec<String> = (kind * ITEMS_PER_KIND..(kind + 1) * ITEMS_PER_KIND).map(item).collect();
        json!({
            "family": "share", "attribute": "commerce.amount", "days": 60,
            "filter": [{"rule": "commerce.category_purchase", "texts": items}],
            "scale": {"centre": 0.33, "spread": 0.33, "bound": 3.0},
        })
    };
    let mut spec = spec(json!({"kind": "clusters", "clusters": KINDS}), 8);
    spec["features"] = (0..KINDS).map(share).collect();
    spec["settings"] = json!({"clip": 4.0});
    spec["accept_from"] = json!(0.6);
    spec
}

/// Who will give a present, out of how much is spent on an item and how many are bought.
fn presents(model: Value, rounds: u32) -> Value {
    let mut spec = spec(model, rounds);
    spec["features"] = json!([
        {"family": "mean", "attribute": "commerce.amount", "days": 60,
         "scale": {"centre": 8.0, "spread": 4.0, "bound": 3.0}},
        {"family": "frequency", "days": 60, "scale": {"centre": 5.0, "spread": 3.0, "bound": 3.0}},
    ]);
    spec["label"] = json!({
        "condition": [{"rule": "commerce.category_purchase", "texts": ["present"]}], "days": 28,
    });
    spec["settings"] = json!({"clip": 2.0, "learning_rate": 2.0, "momentum": 0.5});
    spec["accept_from"] = json!(0.7);
    spec
}

/// What else somebody would like.
fn affinity() -> Value {
    let items: Vec<String> = (0..KINDS * ITEMS_PER_KIND).map(item).collect();
    let model = json!({
        "kind": "affinity", "rank": 3, "attribute": "commerce.category", "items": items, "days": 60, "best": BEST,
    });
    let mut spec = spec(model, 15);
    spec["settings"] = json!({"clip": 1.0, "learning_rate": 10.0, "momentum": 0.5, "unlisted": 0.1});
    spec["accept_from"] = json!(0.5);
    spec
}

/// A training that ended settled and proved: its plan, its outcome as masters ordered it, what was opened.
struct Ended {
    plan: TrainingPlan,
    outcome: Outcome,
    opened: TrainedModel,
    learner: Learner,
}

async fn ended(submitter: &Submitter, request: &str, spec: Value) -> Ended {
    let Trained { task, model } = submitter.train(&read(spec), &name(request), |_| ()).await.unwrap();
    assert_eq!(task.state, "completed", "{request}: {task:?}");
    let (bundle, learner) = proven(submitter, task.task_id).await;
    let evidence = &bundle.body.evidence;
    let plan = evidence.envelope.body.plan.training().unwrap().clone();
    assert_eq!(evidence.rounds.len(), plan.training.rounds as usize, "{request}");
    assert!(evidence.rounds.iter().all(|round| round.slices.len() == VAULTS.len()), "{request}");
    let outcome = evidence.result.aggregate.0.body.outcome;
    let withheld = matches!(outcome, Outcome::Withheld { .. });
    assert_eq!(task.code, if withheld { "EXE-0010" } else { "" }, "{request}: {task:?}");
    Ended { plan, outcome, opened: model.unwrap(), learner }
}

impl Ended {
    /// The released model and its figures: the one that the transcripts lead to and the masters ordered.
    fn released(&self) -> (Model, Evaluation) {
        let Outcome::Model { model, evaluation } = self.outcome else {
            panic!("nothing is released: {:?}", self.outcome)
        };
        assert_eq!((self.opened.digest(), self.opened.evaluation), (model, evaluation));
        assert_eq!(self.learner.model().digest(), model);
        assert!(evaluation.quality >= self.plan.training.accept_from, "{evaluation:?}");
        (self.learner.model().clone(), evaluation)
    }

    fn predict(&self, people: &[Person]) -> Vec<Prediction> {
        Predictor::new(&self.plan.training, &self.opened.parameters).predict(people, false).unwrap()
    }
}

/// R097-R100: over three masters, each model finds what there is to find, beyond what a trivial one does; it is the one
/// that the masters ordered and the transcripts lead to; and what no weighing of features can tell is withheld.
#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_model_is_trained_and_proved() {
    let _turn = TURN.lock().await;
    let network = Network::start(&["--masters", "3", "--policy", POLICY]);
    network.ready().await;
    let shoppers = shoppers();
    populate(&network, &shoppers).await;
    let submitter = network.submitter("luckin");

    let request = beginning_at_all_kinds(&submitter);
    kinds_are_told_apart(&ended(&submitter, &request, clusters()).await, &shoppers);
    let hidden = ended(&submitter, "perceptron", presents(json!({"kind": "perceptron", "hidden": 8}), 30));
    the_middle_is_found(&hidden.await);
    likes_are_found(&ended(&submitter, "affinity", affinity()).await, &shoppers);

    let linear = ended(&submitter, "linear", presents(json!({"kind": "logistic"}), 6)).await;
    let Outcome::Withheld { evaluation } = linear.outcome else { panic!("{:?}", linear.outcome) };
    assert!((350_000..650_000).contains(&evaluation.quality), "{evaluation:?}");
    assert!(linear.opened.parameters.is_empty());
    assert_eq!(linear.opened.evaluation, evaluation);
}

/// The request of a task that begins with another centre nearest to each kind: k-means ends where its beginning leads, which
/// follows from the task's id.
fn beginning_at_all_kinds(submitter: &Submitter) -> String {
    let shape = Shape::Clusters { features: KINDS as u32, clusters: KINDS as u32 };
    let mut requests = (0..100).map(|number| format!("clusters-{number}"));
    let all_kinds = |request: &String| {
        let task = task_id(&submitter.actor, &name(request));
        let initial = Learner::initial(shape, task).unwrap();
        let nearest = (0..KINDS).map(|kind| {
            let shares: [f32; KINDS] = std::array::from_fn(|at| if at == kind { 1.5 } else { -0.75 });
            initial.model().cluster(&shares).unwrap().0
        });
        nearest.collect::<BTreeSet<_>>().len() == KINDS
    };
    requests.find(all_kinds).unwrap()
}

/// Each kind has a cluster of its own, and everybody is far nearer to the own centre than at the beginning.
fn kinds_are_told_apart(ended: &Ended, shoppers: &[Shopper]) {
    let (model, evaluation) = ended.released();
    let shares = |shopper: &Shopper| -> [f64; KINDS] {
        let spent = |kind| {
            let of_kind = shopper.bought.iter().filter(|(item, _)| **item / ITEMS_PER_KIND == kind);
            of_kind.map(|(_, cents)| f64::from(*cents)).sum::<f64>()
        };
        let whole = (0..KINDS).map(spent).sum::<f64>().max(1.0);
        std::array::from_fn(|kind| spent(kind) / whole)
    };
    let rows: Vec<f64> = shoppers.iter().flat_map(shares).collect();
    let scales: Vec<Scale> =
        ended.plan.training.features.iter().map(|feature| (&feature.scale).into()).collect();
    let rows = Features::new(&scales, &rows, None).unwrap();
    let silhouette = |model: &Model| MeanScore::silhouette(model, &rows).unwrap().mean().unwrap();
    let initial = Learner::initial(model.shape(), ended.opened.task).unwrap();
    let (before, after) = (silhouette(initial.model()), silhouette(&model));
    assert!(after > before + 0.2, "{before} {after}");
    assert!((after - f64::from(evaluation.quality) / 1e6).abs() < 0.1, "{after} {evaluation:?}");

    let people: Vec<Person> = shoppers.iter().map(|shopper| Person::Row(shares(shopper).to_vec())).collect();
    let mut of_kind = [[0_u32; KINDS]; KINDS];
    for (shopper, prediction) in shoppers.iter().zip(ended.predict(&people)) {
        let Prediction::Cluster { cluster, .. } = prediction else { panic!("{prediction:?}") };
        of_kind[shopper.kind][cluster] += 1;
    }
    let most: BTreeSet<usize> =
        of_kind.iter().filter_map(|row| (0..KINDS).max_by_key(|at| row[*at])).collect();
    let right: u32 = of_kind.iter().filter_map(|row| row.iter().max()).sum();
    assert!(most.len() == KINDS && right as usize > shoppers.len() * 9 / 10, "{of_kind:?}");
}

/// Who spends on the middle level is likelier to give than who spends less and who spends more.
fn the_middle_is_found(ended: &Ended) {
    ended.released();
    let people = LEVELS.map(|cents| Person::Row(vec![f64::from(cents) / 100.0, 5.0]));
    let chances = ended.predict(&people).into_iter().map(|prediction| match prediction {
        Prediction::Propensity { probability, .. } => probability,
        other => panic!("{other:?}"),
    });
    let chances: Vec<f64> = chances.collect();
    assert!(chances[1] > chances[0] + 0.2 && chances[1] > chances[2] + 0.2, "{chances:?}");
}

/// Better than what most people buy; and who has bought two items of a kind is told of that kind.
fn likes_are_found(ended: &Ended, shoppers: &[Shopper]) {
    let (_, evaluation) = ended.released();
    let popular = recall_of_the_popular(shoppers);
    assert!(f64::from(evaluation.quality) / 1e6 > popular + 0.2, "{popular} {evaluation:?}");
    for kind in 0..KINDS {
        let own: BTreeSet<String> = (kind * ITEMS_PER_KIND..(kind + 1) * ITEMS_PER_KIND).map(item).collect();
        let given = own.iter().take(2).map(|item| (item.clone(), 1.0)).collect();
        let predictions = ended.predict(&[Person::List(given)]);
        let Prediction::Items { items } = &predictions[0] else { panic!("{predictions:?}") };
        assert_eq!(items.len(), BEST);
        let hits = items.iter().filter(|(item, _)| own.contains(item)).count();
        assert!(hits >= 3, "kind {kind}: {items:?}");
    }
}

/// The recall of whoever recommends to everybody what most have bought: every second item is held out.
fn recall_of_the_popular(shoppers: &[Shopper]) -> f64 {
    let buyers = |item: &usize| shoppers.iter().filter(|shopper| shopper.bought.contains_key(item)).count();
    let mut popular: Vec<usize> = (0..KINDS * ITEMS_PER_KIND).collect();
    popular.sort_by_key(|item| std::cmp::Reverse(buyers(item)));
    let recalls: Vec<f64> = shoppers
        .iter()
        .filter(|shopper| shopper.bought.len() > 1)
        .map(|shopper| {
            let held: BTreeSet<&usize> = shopper.bought.keys().skip(1).step_by(2).collect();
            let given: BTreeSet<&usize> = shopper.bought.keys().step_by(2).collect();
            let best = popular.iter().filter(|item| !given.contains(item)).take(BEST);
            best.filter(|item| held.contains(item)).count() as f64 / held.len().min(BEST) as f64
        })
        .collect();
    recalls.iter().sum::<f64>() / recalls.len() as f64
}
