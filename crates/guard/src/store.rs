//! What a trusted guard keeps: its key, what it signed and the committee, durable before a signature leaves
//! (R198, R212).
//!
//! Two files, and the blocks of [`crate::blocks`]. `state` holds everything and is replaced as a whole: part, fsync, rename, fsync of the folder. That is
//! too slow for every vote, so votes since then stand in `votes.<epoch>`, a file of fixed size and zeroes in which
//! each vote takes the next record: one write in place, one fdatasync. A full file means a new state with the next
//! epoch, whose empty votes are durable before the state that names them.
//!
//! **Shape**: `state` is a SHA-256 with a tag, then the key's seed, then canonical bytes of the rest. A record is a
//! SHA-256 over the digest before it (first: that of the state) and its own bytes. Whatever does not have its digest,
//! and whatever is missing, is as good as nothing: what it forbade is not known, so its key must not sign again.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use symphony_consensus::quorum::committee::{Committee, GuardBoot, Seat, Step};
use symphony_consensus::quorum::guard::{Kept as LockedBlock, Memory};
use symphony_types::canonical;
use symphony_types::digest::Digest;
use symphony_types::id::NodeId;
use symphony_types::key::{Signature, Signed, SoftwarePlatform};
use zeroize::Zeroizing;

use crate::blocks::{BLOCKS, Blocks};

/// Everything that a restart needs. Has no `Debug`: it holds the key.
pub struct Kept {
    /// The secret of the voting key.
    pub seed: Zeroizing<[u8; SEED_LEN]>,
    /// All that is not secret.
    pub open: Open,
    /// What was signed since.
    pub votes: Vec<Vote>,
    /// Blocks of the last height that were to be signed.
    pub blocks: Vec<LockedBlock>,
}

/// The part of the state that is not secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// The cluster.
    pub cluster: Digest,
    /// The master.
    pub node: NodeId,
    /// Its seat.
    pub seat: Seat,
    /// What admits the key.
    pub boot: Option<Signed<GuardBoot, SoftwarePlatform>>,
    /// The committee in force.
    pub committee: Committee,
    /// What was signed before the votes.
    pub memory: Memory,
}

/// One signed ballot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// The height.
    pub height: u64,
    /// The round.
    pub round: u32,
    /// The step.
    pub step: Step,
    /// The block.
    pub block: Option<Digest>,
    /// The signature.
    pub signature: Signature,
}

/// What stands in the folder.
pub enum Found {
    /// No state.
    Nothing,
    /// Bytes that are not a state as it was written.
    Damaged,
    /// The state.
    Kept(Box<Kept>),
}

/// The folder of one guard, held by one process at a time.
pub struct Store {
    path: PathBuf,
    folder: File,
    _lock: File,
    epoch: u64,
    votes: Option<Votes>,
    blocks: Blocks,
}

/// The open file of votes.
struct Votes {
    file: File,
    chain: Digest,
    count: usize,
}

/// The folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be made, read or written.
    #[error("using {0}")]
    Io(PathBuf, #[source] io::Error),
    /// Others may read it.
    #[error("{0} is open to other users")]
    Open(PathBuf),
    /// Another guard runs in it.
    #[error("another guard runs in {0}")]
    Taken(PathBuf),
}

impl Store {
    /// Opens a folder, made if absent, for this process alone. **Errors**: [`StoreError`].
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        private_folder(path)?;
        let io = |error| StoreError::Io(path.into(), error);
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path.join(LOCK))
            .map_err(io)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StoreError::Taken(path.into())),
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
        let folder = File::open(path).map_err(io)?;
        Ok(Self { path: path.into(), folder, _lock: lock, epoch: 0, votes: None, blocks: Blocks::default() })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a guard has started here before.
    pub fn is_marked(&self) -> io::Result<bool> {
        self.path.join(MARK).try_exists()
    }

    /// Notes for good that a guard has started here. **Errors**: the note may not be durable.
    pub fn mark(&self) -> io::Result<()> {
        let mark = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(self.path.join(MARK))?;
        mark.sync_all()?;
        self.folder.sync_all()
    }

    /// Reads the state, and goes on behind its votes. **Errors**: the disk failed, which says nothing of the state.
    pub fn load(&mut self) -> io::Result<Found> {
        self.votes = None;
        let Some(state) = self.read(STATE, BYTES_MAX)? else { return Ok(Found::Nothing) };
        let Some((chain, epoch, seed, open)) = decode(&state) else { return Ok(Found::Damaged) };
        let Some(records) = self.read(&votes_name(epoch), VOTES_BYTES)? else { return Ok(Found::Damaged) };
        let Some((chain, votes)) = replay(&records, chain) else { return Ok(Found::Damaged) };
        let file = OpenOptions::new().write(true).open(self.path.join(votes_name(epoch)))?;
        self.epoch = epoch;
        self.votes = Some(Votes { file, chain, count: votes.len() });
        let blocks = self.blocks.load(&self.path)?;
        Ok(Found::Kept(Box::new(Kept { seed, open, votes, blocks })))
    }

    /// A file of at most so many bytes, and one more if it is longer.
    fn read(&self, name: &str, bytes_max: usize) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
        let file = match File::open(self.path.join(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Zeroizing::new(Vec::with_capacity(bytes_max + 1));
        file.take(bytes_max as u64 + 1).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// Replaces the state; there are no votes since. **Errors**: it may or may not be replaced, and what it would
    /// allow must not happen before a later write has succeeded.
    pub fn write(&mut self, seed: &[u8; SEED_LEN], open: &Open) -> io::Result<()> {
        self.votes = None;
        let (before, epoch) = (self.epoch, self.epoch + 1);
        let mut votes = self.create(&votes_name(epoch))?;
        votes.write_all(&vec![0; VOTES_BYTES])?;
        votes.sync_all()?;
        self.folder.sync_all()?;
        let bytes = encode(epoch, seed, open);
        let mut part = self.create(PART)?;
        part.write_all(&bytes)?;
        part.sync_all()?;
        fs::rename(self.path.join(PART), self.path.join(STATE))?;
        self.folder.sync_all()?;
        self.epoch = epoch;
        self.votes = Some(Votes { file: votes, chain: digest_of(&bytes), count: 0 });
        // Nothing reads it again; the next state of this epoch number overwrites it.
        let _ = fs::remove_file(self.path.join(votes_name(before)));
        Ok(())
    }

    fn create(&self, name: &str) -> io::Result<File> {
        OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(self.path.join(name))
    }

    /// Keeps one more vote. Returns whether it is durable; if not, only [`Self::write`] helps.
    pub fn append(&mut self, vote: &Vote) -> bool {
        // Taken out: after a failure nobody knows what stands in the file.
        let Some(mut votes) = self.votes.take().filter(|votes| votes.count < VOTES_MAX) else { return false };
        let (record, chain) = record(vote, votes.chain);
        let place = (votes.count * RECORD_LEN) as u64;
        let kept = votes.file.write_all_at(&record, place).and_then(|()| votes.file.sync_data());
        if kept.is_err() {
            return false;
        }
        votes.chain = chain;
        votes.count += 1;
        self.votes = Some(votes);
        true
    }

    /// Keeps a block beside the one that `stays`. **Errors**: it is not durable; the one that stays is.
    pub fn keep(&mut self, block: &LockedBlock, stays: Option<Digest>) -> io::Result<()> {
        self.blocks.keep(&self.path, &self.folder, block, stays)
    }

    /// Removes state, votes and blocks for good. **Errors**: they may still be there.
    pub fn forget(&mut self) -> io::Result<()> {
        self.votes = None;
        self.blocks = Blocks::default();
        for entry in fs::read_dir(&self.path)? {
            let name = entry?.file_name();
            let kept = [STATE, PART, BLOCKS].iter().any(|other| name == *other);
            if kept || name.to_string_lossy().starts_with(VOTES) {
                fs::remove_file(self.path.join(name))?;
            }
        }
        self.folder.sync_all()
    }
}

/// Makes a folder that only this user may enter, or checks that it is one. **Errors**: it is not.
pub fn private_folder(path: &Path) -> Result<(), StoreError> {
    let io = |error| StoreError::Io(path.into(), error);
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io)?;
    let mode = fs::metadata(path).map_err(io)?.mode();
    if mode & 0o077 == 0 { Ok(()) } else { Err(StoreError::Open(path.into())) }
}

fn encode(epoch: u64, seed: &[u8; SEED_LEN], open: &Open) -> Zeroizing<Vec<u8>> {
    let open = canonical::to_bytes(&(VERSION, epoch, open));
    // Never grows, so that no copy of the seed stays behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(DIGEST_LEN + SEED_LEN + open.len()));
    bytes.extend_from_slice(&[0; DIGEST_LEN]);
    bytes.extend_from_slice(seed);
    bytes.extend_from_slice(&open);
    let digest = digest_of(&bytes);
    bytes[..DIGEST_LEN].copy_from_slice(&digest.0);
    bytes
}

fn digest_of(state: &[u8]) -> Digest {
    Digest::tagged(STATE_TAG, state.get(DIGEST_LEN..).unwrap_or_default())
}

type Decoded = (Digest, u64, Zeroizing<[u8; SEED_LEN]>, Open);

fn decode(bytes: &[u8]) -> Option<Decoded> {
    let (digest, rest) = bytes.split_first_chunk::<DIGEST_LEN>()?;
    let digest = Digest(*digest);
    if bytes.len() > BYTES_MAX || digest_of(bytes) != digest {
        return None;
    }
    let (seed, open) = rest.split_first_chunk::<SEED_LEN>()?;
    let (version, epoch, open): (u32, u64, Open) = bcs::from_bytes(open).ok()?;
    (version == VERSION).then(|| (digest, epoch, Zeroizing::new(*seed), open))
}

/// The record of a vote and its digest, which the next one builds on. It never crosses a sector of the disk.
fn record(vote: &Vote, chain: Digest) -> ([u8; RECORD_LEN], Digest) {
    let bytes = canonical::to_bytes(vote);
    let mut record = [0; RECORD_LEN];
    // A vote has at most 111 bytes.
    record[DIGEST_LEN] = bytes.len() as u8;
    record[DIGEST_LEN + 1..][..bytes.len()].copy_from_slice(&bytes);
    let next = Digest::of(VOTE_TAG, &(chain, &record[DIGEST_LEN..]));
    record[..DIGEST_LEN].copy_from_slice(&next.0);
    (record, next)
}

/// All votes of a file with the last digest; `None` when a byte of it is not as it was written.
fn replay(bytes: &[u8], mut chain: Digest) -> Option<(Digest, Vec<Vote>)> {
    if bytes.len() != VOTES_BYTES {
        return None;
    }
    let used = bytes.chunks_exact(RECORD_LEN).take_while(|bytes| bytes.iter().any(|byte| *byte != 0)).count();
    let (used, free) = bytes.split_at(used * RECORD_LEN);
    let mut votes = Vec::new();
    for bytes in used.chunks_exact(RECORD_LEN) {
        let length = usize::from(bytes[DIGEST_LEN]);
        let vote: Vote = bcs::from_bytes(bytes.get(DIGEST_LEN + 1..DIGEST_LEN + 1 + length)?).ok()?;
        let (expected, next) = record(&vote, chain);
        if expected != *bytes {
            return None;
        }
        votes.push(vote);
        chain = next;
    }
    free.iter().all(|byte| *byte == 0).then_some((chain, votes))
}

fn votes_name(epoch: u64) -> String {
    format!("{VOTES}{epoch}")
}

const STATE: &str = "state";
const PART: &str = "state.part";
const VOTES: &str = "votes.";
const MARK: &str = "founded";
const LOCK: &str = "lock";
const STATE_TAG: &str = "symphony/guard-state/v1";
const VOTE_TAG: &str = "symphony/guard-vote/v1";
const VERSION: u32 = 1;
const DIGEST_LEN: usize = 32;
const SEED_LEN: usize = 32;
/// Several times the largest memory and committee.
const BYTES_MAX: usize = 64 << 10;
const RECORD_LEN: usize = 256;
/// Votes of one epoch: over a thousand heights without trouble.
const VOTES_MAX: usize = 4_096;
const VOTES_BYTES: usize = VOTES_MAX * RECORD_LEN;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const SEED: [u8; SEED_LEN] = [9; SEED_LEN];

    fn open() -> Open {
        let committee = Committee::founding(Digest([1; 32]), Vec::new());
        let memory = Memory { height: 7, ..Memory::default() };
        let node = NodeId::new("master-1").unwrap();
        Open { cluster: committee.cluster, node, seat: Seat(0), boot: None, committee, memory }
    }

    fn vote(round: u32) -> Vote {
        let block = (round.is_multiple_of(2)).then_some(Digest([3; 32]));
        Vote { height: 8, round, step: Step::Prevote, block, signature: Signature([5; 64]) }
    }

    /// The votes of a state that is whole.
    fn votes(store: &mut Store) -> Vec<Vote> {
        let Found::Kept(kept) = store.load().unwrap() else { panic!("the state is gone") };
        assert!(*kept.seed == SEED && kept.open == open());
        kept.votes
    }

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("guard");
        (folder, path)
    }

    /// R198, R212: every byte and every length counts.
    #[test]
    fn a_flipped_or_cut_state_is_not_a_state() {
        let (_folder, path) = folder();
        let mut store = Store::open(&path).unwrap();
        assert!(matches!(store.load().unwrap(), Found::Nothing));
        store.write(&SEED, &open()).unwrap();
        assert_eq!(votes(&mut store), []);
        let bytes = fs::read(path.join(STATE)).unwrap();
        let mut damaged = |bytes: &[u8]| {
            fs::write(path.join(STATE), bytes).unwrap();
            matches!(store.load().unwrap(), Found::Damaged)
        };
        for index in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[index] ^= 1;
            assert!(damaged(&flipped), "byte {index}");
            assert!(damaged(&bytes[..index]), "length {index}");
        }
        assert!(damaged(&[bytes.as_slice(), b"0"].concat()));
        assert!(damaged(&vec![0; BYTES_MAX + 1]));
        assert!(!damaged(&bytes));
    }

    /// R198, R212: votes come back in order, over restarts, or the whole state counts for nothing.
    #[test]
    fn votes_come_back_or_nothing_does() {
        let (_folder, path) = folder();
        let mut store = Store::open(&path).unwrap();
        assert!(!store.append(&vote(0)), "there is no state yet");
        store.write(&SEED, &open()).unwrap();
        assert!(store.append(&vote(0)) && store.append(&vote(1)));
        drop(store);
        let mut store = Store::open(&path).unwrap();
        assert_eq!(votes(&mut store), [vote(0), vote(1)]);
        assert!(store.append(&vote(2)));
        assert_eq!(votes(&mut store), [vote(0), vote(1), vote(2)]);

        let file = path.join(votes_name(1));
        let bytes = fs::read(&file).unwrap();
        let mut damaged = |bytes: &[u8]| {
            fs::write(&file, bytes).unwrap();
            matches!(store.load().unwrap(), Found::Damaged)
        };
        for index in (0..3 * RECORD_LEN).chain((3 * RECORD_LEN..bytes.len()).step_by(9_973)) {
            let mut flipped = bytes.clone();
            flipped[index] ^= 1;
            assert!(damaged(&flipped), "byte {index}");
        }
        for length in [0, 1, RECORD_LEN, bytes.len() - 1] {
            assert!(damaged(&bytes[..length]), "length {length}");
        }
        assert!(damaged(&[bytes.as_slice(), b"0"].concat()));
        let mut without_the_first = bytes.clone();
        without_the_first.copy_within(RECORD_LEN.., 0);
        assert!(damaged(&without_the_first));
        let mut hole = bytes.clone();
        hole[RECORD_LEN..2 * RECORD_LEN].fill(0);
        assert!(damaged(&hole));
        assert!(!damaged(&bytes));
        fs::remove_file(&file).unwrap();
        assert!(matches!(store.load().unwrap(), Found::Damaged));
    }

    /// R198: a full file of votes takes no more, and a new state begins an empty one.
    #[test]
    fn a_new_state_has_votes_of_its_own() {
        let (_folder, path) = folder();
        let mut store = Store::open(&path).unwrap();
        store.write(&SEED, &open()).unwrap();
        store.votes.as_mut().unwrap().count = VOTES_MAX;
        assert!(!store.append(&vote(0)));
        store.write(&SEED, &open()).unwrap();
        assert!(store.append(&vote(1)));
        assert_eq!(votes(&mut store), [vote(1)]);
        assert!(!path.join(votes_name(1)).exists());
        // The votes of another epoch do not fit.
        fs::rename(path.join(votes_name(2)), path.join("aside")).unwrap();
        store.write(&SEED, &open()).unwrap();
        fs::rename(path.join("aside"), path.join(votes_name(3))).unwrap();
        assert!(matches!(store.load().unwrap(), Found::Damaged));
    }

    /// R211: after a write that failed only a whole state counts.
    #[test]
    fn a_vote_that_was_not_written_stops_the_votes() {
        let (_folder, path) = folder();
        let mut store = Store::open(&path).unwrap();
        store.write(&SEED, &open()).unwrap();
        store.votes.as_mut().unwrap().file = File::open(path.join(votes_name(1))).unwrap();
        assert!(!store.append(&vote(0)) && !store.append(&vote(0)));
        fs::create_dir(path.join(PART)).unwrap();
        assert!(store.write(&SEED, &open()).is_err());
        assert!(!store.append(&vote(0)));
        fs::remove_dir(path.join(PART)).unwrap();
        store.write(&SEED, &open()).unwrap();
        assert!(store.append(&vote(0)));
        assert_eq!(votes(&mut store), [vote(0)]);
    }

    /// R205: the key is for one process of one user.
    #[test]
    fn a_folder_is_private_and_has_one_guard() {
        let (_folder, path) = folder();
        let mut store = Store::open(&path).unwrap();
        store.write(&SEED, &open()).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&path.join(STATE))), (0o700, 0o600));
        assert!(matches!(Store::open(&path), Err(StoreError::Taken(_))));
        drop(store);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
        assert!(matches!(Store::open(&path), Err(StoreError::Open(_))));
    }

    #[test]
    fn a_mark_stays_and_a_forgotten_state_does_not() {
        let (_folder, path) = folder();
        let mut store = Store::open(&path).unwrap();
        assert!(!store.is_marked().unwrap());
        store.write(&SEED, &open()).unwrap();
        store.mark().unwrap();
        store.mark().unwrap();
        store.forget().unwrap();
        store.forget().unwrap();
        drop(store);
        let mut again = Store::open(&path).unwrap();
        assert!(again.is_marked().unwrap());
        assert!(matches!(again.load().unwrap(), Found::Nothing));
        assert_eq!(fs::read_dir(&path).unwrap().count(), 2);
    }
}
