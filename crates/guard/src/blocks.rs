//! The blocks that a trusted guard keeps as long as it is locked on them (R198, R212).
//!
//! One file with two places of fixed size. A block is written in place and synced; never over the block of the lock, so
//! a torn write costs only a block for which nothing was signed yet.
//!
//! **Shape** of a place: a SHA-256 with a tag over the rest, a little-endian `u32` length, and as many canonical bytes of
//! a [`Kept`]. A place without its digest is empty.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use symphony_consensus::quorum::block::BLOCK_BYTES_MAX;
use symphony_consensus::quorum::guard::Kept;
use symphony_types::canonical;
use symphony_types::digest::Digest;

/// Name of the file.
pub const BLOCKS: &str = "blocks";

/// The file, and the block in each place.
#[derive(Default)]
pub struct Blocks {
    file: Option<File>,
    places: [Option<Digest>; PLACES],
}

impl Blocks {
    /// The blocks of a folder, by height. **Errors**: the disk failed; a damaged place is none.
    pub fn load(&mut self, folder: &Path) -> io::Result<Vec<Kept>> {
        *self = Self::default();
        let file = match OpenOptions::new().read(true).write(true).open(folder.join(BLOCKS)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        if file.metadata()?.len() != (PLACES * PLACE_LEN) as u64 {
            // Not finished when it was made; the next block makes it anew.
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        let mut bytes = vec![0; PLACE_LEN];
        for (index, place) in self.places.iter_mut().enumerate() {
            file.read_exact_at(&mut bytes, (index * PLACE_LEN) as u64)?;
            let kept = decode(&bytes);
            *place = kept.as_ref().map(|kept| kept.polka.block);
            found.extend(kept);
        }
        self.file = Some(file);
        found.sort_by_key(|kept| kept.polka.height);
        Ok(found)
    }

    /// Keeps a block beside the one that `stays`. **Errors**: it is not durable.
    pub fn keep(&mut self, path: &Path, folder: &File, kept: &Kept, stays: Option<Digest>) -> io::Result<()> {
        let bytes = encode(kept).ok_or(io::ErrorKind::FileTooLarge)?;
        let index = self.places.iter().position(|place| place.is_none() || *place != stays).unwrap_or(0);
        let file = match self.file.take() {
            Some(file) => file,
            // After a failure the other place is as it was.
            None if self.places.iter().any(Option::is_some) => {
                OpenOptions::new().write(true).open(path.join(BLOCKS))?
            }
            None => create(path, folder)?,
        };
        self.places[index] = None;
        file.write_all_at(&bytes, (index * PLACE_LEN) as u64)?;
        file.sync_data()?;
        self.places[index] = Some(kept.polka.block);
        self.file = Some(file);
        Ok(())
    }
}

/// A file of empty places, durable with its name: later writes change no length.
fn create(path: &Path, folder: &File) -> io::Result<File> {
    let file =
        OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path.join(BLOCKS))?;
    let zeros = vec![0; PLACE_LEN];
    for index in 0..PLACES {
        file.write_all_at(&zeros, (index * PLACE_LEN) as u64)?;
    }
    file.sync_all()?;
    folder.sync_all()?;
    Ok(file)
}

fn encode(kept: &Kept) -> Option<Vec<u8>> {
    let body = canonical::to_bytes(kept);
    let length = u32::try_from(body.len()).ok().filter(|_| HEAD_LEN + body.len() <= PLACE_LEN)?;
    let mut bytes = vec![0; DIGEST_LEN];
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&body);
    let digest = Digest::tagged(TAG, &bytes[DIGEST_LEN..]);
    bytes[..DIGEST_LEN].copy_from_slice(&digest.0);
    Some(bytes)
}

fn decode(place: &[u8]) -> Option<Kept> {
    let (digest, rest) = place.split_first_chunk::<DIGEST_LEN>()?;
    let (length, _) = rest.split_first_chunk::<LENGTH_LEN>()?;
    let used = rest.get(..LENGTH_LEN + u32::from_le_bytes(*length) as usize)?;
    if Digest::tagged(TAG, used) != Digest(*digest) {
        return None;
    }
    bcs::from_bytes(&used[LENGTH_LEN..]).ok()
}

const TAG: &str = "symphony/guard-block/v1";
const PLACES: usize = 2;
const DIGEST_LEN: usize = 32;
const LENGTH_LEN: usize = 4;
const HEAD_LEN: usize = DIGEST_LEN + LENGTH_LEN;
/// The largest block with its polka, in whole pages.
const PLACE_LEN: usize = BLOCK_BYTES_MAX + (4 << 10);

#[cfg(test)]
mod tests {
    use symphony_consensus::quorum::committee::{Certificate, Seat, Step};
    use symphony_types::key::Signature;

    use super::*;

    fn kept(height: u64, byte: u8, len: usize) -> Kept {
        let block = vec![byte; len];
        let polka = Certificate {
            height,
            round: 0,
            step: Step::Prevote,
            block: Digest::tagged("test", &block),
            signatures: vec![(Seat(0), Signature([byte; 64])), (Seat(2), Signature([byte; 64]))],
        };
        Kept { polka, block }
    }

    fn reopened(path: &Path) -> Vec<Kept> {
        Blocks::default().load(path).unwrap()
    }

    #[test]
    fn the_block_of_the_lock_outlives_every_other() {
        let temp = tempfile::tempdir().unwrap();
        let (path, folder) = (temp.path(), File::open(temp.path()).unwrap());
        let mut blocks = Blocks::default();
        let locked = kept(7, 1, BLOCK_BYTES_MAX);
        blocks.keep(path, &folder, &locked, None).unwrap();
        for byte in 2..6 {
            let next = kept(7, byte, 100);
            blocks.keep(path, &folder, &next, Some(locked.polka.block)).unwrap();
            let found = reopened(path);
            assert!(found.contains(&locked) && found.contains(&next));
        }
    }

    /// R212: whatever byte of a place is not as it was written, the place is empty and the other stays.
    #[test]
    fn a_damaged_place_is_empty() {
        let temp = tempfile::tempdir().unwrap();
        let (path, folder) = (temp.path(), File::open(temp.path()).unwrap());
        let (first, second) = (kept(7, 1, 10), kept(7, 2, 10));
        let mut blocks = Blocks::default();
        blocks.keep(path, &folder, &first, None).unwrap();
        blocks.keep(path, &folder, &second, Some(first.polka.block)).unwrap();
        let whole = std::fs::read(path.join(BLOCKS)).unwrap();
        for at in 0..encode(&first).unwrap().len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            std::fs::write(path.join(BLOCKS), &bytes).unwrap();
            assert_eq!(reopened(path), vec![second.clone()], "byte {at}");
        }
        std::fs::write(path.join(BLOCKS), &whole[..whole.len() - 1]).unwrap();
        assert_eq!(reopened(path), Vec::new());
    }
}
