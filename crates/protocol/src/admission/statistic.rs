//! What a statistic means under the active governance (R018, R046-R050, R060): a selection of bounded size over governed rules, an
//! amount or groups that may be read, and a bound of what one person changes, which the noise follows from.

use alloc::collections::BTreeSet;
use alloc::string::String;

use symphony_types::catalogue::Code;
use symphony_types::epsilon::Epsilon;
use symphony_types::id::UsageScope;
use symphony_types::limits::{OPERANDS_MAX, SET_VALUES_MAX};
use symphony_types::time::OrderedMillis;

use super::semantics::Resolver;
use crate::artifact::module::{CLIP_MAX, TOUCHES_MAX};
use crate::artifact::statistic::{Measure, StatisticPlan, StatisticRequest};
use crate::artifact::{Operand, PrivacyCharge, ResolvedOperand};
use crate::governance::Governance;
use crate::governance::semantics::{ValueType, normalise};

/// The plan of a statistic. **Errors**: `ADM-0028` when the scope is one of trainings, `ADM-0027` for a selection that is too large
/// or nested too deeply, a clamp, groups or an epsilon out of their limits, and those of the meaning of attributes.
pub fn resolve(
    governance: &Governance,
    scope: &UsageScope,
    request: &StatisticRequest,
    at: OrderedMillis,
) -> Result<StatisticPlan, Code> {
    let policy = governance.policy_at(at);
    // Consent to training is no consent to anything else.
    if policy.train.scopes.contains(scope) {
        return Err(Code::ScopeUnsuited);
    }
    let charged = Epsilon::ZERO < request.epsilon && request.epsilon <= policy.compute.epsilon_max;
    if !charged {
        return Err(Code::SettingOutOfRange);
    }
    let evaluated_at = request.evaluate_at.unwrap_or(at);
    let mut resolver = Resolver::new(governance.semantics_at(at), evaluated_at);
    let who = resolver.selection(&request.who)?;
    let measure = measure(&mut resolver, &request.measure)?;
    let plan = StatisticPlan {
        who,
        measure,
        combined_privacy_class: resolver.finish()?,
        minimum_result_cardinality: policy.privacy.minimum_result_cardinality,
        epsilon: request.epsilon,
        evaluated_at,
    };
    let read = plan.attributes().len();
    if (1..=OPERANDS_MAX).contains(&read) { Ok(plan) } else { Err(Code::SettingOutOfRange) }
}

fn measure(resolver: &mut Resolver<'_>, asked: &Measure<Operand>) -> Result<Measure<ResolvedOperand>, Code> {
    match asked {
        Measure::People => Ok(Measure::People),
        Measure::Sum { amount, over, clamp } => {
            if !(1..=CLIP_MAX).contains(clamp) {
                return Err(Code::SettingOutOfRange);
            }
            resolver.attribute(amount, ValueType::Cents)?;
            let over = resolver.operands(over)?;
            Ok(Measure::Sum { amount: amount.clone(), over, clamp: *clamp })
        }
        Measure::Groups { attribute, over, groups, groups_each } => {
            let groups: BTreeSet<String> = groups.iter().map(|text| normalise(text)).collect();
            let within = (1..=SET_VALUES_MAX).contains(&groups.len())
                && (1..=TOUCHES_MAX).contains(groups_each)
                && *groups_each as usize <= groups.len();
            if !within {
                return Err(Code::SettingOutOfRange);
            }
            resolver.attribute(attribute, ValueType::Text)?;
            let (over, groups) = (resolver.operands(over)?, groups.into_iter().collect());
            Ok(Measure::Groups { attribute: attribute.clone(), over, groups, groups_each: *groups_each })
        }
    }
}

/// What each person is charged: what is released about all of them together.
pub const fn charge(plan: &StatisticPlan) -> PrivacyCharge {
    PrivacyCharge { exposure: Epsilon::ZERO, noised: plan.epsilon }
}
