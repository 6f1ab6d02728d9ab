//! A trained model at work on people of its owner's own (R103): probability, cluster, best items. What the Vaults did to a
//! person's numbers before training is done to them here.
//!
//! Affinity: the factors `p` of a person are the best for its list, the solution of
//! `(u * sum over all items of q q^T + (1 - u) * sum over listed of q q^T + ridge) p = sum over listed of value * q`,
//! where `u` is the weight of what is not listed; an item's affinity is `q p`.

use std::collections::BTreeMap;

use serde::Serialize;
use symphony_protocol::artifact::ResolvedOperand;
use symphony_protocol::artifact::training::{ModelKind, Scale, Settings, Shape, Training};
use symphony_protocol::governance::semantics::normalise;
use thiserror::Error;

/// Numbers that a model cannot be used on.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PredictError {
    /// What is given is not people.
    #[error("person {0}: {1}")]
    Input(usize, &'static str),
    /// Neither JSON nor rows of numbers.
    #[error("the people are {0}")]
    Shape(String),
}

/// What a model says of one person.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Prediction {
    /// Logistic, perceptron.
    Propensity {
        /// The logit of the probability.
        score: f64,
        /// That the label holds.
        probability: f64,
    },
    /// Clusters.
    Cluster {
        /// From zero.
        cluster: usize,
        /// From its centre.
        distance: f64,
    },
    /// Affinity: items that the person does not list, the best first.
    Items {
        /// With their affinities.
        items: Vec<(String, f64)>,
    },
}

/// One person as it is given.
#[derive(Clone, Debug, PartialEq)]
pub enum Person {
    /// A number a feature, in order.
    Row(Vec<f64>),
    /// Items with values.
    List(BTreeMap<String, f64>),
}

/// A model that is ready.
#[derive(Clone, Debug)]
pub struct Predictor {
    shape: Shape,
    parameters: Vec<f64>,
    scales: Vec<Scale>,
    items: Vec<String>,
    best: usize,
    settings: Settings,
}

impl Predictor {
    /// The model of a training. `parameters` are little-endian doubles, as many as the shape tells.
    pub fn new(training: &Training<ResolvedOperand>, parameters: &[u8]) -> Self {
        let (chunks, _) = parameters.as_chunks();
        let (items, best) = match &training.model {
            ModelKind::Affinity { items, best, .. } => (items.clone(), *best as usize),
            ModelKind::Logistic
            | ModelKind::LocalLogistic(_)
            | ModelKind::Perceptron { .. }
            | ModelKind::Clusters { .. } => (Vec::new(), 0),
        };
        Self {
            shape: training.shape(),
            parameters: chunks.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect(),
            scales: training.features.iter().map(|feature| feature.scale).collect(),
            items,
            best,
            settings: training.settings,
        }
    }

    /// What the model says of each person. `scaled`: the numbers are scaled already. **Errors**: [`PredictError`].
    pub fn predict(&self, people: &[Person], scaled: bool) -> Result<Vec<Prediction>, PredictError> {
        let predict = |(number, person): (usize, &Person)| {
            match person {
                Person::Row(row) => self.of_row(row, scaled),
                Person::List(list) => self.of_list(list),
            }
            .map_err(|fault| PredictError::Input(number, fault))
        };
        (1..).zip(people).map(predict).collect()
    }

    fn of_row(&self, row: &[f64], scaled: bool) -> Result<Prediction, &'static str> {
        if row.len() != self.scales.len() {
            return Err("one number a feature is needed");
        }
        let mut numbers = Vec::with_capacity(row.len());
        for (value, scale) in row.iter().zip(&self.scales) {
            // The platform trains on single precision.
            let number = if scaled { *value } else { bring(*value, scale) } as f32;
            if !number.is_finite() {
                return Err("a number is not one that can be used");
            }
            numbers.push(f64::from(number));
        }
        let parameters = &self.parameters;
        match self.shape {
            Shape::Logistic { .. } => Ok(propensity(unit(&numbers, parameters))),
            Shape::Perceptron { features, hidden } => {
                let (first, last) = parameters.split_at(hidden as usize * (features as usize + 1));
                let units = first.chunks_exact(features as usize + 1);
                let activations: Vec<f64> = units.map(|weights| unit(&numbers, weights).max(0.0)).collect();
                Ok(propensity(unit(&activations, last)))
            }
            Shape::Clusters { features, .. } => {
                let centres = parameters.chunks_exact(features as usize);
                let squares = centres.map(|centre| {
                    numbers.iter().zip(centre).map(|(number, at)| (number - at) * (number - at)).sum::<f64>()
                });
                let nearest = squares.enumerate().min_by(|one, other| one.1.total_cmp(&other.1));
                let (cluster, square) = nearest.ok_or("there are no clusters")?;
                Ok(Prediction::Cluster { cluster, distance: square.sqrt() })
            }
            Shape::Affinity { .. } => Err("a list of items is needed"),
        }
    }

    fn of_list(&self, list: &BTreeMap<String, f64>) -> Result<Prediction, &'static str> {
        let Shape::Affinity { rank, .. } = self.shape else { return Err("one number a feature is needed") };
        let mut listed: BTreeMap<usize, f64> = BTreeMap::new();
        for (item, value) in list {
            let at =
                self.items.binary_search(&normalise(item)).map_err(|_| "an item that the model has not")?;
            if !value.is_finite() || listed.insert(at, *value).is_some() {
                return Err("a value that cannot be used");
            }
        }
        let factors: Vec<&[f64]> = self.parameters.chunks_exact(rank as usize).collect();
        let person = solve(self.system(&factors, &listed)).ok_or("the factors cannot be solved for")?;
        let others = factors.iter().enumerate().filter(|(at, _)| !listed.contains_key(at));
        let mut items: Vec<_> =
            others.map(|(at, item)| (self.items[at].clone(), product(item, &person))).collect();
        items.sort_by(|one, other| other.1.total_cmp(&one.1));
        items.truncate(self.best);
        Ok(Prediction::Items { items })
    }

    /// The equations of a person: one row a factor, the right side at its end.
    fn system(&self, factors: &[&[f64]], listed: &BTreeMap<usize, f64>) -> Vec<Vec<f64>> {
        let rank = factors.first().map_or(0, |item| item.len());
        let unlisted = f64::from(self.settings.unlisted) / 1e3;
        let mut rows = vec![vec![0.0; rank + 1]; rank];
        for (at, item) in factors.iter().enumerate() {
            let value = listed.get(&at);
            let weight = if value.is_some() { 1.0 } else { unlisted };
            for (row, factor) in rows.iter_mut().zip(*item) {
                for (sum, other) in row.iter_mut().zip(*item) {
                    *sum += weight * factor * other;
                }
                row[rank] += value.map_or(0.0, |value| value * factor);
            }
        }
        for (at, row) in rows.iter_mut().enumerate() {
            row[at] += f64::from(self.settings.ridge) / 1e3;
        }
        rows
    }
}

/// People out of JSON (a row or a list of items, or several of them) or out of comma-separated rows of numbers, where a
/// first row of words is a header. **Errors**: [`PredictError::Shape`], [`PredictError::Input`].
pub fn people(text: &str) -> Result<Vec<Person>, PredictError> {
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum Given {
        Row(Vec<f64>),
        Rows(Vec<Vec<f64>>),
        List(BTreeMap<String, f64>),
        Lists(Vec<BTreeMap<String, f64>>),
    }
    if !text.trim_start().starts_with(['[', '{']) {
        return rows(text);
    }
    let given = serde_json::from_str(text);
    let given =
        given.map_err(|_| PredictError::Shape("rows of numbers or lists of items with values".to_owned()))?;
    Ok(match given {
        Given::Row(row) => vec![Person::Row(row)],
        Given::Rows(rows) => rows.into_iter().map(Person::Row).collect(),
        Given::List(list) => vec![Person::List(list)],
        Given::Lists(lists) => lists.into_iter().map(Person::List).collect(),
    })
}

fn rows(text: &str) -> Result<Vec<Person>, PredictError> {
    let mut people = Vec::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let row: Result<Vec<f64>, _> = line.split(',').map(|number| number.trim().parse()).collect();
        match row {
            Ok(row) => people.push(Person::Row(row)),
            Err(_) if at == 0 => {}
            Err(_) => return Err(PredictError::Input(people.len() + 1, "a row has numbers between commas")),
        }
    }
    Ok(people)
}

fn bring(value: f64, scale: &Scale) -> f64 {
    let value = if scale.logarithm { value.ln_1p() } else { value };
    let bound = f64::from(scale.bound) / 1e3;
    ((value - scale.centre as f64 / 1e6) / (scale.spread as f64 / 1e6)).clamp(-bound, bound)
}

fn propensity(score: f64) -> Prediction {
    Prediction::Propensity { score, probability: 1.0 / (1.0 + (-score).exp()) }
}

/// Weights, then the bias.
fn unit(row: &[f64], weights: &[f64]) -> f64 {
    product(row, &weights[..row.len()]) + weights[row.len()]
}

fn product(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(one, other)| one * other).sum()
}

/// Solves a symmetric positive definite system by elimination; `None` where a pivot is not positive.
fn solve(mut rows: Vec<Vec<f64>>) -> Option<Vec<f64>> {
    let size = rows.len();
    for column in 0..size {
        let (above, below) = rows.split_at_mut(column + 1);
        let pivot = &above[column];
        if pivot[column].is_nan() || pivot[column] <= 0.0 {
            return None;
        }
        for row in below {
            let factor = row[column] / pivot[column];
            for (number, part) in row.iter_mut().zip(pivot) {
                *number -= factor * part;
            }
        }
    }
    let mut solution = vec![0.0; size];
    for at in (0..size).rev() {
        let known = product(&rows[at][at + 1..size], &solution[at + 1..]);
        solution[at] = (rows[at][size] - known) / rows[at][at];
    }
    Some(solution)
}

#[cfg(test)]
mod tests;
