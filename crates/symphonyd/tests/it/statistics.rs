//! Statistics through real processes: counts, sums and histograms over three Vaults, settled and provable; what is refused; a run that
//! is made again; and budgets that end (R018, R022, R060, R065, R067, R088, R140).

use serde_json::json;
use symphony_protocol::artifact::Outcome;
use symphony_protocol::artifact::statistic::StatisticResult;
use symphony_sdk::challenge::Objection;
use symphony_sdk::client::Upload;
use symphony_sdk::shape::statistic::{ClampedSum, Histogram, Selection};
use symphony_sdk::shape::{Operand, Task};
use symphony_sdk::statistic::{Answered, Output, QueryResult, StatisticSpec};
use symphony_sdk::submission::Submission as _;
use symphony_types::digest::Digest;

use crate::network::{Network, TURN, VAULTS, code, eventually};
use crate::trainings::{evaluated, name, populate, verified};

/// People of all Vaults, nearly all of whom bought something.
pub const PEOPLE: i64 = 480;
pub const POLICY: &str = "marketing=8000000,subject_cap=8000000,prepare=20000,execute=30000,epoch=1000";

fn bought(categories: &[&str]) -> Selection {
    let texts = Some(categories.iter().map(|text| (*text).to_owned()).collect());
    Selection::Record(vec![Operand {
        rule: "commerce.category_purchase".to_owned(),
        texts,
        ..Operand::default()
    }])
}

pub fn count(who: Selection) -> StatisticSpec {
    StatisticSpec {
        usage_scope: "marketing".to_owned(),
        vaults: VAULTS.map(str::to_owned).to_vec(),
        quorum: 2,
        output: Output::Count,
        who,
        epsilon: 1.0,
        evaluate_at_ms: Some(evaluated()),
    }
}

fn sum(clamp: u64) -> StatisticSpec {
    let output = Output::Sum(ClampedSum { amount: "commerce.amount".to_owned(), over: vec![], clamp });
    StatisticSpec { output, ..count(bought(&["coffee", "tea"])) }
}

fn histogram(groups: &[&str], groups_each: u32) -> StatisticSpec {
    let output = Output::Histogram(Histogram {
        attribute: "commerce.category".to_owned(),
        over: vec![],
        groups: groups.iter().map(|text| (*text).to_owned()).collect(),
        groups_each,
    });
    StatisticSpec { output, ..count(bought(&["coffee", "tea"])) }
}

pub fn recently() -> Selection {
    let rule = "commerce.purchase_recency".to_owned();
    Selection::Record(vec![Operand { rule, days: Some(7), ..Operand::default() }])
}

pub async fn answered(network: &Network, spec: &StatisticSpec, request: &str) -> (Task, StatisticResult) {
    let Answered { task, result } =
        network.submitter("luckin").query(spec, &name(request), |_| ()).await.unwrap();
    match result {
        Some(QueryResult::Statistic(result)) => (task, result),
        other => panic!("{} {} {other:?}", task.state, task.code),
    }
}

async fn refusal(network: &Network, spec: &StatisticSpec) -> String {
    code(network.client("luckin").quote(&spec.spec().unwrap()).await)
}

pub fn cells(result: &StatisticResult) -> Vec<i64> {
    result.cells.iter().map(|(_, noised)| *noised).collect()
}

/// R018, R022, R049, R060, R065, R067, R088, R116, R152, R156: a count and its complement make everybody, within the noise; settled
/// within the quote, charged to each person once, and checked by anybody without a network. Sums are clamped, groups are those that
/// were named. Who leaves is not counted; who has no
/// budget left is left out, and then too few remain.
#[tokio::test(flavor = "multi_thread")]
async fn statistics_over_three_vaults_are_settled_and_provable() {
    let _turn = TURN.lock().await;
    let network = Network::start(&["--masters", "3", "--policy", &format!("{POLICY},challenge=200")]);
    network.ready().await;
    populate(&network, "marketing").await;
    let client = network.client("luckin");
    what_does_not_fit_is_refused(&network).await;

    let week = count(recently());
    let quote = client.quote(&week.spec().unwrap()).await.unwrap();
    assert_eq!((quote.exposure_micro_epsilon, quote.noised_micro_epsilon), (0, 1_000_000));
    let (task, recent) = answered(&network, &week, "recent").await;
    assert_eq!((task.task_class.as_str(), recent.noise_scale, recent.vaults), ("query", 3, 3));
    let charged = task.charged.clone().unwrap();
    assert_eq!(charged.total, quote.worst_case.unwrap().total, "no record is returned, every vault answered");
    let bundle = verified(&client.evidence(task.task_id).await.unwrap());
    assert_eq!(bundle.body.evidence.result.aggregate.0.body.outcome, recent.outcome);
    assert!(matches!(recent.outcome, Outcome::Computed { .. }));
    let operator = network.client("operator-vault-a");
    let budget = operator.budget("vault-a", "shopper-0-0000").await.unwrap();
    let entry = budget.iter().find(|entry| entry.usage_scope == "marketing").unwrap();
    assert_eq!((entry.reserved_micro_epsilon, entry.committed_micro_epsilon), (0, 1_000_000));
    assert_eq!(answered(&network, &week, "recent").await.0.task_id, task.task_id, "the same name");

    // Whoever bought nothing in the week: one cell with a scale of three is off by forty about never.
    let (_, others) = answered(&network, &count(Selection::Not(Box::new(recently()))), "others").await;
    let all = cells(&recent)[0] + cells(&others)[0];
    assert!((all - PEOPLE).abs() < 70, "{recent:?} and {others:?}");
    assert!(cells(&recent)[0] > 180 && cells(&others)[0] > 120, "{recent:?} and {others:?}");
    let (_, spent) = answered(&network, &sum(420), "spent").await;
    assert_eq!((spent.cells[0].0.as_str(), spent.noise_scale), ("commerce.amount", 1_260));
    assert!((cells(&spent)[0] / 420 - PEOPLE).abs() < 90, "one purchase of each counts: {spent:?}");
    let (_, groups) = answered(&network, &histogram(&["tea", "Coffee", "bread"], 1), "groups").await;
    let named: Vec<_> = groups.cells.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!((named, groups.noise_scale), (vec!["bread", "coffee", "tea"], 3));
    let found = cells(&groups);
    assert!(found[0].abs() < 40 && found[1] > 60 && found[2] > 60, "{groups:?}");
    assert!((found.iter().sum::<i64>() - PEOPLE).abs() < 110, "each person in one group: {groups:?}");
    let (_, rare) = answered(&network, &count(bought(&["wine"])), "rare").await;
    assert_eq!((rare.outcome, rare.cells), (Outcome::Suppressed, vec![]));

    let left: Vec<_> = (0..160)
        .map(|n| json!({"subject": format!("shopper-2-{n:04}"), "scope": "marketing", "state": "withdrawn"}))
        .collect();
    network.put("vault-c", Upload::Consents, "leave", &left).await;
    let everybody = count(bought(&["Coffee ", "tea"]));
    let (_, fewer) = answered(&network, &everybody, "fewer").await;
    assert!((cells(&fewer)[0] - PEOPLE * 2 / 3).abs() < 70, "{fewer:?}");
    let (_, last) = answered(&network, &StatisticSpec { epsilon: 0.9, ..everybody.clone() }, "last").await;
    assert_ne!(last.outcome, Outcome::Suppressed);
    answered(&network, &StatisticSpec { epsilon: 1.0, ..everybody.clone() }, "spends").await;
    let (_, over) = answered(&network, &everybody, "over").await;
    assert_eq!((over.outcome, over.vaults), (Outcome::Suppressed, 0), "nobody has a whole epsilon left");
}

/// R016, R018, R048-R050: each with its code, before anything is locked.
async fn what_does_not_fit_is_refused(network: &Network) {
    let deep = (0..5).fold(bought(&["tea"]), |inner, _| Selection::Not(Box::new(inner)));
    assert_eq!(refusal(network, &count(deep)).await, "ADM-0027");
    assert_eq!(refusal(network, &count(Selection::Any(vec![bought(&["tea"]); 24]))).await, "ADM-0027");
    let unknown = Operand { rule: "commerce.nothing".to_owned(), days: Some(3), ..Operand::default() };
    assert_eq!(refusal(network, &count(Selection::Record(vec![unknown]))).await, "ADM-0008");
    let card =
        Operand { rule: "commerce.card_match".to_owned(), text: Some("1".to_owned()), ..Operand::default() };
    assert_eq!(refusal(network, &count(Selection::Record(vec![card]))).await, "ADM-0010");
    assert_eq!(refusal(network, &count(Selection::Record(vec![]))).await, "ADM-0001");
    assert_eq!(refusal(network, &sum(0)).await, "ADM-0027");
    assert_eq!(refusal(network, &sum((1 << 32) + 1)).await, "ADM-0027");
    let many: Vec<String> = (0..257).map(|n| format!("group {n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(refusal(network, &histogram(&many, 1)).await, "ADM-0001");
    assert_eq!(refusal(network, &histogram(&["tea"], 2)).await, "ADM-0027");
    let dear = StatisticSpec { epsilon: 1.000001, ..sum(420) };
    assert_eq!(refusal(network, &dear).await, "ADM-0027");
    let research = StatisticSpec { usage_scope: "research".to_owned(), ..sum(420) };
    assert_eq!(refusal(network, &research).await, "ADM-0003");
    let mut both = count(bought(&["tea"])).spec().unwrap();
    both.audience_cap = 5;
    assert_eq!(
        code(network.client("luckin").quote(&both).await),
        "ADM-0001",
        "no audience and numbers at once"
    );
}

/// R135, R140, R142, D10: a disputed statistic is made again by the same Vaults and combined by another master's aggregator; it has
/// the same answer, and nobody loses anything by it.
#[tokio::test(flavor = "multi_thread")]
async fn a_disputed_statistic_is_made_again() {
    let _turn = TURN.lock().await;
    let policy = format!("{POLICY},challenge=25000,review=60000");
    let network = Network::start(&["--masters", "3", "--policy", &policy]);
    network.ready().await;
    populate(&network, "marketing").await;
    let submitter = network.submitter("luckin");
    let spec = histogram(&["tea", "coffee"], 2);
    let task = submitter.submit(&spec, &name("disputed"), |_| ()).await.unwrap().task_id;
    let rival = network.submitter("brand-b");
    let client = &rival.client;
    let in_state = async |state: &str| {
        let luckin = network.client("luckin");
        eventually(state, async || (luckin.task(task).await.ok()?.state == state).then_some(())).await;
    };
    in_state("awaiting_settlement").await;
    let budget = async || {
        let operator = network.client("operator-vault-a");
        operator.budget("vault-a", "shopper-0-0000").await.unwrap().remove(0).committed_micro_epsilon
    };
    let spent = budget().await;
    let exhibits = vec![Digest::of_bytes(&[1])];
    let objection = Objection { round: Some(1), grounds: "I count otherwise".to_owned(), exhibits };
    rival.challenge(task, &objection).await.unwrap();
    let ruling = eventually("the masters rule", async || {
        let challenge = client.challenges(task).await.ok()?.challenges.pop()?;
        let last = challenge.filings.last()?;
        (!last.ruling.is_empty()).then(|| (last.ruling.clone(), last.code.clone()))
    })
    .await;
    assert_eq!(ruling, ("repeated".to_owned(), String::new()));
    assert_eq!(budget().await, spent, "nobody loses anything by a replay");
    in_state("completed").await;
    let sealed = submitter.client.result(task).await.unwrap().sealed;
    let QueryResult::Statistic(result) = submitter.recipient.open_query(task, &sealed).unwrap() else {
        panic!("no statistic");
    };
    assert_eq!((result.vaults, result.cells.len(), result.noise_scale), (3, 2, 6));
}
