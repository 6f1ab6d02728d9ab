//! The card of a model (R103): scope of its data, versions, privacy, quality, lineage, platform. Everything follows from
//! the evidence, so that a card can be made again and compared.

use std::collections::BTreeMap;

use serde::Serialize;
use symphony_protocol::artifact::training::{Evaluation, Family, Feature, ModelKind};
use symphony_protocol::artifact::{Combined, Outcome, Predicate, PrivacyClass, ResolvedOperand};
use symphony_types::epsilon::Epsilon;
use symphony_types::key::Document as _;

use super::{Proven, millionths};
use crate::verify::governance_digest;

macro_rules! parts {
    ($($(#[$doc:meta])* $name:ident { $($(#[$attribute:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Serialize)]
        pub struct $name { $($(#[$attribute])* pub $field: $type,)* }
    )*};
}

parts! {
    /// What is known of a model.
    Card {
        /// Version of this form.
        format: String,
        /// The task.
        task: String,
        /// The submitter's name for it.
        request: String,
        /// Who had it trained.
        submitter: String,
        /// The network.
        network: String,
        /// `software` where any enclave was, else `hardware`.
        platform: String,
        /// Where the Vaults' parts were combined: `tee`, in one attested enclave, or `mpc`, on shares in two.
        environment: String,
        /// The model.
        model: Model,
        /// What it was trained on.
        data: Scope,
        /// Versions of its admission.
        versions: Versions,
        /// What people lost by it.
        privacy: Privacy,
        /// How good it is on people held out.
        quality: Quality,
        /// What it is made of.
        lineage: Lineage,
    }

    /// The model itself.
    Model {
        /// `logistic`, `perceptron`, `clusters` or `affinity`.
        kind: String,
        /// Hidden units, clusters or factors an item.
        #[serde(skip_serializing_if = "Option::is_none")]
        size: Option<u32>,
        /// Of affinity: all items, in the order of their factors.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        items: Vec<String>,
        /// Numbers that it consists of.
        parameters: usize,
        /// Digest of shape and parameters.
        digest: String,
        /// Steps that were made.
        steps: u32,
        /// Steps that were planned.
        planned: u32,
        /// How a step was made of the Vaults' parts: `secure_sum` of their people's gradients, or `federated_average` of what
        /// each Vault made in several steps by itself.
        method: String,
        /// Those steps of a Vault in every step of the model.
        #[serde(skip_serializing_if = "Option::is_none")]
        local: Option<LocalCard>,
    }

    /// Steps of a Vault by itself.
    LocalCard {
        /// How many a round.
        steps: u32,
        /// The length of one.
        rate: f64,
        /// What a person's features were shortened to.
        norm: f64,
    }

    /// The scope of the data.
    Scope {
        /// What consent was for.
        usage_scope: String,
        /// Vaults that took part.
        vaults: Vec<String>,
        /// Features look back from here, labels ahead. **Units**: milliseconds since 1970.
        evaluated_at_ms: u64,
        /// The attribute that says when a record happened.
        time: String,
        /// Attributes that were read.
        attributes: Vec<String>,
        /// The highest privacy class among them.
        privacy_class: String,
        /// Who took part: people with a record that satisfies all.
        cohort: Vec<Condition>,
        /// One number a person each.
        features: Vec<FeatureCard>,
        /// What is predicted.
        #[serde(skip_serializing_if = "Option::is_none")]
        label: Option<LabelCard>,
        /// The share of people held out.
        held_out: f64,
        /// Fewer people were not trained on.
        minimum_cohort: u32,
    }

    /// A comparison of one record.
    Condition {
        /// The governed rule.
        rule: String,
        /// The attribute that it reads.
        attribute: String,
        /// Equal to one of these texts.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        texts: Vec<String>,
        /// Not before; milliseconds since 1970.
        #[serde(skip_serializing_if = "Option::is_none")]
        since_ms: Option<u64>,
        /// Not after.
        #[serde(skip_serializing_if = "Option::is_none")]
        until_ms: Option<u64>,
        /// At least.
        #[serde(skip_serializing_if = "Option::is_none")]
        at_least: Option<u64>,
        /// At most.
        #[serde(skip_serializing_if = "Option::is_none")]
        at_most: Option<u64>,
    }

    /// One number a person.
    FeatureCard {
        /// `recency`, `frequency`, `sum`, `mean`, `share` or `distinct`.
        family: String,
        /// What it is made of.
        #[serde(skip_serializing_if = "Option::is_none")]
        attribute: Option<String>,
        /// Records that count.
        filter: Vec<Condition>,
        /// The window.
        days: u32,
        /// Whether the value is `ln(1 + value)` instead.
        logarithm: bool,
        /// What becomes zero.
        centre: f64,
        /// What becomes one.
        spread: f64,
        /// Nothing is farther from zero.
        bound: f64,
    }

    /// What is predicted: whether there is a record after the evaluation time that satisfies all.
    LabelCard {
        /// All must hold for one record.
        condition: Vec<Condition>,
        /// How many days after the evaluation time count.
        days: u32,
    }

    /// Versions that the task was admitted under.
    Versions {
        /// Shapes of records and envelopes.
        schema: u32,
        /// Meaning of attributes and rules.
        semantic: u32,
        /// Fees, shares, limits.
        policy: u32,
    }

    /// What each person lost, at most, with the chance `delta` of more.
    Privacy {
        /// Of the rounds that were done.
        epsilon_spent: f64,
        /// Set aside at admission.
        epsilon_reserved: f64,
        /// The chance that the loss is exceeded.
        delta: f64,
        /// Noise of each step, in what one person changes at most: the clipping norm, in each local step.
        noise: f64,
        /// The clipping norm.
        clip: f64,
        /// The chance of each person to take part in a step.
        sampling: f64,
        /// Noise of each evaluation.
        evaluation_noise: f64,
    }

    /// How good the model is.
    Quality {
        /// `auc`, `silhouette` or `recall`.
        measure: String,
        /// What a released model had to reach.
        accept_from: f64,
        /// Of the released model.
        released: Point,
        /// Before steps.
        curve: Vec<Point>,
    }

    /// One evaluation, out of noised counts.
    Point {
        /// Steps that the model had.
        step: u32,
        /// The measure.
        quality: f64,
        /// Mean log loss.
        #[serde(skip_serializing_if = "Option::is_none")]
        log_loss: Option<f64>,
        /// Mean distance of predicted from observed shares.
        #[serde(skip_serializing_if = "Option::is_none")]
        calibration_error: Option<f64>,
    }

    /// Where the model comes from, in digests of the evidence.
    Lineage {
        /// The order.
        envelope: String,
        /// The governance that everything was judged by.
        governance: String,
        /// Merkle root over the rounds before the last.
        rounds_root: String,
        /// The aggregate of the last round.
        aggregate: String,
        /// The verdict.
        verdict: String,
        /// The settlement.
        settlement_root: String,
        /// When it became final. **Units**: milliseconds since 1970.
        finalized_ms: u64,
        /// Roots over the records that went in, by Vault, in the order of their rounds; a root that stays stands once.
        input_roots: BTreeMap<String, Vec<String>>,
    }
}

impl Card {
    /// The card of a model that is proven.
    pub fn of(proven: &Proven) -> Self {
        let envelope = proven.envelope();
        let versions = envelope.versions;
        Self {
            format: FORMAT.to_owned(),
            task: envelope.task.to_string(),
            request: envelope.request.to_string(),
            submitter: envelope.submitter.to_string(),
            network: proven.bundle.network.clone(),
            platform: if proven.bundle.context.software { "software" } else { "hardware" }.to_owned(),
            environment: proven.plan.environment.name().to_owned(),
            model: model(proven),
            data: scope(proven),
            versions: Versions {
                schema: versions.schema.0,
                semantic: versions.semantic.0,
                policy: versions.policy.0,
            },
            privacy: privacy(proven),
            quality: quality(proven),
            lineage: lineage(proven),
        }
    }
}

fn model(proven: &Proven) -> Model {
    let training = &proven.plan.training;
    let (kind, size, items) = match &training.model {
        ModelKind::Logistic | ModelKind::LocalLogistic(_) => ("logistic", None, Vec::new()),
        ModelKind::Perceptron { hidden } => ("perceptron", Some(*hidden), Vec::new()),
        ModelKind::Clusters { clusters } => ("clusters", Some(*clusters), Vec::new()),
        ModelKind::Affinity { rank, items, .. } => ("affinity", Some(*rank), items.clone()),
    };
    let local = training.model.local().map(|local| LocalCard {
        steps: local.steps,
        rate: f64::from(local.rate) / 1e6,
        norm: f64::from(local.norm) / 1e3,
    });
    Model {
        kind: kind.to_owned(),
        size,
        items,
        parameters: training.shape().parameters(),
        digest: proven.model.to_string(),
        steps: proven.steps(),
        planned: training.rounds,
        method: if local.is_some() { "federated_average" } else { "secure_sum" }.to_owned(),
        local,
    }
}

fn scope(proven: &Proven) -> Scope {
    let (envelope, plan) = (proven.envelope(), &proven.plan);
    let training = &plan.training;
    Scope {
        usage_scope: envelope.scope.to_string(),
        vaults: envelope.coordination.participating_vault_ids.iter().map(ToString::to_string).collect(),
        evaluated_at_ms: plan.evaluated_at.0,
        time: training.time.to_string(),
        attributes: training.attributes().iter().map(ToString::to_string).collect(),
        privacy_class: match plan.combined_privacy_class {
            PrivacyClass::Public => "public",
            PrivacyClass::Low => "low",
            PrivacyClass::Sensitive => "sensitive",
            PrivacyClass::Identifying => "identifying",
        }
        .to_owned(),
        cohort: conditions(&training.cohort),
        features: training.features.iter().map(feature).collect(),
        label: training
            .label
            .as_ref()
            .map(|label| LabelCard { condition: conditions(&label.condition), days: label.days }),
        held_out: f64::from(training.held_out) / 1e3,
        minimum_cohort: plan.minimum_cohort,
    }
}

fn conditions(operands: &[ResolvedOperand]) -> Vec<Condition> {
    let condition = |operand: &ResolvedOperand| {
        let (mut texts, mut since_ms, mut until_ms) = (Vec::new(), None, None);
        let (mut bound, mut at_most) = (None, None);
        match &operand.predicate {
            Predicate::TextEquals(text) => texts.push(text.clone()),
            Predicate::TextIn(all) => texts.clone_from(all),
            Predicate::Between { since, until } => (since_ms, until_ms) = (Some(since.0), Some(until.0)),
            Predicate::AtLeast(least) => bound = Some(*least),
            Predicate::Within { least, most } => (bound, at_most) = (Some(*least), Some(*most)),
        }
        let (rule, attribute) = (operand.rule.to_string(), operand.attribute.to_string());
        Condition { rule, attribute, texts, since_ms, until_ms, at_least: bound, at_most }
    };
    operands.iter().map(condition).collect()
}

fn feature(feature: &Feature<ResolvedOperand>) -> FeatureCard {
    let family = match feature.family {
        Family::Recency => "recency",
        Family::Frequency => "frequency",
        Family::Sum(_) => "sum",
        Family::Mean(_) => "mean",
        Family::Share(_) => "share",
        Family::Distinct(_) => "distinct",
    };
    let scale = &feature.scale;
    FeatureCard {
        family: family.to_owned(),
        attribute: feature.family.attribute().map(ToString::to_string),
        filter: conditions(&feature.filter),
        days: feature.days,
        logarithm: scale.logarithm,
        centre: scale.centre as f64 / 1e6,
        spread: scale.spread as f64 / 1e6,
        bound: f64::from(scale.bound) / 1e3,
    }
}

fn privacy(proven: &Proven) -> Privacy {
    let training = &proven.plan.training;
    let terms = &training.privacy;
    let last = proven.bundle.evidence.result.slices.first();
    let epsilon = |Epsilon(micro): Epsilon| micro as f64 / 1e6;
    Privacy {
        // What the slices of the last round committed; the checks of the evidence hold it against the plan.
        epsilon_spent: last.map_or(0.0, |(slice, _)| epsilon(slice.body.epsilon)),
        epsilon_reserved: epsilon(proven.envelope().charge.noised),
        delta: terms.delta as f64 / 1e12,
        noise: f64::from(terms.noise) / 1e3,
        clip: f64::from(training.settings.clip) / 1e3,
        sampling: f64::from(terms.sampling) / 1e9,
        evaluation_noise: f64::from(terms.evaluation_noise) / 1e3,
    }
}

fn quality(proven: &Proven) -> Quality {
    let training = &proven.plan.training;
    let measure = match training.model {
        ModelKind::Logistic | ModelKind::LocalLogistic(_) | ModelKind::Perceptron { .. } => "auc",
        ModelKind::Clusters { .. } => "silhouette",
        ModelKind::Affinity { .. } => "recall",
    };
    let evaluated = |combined: &Combined| match combined.aggregate.0.body.outcome {
        Outcome::Step { evaluation, .. } => evaluation,
        Outcome::Model { .. }
        | Outcome::Withheld { .. }
        | Outcome::Audience { .. }
        | Outcome::Suppressed
        | Outcome::Computed { .. } => None,
    };
    let rounds = (0..).zip(&proven.bundle.evidence.rounds);
    Quality {
        measure: measure.to_owned(),
        accept_from: millionths(training.accept_from),
        released: point(proven.steps(), &proven.evaluation),
        curve: rounds.filter_map(|(step, round)| Some(point(step, &evaluated(round)?))).collect(),
    }
}

fn point(step: u32, evaluation: &Evaluation) -> Point {
    Point {
        step,
        quality: millionths(evaluation.quality),
        log_loss: evaluation.log_loss.map(millionths),
        calibration_error: evaluation.calibration_error.map(millionths),
    }
}

fn lineage(proven: &Proven) -> Lineage {
    let bundle = &proven.bundle;
    let mut input_roots: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for combined in bundle.evidence.rounds.iter().chain([&bundle.evidence.result]) {
        for (slice, _) in &combined.slices {
            let roots = input_roots.entry(slice.body.vault.to_string()).or_default();
            let root = slice.body.input_root.to_string();
            if roots.last() != Some(&root) {
                roots.push(root);
            }
        }
    }
    Lineage {
        envelope: proven.envelope().digest().to_string(),
        governance: governance_digest(&bundle.governance).to_string(),
        rounds_root: bundle.context.rounds.to_string(),
        aggregate: bundle.context.aggregate.to_string(),
        verdict: bundle.context.verdict.to_string(),
        settlement_root: bundle.root.to_string(),
        finalized_ms: bundle.context.finalized_at.0,
        input_roots,
    }
}

/// Version of the card's form.
const FORMAT: &str = "symphony/model-card/v2";
