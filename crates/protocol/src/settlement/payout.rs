//! The payout of an epoch (R150, R161, R169-R173, D7, D14): what was settled and refunded in it becomes one
//! instruction set, conserved to the base unit.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use symphony_types::amount::{self, Sym};
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{AccountId, EpochId, LockRef, TaskId, VaultId};
use symphony_types::key::{Document, Payout, Signed};
use symphony_types::table::{Table, Value};

use crate::artifact::parse::ParseSettlement;
use crate::artifact::penalty::Slash;
use crate::artifact::{DividendRequest, RecipientClass, SettlementContext, Share, SignedDividends};
use crate::governance::Governance;

/// Everything that the chain is to do for one epoch; idempotent by its digest (R172).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayoutInstructionSet {
    /// The epoch.
    pub epoch: EpochId,
    /// Locks to resolve.
    pub settlements: Vec<EscrowSettlement>,
    /// What the protocol pays for parses, by task in ascending order (D11).
    pub subsidies: Vec<Subsidy>,
    /// Who is paid directly, one entry per account and class, ascending.
    pub payees: Vec<Payee>,
    /// Dividend trees that producers claim from.
    pub dividends: Vec<DividendTree>,
    /// What unstaked producers forgo.
    pub pool_return: Sym,
    /// What the treasury gets.
    pub treasury: Sym,
    /// Contributor money that waits, by Vault.
    pub carries: Vec<Carry>,
    /// Roots to anchor.
    pub anchors: Vec<(TaskId, Digest)>,
    /// Penalties to execute, by reference in ascending order.
    pub slashes: Vec<Slash>,
}

impl Document for PayoutInstructionSet {
    const TAG: &'static str = "symphony/payout-instruction-set/v2";
}

impl PayoutInstructionSet {
    /// Instructions of an epoch without any.
    pub const fn empty(epoch: EpochId) -> Self {
        Self {
            epoch,
            settlements: Vec::new(),
            subsidies: Vec::new(),
            payees: Vec::new(),
            dividends: Vec::new(),
            pool_return: Sym::ZERO,
            treasury: Sym::ZERO,
            carries: Vec::new(),
            anchors: Vec::new(),
            slashes: Vec::new(),
        }
    }

    /// What anchors one root that the chain lacks, and moves no money: another batch than that of the epoch, because a
    /// chain does no batch twice.
    pub fn anchoring(epoch: EpochId, task: TaskId, root: Digest) -> Self {
        Self { anchors: Vec::from([(task, root)]), ..Self::empty(epoch) }
    }
}

/// One escrow lock resolved: `charged + refunded` is what was locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EscrowSettlement {
    /// The task, or the task that a refused request would have become.
    pub task: TaskId,
    /// The lock.
    pub lock: LockRef,
    /// What is distributed.
    pub charged: Sym,
    /// What goes back.
    pub refunded: Sym,
}

/// What the protocol pays for one task that costs its submitter nothing: out of the incentives pool while it lasts, then out
/// of the treasury (R085, D11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subsidy {
    /// The task.
    pub task: TaskId,
    /// How much.
    pub amount: Sym,
}

/// One direct payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payee {
    /// To whom.
    pub account: AccountId,
    /// In which capacity.
    pub class: RecipientClass,
    /// How much.
    pub amount: Sym,
}

/// One Vault's dividend tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DividendTree {
    /// The Vault.
    pub vault: VaultId,
    /// Root over its leaves.
    pub root: Digest,
    /// How many leaves.
    pub payees: u64,
    /// What may be claimed.
    pub total: Sym,
}

/// Contributor money of one Vault that waits for a later epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carry {
    /// The Vault.
    pub vault: VaultId,
    /// What starts waiting now.
    pub into: Sym,
    /// What stops waiting now.
    pub out_of: Sym,
}

/// The payout service's statement that the chain confirmed an epoch's batch (R171).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayoutConfirmation {
    /// The epoch.
    pub epoch: EpochId,
    /// Digest of the instruction set.
    pub batch: Digest,
    /// Hash of the chain transaction; of the last one, where the epoch took several.
    pub transaction: Digest,
    /// Version of the chain that has it.
    pub version: u64,
}

impl Document for PayoutConfirmation {
    const TAG: &'static str = "symphony/payout-confirmation/v1";
}

/// A confirmation that the payout service signed.
pub type SignedConfirmation = Signed<PayoutConfirmation, Payout>;

/// How an epoch was paid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayoutEvidence {
    /// What the chain was told.
    pub instructions: PayoutInstructionSet,
    /// The Vaults' dividend statements of the epoch.
    pub statements: Vec<SignedDividends>,
    /// The payout service's confirmation.
    pub confirmation: SignedConfirmation,
}

/// A lock that is resolved whole: it goes back, or a bond is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refund {
    /// The task, or the task that a refused request would have become; of a bond, the name that it is resolved by.
    pub task: TaskId,
    /// The lock.
    pub lock: LockRef,
    /// All of it.
    pub amount: Sym,
}

/// What an epoch gathers while it is open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochAccount {
    /// Tasks that were settled, with their roots.
    pub settled: Table<TaskId, Digest>,
    /// Locks that go back whole, by task.
    pub refunds: Table<TaskId, Refund>,
    /// Bonds of challenges that are lost to the treasury, by the name that they are resolved by.
    pub forfeits: Table<TaskId, Refund>,
    /// Penalties that are executed with its payout, by reference.
    pub slashes: Table<Digest, Slash>,
    /// Parses admitted in it, by Vault.
    pub parses: Table<VaultId, u64>,
    /// Where the epoch is.
    pub stage: EpochStage,
}

impl Value for EpochAccount {
    fn digest(&mut self) -> Digest {
        let tables = [
            self.settled.digest(),
            self.refunds.digest(),
            self.forfeits.digest(),
            self.slashes.digest(),
            self.parses.digest(),
        ];
        Digest::of("symphony/epoch-account/v2", &(tables, &self.stage))
    }
}

impl Value for Refund {}

/// Where an epoch's payout is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum EpochStage {
    /// Still gathering.
    #[default]
    Open,
    /// Over; Vaults compute their dividends.
    Closing,
    /// Everything is known; the chain has to do it.
    Issued(PayoutInstructionSet, Vec<SignedDividends>),
    /// The chain did it.
    Confirmed(PayoutEvidence),
}

/// What a Vault's contributors are owed and have not been told yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContributorAccount {
    /// Shares not yet in a dividend statement, by task.
    pub pending: Table<TaskId, Owed>,
    /// What the Vault's last statement carried.
    pub carried: Sym,
    /// What the chain holds as carried for this Vault.
    pub waiting: Sym,
}

impl Value for ContributorAccount {
    fn digest(&mut self) -> Digest {
        let parts = (self.pending.digest(), self.carried, self.waiting);
        Digest::of("symphony/contributor-account/v1", &parts)
    }
}

/// What one settled task owes a Vault's contributors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owed {
    /// The epoch that it was settled in.
    pub epoch: EpochId,
    /// How much.
    pub amount: Sym,
}

impl Value for Owed {}

/// The question to a Vault at the close of an epoch; the runner adds who is staked.
pub fn dividend_request(
    governance: &Governance,
    vault: &VaultId,
    epoch: EpochId,
    account: &ContributorAccount,
) -> DividendRequest {
    DividendRequest {
        vault: vault.clone(),
        epoch,
        shares: due(account, epoch).map(|(task, share)| (*task, *share)).collect(),
        carried_in: account.carried,
        payees_min: governance.policy_in(epoch).dividend_payees_min,
        staked: Vec::new(),
    }
}

/// Shares of an account up to and including an epoch.
fn due(account: &ContributorAccount, epoch: EpochId) -> impl Iterator<Item = (&TaskId, &Sym)> {
    let due = account.pending.iter().filter(move |(_, owed)| owed.epoch <= epoch);
    due.map(|(task, owed)| (task, &owed.amount))
}

/// Whether a statement is the Vault's own and adds up. **Errors**: `SET-0006`.
pub fn check_statement(
    governance: &Governance,
    epoch: EpochId,
    account: &ContributorAccount,
    statement: &SignedDividends,
) -> Result<(), Code> {
    let body = &statement.body;
    let registered = governance.registry.vaults.get(&body.vault);
    let allotted = amount::sum(due(account, epoch).map(|(_, share)| *share).chain([account.carried]));
    let parts = amount::sum([body.total, body.pool_return, body.carried]);
    let payees_min = governance.policy_in(epoch).dividend_payees_min;
    let published = body.payees == 0 || body.payees >= u64::from(payees_min);
    let sound = registered.is_some_and(|vault| statement.verify(&vault.key))
        && body.epoch == epoch
        && Some(body.allotted) == allotted
        && parts == allotted
        && published
        && (body.payees > 0 || body.total == Sym::ZERO);
    if sound { Ok(()) } else { Err(Code::ClaimInvalid) }
}

/// What was settled and refunded in an epoch.
pub struct Settled<'a, C, P> {
    /// Contexts of tasks that a lock paid for.
    pub contexts: C,
    /// Settlements of parses.
    pub parses: P,
    /// Locks that go back whole.
    pub refunds: &'a Table<TaskId, Refund>,
    /// Bonds that are lost.
    pub forfeits: &'a Table<TaskId, Refund>,
    /// Penalties that are executed.
    pub slashes: &'a Table<Digest, Slash>,
}

/// Builds the instruction set of a closing epoch from what was settled in it and the Vaults' statements.
///
/// A Vault without a statement keeps its contributors' money waiting on the chain. **Errors**: `GOV-0004` when
/// an amount does not fit.
pub fn instructions<'a>(
    epoch: EpochId,
    settled: Settled<
        'a,
        impl Iterator<Item = &'a SettlementContext>,
        impl Iterator<Item = &'a ParseSettlement>,
    >,
    contributors: &Table<VaultId, ContributorAccount>,
    statements: &[SignedDividends],
) -> Result<PayoutInstructionSet, Code> {
    let mut set = PayoutInstructionSet::empty(epoch);
    let mut payees = BTreeMap::new();
    for context in settled.contexts {
        set.settlements.push(EscrowSettlement {
            task: context.task,
            lock: context.lock,
            charged: context.fee.total,
            refunded: context.refunded,
        });
        set.anchors.push((context.task, super::finalize::settlement_root(context)));
        pay(&mut set, &mut payees, &context.shares)?;
    }
    for parse in settled.parses {
        set.subsidies.push(Subsidy { task: parse.task, amount: parse.subsidy });
        set.anchors.push((parse.task, super::parse::settlement_root(parse)));
        pay(&mut set, &mut payees, &parse.shares)?;
    }
    set.settlements.extend(settled.refunds.values().map(|refund| EscrowSettlement {
        task: refund.task,
        lock: refund.lock,
        charged: Sym::ZERO,
        refunded: refund.amount,
    }));
    set.slashes.extend(settled.slashes.values());
    for forfeit in settled.forfeits.values() {
        set.settlements.push(EscrowSettlement {
            task: forfeit.task,
            lock: forfeit.lock,
            charged: forfeit.amount,
            refunded: Sym::ZERO,
        });
        set.treasury = plus(set.treasury, forfeit.amount)?;
    }
    set.payees = payees
        .into_iter()
        .filter(|(_, amount)| *amount > Sym::ZERO)
        .map(|((account, class), amount)| Payee { account, class, amount })
        .collect();
    for (vault, account) in contributors {
        let statement = statements.iter().find(|statement| statement.body.vault == *vault);
        dividends(&mut set, vault, account, statement)?;
    }
    Ok(set)
}

/// Adds a task's shares to those of the epoch; contributors are paid through their Vault's tree.
fn pay(
    set: &mut PayoutInstructionSet,
    payees: &mut BTreeMap<(AccountId, RecipientClass), Sym>,
    shares: &[Share],
) -> Result<(), Code> {
    for share in shares {
        match share.class {
            RecipientClass::Contributors => {}
            RecipientClass::Treasury => set.treasury = plus(set.treasury, share.amount)?,
            RecipientClass::VaultOperator
            | RecipientClass::Executor
            | RecipientClass::Aggregator
            | RecipientClass::Verifier => {
                let paid = payees.entry((share.account, share.class)).or_default();
                *paid = plus(*paid, share.amount)?;
            }
        }
    }
    Ok(())
}

fn dividends(
    set: &mut PayoutInstructionSet,
    vault: &VaultId,
    account: &ContributorAccount,
    statement: Option<&SignedDividends>,
) -> Result<(), Code> {
    let wait = waiting_after(account, set.epoch, statement.map(|statement| statement.body.carried))?;
    if wait != account.waiting {
        set.carries.push(Carry { vault: vault.clone(), into: wait, out_of: account.waiting });
    }
    let Some(body) = statement.map(|statement| &statement.body) else { return Ok(()) };
    set.pool_return = plus(set.pool_return, body.pool_return)?;
    if body.payees > 0 {
        set.dividends.push(DividendTree {
            vault: vault.clone(),
            root: body.root,
            payees: body.payees,
            total: body.total,
        });
    }
    Ok(())
}

/// What the chain holds as waiting for a Vault after an epoch: with a statement what it carries, without one all
/// that is owed. **Errors**: `GOV-0004` when the sum does not fit.
fn waiting_after(account: &ContributorAccount, epoch: EpochId, carried: Option<Sym>) -> Result<Sym, Code> {
    match carried {
        Some(carried) => Ok(carried),
        None => amount::sum(due(account, epoch).map(|(_, share)| *share).chain([account.carried]))
            .ok_or(Code::Internal),
    }
}

/// Books a closed epoch into a Vault's contributor account.
pub fn book(account: &mut ContributorAccount, epoch: EpochId, carried: Option<Sym>) {
    // The instruction set of this epoch computed the same sum.
    account.waiting = waiting_after(account, epoch, carried).unwrap_or(account.waiting);
    if let Some(carried) = carried {
        account.carried = carried;
        let told: Vec<_> = due(account, epoch).map(|(task, _)| *task).collect();
        for task in told {
            account.pending.remove(&task);
        }
    }
}

fn plus(a: Sym, b: Sym) -> Result<Sym, Code> {
    a.checked_add(b).ok_or(Code::Internal)
}
