//! `symphony train`: from a file to the opened model, with its curve (R097, R104, R207).

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use symphony_protocol::artifact::training::{Evaluation, TrainedModel};
use symphony_sdk::shape::Task;
use symphony_sdk::shape::training::{EvaluationEntry, TrainingProgress};
use symphony_sdk::submission::{self, Submission as _};
use symphony_sdk::training::TrainingSpec;
use symphony_types::id::{RequestId, TaskId};

use super::args::training::Train;
use super::plot;
use super::run::{Session, announced};
use super::show::{self, Progress};

impl Session {
    pub(super) async fn train(&self, command: Train) -> Result<()> {
        match command {
            Train::Quote { spec, local_steps } => {
                let spec = read(&spec, local_steps)?;
                let quote = self.profile.client()?.quote(&spec.spec()?).await?;
                show::print(self.json, &quote, show::quote);
            }
            Train::Submit { spec, local_steps, request_id, no_wait, plot } => {
                let spec = read(&spec, local_steps)?;
                self.submit_training(&spec, request_id, no_wait, plot.as_deref()).await?;
            }
            Train::Watch { task, plot } => {
                let mut progress = Progress::new();
                let client = self.profile.client()?;
                let task = client.watch(TaskId(task), |task| progress.show(task)).await?;
                draw(&task, plot.as_deref())?;
                show::print(self.json, &task, show::task);
            }
            Train::Result { task } => {
                let (recipient, client) = (self.profile.recipient()?, self.profile.client()?);
                let sealed = client.result(TaskId(task)).await?.sealed;
                let model = recipient.open_model(TaskId(task), &sealed)?;
                show::print(self.json, &described(&model), |_| summary(&model));
            }
        }
        Ok(())
    }

    async fn submit_training(
        &self,
        spec: &TrainingSpec,
        request: Option<RequestId>,
        no_wait: bool,
        plot: Option<&Path>,
    ) -> Result<()> {
        let submitter = self.profile.submitter()?;
        let mut progress = Progress::new();
        let request = announced(request, "training", &mut progress)?;
        let step = |step| progress.step(step);
        if no_wait {
            let task = submitter.submit(spec, &request, step).await?;
            show::print(self.json, &task, show::task);
            return Ok(());
        }
        let trained = submitter.train(spec, &request, step).await?;
        draw(&trained.task, plot)?;
        let model = trained.model.as_ref();
        let answer = json!({"task": trained.task, "model": model.map(described)});
        show::print(self.json, &answer, |_| {
            format!("{}\n{}", show::task(&trained.task), model.map(summary).unwrap_or_default())
        });
        Ok(())
    }
}

fn read(file: &Path, local_steps: Option<u32>) -> Result<TrainingSpec> {
    let spec: TrainingSpec = submission::read(file)?;
    Ok(match local_steps {
        None => spec,
        Some(steps) => spec.with_local_steps(steps)?,
    })
}

/// How far a training is, in one line.
pub(super) fn line(training: &TrainingProgress) -> String {
    let TrainingProgress { rounds, done, spent_micro_epsilon, reserved_micro_epsilon, curve, .. } = training;
    let mut line = format!("round {done}/{}", rounds + 1);
    if let Some(last) = curve.last() {
        line += &format!(" · quality {}", share(last.quality_micro));
        if let Some(log_loss) = last.log_loss_micro {
            line += &format!(" · log loss {}", share(log_loss));
        }
    }
    let [spent, reserved] = [*spent_micro_epsilon, *reserved_micro_epsilon].map(show::epsilon);
    format!("{line} · epsilon {spent} of {reserved}")
}

/// The curve as a table.
pub(super) fn table(curve: &[EvaluationEntry]) -> String {
    let or = |value: Option<u32>| value.map(share).unwrap_or_default();
    let rows = curve.iter().map(|one| {
        let quality = share(one.quality_micro);
        [one.step.to_string(), quality, or(one.log_loss_micro), or(one.calibration_error_micro)]
    });
    show::table(["steps", "quality", "log loss", "calibration error"], rows)
}

fn draw(task: &Task, file: Option<&Path>) -> Result<()> {
    let Some(file) = file else { return Ok(()) };
    let curve = task.training.as_ref().map(|training| training.curve.as_slice()).unwrap_or_default();
    std::fs::write(file, plot::svg(curve)?).with_context(|| format!("writing {}", file.display()))
}

fn described(model: &TrainedModel) -> Value {
    let Evaluation { quality, log_loss, calibration_error } = model.evaluation;
    json!({"task_id": model.task.to_string(), "steps": model.steps, "released": released(model),
        "digest": model.digest().to_string(), "parameters": model.parameters.len() / 8, "quality_micro": quality,
        "log_loss_micro": log_loss, "calibration_error_micro": calibration_error})
}

fn summary(model: &TrainedModel) -> String {
    let quality = share(model.evaluation.quality);
    if released(model) {
        format!(
            "model {} after {} steps: quality {quality}\nsymphony model add {} keeps it",
            model.digest(),
            model.steps,
            model.task
        )
    } else {
        format!("withheld after {} steps: quality {quality} is less than the training asked for", model.steps)
    }
}

fn released(model: &TrainedModel) -> bool {
    !model.parameters.is_empty()
}

/// Millionths as a decimal.
fn share(micro: u32) -> String {
    show::epsilon(u64::from(micro))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R104: rounds, quality, log loss and epsilon stand in one line; before the first evaluation without quality.
    #[test]
    fn a_line_tells_how_far_a_training_is() {
        let evaluation = EvaluationEntry {
            step: 10,
            quality_micro: 812_345,
            log_loss_micro: Some(456_789),
            calibration_error_micro: None,
        };
        let mut training = TrainingProgress {
            rounds: 100,
            done: 11,
            spent_micro_epsilon: 400_000,
            reserved_micro_epsilon: 1_900_000,
            curve: vec![evaluation],
            model_digest: String::new(),
            environment: "tee".to_owned(),
        };
        let expected = "round 11/101 · quality 0.812345 · log loss 0.456789 · epsilon 0.400000 of 1.900000";
        assert_eq!(line(&training), expected);
        training.curve.clear();
        assert_eq!(line(&training), "round 11/101 · epsilon 0.400000 of 1.900000");
    }
}
