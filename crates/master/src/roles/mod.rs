//! Roles of the master cluster that are processes of their own with keys of their own, so that one key never
//! does another's work (R118, R170, R205).

mod follower;
mod minting;
pub mod payout;
mod slashing;
pub mod verifier;

use symphony_protocol::governance::Governance;
use symphony_types::catalogue::Code;
use symphony_types::key::{Document, Endorsed, Master};
use symphony_wire::documents::decode;
use symphony_wire::status::refusal;
use tonic::Status;

/// Reads a document that a majority of the registered masters must endorse (R195). **Errors**: `ADM-0001`, `ADM-0002`.
fn from_masters<T>(governance: &Governance, bytes: &[u8]) -> Result<T, Status>
where
    T: Document + serde::de::DeserializeOwned,
{
    let document: Endorsed<T, Master> = decode(bytes).map_err(|error| refusal(Code::Malformed, error))?;
    if governance.registry.endorsed(&document) {
        Ok(document.body)
    } else {
        Err(refusal(Code::Unauthenticated, "not endorsed by a majority of the registered masters"))
    }
}
