//! The Move VM with typed payloads: publish the framework, execute an entry function, call a view, decode a resource or a module.

use std::path::Path;

use anyhow::{Context, Result};
use aptos_sdk::types::{StructTag, TypeTag};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::native::VmLibrary;
use crate::store::{CODE, RESOURCE, Store};

/// 32 bytes: an account, or a digest.
pub type Address = [u8; 32];

/// The VM.
pub struct Vm(VmLibrary);

/// Where and when a transaction is executed.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The block's number.
    pub height: u64,
    /// The block's time in seconds.
    pub seconds: u64,
    /// The transaction's hash; names of new tables follow from it.
    pub hash: [u8; 32],
}

/// A call of an entry or view function.
#[derive(Clone, Debug, Serialize)]
pub struct Call {
    /// Address and name of the module.
    pub module: (Address, String),
    /// The function.
    pub function: String,
    /// Its type arguments.
    pub types: Vec<TypeTag>,
    /// Its arguments in canonical bytes; for a view they may be JSON.
    pub args: Vec<Vec<u8>>,
    /// Whether they are.
    pub json: bool,
}

/// What a module announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The event's type, with its module.
    pub tag: String,
    /// Its fields.
    pub data: Value,
}

/// Why a transaction had no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A module said so.
    Abort {
        /// Which, with its address.
        module: String,
        /// Its code: a category in the upper bits, a reason in the lower 16.
        code: u64,
    },
    /// It needs more gas than it may use.
    OutOfGas,
    /// Anything else, in the VM's words.
    Vm(String),
}

#[derive(Serialize)]
struct Config {
    allow_unstable: bool,
    script_cache: u64,
    module_cache: u64,
}

#[derive(Serialize)]
struct Env {
    height: u64,
    seconds: u64,
    next_account: u64,
    tx_hash: [u8; 32],
    session: [u8; 32],
}

#[derive(Serialize)]
struct Bundle {
    modules: Vec<Vec<u8>>,
}

/// The lists that stay empty here have elements of any type.
#[derive(Deserialize)]
struct Executed {
    events: Vec<(String, String)>,
    _staking: Vec<u8>,
    _cosmos: Vec<u8>,
    _accounts: Vec<(Address, u64, u8)>,
    _gas: Vec<((Address, String), u64)>,
}

#[derive(Deserialize)]
struct Viewed {
    returned: String,
    _events: Vec<(String, String)>,
}

impl Vm {
    /// Loads the VM's library.
    pub fn load(library: &Path) -> Result<Self> {
        let config = Config { allow_unstable: true, script_cache: CACHE, module_cache: CACHE };
        Ok(Self(VmLibrary::load(library, &bcs::to_bytes(&config)?)?))
    }

    /// Publishes the framework into an empty state; modules in the order of their dependencies.
    pub fn initialize(&mut self, store: &mut Store, place: Place, modules: Vec<Vec<u8>>) -> Result<()> {
        let bundle = bcs::to_bytes(&Bundle { modules })?;
        let publishers = bcs::to_bytes(&Vec::<Address>::new())?;
        self.0.initialize(store, [&env(place)?, &bundle, &publishers]).context("publishing the framework")?;
        Ok(())
    }

    /// Executes an entry function for its senders. Nothing is written when it fails. Says how much gas was used either way.
    pub fn execute(
        &mut self,
        store: &mut Store,
        place: Place,
        senders: &[Address],
        call: &Call,
        gas: u64,
    ) -> Result<(Result<Vec<Event>, Failure>, u64)> {
        let mut left = gas;
        let payloads = [env(place)?, bcs::to_bytes(&senders.to_vec())?, bcs::to_bytes(call)?];
        let [env, senders, call] = &payloads;
        let result = self.0.execute(store, &mut left, [env, senders, call]);
        let used = gas.saturating_sub(left);
        let bytes = match result {
            Ok(bytes) => bytes,
            Err(refusal) => return Ok((Err(failure(&refusal.to_string())), used)),
        };
        let executed: Executed = bcs::from_bytes(&bytes).context("reading what the transaction did")?;
        Ok((Ok(events(executed.events)?), used))
    }

    /// Calls a view function; gives what it returned, as JSON: one value, or a list of several.
    pub fn view(&mut self, store: &mut Store, place: Place, call: &Call) -> Result<Result<Value, Failure>> {
        let mut gas = VIEW_GAS;
        let payloads = [env(place)?, bcs::to_bytes(call)?];
        let [env, call] = &payloads;
        let bytes = match self.0.look(store, &mut gas, [env, call]) {
            Ok(bytes) => bytes,
            Err(refusal) => return Ok(Err(failure(&refusal.to_string()))),
        };
        let viewed: Viewed = bcs::from_bytes(&bytes).context("reading what the view returned")?;
        Ok(Ok(serde_json::from_str(&viewed.returned).context("reading the view's JSON")?))
    }

    /// The ABI of a compiled module.
    pub fn abi(&self, module: &[u8]) -> Result<Value> {
        let bytes = self.0.decode_module(module)?;
        serde_json::from_slice(&bytes).context("reading the ABI")
    }

    /// A resource as JSON, as the VM shows it.
    pub fn resource(&mut self, store: &mut Store, tag: &StructTag, bytes: &[u8]) -> Result<Value> {
        let tag = bcs::to_bytes(tag)?;
        let json = self.0.decode_resource(store, &tag, bytes)?;
        serde_json::from_slice(&json).context("reading the resource's JSON")
    }
}

/// The key of a module.
pub fn code_key(module: &(Address, String)) -> Vec<u8> {
    let name = bcs::to_bytes(&module.1).expect("a text has canonical bytes");
    [&module.0[..], &[CODE], &name].concat()
}

/// The key of a resource.
pub fn resource_key(account: &Address, tag: &StructTag) -> Vec<u8> {
    let tag = bcs::to_bytes(tag).expect("a tag has canonical bytes");
    [&account[..], &[RESOURCE], &tag].concat()
}

fn env(place: Place) -> Result<Vec<u8>> {
    let Place { height, seconds, hash } = place;
    Ok(bcs::to_bytes(&Env { height, seconds, next_account: 1, tx_hash: hash, session: hash })?)
}

fn events(emitted: Vec<(String, String)>) -> Result<Vec<Event>> {
    let event = |(tag, data): (String, String)| {
        Ok(Event { tag, data: serde_json::from_str(&data).context("reading an event's JSON")? })
    };
    emitted.into_iter().map(event).collect()
}

/// Reads the VM's words: `... location=<module>, code=<number>`.
fn failure(text: &str) -> Failure {
    if text.contains("OUT_OF_GAS") {
        return Failure::OutOfGas;
    }
    let after = |mark: &str, end: fn(char) -> bool| {
        let rest = text.split_once(mark)?.1;
        Some(rest.split(end).next().unwrap_or(rest).to_owned())
    };
    let module = after("location=", |c| c == ',' || c.is_whitespace());
    let code = after("code=", |c| !c.is_ascii_digit()).and_then(|code| code.parse().ok());
    match (module, code) {
        (Some(module), Some(code)) => Failure::Abort { module, code },
        _ => Failure::Vm(text.to_owned()),
    }
}

/// Modules and scripts that the VM keeps loaded; more than there are.
const CACHE: u64 = 1_000;
const VIEW_GAS: u64 = 50_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_abort_is_read_out_of_the_vms_words() {
        let text = "VM aborted: location=0x1::escrow, code=65546, caused by ...";
        assert_eq!(failure(text), Failure::Abort { module: "0x1::escrow".into(), code: 65546 });
        assert_eq!(failure("VM failure: OUT_OF_GAS"), Failure::OutOfGas);
        assert_eq!(failure("else"), Failure::Vm("else".into()));
    }
}
