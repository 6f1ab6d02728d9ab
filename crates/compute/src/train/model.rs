//! The four models as shapes and parameters: their sizes, their beginning out of a seed, their bytes (R098, R100).

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha20Rng;
use serde::{Deserialize, Serialize};
use symphony_types::digest::Digest;

use super::affinity::Affinity;
use super::clusters::Clusters;
use super::logistic::Logistic;
use super::perceptron::Perceptron;
use super::{Settings, TrainError};

/// A kind of model and its sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shape {
    /// Logistic regression on a label. **Shape**: one weight a feature, then the bias.
    Logistic {
        /// Features a person.
        features: u32,
    },
    /// One hidden layer of rectified units on a label. **Shape**: for each hidden unit one weight a feature and its
    /// bias; then one weight a hidden unit and the bias.
    Perceptron {
        /// Features a person.
        features: u32,
        /// Hidden units.
        hidden: u32,
    },
    /// K-means. **Shape**: for each cluster its centre.
    Clusters {
        /// Features a person.
        features: u32,
        /// Clusters.
        clusters: u32,
    },
    /// Factors of items; the factors of a person are solved for in the Vault and never leave it. **Shape**: for each
    /// item its factors.
    Affinity {
        /// Items.
        items: u32,
        /// Factors an item.
        rank: u32,
    },
}

/// A shape and its parameters, all finite.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    shape: Shape,
    parameters: Vec<f64>,
}

impl Shape {
    /// Numbers that the model consists of.
    pub fn parameters(&self) -> usize {
        let sizes = |one: u32, other: u32| one as usize * other as usize;
        match *self {
            Self::Logistic { features } => features as usize + 1,
            Self::Perceptron { features, hidden } => sizes(hidden, features) + 2 * hidden as usize + 1,
            Self::Clusters { features, clusters } => sizes(clusters, features),
            Self::Affinity { items, rank } => sizes(items, rank),
        }
    }

    /// Coordinates of a contribution and of a sum: as many as parameters, and a count for each cluster.
    pub fn coordinates(&self) -> usize {
        match *self {
            Self::Clusters { clusters, .. } => self.parameters() + clusters as usize,
            Self::Logistic { .. } | Self::Perceptron { .. } | Self::Affinity { .. } => self.parameters(),
        }
    }

    /// Whether the parameter at this place is a bias, which no penalty pulls.
    pub(super) fn is_bias(&self, at: usize) -> bool {
        match *self {
            Self::Logistic { features } => at == features as usize,
            Self::Perceptron { features, hidden } => {
                let unit = features as usize + 1;
                let last = hidden as usize * unit;
                if at < last { at % unit == unit - 1 } else { at == last + hidden as usize }
            }
            Self::Clusters { .. } | Self::Affinity { .. } => false,
        }
    }

    /// Whether all sizes are within their limits. **Errors**: [`TrainError::Size`].
    pub fn check(&self) -> Result<(), TrainError> {
        let sizes = match *self {
            Self::Logistic { features } => [("features", features, FEATURES_MAX); 2],
            Self::Perceptron { features, hidden } => {
                [("features", features, FEATURES_MAX), ("hidden units", hidden, HIDDEN_MAX)]
            }
            Self::Clusters { features, clusters } => {
                [("features", features, FEATURES_MAX), ("clusters", clusters, CLUSTERS_MAX)]
            }
            Self::Affinity { items, rank } => [("items", items, ITEMS_MAX), ("factors", rank, RANK_MAX)],
        };
        match sizes.iter().find(|(_, size, most)| *size == 0 || size > most) {
            Some((name, ..)) => Err(TrainError::Size(name)),
            None if self.parameters() > PARAMETERS_MAX => Err(TrainError::Size("parameters")),
            None => Ok(()),
        }
    }
}

impl Model {
    /// The beginning of a training: the same for the same seed. **Errors**: [`TrainError::Size`].
    pub fn initial(shape: Shape, seed: &Digest) -> Result<Self, TrainError> {
        shape.check()?;
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
        shape.check()?;
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

/// Features a person.
pub const FEATURES_MAX: u32 = 4_096;
/// Hidden units.
pub const HIDDEN_MAX: u32 = 1_024;
/// Clusters.
pub const CLUSTERS_MAX: u32 = 1_024;
/// Items of affinity.
pub const ITEMS_MAX: u32 = 100_000;
/// Factors an item.
pub const RANK_MAX: u32 = 64;
/// Parameters of a model.
pub const PARAMETERS_MAX: usize = 4_000_000;
/// A parameter beyond this has exploded.
pub const PARAMETER_MAX: f64 = 1e9;

const INITIAL_TAG: &str = "symphony/train-initial/v1";
const MODEL_TAG: &str = "symphony/train-model/v1";
