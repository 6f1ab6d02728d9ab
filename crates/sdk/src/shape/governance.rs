//! JSON shapes of governance; see [`super`].

use serde::{Deserialize, Serialize};
use symphony_types::amount::Sym;

use super::base_units;
use super::compute::ModuleEntry;

shapes! {
    /// What governs.
    GovernanceView {
        foundation: String,
        sequence: u64,
        last: String,
        root: String,
        policy_version: u32,
        measurements: Vec<MeasurementEntry>,
        platforms: Vec<PlatformEntry>,
        #[serde(default)]
        modules: Vec<ModuleEntry>,
        #[serde(default)]
        moves: Vec<MoveEntry>,
        #[serde(default)]
        enterprises: Vec<EnterpriseEntry>,
        council: Vec<CouncilEntry>,
        proposals: Vec<ProposalEntry>,
        hardware_rules: String,
        #[serde(default)]
        stakes: Vec<StakeEntry>,
    }

    /// Enclave code.
    MeasurementEntry {
        measurement: String,
        status: String,
        purpose: String,
        recipe: String,
        since: Option<GovernanceMark>,
    }

    /// A machine that hosts enclaves.
    PlatformEntry {
        platform: String,
        status: String,
        since: Option<GovernanceMark>,
        class: String,
    }

    /// Everything that one Vault kept goes to another.
    MoveEntry {
        from: String,
        to: String,
        status: String,
        since: Option<GovernanceMark>,
        closing: String,
    }

    /// An enterprise with its Vault.
    EnterpriseEntry {
        vault_id: String,
        operator: String,
        status: String,
        since: Option<GovernanceMark>,
        until_epoch: u64,
    }

    /// The stake of one account in one tier.
    StakeEntry {
        actors: Vec<String>,
        tier: String,
        account: String,
        #[serde(with = "base_units")]
        deposit: Sym,
        #[serde(with = "base_units")]
        cooling: Sym,
        matures_ms: u64,
        #[serde(with = "base_units")]
        minimum: Sym,
        standing: String,
    }

    /// When something came to hold, and by which proposal.
    GovernanceMark {
        sequence: u64,
        at_ms: u64,
        proposal: String,
    }

    /// A member of the council.
    CouncilEntry {
        member: String,
        key: String,
        number: u64,
    }

    /// A proposal of the council.
    ProposalEntry {
        proposal_id: String,
        proposer: String,
        number: u64,
        change: String,
        subject: String,
        summary: String,
        state: String,
        code: String,
        vote_by_ms: u64,
        execute_at_ms: u64,
        sequence: u64,
        approvals: Vec<String>,
        rejections: Vec<String>,
        amends: String,
        amended_by: String,
    }

    /// Entries of the log, in hexadecimal digits.
    GovernanceLog {
        entries: Vec<String>,
        head: String,
    }

    /// What shows that an entry is in the log.
    GovernanceProof {
        entry: String,
        inclusion: Vec<String>,
        consistency: Vec<String>,
        head: String,
    }
}
