//! What the node knows, in the JSON of Aptos' REST API.

use aptos_sdk::transaction::SignedTransaction;
use serde_json::{Value, json};

use crate::host::Host;
use crate::node::{Record, entry_function, nonce};
use crate::vm::{Address, Event, Failure, code_key};

/// A committed transaction.
pub(crate) fn transaction(host: &Host, record: &Record) -> Value {
    let mut shown = unsigned(host, &record.transaction, &record.hash);
    let events = record.result.as_deref().unwrap_or_default();
    let rest = json!({
        "type": "user_transaction",
        "version": record.version.to_string(),
        "state_change_hash": address(&[0; 32]),
        "event_root_hash": address(&[0; 32]),
        "state_checkpoint_hash": null,
        "accumulator_root_hash": address(&[0; 32]),
        "gas_used": record.gas_used.to_string(),
        "success": record.result.is_ok(),
        "vm_status": status(&record.result),
        "changes": [],
        "events": events.iter().map(event).collect::<Vec<Value>>(),
        "timestamp": record.time_us.to_string(),
    });
    if let (Some(shown), Value::Object(rest)) = (shown.as_object_mut(), rest) {
        shown.extend(rest);
    }
    shown
}

/// A transaction that waits for its execution.
pub(crate) fn pending(host: &Host, transaction: &SignedTransaction, hash: &[u8; 32]) -> Value {
    let mut shown = unsigned(host, transaction, hash);
    shown["type"] = "pending_transaction".into();
    shown
}

fn unsigned(host: &Host, transaction: &SignedTransaction, hash: &[u8; 32]) -> Value {
    let raw = &transaction.raw_txn;
    let mut shown = json!({
        "hash": address(hash),
        "sender": address(&raw.sender.to_bytes()),
        "sequence_number": raw.sequence_number.to_string(),
        "max_gas_amount": raw.max_gas_amount.to_string(),
        "gas_unit_price": raw.gas_unit_price.to_string(),
        "expiration_timestamp_secs": raw.expiration_timestamp_secs.to_string(),
        "payload": payload(host, transaction),
    });
    if let Some(nonce) = nonce(transaction) {
        shown["replay_protection_nonce"] = nonce.to_string().into();
    }
    shown
}

fn payload(host: &Host, transaction: &SignedTransaction) -> Value {
    let Some(function) = entry_function(transaction) else { return Value::Null };
    let module = (function.module.address.to_bytes(), function.module.name.as_str().to_owned());
    let types = parameters(host, &module, &function.function);
    let shown = |(place, bytes): (usize, &Vec<u8>)| {
        let of = types.get(place).map(String::as_str).unwrap_or_default();
        // A type that is not known is shown as its bytes.
        crate::values::decode(of, bytes).unwrap_or_else(|_| format!("0x{}", hex::encode(bytes)).into())
    };
    json!({
        "type": "entry_function_payload",
        "function": format!("{}::{}::{}", short(&module.0), module.1, function.function),
        "type_arguments": function.type_args.iter().map(ToString::to_string).collect::<Vec<String>>(),
        "arguments": function.args.iter().enumerate().map(shown).collect::<Vec<Value>>(),
    })
}

/// Types of a function's parameters without its signers; none when there is no such function.
pub(crate) fn parameters(host: &Host, module: &(Address, String), function: &str) -> Vec<String> {
    signature(host, module, function).map_or(Vec::new(), |(parameters, _)| parameters)
}

/// Types of a function's parameters without its signers, and of what it returns.
pub(crate) fn signature(
    host: &Host,
    module: &(Address, String),
    function: &str,
) -> Option<(Vec<String>, Vec<String>)> {
    let abi = host.abi_at(&code_key(module))?;
    let functions = abi["exposed_functions"].as_array()?;
    let found = functions.iter().find(|found| found["name"] == function)?;
    let texts = |name: &str| -> Option<Vec<String>> {
        Some(found[name].as_array()?.iter().filter_map(|text| Some(text.as_str()?.to_owned())).collect())
    };
    let parameters = texts("params")?.into_iter().filter(|of| !matches!(of.as_str(), "signer" | "&signer"));
    Some((parameters.collect(), texts("return")?))
}

fn event(event: &Event) -> Value {
    json!({
        "guid": { "creation_number": "0", "account_address": "0x0" },
        "sequence_number": "0",
        "type": event.tag,
        "data": event.data,
    })
}

fn status(result: &Result<Vec<Event>, Failure>) -> String {
    match result {
        Ok(_) => "Executed successfully".into(),
        Err(failure) => failed(failure),
    }
}

/// A failure in Aptos' words.
pub(crate) fn failed(failure: &Failure) -> String {
    match failure {
        Failure::Abort { module, code } => format!("Move abort in {module}: {code:#x}"),
        Failure::OutOfGas => "Out of gas".into(),
        Failure::Vm(text) => format!("Execution failed: {text}"),
    }
}

/// A block: one transaction, or the genesis.
pub(crate) fn block(host: &Host, height: u64, time_us: u64, records: &[&Record], whole: bool) -> Value {
    let transactions: Vec<Value> = records.iter().map(|record| transaction(host, record)).collect();
    json!({
        "block_height": height.to_string(),
        "block_hash": records.first().map_or(address(&[0; 32]), |record| address(&record.hash)),
        "block_timestamp": time_us.to_string(),
        "first_version": height.to_string(),
        "last_version": height.to_string(),
        "transactions": if whole { Value::from(transactions) } else { Value::Null },
    })
}

/// 32 bytes in full.
pub(crate) fn address(bytes: &[u8; 32]) -> String {
    format!("0x{}", hex::encode(bytes))
}

fn short(bytes: &[u8; 32]) -> String {
    let text = hex::encode(bytes);
    let digits = text.trim_start_matches('0');
    format!("0x{}", if digits.is_empty() { "0" } else { digits })
}
