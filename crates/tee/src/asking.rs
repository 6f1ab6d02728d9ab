//! What an enclave may ask of its host while it works on a call. A question and its reply are bytes that this crate does not
//! read: the enclave believes its host nothing, so a reply is worth no more than what the enclave checks in it (R110, R116).
//!
//! The host answers only where it serves questions, at most [`QUESTIONS_MAX`] of one call, and within the call's deadline.

use std::io::{Read, Write};

use crate::frame::{self, FrameError, Kind, SPOKEN_BYTES_MAX};

/// Questions that an enclave may put during one call. A host ends an enclave that puts more.
pub const QUESTIONS_MAX: usize = 16_384;

/// The host, as the handler of a call sees it. May be passed to another thread while it asks.
pub trait Host: Send {
    /// Puts a question and waits for its reply. Blocks.
    ///
    /// **Errors**: [`AskError`].
    fn ask(&mut self, question: &[u8]) -> Result<Vec<u8>, AskError>;
}

/// A question has no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The question is over the limit and was not put; another one may be.
    #[error("a question of {0} bytes is over the limit of {SPOKEN_BYTES_MAX}")]
    TooLong(usize),
    /// The host does not reply any more. The enclave ends once the call has been worked on.
    #[error("the host is gone")]
    Gone,
    /// There is nobody to ask.
    #[error("no questions are served here")]
    Unserved,
}

/// A host that may not be asked: for handlers that run without one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unserved;

impl Host for Unserved {
    fn ask(&mut self, _: &[u8]) -> Result<Vec<u8>, AskError> {
        Err(AskError::Unserved)
    }
}

/// The host at the other end of two pipes.
pub(crate) struct Line<'a, R, W> {
    from: &'a mut R,
    to: &'a mut W,
    /// Why nothing can be said any more.
    broken: Option<FrameError>,
}

impl<'a, R: Read, W: Write> Line<'a, R, W> {
    pub(crate) fn new(from: &'a mut R, to: &'a mut W) -> Self {
        Self { from, to, broken: None }
    }

    /// Ends the call with its answer. **Errors**: the pipe failed, now or at a question; nothing is said then, because the host
    /// would take it for something else.
    pub(crate) fn answer(self, answer: &[u8]) -> Result<(), FrameError> {
        match self.broken {
            Some(error) => Err(error),
            None => frame::say(self.to, Kind::Answer, answer),
        }
    }
}

impl<R: Read + Send, W: Write + Send> Host for Line<'_, R, W> {
    fn ask(&mut self, question: &[u8]) -> Result<Vec<u8>, AskError> {
        if self.broken.is_some() {
            return Err(AskError::Gone);
        }
        if question.len() > SPOKEN_BYTES_MAX {
            return Err(AskError::TooLong(question.len()));
        }
        let reply = frame::say(self.to, Kind::Question, question).and_then(|()| frame::read(self.from));
        match reply {
            Ok(Some(reply)) => Ok(reply),
            other => {
                self.broken = Some(other.err().unwrap_or(FrameError::Truncated));
                Err(AskError::Gone)
            }
        }
    }
}
