//! The record of a penalty (R141, R143): whose result was wrong, by which evidence, who answers for it, and what it costs.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use symphony_types::amount::Sym;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{AccountId, ActorId, TaskId, VaultId};
use symphony_types::key::Document;
use symphony_types::table::Value;

/// What is wrong with a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Fault {
    /// What was computed does not support it.
    InvalidResult,
    /// An attestation is missing, does not verify, or is of code or a machine that might not serve.
    InvalidAttestation,
    /// Consent or budget did not allow what was done.
    ConsentOrBudget,
}

impl Fault {
    /// The class of what a finding says is wrong.
    pub fn of(code: Code) -> Self {
        let attestation =
            [Code::AttestationMissing, Code::AttestationFailed, Code::PlatformRefused, Code::CodeInactive];
        if attestation.contains(&code) {
            Self::InvalidAttestation
        } else if code.as_str().starts_with("VLT-") {
            Self::ConsentOrBudget
        } else {
            Self::InvalidResult
        }
    }

    /// The word in views.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidResult => "invalid_result",
            Self::InvalidAttestation => "invalid_attestation",
            Self::ConsentOrBudget => "consent_or_budget",
        }
    }
}

/// In which capacity somebody answers (R141).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Capacity {
    /// Its enclave combined the Vaults' parts.
    Aggregator,
    /// It said that the evidence supports the result.
    Verifier,
    /// Its Vault computed a part of it.
    Executor(VaultId),
}

impl Capacity {
    /// The word in views.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Aggregator => "aggregator",
            Self::Verifier => "verifier",
            Self::Executor(_) => "executor",
        }
    }
}

/// One who answers for a wrong result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Liability {
    /// As what.
    pub capacity: Capacity,
    /// Who.
    pub actor: ActorId,
    /// Whose stake is taken.
    pub account: AccountId,
    /// How much of it at most; zero where no signature convicts.
    pub amount: Sym,
}

/// A result was wrong: an explicit record, with everything that it rests on (R140, R143).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Penalty {
    /// The task.
    pub task: TaskId,
    /// Which of its challenges, from one.
    pub challenge: u32,
    /// Digest of the filing that was confirmed.
    pub filing: Digest,
    /// Digest of the finding that confirmed it.
    pub finding: Digest,
    /// Digest of the order.
    pub envelope: Digest,
    /// Digest of the aggregate that was wrong.
    pub result: Digest,
    /// Digest of the verdict, if the verifier had accepted it.
    pub verdict: Option<Digest>,
    /// What is wrong.
    pub code: Code,
    /// The class of it.
    pub fault: Fault,
    /// The fee that is withheld from all who would have shared it: at most this, all that was locked.
    pub withheld: Sym,
    /// Who answers.
    pub liable: Vec<Liability>,
}

impl Document for Penalty {
    const TAG: &'static str = "symphony/penalty/v1";
}

/// An order to the staking contract: take at most so much of an account's stake as a node (R143).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slash {
    /// Whose stake.
    pub account: AccountId,
    /// How much at most.
    pub amount: Sym,
    /// What it is for; the contract executes one reference once.
    pub reference: Digest,
}

impl Value for Penalty {}

impl Value for Slash {}

impl Penalty {
    /// What the staking contract is told.
    pub fn slashes(&self) -> impl Iterator<Item = Slash> + '_ {
        let convicted = self.liable.iter().filter(|liable| liable.amount > Sym::ZERO);
        convicted.map(|liable| Slash {
            account: liable.account,
            amount: liable.amount,
            reference: Digest::of("symphony/slash/v1", &(self.digest(), &liable.actor)),
        })
    }
}
