//! Which key a guard has when it starts: the founding one, the one it had, or a new one that the cluster must admit
//! (R007, R198, R205).
//!
//! | in the folder | strict | trusted |
//! |---|---|---|
//! | nothing, and a founding seed | the founding key, once | the founding key, kept |
//! | nothing | a new key | a new key, kept |
//! | a state | a new key; the state is removed | the key and memory of the state |
//! | a damaged state | a new key; the state is removed | a new key, kept |
//! | the mark of an earlier start, no state | a new key | a new key, kept |
//!
//! The founding seed is taken only where no guard has started before. Its file is removed once that is noted for
//! good, so a crash in between gives a new key, never a key without its memory.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rand::TryRng as _;
use symphony_consensus::quorum::committee::{Committee, GuardBoot, Member, Seat};
use symphony_consensus::quorum::guard::{
    Ask, Kept as LockedBlock, LocalGuard, Memory, Refusal, Rules, Strictness, VoteGuard as _,
};
use symphony_consensus::quorum::socket::Admission;
use symphony_tee::keys::PlatformSeed;
use symphony_types::digest::Digest;
use symphony_types::key::{Consensus, PrivateKey, PublicKey, Signed, SoftwarePlatform};
use zeroize::Zeroizing;

use crate::config::{self, ConfigError, GuardConfig};
use crate::keeper::{Keeper, Trusted};
use crate::store::{Found, Kept, Open, Store, StoreError, Vote};

/// Where a guard's key comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The founding of the cluster.
    Founding,
    /// The state on disk.
    Resumed,
    /// Drawn now, because there was no state to believe.
    New,
    /// Drawn now, because the state on disk is damaged.
    Damaged,
}

impl Origin {
    /// The word of the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Founding => "founding key",
            Self::Resumed => "resumed key",
            Self::New => "new key",
            Self::Damaged => "new key for a damaged state",
        }
    }
}

/// A guard that is ready to serve, and what to say of it.
pub struct Born {
    /// The guard.
    pub guard: Keeper,
    /// The cluster that it votes in.
    pub cluster: Digest,
    /// Its seat there.
    pub seat: Seat,
    /// Its key.
    pub key: PublicKey<Consensus>,
    /// Where the key comes from.
    pub origin: Origin,
}

/// The guard cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BirthError {
    /// The configuration or a file of it.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The guard's folder.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The disk failed.
    #[error("using {0}")]
    Io(PathBuf, #[source] io::Error),
    /// There is no platform seed.
    #[error("there is no platform seed at {0}")]
    NoPlatform(PathBuf),
    /// The committee names another platform for this seat.
    #[error("the platform seed is not that of this seat")]
    Platform,
    /// The committee names another founding key for this seat.
    #[error("the founding seed is not that of this seat")]
    Founding,
    /// The folder holds the state of another guard.
    #[error("the state in {0} belongs to another cluster, master or seat")]
    Foreign(PathBuf),
    /// The state says what the rules do not believe.
    #[error("the state does not hold")]
    State(#[source] Refusal),
    /// The operating system gave no randomness.
    #[error("reading randomness: {0}")]
    Randomness(String),
}

/// A key with what admits it and what it remembers.
struct Life {
    seed: Zeroizing<[u8; 32]>,
    boot: Option<Signed<GuardBoot, SoftwarePlatform>>,
    committee: Committee,
    memory: Memory,
    votes: Vec<Vote>,
    blocks: Vec<LockedBlock>,
    origin: Origin,
}

/// Finds or makes the key of a guard. **Errors**: [`BirthError`]; a damaged state is none.
pub fn born(config: &GuardConfig) -> Result<Born, BirthError> {
    let (founding, member) = config.founding()?;
    let platform = platform(config, &member)?;
    let mut store = Store::open(&config.state)?;
    let io = |error| BirthError::Io(config.state.clone(), error);

    let found = store.load().map_err(io)?;
    let fresh = matches!(found, Found::Nothing) && !store.is_marked().map_err(io)?;
    let seed = if fresh { config::seed(&config.founding_seed)? } else { None };
    let life = match (found, seed, config.admission) {
        (_, Some(seed), _) => first(seed, &founding, &member)?,
        (Found::Kept(kept), None, Admission::Trusted) => resumed(*kept, config, &founding)?,
        (Found::Damaged, None, Admission::Trusted) => drawn(config, &founding, &platform, Origin::Damaged)?,
        (_, None, _) => drawn(config, &founding, &platform, Origin::New)?,
    };
    drop(platform);

    let seat = Seat(config.seat);
    let cluster = founding.cluster;
    let mut rules = Rules::new(seat, founding, Strictness::Full, life.memory);
    rules.install(&life.committee).map_err(BirthError::State)?;
    for Vote { height, round, step, block, signature } in life.votes {
        rules.record(&Ask { height, round, step, block, polka: None }, signature);
    }
    let key = PrivateKey::from_seed(&life.seed);
    let public = key.public();
    let mut guard = LocalGuard::new(key, life.boot, rules);
    for block in life.blocks {
        // One of an older height than the votes is of no use any more.
        let _ = guard.keep(&block);
    }

    if life.origin != Origin::Resumed {
        store.forget().map_err(io)?;
    }
    let trusted = match config.admission {
        Admission::Strict => None,
        Admission::Trusted => Some(Trusted {
            seed: life.seed,
            node: config.node.clone(),
            stale: life.origin != Origin::Resumed,
        }),
    };
    let mut guard = Keeper::new(guard, store, trusted);
    guard.persist().map_err(|_| io(io::Error::other("the state was not written")))?;
    guard.store().mark().map_err(io)?;
    remove_durably(&config.founding_seed)
        .map_err(|error| BirthError::Io(config.founding_seed.clone(), error))?;
    Ok(Born { guard, cluster, seat, key: public, origin: life.origin })
}

fn platform(config: &GuardConfig, member: &Member) -> Result<PlatformSeed, BirthError> {
    let seed = config::seed(&config.platform_seed)?
        .ok_or_else(|| BirthError::NoPlatform(config.platform_seed.clone()))?;
    let platform = PlatformSeed::new(*seed);
    if platform.public() == member.platform { Ok(platform) } else { Err(BirthError::Platform) }
}

fn first(seed: Zeroizing<[u8; 32]>, founding: &Committee, member: &Member) -> Result<Life, BirthError> {
    if PrivateKey::<Consensus>::from_seed(&seed).public() != member.key {
        return Err(BirthError::Founding);
    }
    let (committee, memory) = (founding.clone(), Memory::default());
    Ok(Life {
        seed,
        boot: None,
        committee,
        memory,
        votes: Vec::new(),
        blocks: Vec::new(),
        origin: Origin::Founding,
    })
}

fn resumed(kept: Kept, config: &GuardConfig, founding: &Committee) -> Result<Life, BirthError> {
    let Open { cluster, node, seat, boot, committee, memory } = kept.open;
    if (cluster, &node, seat) != (founding.cluster, &config.node, Seat(config.seat)) {
        return Err(BirthError::Foreign(config.state.clone()));
    }
    Ok(Life {
        seed: kept.seed,
        boot,
        committee,
        memory,
        votes: kept.votes,
        blocks: kept.blocks,
        origin: Origin::Resumed,
    })
}

/// A new key, with the word of the platform for it.
fn drawn(
    config: &GuardConfig,
    founding: &Committee,
    platform: &PlatformSeed,
    origin: Origin,
) -> Result<Life, BirthError> {
    let (seed, nonce) = (random()?, random()?);
    let boot = platform.quoting_key().sign(GuardBoot {
        cluster: founding.cluster,
        node: config.node.clone(),
        key: PrivateKey::from_seed(&seed).public(),
        nonce: Digest(*nonce),
    });
    let (committee, memory) = (founding.clone(), Memory::default());
    Ok(Life { seed, boot: Some(boot), committee, memory, votes: Vec::new(), blocks: Vec::new(), origin })
}

fn random() -> Result<Zeroizing<[u8; 32]>, BirthError> {
    let mut bytes = Zeroizing::new([0; 32]);
    match rand::rngs::SysRng.try_fill_bytes(bytes.as_mut_slice()) {
        Ok(()) => Ok(bytes),
        Err(error) => Err(BirthError::Randomness(error.to_string())),
    }
}

fn remove_durably(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    File::open(path.parent().unwrap_or_else(|| Path::new(".")))?.sync_all()
}
