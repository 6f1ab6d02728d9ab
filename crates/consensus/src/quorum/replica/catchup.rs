//! Blocks that were decided without this master, and messages of heights that it has not reached (R212, R213).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::super::block::name;
use super::super::committee::{Certificate, Committee, Seat, Step};
use super::super::guard::VoteGuard;
use super::super::message::{Message, StatePart};
use super::{Chain, Commit, Effect, Joined, Moment, Place, Progress, Replica, Sealed, stage};
use crate::machine::Machine;

/// Messages kept for heights ahead, of all masters together.
const EARLY_LEN_MAX: usize = 128;
/// How far ahead a kept message is at most.
const EARLY_HEIGHTS: u64 = 2;
/// Pause between two questions to the others. **Units**: milliseconds.
const ASK_MS: u64 = 100;
/// A master may be this far ahead for a moment: its message overtook a vote. **Units**: milliseconds.
const PATIENCE_MS: u64 = 40;
/// Blocks that one durable step takes.
const STEP_LEN_MAX: usize = 64;
/// Blocks that wait to be applied.
const INCOMING_LEN_MAX: usize = 1_024;

pub(super) struct Catchup<M: Machine> {
    early: Vec<(Seat, Message)>,
    incoming: VecDeque<(Vec<u8>, Certificate)>,
    /// The highest decided height that each master has claimed.
    claimed: BTreeMap<Seat, u64>,
    /// Who was asked last.
    asked: Option<Seat>,
    lagging_since: Option<u64>,
    asked_at: u64,
    served_at: Vec<(Seat, u64)>,
    taken: u64,
    machine: std::marker::PhantomData<fn() -> M>,
}

impl<M: Machine> Catchup<M> {
    pub(super) fn new() -> Self {
        Self {
            early: Vec::new(),
            incoming: VecDeque::new(),
            claimed: BTreeMap::new(),
            asked: None,
            lagging_since: None,
            asked_at: 0,
            served_at: Vec::new(),
            taken: 0,
            machine: std::marker::PhantomData,
        }
    }

    /// The highest height that another master has claimed.
    pub(super) fn best(&self) -> u64 {
        self.claimed.values().copied().max().unwrap_or(0)
    }

    /// Messages and blocks that wait.
    pub(super) fn held(&self) -> usize {
        self.early.len() + self.incoming.len() + self.served_at.len()
    }

    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// When the others should be asked, if nothing comes until then.
    pub(super) fn deadline(&self) -> u64 {
        match self.lagging_since {
            Some(since) => (since + PATIENCE_MS).max(self.asked_at + ASK_MS),
            None => u64::MAX,
        }
    }

    /// A master says how far it is.
    pub(super) fn heard(&mut self, from: Seat, height: u64, own: u64, now: u64) {
        let claimed = self.claimed.entry(from).or_default();
        *claimed = height.max(*claimed);
        if height > own {
            self.lagging_since.get_or_insert(now);
        }
    }

    /// A consensus message of a height that is not the next, or that comes while a commit is not durable.
    pub(super) fn ahead(&mut self, from: Seat, message: Message, height: u64, own: u64, now: u64) {
        if height <= own + EARLY_HEIGHTS && self.early.len() < EARLY_LEN_MAX {
            self.early.push((from, message));
        }
        // Who speaks of a height has decided the one before.
        self.heard(from, height - 1, own, now);
    }

    /// Whom to ask now for the blocks after `own`: in turn everyone who claims to have some.
    fn ask(&mut self, own: u64, now: u64) -> Option<Seat> {
        let since = self.lagging_since.filter(|_| self.incoming.is_empty())?;
        if now < since + PATIENCE_MS || now < self.asked_at + ASK_MS {
            return None;
        }
        let ahead = |(seat, height): (&Seat, &u64)| (*height > own).then_some(*seat);
        let after = self.claimed.iter().filter_map(ahead).find(|seat| Some(*seat) > self.asked);
        let to = after.or_else(|| self.claimed.iter().find_map(ahead));
        if to.is_none() {
            self.lagging_since = None;
        }
        (self.asked, self.asked_at) = (to, now);
        to
    }

    /// A master is behind: whether to send it what it lacks.
    pub(super) fn behind(&mut self, from: Seat, height: u64, now: u64) -> bool {
        if height == 0 {
            return false;
        }
        match self.served_at.iter_mut().find(|(seat, _)| *seat == from) {
            Some((_, at)) if now < *at + ASK_MS => false,
            Some((_, at)) => {
                *at = now;
                true
            }
            None => {
                self.served_at.push((from, now));
                true
            }
        }
    }

    /// A master sends decided blocks; gives the height to ask for more after.
    pub(super) fn offered(
        &mut self,
        from: Seat,
        blocks: Vec<(Vec<u8>, Certificate)>,
        own: u64,
    ) -> Option<u64> {
        let mut next = own + 1 + self.incoming.len() as u64;
        let mut last = None;
        for (block, certificate) in blocks {
            if self.incoming.len() >= INCOMING_LEN_MAX {
                break;
            }
            if certificate.height == next {
                self.incoming.push_back((block, certificate));
                last = Some(next);
                next += 1;
            }
        }
        let more = self.claimed.get(&from).copied().unwrap_or(0);
        last.filter(|last| *last < more && self.incoming.len() < INCOMING_LEN_MAX / 2)
    }

    /// Early messages of a height; older ones are forgotten.
    pub(super) fn waiting(&mut self, height: u64) -> Vec<(Seat, Message)> {
        let early = std::mem::take(&mut self.early);
        let (now, later): (Vec<_>, Vec<_>) = early
            .into_iter()
            .filter(|(_, m)| m.height() >= Some(height))
            .partition(|(_, m)| m.height() == Some(height));
        self.early = later;
        if self.best() < height {
            self.lagging_since = None;
        }
        now
    }
}

impl<M: Machine> Replica<M> {
    /// Asks for what is missing: the blocks, or a state if they are too many.
    fn ask(&mut self, now: u64, effects: &mut Vec<Effect<M>>) {
        if self.transfer.waits(now) {
            return;
        }
        let Some(to) = self.catchup.ask(self.height, now) else { return };
        let claimed = self.catchup.claimed.get(&to).copied().unwrap_or(0);
        let far = claimed.saturating_sub(self.height) >= self.pace.state_lag;
        if far && self.transfer.ask(to, now) {
            effects.push(Effect::Send(to, Message::AskState { after: self.height, part: 0, of: None }));
        } else {
            effects.push(Effect::Send(to, Message::Ask { after: self.height }));
        }
    }

    /// Takes a part of a state, and the state with the last one.
    pub(super) fn receive_state(
        &mut self,
        from: Seat,
        part: StatePart,
        now: u64,
        effects: &mut Vec<Effect<M>>,
    ) {
        if part.part == 0 && self.catchup.asked == Some(from) && self.catchup.lagging_since.is_some() {
            self.transfer.instead(from, now);
        }
        match self.transfer.take::<M>(from, part, (self.height, &self.committee), now) {
            Progress::None => {}
            Progress::Ask(part, of) => {
                effects
                    .push(Effect::Send(from, Message::AskState { after: self.height, part, of: Some(of) }));
            }
            Progress::Whole(joined) if !self.writes() && joined.place.height > self.height => {
                self.core.halt();
                let joined = Arc::new(*joined);
                self.installing = Some(Arc::clone(&joined));
                effects.push(Effect::Install(joined));
            }
            Progress::Whole(_) => {}
        }
    }

    /// A state of the others is durable: stand there.
    pub(super) fn joined(
        &mut self,
        joined: &Joined<M::State>,
        guard: &mut dyn VoteGuard,
        now: Moment,
        effects: &mut Vec<Effect<M>>,
    ) {
        self.chain = Chain { head: joined.head, state: Arc::new(joined.state.clone()) };
        (self.height, self.leader) = (joined.place.height, joined.place.leader);
        self.catchup.incoming.clear();
        self.staged.clear();
        self.kept.retain(|kept| kept.polka.height > joined.place.height);
        self.decided_at = now.elapsed;
        self.seat_committee(&joined.place.committee, guard);
        self.pool.settled(&self.chain, self.time(now), self.height, effects);
        self.follow_up(guard, now, effects);
    }

    /// Applies decided blocks that wait, as one durable step.
    pub(super) fn catch_up(&mut self, now: u64, effects: &mut Vec<Effect<M>>) {
        self.ask(now, effects);
        let mut chain = Chain { head: self.chain.head, state: Arc::clone(&self.chain.state) };
        let mut committee = Committee::clone(&self.committee);
        let (mut height, mut leader) = (self.height, self.leader);
        let (mut blocks, mut rows, mut ordered) = (Vec::new(), Vec::new(), Vec::new());
        while blocks.len() < STEP_LEN_MAX {
            let Some((bytes, certificate)) = self.catchup.incoming.pop_front() else { break };
            if certificate.height <= height {
                continue;
            }
            let proven = certificate.height == height + 1
                && certificate.step == Step::Precommit
                && certificate.block == name(&bytes)
                && committee.certifies(&certificate);
            if !proven {
                tracing::warn!(height = certificate.height, "decided blocks without a proof are dropped");
                self.catchup.incoming.clear();
                break;
            }
            match stage(&chain, &committee, height, &bytes) {
                Err(invalid) => return self.halt(invalid, effects),
                Ok(staged) => {
                    height += 1;
                    leader = staged.proposer;
                    committee = staged.committee;
                    rows.extend(staged.rows);
                    ordered.extend(staged.ordered);
                    chain = staged.chain;
                    blocks.push(Sealed { height, block: staged.bytes, certificate });
                }
            }
        }
        if blocks.is_empty() {
            return;
        }
        self.catchup.taken += blocks.len() as u64;
        let place = Place { height, leader, committee };
        self.commit(Commit { blocks, ordered, state: chain.state, head: chain.head, place }, rows, effects);
    }
}
