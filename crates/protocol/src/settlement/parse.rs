//! What a parse is worth and who earns it (R085, R086, R154, R163, D11): its submitter pays nothing; Vault operator,
//! executor and verifier get the policy's fixed price, the owner a reward that grows with the record's quality, and the
//! sum stands as a subsidy that the epoch's batch draws from the incentives pool.

use alloc::vec::Vec;

use symphony_types::amount::{self, Bps, Sym};
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::key::Document as _;
use symphony_types::merkle;
use symphony_types::time::OrderedMillis;

use super::finalize::part;
use crate::artifact::parse::{ParseOrder, ParseOutcome, ParseSettlement, Quality, SignedParse};
use crate::artifact::{RecipientClass, Share, SignedVerdict};
use crate::governance::Governance;
use crate::governance::policy::ParsePolicy;

/// The score of a record: its parts by the policy's weights, rounded down.
pub fn score(policy: &ParsePolicy, quality: &Quality) -> Bps {
    let parts = [
        (policy.completeness, quality.completeness),
        (policy.checks, quality.checks),
        (policy.confidence, quality.confidence),
    ];
    let whole = u32::from(Bps::WHOLE.0);
    let sum: u32 =
        parts.iter().map(|(weight, part)| u32::from(weight.0) * u32::from(part.0.min(Bps::WHOLE.0))).sum();
    Bps(u16::try_from(sum / whole).unwrap_or(Bps::WHOLE.0).min(Bps::WHOLE.0))
}

/// What the owner of a record of this quality earns; nothing below the policy's floor. Rounded down.
pub fn reward(policy: &ParsePolicy, quality: &Quality) -> Sym {
    let score = score(policy, quality);
    if score < policy.score_min {
        return Sym::ZERO;
    }
    policy.reward.share_floor(u64::from(score.0), u64::from(Bps::WHOLE.0)).unwrap_or(Sym::ZERO)
}

/// The settlement of a verified parse. **Errors**: `GOV-0004` when the registry lost somebody who served or an amount does
/// not fit; both are excluded by admission.
pub fn settlement(
    governance: &Governance,
    order: &ParseOrder,
    statement: &SignedParse,
    verdict: &SignedVerdict,
    at: OrderedMillis,
) -> Result<ParseSettlement, Code> {
    let policy = &governance.policy_of(order.versions.policy)?.parse;
    let ParseOutcome::Parsed { quality, .. } = statement.body.outcome else { return Err(Code::Internal) };
    let registry = &governance.registry;
    let vault = registry.vaults.get(&order.ticket.vault).ok_or(Code::Internal)?;
    let mut shares = Vec::new();
    for (class, recipient, amount) in [
        (RecipientClass::Contributors, &vault.operator, reward(policy, &quality)),
        (RecipientClass::VaultOperator, &vault.operator, policy.operator),
        (RecipientClass::Executor, &vault.executor, policy.executor),
        (RecipientClass::Verifier, &registry.verifier.actor, policy.verifier),
    ] {
        let account = registry.actors.get(recipient).ok_or(Code::Internal)?.account;
        let vault = (class != RecipientClass::Verifier).then(|| order.ticket.vault.clone());
        shares.push(Share { class, vault, recipient: recipient.clone(), account, amount });
    }
    Ok(ParseSettlement {
        task: order.task,
        versions: order.versions,
        epoch: governance.epoch_of(at),
        order: order.digest(),
        statement: statement.body.digest(),
        verdict: verdict.body.digest(),
        subsidy: amount::sum(shares.iter().map(|share| share.amount)).ok_or(Code::Internal)?,
        shares,
        software: order.software_admitted,
        finalized_at: at,
    })
}

/// The root of a settlement: a Merkle root over its parts, like that of every other task (R145).
pub fn settlement_root(settlement: &ParseSettlement) -> Digest {
    let ParseSettlement {
        task,
        versions,
        epoch,
        order,
        statement,
        verdict,
        subsidy,
        shares,
        software,
        finalized_at,
    } = settlement;
    merkle::root(&[
        part("task", &(task, versions, epoch)),
        part("order", order),
        part("statement", statement),
        part("verdict", verdict),
        part("subsidy", subsidy),
        part("shares", shares),
        part("software", software),
        part("finalized_at", finalized_at),
    ])
}
