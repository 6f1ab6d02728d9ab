//! Commands that wait for a place: those of this master's own clients and those that others forwarded.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use symphony_types::limits::COMMAND_BYTES_MAX;
use symphony_types::time::OrderedMillis;

use super::super::block::{BLOCK_BYTES_MAX, Block, COMMANDS_MAX, Item};
use super::super::committee::{Committee, Seat};
use super::super::message::Message;
use super::stage::{Applying, Chain, Outcome, Staged};
use super::{Effect, Placed, Submitted};
use crate::entry::decode;
use crate::journal::Row;
use crate::machine::Machine;
use crate::orderer::{OrderError, Ordered};

/// Commands of other masters kept at most.
const OTHERS_LEN_MAX: usize = 8 * COMMANDS_MAX;
/// Bytes of one page of forwarded commands at most.
const PAGE_BYTES_MAX: usize = COMMAND_BYTES_MAX + 4_096;
/// Fixed fields of a block, and of each command in it. **Units**: bytes.
const BLOCK_OVERHEAD: usize = 16 << 10;
const ITEM_OVERHEAD: usize = 32;

struct Mine<M: Machine> {
    command: M::Command,
    bytes: Vec<u8>,
    /// To whom and when it was forwarded.
    sent: Option<(Seat, u64)>,
    /// The leader found nothing to order at that height.
    dropped: Option<u64>,
}

struct Other<M: Machine> {
    from: Seat,
    ticket: u64,
    command: M::Command,
    bytes: Vec<u8>,
}

pub(super) struct Pool<M: Machine> {
    mine: BTreeMap<u64, Mine<M>>,
    others: VecDeque<Other<M>>,
    known: BTreeSet<(Seat, u64)>,
    /// Answers that rest on the block under way.
    pending: Vec<(u64, Pending<M>)>,
}

enum Pending<M: Machine> {
    Refused(M::Refusal),
    TooLarge,
    Nothing,
}

impl<M: Machine> Pool<M> {
    pub(super) fn new() -> Self {
        Self { mine: BTreeMap::new(), others: VecDeque::new(), known: BTreeSet::new(), pending: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.mine.is_empty() && self.others.is_empty()
    }

    /// Commands of others, and their names.
    pub(super) fn held(&self) -> usize {
        self.others.len().max(self.known.len())
    }

    pub(super) fn submit(&mut self, commands: Vec<Submitted<M>>) {
        for Submitted { ticket, command, bytes } in commands {
            self.mine.insert(ticket, Mine { command, bytes, sent: None, dropped: None });
        }
    }

    /// Takes commands that another master forwards; what is over the limits is left out and comes again.
    pub(super) fn forwarded(&mut self, from: Seat, commands: Vec<(u64, Vec<u8>)>) {
        for (ticket, bytes) in commands {
            if self.others.len() >= OTHERS_LEN_MAX || self.known.contains(&(from, ticket)) {
                continue;
            }
            if let Some(command) = decode(&bytes, COMMAND_BYTES_MAX) {
                self.known.insert((from, ticket));
                self.others.push_back(Other { from, ticket, command, bytes });
            }
        }
    }

    /// The leader of `height` found nothing to order in these.
    pub(super) fn dropped(&mut self, tickets: &[u64], height: u64) {
        for ticket in tickets {
            if let Some(mine) = self.mine.get_mut(ticket) {
                mine.dropped = Some(height);
            }
        }
    }

    /// Answers what would change nothing in the decided state now, while no height is under way: up to the first
    /// command that needs a height, because making its block judges the rest.
    pub(super) fn settle(
        &mut self,
        chain: &Chain<M>,
        at: OrderedMillis,
        height: u64,
        effects: &mut Vec<Effect<M>>,
    ) {
        let judge = |command: &M::Command| match M::decide(&chain.state, at, command) {
            Err(refusal) => Some(Pending::Refused(refusal)),
            Ok(events) if events.is_empty() => Some(Pending::Nothing),
            Ok(_) => None,
        };
        let mut needed = false;
        let mut done = Vec::new();
        for (ticket, mine) in &self.mine {
            match judge(&mine.command) {
                Some(pending) => done.push((*ticket, pending)),
                None => {
                    needed = true;
                    break;
                }
            }
        }
        for (ticket, pending) in done {
            self.mine.remove(&ticket);
            effects.push(answer(chain, ticket, pending));
        }
        let mut dropped: BTreeMap<Seat, Vec<u64>> = BTreeMap::new();
        self.others.retain(|other| {
            needed = needed || judge(&other.command).is_none();
            if !needed {
                self.known.remove(&(other.from, other.ticket));
                dropped.entry(other.from).or_default().push(other.ticket);
            }
            needed
        });
        tell_dropped(dropped, height, effects);
    }

    /// Fills a block with what waits and applies it.
    pub(super) fn fill(
        &mut self,
        base: &Chain<M>,
        committee: &Committee,
        seat: Seat,
        mut block: Block,
        effects: &mut Vec<Effect<M>>,
    ) -> Staged<M> {
        let mut applying = Applying::new(base, block.at);
        let mut bytes = BLOCK_OVERHEAD;
        self.pending.clear();
        for (ticket, mine) in &self.mine {
            if !fits(&block, bytes, &mine.bytes) {
                break;
            }
            match applying.take((seat, *ticket), &mine.command, mine.bytes.clone()) {
                Outcome::Taken => {
                    bytes += mine.bytes.len() + ITEM_OVERHEAD;
                    block.commands.push(Item { from: seat, ticket: *ticket, command: mine.bytes.clone() });
                }
                Outcome::Nothing => self.pending.push((*ticket, Pending::Nothing)),
                Outcome::TooLarge => self.pending.push((*ticket, Pending::TooLarge)),
                Outcome::Refused(refusal) => self.pending.push((*ticket, Pending::Refused(refusal))),
            }
        }
        let mut dropped: BTreeMap<Seat, Vec<u64>> = BTreeMap::new();
        let mut full = false;
        self.others.retain(|other| {
            full |= !fits(&block, bytes, &other.bytes);
            if full {
                return true;
            }
            match applying.take((other.from, other.ticket), &other.command, other.bytes.clone()) {
                Outcome::Taken => {
                    bytes += other.bytes.len() + ITEM_OVERHEAD;
                    let command = other.bytes.clone();
                    block.commands.push(Item { from: other.from, ticket: other.ticket, command });
                    true
                }
                Outcome::Nothing | Outcome::TooLarge | Outcome::Refused(_) => {
                    self.known.remove(&(other.from, other.ticket));
                    dropped.entry(other.from).or_default().push(other.ticket);
                    false
                }
            }
        });
        // Who forwarded looks again when this height is decided: the refusal may rest on an earlier command of it.
        tell_dropped(dropped, block.height, effects);
        let encoded: Arc<[u8]> = Arc::from(block.to_bytes());
        match applying.finish(committee, &block, encoded) {
            Ok(staged) => staged,
            Err(invalid) => unreachable!("a block made here applies here: {invalid}"),
        }
    }

    /// Which decided commands are those of own clients: the ticket alone is only what the proposer says.
    pub(super) fn own(&self, seat: Seat, ordered: &[Placed<M>], rows: &[Row]) -> Vec<(u64, Arc<Ordered<M>>)> {
        let own = ordered.iter().zip(rows).filter(|((from, ticket, _), row)| {
            *from == seat && self.mine.get(ticket).is_some_and(|mine| mine.bytes == row.command)
        });
        own.map(|((_, ticket, ordered), _)| (*ticket, Arc::clone(ordered))).collect()
    }

    /// Answers the own clients whose commands a decided block has, and forgets the rest of it.
    pub(super) fn decided(
        &mut self,
        seat: Seat,
        own: Vec<(u64, Arc<Ordered<M>>)>,
        ordered: &[Placed<M>],
        effects: &mut Vec<Effect<M>>,
    ) {
        for (ticket, ordered) in own {
            if self.mine.remove(&ticket).is_some() {
                effects.push(Effect::Answer(ticket, Ok(ordered)));
            }
        }
        let mut gone = false;
        for (from, ticket, _) in ordered {
            gone |= *from != seat && self.known.remove(&(*from, *ticket));
        }
        if gone {
            self.others.retain(|other| self.known.contains(&(other.from, other.ticket)));
        }
    }

    /// Answers what rested on a block that is decided now, if it still stands.
    pub(super) fn settled(
        &mut self,
        chain: &Chain<M>,
        at: OrderedMillis,
        height: u64,
        effects: &mut Vec<Effect<M>>,
    ) {
        for (ticket, pending) in std::mem::take(&mut self.pending) {
            let Some(mine) = self.mine.get(&ticket) else { continue };
            // Another block may have been decided than the one that was made here.
            let still = match (M::decide(&chain.state, at, &mine.command), pending) {
                (Err(refusal), _) => Some(Pending::Refused(refusal)),
                (Ok(events), _) if events.is_empty() => Some(Pending::Nothing),
                (Ok(_), Pending::TooLarge) => Some(Pending::TooLarge),
                (Ok(_), _) => None,
            };
            if let Some(pending) = still {
                self.mine.remove(&ticket);
                effects.push(answer(chain, ticket, pending));
            }
        }
        let told: Vec<u64> = self
            .mine
            .iter()
            .filter(|(_, mine)| mine.dropped.is_some_and(|at| at <= height))
            .map(|(ticket, _)| *ticket)
            .collect();
        for ticket in told {
            self.judge_dropped(chain, at, ticket, effects);
        }
    }

    /// The leader dropped a command: this master decides by its own state whether it was right.
    fn judge_dropped(
        &mut self,
        chain: &Chain<M>,
        at: OrderedMillis,
        ticket: u64,
        effects: &mut Vec<Effect<M>>,
    ) {
        let Some(mine) = self.mine.get_mut(&ticket) else { return };
        let pending = match M::decide(&chain.state, at, &mine.command) {
            Err(refusal) => Pending::Refused(refusal),
            Ok(events) if events.is_empty() => Pending::Nothing,
            Ok(_) => {
                (mine.sent, mine.dropped) = (None, None);
                return;
            }
        };
        self.mine.remove(&ticket);
        effects.push(answer(chain, ticket, pending));
    }

    /// When a forwarded command should be sent again.
    pub(super) fn deadline(&self, resend_ms: u64) -> Option<u64> {
        self.mine.values().filter_map(|mine| mine.sent.map(|(_, at)| at + resend_ms)).min()
    }

    /// Pages of own commands that `proposer` does not have yet, or has had for too long.
    pub(super) fn forward(&mut self, proposer: Seat, now: u64, resend_ms: u64) -> Vec<Vec<(u64, Vec<u8>)>> {
        let mut pages: Vec<Vec<(u64, Vec<u8>)>> = Vec::new();
        let mut bytes = PAGE_BYTES_MAX;
        for (ticket, mine) in &mut self.mine {
            let has = mine.sent.is_some_and(|(seat, at)| seat == proposer && now < at + resend_ms);
            if has {
                continue;
            }
            mine.sent = Some((proposer, now));
            bytes += mine.bytes.len() + ITEM_OVERHEAD;
            if bytes > PAGE_BYTES_MAX {
                pages.push(Vec::new());
                bytes = mine.bytes.len() + ITEM_OVERHEAD;
            }
            if let Some(page) = pages.last_mut() {
                page.push((*ticket, mine.bytes.clone()));
            }
        }
        pages
    }
}

fn fits(block: &Block, bytes: usize, next: &[u8]) -> bool {
    block.commands.len() < COMMANDS_MAX && bytes + next.len() + ITEM_OVERHEAD <= BLOCK_BYTES_MAX
}

fn tell_dropped<M: Machine>(dropped: BTreeMap<Seat, Vec<u64>>, height: u64, effects: &mut Vec<Effect<M>>) {
    for (seat, tickets) in dropped {
        effects.push(Effect::Send(seat, Message::Dropped { tickets, height }));
    }
}

fn answer<M: Machine>(chain: &Chain<M>, ticket: u64, pending: Pending<M>) -> Effect<M> {
    let answer = match pending {
        Pending::Refused(refusal) => Err(OrderError::Refused(refusal)),
        Pending::TooLarge => Err(OrderError::TooLarge),
        Pending::Nothing => {
            let (height, at) = (chain.head.height, chain.head.at);
            Ok(Arc::new(Ordered { height, at, events: Vec::new() }))
        }
    };
    Effect::Answer(ticket, answer)
}
