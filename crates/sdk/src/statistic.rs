//! Queries from their files: an audience, or a statistic over the people whom a selection means (R023, R093, R209).

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use symphony_protocol::artifact::AudienceResult;
use symphony_protocol::artifact::statistic::StatisticResult;
use symphony_types::id::RequestId;

use crate::campaign::CampaignSpec;
use crate::shape::statistic::{ClampedSum, Histogram, Selection, Statistic};
use crate::shape::{Task, TaskSpec};
use crate::submission::{Step, Submission, SubmissionError, Submitter};
use crate::training::{MILLIONTHS, Misfit};

/// A statistic as its author writes it, in JSON or TOML. Unknown fields are errors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatisticSpec {
    /// What the result is used for.
    pub usage_scope: String,
    /// Vaults to ask.
    pub vaults: Vec<String>,
    /// How many of them must answer.
    pub quorum: u32,
    /// What is measured.
    pub output: Output,
    /// Whose.
    pub who: Selection,
    /// What each person is charged for the whole result. **Units**: epsilon.
    pub epsilon: f64,
    /// Recency is measured from here; from the admission when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluate_at_ms: Option<u64>,
}

/// What a statistic measures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// How many people.
    Count,
    /// What an amount sums up to.
    Sum(ClampedSum),
    /// How many people are in each group.
    Histogram(Histogram),
}

impl Submission for StatisticSpec {
    fn spec(&self) -> Result<TaskSpec, Misfit> {
        let (sum, histogram) = match self.output.clone() {
            Output::Count => (None, None),
            Output::Sum(sum) => (Some(sum), None),
            Output::Histogram(histogram) => (None, Some(histogram)),
        };
        Ok(TaskSpec {
            task_class: "query".to_owned(),
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
            compute: None,
            statistic: Some(Statistic {
                who: self.who.clone(),
                sum,
                histogram,
                epsilon_micro: MILLIONTHS.of("epsilon", self.epsilon)?,
            }),
        })
    }
}

/// A query of either kind: `output` names an attribute that is delivered, or what is measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum QuerySpec {
    /// An audience.
    Audience(CampaignSpec),
    /// A statistic.
    Statistic(StatisticSpec),
}

impl<'de> Deserialize<'de> for QuerySpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let spec = match value.get("output") {
            // The name of an attribute has a domain; what is measured has none.
            Some(Value::String(output)) if output.contains('.') => {
                serde_json::from_value(value).map(Self::Audience)
            }
            _ => serde_json::from_value(value).map(Self::Statistic),
        };
        spec.map_err(D::Error::custom)
    }
}

impl Submission for QuerySpec {
    fn spec(&self) -> Result<TaskSpec, Misfit> {
        match self {
            Self::Audience(campaign) => campaign.spec(),
            Self::Statistic(statistic) => statistic.spec(),
        }
    }
}

/// What a query found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueryResult {
    /// People.
    Audience(AudienceResult),
    /// Numbers.
    Statistic(StatisticResult),
}

/// The end of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The task in its last state.
    pub task: Task,
    /// The opened result, of a task that completed.
    pub result: Option<QueryResult>,
}

impl Submitter {
    /// A whole query of either kind. **Errors**: [`SubmissionError`]; a task that was rejected after admission is no error.
    pub async fn query<S: Submission>(
        &self,
        spec: &S,
        request: &RequestId,
        step: impl FnMut(Step),
    ) -> Result<Answered, SubmissionError> {
        let task = self.follow(spec, request, step).await?;
        if task.state != "completed" {
            return Ok(Answered { task, result: None });
        }
        let sealed = self.client.result(task.task_id).await?.sealed;
        let result = self.recipient.open_query(task.task_id, &sealed)?;
        Ok(Answered { task, result: Some(result) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNT: &str = r#"
        usage_scope = "marketing"
        vaults = ["vault-a", "vault-b"]
        quorum = 2
        output = "count"
        epsilon = 0.5
        [who]
        all = [
            { record = [{ rule = "commerce.brand_purchase", text = "Luckin Coffee" }] },
            { not = { record = [{ rule = "commerce.purchase_recency", days = 30 }] } },
        ]
    "#;

    /// R021: what the author writes is what is asked for, epsilon in whole millionths; an audience stays one.
    #[test]
    fn a_file_becomes_a_query_of_its_kind() {
        let spec: QuerySpec = toml::from_str(COUNT).unwrap();
        let task = spec.spec().unwrap();
        let statistic = task.statistic.unwrap();
        assert_eq!((task.task_class.as_str(), statistic.epsilon_micro), ("query", 500_000));
        let Selection::All(parts) = &statistic.who else { panic!("{statistic:?}") };
        assert!(matches!(parts.as_slice(), [Selection::Record(_), Selection::Not(_)]));
        let sum = COUNT.replace("\"count\"", "{ sum = { amount = \"commerce.amount\", clamp = 20000 } }");
        let sum: QuerySpec = toml::from_str(&sum).unwrap();
        assert_eq!(sum.spec().unwrap().statistic.unwrap().sum.unwrap().clamp, 20_000);
        let audience = r#"{"usage_scope":"marketing","vaults":["vault-a"],"quorum":1,"operands":[],
            "output":"identity.contact_handle","cap":5}"#;
        let audience: QuerySpec = serde_json::from_str(audience).unwrap();
        assert!(matches!(&audience, QuerySpec::Audience(campaign) if campaign.cap == 5));
    }

    #[test]
    fn what_does_not_fit_its_output_is_an_error() {
        let wrong = [
            ("epsilon", "epsilom"),
            ("not", "nor"),
            ("\"count\"", "\"sum\""),
            ("\"count\"", "{ sum = { amount = \"commerce.amount\" } }"),
            ("\"count\"", "{ histogram = { attribute = \"commerce.category\", groups = [] } }"),
        ];
        for (from, to) in wrong {
            assert!(toml::from_str::<QuerySpec>(&COUNT.replace(from, to)).is_err(), "{to}");
        }
        let negative: QuerySpec = toml::from_str(&COUNT.replace("0.5", "-0.5")).unwrap();
        assert!(negative.spec().is_err());
    }
}
