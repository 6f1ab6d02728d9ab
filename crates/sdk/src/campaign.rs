//! A campaign from its file to the opened audience: quote, lock, submit, watch, result, open (R023, R026, R156, R209).
//!
//! Every step may be repeated under the same request id: the quote records nothing, the lock is made once, and the
//! platform knows the task by its submitter's name for it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use symphony_protocol::artifact::{AudienceResult, TaskRequest};
use symphony_types::catalogue::Code;
use symphony_types::id::{ActorId, LockRef, RequestId};
use symphony_wire::{convert, v1};
use thiserror::Error;

use crate::client::{Client, ClientError};
use crate::recipient::{OpenError, Recipient};
use crate::shape::{Operand, Quote, SubmitTaskRequest, Task, TaskSpec};
use crate::wallet::{Wallet, WalletError};

/// A campaign did not get to its end.
#[derive(Debug, Error)]
pub enum CampaignError {
    /// The file cannot be read.
    #[error("reading campaign {0}")]
    File(PathBuf, #[source] std::io::Error),
    /// The file is not a campaign.
    #[error("campaign {0}: {1}")]
    Shape(PathBuf, String),
    /// What it asks for is no request.
    #[error("{0}: {1}")]
    Request(Code, String),
    /// The gateway refuses, or does not answer.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The escrow lock was not made.
    #[error(transparent)]
    Wallet(#[from] WalletError),
    /// The result does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// A campaign as its author writes it, in JSON or TOML. Unknown fields are errors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CampaignSpec {
    /// What the audience is used for.
    pub usage_scope: String,
    /// Vaults to ask.
    pub vaults: Vec<String>,
    /// How many of them must answer.
    pub quorum: u32,
    /// All must hold for one record.
    pub operands: Vec<Operand>,
    /// What is delivered of each person.
    pub output: String,
    /// Most people in the audience.
    pub cap: u32,
    /// Recency is measured from here; from the admission when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluate_at_ms: Option<u64>,
}

impl CampaignSpec {
    /// Reads a file: TOML when it ends in `toml`, else JSON. **Errors**: [`CampaignError::File`],
    /// [`CampaignError::Shape`].
    pub fn read(path: &Path) -> Result<Self, CampaignError> {
        let text =
            std::fs::read_to_string(path).map_err(|error| CampaignError::File(path.to_owned(), error))?;
        let toml = path.extension().is_some_and(|extension| extension == "toml");
        let spec = if toml {
            toml::from_str(&text).map_err(|error| error.to_string())
        } else {
            serde_json::from_str(&text).map_err(|error| error.to_string())
        };
        spec.map_err(|detail| CampaignError::Shape(path.to_owned(), detail))
    }

    /// The query as the interface takes it.
    pub fn task(&self) -> TaskSpec {
        TaskSpec {
            task_class: "query".to_owned(),
            usage_scope: self.usage_scope.clone(),
            vault_ids: self.vaults.clone(),
            minimum_vault_quorum: self.quorum,
            operands: self.operands.clone(),
            output_attribute: self.output.clone(),
            audience_cap: self.cap,
            evaluate_at_ms: self.evaluate_at_ms,
        }
    }

    /// The request that the platform makes of it: what the wallet signs for. **Errors**: [`CampaignError::Request`].
    pub fn request(
        &self,
        actor: &ActorId,
        request: &RequestId,
        recipient: [u8; 32],
    ) -> Result<TaskRequest, CampaignError> {
        let spec = v1::TaskSpec {
            task_class: "query".to_owned(),
            usage_scope: self.usage_scope.clone(),
            vault_ids: self.vaults.clone(),
            minimum_vault_quorum: self.quorum,
            operands: self.operands.iter().map(operand).collect(),
            output_attribute: self.output.clone(),
            audience_cap: self.cap,
            evaluate_at_ms: self.evaluate_at_ms,
            training: None,
        };
        convert::task(actor, request.clone(), spec, recipient.to_vec())
            .map_err(|(code, detail)| CampaignError::Request(code, detail))
    }
}

fn operand(operand: &Operand) -> v1::Operand {
    use v1::operand::Argument;
    let Operand { rule, text, texts, days, at_least } = operand.clone();
    let argument = text
        .map(Argument::Text)
        .or(texts.map(|values| Argument::Texts(v1::TextList { values })))
        .or(days.map(Argument::Days))
        .or(at_least.map(Argument::AtLeast));
    v1::Operand { rule, argument }
}

/// A step that a campaign has taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is priced.
    Quoted(Quote),
    /// The worst case is locked.
    Locked(LockRef),
    /// The task is in this state.
    Task(Box<Task>),
}

/// The end of a campaign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// The task in its last state.
    pub task: Task,
    /// The opened result, of a task that completed.
    pub audience: Option<AudienceResult>,
}

/// Everything that a submitter acts with.
pub struct Submitter {
    /// The gateway.
    pub client: Client,
    /// Pays.
    pub wallet: Wallet,
    /// Opens results.
    pub recipient: Recipient,
    /// Who asks: the subject of the client's token.
    pub actor: ActorId,
}

impl Submitter {
    /// Quotes and locks. **Errors**: [`CampaignError`].
    pub async fn lock(
        &self,
        spec: &CampaignSpec,
        request: &RequestId,
        mut step: impl FnMut(Step),
    ) -> Result<LockRef, CampaignError> {
        let quote = self.client.quote(&spec.task()).await?;
        step(Step::Quoted(quote.clone()));
        let request = spec.request(&self.actor, request, self.recipient.public())?;
        let lock = self.wallet.lock(&self.client, &request, &quote).await?;
        step(Step::Locked(lock));
        Ok(lock)
    }

    /// Quotes, locks and submits. **Errors**: [`CampaignError`].
    pub async fn submit(
        &self,
        spec: &CampaignSpec,
        request: &RequestId,
        mut step: impl FnMut(Step),
    ) -> Result<Task, CampaignError> {
        let lock = self.lock(spec, request, &mut step).await?;
        let request = SubmitTaskRequest {
            request_id: request.to_string(),
            spec: spec.task(),
            budget_lock_ref: lock.to_string(),
            recipient_key: hex::encode(self.recipient.public()),
        };
        let task = self.client.submit(&request).await?;
        step(Step::Task(Box::new(task.clone())));
        Ok(task)
    }

    /// The whole campaign. **Errors**: [`CampaignError`]; a task that was rejected after admission is no error.
    pub async fn run(
        &self,
        spec: &CampaignSpec,
        request: &RequestId,
        mut step: impl FnMut(Step),
    ) -> Result<Delivered, CampaignError> {
        let task = self.submit(spec, request, &mut step).await?;
        let task = self.client.watch(task.task_id, |task| step(Step::Task(Box::new(task.clone())))).await?;
        if task.state != "completed" {
            return Ok(Delivered { task, audience: None });
        }
        let result = self.client.result(task.task_id).await?;
        let audience = self.recipient.open(task.task_id, &result.sealed)?;
        Ok(Delivered { task, audience: Some(audience) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = r#"{"usage_scope":"marketing","vaults":["vault-a","vault-b"],"quorum":2,"operands":[
        {"rule":"commerce.brand_purchase","text":"Luckin Coffee"},{"rule":"commerce.purchase_recency","days":30}],
        "output":"identity.contact_handle","cap":5000}"#;
    const TOML: &str = r#"
        usage_scope = "marketing"
        vaults = ["vault-a", "vault-b"]
        quorum = 2
        output = "identity.contact_handle"
        cap = 5000
        operands = [
            { rule = "commerce.brand_purchase", text = "Luckin Coffee" },
            { rule = "commerce.purchase_recency", days = 30 },
        ]
    "#;

    fn read(name: &str, text: &str) -> Result<CampaignSpec, CampaignError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        CampaignSpec::read(&path)
    }

    #[test]
    fn json_and_toml_say_the_same() {
        let spec = read("coupon.json", JSON).unwrap();
        assert_eq!(read("coupon.toml", TOML).unwrap(), spec);
        assert_eq!(spec.task().operands[1].days, Some(30));
        assert_eq!(spec.task().minimum_vault_quorum, 2);
    }

    #[test]
    fn unknown_fields_are_errors() {
        let wrong = [JSON.replace("\"cap\"", "\"capp\""), JSON.replace("\"days\"", "\"weeks\"")];
        for text in wrong {
            assert!(matches!(read("coupon.json", &text), Err(CampaignError::Shape(..))));
        }
    }
}
