//! Roles of the master cluster that are processes of their own with keys of their own, so that one key never
//! does another's work (R118, R170, R205).

pub mod payout;
pub mod verifier;

use symphony_protocol::governance::Governance;
use symphony_types::catalogue::Code;
use symphony_types::key::{Document, Master, Signed};
use symphony_wire::documents::decode;
use symphony_wire::status::refusal;
use tonic::Status;

/// Reads a document that a registered master must have signed. **Errors**: `ADM-0001`, `ADM-0002`.
fn from_master<T>(governance: &Governance, bytes: &[u8]) -> Result<T, Status>
where
    T: Document + serde::de::DeserializeOwned,
{
    let signed: Signed<T, Master> = decode(bytes).map_err(|error| refusal(Code::Malformed, error))?;
    if governance.registry.masters.iter().any(|key| signed.verify(key)) {
        Ok(signed.body)
    } else {
        Err(refusal(Code::Unauthenticated, "not signed by a registered master"))
    }
}
