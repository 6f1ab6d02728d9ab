//! A closed epoch from the outside (R149, R158, R168, R173): what the masters say that it paid, and the same again out of what
//! was settled in it.
//!
//! Every settlement is bound by its anchor in the instructions, so masters sign the record alone, and whoever has the
//! settlements computes the whole batch again by [`super::payout::instructions`], the rule that made it. Locks that go back
//! whole, lost bonds and penalties have no settlement: they are taken as the masters say.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use symphony_types::amount::{self, Sym};
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{EpochId, TaskId, VaultId};
use symphony_types::key::{Document, Endorsed, Master};
use symphony_types::table::Table;

use super::payout::{self, ContributorAccount, Owed, PayoutInstructionSet, Refund, SignedConfirmation};
use super::{finalize, parse, reward};
use crate::artifact::parse::ParseSettlement;
use crate::artifact::{RecipientClass, SettlementContext, Share, SignedDividends};
use crate::governance::Governance;

/// What a closed epoch paid, as the masters vouch for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Digest of the governance that the network was founded with.
    pub foundation: Digest,
    /// What the chain was told.
    pub instructions: PayoutInstructionSet,
    /// The Vaults' dividend statements that it rests on.
    pub statements: Vec<SignedDividends>,
    /// What waited for each Vault's contributors before, ascending; Vaults without any are left out.
    pub waited: Vec<(VaultId, Sym)>,
    /// The payout service's word that the chain did it; absent before.
    pub confirmation: Option<SignedConfirmation>,
}

impl Document for EpochRecord {
    const TAG: &'static str = "symphony/epoch-record/v1";
}

/// A record that masters endorse.
pub type EndorsedEpoch = Endorsed<EpochRecord, Master>;

/// What was settled for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Settlement {
    /// A task that a lock paid for.
    Task(Box<SettlementContext>),
    /// A parse.
    Parse(Box<ParseSettlement>),
}

impl Settlement {
    /// The task.
    pub const fn task(&self) -> TaskId {
        match self {
            Self::Task(context) => context.task,
            Self::Parse(parse) => parse.task,
        }
    }

    /// The epoch that it was settled in.
    pub const fn epoch(&self) -> EpochId {
        match self {
            Self::Task(context) => context.epoch,
            Self::Parse(parse) => parse.epoch,
        }
    }

    /// What the chain anchors of it.
    pub fn root(&self) -> Digest {
        match self {
            Self::Task(context) => finalize::settlement_root(context),
            Self::Parse(parse) => parse::settlement_root(parse),
        }
    }

    /// Who earns what.
    pub fn shares(&self) -> &[Share] {
        match self {
            Self::Task(context) => &context.shares,
            Self::Parse(parse) => &parse.shares,
        }
    }

    /// Whether it adds up under the policy of its admission: the lock is charged and refunded, the shares are the fee by the
    /// policy's rates, or the subsidy by its prices. How a class is dealt out among Vaults rests on slices, which the evidence
    /// of the task has. **Errors**: what does not.
    pub fn sound(&self, governance: &Governance) -> Result<(), &'static str> {
        let mut classes: BTreeMap<RecipientClass, Sym> = BTreeMap::new();
        for share in self.shares() {
            let class = classes.entry(share.class).or_default();
            *class = class.checked_add(share.amount).ok_or("the shares do not fit")?;
            let known = governance.registry.actors.get(&share.recipient);
            if known.is_none_or(|actor| actor.account != share.account) {
                return Err("a share goes to another account than its recipient's");
            }
        }
        let of = |class| classes.get(&class).copied().unwrap_or_default();
        match self {
            Self::Task(context) => {
                let policy =
                    governance.policy_of(context.versions.policy).map_err(|_| "its policy is unknown")?;
                if context.fee.total.checked_add(context.refunded) != Some(context.locked) {
                    return Err("what is charged and refunded is not what was locked");
                }
                let rates =
                    reward::classes(policy, context.fee.total).map_err(|_| "its fee cannot be shared")?;
                if rates.into_iter().any(|(class, total)| of(class) != total) {
                    return Err("its shares are not the fee by the policy's rates");
                }
            }
            Self::Parse(parse) => {
                let policy =
                    governance.policy_of(parse.versions.policy).map_err(|_| "its policy is unknown")?;
                let prices = &policy.parse;
                let paid = amount::sum(parse.shares.iter().map(|share| share.amount));
                let priced = of(RecipientClass::VaultOperator) == prices.operator
                    && of(RecipientClass::Executor) == prices.executor
                    && of(RecipientClass::Verifier) == prices.verifier
                    && of(RecipientClass::Contributors) <= prices.reward;
                if paid != Some(parse.subsidy) || !priced {
                    return Err("its shares are not its subsidy by the policy's prices");
                }
            }
        }
        Ok(())
    }
}

/// What waited for each Vault's contributors after these epochs, which come in their order.
pub fn waited<'a>(earlier: impl Iterator<Item = &'a PayoutInstructionSet>) -> Vec<(VaultId, Sym)> {
    let mut waits: BTreeMap<&VaultId, Sym> = BTreeMap::new();
    for set in earlier {
        waits.extend(set.carries.iter().map(|carry| (&carry.vault, carry.into)));
    }
    let waits = waits.into_iter().filter(|(_, amount)| *amount > Sym::ZERO);
    waits.map(|(vault, amount)| (vault.clone(), amount)).collect()
}

/// What each Vault's contributors were owed when the epoch was paid: what waited, and their shares of what was settled in it.
pub fn owed(record: &EpochRecord, settlements: &[Settlement]) -> Table<VaultId, ContributorAccount> {
    let mut accounts: Table<VaultId, ContributorAccount> = Table::new();
    for (vault, amount) in &record.waited {
        let account = accounts.get_or_default(vault.clone());
        (account.carried, account.waiting) = (*amount, *amount);
    }
    for settlement in settlements {
        for share in settlement.shares().iter().filter(|share| share.class == RecipientClass::Contributors) {
            let Some(vault) = &share.vault else { continue };
            let owed = Owed { epoch: settlement.epoch(), amount: share.amount };
            accounts.get_or_default(vault.clone()).pending.insert(settlement.task(), owed);
        }
    }
    accounts
}

/// The instructions of the epoch, computed again out of what was settled. **Errors**: `GOV-0004` when an amount does not fit.
pub fn recompute(
    record: &EpochRecord,
    settlements: &[Settlement],
    owed: &Table<VaultId, ContributorAccount>,
) -> Result<PayoutInstructionSet, Code> {
    let said = &record.instructions;
    let tasks: BTreeSet<TaskId> = settlements.iter().map(Settlement::task).collect();
    let (mut refunds, mut forfeits) = (Table::new(), Table::new());
    for whole in said.settlements.iter().filter(|settled| !tasks.contains(&settled.task)) {
        let (table, amount) = match whole.charged {
            Sym::ZERO => (&mut refunds, whole.refunded),
            charged => (&mut forfeits, charged),
        };
        table.insert(whole.task, Refund { task: whole.task, lock: whole.lock, amount });
    }
    let slashes = said.slashes.iter().map(|slash| (slash.reference, *slash)).collect();
    let contexts = settlements.iter().filter_map(|settlement| match settlement {
        Settlement::Task(context) => Some(&**context),
        Settlement::Parse(_) => None,
    });
    let parses = settlements.iter().filter_map(|settlement| match settlement {
        Settlement::Task(_) => None,
        Settlement::Parse(parse) => Some(&**parse),
    });
    let settled =
        payout::Settled { contexts, parses, refunds: &refunds, forfeits: &forfeits, slashes: &slashes };
    payout::instructions(said.epoch, settled, owed, &record.statements)
}

/// Which parts of two instruction sets differ, by name.
pub fn differences(one: &PayoutInstructionSet, other: &PayoutInstructionSet) -> Vec<&'static str> {
    let parts = [
        ("settlements", one.settlements == other.settlements),
        ("subsidies", one.subsidies == other.subsidies),
        ("payees", one.payees == other.payees),
        ("dividends", one.dividends == other.dividends),
        ("pool return", one.pool_return == other.pool_return),
        ("treasury", one.treasury == other.treasury),
        ("carries", one.carries == other.carries),
        ("anchors", one.anchors == other.anchors),
        ("slashes", one.slashes == other.slashes),
        ("epoch", one.epoch == other.epoch),
    ];
    parts.into_iter().filter(|(_, same)| !same).map(|(name, _)| name).collect()
}
