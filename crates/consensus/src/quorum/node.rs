//! The orderer of three: a thread that drives the replica, its journal, its guard and its connections (R007-R012,
//! R211-R217).
//!
//! What the others say arrives through [`Quorum::deliver`] and leaves through [`Net`]; both may lose messages. A
//! storage error, a panic of the rules or a decided block that the rules refuse ends the thread: every waiter gets
//! [`OrderError::Stopped`] and nothing undurable is ever seen.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use redb::Database;
use symphony_types::digest::Digest;
use symphony_types::limits::COMMAND_BYTES_MAX;
use tokio::sync::{Semaphore, broadcast, oneshot, watch};

use super::committee::{Committee, Seat};
use super::guard::{Refusal, VoteGuard};
use super::message::{Envelope, Message, Unreadable, VERSION};
use super::replica::{Commit, Effect, Gauges, Input, Joined, Moment, Pace, Replica, Submitted};
use super::store::{self, Blocks, Serving};
use crate::checkpoint::Checkpoint;
use crate::entry::{Head, encode};
use crate::front::{Back, Front, Published};
use crate::journal::{Journal, JournalError, Row, checked};
use crate::machine::{Genesis, Machine};
use crate::orderer::{Clock, Failure, OrderError, Ordered, Orderer};
use crate::replay::Verify;

/// Carries messages to the other masters. Never blocks; what cannot be sent now is lost.
pub trait Net: Send + Sync + 'static {
    /// Sends one message to a seat.
    fn send(&self, to: Seat, message: Arc<[u8]>);
}

/// Who a master is in its cluster.
pub struct Config {
    /// Its seat.
    pub seat: Seat,
    /// The members of the founding, by seat.
    pub members: Vec<super::committee::Member>,
    /// How it behaves in time.
    pub pace: Pace,
}

/// Why the orderer of three cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The journal or the blocks cannot be trusted or read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The guard does not answer, or does not believe the committee.
    #[error("the guard: {0}")]
    Guard(#[from] Refusal),
    /// The thread could not be made.
    #[error("starting the thread")]
    Thread(#[source] std::io::Error),
}

/// One master of a cluster that agrees.
pub struct Quorum<M: Machine> {
    database: Arc<Database>,
    cluster: symphony_types::digest::Digest,
    inbox: Mutex<Option<Sender<Event<M>>>>,
    room: Arc<Semaphore>,
    queued: Arc<AtomicUsize>,
    dropped: AtomicU64,
    conflicts: Arc<AtomicU64>,
    gauges: watch::Receiver<Gauges>,
    front: Front<M>,
}

impl<M: Machine> Quorum<M> {
    /// Opens or creates the database file at `path` and starts on it; see [`Quorum::start`].
    pub fn open(
        path: &Path,
        config: Config,
        genesis: &Genesis<M::State>,
        verify: Verify,
        clock: Clock,
        guard: Box<dyn VoteGuard>,
        net: Arc<dyn Net>,
    ) -> Result<Self, StartError> {
        let database = Arc::new(checked(|| Database::create(path))?);
        Self::start(config, database, genesis, verify, clock, guard, net)
    }

    /// Verifies journal and blocks, rebuilds the state and starts to order. Blocks while it reads.
    ///
    /// **Errors**: [`StartError`].
    pub fn start(
        config: Config,
        database: Arc<Database>,
        genesis: &Genesis<M::State>,
        verify: Verify,
        clock: Clock,
        mut guard: Box<dyn VoteGuard>,
        net: Arc<dyn Net>,
    ) -> Result<Self, StartError> {
        let (journal, state) = Journal::<M>::open(Arc::clone(&database), genesis, verify)?;
        let founding = Committee::founding(genesis.root(), config.members);
        let cluster = founding.cluster;
        let first = Head::of_genesis(genesis.root());
        let (blocks, place) =
            Blocks::open(Arc::clone(&database), &founding, first, (journal.checkpoint(), journal.head()))?;
        let conflicts = Arc::clone(blocks.conflicts());
        let state = Arc::new(state);
        let started = Instant::now();
        let now = Moment { elapsed: 0, clock: clock() };
        let at = (journal.head(), Arc::clone(&state));
        let mut patience = GUARD_ATTEMPTS;
        let replica = loop {
            // Reading a long journal takes a while, and the guard may have been restarted meanwhile.
            match Replica::new(config.seat, config.pace, place.clone(), at.clone(), guard.as_mut(), now) {
                Err(Refusal::Unreachable) if patience > 0 => {
                    patience -= 1;
                    thread::sleep(GUARD_PAUSE);
                }
                replica => break replica?,
            }
        };
        let published = Published { head: journal.head(), state };
        let (show, gauges) = watch::channel(replica.gauges());
        let (sender, inbox) = channel();
        let queued = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&queued);
        let front = Front::spawn("quorum", published, |Back { publish, stream }| {
            let mut driver = Driver {
                cluster,
                replica,
                journal,
                blocks,
                serving: None,
                guard,
                net,
                clock,
                started,
                inbox,
                queued: Arc::clone(&counted),
                ticket: now.clock.0 << 20,
                waiting: BTreeMap::new(),
                publish,
                show,
                stream,
                others: founding.seats().filter(|seat| *seat != config.seat).collect(),
            };
            move || driver.run()
        })
        .map_err(StartError::Thread)?;
        Ok(Self {
            database,
            cluster,
            inbox: Mutex::new(Some(sender)),
            room: Arc::new(Semaphore::new(SUBMITTED_LEN_MAX)),
            queued,
            dropped: AtomicU64::new(0),
            conflicts,
            gauges,
            front,
        })
    }

    /// Takes a message from the master in a seat, as its connection proves. What comes faster than it is worked off
    /// is lost; the others say it again.
    ///
    /// **Errors**: [`Unreadable`].
    pub fn deliver(&self, from: Seat, bytes: &[u8]) -> Result<(), Unreadable> {
        let message = Envelope::from_bytes(bytes, &self.cluster)?;
        if self.queued.load(Ordering::Relaxed) >= RECEIVED_LEN_MAX {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        if let Some(inbox) = self.sender() {
            self.queued.fetch_add(1, Ordering::Relaxed);
            // The driver may have ended: then nobody orders any more.
            let _ = inbox.send(Event::Received(from, Box::new(message)));
        }
        Ok(())
    }

    /// How many proofs are kept that a seat voted twice in one slot, see [`super::conflicts`] (R198).
    pub fn conflicts(&self) -> u64 {
        self.conflicts.load(Ordering::Relaxed)
    }

    /// What the replica counted, and where it stands.
    pub fn gauges(&self) -> Gauges {
        self.gauges.borrow().clone()
    }

    /// Messages of others that were lost here because too many waited.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn sender(&self) -> Option<Sender<Event<M>>> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn close(&self) {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

#[async_trait]
impl<M: Machine> Orderer<M> for Quorum<M> {
    async fn order(&self, command: M::Command) -> Result<Ordered<M>, OrderError<M::Refusal>> {
        let bytes = encode(&command, COMMAND_BYTES_MAX).ok_or(OrderError::TooLarge)?;
        let place = Arc::clone(&self.room).acquire_owned().await.map_err(|_| OrderError::Stopped)?;
        let (reply, answer) = oneshot::channel();
        let sender = self.sender().ok_or(OrderError::Stopped)?;
        sender
            .send(Event::Submit(Box::new(Waiting { command, bytes, reply })))
            .map_err(|_| OrderError::Stopped)?;
        drop(sender);
        let answer = answer.await.map_err(|_| OrderError::Stopped)?;
        drop(place);
        answer.map(|ordered| Ordered::clone(&ordered))
    }

    fn state(&self) -> Arc<M::State> {
        self.front.state()
    }

    fn head(&self) -> Head {
        self.front.head()
    }

    fn subscribe(&self) -> broadcast::Receiver<Arc<Ordered<M>>> {
        self.front.subscribe()
    }

    async fn stop(&self) -> Result<(), Failure> {
        self.close();
        self.ended().await
    }

    async fn ended(&self) -> Result<(), Failure> {
        self.front.ended().await
    }

    fn leads(&self) -> bool {
        let gauges = self.gauges.borrow();
        gauges.leads
    }

    fn database(&self) -> Arc<Database> {
        Arc::clone(&self.database)
    }
}

impl<M: Machine> Drop for Quorum<M> {
    /// Lets the driver end; the front waits for it.
    fn drop(&mut self) {
        self.close();
    }
}

type Reply<M> = oneshot::Sender<super::replica::Answer<M>>;

struct Waiting<M: Machine> {
    command: M::Command,
    bytes: Vec<u8>,
    reply: Reply<M>,
}

enum Event<M: Machine> {
    Submit(Box<Waiting<M>>),
    Received(Seat, Box<Message>),
}

/// The only one who changes the state.
struct Driver<M: Machine> {
    cluster: symphony_types::digest::Digest,
    replica: Replica<M>,
    journal: Journal<M>,
    blocks: Blocks,
    /// A state on its way to another master.
    serving: Option<Serving>,
    guard: Box<dyn VoteGuard>,
    net: Arc<dyn Net>,
    clock: Clock,
    started: Instant,
    inbox: Receiver<Event<M>>,
    queued: Arc<AtomicUsize>,
    ticket: u64,
    waiting: BTreeMap<u64, Reply<M>>,
    publish: watch::Sender<Published<M>>,
    show: watch::Sender<Gauges>,
    stream: broadcast::Sender<Arc<Ordered<M>>>,
    others: Vec<Seat>,
}

impl<M: Machine> Driver<M> {
    fn run(&mut self) -> Result<(), Failure> {
        loop {
            let now = self.now().elapsed;
            let wait = self.replica.deadline().saturating_sub(now);
            let first = match self.inbox.recv_timeout(Duration::from_millis(wait)) {
                Ok(event) => Some(event),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            };
            let mut submitted = Vec::new();
            for event in
                first.into_iter().chain(self.inbox.try_iter().take(DRAIN_LEN_MAX).collect::<Vec<_>>())
            {
                match event {
                    Event::Submit(waiting) => submitted.push(self.admit(*waiting)),
                    Event::Received(seat, message) => {
                        self.queued.fetch_sub(1, Ordering::Relaxed);
                        self.step(Input::Received(seat, message))?;
                    }
                }
            }
            if !submitted.is_empty() {
                self.step(Input::Submit(submitted))?;
            }
            if self.replica.deadline() <= self.now().elapsed {
                self.step(Input::Tick)?;
            }
            self.show.send_replace(self.replica.gauges());
        }
    }

    fn now(&self) -> Moment {
        let elapsed = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Moment { elapsed, clock: (self.clock)() }
    }

    fn admit(&mut self, waiting: Waiting<M>) -> Submitted<M> {
        self.ticket += 1;
        self.waiting.insert(self.ticket, waiting.reply);
        Submitted { ticket: self.ticket, command: waiting.command, bytes: waiting.bytes }
    }

    /// One input and everything that follows from it.
    fn step(&mut self, input: Input<M>) -> Result<(), Failure> {
        let mut next = Some(input);
        while let Some(input) = next.take() {
            let now = self.now();
            for effect in self.replica.step(input, self.guard.as_mut(), now) {
                match effect {
                    Effect::Send(to, message) => self.net.send(to, self.pack(message)),
                    Effect::Broadcast(message) => {
                        let bytes = self.pack(message);
                        for to in &self.others {
                            self.net.send(*to, Arc::clone(&bytes));
                        }
                    }
                    Effect::Commit(commit, rows) => {
                        self.commit(&commit, rows).map_err(failed)?;
                        next = Some(Input::Committed);
                    }
                    Effect::Serve { to, after } => self.serve(to, after).map_err(failed)?,
                    Effect::ServeState { to, after, part, of } => {
                        self.serve_state(to, after, part, of).map_err(failed)?;
                    }
                    Effect::Install(joined) => {
                        self.join(&joined).map_err(failed)?;
                        next = Some(Input::Committed);
                    }
                    Effect::Accuse(conflict) => {
                        self.blocks.accuse(&conflict).map_err(failed)?;
                    }
                    Effect::Answer(ticket, answer) => {
                        if let Some(reply) = self.waiting.remove(&ticket) {
                            // A caller may have dropped its future.
                            let _ = reply.send(answer);
                        }
                    }
                    Effect::Halt(invalid) => return Err(Failure::Diverged(invalid.to_string())),
                }
            }
        }
        Ok(())
    }

    /// Sends decided blocks, or the beginning of a state if those are not here.
    fn serve(&mut self, to: Seat, after: u64) -> Result<(), JournalError> {
        let page = self.blocks.after(after)?;
        if page.is_empty() {
            return self.serve_state(to, after, 0, None);
        }
        self.net.send(to, self.pack(Message::Decided(page)));
        Ok(())
    }

    /// Sends a part of a state. Who asks for a part of one that is gone gets the first of the newest.
    fn serve_state(
        &mut self,
        to: Seat,
        after: u64,
        part: u32,
        of: Option<Digest>,
    ) -> Result<(), JournalError> {
        let known = self.serving.as_ref().zip(of).is_some_and(|(serving, of)| serving.is(of));
        if !known {
            self.serving = self.blocks.newest()?.filter(|serving| serving.height() > after);
        }
        let part = if known { part } else { 0 };
        match self.serving.as_ref().and_then(|serving| serving.part(part)) {
            Some(part) => {
                if part.part + 1 == part.parts {
                    self.serving = None;
                }
                self.net.send(to, self.pack(Message::State(Box::new(part))));
            }
            None => {
                self.serving = None;
                self.net.send(to, self.pack(Message::Decided(self.blocks.after(after)?)));
            }
        }
        Ok(())
    }

    fn pack(&self, message: Message) -> Arc<[u8]> {
        let envelope = Envelope { version: VERSION, cluster: self.cluster, message };
        Arc::from(envelope.to_bytes())
    }

    /// Makes a state of the others durable, then visible. Who listens to events notices the gap in their heights.
    fn join(&mut self, joined: &Joined<M::State>) -> Result<(), JournalError> {
        let (head, place) = (joined.head, &joined.place);
        let checkpoint = Checkpoint { head, state: joined.bytes.clone() };
        self.journal.join(&checkpoint, |transaction| store::keep(transaction, head, place))?;
        tracing::info!(block = place.height, height = head.height, "took a state of the others");
        self.publish.send_replace(Published { head, state: Arc::new(joined.state.clone()) });
        Ok(())
    }

    /// Makes a decision durable, then visible.
    fn commit(&mut self, commit: &Commit<M>, rows: Vec<Row>) -> Result<(), JournalError> {
        let head = self.journal.append_with(rows, |transaction| store::write(transaction, &commit.blocks))?;
        assert_eq!(head, commit.head, "invariant: the journal ends where the block says");
        self.publish.send_replace(Published { head, state: Arc::clone(&commit.state) });
        for (_, _, ordered) in &commit.ordered {
            // Nobody may listen: subscribers come and go.
            let _ = self.stream.send(Arc::clone(ordered));
        }
        self.journal.keep(&commit.state, |transaction| store::keep(transaction, head, &commit.place))
    }
}

fn failed(error: JournalError) -> Failure {
    Failure::Journal(Arc::new(error))
}

/// A guard that is being started may take this many attempts.
const GUARD_ATTEMPTS: u32 = 50;
/// Pause between them.
const GUARD_PAUSE: Duration = Duration::from_millis(200);
/// Commands of own clients that wait before their senders do.
const SUBMITTED_LEN_MAX: usize = 4_096;
/// Messages of the others that wait at most.
const RECEIVED_LEN_MAX: usize = 4_096;
/// Inputs taken in one go.
const DRAIN_LEN_MAX: usize = 1_024;
