//! Stakes by account and tier (R174, R175): deposits count from the tier's minimum on, leave through a
//! cooldown, and can be slashed until they have left. Slashed money goes to the epoch pool.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use symphony_types::amount::Sym;
use symphony_types::digest::Digest;
use symphony_types::id::AccountId;
use symphony_types::time::OrderedMillis;

use super::accounts::{self, Flow};
use super::{Abort, State};
use crate::transaction::Tier;

/// What happened to stakes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// Stake was added.
    Deposited {
        /// Whose.
        account: AccountId,
        /// Which tier.
        tier: Tier,
        /// How much.
        amount: Sym,
    },
    /// Stake began to cool down.
    WithdrawalRequested {
        /// Whose.
        account: AccountId,
        /// Which tier.
        tier: Tier,
        /// How much.
        amount: Sym,
        /// When all that cools down may be taken out.
        matures: OrderedMillis,
    },
    /// Cooled stake was taken out.
    Withdrawn {
        /// Whose.
        account: AccountId,
        /// Which tier.
        tier: Tier,
        /// How much.
        amount: Sym,
    },
    /// Stake was taken for a penalty.
    Slashed {
        /// Whose.
        account: AccountId,
        /// Which tier.
        tier: Tier,
        /// How much of the deposit.
        deposit: Sym,
        /// How much of what was cooling down.
        cooling: Sym,
        /// The penalty record.
        reference: Digest,
    },
}

/// One account's stake in one tier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stake {
    /// What counts as stake.
    pub deposit: Sym,
    /// What is on its way out and can still be slashed.
    pub cooling: Sym,
    /// When that may be taken out.
    pub matures: OrderedMillis,
}

/// All stakes, and the penalties executed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Staking {
    stakes: BTreeMap<(Tier, AccountId), Stake>,
    slashes: BTreeSet<Digest>,
}

impl Staking {
    pub(super) fn stake(&self, account: AccountId, tier: Tier) -> Stake {
        self.stakes.get(&(tier, account)).copied().unwrap_or_default()
    }

    pub(super) fn total(&self) -> u128 {
        self.stakes.values().map(|stake| u128::from(stake.deposit.0) + u128::from(stake.cooling.0)).sum()
    }

    fn stake_mut(&mut self, account: AccountId, tier: Tier) -> &mut Stake {
        self.stakes.entry((tier, account)).or_default()
    }
}

/// Whether the account's deposit reaches the tier's minimum.
pub fn is_staked(state: &State, account: AccountId, tier: Tier) -> bool {
    counts(state, tier, state.staking.stake(account, tier))
}

/// Everybody whose deposit reaches the tier's minimum.
pub fn staked(state: &State, tier: Tier) -> BTreeSet<AccountId> {
    let stakes = state.staking.stakes.iter().filter(|((of, _), _)| *of == tier);
    stakes.filter(|(_, stake)| counts(state, tier, **stake)).map(|((_, account), _)| *account).collect()
}

fn counts(state: &State, tier: Tier, stake: Stake) -> bool {
    stake.deposit > Sym::ZERO && stake.deposit >= state.parameters.terms(tier).minimum
}

pub(super) fn deposit(state: &State, account: AccountId, tier: Tier, amount: Sym) -> Result<Event, Abort> {
    accounts::check_spend(state, account, amount)?;
    let deposit = state.staking.stake(account, tier).deposit.checked_add(amount);
    if deposit.is_none_or(|deposit| deposit < state.parameters.terms(tier).minimum) {
        return Err(Abort::StakeTooSmall);
    }
    Ok(Event::Deposited { account, tier, amount })
}

pub(super) fn request(
    state: &State,
    at: OrderedMillis,
    account: AccountId,
    tier: Tier,
    amount: Sym,
) -> Result<Event, Abort> {
    if amount == Sym::ZERO {
        return Err(Abort::AmountZero);
    }
    let terms = state.parameters.terms(tier);
    let stake = state.staking.stake(account, tier);
    let rest = stake.deposit.checked_sub(amount).ok_or(Abort::StakeMissing)?;
    if rest != Sym::ZERO && rest < terms.minimum {
        return Err(Abort::StakeTooSmall);
    }
    Ok(Event::WithdrawalRequested { account, tier, amount, matures: at.plus(terms.cooldown_ms) })
}

pub(super) fn withdraw(
    state: &State,
    at: OrderedMillis,
    account: AccountId,
    tier: Tier,
) -> Result<Event, Abort> {
    let stake = state.staking.stake(account, tier);
    if stake.cooling == Sym::ZERO {
        return Err(Abort::StakeMissing);
    }
    if at < stake.matures {
        return Err(Abort::CooldownRunning);
    }
    Ok(Event::Withdrawn { account, tier, amount: stake.cooling })
}

/// Takes at most what is there: who withdraws a little in time must not make the penalty fail.
pub(super) fn slash(
    state: &State,
    sender: AccountId,
    account: AccountId,
    tier: Tier,
    amount: Sym,
    reference: Digest,
) -> Result<Event, Abort> {
    if sender != state.roles.slasher {
        return Err(Abort::NotAuthorized);
    }
    if amount == Sym::ZERO {
        return Err(Abort::AmountZero);
    }
    if state.staking.slashes.contains(&reference) {
        return Err(Abort::SlashRepeated);
    }
    let stake = state.staking.stake(account, tier);
    let deposit = amount.min(stake.deposit);
    let cooling = Sym(amount.0 - deposit.0).min(stake.cooling);
    if deposit == Sym::ZERO && cooling == Sym::ZERO {
        return Err(Abort::StakeMissing);
    }
    Ok(Event::Slashed { account, tier, deposit, cooling, reference })
}

pub(super) fn evolve(state: &mut State, flow: &mut Flow, event: &Event) {
    match event {
        Event::Deposited { account, tier, amount } => {
            flow.take(state.accounts.balance_mut(*account), *amount);
            flow.give(&mut state.staking.stake_mut(*account, *tier).deposit, *amount);
        }
        Event::WithdrawalRequested { account, tier, amount, matures } => {
            let stake = state.staking.stake_mut(*account, *tier);
            flow.take(&mut stake.deposit, *amount);
            flow.give(&mut stake.cooling, *amount);
            stake.matures = *matures;
        }
        Event::Withdrawn { account, tier, amount } => {
            flow.take(&mut state.staking.stake_mut(*account, *tier).cooling, *amount);
            flow.give(state.accounts.balance_mut(*account), *amount);
        }
        Event::Slashed { account, tier, deposit, cooling, reference } => {
            let stake = state.staking.stake_mut(*account, *tier);
            flow.take(&mut stake.deposit, *deposit);
            flow.take(&mut stake.cooling, *cooling);
            flow.give(&mut state.reward.pool, *deposit);
            flow.give(&mut state.reward.pool, *cooling);
            state.staking.slashes.insert(*reference);
        }
    }
}
