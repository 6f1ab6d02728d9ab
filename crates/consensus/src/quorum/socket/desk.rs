//! The guard's end of the socket: one host at a time, one thread, one call after the other (R007, R198, R205).
//!
//! ```text
//!             connects            hello of this seat            hangs up, or rubbish
//!   nobody ------------> newcomer -----------------> the host ----------------------> nobody
//!                           | rubbish, wrong hello,      | another newcomer's hello
//!                           v or a newer newcomer        v
//!                         closed                      Replaced, closed
//! ```
//!
//! Two hosts never take turns: the newest that knows the seat stays, and the one before is told so. Nothing that
//! a connection sends, or does not send, ends the guard; one that does not read its answers delays another
//! by [`SEND_TIME`] and is closed.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use symphony_types::digest::Digest;

use super::super::committee::Seat;
use super::super::guard::{Refusal, VoteGuard};
use super::{Admission, Answer, Call, Class, Next, Status, VERSION, frame, next};

/// A guard with the place that it serves and what it has counted.
pub struct Desk<G> {
    guard: G,
    cluster: Digest,
    seat: Seat,
    status: Status,
}

impl<G: VoteGuard> Desk<G> {
    /// A guard that serves the host of one seat.
    pub fn new(guard: G, cluster: Digest, seat: Seat, admission: Admission) -> Self {
        let refusals = KINDS.iter().map(|kind| (*kind, 0)).collect();
        Self {
            guard,
            cluster,
            seat,
            status: Status { class: Class::Software, admission, signed: 0, refusals },
        }
    }

    /// What has been counted so far.
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// Answers one call.
    pub fn answer(&mut self, call: &Call) -> Answer {
        let answered = match call {
            Call::Hello { version, cluster, seat } => {
                let known = (*version, *cluster, *seat) == (VERSION, self.cluster, self.seat);
                return if known { Answer::Welcome } else { Answer::Stranger };
            }
            Call::Status => return Answer::Status(self.status.clone()),
            Call::Sign(ask) => self.guard.sign(ask).map(|signature| {
                self.status.signed += 1;
                Answer::Signature(signature)
            }),
            Call::Install(committee) => self.guard.install(committee).map(|()| Answer::Installed),
            Call::Identity => self.guard.identity().map(Answer::Identity),
            Call::Memory => self.guard.memory().map(Answer::Memory),
            Call::Keep(kept) => self.guard.keep(kept).map(|()| Answer::Keeping),
            Call::Kept => self.guard.kept().map(Answer::Kept),
        };
        answered.unwrap_or_else(|refusal| {
            self.count(refusal);
            Answer::Refused(refusal)
        })
    }

    fn count(&mut self, refusal: Refusal) {
        match self.status.refusals.iter_mut().find(|(kind, _)| *kind == refusal) {
            Some((_, count)) => *count += 1,
            None => self.status.refusals.push((refusal, 1)),
        }
    }
}

/// Serves hosts until `lifeline` ends: what a supervisor holds open as long as it lives. Without one, for ever.
///
/// **Errors**: the listener failed.
pub fn serve<G: VoteGuard>(
    listener: &UnixListener,
    desk: &mut Desk<G>,
    lifeline: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let (mut host, mut newcomer) = (None::<Line>, None::<Line>);
    loop {
        let ready = wait(listener, lifeline, host.as_ref(), newcomer.as_ref())?;
        if ready.lifeline && lifeline.is_some_and(is_cut) {
            return Ok(());
        }
        if let Some(line) = host.take_if(|_| ready.host) {
            host = line.serve(desk);
        }
        if let Some(line) = newcomer.take_if(|_| ready.newcomer) {
            match line.introduce(desk) {
                Introduced::Not => {}
                Introduced::Yet(line) => newcomer = Some(line),
                Introduced::Welcome(line) => {
                    if let Some(mut replaced) = host.take() {
                        // It may be gone already.
                        let _ = replaced.send(&Answer::Replaced);
                    }
                    host = line.serve(desk);
                }
            }
        }
        if ready.listener
            && let Some(stream) = accept(listener)?
        {
            newcomer = Some(Line { stream, input: Vec::new() });
        }
    }
}

/// Which of the descriptors have something to say.
struct Ready {
    listener: bool,
    lifeline: bool,
    host: bool,
    newcomer: bool,
}

fn wait(
    listener: &UnixListener,
    lifeline: Option<BorrowedFd<'_>>,
    host: Option<&Line>,
    newcomer: Option<&Line>,
) -> io::Result<Ready> {
    let all = [
        Some(listener.as_fd()),
        lifeline,
        host.map(|line| line.stream.as_fd()),
        newcomer.map(|line| line.stream.as_fd()),
    ];
    let mut polled: Vec<_> = all.iter().flatten().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)).collect();
    loop {
        match poll(&mut polled, PollTimeout::NONE) {
            Ok(_) => break,
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let mut answers = polled.iter().map(|polled| polled.any().unwrap_or(true));
    let [listener, lifeline, host, newcomer] =
        all.map(|fd| fd.is_some() && answers.next().unwrap_or_default());
    Ok(Ready { listener, lifeline, host, newcomer })
}

/// Whether the supervisor is gone. Nothing is ever written to the lifeline; what is, is skipped.
fn is_cut(lifeline: BorrowedFd<'_>) -> bool {
    !matches!(nix::unistd::read(lifeline, &mut [0; 64]), Ok(1..) | Err(Errno::EINTR | Errno::EAGAIN))
}

fn accept(listener: &UnixListener) -> io::Result<Option<UnixStream>> {
    match listener.accept() {
        Ok((stream, _)) => Ok(stream.set_nonblocking(true).is_ok().then_some(stream)),
        Err(error) if PASSING.contains(&error.kind()) => Ok(None),
        Err(error) => Err(error),
    }
}

/// One connection with what it has sent and was not yet answered.
struct Line {
    stream: UnixStream,
    input: Vec<u8>,
}

enum Introduced {
    /// The connection ends.
    Not,
    /// The hello is not complete.
    Yet(Line),
    /// This is the host.
    Welcome(Line),
}

impl Line {
    /// Hears a newcomer, whose first call is a hello.
    fn introduce<G: VoteGuard>(mut self, desk: &mut Desk<G>) -> Introduced {
        if self.read().is_none() {
            return Introduced::Not;
        }
        let answer = match next::<Call>(&mut self.input) {
            Next::Part => return Introduced::Yet(self),
            Next::Frame(hello @ Call::Hello { .. }) => desk.answer(&hello),
            Next::Frame(_) | Next::Rubbish => Answer::Malformed,
        };
        let sent = self.send(&answer).is_some();
        if sent && answer == Answer::Welcome { Introduced::Welcome(self) } else { Introduced::Not }
    }

    /// Answers all whole calls that have come; `None` when the connection ends.
    fn serve<G: VoteGuard>(mut self, desk: &mut Desk<G>) -> Option<Self> {
        self.read()?;
        loop {
            match next::<Call>(&mut self.input) {
                Next::Part => return Some(self),
                Next::Frame(call) => self.send(&desk.answer(&call))?,
                Next::Rubbish => {
                    // Told for the sake of who debugs a host; it may be gone already.
                    let _ = self.send(&Answer::Malformed);
                    return None;
                }
            }
        }
    }

    /// Takes what has come, one read at a time; `None` at its end.
    fn read(&mut self) -> Option<()> {
        let mut bytes = [0; READ_LEN];
        match self.stream.read(&mut bytes) {
            Ok(0) => None,
            Ok(length) => {
                self.input.extend_from_slice(&bytes[..length]);
                Some(())
            }
            Err(error) => PASSING.contains(&error.kind()).then_some(()),
        }
    }

    /// Sends an answer. A host that does not read it within [`SEND_TIME`] loses the connection.
    fn send(&mut self, answer: &Answer) -> Option<()> {
        let (frame, end) = (frame(answer)?, Instant::now() + SEND_TIME);
        let mut rest = frame.as_slice();
        while !rest.is_empty() {
            match self.stream.write(rest) {
                Ok(length) => rest = rest.get(length..)?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let left =
                        u16::try_from(end.saturating_duration_since(Instant::now()).as_millis()).ok()?;
                    let mut polled = [PollFd::new(self.stream.as_fd(), PollFlags::POLLOUT)];
                    if left == 0 || matches!(poll(&mut polled, left), Ok(0) | Err(_)) {
                        return None;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
        Some(())
    }
}

/// Errors of one moment or one connection.
const PASSING: [io::ErrorKind; 3] =
    [io::ErrorKind::WouldBlock, io::ErrorKind::Interrupted, io::ErrorKind::ConnectionAborted];
const READ_LEN: usize = 64 << 10;
/// How long a host may take to read one answer. Others wait as long.
const SEND_TIME: Duration = Duration::from_millis(500);

/// All refusals, in the order that a status shows them.
const KINDS: [Refusal; 10] = [
    Refusal::Backwards,
    Refusal::Equivocation,
    Refusal::NoPolka,
    Refusal::Locked,
    Refusal::BadPolka,
    Refusal::NoVote,
    Refusal::BadCommittee,
    Refusal::NoBlock,
    Refusal::TooLarge,
    Refusal::Unreachable,
];
