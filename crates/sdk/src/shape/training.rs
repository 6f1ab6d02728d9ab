//! JSON shapes of trainings, in the whole numbers of the protobuf messages: what is fixed at admission is hashed
//! (R097, R098, R104).

use serde::{Deserialize, Serialize};
use symphony_wire::v1;

use super::Operand;

shapes! {
    /// What is trained, on what, and how.
    Training {
        model: ModelKind,
        time_attribute: String,
        cohort: Vec<Operand>,
        features: Vec<Feature>,
        label: Option<TrainingLabel>,
        settings: TrainingSettings,
        privacy: TrainingPrivacy,
        rounds: u32,
        evaluate_every: u32,
        patience: u32,
        held_out_permille: u32,
        accept_from_micro: u32,
    }

    /// The kind of a model and its sizes; those of other kinds are zero and empty.
    ModelKind {
        kind: String,
        hidden: u32,
        clusters: u32,
        rank: u32,
        item_attribute: String,
        items: Vec<String>,
        days: u32,
        best: u32,
        /// Steps that each Vault takes by itself in a round.
        local_steps: u32,
        local_rate_micro: u32,
        local_norm_milli: u32,
    }

    /// One number a person.
    Feature {
        family: String,
        attribute: String,
        filter: Vec<Operand>,
        days: u32,
        logarithm: bool,
        centre_micro: i64,
        spread_micro: u64,
        bound_milli: u32,
    }

    /// What is to be predicted.
    TrainingLabel {
        condition: Vec<Operand>,
        days: u32,
    }

    /// Hyper-parameters.
    TrainingSettings {
        clip_milli: u32,
        learning_rate_micro: u32,
        momentum_milli: u32,
        penalty_micro: u32,
        ridge_milli: u32,
        unlisted_milli: u32,
    }

    /// What every release is noised with.
    TrainingPrivacy {
        noise_milli: u32,
        sampling_nano: u32,
        evaluation_noise_milli: u32,
        delta_pico: u64,
    }

    /// How far a training is.
    TrainingProgress {
        rounds: u32,
        done: u32,
        spent_micro_epsilon: u64,
        reserved_micro_epsilon: u64,
        curve: Vec<EvaluationEntry>,
        model_digest: String,
        /// Where parts are combined: `tee` or `mpc`.
        environment: String,
    }

    /// How good the model was on people held out.
    EvaluationEntry {
        /// Steps that the model had.
        step: u32,
        /// AUC, silhouette or recall.
        quality_micro: u32,
        log_loss_micro: Option<u32>,
        calibration_error_micro: Option<u32>,
    }

    /// The sealed transcript of one step.
    SealedStep {
        #[serde(with = "super::hex_bytes")]
        sealed: Vec<u8>,
        sealed_digest: String,
    }
}

impl Training {
    /// The message that the platform reads.
    pub(crate) fn message(&self) -> v1::Training {
        let Self { model, settings, privacy, .. } = self;
        v1::Training {
            model: Some(v1::ModelKind {
                kind: model.kind.clone(),
                hidden: model.hidden,
                clusters: model.clusters,
                rank: model.rank,
                item_attribute: model.item_attribute.clone(),
                items: model.items.clone(),
                days: model.days,
                best: model.best,
                local_steps: model.local_steps,
                local_rate_micro: model.local_rate_micro,
                local_norm_milli: model.local_norm_milli,
            }),
            time_attribute: self.time_attribute.clone(),
            cohort: self.cohort.iter().map(Operand::message).collect(),
            features: self.features.iter().map(Feature::message).collect(),
            label: self.label.as_ref().map(|label| v1::TrainingLabel {
                condition: label.condition.iter().map(Operand::message).collect(),
                days: label.days,
            }),
            settings: Some(v1::TrainingSettings {
                clip_milli: settings.clip_milli,
                learning_rate_micro: settings.learning_rate_micro,
                momentum_milli: settings.momentum_milli,
                penalty_micro: settings.penalty_micro,
                ridge_milli: settings.ridge_milli,
                unlisted_milli: settings.unlisted_milli,
            }),
            privacy: Some(v1::TrainingPrivacy {
                noise_milli: privacy.noise_milli,
                sampling_nano: privacy.sampling_nano,
                evaluation_noise_milli: privacy.evaluation_noise_milli,
                delta_pico: privacy.delta_pico,
            }),
            rounds: self.rounds,
            evaluate_every: self.evaluate_every,
            patience: self.patience,
            held_out_permille: self.held_out_permille,
            accept_from_micro: self.accept_from_micro,
        }
    }
}

impl ModelKind {
    /// A kind without sizes.
    pub fn of(kind: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            hidden: 0,
            clusters: 0,
            rank: 0,
            item_attribute: String::new(),
            items: Vec::new(),
            days: 0,
            best: 0,
            local_steps: 0,
            local_rate_micro: 0,
            local_norm_milli: 0,
        }
    }
}

impl Feature {
    fn message(&self) -> v1::Feature {
        v1::Feature {
            family: self.family.clone(),
            attribute: self.attribute.clone(),
            filter: self.filter.iter().map(Operand::message).collect(),
            days: self.days,
            logarithm: self.logarithm,
            centre_micro: self.centre_micro,
            spread_micro: self.spread_micro,
            bound_milli: self.bound_milli,
        }
    }
}
