//! JSON shapes of challenges.

use serde::{Deserialize, Serialize};
use symphony_wire::v1;
use utoipa::ToSchema;

use super::{amount, each, read, same};
use crate::problem::Problem;
use crate::rest::request::hex32;

/// What is disputed, and why.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChallengeFiling {
    /// Of a training: the round that is computed again, from 1. Without it the evidence is disputed.
    #[serde(default)]
    round: Option<u32>,
    /// Why, in 1 to 1000 characters.
    grounds: String,
    /// SHA-256 of each exhibit, 64 hexadecimal digits; at most 16. The same dispute is opened again with a new one only.
    #[serde(default)]
    exhibits: Vec<String>,
    /// What is disputed, as the list of the task's challenges names it; 64 hexadecimal digits.
    result: String,
    /// The lock of the bond, which the caller's account has made for this very filing.
    #[serde(default)]
    bond_lock_ref: Option<String>,
}

impl ChallengeFiling {
    /// The message. **Errors**: `ADM-0001`.
    pub(crate) fn into_message(self, task_id: Vec<u8>) -> Result<v1::ChallengeFiling, Problem> {
        let exhibits = self.exhibits.iter().map(|exhibit| hex32("an exhibit", exhibit));
        if self.round == Some(0) {
            return Err(Problem::malformed("a round is a number from 1"));
        }
        Ok(v1::ChallengeFiling {
            task_id,
            round: self.round.unwrap_or(0),
            grounds: self.grounds,
            exhibits: exhibits.collect::<Result<_, _>>()?,
            result: hex32("result", &self.result)?,
            bond_lock_ref: match self.bond_lock_ref {
                Some(lock) => hex32("bond_lock_ref", &lock)?,
                None => Vec::new(),
            },
        })
    }
}

answers! {
    /// The challenges of a task.
    ChallengeList {
        task_id: String = hex::encode;
        /// The state of the task.
        task_state: String = same;
        challenges: Vec<Challenge> = each;
        /// Digest of what may be disputed; empty when nothing may.
        result: String = hex::encode;
        /// What a filing locks, exactly, in base units of SYM.
        bond_base: String = amount;
        /// How long that lock must still last when it is filed, in milliseconds.
        bond_ms: u64 = same;
        /// The policy that says so: the task's.
        policy_version: u32 = same;
        penalties: Vec<Penalty> = each;
    }

    /// A result was wrong. All documents that it rests on are named in the record.
    Penalty {
        /// The number of the challenge that was confirmed.
        challenge: u32 = same;
        /// Digest of the record.
        record: String = hex::encode;
        /// `invalid_result`, `invalid_attestation` or `consent_or_budget`.
        fault: String = same;
        /// What is wrong, by the catalogue.
        code: String = same;
        /// The lock that nobody shares, in base units of SYM.
        withheld_base: String = amount;
        liable: Vec<Liability> = each;
    }

    /// One who answers for it.
    Liability {
        /// `aggregator`, `verifier` or `executor`.
        capacity: String = same;
        /// Of an executor.
        vault_id: String = same;
        actor: String = same;
        /// Taken of its stake at most, in base units of SYM; 0 where it is named and not convicted.
        amount_base: String = amount;
    }

    /// One dispute, with everything that was filed and found.
    Challenge {
        /// From 1.
        number: u32 = same;
        /// The disputed round of a training; 0 where the evidence is disputed.
        round: u32 = same;
        /// `opened`, `reviewing`, `confirmed`, `not_confirmed`, `approved`, `closed_without_penalty`, `penalty_recorded` or
        /// `reopened`.
        state: String = same;
        filings: Vec<ChallengeEntry> = each;
        /// Every state that it came to, in order.
        steps: Vec<ChallengeStep> = each;
    }

    /// One filing, and how it ended.
    ChallengeEntry {
        challenger: String = same;
        grounds: String = same;
        exhibits: Vec<String> = |all: Vec<Vec<u8>>| all.into_iter().map(hex::encode).collect();
        /// Empty while it is reviewed; `confirmed`, `supported`, `repeated`, `not_repeatable` or `out_of_time`.
        ruling: String = same;
        /// Of a confirmed one: what is wrong, by the catalogue.
        code: String = same;
        /// `held` under a review, `returned` or `lost`: the payout of the epoch does it.
        bond: String = same;
        /// In base units of SYM.
        bond_base: String = amount;
        bond_lock_ref: String = hex::encode;
    }

    /// A state, and when it was come to.
    ChallengeStep {
        state: String = same;
        at_ms: u64 = same;
    }
}
