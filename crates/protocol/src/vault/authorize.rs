//! Whether a document of a master binds this Vault: signed by a registered master, addressed to this Vault, in
//! time (R105, R111). The Vault believes nothing of an envelope that it can check itself.

use symphony_types::catalogue::Code;
use symphony_types::id::VaultId;
use symphony_types::key::{Document, Master, PublicKey, Signed};
use symphony_types::time::OrderedMillis;

use crate::artifact::{Assignment, Preparation, TaskClass};

/// A preparation that a master signed.
pub type SignedPreparation = Signed<Preparation, Master>;

/// Whether a registered master signed the document. **Errors**: `ADM-0003`.
pub fn signed<T: Document>(document: &Signed<T, Master>, masters: &[PublicKey<Master>]) -> Result<(), Code> {
    if masters.iter().any(|key| document.verify(key)) { Ok(()) } else { Err(Code::Forbidden) }
}

/// Whether a document is addressed to this Vault. **Errors**: `EXE-0006`.
pub fn addressed(to: &VaultId, vault: &VaultId) -> Result<(), Code> {
    if to == vault { Ok(()) } else { Err(Code::EnvelopeInvalid) }
}

/// Whether a preparation can be answered. **Errors**: `ADM-0001`, `EXE-0006`, `VLT-0004`.
pub fn preparation(body: &Preparation, vault: &VaultId, at: OrderedMillis) -> Result<(), Code> {
    addressed(&body.vault, vault)?;
    if body.epsilon.0 == 0 {
        return Err(Code::Malformed);
    }
    if at >= body.deadline {
        return Err(Code::ReservationExpired);
    }
    Ok(())
}

/// Whether an assignment is a complete order for this Vault. **Errors**: `EXE-0006`, `VLT-0004`.
pub fn assignment(body: &Assignment, vault: &VaultId, at: OrderedMillis) -> Result<(), Code> {
    addressed(&body.vault, vault)?;
    let envelope = &body.envelope;
    let coordination = &envelope.coordination;
    let ascending = coordination.participating_vault_ids.is_sorted_by(|one, next| one < next);
    let asked = coordination.participating_vault_ids.contains(vault);
    let receipts = envelope.reservations.len() == coordination.participating_vault_ids.len();
    if !ascending || !asked || !receipts || envelope.class != TaskClass::Query {
        return Err(Code::EnvelopeInvalid);
    }
    if at >= envelope.execute_by {
        return Err(Code::ReservationExpired);
    }
    Ok(())
}
