//! Who performs an effect: one master at a time, by a lease in ordered time (R196).
//!
//! ```text
//! event that owes it -> leased to the master through which its command was ordered
//! holder is alive    -> renewed, all leases of a master by one command
//! lease ran out      -> leased anew to the master that ordered the passing of time, next attempt
//! holder cannot      -> leased to the next master that has not said so, next attempt
//! no longer owed     -> the lease ends with the event that ended the debt
//! ```
//!
//! A lease decides who works, never whose report counts: a report is judged by what it says, the first one wins, and
//! the second is a repetition without events. So an effect that two masters perform, one of them late, has one result.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Bound;

use serde::{Deserialize, Serialize};
use symphony_types::catalogue::Code;
use symphony_types::id::{NodeId, TaskId};
use symphony_types::table::Value;
use symphony_types::time::OrderedMillis;

use super::effect::{begun, ended};
use super::{Effect, Event, State, outstanding};

/// The right and the duty to perform an effect for some time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The master that performs the effect.
    pub runner: NodeId,
    /// How often the effect was leased before.
    pub attempt: u32,
    /// From then on another may take it.
    pub until: OrderedMillis,
}

impl Value for Lease {}

impl State {
    /// What a master performs: what it goes on with after a restart.
    pub fn held_by<'a>(&'a self, runner: &'a NodeId) -> impl Iterator<Item = &'a Effect> + 'a {
        self.leases.iter().filter(move |(_, lease)| lease.runner == *runner).map(|(effect, _)| effect)
    }

    /// Whether an effect is leased to this master, be it that nobody has yet noticed the end of the lease.
    pub fn holds(&self, runner: &NodeId, effect: &Effect) -> bool {
        self.leases.get(effect).is_some_and(|lease| lease.runner == *runner)
    }

    /// When a master has to renew: after a third of its oldest lease, so that a quick effect needs no renewal and a
    /// late renewal has two thirds left. `None` when it holds nothing that is renewed.
    pub fn renewal(&self, runner: &NodeId) -> Option<OrderedMillis> {
        let until = renewable(self, runner).map(|lease| lease.until).min()?;
        // Another policy may be in force at its end than at its beginning: the shorter length renews neither too often nor too late.
        let last = length(self, until);
        let length = last.min(length(self, until.minus(last)));
        Some(until.minus(length - length / 3))
    }

    /// Whether the leased effects are exactly the outstanding ones, releases aside. It holds in every state that the
    /// rules have made.
    pub fn leases_agree(&self) -> bool {
        let leased = self.leases.keys().filter(|effect| !effect.once());
        leased.eq(outstanding(self).iter().collect::<BTreeSet<_>>())
    }
}

/// The effect that an event gives to a master to perform.
pub fn effect_for<'a>(runner: &NodeId, event: &'a Event) -> Option<&'a Effect> {
    if let Event::EffectLeased { effect, lease } = event
        && lease.runner == *runner
    {
        return Some(effect);
    }
    None
}

/// Leases whatever the events of one decision begin to owe, each right after the event that owes it.
pub(super) fn grant(state: &State, at: OrderedMillis, by: &NodeId, events: Vec<Event>) -> Vec<Event> {
    let mut all = Vec::with_capacity(events.len());
    for event in events {
        let owed = begun(state, &event);
        all.push(event);
        all.extend(owed.into_iter().map(|effect| leased(state, at, by, effect, 0)));
    }
    all
}

/// Passes on what ran out at `at`; `closing` are tasks that end in the same decision, and their leases with them.
pub(super) fn lapse(state: &State, at: OrderedMillis, by: &NodeId, closing: &BTreeSet<TaskId>) -> Vec<Event> {
    let mut events = Vec::new();
    for (effect, lease) in state.leases.iter().filter(|(_, lease)| lease.until <= at) {
        if effect.once() {
            events.push(Event::LeaseDropped { effect: effect.clone() });
        } else if effect.task().is_none_or(|task| !closing.contains(&task)) {
            let able = next_able(state, effect, &lease.runner, None);
            let runner = if unable(state, effect).contains_key(by) { able.unwrap_or(by) } else { by };
            events.push(leased(state, at, runner, effect.clone(), lease.attempt.saturating_add(1)));
        }
    }
    events
}

/// Passes on what a master holds and cannot do, to the next one that has not said the same; nothing when it does not
/// hold it, or nobody is left.
pub(super) fn pass_on(state: &State, at: OrderedMillis, effect: &Effect, from: &NodeId) -> Option<Event> {
    let lease = state.leases.get(effect).filter(|lease| lease.runner == *from)?;
    let next = next_able(state, effect, from, Some(from))?;
    Some(leased(state, at, next, effect.clone(), lease.attempt.saturating_add(1)))
}

/// Renews everything that a master holds; nothing when it holds nothing, or has just done so.
pub(super) fn renew(state: &State, at: OrderedMillis, by: &NodeId) -> Vec<Event> {
    let until = at.plus(length(state, at));
    if renewable(state, by).any(|lease| lease.until < until) {
        vec![Event::LeasesRenewed { runner: by.clone(), until }]
    } else {
        vec![]
    }
}

/// What an event does to the leases.
pub(super) fn evolve(state: &mut State, event: &Event) {
    for effect in ended(event) {
        state.leases.remove(&effect);
    }
    if let Event::EffectLeased { effect, lease } = event {
        state.leases.insert(effect.clone(), lease.clone());
    }
    if let Event::LeasesRenewed { runner, until } = event {
        let held: Vec<_> = state.held_by(runner).filter(|effect| !effect.once()).cloned().collect();
        for effect in held {
            if let Some(lease) = state.leases.get_mut(&effect) {
                lease.until = *until;
            }
        }
    }
}

fn leased(state: &State, at: OrderedMillis, by: &NodeId, effect: Effect, attempt: u32) -> Event {
    let lease = Lease { runner: by.clone(), attempt, until: at.plus(length(state, at)) };
    Event::EffectLeased { effect, lease }
}

/// Masters that have said of an effect that they cannot do it.
fn unable<'a>(state: &'a State, effect: &Effect) -> &'a BTreeMap<NodeId, Code> {
    static NOBODY: BTreeMap<NodeId, Code> = BTreeMap::new();
    effect.task().and_then(|task| state.tasks.get(&task)).map_or(&NOBODY, |task| &task.failures)
}

/// The registered master after this one, in a circle, that has not said of an effect that it cannot do it, and is not
/// `but`.
fn next_able<'a>(
    state: &'a State,
    effect: &Effect,
    after: &NodeId,
    but: Option<&NodeId>,
) -> Option<&'a NodeId> {
    let (masters, unable) = (&state.governance.registry.masters, unable(state, effect));
    let later = masters.range::<NodeId, _>((Bound::Excluded(after), Bound::Unbounded));
    let mut circle = later.chain(masters.range::<NodeId, _>(..=after)).map(|(master, _)| master);
    circle.find(|master| !unable.contains_key(*master) && Some(*master) != but)
}

/// The leases of a master that a renewal prolongs: a release is not renewed, its deadline does the same.
fn renewable<'a>(state: &'a State, runner: &'a NodeId) -> impl Iterator<Item = &'a Lease> + 'a {
    state
        .leases
        .iter()
        .filter(move |(effect, lease)| lease.runner == *runner && !effect.once())
        .map(|(_, lease)| lease)
}

fn length(state: &State, at: OrderedMillis) -> u64 {
    state.governance.policy_at(at).deadlines.lease_ms
}
