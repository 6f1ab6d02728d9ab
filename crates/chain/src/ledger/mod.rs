//! The reference ledger: an exact model of the contracts as pure data and functions (R174-R178, R182). The
//! process that hosts it orders transactions, gives the time and keeps the events; replaying them gives the
//! same bytes of state.
//!
//! A transaction is executed whole or aborts without a trace. Its hash names it: the same transaction again is
//! answered with its receipt; another one with the same sequence number aborts. It must expire while receipts
//! are still kept, so nobody is ever told that an executed transaction is unknown and could be sent again.
//! The supply is conserved event by event: each gives to one place exactly what it takes from another.

mod abort;
pub mod accounts;
pub mod escrow;
mod genesis;
pub mod governance;
pub mod inflation;
pub mod query;
pub mod reward;
pub mod staking;
pub mod treasury;

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use symphony_types::amount::Sym;
use symphony_types::digest::Digest;
use symphony_types::dividend::DividendLeaf;
use symphony_types::id::AccountId;
use symphony_types::key::Document as _;
use symphony_types::time::OrderedMillis;

use self::accounts::{Accounts, Flow};
use self::escrow::{Escrow, Lock, LockState};
use self::governance::Proposals;
use self::inflation::Inflation;
use self::reward::Reward;
use self::staking::Staking;
use self::treasury::Treasury;
use crate::transaction::{Call, ChainId, SignedTransaction, Transaction, lock_ref};

pub use self::abort::Abort;
pub use self::genesis::{Genesis, GenesisError, Parameters, Roles, TierTerms};

/// All that the chain knows. Its canonical bytes are its snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    chain: ChainId,
    roles: Roles,
    parameters: Parameters,
    minted: Sym,
    accounts: Accounts,
    escrow: Escrow,
    staking: Staking,
    reward: Reward,
    treasury: Treasury,
    governance: Proposals,
    inflation: Inflation,
    receipts: Receipts,
}

/// What the ledger is asked to do.
pub type Command = SignedTransaction;

/// What happened, by the contract that says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A transaction was executed; its other events follow.
    Executed {
        /// Which.
        hash: Digest,
        /// Whose.
        sender: AccountId,
    },
    /// Of balances.
    Account(accounts::Event),
    /// Of locks.
    Escrow(escrow::Event),
    /// Of stakes.
    Staking(staking::Event),
    /// Of rewards, dividends and anchors.
    Reward(reward::Event),
    /// Of the treasury.
    Treasury(treasury::Event),
    /// Of proposals.
    Governance(governance::Event),
    /// Of the supply.
    Inflation(inflation::Event),
}

/// The proof of execution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The transaction's hash.
    pub hash: Digest,
    /// The transaction's place in the order of all executed ones, from 1.
    pub version: u64,
    /// When it was executed.
    pub at: OrderedMillis,
    /// What it did.
    pub events: Vec<Event>,
}

impl State {
    /// The first state of a chain. **Errors**: [`GenesisError`] names the rule that the genesis breaks.
    pub fn new(genesis: Genesis) -> Result<Self, GenesisError> {
        let minted = genesis.check()?;
        Ok(Self {
            accounts: Accounts::new(&genesis.balances),
            escrow: Escrow::default(),
            staking: Staking::default(),
            reward: Reward::new(genesis.pool, genesis.incentives),
            treasury: Treasury::new(genesis.treasury),
            governance: Proposals::new(genesis.parameters.quorum),
            inflation: Inflation::new(genesis.inflation, minted),
            receipts: Receipts::default(),
            chain: genesis.chain,
            roles: genesis.roles,
            parameters: genesis.parameters,
            minted,
        })
    }

    /// The chain's name.
    pub const fn chain(&self) -> &ChainId {
        &self.chain
    }

    /// All that was ever minted.
    pub const fn minted(&self) -> Sym {
        self.minted
    }

    /// The receipt of a transaction, while it is kept.
    pub fn receipt(&self, hash: Digest) -> Option<&Receipt> {
        self.receipts.by_hash(hash)
    }
}

/// What a transaction does, or why it does nothing. No events: it was executed before.
///
/// **Errors**: [`Abort`]; the sender's sequence number is then unchanged.
pub fn decide(state: &State, at: OrderedMillis, command: &Command) -> Result<Vec<Event>, Abort> {
    let transaction = &command.body;
    if transaction.chain != state.chain {
        return Err(Abort::WrongChain);
    }
    if transaction.sender != transaction.key.account() || !command.verify(&transaction.key) {
        return Err(Abort::SignatureInvalid);
    }
    let hash = transaction.digest();
    if state.receipts.by_hash(hash).is_some() {
        return Ok(Vec::new());
    }
    if transaction.expires <= at {
        return Err(Abort::Expired);
    }
    if transaction.expires > at.plus(state.parameters.transaction_ms_max) {
        return Err(Abort::ExpiryTooFar);
    }
    match transaction.sequence.cmp(&state.accounts.holding(transaction.sender).sequence) {
        Ordering::Less => return Err(Abort::SequenceUsed),
        Ordering::Greater => return Err(Abort::SequenceAhead),
        Ordering::Equal => {}
    }
    let mut events = vec![Event::Executed { hash, sender: transaction.sender }];
    events.extend(execute(state, at, transaction)?);
    Ok(events)
}

fn execute(state: &State, at: OrderedMillis, transaction: &Transaction) -> Result<Vec<Event>, Abort> {
    let sender = transaction.sender;
    let event = match &transaction.call {
        Call::Transfer { to, amount } => Event::Account(accounts::transfer(state, sender, *to, *amount)?),
        Call::EscrowLock { request, amount, policy_version, expires } => {
            let lock = Lock {
                lock: lock_ref(sender, transaction.sequence),
                owner: sender,
                request: *request,
                amount: *amount,
                held: Sym::ZERO,
                policy_version: *policy_version,
                expires: *expires,
                state: LockState::Held,
            };
            Event::Escrow(escrow::lock(state, at, lock)?)
        }
        Call::EscrowReclaim { lock } => Event::Escrow(escrow::reclaim(state, at, sender, *lock)?),
        Call::StakeDeposit { tier, amount } => {
            Event::Staking(staking::deposit(state, sender, *tier, *amount)?)
        }
        Call::StakeWithdrawRequest { tier, amount } => {
            Event::Staking(staking::request(state, at, sender, *tier, *amount)?)
        }
        Call::StakeWithdraw { tier } => Event::Staking(staking::withdraw(state, at, sender, *tier)?),
        Call::Slash { account, tier, amount, reference } => {
            Event::Staking(staking::slash(state, sender, *account, *tier, *amount, *reference)?)
        }
        Call::Payout(batch) => return reward::payout(state, sender, batch),
        Call::ClaimDividend { vault, epoch, index, amount, path } => {
            let leaf = DividendLeaf { account: sender, index: *index, amount: *amount };
            Event::Reward(reward::claim(state, vault, *epoch, &leaf, path)?)
        }
        Call::TreasuryRelease { release, approvals } => {
            return treasury::release(state, release, approvals);
        }
        Call::RecordVote(result) => Event::Governance(governance::record(state, sender, result)?),
        Call::MintEpoch => Event::Inflation(inflation::mint(state, at)?),
        Call::PayNodes { epoch, nodes } => {
            let events = inflation::pay_nodes(state, sender, *epoch, nodes)?;
            return Ok(events.into_iter().map(Event::Inflation).collect());
        }
    };
    Ok(vec![event])
}

/// Makes an event true. Cannot fail: what would break the supply is a bug and stops the node.
pub fn evolve(state: &mut State, at: OrderedMillis, event: &Event) {
    let mut flow = Flow::default();
    match event {
        Event::Executed { hash, sender } => {
            state.accounts.advance(*sender);
            return state.receipts.begin(*hash, at, state.parameters.receipt_ms);
        }
        Event::Account(event) => accounts::evolve(state, &mut flow, event),
        Event::Escrow(event) => escrow::evolve(state, &mut flow, event),
        Event::Staking(event) => staking::evolve(state, &mut flow, event),
        Event::Reward(event) => reward::evolve(state, &mut flow, event),
        Event::Treasury(event) => treasury::evolve(state, &mut flow, event),
        Event::Governance(event) => governance::evolve(state, event),
        Event::Inflation(event) => inflation::evolve(state, &mut flow, event),
    }
    flow.close();
    state.receipts.append(event.clone());
}

/// Decides, then evolves; gives the receipt, of the first execution if this is not it.
pub fn apply(state: &mut State, at: OrderedMillis, command: &Command) -> Result<Receipt, Abort> {
    for event in decide(state, at, command)? {
        evolve(state, at, &event);
    }
    let receipt = state.receipt(command.body.digest()).cloned();
    Ok(receipt.expect("invariant chain.receipt: an executed transaction has its receipt"))
}

/// All money there is: balances, locks, stakes, pools, carries, dividends and the treasury (R182). Equal to
/// what was minted after every event.
pub fn supply(state: &State) -> u128 {
    let places = [state.reward.pool, state.reward.incentives, state.reward.clearing, state.treasury.balance];
    state.accounts.total()
        + state.escrow.total()
        + state.staking.total()
        + state.reward.carried()
        + state.reward.unclaimed()
        + places.iter().map(|place| u128::from(place.0)).sum::<u128>()
}

/// The receipts of executed transactions, for as long as one of them could be sent again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Receipts {
    version: u64,
    kept: BTreeMap<u64, Receipt>,
    versions: BTreeMap<Digest, u64>,
}

impl Receipts {
    fn by_hash(&self, hash: Digest) -> Option<&Receipt> {
        self.kept.get(self.versions.get(&hash)?)
    }

    fn begin(&mut self, hash: Digest, at: OrderedMillis, keep_ms: u64) {
        while let Some(oldest) = self.kept.first_entry().filter(|oldest| oldest.get().at.plus(keep_ms) < at) {
            let oldest = oldest.remove();
            self.versions.remove(&oldest.hash);
        }
        self.version += 1;
        self.versions.insert(hash, self.version);
        self.kept.insert(self.version, Receipt { hash, version: self.version, at, events: Vec::new() });
    }

    fn append(&mut self, event: Event) {
        let latest = self.kept.get_mut(&self.version);
        latest
            .expect("invariant chain.receipt: an event belongs to an executed transaction")
            .events
            .push(event);
    }
}
