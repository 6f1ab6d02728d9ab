//! Frames between host and enclave: a little-endian `u32` length, then that many bytes, never more than
//! [`FRAME_BYTES_MAX`].

use std::io::{self, Read, Write};

use symphony_types::limits::SEALED_BYTES_MAX;

/// Bytes of one frame: the largest sealed message and room for what describes it.
pub const FRAME_BYTES_MAX: usize = SEALED_BYTES_MAX + (1 << 20);

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
}

/// Reads one frame; `None` when the other side closed between frames.
pub fn read(from: &mut impl Read) -> Result<Option<Vec<u8>>, FrameError> {
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
    // Grows with what really arrives: a length alone must not cost memory.
    let mut body = Vec::with_capacity(length.min(FIRST_ALLOCATION));
    from.by_ref().take(length as u64).read_to_end(&mut body)?;
    if body.len() < length {
        return Err(FrameError::Truncated);
    }
    Ok(Some(body))
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

const FIRST_ALLOCATION: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
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
    }
}
