//! One master's whole ordering as a pure step function: inputs and the time in, effects out (R007, R012, R211-R217).
//!
//! Every block is applied to the rules before this master votes for it, so a command that the rules refuse is
//! never decided by an honest quorum. A decided block leaves as one [`Commit`]; nothing else is done, and nobody
//! is answered, before the host says that it is durable.

mod catchup;
mod guarding;
mod pool;
mod stage;
mod transfer;

use std::collections::BTreeMap;
use std::sync::Arc;

use symphony_types::digest::Digest;
use symphony_types::time::OrderedMillis;

use super::block::{Block, name};
use super::committee::{Certificate, Committee, Rotation, Seat};
use super::conflict::Conflict;
use super::core::{Core, Counts, Output, Timing};
use super::guard::{Identity, Kept, Memory, Refusal, VoteGuard};
use super::message::{Message, Proposal};
use crate::entry::Head;
use crate::journal::Row;
use crate::machine::Machine;
use crate::orderer::{OrderError, Ordered};

use catchup::Catchup;
use pool::Pool;
pub use stage::{Chain, Invalid, Staged, stage};
pub use transfer::{Joined, PART_BYTES};
use transfer::{Progress, Transfer};

/// How a replica behaves in time. **Units**: milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The steps of a round.
    pub timing: Timing,
    /// An empty height is decided after this long without another.
    pub tick_ms: u64,
    /// How far a proposer's clock may be ahead of the own one.
    pub drift_ms: u64,
    /// From so many missing blocks on a master takes a state instead of them. **Units**: blocks.
    pub state_lag: u64,
}

impl Default for Pace {
    fn default() -> Self {
        let timing = Timing { propose_ms: 1_000, vote_ms: 500, repeat_ms: 500 };
        Self { timing, tick_ms: 2_000, drift_ms: 5_000, state_lag: 10_000 }
    }
}

/// The time as a host sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Since any fixed point, never backwards. **Units**: milliseconds.
    pub elapsed: u64,
    /// The clock on the wall, which proposals carry.
    pub clock: OrderedMillis,
}

/// A command of this master's own clients.
pub struct Submitted<M: Machine> {
    /// Names it in the answer.
    pub ticket: u64,
    /// The command.
    pub command: M::Command,
    /// Its canonical bytes.
    pub bytes: Vec<u8>,
}

/// What happens to a replica.
pub enum Input<M: Machine> {
    /// Clients want these ordered.
    Submit(Vec<Submitted<M>>),
    /// Another master says something; the connection proves the seat.
    Received(Seat, Box<Message>),
    /// Time has passed.
    Tick,
    /// The last [`Effect::Commit`] or [`Effect::Install`] is durable.
    Committed,
}

/// What a replica wants done, in order.
pub enum Effect<M: Machine> {
    /// Tell one master.
    Send(Seat, Message),
    /// Tell all others.
    Broadcast(Message),
    /// Make this and its journal entries durable in one transaction, then say [`Input::Committed`].
    Commit(Arc<Commit<M>>, Vec<Row>),
    /// Send a master the decided blocks after a height.
    Serve {
        /// To whom.
        to: Seat,
        /// The last height that it has.
        after: u64,
    },
    /// Send a master a part of the newest state that has a proof, or the blocks after a height if that is no further.
    ServeState {
        /// To whom.
        to: Seat,
        /// The last block that it has.
        after: u64,
        /// Which part.
        part: u32,
        /// Of which state, if not of the newest.
        of: Option<Digest>,
    },
    /// Make this state durable in place of all blocks until there, then say [`Input::Committed`].
    Install(Arc<Joined<M::State>>),
    /// Keep the proof that a seat voted twice.
    Accuse(Conflict),
    /// Answer a client.
    Answer(u64, Answer<M>),
    /// Stop for good: the cluster decided what this replica's rules refuse.
    Halt(Invalid),
}

/// What a client gets.
pub type Answer<M> = Result<Arc<Ordered<M>>, OrderError<<M as Machine>::Refusal>>;

/// A command that has its place, with the seat and ticket that wait for it.
pub type Placed<M> = (Seat, u64, Arc<Ordered<M>>);

/// A decided block with its proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The height.
    pub height: u64,
    /// Canonical bytes of the block.
    pub block: Arc<[u8]>,
    /// A quorum of precommits.
    pub certificate: Certificate,
}

/// One durable step: blocks, and where the replica stands after them.
pub struct Commit<M: Machine> {
    /// The blocks in order; more than one only while catching up.
    pub blocks: Vec<Sealed>,
    /// What was ordered: the seat whose client waits, its ticket, and what happened.
    pub ordered: Vec<Placed<M>>,
    /// The state after them.
    pub state: Arc<M::State>,
    /// The end of the journal after them.
    pub head: Head,
    /// Where the replica stands after them.
    pub place: Place,
}

/// Where a replica stands: what it needs besides the journal to go on.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Place {
    /// The height of the last decided block.
    pub height: u64,
    /// Who made it, and leads the next.
    pub leader: Seat,
    /// Who votes at the next height.
    pub committee: Committee,
}

/// What a replica counted since its start, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gauges {
    /// The own seat.
    pub seat: Seat,
    /// The height of the last decided block.
    pub height: u64,
    /// The round under way.
    pub round: u32,
    /// Mean time of a height that was decided here. **Units**: milliseconds.
    pub block_ms: u64,
    /// Who leads.
    pub leader: Seat,
    /// Whether this master leads the next height.
    pub leads: bool,
    /// Whether this master's key has a vote.
    pub votes: bool,
    /// The highest block that another master has shown, less the own: how far this one lags.
    pub lag: u64,
    /// Precommits absent from certificates, by seat.
    pub missed: Vec<u64>,
    /// Keys rotated in.
    pub rotations: u64,
    /// Blocks that came by catch-up.
    pub caught_up: u64,
    /// Of the engine.
    pub counts: Counts,
}

/// One master's ordering.
pub struct Replica<M: Machine> {
    seat: Seat,
    pace: Pace,
    chain: Chain<M>,
    height: u64,
    leader: Seat,
    committee: Arc<Committee>,
    core: Core,
    identity: Identity,
    memory: Memory,
    /// Blocks that the guard may be locked on since before this host restarted.
    kept: Vec<Kept>,
    pool: Pool<M>,
    catchup: Catchup<M>,
    transfer: Transfer,
    staged: BTreeMap<Digest, Staged<M>>,
    committing: Option<Arc<Commit<M>>>,
    installing: Option<Arc<Joined<M::State>>>,
    /// Tickets of own clients that the commit under way decides.
    answering: Vec<(u64, Arc<Ordered<M>>)>,
    rotations: Vec<Rotation>,
    halted: bool,
    decided_at: u64,
    said_at: u64,
    /// When the height under way began.
    began_at: u64,
    /// Heights decided here, and the time that they took.
    blocks: u64,
    block_ms: u64,
    missed: Vec<u64>,
    rotated: u64,
    /// What the guard had withheld when it was last asked who it is.
    refusals: u64,
}

/// Blocks kept staged at one height.
const STAGED_LEN_MAX: usize = 8;
/// How often a replica says where it stands. **Units**: milliseconds.
const STATUS_MS: u64 = 1_000;

impl<M: Machine> Replica<M> {
    /// A replica that stands at `place` with the state and journal head there.
    ///
    /// **Errors**: the guard does not answer, or does not believe the committee.
    pub fn new(
        seat: Seat,
        pace: Pace,
        place: Place,
        (head, state): (Head, Arc<M::State>),
        guard: &mut dyn VoteGuard,
        now: Moment,
    ) -> Result<Self, Refusal> {
        guard.install(&place.committee)?;
        let (identity, memory, kept) = (guard.identity()?, guard.memory()?, guard.kept()?);
        let committee = Arc::new(place.committee);
        Ok(Self {
            seat,
            pace,
            chain: Chain { head, state },
            height: place.height,
            leader: place.leader,
            core: Core::new(seat, Arc::clone(&committee), place.leader, pace.timing),
            missed: vec![0; committee.members.len()],
            committee,
            identity,
            memory,
            kept,
            pool: Pool::new(),
            catchup: Catchup::new(),
            transfer: Transfer::default(),
            staged: BTreeMap::new(),
            committing: None,
            installing: None,
            answering: Vec::new(),
            rotations: Vec::new(),
            halted: false,
            decided_at: now.elapsed,
            said_at: 0,
            began_at: now.elapsed,
            blocks: 0,
            block_ms: 0,
            rotated: 0,
            refusals: 0,
        })
    }

    /// Where it stands and what it counted.
    pub fn gauges(&self) -> Gauges {
        Gauges {
            seat: self.seat,
            block_ms: self.block_ms.checked_div(self.blocks).unwrap_or(0),
            height: self.height,
            round: if self.core.running() { self.core.round() } else { 0 },
            leader: self.leader,
            leads: self.leader == self.seat,
            votes: self.votes(),
            lag: self.catchup.best().saturating_sub(self.height),
            missed: self.missed.clone(),
            rotations: self.rotated,
            caught_up: self.catchup.taken(),
            counts: self.core.counts(),
        }
    }

    /// How many things of other masters it holds: commands, early messages, blocks, rotations.
    pub fn held(&self) -> usize {
        self.pool.held() + self.catchup.held() + self.staged.len() + self.rotations.len()
    }

    /// The committee of the next height.
    pub fn committee(&self) -> &Arc<Committee> {
        &self.committee
    }

    /// The end of the journal and the state there.
    pub fn chain(&self) -> (Head, Arc<M::State>) {
        (self.chain.head, Arc::clone(&self.chain.state))
    }

    /// The moment at which [`Input::Tick`] is due.
    pub fn deadline(&self) -> u64 {
        let step = self.core.deadline().unwrap_or(u64::MAX);
        let idle = if self.core.running() { u64::MAX } else { self.decided_at + self.pace.tick_ms };
        let forwards = self.next_proposer() != self.seat;
        let pool = self.pool.deadline(self.resend_ms()).filter(|_| forwards).unwrap_or(u64::MAX);
        let behind = self.catchup.deadline().max(self.transfer.until());
        step.min(idle).min(pool).min(self.said_at + STATUS_MS).min(behind)
    }

    /// Takes one input. The effects are to be done in order; nothing may be fed in while a commit is not durable
    /// but [`Input::Committed`], [`Input::Received`] and [`Input::Submit`], which wait.
    pub fn step(&mut self, input: Input<M>, guard: &mut dyn VoteGuard, now: Moment) -> Vec<Effect<M>> {
        let mut effects = Vec::new();
        if self.halted {
            return effects;
        }
        match input {
            Input::Submit(commands) => self.pool.submit(commands),
            Input::Received(from, message) => self.receive(from, *message, guard, now, &mut effects),
            Input::Tick => {
                let outputs = self.core.tick(guard, now.elapsed);
                self.act(outputs, guard, now, &mut effects);
            }
            Input::Committed => self.committed(guard, now, &mut effects),
        }
        self.go_on(guard, now, &mut effects);
        effects
    }

    /// Everything that the new situation allows: catch-up, the next height, what waits for the leader.
    fn go_on(&mut self, guard: &mut dyn VoteGuard, now: Moment, effects: &mut Vec<Effect<M>>) {
        if !self.writes() && !self.halted {
            self.catch_up(now.elapsed, effects);
        }
        if !self.writes() && !self.halted {
            self.settle_idle(now, effects);
            if !self.core.running() && self.wants(now) {
                self.begin(guard, now, effects);
            }
        }
        self.forward(now, effects);
        if now.elapsed >= self.said_at + STATUS_MS {
            self.said_at = now.elapsed;
            self.look_at_guard(guard);
            self.say_status(effects);
        }
    }

    /// Whether something is not durable yet.
    fn writes(&self) -> bool {
        self.committing.is_some() || self.installing.is_some()
    }

    fn votes(&self) -> bool {
        self.committee.member(self.seat).is_some_and(|member| member.key == self.identity.key)
    }

    /// Whether there is a reason to decide the next height now.
    fn wants(&self, now: Moment) -> bool {
        let work = !self.pool.is_empty() || !self.rotations.is_empty();
        work || now.elapsed >= self.decided_at + self.pace.tick_ms
    }

    /// The ordered time that a block made now would have.
    fn time(&self, now: Moment) -> OrderedMillis {
        now.clock.max(self.chain.head.at)
    }

    /// Answers commands that change nothing without a height of their own.
    fn settle_idle(&mut self, now: Moment, effects: &mut Vec<Effect<M>>) {
        if !self.core.running() && self.leader == self.seat {
            self.pool.settle(&self.chain, self.time(now), self.height, effects);
        }
    }

    /// Starts the next height.
    fn begin(&mut self, guard: &mut dyn VoteGuard, now: Moment, effects: &mut Vec<Effect<M>>) {
        self.began_at = now.elapsed;
        let start = (self.height + 1, Arc::clone(&self.committee), self.leader, self.votes());
        let outputs = self.core.start(start, guard, now.elapsed);
        self.act(outputs, guard, now, effects);
        self.show_memory(guard, now, effects);
    }

    fn receive(
        &mut self,
        from: Seat,
        message: Message,
        guard: &mut dyn VoteGuard,
        now: Moment,
        effects: &mut Vec<Effect<M>>,
    ) {
        if from == self.seat || self.committee.member(from).is_none() {
            return;
        }
        match message {
            Message::Forward(commands) => self.pool.forwarded(from, commands),
            Message::Dropped { tickets, height } => self.pool.dropped(&tickets, height),
            Message::Rotate(rotation) => {
                let known = self.rotations.iter().any(|other| other.seat == rotation.seat);
                if rotation.seat == from && !known && self.committee.admits(&rotation) {
                    self.rotations.push(rotation);
                }
            }
            Message::Status { height } => {
                self.catchup.heard(from, height, self.height, now.elapsed);
            }
            Message::Ask { after } => {
                if after < self.height {
                    effects.push(Effect::Serve { to: from, after });
                }
            }
            Message::Decided(blocks) => {
                self.transfer.end(from);
                if let Some(after) = self.catchup.offered(from, blocks, self.height) {
                    effects.push(Effect::Send(from, Message::Ask { after }));
                }
            }
            Message::AskState { after, part, of } => {
                effects.push(Effect::ServeState { to: from, after, part, of });
            }
            Message::State(part) => self.receive_state(from, *part, now.elapsed, effects),
            Message::Proposal(_) | Message::Vote(_) | Message::Polka(_) | Message::Skip(_) => {
                self.consensus(from, message, guard, now, effects);
            }
        }
    }

    fn consensus(
        &mut self,
        from: Seat,
        message: Message,
        guard: &mut dyn VoteGuard,
        now: Moment,
        effects: &mut Vec<Effect<M>>,
    ) {
        let Some(height) = message.height() else { return };
        let next = self.height + 1;
        if height < next {
            if self.catchup.behind(from, height, now.elapsed) {
                effects.push(Effect::Serve { to: from, after: height - 1 });
            }
            return;
        }
        if height > next || self.writes() {
            self.catchup.ahead(from, message, height, self.height, now.elapsed);
            return;
        }
        if !self.core.running() {
            self.begin(guard, now, effects);
        }
        let outputs = match message {
            Message::Proposal(proposal) => {
                if !self.core.offered(&proposal) {
                    return;
                }
                let valid = self.acceptable(&proposal, now);
                self.core.proposal(proposal, valid, guard, now.elapsed)
            }
            Message::Vote(vote) => self.core.vote(vote, guard, now.elapsed),
            Message::Polka(polka) => self.core.polka(&polka, guard, now.elapsed),
            Message::Skip(skip) => self.core.skip(&skip, guard, now.elapsed),
            _ => return,
        };
        self.act(outputs, guard, now, effects);
    }

    /// Whether this master would vote for a block: it applies it to its own state first.
    fn acceptable(&mut self, proposal: &Proposal, now: Moment) -> bool {
        let id = name(&proposal.block);
        if self.staged.contains_key(&id) {
            return true;
        }
        if self.staged.len() >= STAGED_LEN_MAX {
            return false;
        }
        match stage(&self.chain, &self.committee, self.height, &proposal.block) {
            Ok(staged) if staged.at.0 > now.clock.0.saturating_add(self.pace.drift_ms) => {
                tracing::warn!(height = proposal.height, seat = %proposal.seat, "a proposal is from the future");
                false
            }
            Ok(staged) => {
                self.staged.insert(id, staged);
                true
            }
            Err(invalid) => {
                tracing::warn!(height = proposal.height, seat = %proposal.seat, %invalid, "a proposal is refused");
                false
            }
        }
    }

    fn act(
        &mut self,
        outputs: Vec<Output>,
        guard: &mut dyn VoteGuard,
        now: Moment,
        effects: &mut Vec<Effect<M>>,
    ) {
        for output in outputs {
            match output {
                Output::Accuse(conflict) => {
                    tracing::error!(seat = conflict.seat.0, slot = ?conflict.first.0, "a seat voted twice in one slot");
                    effects.push(Effect::Accuse(conflict));
                }
                Output::Publish(message) => effects.push(Effect::Broadcast(message)),
                Output::Propose { round } => self.make(round, guard, now, effects),
                Output::Decided { block, certificate } => {
                    self.blocks += 1;
                    self.block_ms += now.elapsed.saturating_sub(self.began_at);
                    self.decided(block, certificate, effects);
                }
            }
        }
    }

    /// Makes the block of a round out of what waits.
    fn make(&mut self, round: u32, guard: &mut dyn VoteGuard, now: Moment, effects: &mut Vec<Effect<M>>) {
        if let Some(staged) = self.locked() {
            let bytes = Arc::clone(&staged.bytes);
            self.staged.insert(name(&bytes), staged);
            let outputs = self.core.propose(round, bytes, guard, now.elapsed);
            return self.act(outputs, guard, now, effects);
        }
        let mut rotations = Vec::new();
        for rotation in &self.rotations {
            // Each alone may be admitted and not both: two masters can name one key.
            rotations.push(rotation.clone());
            if self.committee.rotated(self.height + 1, &rotations).is_none() {
                rotations.pop();
            }
        }
        let at = self.time(now);
        let block = Block {
            version: super::block::VERSION,
            height: self.height + 1,
            parent: self.chain.head,
            at,
            proposer: self.seat,
            rotations,
            commands: Vec::new(),
        };
        let staged = self.pool.fill(&self.chain, &self.committee, self.seat, block, effects);
        let bytes = Arc::clone(&staged.bytes);
        self.staged.insert(name(&bytes), staged);
        let outputs = self.core.propose(round, bytes, guard, now.elapsed);
        self.act(outputs, guard, now, effects);
    }

    fn decided(&mut self, block: Arc<[u8]>, certificate: Certificate, effects: &mut Vec<Effect<M>>) {
        let staged = match self.staged.remove(&certificate.block) {
            Some(staged) => staged,
            None => match stage(&self.chain, &self.committee, self.height, &block) {
                Ok(staged) => staged,
                Err(invalid) => return self.halt(invalid, effects),
            },
        };
        let height = certificate.height;
        let sealed = Sealed { height, block, certificate };
        let place = Place { height, leader: staged.proposer, committee: staged.committee };
        let commit = Commit {
            blocks: vec![sealed],
            ordered: staged.ordered,
            state: staged.chain.state,
            head: staged.chain.head,
            place,
        };
        self.commit(commit, staged.rows, effects);
    }

    fn halt(&mut self, invalid: Invalid, effects: &mut Vec<Effect<M>>) {
        self.halted = true;
        self.core.halt();
        effects.push(Effect::Halt(invalid));
    }

    fn commit(&mut self, commit: Commit<M>, rows: Vec<Row>, effects: &mut Vec<Effect<M>>) {
        self.core.halt();
        self.answering = self.pool.own(self.seat, &commit.ordered, &rows);
        let commit = Arc::new(commit);
        self.committing = Some(Arc::clone(&commit));
        effects.push(Effect::Commit(commit, rows));
    }

    /// The last commit is durable: answer, and stand after it.
    fn committed(&mut self, guard: &mut dyn VoteGuard, now: Moment, effects: &mut Vec<Effect<M>>) {
        if let Some(joined) = self.installing.take() {
            return self.joined(&joined, guard, now, effects);
        }
        let Some(commit) = self.committing.take() else { return };
        for sealed in &commit.blocks {
            for seat in self.committee.seats() {
                let signed = sealed.certificate.signatures.iter().any(|(signer, _)| *signer == seat);
                self.missed[usize::from(seat.0)] += u64::from(!signed);
            }
        }
        self.pool.decided(self.seat, std::mem::take(&mut self.answering), &commit.ordered, effects);
        self.chain = Chain { head: commit.head, state: Arc::clone(&commit.state) };
        (self.height, self.leader) = (commit.place.height, commit.place.leader);
        self.staged.clear();
        self.kept.retain(|kept| kept.polka.height > commit.place.height);
        self.decided_at = now.elapsed;
        self.seat_committee(&commit.place.committee, guard);
        self.pool.settled(&self.chain, self.time(now), self.height, effects);
        self.follow_up(guard, now, effects);
    }

    /// Messages of the new height that came early.
    fn follow_up(&mut self, guard: &mut dyn VoteGuard, now: Moment, effects: &mut Vec<Effect<M>>) {
        for (seat, message) in self.catchup.waiting(self.height + 1) {
            self.consensus(seat, message, guard, now, effects);
        }
    }

    /// How long a forwarded command may go without a decision before it is sent again.
    fn resend_ms(&self) -> u64 {
        self.pace.timing.propose_ms.saturating_mul(2)
    }

    /// Who proposes in the round under way, or in the first of the next height.
    fn next_proposer(&self) -> Seat {
        let round = if self.core.running() { self.core.round() } else { 0 };
        self.committee.proposer(self.leader, round)
    }

    /// Sends what waits here to who proposes next.
    fn forward(&mut self, now: Moment, effects: &mut Vec<Effect<M>>) {
        let proposer = self.next_proposer();
        if proposer == self.seat {
            return;
        }
        for page in self.pool.forward(proposer, now.elapsed, self.resend_ms()) {
            effects.push(Effect::Send(proposer, Message::Forward(page)));
        }
    }
}
