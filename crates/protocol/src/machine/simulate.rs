//! What a proposed policy would have changed in refusals and rewards, by replay of what was ordered (R155, R188, R189).
//!
//! Two states go through the same events; in one of them the proposed policy stands in the place of every version. A request
//! of the epochs that are asked about is judged in both, and what was settled is settled in both. What people would have done otherwise,
//! and a deadline that would have passed sooner or later, is not guessed.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::RangeInclusive;

use symphony_types::amount::{self, Sym};
use symphony_types::catalogue::Code;
use symphony_types::id::{EpochId, TaskId};
use symphony_types::time::OrderedMillis;

use super::decide::settled;
use super::{Command, Event, Order, ParseStage, State, decide, evolve};
use crate::artifact::{RecipientClass, Share};
use crate::governance::policy::Policy;
use crate::lifecycle::Stage;
use crate::settlement::parse::settlement;

/// What became of one request under a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was refused.
    Refused(Code),
    /// It was admitted, and nothing was settled.
    Admitted,
    /// It was settled.
    Settled(Rewards),
}

/// What was charged or paid for one task, by class of recipient.
pub type Rewards = BTreeMap<RecipientClass, Sym>;

/// One request under what governed, and under the proposed policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// The epoch in which it was asked for.
    pub epoch: EpochId,
    /// What became of it.
    pub actual: Fate,
    /// What would have.
    pub supposed: Fate,
}

/// A journal that is gone through under two policies.
pub struct Simulation {
    policy: Policy,
    epochs: RangeInclusive<EpochId>,
    actual: State,
    supposed: State,
    tasks: BTreeMap<TaskId, Comparison>,
}

impl Simulation {
    /// Before the first entry of a journal. **Errors**: `GOV-0018` for a policy that is not sound.
    pub fn new(genesis: State, policy: Policy, epochs: RangeInclusive<EpochId>) -> Result<Self, Code> {
        genesis.governance.check_policy(&policy).map_err(|_| Code::PolicyUnsound)?;
        let supposed = genesis.clone();
        Ok(Self { policy, epochs, actual: genesis, supposed, tasks: BTreeMap::new() })
    }

    /// Takes the next entry of the journal.
    pub fn take(&mut self, at: OrderedMillis, order: &Order, events: &[Event]) {
        self.suppose();
        let epoch = self.actual.governance.epoch_of(at);
        if self.epochs.contains(&epoch) {
            self.judge(epoch, at, order, events);
        }
        for event in events {
            self.settle(at, event);
            evolve(&mut self.actual, at, event);
            evolve(&mut self.supposed, at, event);
        }
    }

    /// What became of each request of the epochs, and what would have.
    pub fn finish(self) -> BTreeMap<TaskId, Comparison> {
        self.tasks
    }

    /// The proposed policy in the place of every version.
    fn suppose(&mut self) {
        self.supposed.governance.clone_from(&self.actual.governance);
        let policies = &mut self.supposed.governance.policies;
        policies.values_mut().for_each(|policy| policy.clone_from(&self.policy));
    }

    fn judge(&mut self, epoch: EpochId, at: OrderedMillis, order: &Order, events: &[Event]) {
        let task = match &order.command {
            Command::SubmitTask { request, .. } => request.task(),
            Command::SubmitParse { ticket } => ticket.body.task(),
            _ => return,
        };
        let Some(actual) = admission(events) else { return };
        let supposed = match decide(&self.supposed, at, order) {
            Ok(events) => admission(&events).unwrap_or(Fate::Admitted),
            Err(refusal) => Fate::Refused(refusal.code),
        };
        self.tasks.insert(task, Comparison { epoch, actual, supposed });
    }

    fn settle(&mut self, at: OrderedMillis, event: &Event) {
        let (task, shares) = match event {
            Event::SettlementFinalized { context, .. } => (context.task, &context.shares),
            Event::ParseSettled { settlement, .. } => (settlement.task, &settlement.shares),
            _ => return,
        };
        let again = shares_of(&self.supposed, at, &task);
        let Some(known) = self.tasks.get_mut(&task) else { return };
        known.actual = Fate::Settled(rewards(shares));
        if known.supposed == Fate::Admitted {
            known.supposed = again.map_or_else(Fate::Refused, |shares| Fate::Settled(rewards(&shares)));
        }
    }
}

/// What a submission led to; `None` for one that was known already.
fn admission(events: &[Event]) -> Option<Fate> {
    events.iter().find_map(|event| match event {
        Event::AdmissionRequested { .. } | Event::ParseAdmitted { .. } => Some(Fate::Admitted),
        Event::AdmissionRefused { code, .. } => Some(Fate::Refused(*code)),
        _ => None,
    })
}

/// What everybody earns of a task that is settled now. **Errors**: it is not settled, or the lock does not pay for it.
fn shares_of(state: &State, at: OrderedMillis, task: &TaskId) -> Result<Vec<Share>, Code> {
    let governance = &state.governance;
    if let Some(known) = state.tasks.get(task)
        && let Stage::AwaitingSettlement { slices, aggregate, verdict, .. } = &known.stage
    {
        let settled = settled(state, at, &known.envelope, (slices, aggregate, verdict));
        return settled.map(|context| context.shares).map_err(|_| Code::EscrowTooSmall);
    }
    if let Some(known) = state.parses.get(task)
        && let ParseStage::AwaitingSettlement { statement, verdict, .. } = &known.stage
    {
        return settlement(governance, &known.order, statement, verdict, at).map(|settled| settled.shares);
    }
    Err(Code::NotFound)
}

fn rewards(shares: &[Share]) -> Rewards {
    let mut rewards = Rewards::new();
    for share in shares {
        let earned = rewards.entry(share.class).or_default();
        *earned = amount::sum([*earned, share.amount]).unwrap_or(*earned);
    }
    rewards
}
