//! The first state of a chain: the framework, the contracts published by their deployer, and their start.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use aptos_sdk::types::StructTag;
use serde::Serialize;
use symphony_chain::contracts::{Deployment, Entry, Start};
use symphony_chain::transaction::ChainId;
use symphony_types::digest::Digest;
use symphony_types::id::AccountId;

use crate::compiler;
use crate::store::Store;
use crate::vm::{Address, Call, Event, Place, Vm, resource_key};

/// Who deploys on a development chain.
pub const DEPLOYER: Address = short(0xd);
/// What the contracts' address follows from, with the deployer.
pub const SEED: &[u8] = b"symphony";
const FRAMEWORK: Address = short(1);
const GENESIS_GAS: u64 = 1 << 40;

/// Where what `cargo xtask move build` made lies.
#[derive(Clone, Debug)]
pub struct Artifacts {
    /// The VM's library.
    pub vm: PathBuf,
    /// The folder with the packages `framework-standin` and `symphony`, built.
    pub packages: PathBuf,
}

/// What Aptos keeps of a published package.
#[derive(Serialize)]
struct Package {
    name: String,
    policy: u8,
    upgrade_number: u64,
    source_digest: String,
    manifest: Vec<u8>,
    modules: Vec<Module>,
    deps: Vec<(Address, String)>,
    extension: Vec<u8>,
}

#[derive(Serialize)]
struct Module {
    name: String,
    source: Vec<u8>,
    source_map: Vec<u8>,
    extension: Vec<u8>,
}

/// Metadata of the contracts' package in canonical bytes, and its code, as `publish_package_txn` takes them.
pub fn package(artifacts: &Artifacts) -> Result<(Vec<u8>, Vec<Vec<u8>>)> {
    let modules = compiler::modules(&artifacts.packages.join("symphony"), "Symphony")?;
    let named =
        |name: &String| Module { name: name.clone(), source: vec![], source_map: vec![], extension: vec![] };
    let metadata = Package {
        name: "Symphony".into(),
        policy: 1,
        upgrade_number: 0,
        source_digest: String::new(),
        manifest: vec![],
        modules: ORDER.iter().map(|name| named(&(*name).to_owned())).collect(),
        deps: vec![(FRAMEWORK, "AptosFramework".into())],
        extension: vec![],
    };
    ensure!(modules.len() == ORDER.len(), "the package has other modules than the genesis knows");
    let code = ordered(&modules, &ORDER)?;
    Ok((bcs::to_bytes(&metadata)?, code))
}

/// Publishes framework and contracts, and starts them; gives the events of the start.
pub fn build(
    vm: &mut Vm,
    store: &mut Store,
    artifacts: &Artifacts,
    time_us: u64,
    start: &Start,
) -> Result<Vec<Event>> {
    let framework = compiler::modules(&artifacts.packages.join("framework-standin"), "AptosFramework")?;
    ensure!(
        framework.len() == FRAMEWORK_ORDER.len(),
        "the framework has other modules than the genesis knows"
    );
    vm.initialize(store, place(0), ordered(&framework, &FRAMEWORK_ORDER)?)?;
    set_time(store, time_us);
    let (metadata, code) = package(artifacts)?;
    let args = vec![bcs::to_bytes(SEED)?, bcs::to_bytes(&metadata)?, bcs::to_bytes(&code)?];
    let publish = call((FRAMEWORK, "resource_account"), "create_resource_account_and_publish_package", args);
    run(vm, store, 1, &publish)?;
    run(vm, store, 2, &entry(start.entry()))
}

/// Where the contracts of a development chain are, whatever its name.
pub fn address() -> Address {
    let chain = ChainId::new("dev").expect("a name");
    Deployment::by(chain, 0, AccountId(Digest(DEPLOYER))).contracts.0.0
}

/// Puts the time of a block into the state.
pub fn set_time(store: &mut Store, time_us: u64) {
    store.put(resource_key(&FRAMEWORK, &tag("timestamp", "CurrentTimeMicroseconds")), &time_us.to_le_bytes());
}

/// Puts an account's authentication key and the number of its next transaction into the state.
pub fn set_account(store: &mut Store, account: &Address, key: &[u8], sequence: u64) {
    let bytes = bcs::to_bytes(&(key, sequence)).expect("bytes and a number have canonical bytes");
    store.put(resource_key(account, &tag("account", "Account")), &bytes);
}

/// The authentication key of an account and the number of its next transaction.
pub fn account(store: &Store, account: &Address) -> Option<(Vec<u8>, u64)> {
    bcs::from_bytes(store.get(&resource_key(account, &tag("account", "Account")))?).ok()
}

/// A struct of the framework.
pub fn tag(module: &str, name: &str) -> StructTag {
    let text = format!("0x1::{module}::{name}");
    match aptos_sdk::types::TypeTag::from_str_strict(&text) {
        Ok(aptos_sdk::types::TypeTag::Struct(tag)) => *tag,
        _ => unreachable!("names of the framework are names"),
    }
}

/// A call of the contracts.
pub fn entry(entry: Entry) -> Call {
    call((address(), entry.module), entry.function, entry.args)
}

/// A call with arguments in canonical bytes.
pub fn call(module: (Address, &str), function: &str, args: Vec<Vec<u8>>) -> Call {
    let module = (module.0, module.1.to_owned());
    Call { module, function: function.into(), types: vec![], args, json: false }
}

fn run(vm: &mut Vm, store: &mut Store, number: u8, call: &Call) -> Result<Vec<Event>> {
    let (result, _) = vm.execute(store, place(number), &[DEPLOYER], call, GENESIS_GAS)?;
    match result {
        Ok(events) => Ok(events),
        Err(failure) => bail!("genesis, {}: {failure:?}", call.function),
    }
}

fn ordered(modules: &std::collections::BTreeMap<String, Vec<u8>>, order: &[&str]) -> Result<Vec<Vec<u8>>> {
    let module = |name: &&str| modules.get(*name).cloned().with_context(|| format!("no module {name}"));
    order.iter().map(module).collect()
}

fn place(number: u8) -> Place {
    Place { height: 0, seconds: 0, hash: [number; 32] }
}

const fn short(last: u8) -> Address {
    let mut address = [0; 32];
    address[31] = last;
    address
}

/// In the order of their dependencies.
const FRAMEWORK_ORDER: [&str; 20] = [
    "error",
    "signer",
    "vector",
    "option",
    "string",
    "bcs",
    "hash",
    "from_bcs",
    "util",
    "copyable_any",
    "table",
    "ed25519",
    "event",
    "account",
    "code",
    "resource_account",
    "timestamp",
    "object",
    "fungible_asset",
    "primary_fungible_store",
];
const ORDER: [&str; 13] = [
    "bytes",
    "roles",
    "governance",
    "authority",
    "merkle",
    "policy",
    "sym",
    "treasury",
    "escrow",
    "reward",
    "staking",
    "inflation",
    "genesis",
];
