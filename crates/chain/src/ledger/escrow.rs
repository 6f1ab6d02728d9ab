//! Escrow (R156, R176): money is locked for one request before the task exists, held until the payout account
//! settles it into a charge and a refund, and is the owner's again if nobody settles it in time.
//!
//! ```text
//! held --payout batch--> settled (charged + refunded = amount)
//! held --owner, after expiry--> reclaimed
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use symphony_types::amount::Sym;
use symphony_types::digest::Digest;
use symphony_types::id::{AccountId, LockRef, PolicyVersion, TaskId};
use symphony_types::time::OrderedMillis;

use super::accounts::{self, Flow};
use super::{Abort, State};
use crate::transaction::EscrowSettlement;

/// What happened to locks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// Money was locked.
    Locked {
        /// The new lock's name.
        lock: LockRef,
        /// Whose money.
        owner: AccountId,
        /// The request it pays for.
        request: Digest,
        /// How much.
        amount: Sym,
        /// The policy of the quote.
        policy_version: PolicyVersion,
        /// When the owner may take it back.
        expires: OrderedMillis,
    },
    /// A lock was used for a task; what was not used went back.
    Settled {
        /// Whose money.
        owner: AccountId,
        /// How.
        settlement: EscrowSettlement,
    },
    /// The owner took an expired lock back.
    Reclaimed {
        /// Which lock.
        lock: LockRef,
        /// Whose money.
        owner: AccountId,
        /// How much.
        amount: Sym,
    },
}

/// One escrow lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// Its name.
    pub lock: LockRef,
    /// Whose money it is.
    pub owner: AccountId,
    /// The request it pays for.
    pub request: Digest,
    /// How much was locked.
    pub amount: Sym,
    /// How much is locked now: all or nothing.
    pub held: Sym,
    /// The policy of the quote.
    pub policy_version: PolicyVersion,
    /// When the owner may take it back.
    pub expires: OrderedMillis,
    /// What became of it.
    pub state: LockState,
}

/// What became of a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LockState {
    /// The money is held.
    Held,
    /// It was used for a task.
    Settled {
        /// Which.
        task: TaskId,
        /// What was used.
        charged: Sym,
        /// What went back.
        refunded: Sym,
    },
    /// The owner took it back.
    Reclaimed,
}

/// All locks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Escrow {
    locks: BTreeMap<LockRef, Lock>,
    open: BTreeMap<(AccountId, Digest), LockRef>,
    settled: BTreeMap<TaskId, LockRef>,
}

impl Escrow {
    pub(super) fn lock(&self, lock: LockRef) -> Option<&Lock> {
        self.locks.get(&lock)
    }

    pub(super) fn total(&self) -> u128 {
        self.locks.values().map(|lock| u128::from(lock.held.0)).sum()
    }

    /// Ends a lock; hands out its money as a place to take from.
    fn close(&mut self, lock: LockRef, state: LockState) -> &mut Lock {
        let lock =
            self.locks.get_mut(&lock).expect("invariant chain.lock: an event names a lock that is held");
        self.open.remove(&(lock.owner, lock.request));
        lock.state = state;
        lock
    }
}

pub(super) fn lock(state: &State, at: OrderedMillis, lock: Lock) -> Result<Event, Abort> {
    accounts::check_spend(state, lock.owner, lock.amount)?;
    if lock.expires < at.plus(state.parameters.lock_ms_min) || lock.expires <= at {
        return Err(Abort::LockTooShort);
    }
    if state.escrow.open.contains_key(&(lock.owner, lock.request)) {
        return Err(Abort::RequestLocked);
    }
    let Lock { lock, owner, request, amount, policy_version, expires, .. } = lock;
    Ok(Event::Locked { lock, owner, request, amount, policy_version, expires })
}

pub(super) fn reclaim(
    state: &State,
    at: OrderedMillis,
    sender: AccountId,
    lock: LockRef,
) -> Result<Event, Abort> {
    let held = check_held(state, lock)?;
    if held.owner != sender {
        return Err(Abort::LockForeign);
    }
    if at < held.expires {
        return Err(Abort::LockRunning);
    }
    Ok(Event::Reclaimed { lock, owner: held.owner, amount: held.held })
}

/// Whether the payout account may settle a lock like this. An expired lock can be settled until its owner
/// takes it back.
pub(super) fn settle(state: &State, settlement: &EscrowSettlement) -> Result<Event, Abort> {
    let held = check_held(state, settlement.lock)?;
    if state.escrow.settled.contains_key(&settlement.task) {
        return Err(Abort::TaskSettled);
    }
    if settlement.charged.checked_add(settlement.refunded) != Some(held.held) {
        return Err(Abort::SettlementUnbalanced);
    }
    Ok(Event::Settled { owner: held.owner, settlement: settlement.clone() })
}

fn check_held(state: &State, lock: LockRef) -> Result<&Lock, Abort> {
    let lock = state.escrow.lock(lock).ok_or(Abort::LockUnknown)?;
    match lock.state {
        LockState::Held => Ok(lock),
        LockState::Settled { .. } | LockState::Reclaimed => Err(Abort::LockClosed),
    }
}

pub(super) fn evolve(state: &mut State, flow: &mut Flow, event: &Event) {
    match event {
        Event::Locked { lock, owner, request, amount, policy_version, expires } => {
            let mut opened = Lock {
                lock: *lock,
                owner: *owner,
                request: *request,
                amount: *amount,
                held: Sym::ZERO,
                policy_version: *policy_version,
                expires: *expires,
                state: LockState::Held,
            };
            flow.take(state.accounts.balance_mut(*owner), *amount);
            flow.give(&mut opened.held, *amount);
            state.escrow.open.insert((*owner, *request), *lock);
            state.escrow.locks.insert(*lock, opened);
        }
        Event::Settled { owner, settlement } => {
            let EscrowSettlement { lock, task, charged, refunded } = *settlement;
            state.escrow.settled.insert(task, lock);
            let closed = state.escrow.close(lock, LockState::Settled { task, charged, refunded });
            flow.take(&mut closed.held, charged);
            flow.give(&mut state.reward.clearing, charged);
            flow.take(&mut closed.held, refunded);
            flow.give(state.accounts.balance_mut(*owner), refunded);
        }
        Event::Reclaimed { lock, owner, amount } => {
            let closed = state.escrow.close(*lock, LockState::Reclaimed);
            flow.take(&mut closed.held, *amount);
            flow.give(state.accounts.balance_mut(*owner), *amount);
        }
    }
}
