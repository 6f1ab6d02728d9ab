//! Whether a document of the masters binds this Vault: endorsed by a majority of them, addressed to this Vault, in
//! time (R105, R111, R195). The Vault believes nothing of an envelope that it can check itself.

use alloc::collections::BTreeMap;

use symphony_types::catalogue::Code;
use symphony_types::id::{NodeId, VaultId};
use symphony_types::key::{Document, Endorsed, Master, PublicKey};
use symphony_types::time::OrderedMillis;

use crate::artifact::training::RoundOrder;
use crate::artifact::{Assignment, Preparation};
use crate::governance::registry::majority;
use crate::lifecycle::training;

/// A preparation that masters endorse.
pub type EndorsedPreparation = Endorsed<Preparation, Master>;

/// Whether a majority of the masters endorses the document. **Errors**: `ADM-0003`.
pub fn endorsed<T: Document>(
    document: &Endorsed<T, Master>,
    masters: &BTreeMap<NodeId, PublicKey<Master>>,
) -> Result<(), Code> {
    let endorsed = document.verify(masters.values(), majority(masters.len()));
    if endorsed { Ok(()) } else { Err(Code::Forbidden) }
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

/// Whether a round's order is a complete one that this Vault takes part in. **Errors**: `EXE-0006`.
pub fn round(body: &RoundOrder, vault: &VaultId) -> Result<(), Code> {
    let envelope = &body.envelope;
    let participating = &envelope.coordination.participating_vault_ids;
    let training = &training::plan(envelope)?.training;
    let within = body.round >= 1 && body.round <= training.rounds + u32::from(body.last);
    let whole = body.vaults.is_sorted_by(|one, next| one < next)
        && body.vaults.iter().all(|one| participating.contains(one))
        && body.vaults.len() >= usize::from(envelope.coordination.minimum_vault_quorum)
        && body.vaults.contains(vault)
        && envelope.reservations.len() == participating.len();
    if within && whole { Ok(()) } else { Err(Code::EnvelopeInvalid) }
}

/// Whether an assignment is a complete order for this Vault. **Errors**: `EXE-0006`.
pub fn assignment(body: &Assignment, vault: &VaultId) -> Result<(), Code> {
    addressed(&body.vault, vault)?;
    let envelope = &body.envelope;
    let coordination = &envelope.coordination;
    let ascending = coordination.participating_vault_ids.is_sorted_by(|one, next| one < next);
    let asked = coordination.participating_vault_ids.contains(vault);
    let receipts = envelope.reservations.len() == coordination.participating_vault_ids.len();
    if !ascending || !asked || !receipts || envelope.plan.trains() {
        return Err(Code::EnvelopeInvalid);
    }
    Ok(())
}
