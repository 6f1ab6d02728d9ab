//! `symphony model`: the registry of trained models (R103).

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use serde_json::{Value, json};
use symphony_sdk::model::card::Card;
use symphony_sdk::model::predict::{Prediction, people};
use symphony_sdk::model::registry::Registry;
use symphony_types::digest::Digest;
use symphony_types::id::TaskId;

use super::args::training::Model;
use super::run::{Session, UNVERIFIED, Usage};
use super::show;

impl Session {
    pub(super) async fn model(&self, command: Model) -> Result<ExitCode> {
        let registry = Registry::at(self.profile.models()?);
        match command {
            Model::Add { task, governance, with_steps } => {
                let (client, recipient) = (self.profile.client()?, self.profile.recipient()?);
                let entry = registry.fetch(&client, &recipient, TaskId(task), governance, with_steps).await?;
                show::print(self.json, &entry.card, card);
            }
            Model::List => return self.checked(&registry, registry.tasks()?, None, false),
            Model::Show { task } => {
                show::print(self.json, &registry.open(TaskId(task), None)?.card, card);
            }
            Model::Verify { task, governance } => {
                let tasks = task.map_or_else(|| registry.tasks(), |task| Ok(vec![TaskId(task)]))?;
                return self.checked(&registry, tasks, governance, true);
            }
            Model::Predict { task, people, scaled } => {
                self.predict(&registry, TaskId(task), &people, scaled)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    /// A line a model with what is wrong with it; it ends badly if that was the question.
    fn checked(
        &self,
        registry: &Registry,
        tasks: Vec<TaskId>,
        trusted: Option<Digest>,
        strict: bool,
    ) -> Result<ExitCode> {
        let opened: Vec<_> = tasks.into_iter().map(|task| (task, registry.open(task, trusted))).collect();
        let sound = opened.iter().all(|(_, entry)| entry.is_ok());
        let values: Vec<Value> = opened
            .iter()
            .map(|(task, entry)| match entry {
                Ok(entry) => json!({"task": task.to_string(), "card": entry.card, "steps": entry.steps}),
                Err(fault) => json!({"task": task.to_string(), "fault": fault.to_string()}),
            })
            .collect();
        show::print(self.json, &values, |_| {
            let rows = opened.iter().map(|(task, entry)| match entry {
                Ok(entry) => {
                    let Card { model, quality, privacy, .. } = &entry.card;
                    let reached = format!("{} {}", quality.measure, quality.released.quality);
                    let (steps, epsilon) = (model.steps.to_string(), privacy.epsilon_spent.to_string());
                    [task.to_string(), model.kind.clone(), steps, reached, epsilon, "verified".to_owned()]
                }
                Err(fault) => {
                    let [kind, steps, quality, epsilon] = [(); 4].map(|()| String::new());
                    [task.to_string(), kind, steps, quality, epsilon, format!("NOT VERIFIED: {fault}")]
                }
            });
            show::table(["task", "kind", "steps", "quality", "epsilon", "state"], rows)
        });
        Ok(if sound || !strict { ExitCode::SUCCESS } else { ExitCode::from(UNVERIFIED) })
    }

    fn predict(&self, registry: &Registry, task: TaskId, file: &Path, scaled: bool) -> Result<()> {
        let text = std::fs::read_to_string(file)
            .map_err(|error| Usage(format!("reading {}: {error}", file.display())))?;
        let given = people(&text).map_err(|fault| Usage(fault.to_string()))?;
        let predictor = registry.open(task, None)?.predictor();
        let predicted = predictor.predict(&given, scaled).map_err(|fault| Usage(fault.to_string()))?;
        show::print(self.json, &predicted, |predicted| {
            let rows = (1..).zip(predicted).map(|(number, one): (usize, _)| {
                let (what, value) = match one {
                    Prediction::Propensity { score, probability } => {
                        (format!("probability {probability:.6}"), format!("score {score:.6}"))
                    }
                    Prediction::Cluster { cluster, distance } => {
                        (format!("cluster {cluster}"), format!("distance {distance:.6}"))
                    }
                    Prediction::Items { items } => {
                        let names: Vec<_> = items.iter().map(|(item, _)| item.as_str()).collect();
                        let best = items.first().map_or(0.0, |(_, affinity)| *affinity);
                        (names.join(", "), format!("affinity up to {best:.6}"))
                    }
                };
                [number.to_string(), what, value]
            });
            show::table(["person", "", ""], rows)
        });
        Ok(())
    }
}

fn card(card: &Card) -> String {
    let Card { model, data, privacy, quality, lineage, .. } = card;
    let facts = [
        ("task", card.task.clone()),
        ("model", format!("{}, {} parameters, {} steps", model.kind, model.parameters, model.steps)),
        (
            "method",
            model.local.as_ref().map_or_else(
                || model.method.clone(),
                |local| format!("{}, {} local steps of {}", model.method, local.steps, local.rate),
            ),
        ),
        ("digest", model.digest.clone()),
        (
            "quality",
            format!("{} {}, {} asked for", quality.measure, quality.released.quality, quality.accept_from),
        ),
        ("scope", data.usage_scope.clone()),
        ("vaults", data.vaults.join(", ")),
        ("attributes", data.attributes.join(", ")),
        ("features", data.features.len().to_string()),
        ("epsilon", format!("{} spent of {} reserved", privacy.epsilon_spent, privacy.epsilon_reserved)),
        ("delta", privacy.delta.to_string()),
        ("noise", format!("{} of clipping norm {}", privacy.noise, privacy.clip)),
        ("platform", card.platform.clone()),
        ("governance", lineage.governance.clone()),
        ("settlement root", lineage.settlement_root.clone()),
    ];
    show::table(["", ""], facts.map(|(name, value)| [name.to_owned(), value]))
}
