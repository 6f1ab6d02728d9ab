//! The line between a master and its guard: calls and answers in frames over a Unix stream socket
//! (R007, R198, R205).
//!
//! A frame is a little-endian `u32` length and that many canonical bytes, never more than [`FRAME_BYTES_MAX`]. The
//! host speaks first and says whose guard it expects; each call then has one answer. [`RemoteGuard`] is the host's
//! end, [`desk`] the guard's.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use symphony_types::canonical;
use symphony_types::digest::Digest;
use symphony_types::key::Signature;

use super::block::BLOCK_BYTES_MAX;
use super::committee::{Committee, Seat};
use super::guard::{Ask, Identity, Kept, Memory, Refusal, VoteGuard};
use crate::entry::decode;

pub mod desk;

/// Bytes of one frame at most: two kept blocks, and several times the largest memory or committee.
pub const FRAME_BYTES_MAX: usize = 2 * BLOCK_BYTES_MAX + (64 << 10);
/// The version of calls and answers.
pub const VERSION: u32 = 1;
/// How long a host waits for its guard, with room for a slow disk.
pub const TIMEOUT: Duration = Duration::from_secs(2);

/// What a host asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Call {
    /// The first call of every connection: which guard the host expects.
    Hello {
        /// [`VERSION`] of the host.
        version: u32,
        /// The cluster that the host belongs to.
        cluster: Digest,
        /// The seat that the host has there.
        seat: Seat,
    },
    /// [`VoteGuard::sign`].
    Sign(Ask),
    /// [`VoteGuard::install`].
    Install(Committee),
    /// [`VoteGuard::identity`].
    Identity,
    /// [`VoteGuard::memory`].
    Memory,
    /// [`VoteGuard::keep`].
    Keep(Kept),
    /// [`VoteGuard::kept`].
    Kept,
    /// What the guard is and has done.
    Status,
}

/// What a guard answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// To a hello: this is the guard of that seat.
    Welcome,
    /// To a hello: this guard belongs to another cluster or seat, or speaks another version.
    Stranger,
    /// The signature of what was asked.
    Signature(Signature),
    /// The committee is in force.
    Installed,
    /// The key that votes.
    Identity(Identity),
    /// What was signed at the last height.
    Memory(Memory),
    /// The block will last as long as its lock.
    Keeping,
    /// The blocks that are kept.
    Kept(Vec<Kept>),
    /// What the guard is and has done.
    Status(Status),
    /// The rule that forbids it.
    Refused(Refusal),
    /// The frame was no call; the connection ends.
    Malformed,
    /// Another host of this seat has come; the connection ends.
    Replaced,
}

/// The platform that a guard runs on. Hardware will have names of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Class {
    /// A process; no hardware vouches for it.
    Software,
}

impl Class {
    /// The word that people and metrics see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Software => "software",
        }
    }
}

/// What a guard is after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Admission {
    /// The same guard: its disk is believed to keep key and memory.
    Trusted,
    /// Another guard with a new key, which the cluster has to admit.
    Strict,
}

impl Admission {
    /// The word of configuration, people and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trusted => "trusted",
            Self::Strict => "strict",
        }
    }
}

/// What a guard is, and what it has done since its start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Its platform.
    pub class: Class,
    /// What a restart makes of it.
    pub admission: Admission,
    /// Signatures given, repeated ones included.
    pub signed: u64,
    /// Refusals by kind, those that never happened included.
    pub refusals: Vec<(Refusal, u64)>,
}

/// A guard in another process. Clones share one connection, which is made with the first call and again when the
/// guard was restarted.
///
/// Every trouble on the way is [`Refusal::Unreachable`]. A host that was replaced by another one stays so.
#[derive(Clone)]
pub struct RemoteGuard(Arc<Mutex<Line>>);

impl RemoteGuard {
    /// The guard of a seat behind a socket, with [`TIMEOUT`].
    pub fn new(socket: &Path, cluster: Digest, seat: Seat) -> Self {
        Self::with_timeout(socket, cluster, seat, TIMEOUT)
    }

    /// The same with another patience for one read or write.
    pub fn with_timeout(socket: &Path, cluster: Digest, seat: Seat, timeout: Duration) -> Self {
        let hello = Call::Hello { version: VERSION, cluster, seat };
        let line = Line { socket: socket.to_owned(), hello, timeout, stream: None, replaced: false };
        Self(Arc::new(Mutex::new(line)))
    }

    /// What the guard is and has done. **Errors**: [`Refusal::Unreachable`], or the guard belongs to another seat.
    pub fn status(&self) -> Result<Status, Refusal> {
        match self.call(&Call::Status)? {
            Answer::Status(status) => Ok(status),
            _ => Err(Refusal::Unreachable),
        }
    }

    fn call(&self, call: &Call) -> Result<Answer, Refusal> {
        // A panic in between has dropped the stream with the call.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).call(call)
    }
}

impl VoteGuard for RemoteGuard {
    fn sign(&mut self, ask: &Ask) -> Result<Signature, Refusal> {
        match self.call(&Call::Sign(ask.clone()))? {
            Answer::Signature(signature) => Ok(signature),
            _ => Err(Refusal::Unreachable),
        }
    }

    fn install(&mut self, committee: &Committee) -> Result<(), Refusal> {
        match self.call(&Call::Install(committee.clone()))? {
            Answer::Installed => Ok(()),
            _ => Err(Refusal::Unreachable),
        }
    }

    fn identity(&mut self) -> Result<Identity, Refusal> {
        match self.call(&Call::Identity)? {
            Answer::Identity(identity) => Ok(identity),
            _ => Err(Refusal::Unreachable),
        }
    }

    fn memory(&mut self) -> Result<Memory, Refusal> {
        match self.call(&Call::Memory)? {
            Answer::Memory(memory) => Ok(memory),
            _ => Err(Refusal::Unreachable),
        }
    }

    fn keep(&mut self, kept: &Kept) -> Result<(), Refusal> {
        match self.call(&Call::Keep(kept.clone()))? {
            Answer::Keeping => Ok(()),
            _ => Err(Refusal::Unreachable),
        }
    }

    fn kept(&mut self) -> Result<Vec<Kept>, Refusal> {
        match self.call(&Call::Kept)? {
            Answer::Kept(kept) => Ok(kept),
            _ => Err(Refusal::Unreachable),
        }
    }
}

/// The host's end of the socket.
struct Line {
    socket: PathBuf,
    hello: Call,
    timeout: Duration,
    stream: Option<UnixStream>,
    replaced: bool,
}

/// Why a call has no answer.
enum Trouble {
    /// The other end is closed: the guard was restarted, or is not there.
    Gone,
    /// Anything else: a late guard, bytes that are no answer.
    Broken,
    /// The guard answered, and the answer is no.
    Refused(Refusal),
}

impl Line {
    fn call(&mut self, call: &Call) -> Result<Answer, Refusal> {
        if self.replaced {
            return Err(Refusal::Unreachable);
        }
        let reused = self.stream.is_some();
        let answered = match self.attempt(call) {
            // A call may run twice: the guard gives the same signature for the same ask.
            Err(Trouble::Gone) if reused => self.attempt(call),
            answered => answered,
        };
        answered.map_err(|trouble| match trouble {
            Trouble::Refused(refusal) => refusal,
            Trouble::Gone | Trouble::Broken => Refusal::Unreachable,
        })
    }

    fn attempt(&mut self, call: &Call) -> Result<Answer, Trouble> {
        // Put back only after a whole answer: the rest of a late one must not answer the next call.
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.open()?,
        };
        match exchange(&mut stream, call)? {
            Answer::Replaced => {
                self.replaced = true;
                Err(Trouble::Broken)
            }
            Answer::Malformed | Answer::Stranger | Answer::Welcome => Err(Trouble::Broken),
            Answer::Refused(refusal) => {
                self.stream = Some(stream);
                Err(Trouble::Refused(refusal))
            }
            answer => {
                self.stream = Some(stream);
                Ok(answer)
            }
        }
    }

    fn open(&self) -> Result<UnixStream, Trouble> {
        let mut stream = UnixStream::connect(&self.socket).map_err(trouble)?;
        stream.set_read_timeout(Some(self.timeout)).map_err(trouble)?;
        stream.set_write_timeout(Some(self.timeout)).map_err(trouble)?;
        match exchange(&mut stream, &self.hello)? {
            Answer::Welcome => Ok(stream),
            Answer::Stranger => Err(Trouble::Refused(Refusal::BadCommittee)),
            _ => Err(Trouble::Broken),
        }
    }
}

fn exchange(stream: &mut UnixStream, call: &Call) -> Result<Answer, Trouble> {
    let frame = frame(call).ok_or(Trouble::Broken)?;
    // Who hangs up may have said why before.
    let sent = stream.write_all(&frame);
    match (receive(stream), sent) {
        (Ok(answer), Ok(())) | (Ok(answer @ Answer::Replaced), Err(_)) => Ok(answer),
        (Ok(_), Err(error)) | (Err(error), _) => Err(trouble(error)),
    }
}

fn receive(stream: &mut UnixStream) -> io::Result<Answer> {
    let mut head = [0; HEAD_LEN];
    stream.read_exact(&mut head)?;
    let length = u32::from_le_bytes(head) as usize;
    if length > FRAME_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    decode(&body, FRAME_BYTES_MAX).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[expect(clippy::needless_pass_by_value, reason = "reads as a conversion where errors are mapped")]
fn trouble(error: io::Error) -> Trouble {
    use io::ErrorKind::{BrokenPipe, ConnectionRefused, ConnectionReset, NotFound, UnexpectedEof};
    match error.kind() {
        BrokenPipe | ConnectionRefused | ConnectionReset | NotFound | UnexpectedEof => Trouble::Gone,
        _ => Trouble::Broken,
    }
}

/// The frame of a call or an answer; `None` when it is over the limit.
pub fn frame<T: Serialize>(body: &T) -> Option<Vec<u8>> {
    let body = canonical::to_bytes(body);
    let length = u32::try_from(body.len()).ok().filter(|_| body.len() <= FRAME_BYTES_MAX)?;
    let mut frame = Vec::with_capacity(HEAD_LEN + body.len());
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(&body);
    Some(frame)
}

/// What stands at the beginning of the bytes that have come so far.
enum Next<T> {
    /// Less than a frame.
    Part,
    /// A whole frame, taken from the bytes.
    Frame(T),
    /// Nothing that will ever be one.
    Rubbish,
}

/// Takes the first frame off the bytes that have come so far.
fn next<T: DeserializeOwned>(bytes: &mut Vec<u8>) -> Next<T> {
    let Some((head, rest)) = bytes.split_first_chunk::<HEAD_LEN>() else { return Next::Part };
    let length = u32::from_le_bytes(*head) as usize;
    if length > FRAME_BYTES_MAX {
        return Next::Rubbish;
    }
    let Some(body) = rest.get(..length) else { return Next::Part };
    let decoded = decode(body, FRAME_BYTES_MAX);
    bytes.drain(..HEAD_LEN + length);
    decoded.map_or(Next::Rubbish, Next::Frame)
}

const HEAD_LEN: usize = 4;
