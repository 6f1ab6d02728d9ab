//! Rounds of a training through the whole platform: three masters, three Vaults with an enclave each, mutual TLS, consensus,
//! attestation of every part, noise.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use symphony_sdk::client::{Format, Upload};
use symphony_sdk::submission::Step;
use symphony_sdk::training::TrainingSpec;
use symphony_types::id::{RequestId, TaskId};

use crate::network::{Network, VAULTS};

/// Rounds that are timed; the first is left out, in which the Vaults open their records.
const ROUNDS: u32 = 60;

/// What was seen.
pub(crate) struct Measured {
    /// The training.
    pub(crate) task: TaskId,
    asked: u32,
    /// The rounds after the first that were seen.
    pub(crate) rounds: Vec<Duration>,
    /// From the submission to the end of the first round.
    pub(crate) first: Duration,
    quality: f64,
    epsilon: f64,
}

/// Trains over the records that `prepare.py` wrote. **Errors**: whatever the platform refuses.
pub(crate) async fn measure(records: &Path, spec: &[u8]) -> Result<Measured> {
    let network = Network::start(&["--masters", "3"]);
    network.ready().await;
    fill(&network, records).await?;
    let mut spec: Value = serde_json::from_slice(spec)?;
    spec["rounds"] = json!(ROUNDS);
    // Epsilon below eight for all rounds, as the accountant has it.
    spec["privacy"]["noise"] = json!(5.0);
    train(&network, "bench", spec, |_| ()).await
}

/// Uploads the files of a folder to the three Vaults. **Errors**: a line that is refused.
pub(crate) async fn fill(network: &Network, folder: &Path) -> Result<()> {
    for (number, vault) in VAULTS.iter().enumerate() {
        let operator = network.client(&format!("operator-{vault}"));
        for (upload, kind) in
            [(Upload::Subjects, "subjects"), (Upload::Consents, "consents"), (Upload::Records, "records")]
        {
            let file = folder.join(format!("{kind}-vault-{number}.jsonl"));
            let key = RequestId::new(&format!("bench-{kind}"))?;
            let report = operator.upload(vault, upload, Format::JsonLines, &key, &file).await?;
            ensure!(report.refused_total == 0, "{kind} of {vault}: {:?}", report.refused);
        }
    }
    Ok(())
}

/// Trains over all three Vaults and times the rounds; `done` is told how many rounds are done whenever that is seen.
/// **Errors**: whatever the platform refuses; a model that is not released.
pub(crate) async fn train(
    network: &Network,
    request: &str,
    mut spec: Value,
    mut done: impl FnMut(u32),
) -> Result<Measured> {
    spec["usage_scope"] = json!("training");
    spec["vaults"] = json!(VAULTS);
    spec["quorum"] = json!(3);
    spec["evaluate_every"] = spec["rounds"].clone();
    let spec: TrainingSpec = serde_json::from_value(spec)?;
    let asked = spec.rounds;
    let mut seen: Vec<(u32, Instant)> = Vec::new();
    let (submitter, request) = (network.submitter("luckin"), RequestId::new(request)?);
    let begin = Instant::now();
    let trained = submitter.train(&spec, &request, |step| {
        if let Step::Task(task) = step
            && let Some(progress) = &task.training
            && seen.last().is_none_or(|(done, _)| progress.done > *done)
        {
            seen.push((progress.done, Instant::now()));
            done(progress.done);
        }
    });
    let trained = trained.await?;
    let model = trained.model.with_context(|| format!("no model: {:?}", trained.task))?;
    ensure!(!model.parameters.is_empty(), "the model was withheld: {:?}", model.evaluation);
    let progress = trained.task.training.context("no progress")?;
    let first = seen.iter().find(|(done, _)| *done > 0).context("no round was seen")?.1;
    let rounds = seen.windows(2).filter(|pair| pair[0].0 >= 1 && pair[1].0 <= asked);
    // The watcher may see several rounds at once: then each has its part of the time.
    let rounds = rounds.flat_map(|pair| {
        let count = pair[1].0 - pair[0].0;
        (0..count).map(move |_| (pair[1].1 - pair[0].1) / count)
    });
    Ok(Measured {
        task: trained.task.task_id,
        asked,
        rounds: rounds.collect(),
        first: first - begin,
        quality: f64::from(model.evaluation.quality) / 1e6,
        epsilon: progress.spent_micro_epsilon as f64 / 1e6,
    })
}

impl Measured {
    fn mean(&self) -> f64 {
        self.rounds.iter().map(Duration::as_secs_f64).sum::<f64>() / self.rounds.len().max(1) as f64
    }

    /// Of the rounds after the first. **Units**: seconds.
    pub(crate) fn median(&self) -> f64 {
        median(self.rounds.iter().map(Duration::as_secs_f64))
    }

    /// Prints what was seen.
    pub(crate) fn print(&self) {
        println!(
            "\nrounds through the platform: {} of {}, mean {:.4} s, median {:.4} s; epsilon {:.2}, noised quality {:.3}",
            self.rounds.len(),
            self.asked,
            self.mean(),
            self.median(),
            self.epsilon,
            self.quality
        );
    }

    /// Prints the ratios to Flower, as `flower.py` measured it in the same run.
    pub(crate) fn against(&self, flower: &Value) {
        for (mode, bound) in [("deployment", 20.0), ("simulation", 2.0)] {
            let of = |figure: &str| flower[mode][figure].as_f64().unwrap_or(f64::NAN);
            println!(
                "Flower {mode}: mean {:.3} s, median {:.3} s a round, AUC {:.4}; ours is {:.1} times as fast by the mean \
                 and {:.1} by the median (bound {bound})",
                of("seconds_per_round"),
                of("median_round_s"),
                of("auc"),
                of("seconds_per_round") / self.mean(),
                of("median_round_s") / self.median(),
            );
        }
    }
}

/// The middle of some numbers; zero of none.
pub(crate) fn median(numbers: impl Iterator<Item = f64>) -> f64 {
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or_default()
}
