//! The documents of a training (R097-R104): what is asked, what it means, the order of one round, what a round leaves.
//!
//! Whole numbers only: all of this is fixed and hashed at admission and cannot drift between rounds (R098). The same
//! shape serves a request, whose operands are the submitter's, and a plan, whose operands are bound.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::epsilon::Epsilon;
use symphony_types::id::{AttributeName, TaskId, VaultId};
use symphony_types::key::{Document, Endorsed, Master};
use symphony_types::table::Value;
use symphony_types::time::OrderedMillis;

use super::{Operand, PrivacyClass, ResolvedOperand, SignedAggregate, SignedSlice, TaskEnvelope};
use crate::governance::accountant::{AccountantError, Delta, Release};

mod local;

pub use local::{LOCAL_STEPS_MAX, Local};

/// What is trained, on what, and how. `O` is what records are compared with: [`Operand`] in a request,
/// [`ResolvedOperand`] in a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Training<O> {
    /// The kind of model.
    pub model: ModelKind,
    /// The attribute that says when a record happened.
    pub time: AttributeName,
    /// Who takes part: people with a record, not after the evaluation time, that satisfies all; everybody when empty.
    pub cohort: Vec<O>,
    /// One number a person each, in order; none for affinity.
    pub features: Vec<Feature<O>>,
    /// What is to be predicted; propensity only.
    pub label: Option<Label<O>>,
    /// Hyper-parameters.
    pub settings: Settings,
    /// What is noised, and how much.
    pub privacy: PrivacyTerms,
    /// Steps of the model.
    pub rounds: u32,
    /// Steps between two evaluations; there is always one after the last.
    pub evaluate_every: u32,
    /// The training ends after so many evaluations without a better quality; zero: never early.
    pub patience: u32,
    /// People who are held out for evaluation. **Units**: thousandths.
    pub held_out: u32,
    /// The least quality of a model that is released: AUC, silhouette or recall. **Units**: millionths.
    pub accept_from: u32,
}

/// A request for a training.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainingRequest {
    /// All that is fixed at admission.
    pub training: Training<Operand>,
    /// Features look back from here, labels ahead; the time of admission when absent.
    pub evaluate_at: Option<OrderedMillis>,
}

/// A training whose meaning is fixed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainingPlan {
    /// The training.
    pub training: Training<ResolvedOperand>,
    /// Features look back from here, labels ahead.
    pub evaluated_at: OrderedMillis,
    /// The highest class of the attributes that are read.
    pub combined_privacy_class: PrivacyClass,
    /// Fewer people than this are neither trained nor evaluated on.
    pub minimum_cohort: u32,
    /// Where the Vaults' parts are combined; policy chose it.
    pub environment: Environment,
}

/// Where the parts of a round are combined (R113).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Environment {
    /// In the attested enclave of one master, which sees each Vault's part and forgets it.
    Tee,
    /// On shares in the enclaves of two masters: neither sees a Vault's part.
    Mpc,
}

impl Environment {
    /// As it is shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tee => "tee",
            Self::Mpc => "mpc",
        }
    }
}

/// The kind of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ModelKind {
    /// Logistic regression on the label.
    Logistic,
    /// One hidden layer on the label.
    Perceptron {
        /// Hidden units.
        hidden: u32,
    },
    /// K-means.
    Clusters {
        /// Clusters.
        clusters: u32,
    },
    /// Factors of items: what people of the cohort have records of within `days` before the evaluation time.
    Affinity {
        /// Factors an item.
        rank: u32,
        /// The attribute that names an item.
        attribute: AttributeName,
        /// All items, as texts in ascending order; others do not count.
        items: Vec<String>,
        /// How far back lists go.
        days: u32,
        /// How many of a person's best items are compared with those held out.
        best: u32,
    },
    /// Logistic regression on the label; each Vault takes several steps a round by itself.
    LocalLogistic(Local),
}

impl ModelKind {
    /// How Vaults go on by themselves in a round, where they do.
    pub const fn local(&self) -> Option<&Local> {
        match self {
            Self::LocalLogistic(local) => Some(local),
            Self::Logistic | Self::Perceptron { .. } | Self::Clusters { .. } | Self::Affinity { .. } => None,
        }
    }
}

/// One number a person, out of the records of its window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feature<O> {
    /// How the number is made.
    pub family: Family,
    /// Which records count; all of the window when empty.
    pub filter: Vec<O>,
    /// The window: so many days up to the evaluation time.
    pub days: u32,
    /// How the number is brought to about one.
    pub scale: Scale,
}

/// How a feature is made of the records that count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Family {
    /// Days since the latest; the length of the window where there is none.
    Recency,
    /// How many.
    Frequency,
    /// The sum of an amount. **Units**: whole currency units.
    Sum(AttributeName),
    /// The mean of an amount, zero where there is none. **Units**: whole currency units.
    Mean(AttributeName),
    /// The sum of an amount over those that count, as a share of the sum over all of the window.
    Share(AttributeName),
    /// How many different texts.
    Distinct(AttributeName),
}

impl Family {
    /// The attribute that is read, beside those of the filter.
    pub const fn attribute(&self) -> Option<&AttributeName> {
        match self {
            Self::Recency | Self::Frequency => None,
            Self::Sum(attribute)
            | Self::Mean(attribute)
            | Self::Share(attribute)
            | Self::Distinct(attribute) => Some(attribute),
        }
    }
}

/// How a feature is brought to about one: `(value - centre) / spread`, cut off at `bound` on both sides. Fixed at
/// admission, so that it tells nothing of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scale {
    /// Whether the value is `ln(1 + value)` instead.
    pub logarithm: bool,
    /// What becomes zero. **Units**: millionths.
    pub centre: i64,
    /// What becomes one; positive. **Units**: millionths.
    pub spread: u64,
    /// Nothing is farther from zero. **Units**: thousandths.
    pub bound: u32,
}

impl Training<ResolvedOperand> {
    /// The attributes that are read of records.
    pub fn attributes(&self) -> BTreeSet<AttributeName> {
        let of = |operands: &[ResolvedOperand]| -> Vec<AttributeName> {
            operands.iter().map(|operand| operand.attribute.clone()).collect()
        };
        let mut all = BTreeSet::from([self.time.clone()]);
        all.extend(of(&self.cohort));
        for feature in &self.features {
            all.extend(of(&feature.filter));
            all.extend(feature.family.attribute().cloned());
        }
        all.extend(self.label.iter().flat_map(|label| of(&label.condition)));
        if let ModelKind::Affinity { attribute, .. } = &self.model {
            all.insert(attribute.clone());
        }
        all
    }
}

/// What is to be predicted: whether there is a record after the evaluation time that satisfies all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label<O> {
    /// All must hold for one record; any record when empty.
    pub condition: Vec<O>,
    /// How many days after the evaluation time count.
    pub days: u32,
}

/// Hyper-parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// The clipping norm: the most that one subject changes a sum. **Units**: thousandths.
    pub clip: u32,
    /// The length of a step along the mean gradient; clusters have none. **Units**: millionths.
    pub learning_rate: u32,
    /// How much of the last step goes into the next. **Units**: thousandths.
    pub momentum: u32,
    /// The pull of all weights but the biases to zero. **Units**: millionths.
    pub penalty: u32,
    /// Affinity: the pull of a person's factors to zero. **Units**: thousandths.
    pub ridge: u32,
    /// Affinity: the weight of an item that a person does not list. **Units**: thousandths.
    pub unlisted: u32,
}

impl Settings {
    /// A plain gradient step with clipping norm 1.
    pub const PLAIN: Self =
        Self { clip: 1_000, learning_rate: 1_000_000, momentum: 0, penalty: 0, ridge: 100, unlisted: 0 };

    /// Whether all are within their limits. **Errors**: the name of one that is not.
    pub fn check(&self) -> Result<(), &'static str> {
        let limits = [
            ("clipping norm", self.clip, 1, CLIP_MAX),
            ("learning rate", self.learning_rate, 1, LEARNING_RATE_MAX),
            ("momentum", self.momentum, 0, MOMENTUM_MAX),
            ("penalty", self.penalty, 0, PENALTY_MAX),
            ("ridge", self.ridge, 1, RIDGE_MAX),
            ("weight of unlisted items", self.unlisted, 0, 1_000),
        ];
        let outside = limits.iter().find(|(_, value, low, high)| value < low || value > high);
        outside.map_or(Ok(()), |(name, ..)| Err(name))
    }
}

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

    /// Whether all sizes are within their limits. **Errors**: the name of what is not.
    pub fn check(&self) -> Result<(), &'static str> {
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
            Some((name, ..)) => Err(name),
            None if self.parameters() > PARAMETERS_MAX => Err("parameters"),
            None => Ok(()),
        }
    }
}

/// What every release of a training is noised with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrivacyTerms {
    /// The noise of each step. **Units**: thousandths of the clipping norm.
    pub noise: u32,
    /// The chance of each subject to take part in a step. **Units**: billionths; the whole is everybody.
    pub sampling: u32,
    /// The noise of each evaluation. **Units**: thousandths of what one person changes.
    pub evaluation_noise: u32,
    /// The chance that the loss is exceeded. **Units**: 1e-12.
    pub delta: u64,
}

impl PrivacyTerms {
    /// The loss of each subject after so many steps and evaluations. Nobody is both trained and evaluated on, so it is
    /// the larger of the two. Rounded up. **Errors**: what is out of its limits.
    pub fn loss(&self, steps: u32, evaluations: u32) -> Result<Epsilon, AccountantError> {
        let loss = |release: Release, times| match times {
            0 => Ok(Epsilon::ZERO),
            times => release.loss(times, Delta(self.delta)),
        };
        Ok(loss(self.step(), steps)?.max(loss(self.evaluation(), evaluations)?))
    }

    fn step(&self) -> Release {
        Release { sampling: self.sampling, noise: self.noise }
    }

    fn evaluation(&self) -> Release {
        Release { sampling: EVERYBODY, noise: self.evaluation_noise }
    }
}

impl<O> Training<O> {
    /// The kind of the model with its sizes. Numbers that do not fit are above every limit.
    pub fn shape(&self) -> Shape {
        let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let features = count(self.features.len());
        match &self.model {
            ModelKind::Logistic | ModelKind::LocalLogistic(_) => Shape::Logistic { features },
            ModelKind::Perceptron { hidden } => Shape::Perceptron { features, hidden: *hidden },
            ModelKind::Clusters { clusters } => Shape::Clusters { features, clusters: *clusters },
            ModelKind::Affinity { rank, items, .. } => {
                Shape::Affinity { items: count(items.len()), rank: *rank }
            }
        }
    }

    /// What the aggregator goes by, and who repeats a training from its transcripts: [`Training::settings`], and with local
    /// steps what they come to in a round.
    pub fn round_settings(&self) -> Settings {
        self.model.local().map_or(self.settings, |local| local.of_round(&self.settings))
    }

    /// Whether a round begins with an evaluation of the model as it is. The initial model is not worth one.
    pub const fn evaluates(&self, round: u32, last: bool) -> bool {
        last || (round > 1 && (round - 1).is_multiple_of(self.evaluate_every))
    }

    /// Steps and evaluations that are done once this round is. The last round has no step.
    pub const fn done(&self, round: u32, last: bool) -> (u32, u32) {
        let steps = if last { round - 1 } else { round };
        (steps, steps.saturating_sub(1) / self.evaluate_every + last as u32)
    }

    /// What each subject has lost once this round is done, with releases beyond one a round.
    /// **Errors**: those of the accountant.
    pub fn spent(&self, round: u32, last: bool, extra: Extra) -> Result<Epsilon, AccountantError> {
        let (steps, evaluations) = self.done(round, last);
        self.privacy.loss(steps.saturating_add(extra.steps), evaluations.saturating_add(extra.evaluations))
    }

    /// What is reserved beyond one release a round, for rounds that are ordered again without a Vault.
    pub const fn spare(&self) -> Extra {
        let (steps, evaluations) = self.done(self.rounds + 1, true);
        Extra { steps: 2 + steps.div_ceil(10), evaluations: 2 + evaluations.div_ceil(10) }
    }

    /// How many rounds `budget` pays for under these terms, with what is spare. **Errors**: what is out of its limits.
    pub fn rounds_within(&self, budget: Epsilon) -> Result<u32, AccountantError>
    where
        O: Clone,
    {
        let delta = Delta(self.privacy.delta);
        let steps = self.privacy.step().rounds_within(budget, delta)?;
        let evaluations = self.privacy.evaluation().rounds_within(budget, delta)?;
        let fits = |rounds: u32| {
            let of = Self { rounds, ..self.clone() };
            let (done, judged) = of.done(rounds + 1, true);
            done + of.spare().steps <= steps && judged + of.spare().evaluations <= evaluations
        };
        // `within` rounds fit, `beyond` do not.
        let (mut within, mut beyond) = (0, steps.saturating_add(1));
        while beyond - within > 1 {
            let middle = within + (beyond - within) / 2;
            if fits(middle) { within = middle } else { beyond = middle }
        }
        Ok(within)
    }
}

/// Releases beyond one a round: a round that is ordered again for other Vaults gives other sums with other noise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extra {
    /// Of steps.
    pub steps: u32,
    /// Of evaluations.
    pub evaluations: u32,
}

impl Extra {
    /// One release a round.
    pub const NONE: Self = Self { steps: 0, evaluations: 0 };
}

/// The order of one round: to each of its Vaults, and to the aggregator's enclave. It names who computes, what the round
/// begins with and who combines, so that a round has one meaning (R097).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoundOrder {
    /// The order for the whole task.
    pub envelope: TaskEnvelope,
    /// From one.
    pub round: u32,
    /// Whether the model is only evaluated, and released.
    pub last: bool,
    /// Which time the round is ordered: with fewer Vaults, or for another master's aggregator.
    pub attempt: u32,
    /// Digest of the learner that the round begins with.
    pub state: Digest,
    /// Vaults that compute it, in ascending order.
    pub vaults: Vec<VaultId>,
    /// About how many people each has, in the same order, from the buckets of their receipts: what sums are divided by,
    /// and what an average counts for.
    pub subjects: Vec<u64>,
    /// Boot report of the aggregator's enclave, canonical bytes, for the Vaults' own appraisal.
    pub aggregator_boot: Vec<u8>,
    /// Boot report of the enclave of another master, which computes on the other shares; in that environment only.
    pub helper_boot: Option<Vec<u8>>,
}

impl RoundOrder {
    /// About how many people all of them have.
    pub fn people(&self) -> u64 {
        self.subjects.iter().fold(0, |sum, subjects| sum.saturating_add(*subjects))
    }

    /// What the round releases: whose sums, from which learner, and with local steps how wide they were. Attempts that have
    /// it in common have the same sums and the same noise.
    pub fn release(&self) -> Digest {
        let Self { vaults, state, last, subjects, .. } = self;
        let plan = self.envelope.plan.training();
        if plan.is_some_and(|plan| plan.training.model.local().is_some()) {
            Digest::of("symphony/round-release/v2", &(vaults, state, last, subjects))
        } else {
            Digest::of("symphony/round-release/v1", &(vaults, state, last))
        }
    }
}

impl Document for RoundOrder {
    const TAG: &'static str = "symphony/round-order/v2";
}

/// A round order that masters endorse.
pub type EndorsedRoundOrder = Endorsed<RoundOrder, Master>;

/// What a round leaves: its slices and their aggregate. That of the last round is the task's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Round {
    /// The task.
    pub task: TaskId,
    /// From one.
    pub round: u32,
    /// By Vault in ascending order.
    pub slices: Vec<SignedSlice>,
    /// What the aggregator's enclave made of them.
    pub aggregate: SignedAggregate,
    /// SHA-256 of what lies beside the journal: attestations, the sealed transcript, sealed learners.
    pub bulk: Digest,
    /// Participating Vaults without a slice, and why, as the master says that ran the round.
    pub absent: Vec<(VaultId, Code)>,
}

impl Value for Round {}

impl Document for Round {
    const TAG: &'static str = "symphony/round/v1";
}

/// A round whose attestations masters have appraised, and whose result they hold.
pub type EndorsedRound = Endorsed<Round, Master>;

/// How good a model was on people held out, out of noised counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evaluation {
    /// AUC for propensity, silhouette for clusters, recall for affinity. **Units**: millionths.
    pub quality: u32,
    /// Mean log loss; propensity only. **Units**: millionths.
    pub log_loss: Option<u32>,
    /// Mean distance of predicted from observed shares; propensity only. **Units**: millionths.
    pub calibration_error: Option<u32>,
}

/// What the submitter finds when it opens the sealed result of a training (R100).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainedModel {
    /// The task.
    pub task: TaskId,
    /// Steps that were made.
    pub steps: u32,
    /// The kind and the sizes.
    pub shape: Shape,
    /// The parameters as little-endian doubles, in the order that the shape tells.
    pub parameters: Vec<u8>,
    /// How good it is.
    pub evaluation: Evaluation,
}

impl TrainedModel {
    /// The digest of shape and parameters: two trainings with the same digest gave the same model.
    pub fn digest(&self) -> Digest {
        Digest::of("symphony/train-model/v1", &(self.shape, &self.parameters))
    }
}

/// What the submitter finds when it opens the sealed transcript of a step: with all of them it repeats the training.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepTranscript {
    /// The task.
    pub task: TaskId,
    /// The round.
    pub round: u32,
    /// About how many people the sums are of, those held out among them: [`RoundOrder::people`].
    pub subjects: u64,
    /// The noised sums, in units of the grid.
    pub sums: Vec<i64>,
}

/// The sampling rate of everybody.
pub const EVERYBODY: u32 = 1_000_000_000;
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
pub const PARAMETERS_MAX: usize = 2_000_000;
/// The largest clipping norm: 1,000.
const CLIP_MAX: u32 = 1_000_000;
/// The largest learning rate: 1,000.
const LEARNING_RATE_MAX: u32 = 1_000_000_000;
/// The largest momentum: 0.999.
const MOMENTUM_MAX: u32 = 999;
/// The largest penalty: 100.
const PENALTY_MAX: u32 = 100_000_000;
/// The largest ridge: 1,000.
const RIDGE_MAX: u32 = 1_000_000;
