//! Statistics at the gateway: shapes in, shapes out; limits that depend on policy are the masters' (R021, R207).

use serde_json::{Value, json};
use symphony_types::id::ActorId;
use symphony_wire::convert::quote_request;
use symphony_wire::v1;

use crate::stage::{ACTOR, Stage};

const JSON: &str = "application/json";

fn spec() -> Value {
    let record = |rule: &str, text: &str| json!({ "record": [{ "rule": rule, "text": text }] });
    json!({
        "task_class": "query",
        "usage_scope": "marketing",
        "vault_ids": ["vault-a", "vault-b"],
        "minimum_vault_quorum": 2,
        "statistic": {
            "who": { "all": [
                { "any": [record("commerce.merchant_purchase", "Luckin"), record("commerce.merchant_purchase", "Cafe")] },
                { "not": record("geography.city_eligibility", "Singapore") },
            ] },
            "sum": { "amount": "commerce.amount", "clamp": 20_000, "over": [{ "rule": "commerce.purchase_recency", "days": 30 }] },
            "epsilon_micro": 500_000,
        },
    })
}

/// R021, R207: every part of a statistic arrives, and the wire's own reader takes it.
#[tokio::test]
async fn a_statistic_is_quoted_as_it_is_stated() {
    let stage = Stage::open().await;
    let mut histogram = spec();
    histogram["statistic"].as_object_mut().unwrap().remove("sum");
    histogram["statistic"]["histogram"] =
        json!({ "attribute": "commerce.category", "groups": ["tea"], "groups_each": 1 });
    for spec in [spec(), histogram] {
        assert_eq!(stage.post("/v1/quotes", JSON, spec.to_string()).send().await.unwrap().status(), 200);
    }
    let specs = std::mem::take(&mut stage.seen.lock().unwrap().specs);
    let [sum, histogram] = &specs[..] else { panic!("two questions") };
    let statistic = sum.statistic.as_ref().unwrap();
    assert_eq!(statistic.epsilon_micro, 500_000);
    let Some(v1::statistic::Measure::Sum(measure)) = &statistic.measure else { panic!("no sum") };
    assert_eq!((measure.amount.as_str(), measure.clamp, measure.over.len()), ("commerce.amount", 20_000, 1));
    let Some(v1::selection::Of::All(parts)) = &statistic.who.as_ref().unwrap().of else { panic!("no tree") };
    assert!(
        matches!(&parts.selections[0].of, Some(v1::selection::Of::Any(any)) if any.selections.len() == 2)
    );
    assert!(matches!(&parts.selections[1].of, Some(v1::selection::Of::Not(_))));
    let measure = &histogram.statistic.as_ref().unwrap().measure;
    assert!(matches!(measure, Some(v1::statistic::Measure::Histogram(asked)) if asked.groups == ["tea"]));
    let actor = ActorId::new(ACTOR).unwrap();
    specs.iter().for_each(|spec| drop(quote_request(&actor, spec.clone()).unwrap()));
}

/// R021: what is no statistic does not reach a master; a tree that is deeper than a body may be is refused, not followed.
#[tokio::test]
async fn what_is_no_statistic_is_refused() {
    let stage = Stage::open().await;
    let refused = async |change: fn(&mut Value)| {
        let mut spec = spec();
        change(&mut spec["statistic"]);
        let status = stage.post("/v1/quotes", JSON, spec.to_string()).send().await.unwrap().status();
        assert_eq!(status, 400, "{spec}");
    };
    refused(|statistic| statistic["surprise"] = json!(1)).await;
    refused(|statistic| statistic["sum"]["surprise"] = json!(1)).await;
    refused(|statistic| statistic["who"] = json!({ "nor": [] })).await;
    refused(|statistic| statistic["who"] = json!({ "all": [], "any": [] })).await;
    refused(|statistic| statistic["who"] = json!({})).await;
    refused(|statistic| statistic["sum"]["clamp"] = json!(-1)).await;
    refused(|statistic| {
        statistic["histogram"] = json!({ "attribute": "commerce.category", "groups": [], "groups_each": 1 });
    })
    .await;
    refused(|statistic| {
        let deep = (0..40).fold(json!({ "any": [] }), |inner, _| json!({ "not": inner }));
        statistic["who"] = deep;
    })
    .await;
    assert!(stage.seen.lock().unwrap().specs.is_empty(), "none of them reached the master");
}

/// R021: what only the wire's reader can tell is refused with its words: no audience and numbers at once, no part without conditions.
#[test]
fn the_wire_reads_whole_statistics_only() {
    let actor = ActorId::new(ACTOR).unwrap();
    let record =
        |operands| v1::Selection { of: Some(v1::selection::Of::Record(v1::OperandList { operands })) };
    let operand = v1::Operand {
        rule: "commerce.merchant_purchase".to_owned(),
        argument: Some(v1::operand::Argument::Text("Luckin".to_owned())),
    };
    let spec = |who: Option<v1::Selection>| v1::TaskSpec {
        task_class: "query".to_owned(),
        usage_scope: "marketing".to_owned(),
        vault_ids: vec!["vault-a".to_owned()],
        minimum_vault_quorum: 1,
        statistic: Some(v1::Statistic { who, measure: None, epsilon_micro: 1 }),
        ..v1::TaskSpec::default()
    };
    let whole = spec(Some(record(vec![operand])));
    quote_request(&actor, whole.clone()).unwrap();
    let wrong = [
        spec(None),
        spec(Some(v1::Selection { of: None })),
        spec(Some(record(vec![]))),
        v1::TaskSpec { audience_cap: 5, ..whole.clone() },
        v1::TaskSpec { task_class: "train".to_owned(), ..whole.clone() },
        v1::TaskSpec { compute: Some(v1::Compute::default()), ..whole },
    ];
    for spec in wrong {
        assert!(quote_request(&actor, spec.clone()).is_err(), "{spec:?}");
    }
}
