//! One host: a replica, its disk, its clock, and the clients that wait at it.
//!
//! The replica is rebuilt out of the disk at every start, by applying every block again from the genesis, or from the state that
//! others gave (R197, R217).

use std::collections::BTreeMap;
use std::sync::Arc;

use symphony_consensus::entry::Head;
use symphony_consensus::quorum::committee::{Committee, Seat};
use symphony_consensus::quorum::core::Timing;
use symphony_consensus::quorum::guard::{Refusal, VoteGuard};
use symphony_consensus::quorum::message::{Proof, StatePart};
use symphony_consensus::quorum::replica::{
    Chain, Commit, Joined, Moment, Pace, Place, Replica, Sealed, stage,
};
use symphony_types::canonical;
use symphony_types::time::OrderedMillis;

use crate::bank::{Bank, Books, genesis};
use crate::network::HostId;

/// How the simulated replicas behave in time.
pub const PACE: Pace = Pace {
    timing: Timing { propose_ms: 200, vote_ms: 100, repeat_ms: 100 },
    tick_ms: 300,
    drift_ms: 500,
    state_lag: 16,
};
/// What every clock shows when the simulation starts. **Units**: milliseconds.
const EPOCH_MS: u64 = 1_000_000_000;

/// A clock that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// Ahead of the truth. **Units**: milliseconds.
    pub skew_ms: i64,
    /// Too fast. **Units**: millionths.
    pub rate: i64,
}

impl Clock {
    /// What it shows.
    pub fn wall(&self, now: u64) -> OrderedMillis {
        OrderedMillis((EPOCH_MS + self.stretched(now)).saturating_add_signed(self.skew_ms))
    }

    /// How much of its time passes in `span` of the true one.
    pub fn stretched(&self, span: u64) -> u64 {
        span * 1_000_000_u64.saturating_add_signed(self.rate) / 1_000_000
    }

    /// The true time that it takes for `span` of its own, rounded up.
    pub fn shrunk(&self, span: u64) -> u64 {
        span.saturating_mul(1_000_000).div_ceil(1_000_000_u64.saturating_add_signed(self.rate).max(1))
    }
}

/// States go in parts of so many bytes, so that there are several.
const PART_BYTES: usize = 300;
/// Blocks between two checkpoints.
const CHECKPOINT_BLOCKS: u64 = 12;

/// A state on the way, as others may take it.
pub type Checkpoint = Arc<Joined<Books>>;

/// A write that is not durable yet.
#[derive(Clone)]
pub enum Write {
    /// Of blocks.
    Commit(Arc<Commit<Bank>>),
    /// Of a state that others gave.
    State(Checkpoint),
}

/// What survives a crash.
#[derive(Default)]
pub struct Disk {
    /// The state that others gave last: blocks begin behind it.
    pub base: Option<Checkpoint>,
    /// The newest state that it can give.
    pub checkpoint: Option<Checkpoint>,
    /// Decided blocks.
    pub blocks: Vec<Sealed>,
    /// What the journal says it ends with.
    pub head: Option<Head>,
}

impl Disk {
    /// Does a write, as one transaction.
    pub fn write(&mut self, write: &Write) {
        match write {
            Write::Commit(commit) => {
                self.blocks.extend(commit.blocks.iter().cloned());
                self.head = Some(commit.head);
                let last = self.checkpoint.as_ref().map_or(0, |kept| kept.place.height);
                if commit.place.height >= last + CHECKPOINT_BLOCKS {
                    let state = Books::clone(&commit.state);
                    let (head, place, bytes) =
                        (commit.head, commit.place.clone(), canonical::to_bytes(&state));
                    self.checkpoint = Some(Arc::new(Joined { head, place, bytes, state }));
                }
            }
            Write::State(joined) => {
                self.blocks.clear();
                self.head = Some(joined.head);
                (self.base, self.checkpoint) = (Some(Arc::clone(joined)), Some(Arc::clone(joined)));
            }
        }
    }

    /// The height of its last block.
    pub fn height(&self) -> u64 {
        let base = self.base.as_ref().map_or(0, |base| base.place.height);
        self.blocks.last().map_or(base, |sealed| sealed.height)
    }

    /// A part of the newest state further on than a height, if the next block proves it.
    pub fn part(&self, after: u64, part: u32) -> Option<StatePart> {
        let kept = self.checkpoint.as_ref().filter(|kept| kept.place.height > after)?;
        let next = self.blocks.iter().find(|sealed| sealed.height == kept.place.height + 1)?;
        let proof = Proof {
            place: kept.place.clone(),
            block: next.block.to_vec(),
            certificate: next.certificate.clone(),
        };
        Some(StatePart {
            head: kept.head,
            part,
            parts: u32::try_from(kept.bytes.len().div_ceil(PART_BYTES)).ok()?,
            bytes: kept.bytes.chunks(PART_BYTES).nth(part as usize)?.to_vec(),
            proof: (part == 0).then_some(proof),
        })
    }

    /// Goes back to an older state of it.
    pub fn roll_back(&mut self, blocks: usize) {
        self.blocks.truncate(blocks);
        self.head = None;
        let height = self.height();
        if self.checkpoint.as_ref().is_some_and(|kept| kept.place.height > height) {
            self.checkpoint.clone_from(&self.base);
        }
    }

    /// Applies every block again. **Errors**: what does not fit.
    pub fn replay(&self, founding: &Committee) -> Result<(Place, Chain<Bank>), String> {
        let genesis = genesis();
        let head = Head::of_genesis(genesis.root());
        let mut chain = Chain::<Bank> { head, state: Arc::new(genesis.state) };
        let mut place = Place { height: 0, leader: Seat(0), committee: founding.clone() };
        if let Some(base) = &self.base {
            place = base.place.clone();
            chain = Chain { head: base.head, state: Arc::new(base.state.clone()) };
        }
        for sealed in &self.blocks {
            let staged = stage(&chain, &place.committee, place.height, &sealed.block)
                .map_err(|invalid| format!("block {} does not apply again: {invalid}", sealed.height))?;
            place = Place { height: sealed.height, leader: staged.proposer, committee: staged.committee };
            chain = staged.chain;
        }
        match self.head {
            Some(head) if head != chain.head => Err(format!("replay ends at {:?}, not {head:?}", chain.head)),
            _ => Ok((place, chain)),
        }
    }
}

/// A host.
pub struct Host {
    /// Its number.
    pub id: HostId,
    /// The seat that it speaks for.
    pub seat: Seat,
    /// Whether its answers and counts mean anything.
    pub honest: bool,
    /// Its clock.
    pub clock: Clock,
    /// What survives.
    pub disk: Disk,
    /// How long a write takes. **Units**: milliseconds.
    pub disk_ms: u64,
    /// What does not survive.
    pub replica: Option<Replica<Bank>>,
    /// Counts its starts: what belongs to an earlier life is ignored.
    pub life: u64,
    /// The write under way.
    pub writing: Option<Write>,
    /// Requests of its clients by ticket.
    pub waiting: BTreeMap<u64, u64>,
    /// When its next tick is planned.
    pub ticking: Option<u64>,
    ticket: u64,
    started: u64,
}

impl Host {
    /// A host that has not started.
    pub fn new(id: HostId, seat: Seat, clock: Clock) -> Self {
        Self {
            id,
            seat,
            honest: true,
            clock,
            disk: Disk::default(),
            disk_ms: 1,
            replica: None,
            life: 0,
            writing: None,
            waiting: BTreeMap::new(),
            ticking: None,
            ticket: 0,
            started: 0,
        }
    }

    /// The time as this host sees it.
    pub fn moment(&self, now: u64) -> Moment {
        Moment { elapsed: self.clock.stretched(now - self.started), clock: self.clock.wall(now) }
    }

    /// When a moment of its own comes.
    pub fn when(&self, elapsed: u64) -> u64 {
        self.started.saturating_add(self.clock.shrunk(elapsed))
    }

    /// Starts it on its disk.
    ///
    /// **Errors**: the disk does not hold what it should, or the guard refuses.
    pub fn start(&mut self, founding: &Committee, guard: &mut dyn VoteGuard, now: u64) -> Result<(), String> {
        self.life += 1;
        self.started = now;
        let (place, chain) = self.disk.replay(founding)?;
        let moment = self.moment(now);
        self.ticket = moment.clock.0 << 20;
        let at = (chain.head, chain.state);
        match Replica::new(self.seat, PACE, place, at, guard, moment) {
            Ok(replica) => {
                self.replica = Some(replica);
                Ok(())
            }
            Err(Refusal::Unreachable) => Ok(()),
            Err(refusal) => Err(format!("the guard of {} does not let its host start: {refusal}", self.seat)),
        }
    }

    /// Ends it. A write under way is there or not.
    pub fn crash(&mut self, written: bool) {
        if let Some(write) = self.writing.take()
            && written
        {
            self.disk.write(&write);
        }
        self.replica = None;
        self.ticking = None;
        self.waiting.clear();
    }

    /// A number for a client's command.
    pub fn next_ticket(&mut self) -> u64 {
        self.ticket += 1;
        self.ticket
    }

    /// The height of its last durable block.
    pub fn height(&self) -> u64 {
        self.disk.height()
    }
}
