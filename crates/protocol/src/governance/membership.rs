//! Where an enterprise stands, and with that whether its Vault has a part in anything new (R008, R061, R184, R187).
//!
//! ```text
//! active -> suspended     with the vote that suffices: nothing is dispatched to it any more
//! suspended -> active     after the time-lock: with what it kept, and what its people have not withdrawn
//! ```
//!
//! What a suspended Vault keeps stays there and is served to nobody; its people can read, withdraw and erase, and consent anew at
//! another Vault. No consent goes there by itself.

use alloc::vec::Vec;

use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{ActorId, VaultId};

use super::registry::{Registry, VaultRecord};
use crate::artifact::{CoordinationEnvelope, SignedSlice};

/// Where an enterprise stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberStatus {
    /// It takes part.
    Active,
    /// The council has frozen it.
    Suspended,
}

impl MemberStatus {
    /// Every status.
    pub const ALL: [Self; 2] = [Self::Active, Self::Suspended];

    /// The word that stands in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
        }
    }
}

impl Registry {
    /// Where the enterprise of a Vault stands; `None` where there is no such Vault.
    pub fn status(&self, vault: &VaultId) -> Option<MemberStatus> {
        let suspended = self.suspensions.contains_key(vault);
        let status = if suspended { MemberStatus::Suspended } else { MemberStatus::Active };
        self.vaults.contains_key(vault).then_some(status)
    }

    /// A Vault that new work may be given to. **Errors**: `ADM-0012` when it is not approved or its operator may not act, `VLT-0018`
    /// when what it keeps moves, `VLT-0022` when it is suspended.
    pub fn serving(&self, vault: &VaultId) -> Result<&VaultRecord, Code> {
        let record = self.vaults.get(vault).ok_or(Code::VaultUnknown)?;
        if self.actors.get(&record.operator).is_none_or(|operator| operator.suspended) {
            return Err(Code::VaultUnknown);
        }
        if self.moves.contains_key(vault) {
            return Err(Code::VaultMoving);
        }
        if self.suspensions.contains_key(vault) { Err(Code::VaultSuspended) } else { Ok(record) }
    }

    /// Where a person may register while its own Vault is suspended: always the same for the same person and the same Vaults that
    /// serve; `None` where none does (R061).
    pub fn elsewhere(&self, actor: &ActorId) -> Option<&VaultId> {
        let serving: Vec<_> = self.vaults.keys().filter(|vault| self.serving(vault).is_ok()).collect();
        let digest = Digest::of("symphony/vault-elsewhere/v1", actor);
        let number = u64::from_le_bytes(digest.0[..8].try_into().ok()?);
        let place = number.checked_rem(u64::try_from(serving.len()).ok()?)?;
        serving.get(usize::try_from(place).ok()?).copied()
    }

    /// Whether enough Vaults of a task are not suspended.
    pub fn quorate(&self, coordination: &CoordinationEnvelope) -> bool {
        let vaults = coordination.participating_vault_ids.iter();
        let serving = vaults.filter(|vault| !self.suspensions.contains_key(*vault)).count();
        serving >= usize::from(coordination.minimum_vault_quorum)
    }

    /// Whether only Vaults are suspended that there are. **Errors**: what is wrong.
    pub(super) fn check_suspensions(&self) -> Result<(), &'static str> {
        if self.suspensions.keys().all(|vault| self.vaults.contains_key(vault)) {
            return Ok(());
        }
        Err("a vault is suspended that is not registered")
    }
}

/// The slices that Vaults sent which are not suspended.
pub fn served(registry: &Registry, slices: &[SignedSlice]) -> Vec<SignedSlice> {
    let serves = |slice: &&SignedSlice| !registry.suspensions.contains_key(&slice.body.vault);
    slices.iter().filter(serves).cloned().collect()
}
