//! A training from its file to the opened model: a submission in natural units whose result is a model (R097, R098, R100,
//! R209). Numbers become the platform's whole numbers exactly, or not at all.

mod units;

pub(crate) use units::MILLIONTHS;
pub use units::Misfit;

use serde::{Deserialize, Serialize};
use symphony_protocol::artifact::training::TrainedModel;
use symphony_types::id::RequestId;

use crate::shape::training as whole;
use crate::shape::{Operand, Task, TaskSpec};
use crate::submission::{Step, Submission, SubmissionError, Submitter};
use units::{BILLIONTHS, THOUSANDTHS, TRILLIONTHS, Unit};

/// A training as its author writes it, in JSON or TOML. Unknown fields are errors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingSpec {
    /// What the model is trained for.
    pub usage_scope: String,
    /// Vaults to ask.
    pub vaults: Vec<String>,
    /// How many of them must answer, in every round.
    pub quorum: u32,
    /// The kind of model.
    pub model: Model,
    /// The attribute that says when a record happened.
    pub time: String,
    /// People with a record that satisfies all take part; everybody when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cohort: Vec<Operand>,
    /// One number a person each, in order; none for affinity.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<Feature>,
    /// What is to be predicted, of `logistic` and `perceptron`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Label>,
    /// Hyper-parameters.
    pub settings: Settings,
    /// What is noised, and how much.
    pub privacy: Privacy,
    /// Steps of the model.
    pub rounds: u32,
    /// Steps between two evaluations.
    pub evaluate_every: u32,
    /// The training ends after so many evaluations without a better quality; zero: never early.
    #[serde(default)]
    pub patience: u32,
    /// The share of people who are held out for evaluation.
    pub held_out: f64,
    /// The least quality of a model that is released: AUC, silhouette or recall.
    pub accept_from: f64,
    /// Features look back from here, labels ahead; from the admission when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluate_at_ms: Option<u64>,
}

/// The kind of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Model {
    /// Logistic regression on the label.
    Logistic {
        /// What each Vault does by itself in a round; one step along the mean gradient of all Vaults when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        local: Option<Local>,
    },
    /// One hidden layer on the label.
    Perceptron {
        /// Hidden units.
        hidden: u32,
    },
    /// K-means.
    Clusters {
        /// Clusters.
        clusters: u32,
    },
    /// Factors of items.
    Affinity {
        /// Factors an item.
        rank: u32,
        /// The attribute that names an item.
        attribute: String,
        /// All items.
        items: Vec<String>,
        /// How far back lists go.
        days: u32,
        /// How many of a person's best items are compared with those held out.
        best: u32,
    },
}

/// Steps that each Vault takes by itself in a round. The learning rate of the settings is then how far along the Vaults'
/// average the model goes: with one, the average of their models is the next.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Local {
    /// How many.
    pub steps: u32,
    /// The length of one; the longest that is allowed, `4 / norm^2`, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// A person's features, with the one of the bias, are shortened to this norm; twice the clipping norm when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub norm: Option<f64>,
}

/// One number a person, out of the records of its window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feature {
    /// `recency`, `frequency`, `sum`, `mean`, `share` or `distinct`.
    pub family: String,
    /// What is summed, averaged, shared out or told apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attribute: Option<String>,
    /// Which records count; all of the window when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filter: Vec<Operand>,
    /// The window: so many days up to the evaluation time.
    pub days: u32,
    /// How the number is brought to about one.
    pub scale: Scale,
}

/// `(value - centre) / spread`, cut off at `bound` on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scale {
    /// Whether the value is `ln(1 + value)` instead.
    #[serde(default)]
    pub logarithm: bool,
    /// What becomes zero.
    #[serde(default)]
    pub centre: f64,
    /// What becomes one.
    pub spread: f64,
    /// Nothing is farther from zero.
    pub bound: f64,
}

/// What is to be predicted: whether there is a record after the evaluation time that satisfies all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Label {
    /// All must hold for one record; any record when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub condition: Vec<Operand>,
    /// How many days after the evaluation time count.
    pub days: u32,
}

/// Hyper-parameters.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The most that one person changes a sum.
    pub clip: f64,
    /// The length of a step; clusters have none.
    #[serde(default = "one")]
    pub learning_rate: f64,
    /// How much of the last step goes into the next.
    #[serde(default)]
    pub momentum: f64,
    /// The pull of all weights but the biases to zero.
    #[serde(default)]
    pub penalty: f64,
    /// Affinity: the pull of a person's factors to zero.
    #[serde(default = "ridge")]
    pub ridge: f64,
    /// Affinity: the weight of an item that a person does not list.
    #[serde(default)]
    pub unlisted: f64,
}

/// What every release of a training is noised with.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Privacy {
    /// The noise of each step, in clipping norms.
    pub noise: f64,
    /// The chance of each person to take part in a step.
    #[serde(default = "one")]
    pub sampling: f64,
    /// The noise of each evaluation, in what one person changes.
    pub evaluation_noise: f64,
    /// The chance that the loss is exceeded.
    pub delta: f64,
}

/// Local steps of a model for which nobody has shown what one person changes in several of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("only a logistic model has local steps")]
pub struct NoLocalSteps;

/// The end of a training.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trained {
    /// The task in its last state.
    pub task: Task,
    /// The opened result, of a task that completed; without parameters when the model was withheld.
    pub model: Option<TrainedModel>,
}

impl Submitter {
    /// The whole training. **Errors**: [`SubmissionError`]; a task that was rejected after admission is no error.
    pub async fn train(
        &self,
        spec: &TrainingSpec,
        request: &RequestId,
        step: impl FnMut(Step),
    ) -> Result<Trained, SubmissionError> {
        let task = self.follow(spec, request, step).await?;
        if task.state != "completed" {
            return Ok(Trained { task, model: None });
        }
        let result = self.client.result(task.task_id).await?;
        let model = self.recipient.open_model(task.task_id, &result.sealed)?;
        Ok(Trained { task, model: Some(model) })
    }
}

impl Submission for TrainingSpec {
    fn spec(&self) -> Result<TaskSpec, Misfit> {
        Ok(TaskSpec {
            task_class: "train".to_owned(),
            usage_scope: self.usage_scope.clone(),
            vault_ids: self.vaults.clone(),
            minimum_vault_quorum: self.quorum,
            operands: Vec::new(),
            who: None,
            output_attribute: String::new(),
            audience_cap: 0,
            rank_by: None,
            evaluate_at_ms: self.evaluate_at_ms,
            training: Some(self.training()?),
            compute: None,
            statistic: None,
        })
    }
}

impl TrainingSpec {
    /// The same with so many local steps; one is the plain method. **Errors**: the kind of a model that has none.
    pub fn with_local_steps(mut self, steps: u32) -> Result<Self, NoLocalSteps> {
        let Model::Logistic { local } = &mut self.model else { return Err(NoLocalSteps) };
        let (rate, norm) = local.map_or((None, None), |local| (local.rate, local.norm));
        *local = (steps != 1).then_some(Local { steps, rate, norm });
        Ok(self)
    }

    fn training(&self) -> Result<whole::Training, Misfit> {
        let Self { settings, privacy, .. } = self;
        let label = self.label.clone();
        Ok(whole::Training {
            model: self.model.whole(settings)?,
            time_attribute: self.time.clone(),
            cohort: self.cohort.clone(),
            features: (1..)
                .zip(&self.features)
                .map(|(number, feature)| feature.whole(number))
                .collect::<Result<_, _>>()?,
            label: label.map(|Label { condition, days }| whole::TrainingLabel { condition, days }),
            settings: whole::TrainingSettings {
                clip_milli: THOUSANDTHS.of("settings.clip", settings.clip)?,
                learning_rate_micro: MILLIONTHS.of("settings.learning_rate", settings.learning_rate)?,
                momentum_milli: THOUSANDTHS.of("settings.momentum", settings.momentum)?,
                penalty_micro: MILLIONTHS.of("settings.penalty", settings.penalty)?,
                ridge_milli: THOUSANDTHS.of("settings.ridge", settings.ridge)?,
                unlisted_milli: THOUSANDTHS.of("settings.unlisted", settings.unlisted)?,
            },
            privacy: whole::TrainingPrivacy {
                noise_milli: THOUSANDTHS.of("privacy.noise", privacy.noise)?,
                sampling_nano: BILLIONTHS.of("privacy.sampling", privacy.sampling)?,
                evaluation_noise_milli: THOUSANDTHS
                    .of("privacy.evaluation_noise", privacy.evaluation_noise)?,
                delta_pico: TRILLIONTHS.of("privacy.delta", privacy.delta)?,
            },
            rounds: self.rounds,
            evaluate_every: self.evaluate_every,
            patience: self.patience,
            held_out_permille: THOUSANDTHS.of("held_out", self.held_out)?,
            accept_from_micro: MILLIONTHS.of("accept_from", self.accept_from)?,
        })
    }
}

impl Model {
    fn whole(&self, settings: &Settings) -> Result<whole::ModelKind, Misfit> {
        use whole::ModelKind;
        Ok(match self {
            Self::Logistic { local: None } => ModelKind::of("logistic"),
            Self::Logistic { local: Some(local) } => local.whole(settings)?,
            Self::Perceptron { hidden } => ModelKind { hidden: *hidden, ..ModelKind::of("perceptron") },
            Self::Clusters { clusters } => ModelKind { clusters: *clusters, ..ModelKind::of("clusters") },
            Self::Affinity { rank, attribute, items, days, best } => ModelKind {
                rank: *rank,
                item_attribute: attribute.clone(),
                items: items.clone(),
                days: *days,
                best: *best,
                ..ModelKind::of("affinity")
            },
        })
    }
}

impl Local {
    fn whole(&self, settings: &Settings) -> Result<whole::ModelKind, Misfit> {
        let norm: u32 = match self.norm {
            Some(norm) => THOUSANDTHS.of("model.local.norm", norm)?,
            None => THOUSANDTHS.of::<u32>("settings.clip", settings.clip)?.saturating_mul(2),
        };
        let rate = match self.rate {
            Some(rate) => MILLIONTHS.of("model.local.rate", rate)?,
            None => u32::try_from(4_000_000_000_000 / u64::from(norm).pow(2).max(1)).unwrap_or(u32::MAX),
        };
        let (local_steps, local_rate_micro, local_norm_milli) = (self.steps, rate, norm);
        let plain = whole::ModelKind::of("logistic");
        Ok(whole::ModelKind { local_steps, local_rate_micro, local_norm_milli, ..plain })
    }
}

impl Feature {
    fn whole(&self, number: usize) -> Result<whole::Feature, Misfit> {
        fn scaled<T: TryFrom<i128>>(
            unit: &Unit,
            number: usize,
            field: &str,
            value: f64,
        ) -> Result<T, Misfit> {
            unit.of(&format!("feature {number}: scale.{field}"), value)
        }
        let Scale { logarithm, centre, spread, bound } = self.scale;
        Ok(whole::Feature {
            family: self.family.clone(),
            attribute: self.attribute.clone().unwrap_or_default(),
            filter: self.filter.clone(),
            days: self.days,
            logarithm,
            centre_micro: scaled(&MILLIONTHS, number, "centre", centre)?,
            spread_micro: scaled(&MILLIONTHS, number, "spread", spread)?,
            bound_milli: scaled(&THOUSANDTHS, number, "bound", bound)?,
        })
    }
}

const fn one() -> f64 {
    1.0
}

const fn ridge() -> f64 {
    0.1
}

#[cfg(test)]
mod tests;
