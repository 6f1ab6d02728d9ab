//! Who earns what of a charged fee (R157-R162, D3, D4): first the classes by the policy's rates, then inside
//! each class by its basis, every step exact to the base unit.

use alloc::vec;
use alloc::vec::Vec;

use symphony_types::amount::{self, Sym};
use symphony_types::catalogue::Code;
use symphony_types::id::{AccountId, ActorId, VaultId};

use crate::artifact::{RecipientClass, Share};
use crate::governance::Governance;
use crate::governance::policy::Policy;
use crate::governance::registry::VaultRecord;

/// What one Vault did for a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// The Vault.
    pub vault: VaultId,
    /// What its contributors and its operator are paid by.
    pub weight: u64,
    /// What its executor is paid by.
    pub slices: u64,
}

/// Splits a charged fee over everyone who served the task. The shares sum to the fee.
///
/// Contributors and operators by weight, executors by slice. **Errors**: `GOV-0004` when the registry lost somebody who
/// served.
pub fn shares(
    governance: &Governance,
    policy: &Policy,
    charged: Sym,
    served: &[Served],
) -> Result<Vec<Share>, Code> {
    let mut shares = Vec::new();
    for (class, total) in classes(policy, charged)? {
        match class {
            RecipientClass::Contributors | RecipientClass::VaultOperator => {
                let weights: Vec<_> =
                    served.iter().map(|served| (served.vault.clone(), served.weight)).collect();
                per_vault(governance, class, total, &weights, &mut shares)?;
            }
            RecipientClass::Executor => {
                let weights: Vec<_> =
                    served.iter().map(|served| (served.vault.clone(), served.slices)).collect();
                per_vault(governance, class, total, &weights, &mut shares)?;
            }
            RecipientClass::Aggregator => {
                shares.push(single(governance, class, &governance.registry.aggregator, total)?);
            }
            RecipientClass::Verifier => {
                shares.push(single(governance, class, &governance.registry.verifier.actor, total)?);
            }
            RecipientClass::Treasury => {
                shares.push(single(governance, class, &governance.registry.treasury, total)?);
            }
        }
    }
    Ok(shares)
}

/// The classes' totals; they sum to the charged fee. **Errors**: `GOV-0004` when the rates cannot share it.
pub fn classes(policy: &Policy, charged: Sym) -> Result<Vec<(RecipientClass, Sym)>, Code> {
    let rates = &policy.shares;
    let weights = vec![
        (RecipientClass::Contributors, u64::from(rates.contributors.0)),
        (RecipientClass::VaultOperator, u64::from(rates.operators.0)),
        (RecipientClass::Executor, u64::from(rates.executors.0)),
        (RecipientClass::Aggregator, u64::from(rates.aggregators.0)),
        (RecipientClass::Verifier, u64::from(rates.verifiers.0)),
        (RecipientClass::Treasury, u64::from(rates.treasury.0)),
    ];
    amount::split(charged, &weights).ok_or(Code::Internal)
}

fn per_vault(
    governance: &Governance,
    class: RecipientClass,
    total: Sym,
    weights: &[(VaultId, u64)],
    shares: &mut Vec<Share>,
) -> Result<(), Code> {
    for (vault, amount) in amount::split(total, weights).ok_or(Code::Internal)? {
        let record: &VaultRecord = governance.registry.vaults.get(&vault).ok_or(Code::Internal)?;
        let recipient = match class {
            RecipientClass::Executor => &record.executor,
            RecipientClass::Contributors
            | RecipientClass::VaultOperator
            | RecipientClass::Aggregator
            | RecipientClass::Verifier
            | RecipientClass::Treasury => &record.operator,
        };
        let mut share = single(governance, class, recipient, amount)?;
        share.vault = Some(vault);
        shares.push(share);
    }
    Ok(())
}

fn single(
    governance: &Governance,
    class: RecipientClass,
    recipient: &ActorId,
    amount: Sym,
) -> Result<Share, Code> {
    let account: AccountId = governance.registry.actors.get(recipient).ok_or(Code::Internal)?.account;
    Ok(Share { class, vault: None, recipient: recipient.clone(), account, amount })
}
