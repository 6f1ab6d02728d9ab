//! What a settlement is made of: fee, shares, the final context, and the dividends of an epoch.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use symphony_types::amount::Sym;
use symphony_types::digest::Digest;
use symphony_types::id::{AccountId, ActorId, EpochId, LockRef, TaskId, VaultId};
use symphony_types::key::{Document, Signed, Vault};
use symphony_types::time::OrderedMillis;

use super::Versions;

/// The fee of a task, term by term (R152).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fee {
    /// Per task.
    pub base: Sym,
    /// Per accepted Vault; of a training, per Vault and round.
    pub vaults: Sym,
    /// Per record returned; of a computation, per record read.
    pub records: Sym,
    /// Per round of a training.
    pub aggregation: Sym,
    /// Per fuel that a computation sets aside.
    pub fuel: Sym,
    /// Per epsilon consumed.
    pub epsilon: Sym,
    /// The sum.
    pub total: Sym,
}

/// Classes of recipients of a fee (R157, R159, D3, D4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RecipientClass {
    /// Data producers of one Vault, through its dividend tree.
    Contributors,
    /// The operator of one Vault.
    VaultOperator,
    /// The executor of one slice.
    Executor,
    /// The aggregator.
    Aggregator,
    /// The verifier.
    Verifier,
    /// The protocol treasury.
    Treasury,
}

/// One recipient's part of a charged fee.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Share {
    /// In which capacity.
    pub class: RecipientClass,
    /// The Vault that it was earned in, where there is one.
    pub vault: Option<VaultId>,
    /// Who earns it; for contributors the Vault's operator stands for the tree.
    pub recipient: ActorId,
    /// Where it is paid; for contributors nowhere, producers claim.
    pub account: AccountId,
    /// How much.
    pub amount: Sym,
}

/// Everything that the settlement of one task rests on; finalized once and never changed (R147, R148).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettlementContext {
    /// The task.
    pub task: TaskId,
    /// Versions of its admission.
    pub versions: Versions,
    /// Epoch that it is settled in.
    pub epoch: EpochId,
    /// Digest of the envelope.
    pub envelope: Digest,
    /// Accepted slices' header digests, by Vault in ascending order.
    pub slices: Vec<(VaultId, Digest)>,
    /// Digest of the aggregate header.
    pub aggregate: Digest,
    /// Merkle root over the rounds of a training before its last.
    pub rounds: Digest,
    /// Digest of the verdict.
    pub verdict: Digest,
    /// The escrow lock.
    pub lock: LockRef,
    /// What was locked.
    pub locked: Sym,
    /// What was charged, term by term.
    pub fee: Fee,
    /// What goes back to the submitter.
    pub refunded: Sym,
    /// Who earns what; sums to the fee (R158).
    pub shares: Vec<Share>,
    /// Whether any enclave that served the task was of class `software` (R130).
    pub software: bool,
    /// When it became final.
    pub finalized_at: OrderedMillis,
}

/// A Vault's dividend statement of one epoch (D7).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DividendStatement {
    /// The Vault.
    pub vault: VaultId,
    /// The epoch.
    pub epoch: EpochId,
    /// Contributor shares of the epoch plus what was carried in.
    pub allotted: Sym,
    /// Root of the Merkle tree of payees; the root of the empty tree when everything is carried.
    pub root: Digest,
    /// Leaves of the tree.
    pub payees: u64,
    /// What producers may claim.
    pub total: Sym,
    /// What unstaked producers forgo, back to the epoch pool (R161).
    pub pool_return: Sym,
    /// What waits for the next epoch because the tree would name too few people.
    pub carried: Sym,
}

impl Document for DividendStatement {
    const TAG: &'static str = "symphony/dividend-statement/v1";
}

/// A dividend statement that a Vault signed.
pub type SignedDividends = Signed<DividendStatement, Vault>;

/// The request to a Vault to close its dividends of one epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DividendRequest {
    /// The Vault.
    pub vault: VaultId,
    /// The epoch.
    pub epoch: EpochId,
    /// Contributor shares of this Vault, by task.
    pub shares: Vec<(TaskId, Sym)>,
    /// What the Vault's last statement carried over.
    pub carried_in: Sym,
    /// Fewer payees than this are not published (D7).
    pub payees_min: u32,
    /// Producers who are staked, in ascending order; public on the chain.
    pub staked: Vec<AccountId>,
}

impl Document for DividendRequest {
    const TAG: &'static str = "symphony/dividend-request/v1";
}

impl DividendRequest {
    /// What makes a repeated request the same one. Who is staked is as it was when the epoch was first closed: a master
    /// that takes over may see the chain a moment later (R196).
    pub fn question(&self) -> Digest {
        Self { staked: Vec::new(), ..self.clone() }.digest()
    }
}
