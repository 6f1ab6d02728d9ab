//! An epoch's instruction set as batches that the chain takes: one when it fits, else several that each pay exactly what they
//! charge (R169, R172). The split is a pure function of the set, so that whoever repeats it has the same batches.
//!
//! A batch before the last settles as many locks as fit and pays with their money: direct payees first, then the treasury and
//! the pool, and what is the producers' into their Vault's carry. The last one draws those carries and opens the trees.

use std::collections::{BTreeMap, VecDeque};

use symphony_chain::transaction::{
    Anchor, Carry, DividendTree, EscrowSettlement, Payee, PayoutBatch, RecipientClass, Subsidy,
};
use symphony_protocol::artifact::RecipientClass as Class;
use symphony_protocol::settlement::payout::PayoutInstructionSet;
use symphony_types::amount::Sym;
use symphony_types::digest::Digest;
use symphony_types::id::{TaskId, VaultId};
use symphony_types::key::Document as _;
use thiserror::Error;

/// An epoch that cannot be paid in batches of the chain's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SplitError {
    /// Payees, trees and carries alone are more than one batch.
    #[error("the epoch's payees and trees do not fit into one batch")]
    TooLarge,
    /// The set does not pay what it charges.
    #[error("the instruction set is not balanced")]
    Unbalanced,
}

/// The batches of an instruction set, in the order in which they are executed. **Errors**: [`SplitError`].
pub fn batches(set: &PayoutInstructionSet) -> Result<Vec<PayoutBatch>, SplitError> {
    let mut rest = Rest::of(set)?;
    let mut parts = Vec::new();
    while !rest.fits() {
        parts.push(rest.part()?);
    }
    parts.push(rest.last());
    let name = |place: u64, count: usize| match count {
        1 => set.digest(),
        _ => Digest::of("symphony/payout-part/v1", &(set.digest(), place)),
    };
    let count = parts.len();
    Ok((0..).zip(parts).map(|(place, part)| PayoutBatch { batch_id: name(place, count), ..part }).collect())
}

/// What brings money into a batch.
#[derive(Clone)]
enum Input {
    Lock(EscrowSettlement),
    Subsidy(Subsidy),
}

impl Input {
    const fn task(&self) -> TaskId {
        match self {
            Self::Lock(settled) => settled.task,
            Self::Subsidy(subsidy) => subsidy.task,
        }
    }

    const fn amount(&self) -> Sym {
        match self {
            Self::Lock(settled) => settled.charged,
            Self::Subsidy(subsidy) => subsidy.amount,
        }
    }
}

/// What is not in a batch yet.
struct Rest {
    batch: PayoutBatch,
    inputs: VecDeque<Input>,
    payees: VecDeque<Payee>,
    anchors: BTreeMap<TaskId, Digest>,
    /// Producers' money that comes out of the inputs, by Vault.
    owed: BTreeMap<VaultId, u64>,
    /// What of it earlier batches put into the Vault's carry.
    kept: BTreeMap<VaultId, u64>,
}

impl Rest {
    fn of(set: &PayoutInstructionSet) -> Result<Self, SplitError> {
        let locks = set.settlements.iter().map(|settled| {
            Input::Lock(EscrowSettlement {
                lock: settled.lock,
                task: settled.task,
                charged: settled.charged,
                refunded: settled.refunded,
            })
        });
        let subsidies = set
            .subsidies
            .iter()
            .map(|subsidy| Input::Subsidy(Subsidy { task: subsidy.task, amount: subsidy.amount }));
        let payee = |payee: &symphony_protocol::settlement::payout::Payee| Payee {
            account: payee.account,
            class: class(payee.class),
            amount: payee.amount,
        };
        let dividends: Vec<DividendTree> = set
            .dividends
            .iter()
            .map(|tree| DividendTree {
                vault: tree.vault.clone(),
                root: tree.root,
                leaves: tree.payees,
                total: tree.total,
            })
            .collect();
        let carries: Vec<Carry> = set
            .carries
            .iter()
            .map(|carry| Carry { vault: carry.vault.clone(), into: carry.into, out_of: carry.out_of })
            .collect();
        let mut owed: BTreeMap<VaultId, i128> = BTreeMap::new();
        for tree in &dividends {
            *owed.entry(tree.vault.clone()).or_default() += i128::from(tree.total.0);
        }
        for carry in &carries {
            *owed.entry(carry.vault.clone()).or_default() +=
                i128::from(carry.into.0) - i128::from(carry.out_of.0);
        }
        let owed = owed.into_iter().filter(|(_, amount)| *amount > 0);
        let owed = owed.map(|(vault, amount)| Ok((vault, u64::try_from(amount)?)));
        Ok(Self {
            inputs: locks.chain(subsidies).collect(),
            payees: set.payees.iter().map(payee).collect(),
            anchors: set.anchors.iter().copied().collect(),
            owed: owed
                .collect::<Result<_, std::num::TryFromIntError>>()
                .map_err(|_| SplitError::Unbalanced)?,
            kept: BTreeMap::new(),
            batch: PayoutBatch {
                // Named when it is known how many there are.
                batch_id: Digest::ZERO,
                epoch: set.epoch,
                settlements: vec![],
                subsidies: vec![],
                payees: vec![],
                dividends,
                carries,
                pool_return: set.pool_return,
                treasury: set.treasury,
                anchors: vec![],
            },
        })
    }

    /// Whether all that is left is one batch.
    fn fits(&self) -> bool {
        let vaults = self.batch.dividends.len() * TREE_BYTES
            + (self.batch.carries.len() + self.kept.len()) * CARRY_BYTES;
        let bytes = self.inputs.len() * INPUT_BYTES + self.payees.len() * PAYEE_BYTES + vaults;
        bytes <= BYTES_MAX && self.inputs.len() + self.payees.len() <= ACCOUNTS_MAX
    }

    /// A batch that is not the last.
    fn part(&mut self) -> Result<PayoutBatch, SplitError> {
        let mut part = PayoutBatch {
            dividends: vec![],
            carries: vec![],
            pool_return: Sym::ZERO,
            treasury: Sym::ZERO,
            ..self.batch.clone()
        };
        let bytes = BYTES_MAX.saturating_sub(self.owed.len() * CARRY_BYTES);
        let paid = self.payees.len().min(PAYEES_OF_PART);
        let room = bytes.saturating_sub(paid * PAYEE_BYTES) / INPUT_BYTES;
        let inputs = self.inputs.len().min(room).min(ACCOUNTS_MAX - paid);
        if inputs == 0 {
            return Err(SplitError::TooLarge);
        }
        let mut purse: u64 = 0;
        for input in self.inputs.drain(..inputs) {
            purse = purse.checked_add(input.amount().0).ok_or(SplitError::Unbalanced)?;
            witness(&mut part, &mut self.anchors, input);
        }
        for _ in 0..paid {
            let Some(payee) = self.payees.front_mut().filter(|_| purse > 0) else { break };
            let amount = taken(&mut payee.amount.0, &mut purse);
            part.payees.push(Payee { amount, ..payee.clone() });
            if payee.amount == Sym::ZERO {
                self.payees.pop_front();
            }
        }
        part.treasury = taken(&mut self.batch.treasury.0, &mut purse);
        part.pool_return = taken(&mut self.batch.pool_return.0, &mut purse);
        for (vault, owed) in &mut self.owed {
            let into = taken(owed, &mut purse);
            if into > Sym::ZERO {
                *self.kept.entry(vault.clone()).or_default() += into.0;
                part.carries.push(Carry { vault: vault.clone(), into, out_of: Sym::ZERO });
            }
        }
        // What is left would have to go to payees that this batch has no room for.
        if purse == 0 { Ok(part) } else { Err(SplitError::TooLarge) }
    }

    fn last(mut self) -> PayoutBatch {
        let mut batch = self.batch;
        for input in self.inputs {
            witness(&mut batch, &mut self.anchors, input);
        }
        batch.payees = self.payees.into();
        for (vault, kept) in self.kept {
            match batch.carries.iter_mut().find(|carry| carry.vault == vault) {
                Some(carry) => carry.out_of = Sym(carry.out_of.0.saturating_add(kept)),
                None => batch.carries.push(Carry { vault, into: Sym::ZERO, out_of: Sym(kept) }),
            }
        }
        batch
            .anchors
            .extend(self.anchors.into_iter().map(|(task, settlement_root)| Anchor { task, settlement_root }));
        batch
    }
}

/// Adds an input to a batch with the anchor of its task.
fn witness(batch: &mut PayoutBatch, anchors: &mut BTreeMap<TaskId, Digest>, input: Input) {
    let task = input.task();
    batch.anchors.extend(anchors.remove(&task).map(|settlement_root| Anchor { task, settlement_root }));
    match input {
        Input::Lock(settled) => batch.settlements.push(settled),
        Input::Subsidy(subsidy) => batch.subsidies.push(subsidy),
    }
}

/// As much of `wanted` as the purse has, out of both.
fn taken(wanted: &mut u64, purse: &mut u64) -> Sym {
    let amount = (*wanted).min(*purse);
    *wanted -= amount;
    *purse -= amount;
    Sym(amount)
}

fn class(class: Class) -> RecipientClass {
    match class {
        Class::Contributors => RecipientClass::Contributor,
        Class::VaultOperator => RecipientClass::VaultOperator,
        Class::Executor => RecipientClass::Executor,
        Class::Aggregator => RecipientClass::Aggregator,
        Class::Verifier => RecipientClass::Verifier,
        Class::Treasury => RecipientClass::Treasury,
    }
}

/// Bytes of a batch's lists: Aptos takes transactions of 64 KiB, and signature, names and lengths are in them too.
const BYTES_MAX: usize = 60_000;
/// Accounts that a batch may touch within Aptos' gas for storage access (docs/src/contracts.md, "Figures").
const ACCOUNTS_MAX: usize = 900;
/// Direct payees that a batch before the last has room for.
const PAYEES_OF_PART: usize = 300;
/// A lock's settlement (the larger of the inputs) with its anchor.
const INPUT_BYTES: usize = 80 + 64;
const PAYEE_BYTES: usize = 41;
/// A tree and a carry with the longest name of a Vault.
const TREE_BYTES: usize = 113;
const CARRY_BYTES: usize = 81;

#[cfg(test)]
mod tests;
