//! JSON shapes of governance.

use serde::Serialize;
use symphony_wire::v1;
use utoipa::ToSchema;

use super::{ModuleEntry, amount, each, read, same};

fn hexes(values: Vec<Vec<u8>>) -> Vec<String> {
    values.into_iter().map(hex::encode).collect()
}

answers! {
    /// What governs.
    GovernanceView {
        /// Digest of what the network was founded with; it names the network.
        foundation: String = hex::encode;
        /// Entries of the log.
        sequence: u64 = same;
        /// Digest of the last entry.
        last: String = hex::encode;
        /// Root of the tree over all entries.
        root: String = hex::encode;
        policy_version: u32 = same;
        measurements: Vec<MeasurementEntry> = each;
        platforms: Vec<PlatformEntry> = each;
        /// Modules that tasks may name, revoked ones among them.
        modules: Vec<ModuleEntry> = each;
        /// Vaults that everything moves away from.
        moves: Vec<MoveEntry> = each;
        /// Enterprises with their Vaults.
        enterprises: Vec<EnterpriseEntry> = each;
        council: Vec<CouncilEntry> = each;
        /// Open ones and the last closed ones.
        proposals: Vec<ProposalEntry> = each;
        /// Digest of what is asked of trusted hardware; empty where nothing was said.
        hardware_rules: String = hex::encode;
        /// What nodes must stake, and what they have staked.
        stakes: Vec<StakeEntry> = each;
    }

    /// Enclave code.
    MeasurementEntry {
        measurement: String = hex::encode;
        /// `registered`, `active` or `revoked`.
        status: String = same;
        /// `any`, `slices` or `aggregation`.
        purpose: String = same;
        /// Digest of the recipe that it is built by.
        recipe: String = hex::encode;
        /// Of its status.
        since: Option<GovernanceMark> = |mark: Option<v1::GovernanceMark>| mark.map(GovernanceMark::from);
    }

    /// A machine that hosts enclaves.
    PlatformEntry {
        platform: String = hex::encode;
        /// `admitted` or `revoked`.
        status: String = same;
        since: Option<GovernanceMark> = |mark: Option<v1::GovernanceMark>| mark.map(GovernanceMark::from);
        /// `software`, or the kind of trusted hardware.
        class: String = same;
    }

    /// Everything that one Vault kept goes to another.
    MoveEntry {
        from: String = same;
        to: String = same;
        /// `moving` or `closed`.
        status: String = same;
        since: Option<GovernanceMark> = |mark: Option<v1::GovernanceMark>| mark.map(GovernanceMark::from);
        /// What both Vaults say at the end, canonical bytes; empty before.
        closing: String = hex::encode;
    }

    /// An enterprise with its Vault.
    EnterpriseEntry {
        vault_id: String = same;
        operator: String = same;
        /// `active`, `suspended`, `leaving` or `left`.
        status: String = same;
        since: Option<GovernanceMark> = |mark: Option<v1::GovernanceMark>| mark.map(GovernanceMark::from);
        /// The last epoch that one is held in that leaves.
        until_epoch: u64 = same;
    }

    /// The stake of one account in one tier.
    StakeEntry {
        /// Whose nodes it is for.
        actors: Vec<String> = same;
        /// `master` or `enterprise`.
        tier: String = same;
        account: String = hex::encode;
        /// What counts, in base units of SYM.
        deposit: String = amount;
        /// On its way out, and still to be slashed.
        cooling: String = amount;
        /// When that may be taken out.
        matures_ms: u64 = same;
        /// Asked for by the policy in force, for all nodes of the account.
        minimum: String = amount;
        /// `unasked`, `compliant`, `near_minimum` or `insufficient`.
        standing: String = same;
    }

    /// When something came to hold, and by which proposal; zeros for what the network was founded with.
    GovernanceMark {
        sequence: u64 = same;
        at_ms: u64 = same;
        proposal: String = hex::encode;
    }

    /// A member of the council.
    CouncilEntry {
        member: String = same;
        key: String = hex::encode;
        /// Of its last proposal.
        number: u64 = same;
    }

    /// A proposal of the council.
    ProposalEntry {
        proposal_id: String = hex::encode;
        proposer: String = same;
        number: u64 = same;
        /// `register_measurement`, `activate_measurement`, `revoke_measurement`, `admit_platform`, `revoke_platform`,
        /// `set_hardware_rules`, `approve_module`, `revoke_module`, `move_vault`, `adopt_policy`, `suspend_node`,
        /// `reinstate_node`, `admit_enterprise` or `release_enterprise`.
        change: String = same;
        /// The measurement, the platform, the rules, the module, the policy, the enterprise, the Vault or the two Vaults.
        subject: String = hex::encode;
        summary: String = same;
        /// `open`, `accepted`, `executed`, `rejected`, `withdrawn`, `expired` or `amended`.
        state: String = same;
        /// Why it was rejected, where it was not the votes.
        code: String = same;
        vote_by_ms: u64 = same;
        /// Of an accepted one.
        execute_at_ms: u64 = same;
        /// Of an executed one.
        sequence: u64 = same;
        approvals: Vec<String> = same;
        rejections: Vec<String> = same;
        /// The proposal that it takes the place of; empty when none.
        amends: String = hex::encode;
        /// Of an amended one, the proposal that took its place.
        amended_by: String = hex::encode;
    }

    /// Entries of the governance log.
    GovernanceLog {
        /// Canonical bytes each.
        entries: Vec<String> = hexes;
        /// Endorsed head of the whole log, canonical bytes.
        head: String = hex::encode;
    }

    /// What shows that an entry is in the log.
    GovernanceProof {
        /// Canonical bytes.
        entry: String = hex::encode;
        /// Audit path from the bottom up.
        inclusion: Vec<String> = hexes;
        /// That the log goes on from the earlier one.
        consistency: Vec<String> = hexes;
        /// Endorsed head, canonical bytes.
        head: String = hex::encode;
    }
}
