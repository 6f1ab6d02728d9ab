//! Who answers for a result that a confirmed challenge has found wrong (R141, R143).
//!
//! | what confirms the challenge | who is named | whose stake is taken |
//! |---|---|---|
//! | the evidence does not support the result | the aggregator; the verifier if it had accepted | the verifier's: its signature says what the evidence does not |
//! | computed again, the outcome is another | the aggregator, and the executors of the Vaults that computed | nobody's: which of them was wrong is not shown |
//!
//! Nobody shares the fee of a task with a penalty.

use alloc::vec::Vec;

use symphony_types::amount::Sym;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::ActorId;
use symphony_types::key::Document as _;

use crate::artifact::challenge::{Dispute, Finding};
use crate::artifact::penalty::{Capacity, Fault, Liability, Penalty};
use crate::artifact::{Decision, SignedAggregate, SignedVerdict, TaskEnvelope};
use crate::governance::Governance;
use crate::governance::policy::Policy;

/// The result that was found wrong.
#[derive(Clone, Copy)]
pub struct Wrong<'a> {
    /// The order.
    pub envelope: &'a TaskEnvelope,
    /// What was made of the Vaults' parts.
    pub aggregate: &'a SignedAggregate,
    /// What the verifier said of it, if it had.
    pub verdict: Option<&'a SignedVerdict>,
    /// Digest of the filing that is confirmed.
    pub filing: Digest,
    /// What was disputed.
    pub dispute: Dispute,
}

/// The record of a confirmed challenge. **Errors**: `GOV-0004` when the registry lost somebody who served.
pub fn record(
    governance: &Governance,
    policy: &Policy,
    wrong: &Wrong<'_>,
    finding: &Finding,
    code: Code,
) -> Result<Penalty, Code> {
    let fault = Fault::of(code);
    let amount = policy.challenges.penalty(fault);
    Ok(Penalty {
        task: finding.task,
        challenge: finding.challenge,
        filing: wrong.filing,
        finding: finding.digest(),
        envelope: wrong.envelope.digest(),
        result: wrong.aggregate.body.digest(),
        verdict: wrong.verdict.map(|verdict| verdict.body.digest()),
        code,
        fault,
        withheld: wrong.envelope.locked,
        liable: liable(governance, wrong, finding, amount)?,
    })
}

fn liable(
    governance: &Governance,
    wrong: &Wrong<'_>,
    finding: &Finding,
    amount: Sym,
) -> Result<Vec<Liability>, Code> {
    let registry = &governance.registry;
    let liability = |capacity: Capacity, actor: &ActorId, amount: Sym| {
        let account = registry.actors.get(actor).ok_or(Code::Internal)?.account;
        Ok::<_, Code>(Liability { capacity, actor: actor.clone(), account, amount })
    };
    let mut liable = Vec::from([liability(Capacity::Aggregator, &registry.aggregator, Sym::ZERO)?]);
    let unsupported = matches!(finding.decision, Decision::Rejected(_));
    if unsupported && wrong.verdict.is_some() {
        liable.push(liability(Capacity::Verifier, &registry.verifier.actor, amount)?);
    }
    if let (false, Dispute::Round(_)) = (unsupported, wrong.dispute) {
        for vault in &wrong.envelope.coordination.participating_vault_ids {
            let record = registry.vaults.get(vault).ok_or(Code::Internal)?;
            liable.push(liability(Capacity::Executor(vault.clone()), &record.executor, Sym::ZERO)?);
        }
    }
    Ok(liable)
}
