//! What a training means under the active governance (R018, R046-R050, R060, R098, D20): every operand bound, every
//! feature of admissible attributes only, every setting within its limits, and a loss that a person's budget allows.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use symphony_types::catalogue::Code;
use symphony_types::epsilon::Epsilon;
use symphony_types::id::UsageScope;
use symphony_types::limits::{OPERANDS_MAX, TEXT_LEN_MAX};
use symphony_types::time::OrderedMillis;

use super::semantics::Resolver;
use crate::artifact::training::{
    Family, Feature, Label, ModelKind, Scale, Training, TrainingPlan, TrainingRequest,
};
use crate::artifact::{Operand, PrivacyCharge};
use crate::governance::Governance;
use crate::governance::policy::TrainPolicy;
use crate::governance::semantics::{ValueType, normalise};

/// The plan of a training. **Errors**: `ADM-0028` when the scope is not one of trainings, `ADM-0027` for a setting out of
/// its limits, and those of the meaning of operands.
pub fn resolve(
    governance: &Governance,
    scope: &UsageScope,
    request: &TrainingRequest,
    at: OrderedMillis,
) -> Result<TrainingPlan, Code> {
    let policy = &governance.policy_at(at).train;
    if !policy.scopes.contains(scope) {
        return Err(Code::ScopeUnsuited);
    }
    check(policy, &request.training)?;
    let evaluated_at = request.evaluate_at.unwrap_or(at);
    let mut resolver = Resolver::new(governance.semantics_at(at), evaluated_at);
    let asked = &request.training;
    resolver.attribute(&asked.time, ValueType::Time)?;
    let training = Training {
        model: model(&mut resolver, &asked.model)?,
        time: asked.time.clone(),
        cohort: resolver.operands(&asked.cohort)?,
        features: asked
            .features
            .iter()
            .map(|feature| self::feature(&mut resolver, feature))
            .collect::<Result<_, _>>()?,
        label: match &asked.label {
            Some(label) => Some(Label { condition: resolver.operands(&label.condition)?, days: label.days }),
            None => None,
        },
        settings: asked.settings,
        privacy: asked.privacy,
        rounds: asked.rounds,
        evaluate_every: asked.evaluate_every,
        patience: asked.patience,
        held_out: asked.held_out,
        accept_from: asked.accept_from,
    };
    let combined_privacy_class = resolver.finish()?;
    if training.attributes().len() > OPERANDS_MAX {
        return Err(Code::SettingOutOfRange);
    }
    let TrainPolicy { minimum_cohort, environment, .. } = *policy;
    Ok(TrainingPlan { training, evaluated_at, combined_privacy_class, minimum_cohort, environment })
}

/// What is reserved of each person for a training: the loss of all its rounds, and of what is spare (D20). **Errors**: `ADM-0027` for terms that cannot be
/// accounted for, `ADM-0029` when a person's limit does not allow it.
pub fn charge<O>(
    governance: &Governance,
    scope: &UsageScope,
    training: &Training<O>,
    at: OrderedMillis,
) -> Result<PrivacyCharge, Code> {
    let noised =
        training.spent(training.rounds + 1, true, training.spare()).map_err(|_| Code::SettingOutOfRange)?;
    // Where delta alone covers the loss there is nothing to reserve, and nothing would tell who took part.
    let noised = noised.max(Epsilon(1));
    if noised > allowed(governance, scope, at) {
        return Err(Code::BudgetTooSmall);
    }
    Ok(PrivacyCharge { exposure: Epsilon::ZERO, noised })
}

/// How many rounds the budget of a person who has spent nothing allows, under these terms. **Errors**: `ADM-0027`.
pub fn rounds_possible<O: Clone>(
    governance: &Governance,
    scope: &UsageScope,
    training: &Training<O>,
    at: OrderedMillis,
) -> Result<u32, Code> {
    let allowed = allowed(governance, scope, at);
    let within = training.rounds_within(allowed);
    Ok(within.map_err(|_| Code::SettingOutOfRange)?.min(governance.policy_at(at).train.rounds_max))
}

/// What a person may lose in a scope who has lost nothing.
fn allowed(governance: &Governance, scope: &UsageScope, at: OrderedMillis) -> Epsilon {
    let privacy = &governance.policy_at(at).privacy;
    let limit = privacy.scope_limits.get(scope).copied().unwrap_or_default();
    limit.min(privacy.subject_cap)
}

fn check(policy: &TrainPolicy, training: &Training<Operand>) -> Result<(), Code> {
    let privacy = &training.privacy;
    let labelled = matches!(
        training.model,
        ModelKind::Logistic | ModelKind::LocalLogistic(_) | ModelKind::Perceptron { .. }
    );
    let listed = matches!(training.model, ModelKind::Affinity { .. });
    let days = |days: u32| (1..=DAYS_MAX).contains(&days);
    let local = training.model.local();
    let sound = training.settings.check().is_ok()
        && local.is_none_or(|local| local.check(&training.settings).is_ok())
        && training.shape().check().is_ok()
        && (1..=policy.rounds_max).contains(&training.rounds)
        && (1..=training.rounds).contains(&training.evaluate_every)
        && (1..=HELD_OUT_MAX).contains(&training.held_out)
        && training.accept_from <= MILLION
        && privacy.noise >= policy.noise_min
        && privacy.evaluation_noise >= policy.noise_min
        && privacy.delta <= policy.delta_max
        && labelled == training.label.is_some()
        && listed == training.features.is_empty()
        && training.label.iter().all(|label| days(label.days))
        && training.features.iter().all(|feature| days(feature.days) && scaled(&feature.scale));
    if sound { Ok(()) } else { Err(Code::SettingOutOfRange) }
}

fn scaled(scale: &Scale) -> bool {
    let near = |value: u64| value <= SCALE_MAX;
    near(scale.centre.unsigned_abs())
        && scale.spread > 0
        && near(scale.spread)
        && (1..=BOUND_MAX).contains(&scale.bound)
}

fn feature(
    resolver: &mut Resolver<'_>,
    asked: &Feature<Operand>,
) -> Result<Feature<crate::artifact::ResolvedOperand>, Code> {
    match &asked.family {
        Family::Recency | Family::Frequency => {}
        Family::Sum(attribute) | Family::Mean(attribute) | Family::Share(attribute) => {
            resolver.attribute(attribute, ValueType::Cents)?;
        }
        Family::Distinct(attribute) => drop(resolver.attribute(attribute, ValueType::Text)?),
    }
    Ok(Feature {
        family: asked.family.clone(),
        filter: resolver.operands(&asked.filter)?,
        days: asked.days,
        scale: asked.scale,
    })
}

/// The model with its items in the form in which texts are compared.
fn model(resolver: &mut Resolver<'_>, asked: &ModelKind) -> Result<ModelKind, Code> {
    let ModelKind::Affinity { rank, attribute, items, days, best } = asked else { return Ok(asked.clone()) };
    resolver.attribute(attribute, ValueType::Text)?;
    let named: BTreeSet<_> = items.iter().map(|item| normalise(item)).collect();
    let sound = named.len() == items.len()
        && named.iter().all(|item| !item.is_empty() && item.len() <= TEXT_LEN_MAX)
        && (1..=DAYS_MAX).contains(days)
        && *best > 0;
    if !sound {
        return Err(Code::SettingOutOfRange);
    }
    Ok(ModelKind::Affinity {
        rank: *rank,
        attribute: attribute.clone(),
        items: named.into_iter().collect::<Vec<_>>(),
        days: *days,
        best: *best,
    })
}

/// Days of a window.
const DAYS_MAX: u32 = 3_660;
/// People who may be held out: half. **Units**: thousandths.
const HELD_OUT_MAX: u32 = 500;
/// Units of a quality in one.
const MILLION: u32 = 1_000_000;
/// A centre or a spread: a million. **Units**: millionths.
const SCALE_MAX: u64 = 1_000_000_000_000;
/// A bound: a thousand. **Units**: thousandths.
const BOUND_MAX: u32 = 1_000_000;
