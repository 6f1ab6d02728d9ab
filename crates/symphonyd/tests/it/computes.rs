//! Computations through real processes: approved modules over three Vaults, settled and provable; what is refused; values
//! that stay in their Vault; a run that is made again on the second engine; and a module that comes by votes and goes
//! (R094-R096, R128, R129, R135, R140).

use std::collections::BTreeMap;

use serde_json::json;
use symphony_protocol::artifact::Outcome;
use symphony_protocol::governance::change::Change;
use symphony_sdk::challenge::Objection;
use symphony_sdk::client::{ClientError, Upload};
use symphony_sdk::computation::{ComputationSpec, Computed};
use symphony_sdk::shape::{AttributeEntry, Operand};
use symphony_sdk::submission::{Submission as _, SubmissionError};
use symphony_types::digest::Digest;
use symphony_wasm::catalogue;

use crate::challenges::refused;
use crate::council::enact;
use crate::network::{Network, TURN, VAULTS, code, eventually};
use crate::trainings::{evaluated, name, populate, verified};

/// People of all Vaults.
const PEOPLE: i64 = 480;
const POLICY: &str =
    "marketing=900000000,subject_cap=900000000,prepare=20000,execute=30000,epoch=1000,timelock=100";

fn numbers(values: &[(&str, i64)]) -> BTreeMap<String, i64> {
    values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
}

/// How many people spent how much in twelve weeks.
fn histogram() -> ComputationSpec {
    let until = i64::try_from(evaluated()).unwrap();
    ComputationSpec {
        usage_scope: "marketing".to_owned(),
        vaults: VAULTS.map(str::to_owned).to_vec(),
        quorum: 2,
        module: "histogram".to_owned(),
        parameters: numbers(&[("from_ms", 0), ("until_ms", until), ("width_cents", 840)]),
        lists: BTreeMap::new(),
        cohort: vec![],
        epsilon: 1.0,
        people_max: 1_000,
        records_max: 100_000,
        evaluate_at_ms: Some(evaluated()),
    }
}

/// Whether a person bought seven times in those weeks: half of them mostly do.
fn eligibility() -> ComputationSpec {
    let until = i64::try_from(evaluated()).unwrap();
    ComputationSpec {
        module: "eligibility".to_owned(),
        parameters: numbers(&[
            ("from_ms", 0),
            ("until_ms", until),
            ("purchases_min", 7),
            ("spend_min_cents", 2_940),
            ("any_merchant", 0),
        ]),
        lists: BTreeMap::from([("commerce.merchant".to_owned(), vec!["corner ".to_owned()])]),
        ..histogram()
    }
}

async fn computed(network: &Network, spec: &ComputationSpec, request: &str) -> Computed {
    network.submitter("luckin").compute(spec, &name(request), |_| ()).await.unwrap()
}

/// The code that a submission is refused with.
async fn refusal(network: &Network, spec: &ComputationSpec) -> String {
    let client = network.client("luckin");
    code(client.quote(&spec.spec().unwrap()).await)
}

/// R094-R096, R116, R152, R156: cells that add up to everybody within the noise; settled within the quote, charged to each
/// person, and checked by anybody without a network. What does not fit the module or the policy is refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_histogram_over_three_vaults_is_settled_and_provable() {
    let _turn = TURN.lock().await;
    let network = Network::start(&["--masters", "3", "--policy", &format!("{POLICY},challenge=800")]);
    network.ready().await;
    populate(&network, "marketing").await;
    let (client, spec) = (network.client("luckin"), histogram());
    let modules = client.governance().await.unwrap().modules;
    let names: Vec<_> = modules.iter().map(|module| module.name.as_str()).collect();
    for known in ["basket", "eligibility", "histogram", "retention", "rfm", "uplift"] {
        assert!(names.contains(&known), "{names:?}");
    }
    let quote = client.quote(&spec.spec().unwrap()).await.unwrap();
    assert!(quote.fuel_max > 0);

    let Computed { task, result } = computed(&network, &spec, "spend").await;
    let result = result.unwrap_or_else(|| panic!("{} {}", task.state, task.code));
    let [group] = result.groups.as_slice() else { panic!("{:?}", result.groups) };
    assert_eq!((group.cells.len(), group.noise_scale, result.vaults), (32, 3, 3));
    // 32 cells with a scale of three each: off by two hundred about never.
    assert!((group.cells.iter().sum::<i64>() - PEOPLE).abs() < 200, "{:?}", group.cells);
    let charged = task.charged.clone().unwrap();
    let worst = quote.worst_case.unwrap();
    assert!(charged.total <= worst.total && charged.fuel < worst.fuel && charged.fuel.0 > 0, "{charged:?}");
    assert_eq!(task.task_class, "compute");

    let bundle = verified(&client.evidence(task.task_id).await.unwrap());
    assert_eq!(bundle.body.evidence.result.aggregate.0.body.outcome, result.outcome);
    assert!(matches!(result.outcome, Outcome::Computed { .. }));

    let operator = network.client("operator-vault-a");
    let budget = operator.budget("vault-a", "shopper-0-0000").await.unwrap();
    let entry = budget.iter().find(|entry| entry.usage_scope == "marketing").unwrap();
    assert_eq!((entry.reserved_micro_epsilon, entry.committed_micro_epsilon), (0, 1_000_000));
    assert_eq!(
        computed(&network, &spec, "spend").await.task.task_id,
        task.task_id,
        "the same name, the same task"
    );

    let unknown = ComputationSpec { module: "median".to_owned(), ..histogram() };
    assert_eq!(refusal(&network, &unknown).await, "ADM-0030");
    let dear = ComputationSpec { epsilon: 1.000001, ..histogram() };
    assert_eq!(refusal(&network, &dear).await, "ADM-0027");
    let crowd = ComputationSpec { people_max: 16_000_001, ..histogram() };
    assert_eq!(refusal(&network, &crowd).await, "ADM-0027", "more people than a vault may have");
    let mut lacking = histogram();
    lacking.parameters.remove("width_cents");
    assert_eq!(refusal(&network, &lacking).await, "ADM-0027");
    let trains = ComputationSpec { usage_scope: "training".to_owned(), ..histogram() };
    assert_eq!(refusal(&network, &trains).await, "ADM-0028");
    // Vaults with more people than the quote covers take no part, and nothing is paid.
    let small = ComputationSpec { people_max: 100, ..histogram() };
    let Computed { task, result } = computed(&network, &small, "too-many").await;
    assert_eq!((task.state.as_str(), task.code.as_str(), result), ("rejected", "EXE-0001", None));
    assert_eq!(task.refunded, task.locked);
}

/// R094, R055: a derived value is told to its person and the operator of its Vault; the submitter learns how many people have
/// one. Only the cohort is computed on.
#[tokio::test(flavor = "multi_thread")]
async fn a_derived_attribute_stays_in_its_vault() {
    let _turn = TURN.lock().await;
    let network = Network::start(&["--policy", &format!("{POLICY},challenge=200")]);
    network.ready().await;
    populate(&network, "marketing").await;
    let Computed { task, result } = computed(&network, &eligibility(), "loyal").await;
    let result = result.unwrap_or_else(|| panic!("{} {}", task.state, task.code));
    let [group] = result.groups.as_slice() else { panic!("{:?}", result.groups) };
    assert_eq!((group.name.as_str(), group.cells.len()), ("people", 1));
    assert!((group.cells[0] - PEOPLE).abs() < 60, "{:?}", group.cells);
    let operator = network.client("operator-vault-a");
    let mut values = Vec::new();
    for person in 0..40 {
        let found = operator.attributes("vault-a", &format!("shopper-0-{person:04}")).await.unwrap();
        // Who never bought has no record, and no value.
        values.extend(found.iter().map(|one| one.value));
        let of_the_task =
            |one: &AttributeEntry| one.module == "eligibility" && one.task_id == task.task_id.to_string();
        assert!(found.len() <= 1 && found.iter().all(of_the_task), "{found:?}");
    }
    assert!(values.len() > 30 && values.iter().all(|value| *value <= 1), "{values:?}");
    assert!(values.contains(&0) && values.contains(&1), "{values:?}");
    assert_eq!(
        code(network.client("operator-vault-b").attributes("vault-a", "shopper-0-0000").await),
        "ADM-0003"
    );

    let coffee = Operand {
        rule: "commerce.category_purchase".to_owned(),
        text: None,
        texts: Some(vec!["coffee".to_owned()]),
        days: None,
        at_least: None,
        range: None,
    };
    // One cell has one draw of noise; 32 cells would blur as many people as stay out.
    let fond = ComputationSpec { cohort: vec![coffee], ..eligibility() };
    let result = computed(&network, &fond, "fond").await.result.unwrap();
    let people = result.groups[0].cells[0];
    assert!(people < PEOPLE - 20, "{people} of the cohort, {PEOPLE} of all");
}

/// R135, R140, R142, D10: the run is made again by the same Vaults on the second engine and combined by another master's
/// aggregator; it has the same answer, and nobody loses anything by it. Who has left is not computed on again.
#[tokio::test(flavor = "multi_thread")]
async fn a_disputed_run_is_made_again_on_the_second_engine() {
    let _turn = TURN.lock().await;
    let policy = format!("{POLICY},challenge=25000,review=60000");
    let network = Network::start(&["--masters", "3", "--policy", &policy]);
    network.ready().await;
    populate(&network, "marketing").await;
    let submitter = network.submitter("luckin");
    let task = submitter.submit(&histogram(), &name("disputed"), |_| ()).await.unwrap().task_id;
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
    let ruled = async |exhibit: u8, filings: usize| {
        let exhibits = vec![Digest::of_bytes(&[exhibit])];
        let objection = Objection { round: Some(1), grounds: "I count otherwise".to_owned(), exhibits };
        rival.challenge(task, &objection).await.unwrap();
        eventually("the masters rule", async || {
            let challenge = client.challenges(task).await.ok()?.challenges.pop()?;
            let last = challenge.filings.get(filings - 1)?;
            (!last.ruling.is_empty()).then(|| (last.ruling.clone(), last.code.clone()))
        })
        .await
    };
    assert_eq!(ruled(1, 1).await, ("repeated".to_owned(), String::new()));
    assert_eq!(budget().await, spent, "nobody loses anything by a replay");
    let no_round = Objection { round: Some(2), grounds: "the second".to_owned(), exhibits: vec![] };
    assert_eq!(refused(rival.challenge(task, &no_round).await), "ADM-0001", "a computation has one run");
    let withdrawn = json!({"subject": "shopper-1-0000", "scope": "marketing", "state": "withdrawn"});
    network.put("vault-b", Upload::Consents, "leave", &[withdrawn]).await;
    assert_eq!(ruled(2, 2).await, ("not_repeatable".to_owned(), String::new()));
    in_state("completed").await;
    let sealed = submitter.client.result(task).await.unwrap().sealed;
    assert_eq!(submitter.recipient.open_computed(task, &sealed).unwrap().vaults, 3);
}

/// R095, R128, R129: a module comes by votes with its bytes, runs in every Vault, and is run no more once it is revoked; one that
/// no enclave would load is not put to the vote.
#[tokio::test(flavor = "multi_thread")]
async fn a_module_comes_by_votes_and_is_revoked() {
    let _turn = TURN.lock().await;
    let network = Network::start(&["--policy", &format!("{POLICY},challenge=200")]);
    network.ready().await;
    populate(&network, "marketing").await;
    let built = catalogue::built().unwrap();
    let built = built.into_iter().find(|one| one.declaration.name.as_str() == "histogram").unwrap();
    // A section that means nothing makes other bytes of the same code.
    let mut bytes = built.bytes.to_vec();
    bytes.extend_from_slice(&[0, 5, 4, b'n', b'e', b'x', b't']);
    let mut declaration = built.declaration.clone();
    declaration.version += 1;
    let change = |code: Vec<u8>| Change::ApproveModule {
        about: "The same, anew.".to_owned(),
        code,
        declaration: declaration.clone(),
        source: Digest([1; 32]),
        recipe: Digest([2; 32]),
    };
    enact(&network, change(bytes.clone())).await;
    let result = computed(&network, &histogram(), "second").await.result.unwrap();
    assert_eq!(result.version, declaration.version);
    assert!((result.groups[0].cells.iter().sum::<i64>() - PEOPLE).abs() < 200);
    enact(&network, Change::RevokeModule { code: Digest::of_bytes(&bytes) }).await;
    let result = computed(&network, &histogram(), "first").await.result.unwrap();
    assert_eq!(result.version, built.declaration.version, "the first one is the latest again");
    enact(&network, Change::RevokeModule { code: built.measurement }).await;
    assert_eq!(refusal(&network, &histogram()).await, "ADM-0030");
    let refused = network.submitter("luckin").compute(&histogram(), &name("third"), |_| ()).await;
    assert!(matches!(refused, Err(SubmissionError::Client(ClientError::Refused(_)))), "{refused:?}");
}
