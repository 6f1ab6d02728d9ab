//! Where an enterprise stands, and with that whether its Vault has a part in anything new (R008, R061, R184, R187).
//!
//! ```text
//! (admit) -> active       after the time-lock: masters connect to its node, and tasks may name its Vault
//! active -> suspended     with the vote that suffices: nothing is dispatched to it any more
//! suspended -> active     after the time-lock: with what it kept, and what its people have not withdrawn
//! active -> leaving       after the time-lock: its Vault gets nothing new, and ends what it has
//! leaving -> left         after some epochs, when nothing is open and nothing unpaid
//! ```
//!
//! What a suspended Vault keeps stays there and is served to nobody; its people can read, withdraw and erase, and consent anew at
//! another Vault. No consent goes there by itself.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;

use serde::{Deserialize, Serialize};
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{AccountId, ActorId, EpochId, NodeId, VaultId};
use symphony_types::key::{PublicKey, Vault};
use symphony_types::limits::VAULTS_MAX;

use super::Governance;
use super::approval::{Machine, Mark, Platform};
use super::registry::{Actor, Registry, Role, VaultRecord};
use crate::artifact::{CoordinationEnvelope, SignedSlice};

/// Where an enterprise stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberStatus {
    /// It takes part.
    Active,
    /// The council has frozen it.
    Suspended,
    /// It ends what it has and gets nothing new.
    Leaving,
    /// Nothing holds it any more.
    Left,
}

impl MemberStatus {
    /// Every status.
    pub const ALL: [Self; 4] = [Self::Active, Self::Suspended, Self::Leaving, Self::Left];

    /// The word that stands in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Leaving => "leaving",
            Self::Left => "left",
        }
    }
}

/// A new enterprise with its Vault, as it asks to be admitted (R008, R184).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enterprise {
    /// Its Vault.
    pub vault: VaultId,
    /// Its node, as the certificate names it.
    pub node: NodeId,
    /// Where masters connect. **Shape**: an IP address and a port.
    pub address: String,
    /// Who operates the Vault.
    pub operator: ActorId,
    /// Where the operator is paid and stakes.
    pub operator_account: AccountId,
    /// Whom its slice enclave computes as.
    pub executor: ActorId,
    /// Where the executor is paid.
    pub executor_account: AccountId,
    /// The Vault's signing key.
    pub key: PublicKey<Vault>,
    /// The Vault's HPKE key, 32 bytes of X25519.
    pub sealing_key: Vec<u8>,
    /// The machine that hosts its enclave.
    pub machine: Machine,
}

/// Since when an enterprise is admitted, and where its node is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admission {
    /// Since when, and by which proposal.
    pub since: Mark,
    /// Its node, as the certificate names it.
    pub node: NodeId,
    /// Where masters connect. **Shape**: an IP address and a port.
    pub address: String,
}

/// Since when an enterprise leaves, and until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Since when, and by which proposal.
    pub since: Mark,
    /// The last epoch that it is held in.
    pub until: EpochId,
}

impl Exit {
    /// The exit that begins in an epoch. A lock outlives its task by two epochs, and what is earned in one is paid in the next.
    pub const fn new(since: Mark, epoch: EpochId) -> Self {
        Self { since, until: EpochId(epoch.0.saturating_add(EXIT_EPOCHS)) }
    }
}

/// Whole epochs that an enterprise is held after the one in which it is released.
pub const EXIT_EPOCHS: u64 = 4;

impl Enterprise {
    /// What names it in the log.
    pub fn digest(&self) -> Digest {
        Digest::of("symphony/enterprise/v1", self)
    }

    /// Whether it is new in everything that must be its own, and well-formed.
    fn fits(&self, registry: &Registry) -> bool {
        let free = |actor: &ActorId| !registry.actors.contains_key(actor);
        let platform = registry.platforms.get(&self.machine.platform());
        registry.vaults.len() < VAULTS_MAX
            && !registry.vaults.contains_key(&self.vault)
            && self.operator != self.executor
            && free(&self.operator)
            && free(&self.executor)
            && self.sealing_key.len() == SEALING_KEY_LEN
            && registry
                .vaults
                .values()
                .all(|known| known.key != self.key && known.sealing_key != self.sealing_key)
            && !registry.masters.contains_key(&self.node)
            && registry
                .admissions
                .values()
                .all(|known| known.node != self.node && known.address != self.address)
            && self.address.parse::<SocketAddr>().is_ok()
            && self.machine.is_sound()
            && platform.is_none_or(|known| known.revoked.is_none())
    }
}

/// Bytes of an X25519 key.
const SEALING_KEY_LEN: usize = 32;

impl Governance {
    /// Whether an enterprise can be admitted. **Errors**: `ADM-0019` for a machine of a class that policy refuses (R130), `GOV-0012`
    /// when it is not new in everything that must be its own, or malformed.
    pub(super) fn admissible(&self, new: &Enterprise) -> Result<(), Code> {
        if new.machine.quoting_key().is_some() && !self.software_admitted() {
            return Err(Code::PlatformRefused);
        }
        if new.fits(&self.registry) { Ok(()) } else { Err(Code::ChangeUnfit) }
    }
}

impl Registry {
    /// Takes an enterprise that fits.
    pub(super) fn admit(&mut self, new: &Enterprise, since: Mark) {
        let actor = |account, role| {
            let roles = BTreeSet::from([role]);
            Actor { account, roles, scopes: BTreeSet::new(), suspended: false }
        };
        self.actors.insert(new.operator.clone(), actor(new.operator_account, Role::VaultOperator));
        self.actors.insert(new.executor.clone(), actor(new.executor_account, Role::Executor));
        let (operator, executor) = (new.operator.clone(), new.executor.clone());
        let (key, sealing_key) = (new.key, new.sealing_key.clone());
        self.vaults.insert(new.vault.clone(), VaultRecord { operator, executor, key, sealing_key });
        let platform = Platform { machine: new.machine.clone(), admitted: since, revoked: None };
        self.platforms.entry(new.machine.platform()).or_insert(platform);
        let (node, address) = (new.node.clone(), new.address.clone());
        self.admissions.insert(new.vault.clone(), Admission { since, node, address });
    }

    /// Where the enterprise of a Vault stands in an epoch, but for what may still hold it; `None` where there is no such Vault.
    pub fn status(&self, vault: &VaultId, epoch: EpochId) -> Option<MemberStatus> {
        let status = match (self.suspensions.get(vault), self.exits.get(vault)) {
            (Some(_), _) => MemberStatus::Suspended,
            (None, Some(exit)) if exit.until < epoch => MemberStatus::Left,
            (None, Some(_)) => MemberStatus::Leaving,
            (None, None) => MemberStatus::Active,
        };
        self.vaults.contains_key(vault).then_some(status)
    }

    /// Why nothing new is given to a Vault; `None` while it stands as it was admitted.
    pub fn withheld(&self, vault: &VaultId) -> Option<Code> {
        match (self.suspensions.get(vault), self.exits.get(vault)) {
            (Some(_), _) => Some(Code::VaultSuspended),
            (None, Some(_)) => Some(Code::VaultLeaving),
            (None, None) => None,
        }
    }

    /// A Vault that new work may be given to. **Errors**: `ADM-0012` when it is not approved or its operator may not act, `VLT-0018`
    /// when what it keeps moves, `VLT-0022` when it is suspended, `VLT-0023` when it leaves.
    pub fn serving(&self, vault: &VaultId) -> Result<&VaultRecord, Code> {
        let record = self.vaults.get(vault).ok_or(Code::VaultUnknown)?;
        if self.actors.get(&record.operator).is_none_or(|operator| operator.suspended) {
            return Err(Code::VaultUnknown);
        }
        if self.moves.contains_key(vault) {
            return Err(Code::VaultMoving);
        }
        self.withheld(vault).map_or(Ok(record), Err)
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

    /// Whether a network can be founded with these enterprises: only Vaults are suspended that there are, and none comes or goes.
    /// **Errors**: what is wrong.
    pub(super) fn check_members(&self) -> Result<(), &'static str> {
        if !self.admissions.is_empty() || !self.exits.is_empty() {
            return Err("an enterprise is admitted, or leaves, before the network is founded");
        }
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
