//! The documents of a challenge (R136-R142): who disputes what on which grounds, and what the masters found.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use symphony_types::amount::Sym;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{ActorId, LockRef, TaskId, VaultId};
use symphony_types::key::{Document, Endorsed, Master, Signed, Vault};

use super::Decision;
use super::training::Round;

/// What of a result is disputed, and thereby how it is looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Dispute {
    /// What the nodes said does not support the result. Every master judges the evidence itself, whatever the verifier said.
    Evidence,
    /// A round of a training, or the run of a module as the first one, has another outcome when it is computed again, with an
    /// aggregator of another master; a module on the second engine.
    Round(u32),
}

/// Somebody disputes a result. Exhibits are named by hash: what they show stays with who shows it (R140).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filing {
    /// The task.
    pub task: TaskId,
    /// Who disputes.
    pub challenger: ActorId,
    /// What.
    pub dispute: Dispute,
    /// Digest of the aggregate that is disputed: of the last one of a training (R140).
    pub result: Digest,
    /// Why, in words: at most [`GROUNDS_CHARS_MAX`](symphony_types::limits::GROUNDS_CHARS_MAX) characters.
    pub grounds: String,
    /// SHA-256 of each exhibit, in ascending order: at most
    /// [`EXHIBITS_MAX`](symphony_types::limits::EXHIBITS_MAX).
    pub exhibits: Vec<Digest>,
}

impl Document for Filing {
    const TAG: &'static str = "symphony/challenge-filing/v2";
}

impl Filing {
    /// What the lock of its bond names: all of it, so that no node can file something else with that lock.
    pub fn lock_purpose(&self) -> Digest {
        self.digest()
    }

    /// The name under which the chain resolves its bond, as it does a task's lock.
    pub fn bond(&self) -> TaskId {
        TaskId(Digest::of("symphony/challenge-bond/v1", &self.digest()))
    }
}

/// What a filing has locked until it is ruled on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bond {
    /// The lock, on the challenger's account.
    pub lock: LockRef,
    /// All of it.
    pub amount: Sym,
}

/// What became of computing a disputed round again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::large_enum_variant, reason = "one per finding")]
pub enum Replay {
    /// Nothing is computed again: the evidence is disputed, or does not hold.
    None,
    /// The round as it was computed again.
    Computed(Round),
    /// A Vault says that it cannot compute it again.
    Refused(SignedReplayRefusal),
}

/// A Vault says that it cannot compute a round again: it no longer has the same people or records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayRefusal {
    /// The task.
    pub task: TaskId,
    /// The round.
    pub round: u32,
    /// The Vault.
    pub vault: VaultId,
}

impl Document for ReplayRefusal {
    const TAG: &'static str = "symphony/replay-refusal/v1";
}

/// A refusal that a Vault signed.
pub type SignedReplayRefusal = Signed<ReplayRefusal, Vault>;

/// What the masters found when they looked at a disputed result again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The task.
    pub task: TaskId,
    /// Which of the task's challenges, from one.
    pub challenge: u32,
    /// Which of its filings, from one: a finding answers the last.
    pub filing: u32,
    /// What the evidence supports, as each master that endorses this has judged it.
    pub decision: Decision,
    /// What became of computing it again.
    pub replay: Replay,
}

impl Document for Finding {
    const TAG: &'static str = "symphony/challenge-finding/v1";
}

/// A finding that masters endorse: each has judged the evidence, and appraised what was computed again.
pub type EndorsedFinding = Endorsed<Finding, Master>;

/// How a challenge ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ruling {
    /// The result is wrong, and why.
    Confirmed(Code),
    /// The result stands.
    NotConfirmed(Dismissal),
}

impl Ruling {
    /// Whether the bond is lost: the masters looked again, and the result stands. Where nobody could tell, it goes back.
    pub const fn costs_bond(self) -> bool {
        matches!(self, Self::NotConfirmed(Dismissal::Supported | Dismissal::Repeated))
    }
}

/// Why a challenge is not confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Dismissal {
    /// The evidence supports the result.
    Supported,
    /// Computed again, the outcome is the same.
    Repeated,
    /// It cannot be computed again on the same records: people have left, or records were erased.
    NotRepeatable,
    /// The masters came to no finding in time; the task ends with it.
    OutOfTime,
}

impl Dismissal {
    /// The word in views.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Supported => "supported",
            Self::Repeated => "repeated",
            Self::NotRepeatable => "not_repeatable",
            Self::OutOfTime => "out_of_time",
        }
    }
}
