//! `symphony compute`: the catalogue of modules, and a computation from its file to the opened result (R094-R096, R207).

use anyhow::Result;
use serde_json::{Value, json};
use symphony_protocol::artifact::Outcome;
use symphony_protocol::artifact::compute::{ComputedResult, NoisedGroup};
use symphony_sdk::computation::ComputationSpec;
use symphony_sdk::shape::compute::ModuleEntry;
use symphony_sdk::submission::{self, Submission as _};
use symphony_types::id::{RequestId, TaskId};

use super::args::compute::Compute;
use super::run::{Session, announced};
use super::show::{self, Progress, table};

impl Session {
    pub(super) async fn compute(&self, command: Compute) -> Result<()> {
        match command {
            Compute::List => {
                let modules = self.profile.client()?.governance().await?.modules;
                show::print(self.json, &modules, |modules| catalogue(modules));
            }
            Compute::Quote { spec } => {
                let spec: ComputationSpec = submission::read(&spec)?;
                let quote = self.profile.client()?.quote(&spec.spec()?).await?;
                show::print(self.json, &quote, show::quote);
            }
            Compute::Submit { spec, request_id, no_wait } => {
                self.submit_computation(&submission::read(&spec)?, request_id, no_wait).await?;
            }
            Compute::Result { task } => {
                let (recipient, client) = (self.profile.recipient()?, self.profile.client()?);
                let sealed = client.result(TaskId(task)).await?.sealed;
                let result = recipient.open_computed(TaskId(task), &sealed)?;
                show::print(self.json, &described(&result), |_| summary(&result));
            }
        }
        Ok(())
    }

    async fn submit_computation(
        &self,
        spec: &ComputationSpec,
        request: Option<RequestId>,
        no_wait: bool,
    ) -> Result<()> {
        let submitter = self.profile.submitter()?;
        let mut progress = Progress::new();
        let request = announced(request, "computation", &mut progress)?;
        let step = |step| progress.step(step);
        if no_wait {
            let task = submitter.submit(spec, &request, step).await?;
            show::print(self.json, &task, show::task);
            return Ok(());
        }
        let computed = submitter.compute(spec, &request, step).await?;
        let result = computed.result.as_ref();
        let answer = json!({"task": computed.task, "result": result.map(described)});
        show::print(self.json, &answer, |_| {
            format!("{}\n{}", show::task(&computed.task), result.map(summary).unwrap_or_default())
        });
        Ok(())
    }
}

fn catalogue(modules: &[ModuleEntry]) -> String {
    let rows = modules.iter().map(|module| {
        let inputs: Vec<_> = module.inputs.iter().map(|input| input.attribute.clone()).collect();
        let given: Vec<_> = module.parameters.iter().map(|parameter| parameter.name.clone()).collect();
        [
            format!("{} {}", module.name, module.version),
            module.status.clone(),
            module.about.clone(),
            inputs.join(" "),
            given.join(" "),
            answers(module),
        ]
    });
    table(["module", "status", "about", "reads", "parameters", "answers"], rows)
}

/// What a module answers, in words.
fn answers(module: &ModuleEntry) -> String {
    match module.output.as_str() {
        "aggregate" => {
            let group = |group: &symphony_sdk::shape::compute::ModuleGroup| {
                format!("{} x {} ({})", group.cells, group.name, group.unit)
            };
            module.groups.iter().map(group).collect::<Vec<_>>().join(", ")
        }
        "number" => format!("{} to {} of each person, kept in its vault", module.least, module.greatest),
        _ => format!("one of {} of each person, kept in its vault", module.labels.join(", ")),
    }
}

fn described(result: &ComputedResult) -> Value {
    let group = |group: &NoisedGroup| {
        json!({"name": group.name, "unit": show::unit(group.unit), "cells": group.cells,
            "noise_scale": group.noise_scale})
    };
    json!({"task_id": result.task.to_string(), "module": result.module.as_str(), "version": result.version,
        "suppressed": result.outcome == Outcome::Suppressed, "vaults": result.vaults,
        "epsilon_micro": result.epsilon.0, "groups": result.groups.iter().map(group).collect::<Vec<_>>()})
}

fn summary(result: &ComputedResult) -> String {
    if result.outcome == Outcome::Suppressed {
        return "suppressed: fewer people than the minimum".to_owned();
    }
    let rows = result.groups.iter().flat_map(|group| {
        (0..).zip(&group.cells).map(|(at, cell): (usize, &i64)| {
            [format!("{} {at}", group.name), cell.to_string(), show::unit(group.unit).to_owned()]
        })
    });
    let noise: Vec<_> =
        result.groups.iter().map(|group| format!("{} ± {}", group.name, group.noise_scale)).collect();
    format!(
        "{}\n{} {} over {} vaults, epsilon {}; noise: {}",
        table(["cell", "noised", "unit"], rows),
        result.module,
        result.version,
        result.vaults,
        show::epsilon(result.epsilon.0),
        noise.join(", "),
    )
}
