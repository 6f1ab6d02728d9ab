//! The OpenAPI description covers every route and every reference in it leads somewhere (R227).

use std::collections::BTreeSet;

use serde_json::Value;

use crate::stage::Stage;

const ROUTES: &[&str] = &[
    "delete /v1/consents/{scope}",
    "get /healthz",
    "get /openapi.json",
    "get /v1/candidates",
    "get /v1/chain/accounts/{account}",
    "get /v1/epochs/{epoch}",
    "get /v1/errors",
    "get /v1/governance",
    "get /v1/governance/log",
    "get /v1/governance/proofs/{sequence}",
    "get /v1/journal/proof",
    "get /v1/reconciliation",
    "get /v1/status",
    "get /v1/tasks",
    "get /v1/tasks/{id}",
    "get /v1/tasks/{id}/candidate",
    "get /v1/tasks/{id}/challenges",
    "get /v1/tasks/{id}/events",
    "get /v1/tasks/{id}/evidence",
    "get /v1/tasks/{id}/result",
    "get /v1/tasks/{id}/steps/{round}",
    "get /v1/vaults",
    "get /v1/vaults/assigned",
    "get /v1/vaults/{vault}/candidates",
    "get /v1/vaults/{vault}/epochs/{epoch}/leaves",
    "get /v1/vaults/{vault}/retention",
    "get /v1/vaults/{vault}/subjects/{subject}/budget",
    "get /v1/vaults/{vault}/subjects/{subject}/budget/statement",
    "get /v1/vaults/{vault}/subjects/{subject}/consents",
    "get /v1/vaults/{vault}/subjects/{subject}/attributes",
    "get /v1/vaults/{vault}/subjects/{subject}/dividends",
    "get /v1/vaults/{vault}/subjects/{subject}/records",
    "post /v1/chain/queries",
    "post /v1/chain/transactions",
    "get /v1/receipts",
    "post /v1/receipts",
    "get /v1/receipts/{id}",
    "get /v1/receipts/{id}/content",
    "get /v1/receipts/{id}/drawing",
    "post /v1/receipts/{id}/parse",
    "delete /v1/receipts/{id}",
    "delete /v1/vaults/{vault}/subjects/{subject}",
    "patch /v1/receipts/{id}",
    "post /v1/governance/motions",
    "post /v1/parses",
    "post /v1/quotes",
    "post /v1/tasks",
    "post /v1/tasks/{id}/challenges",
    "post /v1/vaults/{vault}/backups",
    "post /v1/vaults/{vault}/consents",
    "post /v1/vaults/{vault}/key/rotations",
    "post /v1/vaults/{vault}/operations",
    "post /v1/vaults/{vault}/records",
    "post /v1/vaults/{vault}/subjects",
    "put /v1/consents/{scope}",
];

fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(target)) = fields.get("$ref") {
                found.insert(target);
            }
            fields.values().for_each(|value| references(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

/// R227
#[test]
fn every_route_is_described_with_its_refusals() {
    let text = symphony_gateway::rest::openapi();
    assert_eq!(text, symphony_gateway::rest::openapi(), "the same text each time");
    let api: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(api["openapi"], "3.1.0");
    let mut routes = BTreeSet::new();
    for (path, item) in api["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            routes.insert(format!("{method} {path}"));
            for (_, response) in operation["responses"].as_object().unwrap() {
                assert!(
                    response["description"].is_string() || response["$ref"].is_string(),
                    "{method} {path}"
                );
            }
            assert_eq!(operation["responses"]["4XX"]["$ref"], "#/components/responses/Problem");
        }
    }
    assert_eq!(routes, ROUTES.iter().map(|route| (*route).to_owned()).collect());
    let mut found = BTreeSet::new();
    references(&api, &mut found);
    for target in found {
        assert!(api.pointer(&target[1..]).is_some(), "{target} leads nowhere");
    }
}

/// R227, R210
#[tokio::test]
async fn description_catalogue_and_health_need_no_token() {
    let stage = Stage::open().await;
    let open = |path: &str| stage.client.get(format!("{}{path}", stage.url));
    let api = open("/openapi.json").send().await.unwrap().text().await.unwrap();
    assert_eq!(api, symphony_gateway::rest::openapi());
    let errors = open("/v1/errors").send().await.unwrap().text().await.unwrap();
    let errors: Vec<Value> = serde_json::from_str(&errors).unwrap();
    assert_eq!(errors.len(), symphony_types::catalogue::Code::ALL.len());
    assert_eq!(errors[0]["code"], "ADM-0001");
    assert_eq!(open("/healthz").send().await.unwrap().status(), 200);
}
