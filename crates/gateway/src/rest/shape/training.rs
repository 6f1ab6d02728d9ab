//! JSON shapes of trainings: what is asked, how far it is, the transcript of a step (R097, R098, R104). Whole numbers as
//! in the protobuf messages, because what is fixed at admission is hashed. Unknown fields are refused.

use serde::{Deserialize, Serialize};
use symphony_wire::v1;
use utoipa::ToSchema;

use super::{Operand, each, operands, read, same};
use crate::problem::Problem;

/// What is trained, on what, and how.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Training {
    model: ModelKind,
    /// Says when a record happened, such as `commerce.purchase_date`.
    time_attribute: String,
    /// People with a record that satisfies all take part; everybody when empty.
    #[serde(default)]
    cohort: Vec<Operand>,
    /// One number a person each, in order; none for affinity.
    #[serde(default)]
    features: Vec<Feature>,
    /// What is to be predicted; of `logistic` and `perceptron` only.
    #[serde(default)]
    label: Option<TrainingLabel>,
    settings: TrainingSettings,
    privacy: TrainingPrivacy,
    /// Steps of the model.
    rounds: u32,
    /// Steps between two evaluations.
    evaluate_every: u32,
    /// The training ends after so many evaluations without a better quality; 0: never early.
    #[serde(default)]
    patience: u32,
    /// People who are held out for evaluation, in thousandths.
    held_out_permille: u32,
    /// The least quality of a model that is released, in millionths.
    accept_from_micro: u32,
}

/// The kind of a model and its sizes; those of other kinds are left out.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ModelKind {
    /// `logistic`, `perceptron`, `clusters` or `affinity`.
    kind: String,
    /// Hidden units of a perceptron.
    #[serde(default)]
    hidden: u32,
    /// Clusters.
    #[serde(default)]
    clusters: u32,
    /// Affinity: factors an item.
    #[serde(default)]
    rank: u32,
    /// Affinity: names an item, such as `commerce.category`.
    #[serde(default)]
    item_attribute: String,
    /// Affinity: all items.
    #[serde(default)]
    items: Vec<String>,
    /// Affinity: how far back lists go.
    #[serde(default)]
    days: u32,
    /// Affinity: how many of a person's best items are compared with those held out.
    #[serde(default)]
    best: u32,
    /// Of `logistic`: steps that each Vault takes by itself in a round; 0 and 1: the plain method.
    #[serde(default)]
    local_steps: u32,
    /// The length of such a step; then `learning_rate_micro` is how far along the Vaults' average the model goes.
    #[serde(default)]
    local_rate_micro: u32,
    /// With local steps: the features of a person are shortened to this norm.
    #[serde(default)]
    local_norm_milli: u32,
}

/// One number a person, out of the records of a window, brought to about one: `(value - centre) / spread`, cut off at
/// `bound` on both sides.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Feature {
    /// `recency`, `frequency`, `sum`, `mean`, `share` or `distinct`.
    family: String,
    /// Of `sum`, `mean`, `share` and `distinct`.
    #[serde(default)]
    attribute: String,
    /// Which records count; all of the window when empty.
    #[serde(default)]
    filter: Vec<Operand>,
    /// The window before the evaluation time.
    days: u32,
    /// Whether the value is `ln(1 + value)` instead.
    #[serde(default)]
    logarithm: bool,
    #[serde(default)]
    centre_micro: i64,
    spread_micro: u64,
    bound_milli: u32,
}

/// What is to be predicted: whether there is a record after the evaluation time that satisfies all.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrainingLabel {
    /// All must hold for one record; any record when empty.
    #[serde(default)]
    condition: Vec<Operand>,
    /// How many days after the evaluation time count.
    days: u32,
}

/// Hyper-parameters.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrainingSettings {
    /// The most that one person changes a sum, in thousandths.
    clip_milli: u32,
    learning_rate_micro: u32,
    momentum_milli: u32,
    penalty_micro: u32,
    /// Of affinity.
    ridge_milli: u32,
    /// Of affinity.
    unlisted_milli: u32,
}

/// What every release is noised with.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrainingPrivacy {
    /// Of each step, in thousandths of the clipping norm.
    noise_milli: u32,
    /// The chance of each person to take part in a step, in billionths.
    sampling_nano: u32,
    /// Of each evaluation, in thousandths of what one person changes.
    evaluation_noise_milli: u32,
    /// The chance that the loss is exceeded, in 1e-12.
    delta_pico: u64,
}

impl Training {
    pub(super) fn into_message(self) -> Result<v1::Training, Problem> {
        let label = self.label.map(|label| {
            Ok::<_, Problem>(v1::TrainingLabel { condition: operands(label.condition)?, days: label.days })
        });
        Ok(v1::Training {
            model: Some(self.model.into_message()),
            time_attribute: self.time_attribute,
            cohort: operands(self.cohort)?,
            features: self.features.into_iter().map(Feature::into_message).collect::<Result<_, _>>()?,
            label: label.transpose()?,
            settings: Some(v1::TrainingSettings {
                clip_milli: self.settings.clip_milli,
                learning_rate_micro: self.settings.learning_rate_micro,
                momentum_milli: self.settings.momentum_milli,
                penalty_micro: self.settings.penalty_micro,
                ridge_milli: self.settings.ridge_milli,
                unlisted_milli: self.settings.unlisted_milli,
            }),
            privacy: Some(v1::TrainingPrivacy {
                noise_milli: self.privacy.noise_milli,
                sampling_nano: self.privacy.sampling_nano,
                evaluation_noise_milli: self.privacy.evaluation_noise_milli,
                delta_pico: self.privacy.delta_pico,
            }),
            rounds: self.rounds,
            evaluate_every: self.evaluate_every,
            patience: self.patience,
            held_out_permille: self.held_out_permille,
            accept_from_micro: self.accept_from_micro,
        })
    }
}

impl ModelKind {
    fn into_message(self) -> v1::ModelKind {
        v1::ModelKind {
            kind: self.kind,
            hidden: self.hidden,
            clusters: self.clusters,
            rank: self.rank,
            item_attribute: self.item_attribute,
            items: self.items,
            days: self.days,
            best: self.best,
            local_steps: self.local_steps,
            local_rate_micro: self.local_rate_micro,
            local_norm_milli: self.local_norm_milli,
        }
    }
}

impl Feature {
    fn into_message(self) -> Result<v1::Feature, Problem> {
        Ok(v1::Feature {
            family: self.family,
            attribute: self.attribute,
            filter: operands(self.filter)?,
            days: self.days,
            logarithm: self.logarithm,
            centre_micro: self.centre_micro,
            spread_micro: self.spread_micro,
            bound_milli: self.bound_milli,
        })
    }
}

answers! {
    /// How far a training is.
    TrainingProgress {
        /// Steps that the plan has.
        rounds: u32 = same;
        /// Rounds that are recorded; the last one releases the model and has no step.
        done: u32 = same;
        /// What each person has lost so far.
        spent_micro_epsilon: u64 = same;
        reserved_micro_epsilon: u64 = same;
        /// In order.
        curve: Vec<EvaluationEntry> = each;
        /// Of a released model; empty before.
        model_digest: String = hex::encode;
        /// Where the Vaults' parts are combined: `tee`, in one attested enclave, or `mpc`, on shares in two.
        environment: String = same;
    }

    /// How good the model was on people held out, out of noised counts.
    EvaluationEntry {
        /// Steps that the model had.
        step: u32 = same;
        /// AUC, silhouette or recall.
        quality_micro: u32 = same;
        log_loss_micro: Option<u32> = same;
        calibration_error_micro: Option<u32> = same;
    }

    /// The transcript of one step of a completed training.
    SealedStep {
        /// HPKE message for the recipient key of the request.
        sealed: String = hex::encode;
        /// SHA-256 of the sealed message, as a majority of the masters has it.
        sealed_digest: String = hex::encode;
    }
}
