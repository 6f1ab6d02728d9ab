//! What a computation means under the active governance (R018, R046-R050, R094, R095): an approved module, parameters within
//! its declaration, attributes that it may read, and fuel and epsilon within the policy.

use symphony_types::catalogue::Code;
use symphony_types::epsilon::Epsilon;
use symphony_types::id::UsageScope;
use symphony_types::limits::{OPERANDS_MAX, SUBJECTS_PER_VAULT_MAX};
use symphony_types::time::OrderedMillis;

use super::semantics::Resolver;
use crate::artifact::PrivacyCharge;
use crate::artifact::compute::{ComputePlan, ComputeRequest, Parameters};
use crate::governance::Governance;
use crate::governance::pricing::Run;

/// The plan of a computation. **Errors**: `ADM-0028` when the scope is one of trainings, `ADM-0030` for a module that is not
/// approved, `ADM-0027` for a setting out of its limits, and those of the meaning of attributes.
pub fn resolve(
    governance: &Governance,
    scope: &UsageScope,
    request: &ComputeRequest,
    at: OrderedMillis,
) -> Result<ComputePlan, Code> {
    // Consent to training is no consent to anything else.
    if governance.policy_at(at).train.scopes.contains(scope) {
        return Err(Code::ScopeUnsuited);
    }
    let (code, module) = governance.registry.module(&request.module).ok_or(Code::ModuleUnknown)?;
    let declaration = module.declaration.clone();
    let parameters = Parameters::named(&declaration, &request.numbers, &request.lists);
    let parameters = parameters.map_err(|_| Code::SettingOutOfRange)?;
    let evaluated_at = request.evaluate_at.unwrap_or(at);
    let mut resolver = Resolver::new(governance.semantics_at(at), evaluated_at);
    for input in &declaration.inputs {
        resolver.attribute(&input.attribute, input.kind.value_type())?;
    }
    let cohort = resolver.operands(&request.cohort)?;
    let combined_privacy_class = resolver.finish()?;
    let policy = &governance.policy_at(at).compute;
    let plan = ComputePlan {
        code,
        declaration,
        parameters,
        cohort,
        evaluated_at,
        combined_privacy_class,
        minimum_cohort: policy.minimum_cohort,
        epsilon: request.epsilon,
        people_max: request.people_max,
        records_max: request.records_max,
    };
    let people = 1..=SUBJECTS_PER_VAULT_MAX;
    let sound = people.contains(&request.people_max)
        && (1..=RECORDS_MAX).contains(&request.records_max)
        && request.epsilon > Epsilon::ZERO
        && request.epsilon <= policy.epsilon_max
        && plan.fuel_max() <= policy.fuel_max
        && plan.attributes().len() <= OPERANDS_MAX;
    if sound { Ok(plan) } else { Err(Code::SettingOutOfRange) }
}

/// What each person is charged: what is released about all of them together.
pub const fn charge(plan: &ComputePlan) -> PrivacyCharge {
    PrivacyCharge { exposure: Epsilon::ZERO, noised: plan.epsilon }
}

/// The most that so many Vaults do.
pub fn worst_case(plan: &ComputePlan, vaults: u64) -> Run {
    let all = |each: u64| each.saturating_mul(vaults);
    Run { vaults, fuel: all(plan.fuel_max()), records: all(plan.records_max) }
}

/// Records of one Vault: what one table holds.
const RECORDS_MAX: u64 = 1 << 24;
