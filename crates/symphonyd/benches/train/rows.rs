//! The platform's kernels over the rows that the outside baseline was computed on, dealt to three Vaults.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use symphony_compute::train::aggregate::StreamingSum;
use symphony_compute::train::dataset::{Dataset, Features, Scale};
use symphony_compute::train::grid::CLIP_UNITS;
use symphony_compute::train::model::Model;
use symphony_compute::train::round::update;
use symphony_compute::train::step::{Cohort, Learner};
use symphony_compute::train::{Sampling, noise};
use symphony_protocol::artifact::training::{PrivacyTerms, Settings, Shape};
use symphony_types::digest::Digest;
use symphony_types::epsilon::Epsilon;
use symphony_types::id::VaultId;

/// Seeds of a mean.
const SEEDS: u64 = 20;
const WHOLE: u32 = 1_000_000_000;

/// Households with their scaled features.
pub(crate) struct Rows {
    width: usize,
    vaults: [(Vec<f64>, Vec<bool>); 3],
    held_out: (Vec<f64>, Vec<bool>),
}

impl Rows {
    /// Reads what `baseline.py --rows` wrote: household, vault, held_out, label, features.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        let mut rows = Self { width: 0, vaults: Default::default(), held_out: Default::default() };
        for line in text.lines().skip(1) {
            let cells: Vec<f64> = line.split(',').map(str::parse).collect::<Result<_, _>>()?;
            ensure!(cells.len() > 4, "a row has features");
            rows.width = cells.len() - 4;
            let held_out = cells[2] > 0.5;
            let place = if held_out { &mut rows.held_out } else { &mut rows.vaults[cells[1] as usize] };
            place.0.extend(&cells[4..]);
            place.1.push(cells[3] > 0.5);
        }
        Ok(rows)
    }

    fn datasets(&self) -> Result<Vec<Dataset>> {
        let scales = vec![Scale { centre: 0.0, spread: 1.0, bound: 1_000.0 }; self.width];
        let datasets = self
            .vaults
            .iter()
            .map(|(raw, labels)| Ok(Dataset::Features(Features::new(&scales, raw, Some(labels))?)));
        datasets.collect()
    }

    /// The AUC on the households held out.
    fn auc(&self, model: &Model) -> Result<f64> {
        let mut scored = Vec::new();
        for (row, label) in self.held_out.0.chunks(self.width).zip(&self.held_out.1) {
            let row: Vec<f32> = row.iter().map(|value| *value as f32).collect();
            scored.push((model.score(&row)?, *label));
        }
        scored.sort_by(|one, other| one.0.total_cmp(&other.0));
        let (mut below, mut above) = (0.0, 0.0);
        for equals in scored.chunk_by(|one, other| one.0 == other.0) {
            let with = equals.iter().filter(|(_, label)| *label).count() as f64;
            let without = equals.len() as f64 - with;
            above += with * (below + without / 2.0);
            below += without;
        }
        Ok(above / (below * (scored.len() as f64 - below)))
    }

    /// Federated rounds over the three Vaults. `noise` in thousandths; none without noise.
    fn train(&self, settings: &Settings, rounds: u32, noised: Option<(u32, u64)>) -> Result<Model> {
        let (datasets, shape) = (self.datasets()?, Shape::Logistic { features: self.width as u32 });
        let mut learner = Learner::new(Model::initial(shape, &Digest::ZERO)?);
        for round in 0..rounds {
            let mut sum = StreamingSum::secure_sum(shape.coordinates());
            for (number, dataset) in datasets.iter().enumerate() {
                let vault = VaultId::new(&format!("vault-{number}"))?;
                let everybody = Sampling { rate: WHOLE, seed: Digest::ZERO };
                let update = update(learner.model(), settings, dataset, &everybody)?;
                sum.begin(&vault, update.subjects)?;
                sum.chunk(&vault, &update.sums)?;
                sum.end(&vault)?;
            }
            let mut totals = sum.finish()?;
            if let Some((noise, seed)) = noised {
                let seed = Digest::of("symphony/bench-noise/v1", &(seed, round));
                noise::add(&mut totals.sums, noise, CLIP_UNITS as u32, &seed)?;
            }
            let cohort = Cohort { subjects: totals.subjects, rate: WHOLE };
            learner.step(settings, &totals.sums, cohort)?;
        }
        Ok(learner.model().clone())
    }
}

/// Prints what the kernels make of a task, beside the outside figures.
pub(crate) fn report(name: &str, spec: &Value, rows: &Rows, outside: &Value) -> Result<()> {
    let number = |path: &str| spec.pointer(path).and_then(Value::as_f64).context(format!("{path} of {name}"));
    let whole = |path: &str, unit: f64| Ok::<_, anyhow::Error>((number(path)? * unit).round() as u32);
    let settings = Settings {
        clip: whole("/settings/clip", 1e3)?,
        learning_rate: whole("/settings/learning_rate", 1e6)?,
        momentum: whole("/settings/momentum", 1e3)?,
        penalty: whole("/settings/penalty", 1e6)?,
        ..Settings::PLAIN
    };
    let rounds = whole("/rounds", 1.0)?;
    let held_out = rows.held_out.1.len();
    println!(
        "\n{name}: {} households trained on, {held_out} held out, {} features, {rounds} rounds",
        rows.vaults.iter().map(|(_, labels)| labels.len()).sum::<usize>(),
        rows.width
    );
    let central = outside.pointer("/centralised/auc").and_then(Value::as_f64).context("the outside AUC")?;
    let plain = rows.auc(&rows.train(&settings, rounds, None)?)?;
    println!("| scikit-learn, all rows in one place | {central:.4} |");
    println!("| three Vaults, no noise | {plain:.4} ({:+.4}) |", plain - central);
    for epsilon in [8, 4, 1] {
        let noise = noise_for(rounds, Epsilon(epsilon * 1_000_000))?;
        let aucs = (0..SEEDS).map(|seed| rows.auc(&rows.train(&settings, rounds, Some((noise, seed)))?));
        let aucs: Vec<f64> = aucs.collect::<Result<_>>()?;
        let mean = aucs.iter().sum::<f64>() / aucs.len() as f64;
        let spread = (aucs.iter().map(|auc| (auc - mean).powi(2)).sum::<f64>() / aucs.len() as f64).sqrt();
        println!(
            "| epsilon {epsilon}, delta 1e-5, noise {:.3} | {mean:.4} ± {spread:.4} |",
            f64::from(noise) / 1e3
        );
    }
    Ok(())
}

/// The least noise whose loss over all rounds is within the budget.
fn noise_for(rounds: u32, budget: Epsilon) -> Result<u32> {
    let within = |noise: u32| {
        let terms = PrivacyTerms { noise, sampling: WHOLE, evaluation_noise: noise, delta: 10_000_000 };
        terms.loss(rounds, 0).is_ok_and(|loss| loss <= budget)
    };
    let (mut low, mut high) = (100, 1_000_000);
    ensure!(within(high), "no noise is enough");
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if within(middle) { high = middle } else { low = middle }
    }
    Ok(high)
}
