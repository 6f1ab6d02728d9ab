//! One node: it checks transactions as Aptos' prologue does, executes each as a block of its own, keeps what became of them, and
//! takes gas from accounts of its own book. Faults and snapshots are on command.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use aptos_sdk::transaction::SignedTransaction;
use aptos_sdk::transaction::payload::{
    EntryFunction, TransactionExecutable, TransactionExtraConfig, TransactionPayload, TransactionPayloadInner,
};
use symphony_chain::contracts::Start;

use crate::faults::{Fate, Faults};
use crate::genesis::{self, Artifacts};
use crate::host::{Executed, Host, Saved};
use crate::journal::{Entry, Journal};
use crate::store::Touched;
use crate::vm::{Address, Call, Event, Failure};

/// A node with its chain.
pub struct Node {
    host: Host,
    chain_id: u8,
    committed: Committed,
    pending: Vec<Pending>,
    faults: Faults,
    /// What reads see while the node lags.
    frozen: Option<(Saved, Committed)>,
    snapshots: BTreeMap<String, Kept>,
    genesis: Kept,
    clock_offset_us: i64,
    journal: Option<Journal>,
}

/// A chain to come back to, and how long its journal was.
type Kept = (Saved, Committed, u64);

/// What the node remembers beside the state.
#[derive(Clone, Default)]
pub struct Committed {
    /// Transactions by version, from 1.
    records: Vec<Record>,
    versions: BTreeMap<[u8; 32], u64>,
    nonces: BTreeSet<(Address, u64)>,
    gas: BTreeMap<Address, u64>,
}

/// A committed transaction.
#[derive(Clone)]
pub struct Record {
    /// Its place in the order of all.
    pub version: u64,
    /// Its hash.
    pub hash: [u8; 32],
    /// As it came.
    pub transaction: SignedTransaction,
    /// When, in microseconds.
    pub time_us: u64,
    /// Its events, or why it had no effect but for its gas.
    pub result: Result<Vec<Event>, Failure>,
    /// Charged gas units.
    pub gas_used: u64,
    /// What it read and wrote.
    pub touched: Touched,
}

struct Pending {
    transaction: SignedTransaction,
    hash: [u8; 32],
    due_us: u64,
}

/// Why a submission is refused before it is executed, in Aptos' words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused(pub &'static str, pub String);

/// What became of a submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// It is accepted under this hash.
    Accepted([u8; 32]),
    /// A fault: nothing is answered.
    Silence,
    /// A fault: too many wait.
    Full,
}

impl Node {
    /// A node with a chain that has just started and is forgotten with the process.
    pub fn new(artifacts: &Artifacts, chain_id: u8, start: &Start) -> Result<Self> {
        let host = Host::new(artifacts, clock_us(), start)?;
        let genesis = (host.save(), Committed::default(), 0);
        Ok(Self {
            host,
            chain_id,
            committed: Committed::default(),
            pending: Vec::new(),
            faults: Faults::default(),
            frozen: None,
            snapshots: BTreeMap::new(),
            genesis,
            clock_offset_us: 0,
            journal: None,
        })
    }

    /// A node with the chain that `journal` tells, which goes on in it; its accounts and these others have so much gas from the
    /// beginning.
    pub fn open(
        artifacts: &Artifacts,
        chain_id: u8,
        start: &Start,
        journal: &Path,
        (gas, others): (u64, &[Address]),
    ) -> Result<Self> {
        let (journal, entries) = Journal::open(journal, clock_us())?;
        let mut node = Self::new(artifacts, chain_id, start)?;
        let host = Host::new(artifacts, journal.begun_us(), start)?;
        for account in start.balances.iter().map(|(account, _)| account) {
            node.fund(account.0.0, gas);
        }
        for account in [start.payout, start.settlement, start.governance] {
            node.fund(account.0.0, gas);
        }
        for account in others {
            node.fund(*account, gas);
        }
        node.host = host;
        node.genesis = (node.host.save(), node.committed.clone(), Journal::head());
        for entry in entries {
            match entry {
                Entry::Executed { transaction, time_us } => {
                    let transaction =
                        bcs::from_bytes(&transaction).context("a transaction of the journal")?;
                    let hash = hash_of(&transaction).map_err(|Refused(_, text)| anyhow::anyhow!(text))?;
                    node.commit(transaction, hash, time_us);
                }
                Entry::Funded { account, amount } => node.fund(account, amount),
            }
        }
        node.journal = Some(journal);
        Ok(node)
    }

    fn note(&mut self, entry: impl FnOnce() -> Entry) {
        if let Some(journal) = &mut self.journal {
            journal.append(&entry());
        }
    }

    /// The chain's number.
    pub const fn chain_id(&self) -> u8 {
        self.chain_id
    }

    /// The chain itself.
    pub const fn host(&mut self) -> &mut Host {
        &mut self.host
    }

    /// What readers may know of committed transactions.
    pub fn seen(&self) -> &Committed {
        self.frozen.as_ref().map_or(&self.committed, |(_, committed)| committed)
    }

    /// The time that readers see.
    pub fn time_us(&self) -> u64 {
        match &self.frozen {
            Some((saved, _)) => saved.time_us(),
            None => self.now_us().max(self.host.time_us()),
        }
    }

    /// Runs a read against the state that readers see.
    pub fn read<T>(&mut self, read: impl FnOnce(&mut Host) -> T) -> T {
        let Some((frozen, _)) = &self.frozen else { return read(&mut self.host) };
        let current = self.host.save();
        self.host.restore(frozen);
        let answer = read(&mut self.host);
        self.host.restore(&current);
        answer
    }

    /// Takes a transaction in.
    ///
    /// **Errors**: [`Refused`] as Aptos' mempool would.
    pub fn submit(&mut self, transaction: SignedTransaction) -> Result<Submitted, Refused> {
        let fate = self.faults.next();
        match fate {
            Fate::TurnedAway => return Ok(Submitted::Full),
            Fate::RequestDropped => return Ok(Submitted::Silence),
            Fate::AnswerDropped | Fate::Forgotten | Fate::Served => {}
        }
        let hash = hash_of(&transaction)?;
        if self.committed.versions.contains_key(&hash) {
            return Ok(Submitted::Accepted(hash));
        }
        transaction.verify_signature().map_err(|error| Refused("INVALID_SIGNATURE", error.to_string()))?;
        self.check(&transaction)?;
        if fate == Fate::Forgotten {
            return Ok(Submitted::Accepted(hash));
        }
        let due_us = self.now_us() + self.faults.delay_ms * 1_000;
        if !self.pending.iter().any(|pending| pending.hash == hash) {
            self.pending.push(Pending { transaction, hash, due_us });
        }
        self.progress();
        Ok(if fate == Fate::AnswerDropped { Submitted::Silence } else { Submitted::Accepted(hash) })
    }

    /// Executes what is due and has its turn; forgets what has expired.
    pub fn progress(&mut self) {
        let now = self.now_us();
        loop {
            let expired =
                |pending: &Pending| pending.transaction.raw_txn.expiration_timestamp_secs <= now / 1_000_000;
            self.pending.retain(|pending| !expired(pending));
            let turn = |pending: &Pending| pending.due_us <= now && self.has_turn(&pending.transaction);
            let Some(place) = self.pending.iter().position(turn) else { return };
            let Pending { transaction, hash, .. } = self.pending.remove(place);
            self.commit(transaction, hash, now);
        }
    }

    fn has_turn(&self, transaction: &SignedTransaction) -> bool {
        nonce(transaction).is_some()
            || sequence(&self.host, transaction) == transaction.raw_txn.sequence_number
    }

    fn check(&self, transaction: &SignedTransaction) -> Result<(), Refused> {
        let raw = &transaction.raw_txn;
        let refused = |code, text: &str| Err(Refused(code, text.to_owned()));
        if raw.chain_id.id() != self.chain_id {
            return refused("BAD_CHAIN_ID", "the transaction is for another chain");
        }
        if raw.expiration_timestamp_secs <= self.now_us() / 1_000_000 {
            return refused("TRANSACTION_EXPIRED", "the transaction has expired");
        }
        if entry_function(transaction).is_none() {
            return refused("UNKNOWN_STATUS", "only entry functions are executed here");
        }
        match nonce(transaction) {
            Some(nonce) if self.committed.nonces.contains(&(raw.sender.to_bytes(), nonce)) => {
                return refused("NONCE_ALREADY_USED", "the nonce was used before");
            }
            Some(_) => {}
            None if raw.sequence_number < sequence(&self.host, transaction) => {
                return refused("SEQUENCE_NUMBER_TOO_OLD", "the sequence number was used before");
            }
            None => {}
        }
        let price = raw.max_gas_amount.saturating_mul(raw.gas_unit_price);
        if self.committed.balance(&payer(transaction)) < price {
            return refused("INSUFFICIENT_BALANCE_FOR_TRANSACTION_FEE", "the gas account is too small");
        }
        Ok(())
    }

    fn commit(&mut self, transaction: SignedTransaction, hash: [u8; 32], now: u64) {
        self.note(|| Entry::Executed {
            transaction: bcs::to_bytes(&transaction).expect("what was read has canonical bytes"),
            time_us: now,
        });
        let Some(function) = entry_function(&transaction) else { return };
        self.host.set_time(now);
        let raw = &transaction.raw_txn;
        let sender = raw.sender.to_bytes();
        let executed =
            self.host.execute(sender, &call(function), hash, raw.max_gas_amount.saturating_mul(GAS_SCALE));
        let executed = executed.unwrap_or_else(|error| broken(&error));
        let gas_used = charged(&executed, raw.max_gas_amount);
        let balance = self.committed.gas.entry(payer(&transaction)).or_default();
        *balance = balance.saturating_sub(gas_used * raw.gas_unit_price);
        match nonce(&transaction) {
            Some(nonce) => {
                self.committed.nonces.insert((sender, nonce));
            }
            None => {
                let key =
                    genesis::account(self.host.store(), &sender).map_or(sender.to_vec(), |(key, _)| key);
                genesis::set_account(self.host.store_mut(), &sender, &key, raw.sequence_number + 1);
            }
        }
        let version = self.committed.records.len() as u64 + 1;
        self.committed.versions.insert(hash, version);
        let Executed { result, touched, .. } = executed;
        let time_us = self.host.time_us();
        self.committed.records.push(Record {
            version,
            hash,
            transaction,
            time_us,
            result,
            gas_used,
            touched,
        });
    }

    /// What a transaction would do, without a signature; nothing stays.
    ///
    /// **Errors**: [`Refused`] when it is no transaction that this chain executes.
    pub fn simulate(&mut self, transaction: SignedTransaction) -> Result<Record, Refused> {
        let hash = hash_of(&transaction)?;
        let function = entry_function(&transaction);
        let function = function.ok_or_else(|| Refused("UNKNOWN_STATUS", "no entry function".into()))?;
        let raw = &transaction.raw_txn;
        let (call, gas) = (call(function), raw.max_gas_amount.saturating_mul(GAS_SCALE));
        let now = self.now_us();
        self.host.set_time(now);
        let executed = self.host.simulate(raw.sender.to_bytes(), &call, hash, gas);
        let executed = executed.unwrap_or_else(|error| broken(&error));
        let gas_used = charged(&executed, raw.max_gas_amount);
        let Executed { result, touched, .. } = executed;
        Ok(Record { version: 0, hash, transaction, time_us: now, result, gas_used, touched })
    }

    /// Whether a transaction waits for its execution.
    pub fn waiting(&self, hash: &[u8; 32]) -> Option<&SignedTransaction> {
        let found = self.pending.iter().find(|pending| pending.hash == *hash);
        found.filter(|_| self.frozen.is_none()).map(|pending| &pending.transaction)
    }

    /// Gives an account gas.
    pub fn fund(&mut self, account: Address, amount: u64) {
        self.note(|| Entry::Funded { account, amount });
        let balance = self.committed.gas.entry(account).or_default();
        *balance = balance.saturating_add(amount);
    }

    /// Puts faults in place of those that are.
    pub fn set_faults(&mut self, faults: Faults) {
        if !faults.lag {
            self.frozen = None;
        } else if self.frozen.is_none() {
            self.frozen = Some((self.host.save(), self.committed.clone()));
        }
        self.faults = faults;
    }

    /// Faults that are still to happen.
    pub const fn faults(&self) -> Faults {
        self.faults
    }

    /// Lets time pass at once.
    pub fn pass(&mut self, millis: u64) {
        self.clock_offset_us += i64::try_from(millis.saturating_mul(1_000)).unwrap_or(i64::MAX / 2);
        let now = self.now_us();
        self.host.set_time(now);
        self.progress();
    }

    /// Keeps the chain under a name.
    pub fn keep(&mut self, name: &str) {
        let length = self.journal.as_ref().map_or(0, Journal::length);
        self.snapshots.insert(name.to_owned(), (self.host.save(), self.committed.clone(), length));
    }

    /// Comes back to a chain that was kept; `None` is its beginning, as when a test network is wiped. Whether there is one.
    pub fn come_back(&mut self, name: Option<&str>) -> bool {
        let kept = match name {
            None => Some(&self.genesis),
            Some(name) => self.snapshots.get(name),
        };
        let Some((saved, committed, length)) = kept.cloned() else { return false };
        if let Some(journal) = &mut self.journal {
            journal.cut(length);
        }
        self.host.restore(&saved);
        self.committed = committed;
        self.pending.clear();
        self.frozen = None;
        self.faults = Faults::default();
        true
    }

    fn now_us(&self) -> u64 {
        clock_us().saturating_add_signed(self.clock_offset_us)
    }
}

impl Committed {
    /// The version of the last transaction.
    pub fn version(&self) -> u64 {
        self.records.len() as u64
    }

    /// A transaction by its place.
    pub fn by_version(&self, version: u64) -> Option<&Record> {
        self.records.get(usize::try_from(version.checked_sub(1)?).ok()?)
    }

    /// A transaction by its hash.
    pub fn by_hash(&self, hash: &[u8; 32]) -> Option<&Record> {
        self.by_version(*self.versions.get(hash)?)
    }

    /// Transactions from a version on.
    pub fn from(&self, version: u64) -> impl Iterator<Item = &Record> {
        let skipped = usize::try_from(version.saturating_sub(1)).unwrap_or(usize::MAX);
        self.records.iter().skip(skipped)
    }

    /// An account's gas.
    pub fn balance(&self, account: &Address) -> u64 {
        self.gas.get(account).copied().unwrap_or(0)
    }
}

/// The entry function that a transaction calls, in either form of payload.
pub fn entry_function(transaction: &SignedTransaction) -> Option<&EntryFunction> {
    match &transaction.raw_txn.payload {
        TransactionPayload::EntryFunction(function) => Some(function),
        TransactionPayload::Payload(TransactionPayloadInner::V1 {
            executable: TransactionExecutable::EntryFunction(function),
            extra_config: TransactionExtraConfig::V1 { multisig_address: None, .. },
        }) => Some(function),
        _ => None,
    }
}

/// The nonce of a transaction without a sequence number.
pub fn nonce(transaction: &SignedTransaction) -> Option<u64> {
    let TransactionPayload::Payload(TransactionPayloadInner::V1 { extra_config, .. }) =
        &transaction.raw_txn.payload
    else {
        return None;
    };
    let TransactionExtraConfig::V1 { replay_protection_nonce, .. } = extra_config;
    *replay_protection_nonce
}

fn sequence(host: &Host, transaction: &SignedTransaction) -> u64 {
    let sender = transaction.raw_txn.sender.to_bytes();
    genesis::account(host.store(), &sender).map_or(0, |(_, sequence)| sequence)
}

fn payer(transaction: &SignedTransaction) -> Address {
    use aptos_sdk::transaction::authenticator::TransactionAuthenticator::FeePayer;
    match &transaction.authenticator {
        FeePayer { fee_payer_address, .. } => fee_payer_address.to_bytes(),
        _ => transaction.raw_txn.sender.to_bytes(),
    }
}

fn hash_of(transaction: &SignedTransaction) -> Result<[u8; 32], Refused> {
    let hash = transaction.hash().map_err(|error| Refused("UNKNOWN_STATUS", error.to_string()))?;
    Ok(hash.to_bytes())
}

fn call(function: &EntryFunction) -> Call {
    let module = (function.module.address.to_bytes(), function.module.name.as_str().to_owned());
    let (types, args) = (function.type_args.clone(), function.args.clone());
    Call { module, function: function.function.clone(), types, args, json: false }
}

/// Gas as the client sees it: at least one unit, at most what it allowed.
fn charged(executed: &Executed, most: u64) -> u64 {
    executed.gas_used.div_ceil(GAS_SCALE).clamp(1, most.max(1))
}

/// The tool or the invariant broke: the transaction has no effect, and everybody sees why.
fn broken(error: &anyhow::Error) -> Executed {
    eprintln!("devchain: {error:#}");
    Executed { result: Err(Failure::Vm(format!("{error:#}"))), gas_used: 0, touched: Touched::default() }
}

fn clock_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// The tool's gas units that make one of ours. Its schedule is not Aptos', so only clients' limits should find their size here.
const GAS_SCALE: u64 = 1_000;
