//! JSON shapes of challenges.

use serde::{Deserialize, Serialize};

shapes! {
    /// What is disputed, and why: a round of a training, or the evidence.
    ChallengeFiling {
        #[serde(skip_serializing_if = "Option::is_none")]
        round: Option<u32>,
        grounds: String,
        exhibits: Vec<String>,
    }

    /// The challenges of a task.
    ChallengeList {
        task_id: String,
        task_state: String,
        challenges: Vec<Challenge>,
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
    }

    /// A state, and when it was come to.
    ChallengeStep {
        state: String,
        at_ms: u64,
    }
}
