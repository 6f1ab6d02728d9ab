//! Reads of the state: the ledger, accounts, resources, modules, views.

use aptos_sdk::transaction::payload::EntryFunction;
use aptos_sdk::types::{StructTag, TypeTag};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Refusal, Shared, address, bytes, wants_bytes};
use crate::genesis;
use crate::host::Host;
use crate::show;
use crate::store::{CODE, RESOURCE};
use crate::values;
use crate::vm::{Address, Call, code_key, resource_key};

pub(super) async fn ledger(State(shared): State<Shared>) -> Answer {
    let node = shared.node();
    let version = node.seen().version().to_string();
    let info = json!({
        "chain_id": node.chain_id(),
        "epoch": "1",
        "ledger_version": version,
        "oldest_ledger_version": "0",
        "ledger_timestamp": node.time_us().to_string(),
        "node_role": "full_node",
        "oldest_block_height": "0",
        "block_height": version,
        "git_hash": null,
    });
    Ok(Json(info).into_response())
}

pub(super) async fn healthy() -> Answer {
    Ok(Json(json!({ "message": "aptos-node:ok" })).into_response())
}

pub(super) async fn gas_price() -> Answer {
    let price = json!({
        "deprioritized_gas_estimate": 100, "gas_estimate": 100, "prioritized_gas_estimate": 150,
    });
    Ok(Json(price).into_response())
}

pub(super) async fn account(State(shared): State<Shared>, Path(account): Path<String>) -> Answer {
    let account = address(&account)?;
    let found = shared.node().read(|host| genesis::account(host.store(), &account));
    // An account that has done nothing yet has its address for its key.
    let (key, sequence) = found.filter(|(key, _)| !key.is_empty()).unwrap_or((account.to_vec(), 0));
    let shown = json!({ "sequence_number": sequence.to_string(), "authentication_key": format!("0x{}", hex::encode(key)) });
    Ok(Json(shown).into_response())
}

pub(super) async fn resources(State(shared): State<Shared>, Path(account): Path<String>) -> Answer {
    let account = address(&account)?;
    let shown = shared.node().read(|host| {
        let prefix = [&account[..], &[RESOURCE]].concat();
        let held: Vec<_> = host
            .store()
            .below(&prefix)
            .filter_map(|(key, value)| Some((bcs::from_bytes::<StructTag>(&key[33..]).ok()?, value.to_vec())))
            .collect();
        held.into_iter().map(|(tag, value)| shown(host, &tag, &value)).collect::<Vec<Value>>()
    });
    Ok(Json(shown).into_response())
}

pub(super) async fn resource(
    State(shared): State<Shared>,
    Path((account, tag)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    let account = address(&account)?;
    let Ok(TypeTag::Struct(tag)) = TypeTag::from_str_strict(&tag) else {
        return Err(Refusal::bad("invalid_input", format!("{tag} is no struct")));
    };
    let found = shared.node().read(|host| {
        let value = host.store().get(&resource_key(&account, &tag))?.to_vec();
        Some((shown(host, &tag, &value), value))
    });
    let (shown, value) =
        found.ok_or_else(|| Refusal::not_found("resource_not_found", format!("no resource {tag}")))?;
    Ok(if wants_bytes(&headers) { bytes(value) } else { Json(shown).into_response() })
}

fn shown(host: &mut Host, tag: &StructTag, value: &[u8]) -> Value {
    let decoded =
        host.resource(tag, value).unwrap_or_else(|_| Value::String(format!("0x{}", hex::encode(value))));
    // The VM puts the fields beside their type.
    let data = decoded.get("data").cloned().unwrap_or(decoded);
    json!({ "type": tag.to_string(), "data": data })
}

pub(super) async fn modules(State(shared): State<Shared>, Path(account): Path<String>) -> Answer {
    let account = address(&account)?;
    let shown = shared.node().read(|host| {
        let prefix = [&account[..], &[CODE]].concat();
        let codes = host.store().below(&prefix).map(|(_, code)| abi(host, code));
        codes.collect::<Vec<Value>>()
    });
    Ok(Json(shown).into_response())
}

pub(super) async fn module(
    State(shared): State<Shared>,
    Path((account, name)): Path<(String, String)>,
) -> Answer {
    let key = code_key(&(address(&account)?, name.clone()));
    let shown = shared.node().read(|host| host.store().get(&key).map(|code| abi(host, code)));
    let shown = shown.ok_or_else(|| Refusal::not_found("module_not_found", format!("no module {name}")))?;
    Ok(Json(shown).into_response())
}

fn abi(host: &Host, code: &[u8]) -> Value {
    json!({ "bytecode": format!("0x{}", hex::encode(code)), "abi": host.abi(code).unwrap_or(Value::Null) })
}

/// Gas is kept in the node's own book; any other asset is a fungible one.
pub(super) async fn balance(
    State(shared): State<Shared>,
    Path((account, asset)): Path<(String, String)>,
) -> Answer {
    let account = address(&account)?;
    if is_gas(&asset) {
        return Ok(Json(shared.node().seen().balance(&account)).into_response());
    }
    let metadata = address(&asset)?;
    let store = aptos_sdk::crypto::sha3_256(&[&account[..], &metadata, &[0xfc]].concat());
    let key = resource_key(&store, &genesis::tag("fungible_asset", "FungibleStore"));
    let balance = shared.node().read(|host| {
        let bytes = host.store().get(&key)?.get(32..40)?.try_into().ok()?;
        Some(u64::from_le_bytes(bytes))
    });
    Ok(Json(balance.unwrap_or(0)).into_response())
}

fn is_gas(asset: &str) -> bool {
    asset == "0x1::aptos_coin::AptosCoin"
        || address(asset).is_ok_and(|asset| asset[..31] == [0; 31] && asset[31] == 10)
}

#[derive(Deserialize)]
struct ViewRequest {
    function: String,
    #[serde(default)]
    type_arguments: Vec<String>,
    #[serde(default)]
    arguments: Vec<Value>,
}

pub(super) async fn view(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> Answer {
    let mut node = shared.node();
    let content = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let call = if content.contains("bcs") {
        let function: EntryFunction =
            bcs::from_bytes(&body).map_err(|_| Refusal::bad("invalid_input", "no view function"))?;
        let module = (function.module.address.to_bytes(), function.module.name.as_str().to_owned());
        Call {
            module,
            function: function.function,
            types: function.type_args,
            args: function.args,
            json: false,
        }
    } else {
        let request: ViewRequest = serde_json::from_slice(&body)
            .map_err(|error| Refusal::bad("invalid_input", error.to_string()))?;
        if request.function == "0x1::coin::balance" {
            let account = request.arguments.first().and_then(Value::as_str).unwrap_or_default();
            return Ok(Json(vec![node.seen().balance(&address(account)?).to_string()]).into_response());
        }
        node.read(|host| of_json(host, &request))?
    };
    let returns = node.read(|host| show::signature(host, &call.module, &call.function));
    let (_, returns) = returns.ok_or_else(|| Refusal::bad("function_not_found", "no such view function"))?;
    let found = node.read(|host| host.view(&call));
    let found = found.map_err(|error| Refusal::bad("internal_error", format!("{error:#}")))?;
    let value = found.map_err(|failure| Refusal::bad("vm_error", show::failed(&failure)))?;
    // The VM gives one value as it is and several as a list.
    let values = match value {
        Value::Array(values) if returns.len() != 1 => values,
        value => vec![value],
    };
    if !wants_bytes(&headers) {
        let shown: Vec<Value> = returns.iter().zip(values).map(|(of, value)| of_object(of, value)).collect();
        return Ok(Json(shown).into_response());
    }
    let mut out = Vec::new();
    for (of, value) in returns.iter().zip(&values) {
        out.extend(
            values::encode(of, value).map_err(|error| Refusal::bad("invalid_input", format!("{error:#}")))?,
        );
    }
    Ok(bytes(out))
}

/// An object shows itself with its address inside.
fn of_object(of: &str, value: Value) -> Value {
    if of.starts_with("0x1::object::Object<") && value.is_string() {
        json!({ "inner": value })
    } else {
        value
    }
}

fn of_json(host: &Host, request: &ViewRequest) -> Result<Call, Refusal> {
    let mut parts = request.function.split("::");
    let (Some(account), Some(module), Some(function), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Refusal::bad("invalid_input", "no function"));
    };
    let module: (Address, String) = (address(account)?, module.to_owned());
    let (parameters, _) = show::signature(host, &module, function)
        .ok_or_else(|| Refusal::bad("function_not_found", format!("no function {}", request.function)))?;
    if parameters.len() != request.arguments.len() {
        return Err(Refusal::bad("invalid_input", format!("{} arguments", parameters.len())));
    }
    let encoded = |(of, value): (&String, &Value)| {
        // A client may send canonical bytes in hexadecimal instead of a value.
        values::encode(of, value).or_else(|error| {
            match value.as_str().and_then(|text| text.strip_prefix("0x")) {
                Some(digits) => hex::decode(digits).map_err(Into::into),
                None => Err(error),
            }
        })
    };
    let args: anyhow::Result<Vec<Vec<u8>>> = parameters.iter().zip(&request.arguments).map(encoded).collect();
    let args = args.map_err(|error| Refusal::bad("invalid_input", format!("{error:#}")))?;
    let types: Result<Vec<TypeTag>, _> =
        request.type_arguments.iter().map(|text| TypeTag::from_str_strict(text)).collect();
    let types = types.map_err(|error| Refusal::bad("invalid_input", error.to_string()))?;
    Ok(Call { module, function: function.to_owned(), types, args, json: false })
}

/// What a fault leaves of an answer.
pub(super) fn silence() -> Refusal {
    Refusal {
        status: StatusCode::SERVICE_UNAVAILABLE,
        code: "service_unavailable",
        message: "dropped".into(),
    }
}

/// What Aptos answers when its mempool takes no more.
pub(super) fn full() -> Refusal {
    Refusal {
        status: StatusCode::INSUFFICIENT_STORAGE,
        code: "mempool_is_full",
        message: "Mempool is full".into(),
    }
}
