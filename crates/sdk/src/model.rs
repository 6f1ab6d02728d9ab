//! Trained models on the disk of who had them trained (R103): each beside the evidence that it is the settled result of
//! its task, and refused where it is not.
//!
//! ```text
//! models/<task>/model.safetensors   the parameters
//! models/<task>/card.json           what the evidence says of it, for people and programs
//! models/<task>/evidence.bundle     the evidence
//! models/<task>/steps/0001.bcs      transcripts of steps, if wanted
//! ```

pub mod card;
pub mod predict;
pub mod registry;

mod tensors;

use std::path::PathBuf;

use symphony_protocol::artifact::training::{Evaluation, TrainedModel, TrainingPlan};
use symphony_protocol::artifact::{Evidence, Outcome, TaskEnvelope};
use symphony_protocol::evidence::{EndorsedBundle, EvidenceBundle};
use symphony_types::digest::Digest;
use symphony_types::id::TaskId;
use symphony_wire::documents::decode;
use thiserror::Error;

use crate::client::ClientError;
use crate::recipient::OpenError;
use crate::verify::verify;

/// A model that is not taken, or that lies in the registry and is not what it was.
#[derive(Debug, Error)]
pub enum ModelError {
    /// Nobody settled it, or not as the evidence says.
    #[error("the evidence does not verify: {0}")]
    Evidence(String),
    /// The evidence is of another task.
    #[error("the evidence is of another task: {0}")]
    Foreign(TaskId),
    /// The task trained nothing.
    #[error("the task is not a training")]
    NotTraining,
    /// The model was not as good as its task asked, and is not released.
    #[error("the model was withheld: its quality is {}, {} was asked for", millionths(*.0), millionths(*.1))]
    Withheld(u32, u32),
    /// Something is not what was settled.
    #[error("the {0} is not what was settled")]
    Changed(&'static str),
    /// The file of the parameters is none.
    #[error("reading the parameters: {0}")]
    Tensors(String),
    /// The registry has no such model.
    #[error("there is no model of task {0}")]
    Unknown(TaskId),
    /// A file cannot be read or written.
    #[error("model file {0}")]
    File(PathBuf, #[source] std::io::Error),
    /// What was delivered does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The gateway refuses, or does not answer.
    #[error(transparent)]
    Client(#[from] ClientError),
}

fn millionths(micro: u32) -> f64 {
    f64::from(micro) / 1e6
}

/// A settled training whose evidence holds, and what it released.
#[derive(Clone, Debug)]
pub struct Proven {
    bundle: EvidenceBundle,
    plan: TrainingPlan,
    model: Digest,
    evaluation: Evaluation,
}

impl Proven {
    /// Makes every check of a bundle. `trusted` is the governance that the caller expects. **Errors**: what is wrong with
    /// it; a task that is not a training; a model that was withheld.
    pub fn of(evidence: &[u8], trusted: Option<Digest>) -> Result<Self, ModelError> {
        let report = verify(evidence, trusted);
        if !report.passed() {
            let failed: Vec<_> = report
                .failed()
                .map(|check| format!("{} ({})", check.name, check.fault.as_deref().unwrap_or_default()))
                .collect();
            return Err(ModelError::Evidence(failed.join(", ")));
        }
        let bundle: EndorsedBundle =
            decode(evidence).map_err(|fault| ModelError::Evidence(fault.to_string()))?;
        let bundle = bundle.body;
        let plan = bundle.evidence.envelope.body.plan.training().ok_or(ModelError::NotTraining)?.clone();
        let (model, evaluation) = match bundle.evidence.result.aggregate.0.body.outcome {
            Outcome::Model { model, evaluation } => (model, evaluation),
            Outcome::Withheld { evaluation } => {
                return Err(ModelError::Withheld(evaluation.quality, plan.training.accept_from));
            }
            Outcome::Audience { .. }
            | Outcome::Suppressed
            | Outcome::Step { .. }
            | Outcome::Computed { .. } => return Err(ModelError::NotTraining),
        };
        Ok(Self { bundle, plan, model, evaluation })
    }

    /// The task.
    pub fn task(&self) -> TaskId {
        self.bundle.evidence.envelope.body.task
    }

    /// All that was looked at: order, receipts, rounds, result.
    pub fn evidence(&self) -> &Evidence {
        &self.bundle.evidence
    }

    /// What was trained.
    pub fn plan(&self) -> &TrainingPlan {
        &self.plan
    }

    /// Steps that were made: one in each round but the last.
    pub fn steps(&self) -> u32 {
        u32::try_from(self.bundle.evidence.rounds.len()).unwrap_or(u32::MAX)
    }

    /// SHA-256 of the sealed transcript of a round's step, for rounds before the last.
    pub fn step_digest(&self, round: u32) -> Option<Digest> {
        let at = usize::try_from(round).ok()?.checked_sub(1)?;
        Some(self.bundle.evidence.rounds.get(at)?.aggregate.0.body.result)
    }

    /// Whether this is the model that was settled. **Errors**: what of it is not.
    pub fn check(&self, trained: &TrainedModel) -> Result<(), ModelError> {
        if trained.task != self.task() {
            return Err(ModelError::Foreign(self.task()));
        }
        if trained.shape != self.plan.training.shape() {
            return Err(ModelError::Changed("shape"));
        }
        if trained.digest() != self.model {
            return Err(ModelError::Changed("parameters"));
        }
        if trained.evaluation != self.evaluation {
            return Err(ModelError::Changed("evaluation"));
        }
        if trained.steps != self.steps() {
            return Err(ModelError::Changed("number of steps"));
        }
        Ok(())
    }

    fn envelope(&self) -> &TaskEnvelope {
        &self.bundle.evidence.envelope.body
    }
}
