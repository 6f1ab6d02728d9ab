//! A campaign from its file to the opened audience: a submission whose result is an audience (R023, R093, R156, R209).

use std::path::Path;

use serde::{Deserialize, Serialize};
use symphony_protocol::artifact::AudienceResult;
use symphony_types::id::RequestId;

use crate::shape::statistic::Selection;
use crate::shape::{Operand, Task, TaskSpec};
use crate::submission::{self, Submission};
use crate::training::Misfit;

pub use crate::submission::{Step, SubmissionError as CampaignError, Submitter};

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
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operands: Vec<Operand>,
    /// Whom it means, in place of operands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<Selection>,
    /// What is delivered of each person.
    pub output: String,
    /// Most people in the audience.
    pub cap: u32,
    /// The rule of its conditions that says who comes first when more are meant; policy chooses when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank_by: Option<String>,
    /// Recency is measured from here; from the admission when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluate_at_ms: Option<u64>,
}

impl CampaignSpec {
    /// Reads a file. **Errors**: those of [`submission::read`].
    pub fn read(path: &Path) -> Result<Self, CampaignError> {
        submission::read(path)
    }

    /// The query as the interface takes it.
    pub fn task(&self) -> TaskSpec {
        TaskSpec {
            task_class: "query".to_owned(),
            usage_scope: self.usage_scope.clone(),
            vault_ids: self.vaults.clone(),
            minimum_vault_quorum: self.quorum,
            operands: self.operands.clone(),
            who: self.who.clone(),
            output_attribute: self.output.clone(),
            audience_cap: self.cap,
            rank_by: self.rank_by.clone(),
            evaluate_at_ms: self.evaluate_at_ms,
            training: None,
            compute: None,
            statistic: None,
        }
    }
}

impl Submission for CampaignSpec {
    fn spec(&self) -> Result<TaskSpec, Misfit> {
        Ok(self.task())
    }
}

/// The end of a campaign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// The task in its last state.
    pub task: Task,
    /// The opened result, of a task that completed.
    pub audience: Option<AudienceResult>,
}

impl Submitter {
    /// The whole campaign. **Errors**: [`CampaignError`]; a task that was rejected after admission is no error.
    pub async fn run(
        &self,
        spec: &CampaignSpec,
        request: &RequestId,
        step: impl FnMut(Step),
    ) -> Result<Delivered, CampaignError> {
        let task = self.follow(spec, request, step).await?;
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
