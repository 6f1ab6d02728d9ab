//! Who may ask: the submitter is registered, not suspended, holds the role and may use the scope (R015, R016).

use symphony_types::catalogue::Code;
use symphony_types::id::{ActorId, UsageScope};
use symphony_types::time::OrderedMillis;

use crate::governance::Governance;
use crate::governance::registry::{Actor, Role};

/// The registered submitter. **Errors**: `ADM-0003` when the actor may not submit, `ADM-0011` when nobody may
/// use the scope.
pub fn submitter<'a>(
    governance: &'a Governance,
    actor: &ActorId,
    scope: &UsageScope,
    at: OrderedMillis,
) -> Result<&'a Actor, Code> {
    let actor = governance.registry.actors.get(actor).ok_or(Code::Forbidden)?;
    if actor.suspended || !actor.roles.contains(&Role::TaskSubmitter) {
        return Err(Code::Forbidden);
    }
    if !governance.policy_at(at).privacy.scope_limits.contains_key(scope) {
        return Err(Code::ScopeUnknown);
    }
    if !actor.scopes.contains(scope) {
        return Err(Code::Forbidden);
    }
    Ok(actor)
}
