//! A computation from its file to the opened result: approved code over the records of a cohort (R023, R093-R096, R209).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use symphony_protocol::artifact::compute::ComputedResult;
use symphony_types::id::RequestId;

use crate::shape::compute::Compute;
use crate::shape::{Operand, Task, TaskSpec};
use crate::submission::{Step, Submission, SubmissionError, Submitter};
use crate::training::{MILLIONTHS, Misfit};

/// A computation as its author writes it, in JSON or TOML. Unknown fields are errors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComputationSpec {
    /// What the result is used for.
    pub usage_scope: String,
    /// Vaults to ask.
    pub vaults: Vec<String>,
    /// How many of them must answer.
    pub quorum: u32,
    /// The module in the catalogue; its latest approved version is taken.
    pub module: String,
    /// A number for each declared parameter, by name.
    #[serde(default)]
    pub parameters: BTreeMap<String, i64>,
    /// Texts for each listed input, by attribute.
    #[serde(default)]
    pub lists: BTreeMap<String, Vec<String>>,
    /// People with a record for which all hold take part; everybody when empty.
    #[serde(default)]
    pub cohort: Vec<Operand>,
    /// What each person is charged for the whole result. **Units**: epsilon.
    pub epsilon: f64,
    /// People of one Vault at most; a Vault that has more takes no part.
    pub people_max: u32,
    /// Records of one Vault at most; likewise.
    pub records_max: u64,
    /// Recency is measured from here; from the admission when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluate_at_ms: Option<u64>,
}

impl Submission for ComputationSpec {
    fn spec(&self) -> Result<TaskSpec, Misfit> {
        Ok(TaskSpec {
            task_class: "compute".to_owned(),
            usage_scope: self.usage_scope.clone(),
            vault_ids: self.vaults.clone(),
            minimum_vault_quorum: self.quorum,
            operands: Vec::new(),
            who: None,
            output_attribute: String::new(),
            audience_cap: 0,
            rank_by: None,
            evaluate_at_ms: self.evaluate_at_ms,
            training: None,
            statistic: None,
            compute: Some(Compute {
                module: self.module.clone(),
                parameters: self.parameters.clone(),
                lists: self.lists.clone(),
                cohort: self.cohort.clone(),
                epsilon_micro: MILLIONTHS.of("epsilon", self.epsilon)?,
                people_max: self.people_max,
                records_max: self.records_max,
            }),
        })
    }
}

/// The end of a computation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Computed {
    /// The task in its last state.
    pub task: Task,
    /// The opened result, of a task that completed.
    pub result: Option<ComputedResult>,
}

impl Submitter {
    /// The whole computation. **Errors**: [`SubmissionError`]; a task that was rejected after admission is no error.
    pub async fn compute(
        &self,
        spec: &ComputationSpec,
        request: &RequestId,
        step: impl FnMut(Step),
    ) -> Result<Computed, SubmissionError> {
        let task = self.follow(spec, request, step).await?;
        if task.state != "completed" {
            return Ok(Computed { task, result: None });
        }
        let sealed = self.client.result(task.task_id).await?.sealed;
        let result = self.recipient.open_computed(task.task_id, &sealed)?;
        Ok(Computed { task, result: Some(result) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOML: &str = r#"
        usage_scope = "research"
        vaults = ["vault-a", "vault-b"]
        quorum = 2
        module = "histogram"
        parameters = { from_ms = 0, until_ms = 2000000000000, width_cents = 500 }
        cohort = [{ rule = "commerce.brand_purchase", text = "Luckin Coffee" }]
        epsilon = 0.25
        people_max = 1000
        records_max = 50000
    "#;

    /// R094: what the author writes is what is asked for, epsilon in whole millionths.
    #[test]
    fn a_file_becomes_a_task_of_class_compute() {
        let spec: ComputationSpec = toml::from_str(TOML).unwrap();
        let task = spec.spec().unwrap();
        let compute = task.compute.unwrap();
        assert_eq!(task.task_class, "compute");
        assert_eq!((compute.epsilon_micro, compute.parameters["width_cents"]), (250_000, 500));
        assert_eq!(compute.cohort[0].text.as_deref(), Some("Luckin Coffee"));
    }

    #[test]
    fn unknown_fields_and_a_broken_epsilon_are_errors() {
        assert!(toml::from_str::<ComputationSpec>(&TOML.replace("module", "modul")).is_err());
        for wrong in ["-1.0", "0.00000001", "1e300"] {
            let spec: ComputationSpec = toml::from_str(&TOML.replace("0.25", wrong)).unwrap();
            assert!(spec.spec().is_err(), "{wrong}");
        }
    }
}
