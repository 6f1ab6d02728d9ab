//! Frames between host and enclave: a little-endian `u32` length, then that many bytes, never more than
//! [`FRAME_BYTES_MAX`]. What an enclave says begins with a byte that tells an answer from a question; what a host says is a
//! request or the reply to the question before it, and needs none.

use std::io::{self, Read, Write};

use symphony_types::limits::SEALED_BYTES_MAX;

/// Bytes of one frame: the largest sealed message and room for what describes it.
pub const FRAME_BYTES_MAX: usize = SEALED_BYTES_MAX + (1 << 20);

/// Bytes of one answer or question of an enclave: a frame without the byte of its kind.
pub const SPOKEN_BYTES_MAX: usize = FRAME_BYTES_MAX - 1;

/// What an enclave says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The end of a call.
    Answer,
    /// A question to its host, in the middle of a call.
    Question,
}

/// A frame could not be passed.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The pipe failed.
    #[error("passing a frame")]
    Pipe(#[from] io::Error),
    /// The frame is over the limit.
    #[error("a frame of {0} bytes is over the limit of {FRAME_BYTES_MAX}")]
    TooLong(usize),
    /// The other side stopped in the middle.
    #[error("the pipe ended inside a frame")]
    Truncated,
    /// The frame of an enclave is neither an answer nor a question.
    #[error("a frame of no known kind")]
    Unknown,
}

/// Reads one frame; `None` when the other side closed between frames.
pub fn read(from: &mut impl Read) -> Result<Option<Vec<u8>>, FrameError> {
    match length(from)? {
        Some(length) => body(from, length).map(Some),
        None => Ok(None),
    }
}

/// Writes one frame.
pub fn write(to: &mut impl Write, body: &[u8]) -> Result<(), FrameError> {
    if body.len() > FRAME_BYTES_MAX {
        return Err(FrameError::TooLong(body.len()));
    }
    to.write_all(&(body.len() as u32).to_le_bytes())?;
    to.write_all(body)?;
    to.flush()?;
    Ok(())
}

/// Reads what an enclave says; `None` when it closed between frames.
///
/// **Errors**: as [`read`], and a frame without a known kind.
pub fn hear(from: &mut impl Read) -> Result<Option<(Kind, Vec<u8>)>, FrameError> {
    let Some(length) = length(from)? else { return Ok(None) };
    let rest = length.checked_sub(1).ok_or(FrameError::Unknown)?;
    let kind = match body(from, 1)?.as_slice() {
        [ANSWER] => Kind::Answer,
        [QUESTION] => Kind::Question,
        _ => return Err(FrameError::Unknown),
    };
    Ok(Some((kind, body(from, rest)?)))
}

/// Writes what an enclave says, at most [`SPOKEN_BYTES_MAX`].
pub fn say(to: &mut impl Write, kind: Kind, body: &[u8]) -> Result<(), FrameError> {
    if body.len() > SPOKEN_BYTES_MAX {
        return Err(FrameError::TooLong(body.len() + 1));
    }
    let [a, b, c, d] = (body.len() as u32 + 1).to_le_bytes();
    let kind = match kind {
        Kind::Answer => ANSWER,
        Kind::Question => QUESTION,
    };
    to.write_all(&[a, b, c, d, kind])?;
    to.write_all(body)?;
    to.flush()?;
    Ok(())
}

/// The length of the next frame; `None` when the other side closed before it.
fn length(from: &mut impl Read) -> Result<Option<usize>, FrameError> {
    let mut head = Vec::with_capacity(4);
    from.by_ref().take(4).read_to_end(&mut head)?;
    if head.is_empty() {
        return Ok(None);
    }
    let head: [u8; 4] = head.try_into().map_err(|_| FrameError::Truncated)?;
    let length = u32::from_le_bytes(head) as usize;
    if length > FRAME_BYTES_MAX {
        return Err(FrameError::TooLong(length));
    }
    Ok(Some(length))
}

fn body(from: &mut impl Read, length: usize) -> Result<Vec<u8>, FrameError> {
    // Grows with what really arrives: a length alone must not cost memory.
    let mut body = Vec::with_capacity(length.min(FIRST_ALLOCATION));
    from.by_ref().take(length as u64).read_to_end(&mut body)?;
    if body.len() < length {
        return Err(FrameError::Truncated);
    }
    Ok(body)
}

const FIRST_ALLOCATION: usize = 1 << 20;
/// The kinds of what an enclave says.
const ANSWER: u8 = b'A';
const QUESTION: u8 = b'Q';

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn frames_come_back_in_order(bodies: Vec<Vec<u8>>) {
            let mut pipe = Vec::new();
            for body in &bodies {
                write(&mut pipe, body).unwrap();
            }
            let mut pipe = pipe.as_slice();
            for body in &bodies {
                assert_eq!(read(&mut pipe).unwrap().as_ref(), Some(body));
            }
            assert_eq!(read(&mut pipe).unwrap(), None);
        }

        #[test]
        fn what_an_enclave_says_comes_back_with_its_kind(said: Vec<(bool, Vec<u8>)>) {
            let kind = |asks: &bool| if *asks { Kind::Question } else { Kind::Answer };
            let mut pipe = Vec::new();
            for (asks, body) in &said {
                say(&mut pipe, kind(asks), body).unwrap();
            }
            let mut pipe = pipe.as_slice();
            for (asks, body) in &said {
                assert_eq!(hear(&mut pipe).unwrap(), Some((kind(asks), body.clone())));
            }
            assert_eq!(hear(&mut pipe).unwrap(), None);
        }

        #[test]
        fn a_frame_of_no_known_kind_is_refused(body: Vec<u8>) {
            prop_assume!(!matches!(body.first(), Some(&(ANSWER | QUESTION))));
            let mut pipe = Vec::new();
            write(&mut pipe, &body).unwrap();
            assert!(matches!(hear(&mut pipe.as_slice()), Err(FrameError::Unknown)));
        }

        #[test]
        fn a_cut_frame_is_never_taken_for_a_whole_one(body: Vec<u8>, cut in 1_usize..4) {
            let mut pipe = Vec::new();
            write(&mut pipe, &body).unwrap();
            pipe.truncate(pipe.len() - cut);
            assert!(matches!(read(&mut pipe.as_slice()), Err(FrameError::Truncated)));
        }
    }

    #[test]
    fn a_length_over_the_limit_is_refused_before_it_is_read() {
        let head = (FRAME_BYTES_MAX as u32 + 1).to_le_bytes();
        assert!(matches!(read(&mut head.as_slice()), Err(FrameError::TooLong(_))));
        let long = vec![0; FRAME_BYTES_MAX + 1];
        let mut pipe = Vec::new();
        assert!(matches!(write(&mut pipe, &long), Err(FrameError::TooLong(_))));
        assert!(pipe.is_empty());
        assert!(matches!(
            say(&mut pipe, Kind::Answer, &long[..FRAME_BYTES_MAX]),
            Err(FrameError::TooLong(_))
        ));
        assert!(pipe.is_empty());
        say(&mut pipe, Kind::Answer, &long[..SPOKEN_BYTES_MAX]).unwrap();
        assert_eq!(pipe.len(), 4 + FRAME_BYTES_MAX);
    }
}
