//! A training as a submitter states it. Limits that depend on the policy are judged at admission (R098).

use symphony_protocol::artifact::Operand;
use symphony_protocol::artifact::training::{
    FEATURES_MAX, Family, Feature, ITEMS_MAX, Label, Local, ModelKind, PrivacyTerms, Scale, Settings,
    Training,
};
use symphony_types::id::AttributeName;

use super::{Refused, checked_text, malformed, operands};
use crate::v1;

/// Reads a training. **Errors**: `ADM-0001` with what is missing or of an unknown kind.
pub(super) fn training(message: v1::Training) -> Result<Training<Operand>, Refused> {
    if message.features.len() > FEATURES_MAX as usize {
        return Err(malformed(format!("features has at most {FEATURES_MAX} entries")));
    }
    let settings = message.settings.ok_or_else(|| malformed("settings is missing"))?;
    let privacy = message.privacy.ok_or_else(|| malformed("privacy is missing"))?;
    Ok(Training {
        model: model(message.model.ok_or_else(|| malformed("model is missing"))?)?,
        time: attribute(&message.time_attribute, "time_attribute")?,
        cohort: operands(message.cohort, 0)?,
        features: message.features.into_iter().map(feature).collect::<Result<_, _>>()?,
        label: message.label.map(label).transpose()?,
        settings: Settings {
            clip: settings.clip_milli,
            learning_rate: settings.learning_rate_micro,
            momentum: settings.momentum_milli,
            penalty: settings.penalty_micro,
            ridge: settings.ridge_milli,
            unlisted: settings.unlisted_milli,
        },
        privacy: PrivacyTerms {
            noise: privacy.noise_milli,
            sampling: privacy.sampling_nano,
            evaluation_noise: privacy.evaluation_noise_milli,
            delta: privacy.delta_pico,
        },
        rounds: message.rounds,
        evaluate_every: message.evaluate_every,
        patience: message.patience,
        held_out: message.held_out_permille,
        accept_from: message.accept_from_micro,
    })
}

fn model(message: v1::ModelKind) -> Result<ModelKind, Refused> {
    let local = local(&message)?;
    match message.kind.as_str() {
        "logistic" => Ok(local.map_or(ModelKind::Logistic, ModelKind::LocalLogistic)),
        other if local.is_some() => Err(malformed(format!("model.kind {other:?} has no local steps"))),
        "perceptron" => Ok(ModelKind::Perceptron { hidden: message.hidden }),
        "clusters" => Ok(ModelKind::Clusters { clusters: message.clusters }),
        "affinity" if message.items.len() > ITEMS_MAX as usize => {
            Err(malformed(format!("items has at most {ITEMS_MAX} entries")))
        }
        "affinity" => Ok(ModelKind::Affinity {
            rank: message.rank,
            attribute: attribute(&message.item_attribute, "item_attribute")?,
            items: message.items.into_iter().map(checked_text).collect::<Result<_, _>>()?,
            days: message.days,
            best: message.best,
        }),
        other => Err(malformed(format!("model.kind {other:?}"))),
    }
}

/// The local steps of a model; `None` for the plain method. **Errors**: settings of steps that there are not.
fn local(message: &v1::ModelKind) -> Result<Option<Local>, Refused> {
    let Local { steps, rate, norm } =
        Local { steps: message.local_steps, rate: message.local_rate_micro, norm: message.local_norm_milli };
    match steps {
        0 | 1 if (rate, norm) != (0, 0) => {
            Err(malformed("local_rate_micro and local_norm_milli are of local steps"))
        }
        0 | 1 => Ok(None),
        _ => Ok(Some(Local { steps, rate, norm })),
    }
}

fn feature(message: v1::Feature) -> Result<Feature<Operand>, Refused> {
    let of = || attribute(&message.attribute, "attribute");
    let family = match message.family.as_str() {
        "recency" => Family::Recency,
        "frequency" => Family::Frequency,
        "sum" => Family::Sum(of()?),
        "mean" => Family::Mean(of()?),
        "share" => Family::Share(of()?),
        "distinct" => Family::Distinct(of()?),
        other => return Err(malformed(format!("family {other:?}"))),
    };
    if family.attribute().is_none() && !message.attribute.is_empty() {
        return Err(malformed("a feature of recency or frequency has no attribute"));
    }
    Ok(Feature {
        family,
        filter: operands(message.filter, 0)?,
        days: message.days,
        scale: Scale {
            logarithm: message.logarithm,
            centre: message.centre_micro,
            spread: message.spread_micro,
            bound: message.bound_milli,
        },
    })
}

fn label(message: v1::TrainingLabel) -> Result<Label<Operand>, Refused> {
    Ok(Label { condition: operands(message.condition, 0)?, days: message.days })
}

fn attribute(name: &str, field: &str) -> Result<AttributeName, Refused> {
    AttributeName::new(name).map_err(|error| malformed(format!("{field}: {error}")))
}

#[cfg(test)]
mod tests;
