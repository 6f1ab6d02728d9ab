//! The rules of the VoteGuard: what the holder of a voting key signs, so that a master that lies cannot split the
//! chain (R007, R198, R205).
//!
//! Tendermint's voting rules, enforced where the host cannot reach: strictly forward in height, round and step, one
//! block a slot; a precommit needs a polka of its own round and locks; a prevote against the lock needs a polka of
//! a round since the lock. Any two quorums then meet in a guard that kept them.

use serde::{Deserialize, Serialize};
use symphony_types::digest::Digest;
use symphony_types::key::{Consensus, PrivateKey, PublicKey, Signature, Signed, SoftwarePlatform};

use super::block::BLOCK_BYTES_MAX;
use super::committee::{Ballot, Certificate, Committee, GuardBoot, SEATS_MAX, Seat, Step};

/// What a host asks its guard to sign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// The height.
    pub height: u64,
    /// The round.
    pub round: u32,
    /// The step.
    pub step: Step,
    /// The block; `None` for a vote against all.
    pub block: Option<Digest>,
    /// The prevotes that justify it, where the rules want some.
    pub polka: Option<Certificate>,
}

/// Why a guard does not sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// The slot lies before the last one signed.
    #[error("the guard has signed a later slot")]
    Backwards,
    /// The slot was signed for another block.
    #[error("the guard has signed another block in this slot")]
    Equivocation,
    /// A precommit without the polka of its round.
    #[error("a precommit needs the polka of its round")]
    NoPolka,
    /// A prevote against the lock without a polka since.
    #[error("a prevote against the lock needs a polka since the lock")]
    Locked,
    /// The polka is not signed by a quorum.
    #[error("the polka does not hold")]
    BadPolka,
    /// The key has no vote at this height.
    #[error("the key has no vote at this height")]
    NoVote,
    /// The committee is not one that this guard believes.
    #[error("the committee does not descend from the founding one")]
    BadCommittee,
    /// A proposal of nothing.
    #[error("a proposal names a block")]
    NoBlock,
    /// A block to keep is over its limit.
    #[error("the block to keep is too large")]
    TooLarge,
    /// The guard's process does not answer, or could not keep its state.
    #[error("the guard does not answer")]
    Unreachable,
}

/// Which rules a guard enforces. Anything but [`Strictness::Full`] exists to show that it is not enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Strictness {
    /// All of them.
    Full,
    /// One block a slot only: a negative control.
    NoDoubleSigning,
    /// Signs everything: a negative control.
    Blind,
}

/// A lock: the last block precommitted at a height.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// The round of the precommit.
    pub round: u32,
    /// The block.
    pub block: Digest,
}

/// The memory of a guard: what it signed at the height where it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// The height.
    pub height: u64,
    /// Signed ballots of that height, ascending by round and step.
    pub signed: Vec<(u32, Step, Option<Digest>, Signature)>,
    /// The lock at that height.
    pub lock: Option<Lock>,
}

/// Where an ask stands to what was signed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Course {
    /// Behind all of it.
    Onward,
    /// It was signed.
    Repeated,
}

/// Ballots kept of one height: enough for every round that a host may have to show again.
const SIGNED_LEN_MAX: usize = 96;

/// The rules with their memory. Pure: the key is used by who holds it.
#[derive(Clone, Debug)]
pub struct Rules {
    seat: Seat,
    founding: Committee,
    committee: Committee,
    strictness: Strictness,
    memory: Memory,
}

impl Rules {
    /// Rules for a seat of a founded cluster, with what was signed before.
    pub fn new(seat: Seat, founding: Committee, strictness: Strictness, memory: Memory) -> Self {
        Self { seat, committee: founding.clone(), founding, strictness, memory }
    }

    /// The committee in force.
    pub fn committee(&self) -> &Committee {
        &self.committee
    }

    /// What was signed at the last height.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// What to sign for an ask. The caller signs, then calls [`Rules::record`] before the signature leaves.
    ///
    /// **Errors**: the rule that forbids it. What was signed is allowed again, whatever the host shows with it.
    pub fn judge(&self, key: &PublicKey<Consensus>, ask: &Ask) -> Result<Ballot, Refusal> {
        let ballot = Ballot {
            cluster: self.committee.cluster,
            height: ask.height,
            round: ask.round,
            step: ask.step,
            block: ask.block,
        };
        if self.strictness == Strictness::Blind {
            return Ok(ballot);
        }
        let member = self.committee.member(self.seat).ok_or(Refusal::NoVote)?;
        if ask.height < member.since || member.key != *key {
            return Err(Refusal::NoVote);
        }
        if ask.step == Step::Propose && ask.block.is_none() {
            return Err(Refusal::NoBlock);
        }
        if self.forward(ask)? == Course::Onward && self.strictness == Strictness::Full {
            self.justified(ask)?;
        }
        Ok(ballot)
    }

    /// Strictly forward, or the very same again.
    fn forward(&self, ask: &Ask) -> Result<Course, Refusal> {
        if ask.height != self.memory.height {
            return if ask.height > self.memory.height {
                Ok(Course::Onward)
            } else {
                Err(Refusal::Backwards)
            };
        }
        let slot = (ask.round, ask.step);
        match self.memory.signed.iter().find(|(round, step, ..)| (*round, *step) == slot) {
            Some((_, _, block, _)) if *block == ask.block => return Ok(Course::Repeated),
            Some(_) => return Err(Refusal::Equivocation),
            None => {}
        }
        match self.memory.signed.last() {
            Some((round, step, ..)) if (*round, *step) > slot => Err(Refusal::Backwards),
            _ => Ok(Course::Onward),
        }
    }

    /// The lock at a height.
    fn lock(&self, height: u64) -> Option<Lock> {
        self.memory.lock.filter(|_| self.memory.height == height)
    }

    /// Tendermint's lock rules.
    fn justified(&self, ask: &Ask) -> Result<(), Refusal> {
        let Some(block) = ask.block else { return Ok(()) };
        let lock = self.lock(ask.height);
        let polka = ask.polka.as_ref();
        match ask.step {
            Step::Propose => Ok(()),
            Step::Precommit => {
                let polka = polka.ok_or(Refusal::NoPolka)?;
                if polka.round == ask.round { self.holds(polka, ask, block) } else { Err(Refusal::NoPolka) }
            }
            Step::Prevote => match lock {
                Some(lock) if lock.block != block => {
                    let polka = polka.ok_or(Refusal::Locked)?;
                    if polka.round < lock.round || polka.round >= ask.round {
                        return Err(Refusal::Locked);
                    }
                    self.holds(polka, ask, block)
                }
                Some(_) | None => Ok(()),
            },
        }
    }

    fn holds(&self, polka: &Certificate, ask: &Ask, block: Digest) -> Result<(), Refusal> {
        let fits = polka.step == Step::Prevote && polka.height == ask.height && polka.block == block;
        if fits && self.committee.certifies(polka) { Ok(()) } else { Err(Refusal::BadPolka) }
    }

    /// Remembers a signed ballot.
    pub fn record(&mut self, ask: &Ask, signature: Signature) {
        if ask.height != self.memory.height {
            self.memory = Memory { height: ask.height, ..Memory::default() };
        }
        let slot = (ask.round, ask.step);
        if self.memory.signed.iter().any(|(round, step, ..)| (*round, *step) == slot) {
            return;
        }
        if self.memory.signed.len() == SIGNED_LEN_MAX {
            self.memory.signed.remove(0);
        }
        self.memory.signed.push((ask.round, ask.step, ask.block, signature));
        if let (Step::Precommit, Some(block)) = (ask.step, ask.block) {
            self.memory.lock = Some(Lock { round: ask.round, block });
        }
    }

    /// Takes the committee of the next height.
    ///
    /// Every key in it must be attested for its seat, and no seat goes back to an older key. That is enough: a key
    /// that was never admitted, or is no longer, has signed nothing at the heights of this one.
    ///
    /// **Errors**: [`Refusal::BadCommittee`].
    pub fn install(&mut self, committee: &Committee) -> Result<(), Refusal> {
        if !committee.descends_from(&self.founding) {
            return Err(Refusal::BadCommittee);
        }
        let onward = |next: &Committee, now: &Committee| {
            next.members
                .iter()
                .zip(&now.members)
                .all(|(next, now)| next.since > now.since || (next.since == now.since && next.key == now.key))
        };
        if !onward(committee, &self.committee) {
            // A host whose disk was lost stands before keys that this guard knows: it goes on, the guard stays.
            return if onward(&self.committee, committee) { Ok(()) } else { Err(Refusal::BadCommittee) };
        }
        self.committee = committee.clone();
        Ok(())
    }
}

/// The key that a guard votes with, and what it says of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The seat.
    pub seat: Seat,
    /// The key.
    pub key: PublicKey<Consensus>,
    /// What admits the key to the seat; `None` for the key of the founding.
    pub boot: Option<Signed<GuardBoot, SoftwarePlatform>>,
}

/// A block on which a guard is about to lock, with its polka.
///
/// A locked guard signs nothing else without a newer polka. If all who have the block lost it, nobody could ever
/// decide that height: so it must last as long as the lock does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The prevotes that justify the lock.
    pub polka: Certificate,
    /// Canonical bytes of the block.
    #[serde(with = "serde_bytes")]
    pub block: Vec<u8>,
}

/// The holder of a voting key, wherever it runs.
pub trait VoteGuard: Send {
    /// Signs what the rules allow. **Errors**: [`Refusal`].
    fn sign(&mut self, ask: &Ask) -> Result<Signature, Refusal>;

    /// Takes the committee of the next height; see [`Rules::install`]. **Errors**: [`Refusal`].
    fn install(&mut self, committee: &Committee) -> Result<(), Refusal>;

    /// The key that it votes with now. **Errors**: [`Refusal::Unreachable`].
    fn identity(&mut self) -> Result<Identity, Refusal>;

    /// What it signed at its last height: a restarted host shows it to the others again. **Errors**: [`Refusal`].
    fn memory(&mut self) -> Result<Memory, Refusal>;

    /// Keeps a block, as durable as what it signs, before it signs a precommit for it. **Errors**: [`Refusal`];
    /// then the precommit is not cast.
    fn keep(&mut self, kept: &Kept) -> Result<(), Refusal>;

    /// Blocks that it keeps of its last height. **Errors**: [`Refusal`].
    fn kept(&mut self) -> Result<Vec<Kept>, Refusal>;
}

/// A guard in the process of its caller, which forgets everything when it ends: for tests and simulations, and the
/// inside of the guard's own process.
pub struct LocalGuard {
    key: PrivateKey<Consensus>,
    identity: Identity,
    rules: Rules,
    /// Of one height: the block of the lock, and one on its way to be locked.
    kept: Vec<Kept>,
}

impl LocalGuard {
    /// A guard with a key and rules. `boot` is what admits the key, if it is not the founding one.
    pub fn new(
        key: PrivateKey<Consensus>,
        boot: Option<Signed<GuardBoot, SoftwarePlatform>>,
        rules: Rules,
    ) -> Self {
        let identity = Identity { seat: rules.seat, key: key.public(), boot };
        Self { key, identity, rules, kept: Vec::new() }
    }

    /// The rules with their memory.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }
}

impl VoteGuard for LocalGuard {
    fn sign(&mut self, ask: &Ask) -> Result<Signature, Refusal> {
        let ballot = self.rules.judge(&self.identity.key, ask)?;
        let signature = self.key.sign(ballot).signature;
        self.rules.record(ask, signature);
        Ok(signature)
    }

    fn install(&mut self, committee: &Committee) -> Result<(), Refusal> {
        self.rules.install(committee)
    }

    fn identity(&mut self) -> Result<Identity, Refusal> {
        Ok(self.identity.clone())
    }

    fn memory(&mut self) -> Result<Memory, Refusal> {
        Ok(self.rules.memory.clone())
    }

    fn keep(&mut self, kept: &Kept) -> Result<(), Refusal> {
        if kept.block.len() > BLOCK_BYTES_MAX || kept.polka.signatures.len() > SEATS_MAX {
            return Err(Refusal::TooLarge);
        }
        let height = kept.polka.height;
        if height < self.rules.memory.height {
            return Err(Refusal::Backwards);
        }
        let locked =
            self.rules.lock(height).map(|lock| lock.block).filter(|block| *block != kept.polka.block);
        self.kept.retain(|other| other.polka.height == height && Some(other.polka.block) == locked);
        self.kept.push(kept.clone());
        Ok(())
    }

    fn kept(&mut self) -> Result<Vec<Kept>, Refusal> {
        Ok(self.kept.clone())
    }
}
