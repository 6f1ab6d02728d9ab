//! The script of facts that every official client must find, in Rust; `clients/` has it in Python and TypeScript. Each prints one
//! line of JSON, and `cargo xtask move clients` compares the lines.

use anyhow::{Context, Result, ensure};
use aptos_sdk::account::Ed25519Account;
use aptos_sdk::transaction::payload::{EntryFunction, TransactionPayload};
use aptos_sdk::types::{AccountAddress, Identifier, MoveModuleId};
use aptos_sdk::{Aptos, AptosConfig};
use serde_json::{Value, json};

use crate::development;
use crate::genesis;

/// Runs the script against a node; gives the facts.
pub async fn facts(url: &str, seed: u8) -> Result<Value> {
    let client = Aptos::new(AptosConfig::custom(url)?)?;
    client.ensure_chain_id().await?;
    let sender = Ed25519Account::from_private_key_bytes(&[seed; 32])?;
    let recipient = AccountAddress::new([seed; 32]);
    let minimum = 100 * development::SYM;
    let paid = client.sign_submit_and_wait(&sender, transfer(recipient, 250)?, None).await?.data;
    let events = paid["events"].as_array().context("a transaction has events")?;
    let ours = format!("0x{}::sym::Transferred", hex::encode(genesis::address()));
    let announced =
        events.iter().find(|event| event["type"] == ours.as_str()).context("the payment's event")?;
    let staked = client.sign_submit_and_wait(&sender, stake(minimum)?, None).await?.data;
    ensure!(staked["success"] == true, "the stake failed");
    let refused = client.sign_submit_and_wait(&sender, transfer(recipient, 0)?, None).await;
    let refused = refused.err().map(|error| error.to_string()).unwrap_or_default();
    let simulated = client.simulate(&sender, transfer(recipient, 1)?).await?;
    let policy = format!("{}::policy::Policy", contracts());
    let node = client.fullnode();
    let policy = node.get_account_resource(AccountAddress::new(genesis::address()), &policy).await?.data.data;
    let module = node.get_account_module(AccountAddress::new(genesis::address()), "sym").await?.data;
    let functions = module.abi.context("a module has an ABI")?.exposed_functions;
    let payment = functions.iter().find(|function| function.name == "transfer").context("sym::transfer")?;
    let version = paid["version"].as_str().context("a version")?.parse()?;
    let block = node.get_block_by_height(version, true).await?.data;
    Ok(json!({
        "chain_id": client.chain_id().id(),
        "paid": announced["data"]["amount"],
        "balance": view(&client, "sym::balance", vec![json!(recipient.to_string())]).await?,
        "stake": view(&client, "staking::stake", vec![json!(sender.address().to_string()), json!(2)]).await?.as_array().map(|stake| stake[..2].to_vec()),
        "refused": refused.contains("0x10008"),
        "simulated": simulated.success(),
        "policy": policy["version"],
        "parameters": payment.params,
        "sequence": client.get_sequence_number(sender.address()).await?,
        "block": block["transactions"][0]["hash"] == paid["hash"],
    }))
}

/// What a view returns: one value as it is.
async fn view(client: &Aptos, function: &str, args: Vec<Value>) -> Result<Value> {
    let mut values = client.view(&format!("{}::{function}", contracts()), vec![], args).await?;
    Ok(if values.len() == 1 { values.remove(0) } else { values.into() })
}

fn contracts() -> String {
    format!("0x{}", hex::encode(genesis::address()))
}

fn transfer(to: AccountAddress, amount: u64) -> Result<TransactionPayload> {
    entry("sym", "transfer", vec![bcs::to_bytes(&to)?, bcs::to_bytes(&amount)?])
}

fn stake(amount: u64) -> Result<TransactionPayload> {
    entry("staking", "deposit", vec![bcs::to_bytes(&2u8)?, bcs::to_bytes(&amount)?])
}

fn entry(module: &str, function: &str, args: Vec<Vec<u8>>) -> Result<TransactionPayload> {
    let module = MoveModuleId::new(AccountAddress::new(genesis::address()), Identifier::new(module)?);
    Ok(TransactionPayload::EntryFunction(EntryFunction::new(module, function, vec![], args)))
}
