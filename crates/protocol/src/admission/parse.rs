//! What a parse is admitted on (R015-R022, R082, R085): the word of an approved Vault that it keeps the document and that
//! its owner asked. It costs the owner nothing, so no lock is looked for.

use symphony_types::catalogue::Code;
use symphony_types::time::OrderedMillis;

use super::request::SCHEMA;
use crate::artifact::Versions;
use crate::artifact::parse::{ParseOrder, SignedTicket};
use crate::governance::Governance;
use crate::governance::approval::Purpose;

/// The order that a ticket becomes. **Errors**: `ADM-0012` when the Vault is not approved, `ADM-0003` when the ticket is not
/// its own or is out of time, `VLT-0018` when what it keeps moves, `VLT-0022` when it is suspended, `VLT-0023` when it leaves, `ADM-0019` and `GOV-0013` when no enclave may serve it.
pub fn judge(governance: &Governance, ticket: &SignedTicket, at: OrderedMillis) -> Result<ParseOrder, Code> {
    let body = &ticket.body;
    let vault = governance.registry.serving(&body.vault)?;
    if !ticket.verify(&vault.key) || body.expires <= at {
        return Err(Code::Forbidden);
    }
    let policy = governance.policy_at(at);
    if !governance.admits_enclaves() {
        return Err(Code::PlatformRefused);
    }
    let measurements = governance.registry.active_code();
    if !governance.registry.can_serve(&measurements, &[Purpose::Slices]) {
        return Err(Code::CodeInactive);
    }
    Ok(ParseOrder {
        task: body.task(),
        ticket: body.clone(),
        versions: Versions {
            schema: SCHEMA,
            semantic: governance.semantics_at(at).version,
            policy: governance.version_at(at),
            governance: governance.sequence,
        },
        epoch: governance.epoch_of(at),
        admitted_at: at,
        execute_by: at.plus(policy.deadlines.execute_ms),
        measurements,
        software_admitted: policy.software_admitted,
    })
}
