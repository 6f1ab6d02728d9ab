//! Balances, sequence numbers, and the one way money moves: what an event takes from one place it gives to
//! another, to the unit (R182).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use symphony_types::amount::Sym;
use symphony_types::id::AccountId;

use super::{Abort, State};

/// What happened to balances.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// One account paid another.
    Transferred {
        /// Who paid.
        from: AccountId,
        /// Who was paid.
        to: AccountId,
        /// How much.
        amount: Sym,
    },
}

/// One account's money and its place in the order of its transactions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    /// What it may spend.
    pub balance: Sym,
    /// The number its next transaction must have.
    pub sequence: u64,
}

/// All accounts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Accounts(BTreeMap<AccountId, Holding>);

impl Accounts {
    pub(super) fn new(balances: &BTreeMap<AccountId, Sym>) -> Self {
        Self(balances.iter().map(|(id, balance)| (*id, Holding { balance: *balance, sequence: 0 })).collect())
    }

    pub(super) fn holding(&self, account: AccountId) -> Holding {
        self.0.get(&account).copied().unwrap_or_default()
    }

    pub(super) fn balance_mut(&mut self, account: AccountId) -> &mut Sym {
        &mut self.0.entry(account).or_default().balance
    }

    pub(super) fn advance(&mut self, account: AccountId) {
        self.0.entry(account).or_default().sequence += 1;
    }

    pub(super) fn total(&self) -> u128 {
        self.0.values().map(|holding| u128::from(holding.balance.0)).sum()
    }
}

/// Whether `account` can spend `amount`, which is not zero.
pub(super) fn check_spend(state: &State, account: AccountId, amount: Sym) -> Result<(), Abort> {
    if amount == Sym::ZERO {
        return Err(Abort::AmountZero);
    }
    if state.accounts.holding(account).balance < amount {
        return Err(Abort::BalanceTooSmall);
    }
    Ok(())
}

pub(super) fn transfer(state: &State, from: AccountId, to: AccountId, amount: Sym) -> Result<Event, Abort> {
    check_spend(state, from, amount)?;
    Ok(Event::Transferred { from, to, amount })
}

pub(super) fn evolve(state: &mut State, flow: &mut Flow, event: &Event) {
    match event {
        Event::Transferred { from, to, amount } => {
            flow.take(state.accounts.balance_mut(*from), *amount);
            flow.give(state.accounts.balance_mut(*to), *amount);
        }
    }
}

/// The money that one event moves.
#[derive(Debug, Default)]
pub(super) struct Flow {
    taken: u128,
    given: u128,
}

impl Flow {
    /// Takes money out of a place that holds it; `decide` has checked that it does.
    pub(super) fn take(&mut self, place: &mut Sym, amount: Sym) {
        *place = place.checked_sub(amount).expect("invariant chain.cover: no place pays more than it holds");
        self.taken += u128::from(amount.0);
    }

    /// Puts money into a place; no place can hold more than the supply, which fits.
    pub(super) fn give(&mut self, place: &mut Sym, amount: Sym) {
        *place =
            place.checked_add(amount).expect("invariant chain.supply: no place holds more than was minted");
        self.given += u128::from(amount.0);
    }

    /// New money: what was minted grows by what the event gives.
    pub(super) fn mint(&mut self, minted: &mut Sym, amount: Sym) {
        *minted = minted.checked_add(amount).expect("invariant chain.supply: the supply fits a number");
        self.taken += u128::from(amount.0);
    }

    /// Ends the event. A difference is a bug and stops the node.
    pub(super) fn close(self) {
        assert_eq!(self.taken, self.given, "invariant chain.supply: an event gives exactly what it takes");
    }
}
