//! The four models as shapes and parameters: their beginning out of a seed, their bytes (R098, R100).

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha20Rng;
use symphony_protocol::artifact::training::{Settings, Shape};
use symphony_types::digest::Digest;

use super::TrainError;
use super::affinity::Affinity;
use super::clusters::Clusters;
use super::logistic::Logistic;
use super::perceptron::Perceptron;

/// A shape and its parameters, all finite.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    shape: Shape,
    parameters: Vec<f64>,
}

impl Model {
    /// The beginning of a training: the same for the same seed. **Errors**: [`TrainError::Size`].
    pub fn initial(shape: Shape, seed: &Digest) -> Result<Self, TrainError> {
        shape.check().map_err(TrainError::Size)?;
        let mut stream = ChaCha20Rng::from_seed(Digest::tagged(INITIAL_TAG, &seed.0).0);
        // Uniform in -1..1 in steps of 2^-52, exact in binary.
        let mut draw = || (stream.random::<u64>() >> 11) as f64 / (1_u64 << 52) as f64 - 1.0;
        let parameters = match shape {
            Shape::Logistic { .. } => vec![0.0; shape.parameters()],
            Shape::Perceptron { features, hidden } => Perceptron::initial(features, hidden, draw),
            Shape::Clusters { .. } => (0..shape.parameters()).map(|_| draw()).collect(),
            Shape::Affinity { rank, .. } => {
                let reach = 1.0 / f64::from(rank).sqrt();
                (0..shape.parameters()).map(|_| draw() * reach).collect()
            }
        };
        Ok(Self { shape, parameters })
    }

    /// A model with these parameters.
    ///
    /// **Errors**: sizes out of their limits or that do not fit; a parameter that is not finite or explodes.
    pub fn new(shape: Shape, parameters: Vec<f64>) -> Result<Self, TrainError> {
        shape.check().map_err(TrainError::Size)?;
        if parameters.len() != shape.parameters() {
            return Err(TrainError::Shape("parameters and the shape"));
        }
        if !parameters.iter().all(|parameter| parameter.is_finite()) {
            return Err(TrainError::NotFinite("parameters"));
        }
        if parameters.iter().any(|parameter| parameter.abs() > PARAMETER_MAX) {
            return Err(TrainError::Exploding("parameters"));
        }
        Ok(Self { shape, parameters })
    }

    /// The kind and the sizes.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The parameters, in the order that [`Shape`] tells.
    pub fn parameters(&self) -> &[f64] {
        &self.parameters
    }

    /// The parameters as little-endian doubles.
    pub fn bytes(&self) -> Vec<u8> {
        self.parameters.iter().flat_map(|parameter| parameter.to_le_bytes()).collect()
    }

    /// The digest of shape and parameters: two trainings with the same digest gave the same model.
    pub fn digest(&self) -> Digest {
        Digest::of(MODEL_TAG, &(self.shape, self.bytes()))
    }

    /// The score of one person by a model with a label: the logit of the probability. **Errors**:
    /// [`TrainError::Shape`] for another model or another width.
    pub fn score(&self, row: &[f32]) -> Result<f64, TrainError> {
        match self.shape {
            Shape::Logistic { features } if features as usize == row.len() => {
                Ok(Logistic::score(&self.parameters, row))
            }
            Shape::Perceptron { features, hidden } if features as usize == row.len() => {
                Ok(Perceptron::score(&self.parameters, hidden as usize, row))
            }
            _ => Err(TrainError::Shape("row and the model")),
        }
    }

    /// The nearest cluster, with the distances to its centre and to the next nearest, which is the same where there
    /// is only one. **Errors**: [`TrainError::Shape`] for another model or another width.
    pub fn cluster(&self, row: &[f32]) -> Result<(usize, f64, f64), TrainError> {
        match self.shape {
            Shape::Clusters { features, .. } if features as usize == row.len() => {
                Ok(Clusters::nearest_two(&self.parameters, row))
            }
            _ => Err(TrainError::Shape("row and the model")),
        }
    }

    /// The factors of items, ready for solving for people. **Errors**: [`TrainError::Shape`] for another model.
    pub(super) fn affinity(&self, settings: &Settings) -> Result<Affinity<'_>, TrainError> {
        match self.shape {
            Shape::Affinity { rank, .. } => Ok(Affinity::new(&self.parameters, rank as usize, settings)),
            Shape::Logistic { .. } | Shape::Perceptron { .. } | Shape::Clusters { .. } => {
                Err(TrainError::Shape("lists and the model"))
            }
        }
    }

    /// How much a person with this list, its items in ascending order, would like each item.
    ///
    /// **Errors**: [`TrainError::Shape`] for another model or an item that there is not; [`TrainError::Exploding`]
    /// where the person's factors cannot be solved for.
    pub fn affinities(&self, settings: &Settings, list: &[(u32, f32)]) -> Result<Vec<f64>, TrainError> {
        self.affinity(settings)?.affinities(list)
    }
}

/// A parameter beyond this has exploded.
pub const PARAMETER_MAX: f64 = 1e9;

const INITIAL_TAG: &str = "symphony/train-initial/v1";
const MODEL_TAG: &str = "symphony/train-model/v1";
