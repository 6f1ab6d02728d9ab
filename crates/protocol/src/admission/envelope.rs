//! The second half of admission: the Vaults have answered; enough of them are prepared, or nothing happens
//! (R019, R021, R025, R028-R032).

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use symphony_types::catalogue::Code;
use symphony_types::id::VaultId;
use symphony_types::key::Document;
use symphony_types::time::OrderedMillis;

use super::request::AdmissionRequest;
use crate::artifact::{AggregationMethod, CoordinationEnvelope, Plan, SignedReceipt, TaskEnvelope, Versions};
use crate::governance::Governance;
use crate::governance::stake::Staking;

/// A Vault's answer to a preparation, as the master's runner reports it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PrepareAnswer {
    /// The Vault's receipt, yes or no.
    Receipt(SignedReceipt),
    /// The Vault did not answer in time.
    Silent(VaultId),
}

/// Who takes part, in ascending order, and who does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// Receipts of prepared Vaults.
    pub receipts: Vec<SignedReceipt>,
    /// Vaults that refused or kept silent.
    pub absent: Vec<(VaultId, Code)>,
}

/// Sorts the answers; a receipt that does not verify or does not fit counts as silence, and that of a Vault which has been suspended,
/// leaves or has too little stake meanwhile not at all.
pub fn prepared(staking: &Staking<'_>, admission: &AdmissionRequest, answers: &[PrepareAnswer]) -> Prepared {
    let governance = staking.governance;
    let mut receipts = Vec::new();
    let mut absent = Vec::new();
    for vault in &admission.vaults {
        let receipt = answers.iter().find_map(|answer| match answer {
            PrepareAnswer::Receipt(receipt) if receipt.body.vault == *vault => Some(receipt),
            PrepareAnswer::Receipt(_) | PrepareAnswer::Silent(_) => None,
        });
        if let Some(code) = governance.registry.withheld(vault).or_else(|| staking.vault(vault).err()) {
            absent.push((vault.clone(), code));
            continue;
        }
        match receipt {
            Some(receipt) if !genuine(governance, admission, receipt) => {
                absent.push((vault.clone(), Code::VaultUnavailable));
            }
            Some(receipt) => match receipt.body.refusal {
                None => receipts.push(receipt.clone()),
                Some(code) => absent.push((vault.clone(), code)),
            },
            None => absent.push((vault.clone(), Code::VaultUnavailable)),
        }
    }
    Prepared { receipts, absent }
}

/// The complete order. Call only when the quorum of `prepared` holds.
pub fn assemble(
    governance: &Governance,
    admission: &AdmissionRequest,
    prepared: &Prepared,
    at: OrderedMillis,
) -> TaskEnvelope {
    let request = &admission.request;
    TaskEnvelope {
        task: request.task(),
        request: request.request.clone(),
        submitter: request.submitter.clone(),
        scope: request.scope.clone(),
        versions: Versions { governance: governance.sequence, ..admission.versions },
        epoch: governance.epoch_of(at),
        admitted_at: at,
        execute_by: admission.execute_by,
        budget_lock_ref: admission.lock.lock,
        locked: admission.lock.amount,
        charge: admission.charge,
        reservations: prepared.receipts.iter().map(|receipt| receipt.body.digest()).collect(),
        plan: admission.plan.clone(),
        coordination: CoordinationEnvelope {
            participating_vault_ids: prepared.receipts.iter().map(|r| r.body.vault.clone()).collect(),
            minimum_vault_quorum: request.quorum,
            aggregation_method: match admission.plan {
                Plan::Audience(_) => AggregationMethod::Union,
                Plan::Training(_) => AggregationMethod::FederatedAverage,
                Plan::Compute(_) | Plan::Statistic(_) => AggregationMethod::Sum,
            },
            aggregator: governance.registry.aggregator.clone(),
            measurements: governance.registry.active_code(),
            software_admitted: governance.software_admitted(),
        },
        recipient: request.recipient.clone(),
    }
}

fn genuine(governance: &Governance, admission: &AdmissionRequest, receipt: &SignedReceipt) -> bool {
    let expected = admission.preparation(&receipt.body.vault);
    let registered = governance.registry.vaults.get(&receipt.body.vault);
    registered.is_some_and(|vault| receipt.verify(&vault.key))
        && receipt.body.task == expected.task
        && receipt.body.epsilon == expected.epsilon
        && receipt.body.deadline == expected.deadline
}
