//! JSON shapes of challenges.

use serde::{Deserialize, Serialize};
use symphony_types::amount::Sym;

use super::base_units;

shapes! {
    /// What is disputed, and why: a round of a training, or the evidence.
    ChallengeFiling {
        #[serde(skip_serializing_if = "Option::is_none")]
        round: Option<u32>,
        grounds: String,
        exhibits: Vec<String>,
        result: String,
        bond_lock_ref: String,
    }

    /// The challenges of a task.
    ChallengeList {
        task_id: String,
        task_state: String,
        challenges: Vec<Challenge>,
        /// Digest of what may be disputed; empty when nothing may.
        result: String,
        /// What a filing locks.
        #[serde(with = "base_units")]
        bond_base: Sym,
        /// How long that lock must still last when it is filed.
        bond_ms: u64,
        policy_version: u32,
        penalties: Vec<Penalty>,
    }

    /// A result was wrong.
    Penalty {
        challenge: u32,
        record: String,
        fault: String,
        code: String,
        #[serde(with = "base_units")]
        withheld_base: Sym,
        liable: Vec<Liability>,
    }

    /// One who answers for it.
    Liability {
        capacity: String,
        vault_id: String,
        actor: String,
        #[serde(with = "base_units")]
        amount_base: Sym,
    }

    /// One dispute, with everything that was filed and found.
    Challenge {
        number: u32,
        /// Zero where the evidence is disputed.
        round: u32,
        state: String,
        filings: Vec<ChallengeEntry>,
        steps: Vec<ChallengeStep>,
    }

    /// One filing, and how it ended.
    ChallengeEntry {
        challenger: String,
        grounds: String,
        exhibits: Vec<String>,
        /// Empty while it is reviewed.
        ruling: String,
        /// Of a confirmed one.
        code: String,
        /// `held`, `returned` or `lost`.
        bond: String,
        #[serde(with = "base_units")]
        bond_base: Sym,
        bond_lock_ref: String,
    }

    /// A state, and when it was come to.
    ChallengeStep {
        state: String,
        at_ms: u64,
    }
}
