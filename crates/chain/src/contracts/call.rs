//! The entry function of the contracts that does what a [`Call`] says. Arguments are canonical bytes in the order of the
//! function's parameters; digests travel as addresses.

use serde::Serialize;
use symphony_types::canonical;

use crate::transaction::{
    Approval, Call, PayoutBatch, ProposalKind, RecipientClass, Release, Tier, VoteResult,
};

/// One call of an entry function or a view function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The contracts' module.
    pub module: &'static str,
    /// The function.
    pub function: &'static str,
    /// Its arguments, without the signer. **Shape**: canonical bytes each.
    pub args: Vec<Vec<u8>>,
}

impl Entry {
    pub(super) const fn new(module: &'static str, function: &'static str, args: Vec<Vec<u8>>) -> Self {
        Self { module, function, args }
    }

    /// The entry function that does what the ledger's call does.
    pub fn of(call: &Call) -> Self {
        match call {
            Call::Transfer { to, amount } => Self::new("sym", "transfer", vec![bytes(to), bytes(amount)]),
            Call::EscrowLock { request, amount, policy_version, expires } => {
                let args = vec![bytes(request), bytes(amount), bytes(policy_version), bytes(expires)];
                Self::new("escrow", "lock", args)
            }
            Call::EscrowReclaim { lock } => Self::new("escrow", "reclaim", vec![bytes(lock)]),
            Call::StakeDeposit { tier, amount } => {
                Self::new("staking", "deposit", vec![bytes(&self::tier(*tier)), bytes(amount)])
            }
            Call::StakeWithdrawRequest { tier, amount } => {
                Self::new("staking", "request_withdrawal", vec![bytes(&self::tier(*tier)), bytes(amount)])
            }
            Call::StakeWithdraw { tier } => Self::new("staking", "withdraw", vec![bytes(&self::tier(*tier))]),
            Call::Slash { account, tier, amount, reference } => {
                let args = vec![bytes(account), bytes(&self::tier(*tier)), bytes(amount), bytes(reference)];
                Self::new("staking", "slash", args)
            }
            Call::Payout(batch) => Self::new("reward", "payout", payout(batch)),
            Call::ClaimDividend { vault, epoch, index, amount, path } => {
                let args = vec![bytes(vault), bytes(epoch), bytes(index), bytes(amount), bytes(path)];
                Self::new("reward", "claim", args)
            }
            Call::TreasuryRelease { release, approvals } => {
                Self::new("treasury", "release", releasing(release, approvals))
            }
            Call::RecordVote(result) => Self::new("governance", "record", recording(result)),
            Call::MintEpoch => Self::new("inflation", "mint_epoch", vec![]),
            Call::PayNodes { epoch, nodes } => {
                let args = vec![bytes(epoch), list(nodes, |node| node.0), list(nodes, |node| node.1)];
                Self::new("inflation", "pay_nodes", args)
            }
        }
    }
}

/// Lists of the batch's parts.
fn payout(batch: &PayoutBatch) -> Vec<Vec<u8>> {
    let PayoutBatch { settlements, subsidies, payees, dividends, carries, anchors, .. } = batch;
    vec![
        bytes(&batch.batch_id),
        bytes(&batch.epoch),
        list(settlements, |entry| entry.lock),
        list(settlements, |entry| entry.task),
        list(settlements, |entry| entry.charged),
        list(settlements, |entry| entry.refunded),
        list(subsidies, |entry| entry.task),
        list(subsidies, |entry| entry.amount),
        list(payees, |entry| entry.account),
        list(payees, |entry| class(entry.class)),
        list(payees, |entry| entry.amount),
        list(dividends, |entry| entry.vault.clone()),
        list(dividends, |entry| entry.root),
        list(dividends, |entry| entry.leaves),
        list(dividends, |entry| entry.total),
        list(carries, |entry| entry.vault.clone()),
        list(carries, |entry| entry.into),
        list(carries, |entry| entry.out_of),
        bytes(&batch.pool_return),
        bytes(&batch.treasury),
        list(anchors, |entry| entry.task),
        list(anchors, |entry| entry.settlement_root),
    ]
}

fn releasing(release: &Release, approvals: &[Approval]) -> Vec<Vec<u8>> {
    let keys: Vec<Vec<u8>> = approvals.iter().map(|approval| approval.key.as_bytes().to_vec()).collect();
    let signatures: Vec<Vec<u8>> = approvals.iter().map(|approval| approval.signature.0.to_vec()).collect();
    vec![
        bytes(&release.chain),
        bytes(&release.to),
        bytes(&release.amount),
        bytes(&release.proposal),
        bytes(&keys),
        bytes(&signatures),
    ]
}

fn recording(result: &VoteResult) -> Vec<Vec<u8>> {
    vec![
        bytes(&result.proposal),
        bytes(&kind(result.kind)),
        bytes(&result.payload),
        bytes(&result.votes_for),
        bytes(&result.votes_against),
        bytes(&result.eligible),
    ]
}

fn list<T, V: Serialize>(entries: &[T], field: impl Fn(&T) -> V) -> Vec<u8> {
    bytes(&entries.iter().map(field).collect::<Vec<V>>())
}

pub(super) fn bytes<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    canonical::to_bytes(value)
}

/// The number of a tier in the contracts.
pub const fn tier(tier: Tier) -> u8 {
    match tier {
        Tier::Master => 0,
        Tier::Enterprise => 1,
        Tier::Producer => 2,
    }
}

/// The number of a kind of proposals in the contracts: its place in canonical bytes.
pub const fn kind(kind: ProposalKind) -> u8 {
    match kind {
        ProposalKind::Release => 0,
        ProposalKind::Policy => 1,
        ProposalKind::Upgrade => 2,
        ProposalKind::Inflation => 3,
    }
}

/// The number of a class in the contracts: its place in canonical bytes.
pub const fn class(class: RecipientClass) -> u8 {
    match class {
        RecipientClass::Contributor => 0,
        RecipientClass::VaultOperator => 1,
        RecipientClass::Executor => 2,
        RecipientClass::Aggregator => 3,
        RecipientClass::Verifier => 4,
        RecipientClass::Treasury => 5,
    }
}
