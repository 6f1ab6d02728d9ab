//! The port that places commands in order, and the cluster of one behind it (R035, R211, R217).
//!
//! [`Solo`] has one writer thread. It takes all waiting commands, decides and evolves them one after the other,
//! makes them durable with one write, publishes the new state and only then answers. A storage error, or a panic
//! of the rules, ends the thread: every waiter gets [`OrderError::Stopped`] and nothing undurable is ever seen.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use redb::{Database, WriteTransaction};
use symphony_types::catalogue::Code;
use symphony_types::limits::COMMAND_BYTES_MAX;
use symphony_types::time::OrderedMillis;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::entry::{EVENTS_BYTES_MAX, Fault, Head, decode, encode};
use crate::front::{Back, Front, Published};
use crate::journal::{Draft, Hook, Journal, JournalError, Row, corrupt, entries_after, export};
use crate::machine::{Genesis, Machine};
use crate::replay::Verify;

/// Where the time of a command comes from. Ordered time never runs backwards, even if this does.
pub type Clock = Arc<dyn Fn() -> OrderedMillis + Send + Sync>;

/// A command that has its place: its events are durable.
pub struct Ordered<M: Machine> {
    /// Its height in the chain.
    pub height: u64,
    /// Its ordered time.
    pub at: OrderedMillis,
    /// What happened.
    pub events: Vec<M::Event>,
}

impl<M: Machine> Clone for Ordered<M> {
    fn clone(&self) -> Self {
        Self { height: self.height, at: self.at, events: self.events.clone() }
    }
}

impl<M: Machine> fmt::Debug for Ordered<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ordered")
            .field("height", &self.height)
            .field("at", &self.at)
            .field("events", &self.events.len())
            .finish()
    }
}

/// Why a command has no place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError<R: fmt::Display> {
    /// The rules turned it down; nothing was written.
    #[error("{0}")]
    Refused(R),
    /// The orderer ended. The command may or may not have become durable before.
    #[error("the orderer has stopped")]
    Stopped,
    /// The command or its events are over the limit of bytes or of nesting; nothing was written.
    #[error("the command is over its size limit")]
    TooLarge,
}

/// Why an orderer ended that nobody asked to stop.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Failure {
    /// The journal could not be written.
    #[error("the journal failed")]
    Journal(#[source] Arc<JournalError>),
    /// The rules or a hook panicked: an invariant is broken.
    #[error("the writer of the journal panicked")]
    Panicked,
    /// The cluster has decided what the rules refuse here: this node is not as the others.
    #[error("the cluster decided what the rules refuse here: {0}")]
    Diverged(String),
}

impl Failure {
    /// The failure's place in the catalogue.
    pub fn code(&self) -> Code {
        match self {
            Self::Journal(error) if error.full() => Code::DiskFull,
            Self::Journal(_) | Self::Panicked | Self::Diverged(_) => Code::Internal,
        }
    }
}

/// Places commands in one order for all nodes of a cluster.
#[async_trait]
pub trait Orderer<M: Machine>: Send + Sync {
    /// Orders one command and answers when its events are durable.
    ///
    /// Dropping the future does not take the command back.
    async fn order(&self, command: M::Command) -> Result<Ordered<M>, OrderError<M::Refusal>>;

    /// The state after the last durable command.
    fn state(&self) -> Arc<M::State>;

    /// The end of the chain that [`Orderer::state`] belongs to.
    fn head(&self) -> Head;

    /// All commands ordered from now on, by height; closed when the orderer ends. Who lags behind reads the
    /// state or the journal again.
    fn subscribe(&self) -> broadcast::Receiver<Arc<Ordered<M>>>;

    /// Whether this node makes the next block.
    fn leads(&self) -> bool;

    /// The database of the journal, for reading.
    fn database(&self) -> Arc<Database>;

    /// Takes no more commands, answers those that have their place, and returns when ordering has ended.
    ///
    /// **Errors**: the failure, if it ended by one.
    async fn stop(&self) -> Result<(), Failure>;

    /// Returns when ordering has ended: by [`Orderer::stop`], or with the failure that a node must stop for.
    async fn ended(&self) -> Result<(), Failure>;
}

/// A cluster of one: the order is that of its own journal.
pub struct Solo<M: Machine> {
    database: Arc<Database>,
    inbox: Mutex<Option<mpsc::Sender<Waiting<M>>>>,
    front: Front<M>,
}

impl<M: Machine> Solo<M> {
    /// Opens or creates the database file at `path` and starts on it; see [`Solo::start`].
    pub fn open(
        path: &Path,
        genesis: &Genesis<M::State>,
        verify: Verify,
        clock: Clock,
    ) -> Result<Self, JournalError> {
        Self::start(Arc::new(Database::create(path)?), genesis, verify, clock)
    }

    /// Verifies the journal in `database`, rebuilds its state and starts to order. Blocks while it reads.
    ///
    /// **Errors**: whatever [`Journal::open`] finds.
    pub fn start(
        database: Arc<Database>,
        genesis: &Genesis<M::State>,
        verify: Verify,
        clock: Clock,
    ) -> Result<Self, JournalError> {
        let (journal, state) = Journal::<M>::open(Arc::clone(&database), genesis, verify)?;
        let state = Arc::new(state);
        let published = Published { head: journal.head(), state: Arc::clone(&state) };
        let (sender, inbox) = mpsc::channel(INBOX_LEN_MAX);
        let front = Front::spawn("journal", published, |Back { publish, stream }| {
            let writer = Writer { journal, state, clock, inbox, publish, stream };
            move || writer.run().map_err(|error| Failure::Journal(Arc::new(error)))
        })?;
        Ok(Self { database, inbox: Mutex::new(Some(sender)), front })
    }

    /// [`Orderer::order`] with rows of the caller that become durable in the same transaction.
    ///
    /// The hook does not run when the command is refused. Its error stops the orderer, because the writes of the
    /// whole batch are undone with it.
    pub async fn order_with(
        &self,
        command: M::Command,
        hook: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error> + Send + 'static,
    ) -> Result<Ordered<M>, OrderError<M::Refusal>> {
        self.submit(command, Some(Box::new(hook))).await
    }

    /// The database of the journal, for tables of the caller.
    pub fn database(&self) -> Arc<Database> {
        Arc::clone(&self.database)
    }

    /// Up to `limit` commands after `height` as the journal has them, for who restarts or lagged behind.
    pub fn ordered_after(&self, height: u64, limit: usize) -> Result<Vec<Ordered<M>>, JournalError> {
        let mut ordered = Vec::new();
        for entry in entries_after(&self.database, height, limit)? {
            let events = decode(&entry.events, EVENTS_BYTES_MAX)
                .ok_or_else(|| corrupt(entry.height, Fault::Undecodable))?;
            ordered.push(Ordered { height: entry.height, at: entry.at, events });
        }
        Ok(ordered)
    }

    /// Writes everything ordered so far as one portable file; see [`export`].
    pub fn export(&self, writer: &mut impl std::io::Write) -> Result<Head, JournalError> {
        export(&*self.database, writer)
    }

    fn close(&self) {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    async fn submit(
        &self,
        command: M::Command,
        hook: Option<Hook>,
    ) -> Result<Ordered<M>, OrderError<M::Refusal>> {
        let bytes = encode(&command, COMMAND_BYTES_MAX).ok_or(OrderError::TooLarge)?;
        let sender = self.inbox.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let sender = sender.ok_or(OrderError::Stopped)?;
        let (reply, answer) = oneshot::channel();
        sender.send(Waiting { command, bytes, hook, reply }).await.map_err(|_| OrderError::Stopped)?;
        drop(sender);
        answer.await.map_err(|_| OrderError::Stopped)?
    }
}

#[async_trait]
impl<M: Machine> Orderer<M> for Solo<M> {
    async fn order(&self, command: M::Command) -> Result<Ordered<M>, OrderError<M::Refusal>> {
        self.submit(command, None).await
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

    fn leads(&self) -> bool {
        true
    }

    fn database(&self) -> Arc<Database> {
        Arc::clone(&self.database)
    }

    async fn stop(&self) -> Result<(), Failure> {
        self.close();
        self.ended().await
    }

    async fn ended(&self) -> Result<(), Failure> {
        self.front.ended().await
    }
}

impl<M: Machine> Drop for Solo<M> {
    /// Lets the writer end; the front waits for it.
    fn drop(&mut self) {
        self.close();
    }
}

type Answer<M> = Result<Ordered<M>, OrderError<<M as Machine>::Refusal>>;

/// A command whose sender waits for the answer.
struct Waiting<M: Machine> {
    command: M::Command,
    bytes: Vec<u8>,
    hook: Option<Hook>,
    reply: oneshot::Sender<Answer<M>>,
}

/// The only one who changes the state.
struct Writer<M: Machine> {
    journal: Journal<M>,
    state: Arc<M::State>,
    clock: Clock,
    inbox: mpsc::Receiver<Waiting<M>>,
    publish: watch::Sender<Published<M>>,
    stream: broadcast::Sender<Arc<Ordered<M>>>,
}

impl<M: Machine> Writer<M> {
    fn run(mut self) -> Result<(), JournalError> {
        let mut batch = Vec::new();
        while self.inbox.blocking_recv_many(&mut batch, BATCH_LEN_MAX) > 0 {
            self.order(batch.drain(..))?;
        }
        Ok(())
    }

    /// Orders a batch with one durable write. No answer, not even a refusal, leaves before it: the refusal may
    /// rest on an earlier command of the batch.
    fn order(&mut self, batch: impl Iterator<Item = Waiting<M>>) -> Result<(), JournalError> {
        let Head { mut height, mut at, .. } = self.journal.head();
        let mut state = Arc::clone(&self.state);
        let mut drafts = Vec::new();
        let mut answers = Vec::new();
        for waiting in batch {
            let now = at.max((self.clock)());
            match decide::<M>(&state, now, &waiting.command) {
                Err(error) => answers.push((waiting.reply, Err(error))),
                Ok((events, bytes)) => {
                    // Copies the state on the first change of the batch only: after that nobody shares it.
                    let next = Arc::make_mut(&mut state);
                    for event in &events {
                        M::evolve(next, now, event);
                    }
                    (height, at) = (height + 1, now);
                    let Waiting { bytes: command, hook, reply, .. } = waiting;
                    drafts.push(Draft { at, command, events: bytes, state: None, hook });
                    answers.push((reply, Ok(Arc::new(Ordered { height, at, events }))));
                }
            }
        }
        if let Some(last) = drafts.last_mut() {
            last.state = Some(M::digest(Arc::make_mut(&mut state)));
            let mut head = self.journal.head();
            let rows = drafts.into_iter().map(|draft| Row::of(draft, &mut head)).collect();
            let head = self.journal.append(rows)?;
            assert_eq!(head.height, height, "invariant: an answer names the height of its entry");
            self.state = Arc::clone(&state);
            self.publish.send_replace(Published { head, state });
        }
        self.answer(answers);
        self.journal.keep(&self.state, |_| Ok(()))
    }

    fn answer(&self, answers: Vec<Decided<M>>) {
        for (reply, answer) in answers {
            // Nobody may listen: subscribers come and go, and a caller may have dropped its future.
            let answer = answer.map(|ordered| {
                let _ = self.stream.send(Arc::clone(&ordered));
                Ordered::clone(&ordered)
            });
            let _ = reply.send(answer);
        }
    }
}

type Decided<M> = (oneshot::Sender<Answer<M>>, Result<Arc<Ordered<M>>, OrderError<<M as Machine>::Refusal>>);

/// Events and their canonical bytes.
type Encoded<M> = (Vec<<M as Machine>::Event>, Vec<u8>);

/// What a command gives, within the limits of the journal.
fn decide<M: Machine>(
    state: &M::State,
    at: OrderedMillis,
    command: &M::Command,
) -> Result<Encoded<M>, OrderError<M::Refusal>> {
    let events = M::decide(state, at, command).map_err(OrderError::Refused)?;
    let bytes = encode(&events, EVENTS_BYTES_MAX).ok_or(OrderError::TooLarge)?;
    Ok((events, bytes))
}

/// Commands that one durable write takes at most.
const BATCH_LEN_MAX: usize = 256;
/// Commands that wait before their senders do.
const INBOX_LEN_MAX: usize = 256;
/// Ordered commands that a subscriber may lag behind.
pub(crate) const STREAM_LEN_MAX: usize = 4096;
