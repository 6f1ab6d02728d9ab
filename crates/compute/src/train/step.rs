//! What the aggregator does with the noised sum of a round: one step of the model (R097, R099).
//!
//! A gradient step for models with a gradient, new centres for clusters. The divisor is the number of people that is
//! expected, which is known beforehand; the number that really took part is private.

use symphony_protocol::artifact::training::{EVERYBODY, Settings, Shape};
use symphony_types::digest::Digest;
use symphony_types::id::TaskId;

use super::clusters::Clusters;
use super::grid::CLIP_UNITS;
use super::model::Model;
use super::{TrainError, check, clip};

/// Whom a round was made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cohort {
    /// People in all Vaults.
    pub subjects: u64,
    /// The chance of each to take part. **Units**: billionths.
    pub rate: u32,
}

/// A model on its way, with what the next step needs of the last.
#[derive(Clone, Debug, PartialEq)]
pub struct Learner {
    model: Model,
    velocity: Vec<f64>,
}

impl Learner {
    /// A training that begins with this model.
    pub fn new(model: Model) -> Self {
        let velocity = vec![0.0; model.parameters().len()];
        Self { model, velocity }
    }

    /// What the training of a task begins with; everybody can make it. **Errors**: [`TrainError::Size`].
    pub fn initial(shape: Shape, task: TaskId) -> Result<Self, TrainError> {
        Ok(Self::new(Model::initial(shape, &Digest::of(TASK_TAG, &task))?))
    }

    /// The learner that a round begins with: the initial one where its digest is zero, otherwise what the bytes say.
    ///
    /// **Errors**: [`TrainError::Learner`] where there are bytes of another learner, none, or none were expected.
    pub fn at(shape: Shape, task: TaskId, state: &Digest, bytes: Option<&[u8]>) -> Result<Self, TrainError> {
        match bytes {
            None if *state == Digest::ZERO => Self::initial(shape, task),
            Some(bytes) if *state != Digest::ZERO => {
                let learner = Self::from_bytes(shape, bytes)?;
                if learner.digest() == *state { Ok(learner) } else { Err(TrainError::Learner) }
            }
            None | Some(_) => Err(TrainError::Learner),
        }
    }

    /// Reads [`Self::bytes`]. **Errors**: too few or too many bytes; numbers that no learner has.
    pub fn from_bytes(shape: Shape, bytes: &[u8]) -> Result<Self, TrainError> {
        let (numbers, rest) = bytes.as_chunks::<8>();
        if !rest.is_empty() || numbers.len() != 2 * shape.parameters() {
            return Err(TrainError::Shape("bytes of a learner and its shape"));
        }
        let mut numbers = numbers.iter().map(|bytes| f64::from_le_bytes(*bytes));
        let parameters = numbers.by_ref().take(shape.parameters()).collect();
        Self::resume(Model::new(shape, parameters)?, numbers.collect())
    }

    /// The parameters, then the velocity, as little-endian doubles.
    pub fn bytes(&self) -> Vec<u8> {
        let numbers = self.model.parameters().iter().chain(&self.velocity);
        numbers.flat_map(|number| number.to_le_bytes()).collect()
    }

    /// What names a learner in the order of a round.
    pub fn digest(&self) -> Digest {
        Digest::of(LEARNER_TAG, &(self.model.shape(), self.bytes()))
    }

    /// A training that goes on. **Errors**: a velocity that does not fit the model or is not finite.
    pub fn resume(model: Model, velocity: Vec<f64>) -> Result<Self, TrainError> {
        if velocity.len() != model.parameters().len() {
            return Err(TrainError::Shape("velocity and the model"));
        }
        if !velocity.iter().all(|number| number.is_finite()) {
            return Err(TrainError::NotFinite("velocities"));
        }
        Ok(Self { model, velocity })
    }

    /// The model as it is.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The last step, for [`Learner::resume`].
    pub fn velocity(&self) -> &[f64] {
        &self.velocity
    }

    /// Takes one step along the sum of a round, in units of the grid. Where it is refused, nothing changes.
    ///
    /// **Errors**: settings out of their limits; sums that do not fit the model; nobody to divide by; a model that
    /// explodes.
    pub fn step(&mut self, settings: &Settings, sums: &[i64], cohort: Cohort) -> Result<(), TrainError> {
        check(settings)?;
        let shape = self.model.shape();
        if sums.len() != shape.coordinates() {
            return Err(TrainError::Shape("sums and the model"));
        }
        if cohort.subjects == 0 || cohort.rate == 0 || cohort.rate > EVERYBODY {
            return Err(TrainError::Setting("cohort"));
        }
        let unit = clip(settings) / CLIP_UNITS as f64;
        let sums: Vec<f64> = sums.iter().map(|sum| *sum as f64 * unit).collect();
        let mut next = self.clone();
        if let Shape::Clusters { features, .. } = shape {
            let mut centres = self.model.parameters().to_vec();
            Clusters::step(&mut centres, features as usize, &sums, clip(settings));
            next.model = Model::new(shape, centres)?;
        } else {
            let expected = cohort.subjects as f64 * (f64::from(cohort.rate) / f64::from(EVERYBODY));
            let parameters = next.descend(settings, &sums, expected);
            next.model = Model::new(shape, parameters)?;
        }
        *self = next;
        Ok(())
    }

    /// The parameters after a gradient step; changes the velocity.
    fn descend(&mut self, settings: &Settings, sums: &[f64], expected: f64) -> Vec<f64> {
        let rate = f64::from(settings.learning_rate) / 1e6;
        let momentum = f64::from(settings.momentum) / 1e3;
        let penalty = f64::from(settings.penalty) / 1e6;
        let shape = self.model.shape();
        let mut parameters = self.model.parameters().to_vec();
        for (at, ((parameter, velocity), sum)) in
            parameters.iter_mut().zip(&mut self.velocity).zip(sums).enumerate()
        {
            let pull = if is_bias(&shape, at) { 0.0 } else { penalty * *parameter };
            *velocity = momentum * *velocity + (sum / expected + pull);
            *parameter -= rate * *velocity;
        }
        parameters
    }
}

/// Whether the parameter at this place is a bias, which no penalty pulls.
fn is_bias(shape: &Shape, at: usize) -> bool {
    match *shape {
        Shape::Logistic { features } => at == features as usize,
        Shape::Perceptron { features, hidden } => {
            let unit = features as usize + 1;
            let last = hidden as usize * unit;
            if at < last { at % unit == unit - 1 } else { at == last + hidden as usize }
        }
        Shape::Clusters { .. } | Shape::Affinity { .. } => false,
    }
}

const TASK_TAG: &str = "symphony/train-task/v1";
const LEARNER_TAG: &str = "symphony/train-learner/v1";
