//! Inflation (R164, R179): new SYM for each epoch by a declining schedule that ends by itself. No key mints: anybody may call
//! for an epoch that is over, once, in order. While the schedule lasts, nodes are paid for running out of the epoch pool.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use symphony_types::amount::{Bps, Sym};
use symphony_types::id::AccountId;
use symphony_types::time::OrderedMillis;

use super::accounts::Flow;
use super::{Abort, State};

/// The declining schedule; it ends with its last rate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// When the first epoch begins.
    pub start: OrderedMillis,
    /// How long an epoch is. **Units**: milliseconds.
    pub epoch_ms: u64,
    /// How many epochs have one rate.
    pub epochs_per_step: u64,
    /// The rates, none above the one before, of what there is when the rate's first epoch is minted.
    pub rates: Vec<Bps>,
    /// The treasury's share of what is minted; the epoch pool has the rest.
    pub treasury: Bps,
}

impl Schedule {
    /// Whether a chain may begin with it.
    pub(super) fn is_sound(&self) -> bool {
        let whole = |bps: &Bps| *bps <= Bps::WHOLE;
        self.epoch_ms > 0
            && self.epochs_per_step > 0
            && whole(&self.treasury)
            && self.rates.iter().all(whole)
            && self.rates.is_sorted_by(|earlier, later| later <= earlier)
    }

    /// The first epoch that is not minted any more.
    pub fn ends(&self) -> u64 {
        self.epochs_per_step.saturating_mul(self.rates.len() as u64)
    }
}

/// What happened to the supply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// An epoch was minted.
    Minted {
        /// Which.
        epoch: u64,
        /// For the epoch pool.
        pool: Sym,
        /// For the treasury.
        treasury: Sym,
    },
    /// A node was paid for running.
    NodePaid {
        /// In this epoch.
        epoch: u64,
        /// The node's account.
        account: AccountId,
        /// How much.
        amount: Sym,
    },
    /// Nodes had been paid for an epoch.
    NodesClosed {
        /// Which.
        epoch: u64,
    },
}

/// Where the schedule is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Inflation {
    pub(super) schedule: Schedule,
    pub(super) next: u64,
    base: Sym,
    paid: BTreeSet<u64>,
}

impl Inflation {
    pub(super) const fn new(schedule: Schedule, minted: Sym) -> Self {
        Self { schedule, next: 0, base: minted, paid: BTreeSet::new() }
    }

    /// When the epoch that is minted next is over.
    pub(super) fn due(&self) -> OrderedMillis {
        let past = self.schedule.epoch_ms.saturating_mul(self.next.saturating_add(1));
        self.schedule.start.plus(past)
    }

    pub(super) fn nodes_paid(&self, epoch: u64) -> bool {
        self.paid.contains(&epoch)
    }

    /// The supply that the rate of the next epoch is of.
    fn base(&self, minted: Sym) -> Sym {
        if self.next.is_multiple_of(self.schedule.epochs_per_step) { minted } else { self.base }
    }
}

pub(super) fn mint(state: &State, at: OrderedMillis) -> Result<Event, Abort> {
    let inflation = &state.inflation;
    let schedule = &inflation.schedule;
    let step = inflation.next / schedule.epochs_per_step;
    let rate = usize::try_from(step).ok().and_then(|step| schedule.rates.get(step));
    let rate = rate.ok_or(Abort::ScheduleEnded)?;
    if at < inflation.due() {
        return Err(Abort::EpochRunning);
    }
    // Granting rounds down (D16).
    let of = |amount: u128, bps: Bps| amount * u128::from(bps.0) / u128::from(Bps::WHOLE.0);
    let yearly = of(u128::from(inflation.base(state.minted).0), *rate);
    let room = u64::MAX - state.minted.0;
    let amount = u64::try_from(yearly / u128::from(schedule.epochs_per_step)).unwrap_or(u64::MAX).min(room);
    let treasury = of(u128::from(amount), schedule.treasury);
    let treasury = u64::try_from(treasury).expect("a part of a number is no larger than it");
    Ok(Event::Minted { epoch: inflation.next, pool: Sym(amount - treasury), treasury: Sym(treasury) })
}

pub(super) fn pay_nodes(
    state: &State,
    sender: AccountId,
    epoch: u64,
    nodes: &[(AccountId, Sym)],
) -> Result<Vec<Event>, Abort> {
    if sender != state.roles.payout {
        return Err(Abort::NotAuthorized);
    }
    if epoch >= state.inflation.schedule.ends() {
        return Err(Abort::ScheduleEnded);
    }
    if epoch >= state.inflation.next {
        return Err(Abort::EpochRunning);
    }
    if state.inflation.nodes_paid(epoch) {
        return Err(Abort::NodesPaid);
    }
    let total: u128 = nodes.iter().map(|(_, amount)| u128::from(amount.0)).sum();
    if total > u128::from(state.reward.pool.0) {
        return Err(Abort::PoolTooSmall);
    }
    let paid =
        nodes.iter().map(|(account, amount)| Event::NodePaid { epoch, account: *account, amount: *amount });
    Ok(paid.chain([Event::NodesClosed { epoch }]).collect())
}

pub(super) fn evolve(state: &mut State, flow: &mut Flow, event: &Event) {
    match event {
        Event::Minted { pool, treasury, .. } => {
            state.inflation.base = state.inflation.base(state.minted);
            state.inflation.next += 1;
            flow.mint(&mut state.minted, Sym(pool.0 + treasury.0));
            flow.give(&mut state.reward.pool, *pool);
            flow.give(&mut state.treasury.balance, *treasury);
        }
        Event::NodePaid { account, amount, .. } => {
            flow.take(&mut state.reward.pool, *amount);
            flow.give(state.accounts.balance_mut(*account), *amount);
        }
        Event::NodesClosed { epoch } => {
            state.inflation.paid.insert(*epoch);
        }
    }
}
