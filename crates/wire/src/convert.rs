//! Public messages into protocol values: the one place where a user's request is parsed (R021).

use symphony_protocol::artifact::selection::Selection;
use symphony_protocol::artifact::training::TrainingRequest;
use symphony_protocol::artifact::{
    Argument, AudienceQuery, Fee, Operand, Outcome, RecipientClass, Share, TaskRequest, Work,
};
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{ActorId, AttributeName, LockRef, RequestId, RuleName, TaskId, UsageScope, VaultId};
use symphony_types::limits::{OPERANDS_MAX, SET_VALUES_MAX, TEXT_LEN_MAX, VAULTS_PER_TASK_MAX};
use symphony_types::time::OrderedMillis;

use crate::v1;

mod challenge;
mod compute;
mod reconcile;
mod selection;
mod statistic;
mod training;

pub use challenge::{Disputable, challenges, filing};
pub use compute::module;
pub use reconcile::{adjustment, reconciliation};

/// A message that is not a valid request: the code and what is wrong.
pub type Refused = (Code, String);

/// Reads a task submission. **Errors**: `ADM-0001`, or a narrower code, with the field's name.
pub fn task_request(
    actor: &ActorId,
    message: v1::SubmitTaskRequest,
) -> Result<(TaskRequest, LockRef), Refused> {
    let spec = message.spec.ok_or_else(|| malformed("spec is missing"))?;
    let lock = match message.budget_lock_ref.as_slice() {
        [] => return Err((Code::EscrowMissing, "budget_lock_ref is missing".to_owned())),
        bytes => LockRef(digest(bytes, "budget_lock_ref")?),
    };
    if message.recipient_key.len() != 32 {
        return Err(malformed("recipient_key has 32 bytes"));
    }
    let request =
        RequestId::new(&message.request_id).map_err(|error| malformed(format!("request_id: {error}")))?;
    Ok((task(actor, request, spec, message.recipient_key)?, lock))
}

/// Reads a task as it is quoted: no request id and no recipient yet. **Errors**: as [`task_request`].
pub fn quote_request(actor: &ActorId, spec: v1::TaskSpec) -> Result<TaskRequest, Refused> {
    let request = RequestId::new("quote").map_err(|error| malformed(error.to_string()))?;
    task(actor, request, spec, vec![0; 32])
}

/// Reads a task id. **Errors**: `ADM-0001`.
pub fn task_id(message: &v1::TaskRef) -> Result<TaskId, Refused> {
    digest(&message.task_id, "task_id").map(TaskId)
}

/// Reads a task as a submitter states it, with its name and the key that opens the result. **Errors**: as
/// [`task_request`].
pub fn task(
    actor: &ActorId,
    request: RequestId,
    spec: v1::TaskSpec,
    recipient: Vec<u8>,
) -> Result<TaskRequest, Refused> {
    if spec.vault_ids.is_empty() || spec.vault_ids.len() > VAULTS_PER_TASK_MAX {
        return Err(malformed(format!("vault_ids has 1 to {VAULTS_PER_TASK_MAX} entries")));
    }
    let vaults = spec
        .vault_ids
        .iter()
        .map(|vault| VaultId::new(vault).map_err(|error| malformed(format!("vault_ids: {error}"))))
        .collect::<Result<Vec<_>, _>>()?;
    let quorum = u16::try_from(spec.minimum_vault_quorum)
        .map_err(|_| (Code::QuorumInvalid, "minimum_vault_quorum is too large".to_owned()))?;
    Ok(TaskRequest {
        request,
        submitter: actor.clone(),
        scope: UsageScope::new(&spec.usage_scope)
            .map_err(|error| malformed(format!("usage_scope: {error}")))?,
        vaults,
        quorum,
        work: work(spec)?,
        recipient,
    })
}

/// What a specification of a class that several Vaults serve asks for.
fn work(spec: v1::TaskSpec) -> Result<Work, Refused> {
    let plain = spec.operands.is_empty()
        && spec.who.is_none()
        && spec.output_attribute.is_empty()
        && spec.audience_cap == 0
        && spec.rank_by.is_empty();
    let at = spec.evaluate_at_ms.map(OrderedMillis);
    match (spec.task_class.as_str(), spec.training, spec.compute, spec.statistic) {
        ("query", None, None, None) => Ok(Work::Audience(AudienceQuery {
            who: match spec.who {
                Some(who) if spec.operands.is_empty() => selection::selection(who)?,
                Some(_) => return Err(malformed("operands and who are two ways to say the same")),
                None => Selection::Record(operands(spec.operands, 1)?),
            },
            output: AttributeName::new(&spec.output_attribute)
                .map_err(|error| malformed(format!("output_attribute: {error}")))?,
            cap: spec.audience_cap,
            rank_by: match spec.rank_by.as_str() {
                "" => None,
                rule => Some(RuleName::new(rule).map_err(|error| malformed(format!("rank_by: {error}")))?),
            },
            evaluate_at: at,
        })),
        ("train", Some(_), None, None)
        | ("compute", None, Some(_), None)
        | ("query", None, None, Some(_))
            if !plain =>
        {
            Err(malformed("operands, who, output_attribute, audience_cap and rank_by are of audiences"))
        }
        ("query", None, None, Some(asked)) => Ok(Work::Statistic(statistic::request(asked, at)?)),
        ("train", Some(training), None, None) => {
            Ok(Work::Training(TrainingRequest { training: training::training(training)?, evaluate_at: at }))
        }
        ("compute", None, Some(compute), None) => Ok(Work::Compute(compute::request(compute, at)?)),
        ("query" | "train" | "compute", ..) => Err(malformed(
            "statistic is given for task_class query, training for train, compute for compute, and only for it",
        )),
        (other, ..) => Err((Code::ClassUnknown, format!("task_class {other:?}"))),
    }
}

pub(crate) fn operands(messages: Vec<v1::Operand>, least: usize) -> Result<Vec<Operand>, Refused> {
    if !(least..=OPERANDS_MAX).contains(&messages.len()) {
        return Err(malformed(format!("operands has {least} to {OPERANDS_MAX} entries")));
    }
    messages.into_iter().map(operand).collect()
}

fn operand(message: v1::Operand) -> Result<Operand, Refused> {
    use v1::operand::Argument as Wire;
    let rule = RuleName::new(&message.rule).map_err(|error| malformed(format!("rule: {error}")))?;
    let argument = match message.argument.ok_or_else(|| malformed("an operand has no argument"))? {
        Wire::Text(text) => Argument::Text(checked_text(text)?),
        Wire::Texts(list) if list.values.is_empty() || list.values.len() > SET_VALUES_MAX => {
            return Err(malformed(format!("texts has 1 to {SET_VALUES_MAX} entries")));
        }
        Wire::Texts(list) => {
            Argument::Texts(list.values.into_iter().map(checked_text).collect::<Result<_, _>>()?)
        }
        Wire::Days(days) => Argument::Days(days),
        Wire::AtLeast(bound) => Argument::AtLeast(bound),
        Wire::Range(v1::NumberRange { least, most }) => Argument::Range { least, most },
    };
    Ok(Operand { rule, argument })
}

fn checked_text(text: String) -> Result<String, Refused> {
    if text.trim().is_empty() || text.len() > TEXT_LEN_MAX {
        return Err(malformed(format!("a text has 1 to {TEXT_LEN_MAX} bytes")));
    }
    Ok(text)
}

fn digest(bytes: &[u8], field: &str) -> Result<Digest, Refused> {
    bytes.try_into().map(Digest).map_err(|_| malformed(format!("{field} has 32 bytes")))
}

fn malformed(detail: impl Into<String>) -> Refused {
    (Code::Malformed, detail.into())
}

/// A fee as a message.
pub fn fee(fee: &Fee) -> v1::Fee {
    v1::Fee {
        base: fee.base.0,
        vaults: fee.vaults.0,
        records: fee.records.0,
        aggregation: fee.aggregation.0,
        fuel: fee.fuel.0,
        epsilon: fee.epsilon.0,
        total: fee.total.0,
    }
}

/// A share as a message.
pub fn share(share: &Share) -> v1::ShareEntry {
    v1::ShareEntry {
        recipient_class: recipient_class(share.class).to_owned(),
        vault_id: share.vault.as_ref().map(ToString::to_string).unwrap_or_default(),
        recipient: share.recipient.to_string(),
        amount: share.amount.0,
    }
}

/// The word for a recipient class.
pub const fn recipient_class(class: RecipientClass) -> &'static str {
    match class {
        RecipientClass::Contributors => "contributors",
        RecipientClass::VaultOperator => "vault_operator",
        RecipientClass::Executor => "executor",
        RecipientClass::Aggregator => "aggregator",
        RecipientClass::Verifier => "verifier",
        RecipientClass::Treasury => "treasury",
    }
}

/// The word for an outcome.
pub const fn outcome(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Audience { .. } => "audience",
        Outcome::Suppressed => "suppressed",
        Outcome::Step { .. } => "step",
        Outcome::Model { .. } => "model",
        Outcome::Withheld { .. } => "withheld",
        Outcome::Computed { .. } => "computed",
    }
}
