//! One chain in memory: time, blocks of one transaction, and the invariant that no unit of money comes or goes (R182).

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Result, ensure};
use aptos_sdk::types::StructTag;
use serde_json::Value;
use symphony_chain::contracts::Start;

use crate::genesis::{self, Artifacts};
use crate::store::{RESOURCE, Snapshot, Store, Touched};
use crate::vm::{Address, Call, Event, Failure, Place, Vm, resource_key};

/// A chain.
pub struct Host {
    vm: Vm,
    store: Store,
    height: u64,
    time_us: u64,
    /// All that stores of the token hold.
    held: u128,
    metadata: Address,
    /// ABI by the module's key, with the code that it is of.
    abis: RefCell<BTreeMap<Vec<u8>, Abi>>,
}

/// A module's code and what it offers.
type Abi = (Vec<u8>, Arc<Value>);

/// What became of a transaction.
#[derive(Clone, Debug)]
pub struct Executed {
    /// Its events, or why it had no effect.
    pub result: Result<Vec<Event>, Failure>,
    /// Gas by the tool's own schedule, not Aptos'.
    pub gas_used: u64,
    /// What it read and wrote.
    pub touched: Touched,
}

/// A chain to come back to.
#[derive(Clone)]
pub struct Saved {
    state: Snapshot,
    height: u64,
    time_us: u64,
    held: u128,
}

impl Saved {
    /// The time of its last block, in microseconds.
    pub const fn time_us(&self) -> u64 {
        self.time_us
    }
}

impl Host {
    /// A chain that has just started.
    pub fn new(artifacts: &Artifacts, time_us: u64, start: &Start) -> Result<Self> {
        let mut vm = Vm::load(&artifacts.vm)?;
        let mut store = Store::default();
        genesis::build(&mut vm, &mut store, artifacts, time_us, start)?;
        let metadata = metadata();
        let abis = RefCell::default();
        let mut host = Self { vm, store, height: 1, time_us, held: 0, metadata, abis };
        host.held = host.count();
        host.check_supply()?;
        Ok(host)
    }

    /// The height of the last block.
    pub const fn height(&self) -> u64 {
        self.height
    }

    /// The time of the last block, in microseconds.
    pub const fn time_us(&self) -> u64 {
        self.time_us
    }

    /// The state.
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// The state, to be changed from outside the VM.
    pub const fn store_mut(&mut self) -> &mut Store {
        &mut self.store
    }

    /// Lets time pass.
    pub fn set_time(&mut self, time_us: u64) {
        self.time_us = time_us.max(self.time_us);
        genesis::set_time(&mut self.store, self.time_us);
    }

    /// Executes a call as a block of its own.
    ///
    /// **Errors**: only when the tool or the invariant breaks; a refused transaction is a result.
    pub fn execute(&mut self, sender: Address, call: &Call, hash: [u8; 32], gas: u64) -> Result<Executed> {
        self.height += 1;
        self.store.begin();
        let place = Place { height: self.height, seconds: self.time_us / 1_000_000, hash };
        let (result, gas_used) = self.vm.execute(&mut self.store, place, &[sender], call, gas)?;
        let touched = self.store.touched();
        if result.is_ok() {
            self.follow()?;
        }
        Ok(Executed { result, gas_used, touched })
    }

    /// Executes a call and takes everything back.
    pub fn simulate(&mut self, sender: Address, call: &Call, hash: [u8; 32], gas: u64) -> Result<Executed> {
        let (height, held) = (self.height, self.held);
        let executed = self.execute(sender, call, hash, gas);
        self.store.roll_back();
        (self.height, self.held) = (height, held);
        executed
    }

    /// Calls a view function.
    pub fn view(&mut self, call: &Call) -> Result<Result<Value, Failure>> {
        let place = Place { height: self.height, seconds: self.time_us / 1_000_000, hash: [0; 32] };
        self.vm.view(&mut self.store, place, call)
    }

    /// Calls a view of the contracts whose arguments are in canonical bytes; gives addresses in full.
    pub fn look(&mut self, module: &str, function: &str, args: Vec<Vec<u8>>) -> Result<Value> {
        let found = self.view(&genesis::call((genesis::address(), module), function, args))?;
        let found = found.map_err(|failure| anyhow::anyhow!("{module}::{function}: {failure:?}"))?;
        Ok(crate::contracts::whole(&found))
    }

    /// A resource as the VM shows it.
    pub fn resource(&mut self, tag: &StructTag, bytes: &[u8]) -> Result<Value> {
        self.vm.resource(&mut self.store, tag, bytes)
    }

    /// The ABI of a module's code.
    pub fn abi(&self, module: &[u8]) -> Result<Value> {
        self.vm.abi(module)
    }

    /// The ABI of the module at a key, which is decoded once for its code.
    pub fn abi_at(&self, key: &[u8]) -> Option<Arc<Value>> {
        let code = self.store.get(key)?;
        let mut abis = self.abis.borrow_mut();
        if let Some((of, abi)) = abis.get(key)
            && of == code
        {
            return Some(abi.clone());
        }
        let abi = Arc::new(self.vm.abi(code).ok()?);
        abis.insert(key.to_vec(), (code.to_vec(), abi.clone()));
        Some(abi)
    }

    /// The chain now.
    pub fn save(&self) -> Saved {
        Saved { state: self.store.snapshot(), height: self.height, time_us: self.time_us, held: self.held }
    }

    /// Comes back to a chain.
    pub fn restore(&mut self, saved: &Saved) {
        self.store.restore(&saved.state);
        (self.height, self.time_us, self.held) = (saved.height, saved.time_us, saved.held);
    }

    /// Adds what the block changed, and compares with the supply.
    fn follow(&mut self) -> Result<()> {
        let (mut taken, mut given) = (0u128, 0u128);
        for (key, (old, new)) in self.store.changes() {
            if key[32] == RESOURCE && key[33..] == self.store_tag()[..] {
                taken += old.map_or(0, |bytes| self.balance_in(bytes));
                given += new.map_or(0, |bytes| self.balance_in(bytes));
            }
        }
        self.held = self.held + given - taken;
        self.check_supply()
    }

    fn check_supply(&self) -> Result<()> {
        let key = resource_key(&self.metadata, &genesis::tag("fungible_asset", "Supply"));
        let supply = self.store.get(&key).and_then(|bytes| bytes.get(..16)?.try_into().ok());
        let supply = u128::from_le_bytes(supply.unwrap_or_default());
        ensure!(supply == self.held, "invariant chain.supply: {} held of {supply} minted", self.held);
        Ok(())
    }

    fn count(&self) -> u128 {
        let is_store = |key: &[u8]| key[32] == RESOURCE && key[33..] == self.store_tag()[..];
        self.store.below(&[]).filter(|(key, _)| is_store(key)).map(|(_, bytes)| self.balance_in(bytes)).sum()
    }

    fn store_tag(&self) -> Vec<u8> {
        bcs::to_bytes(&genesis::tag("fungible_asset", "FungibleStore")).expect("a tag has canonical bytes")
    }

    /// The balance in a store of the token; a store of another asset holds none of it.
    fn balance_in(&self, bytes: &[u8]) -> u128 {
        let of_token = bytes.get(..32) == Some(&self.metadata[..]);
        let balance = bytes.get(32..40).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes);
        if of_token { u128::from(balance) } else { 0 }
    }
}

/// Where the token's metadata is: the object of the contracts' address and its name.
pub fn metadata() -> Address {
    aptos_sdk::crypto::sha3_256(&[&genesis::address()[..], b"SYM", &[0xfe]].concat())
}
