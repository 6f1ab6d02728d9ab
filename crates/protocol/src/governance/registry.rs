//! The registry of who takes part: actors, Vaults, aggregators, verifiers, masters, and the enclave code and
//! platforms that governance approved (R120, R183, R184, R194); and which documents the masters stand behind (R195).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use symphony_types::digest::Digest;
use symphony_types::id::{AccountId, ActorId, Measurement, NodeId, PlatformId, UsageScope, VaultId};
use symphony_types::key::{
    Document, Endorsed, Gateway, Governance, Master, Payout, PublicKey, Vault, Verifier,
};

use super::approval::{ApprovedModule, EnclaveCode, Mark, Platform};
use super::membership::{Admission, Exit};

/// Everyone who may act, with the keys and accounts that they act by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registry {
    /// Companies and services by identity.
    pub actors: BTreeMap<ActorId, Actor>,
    /// Approved Vaults (R008).
    pub vaults: BTreeMap<VaultId, VaultRecord>,
    /// The aggregator that combines cross-Vault work.
    pub aggregator: ActorId,
    /// The verifier that decides on results.
    pub verifier: VerifierRecord,
    /// The masters by node, with the keys that they endorse documents with.
    pub masters: BTreeMap<NodeId, PublicKey<Master>>,
    /// The gateway's key.
    pub gateway: PublicKey<Gateway>,
    /// The payout service's key.
    pub payout: PublicKey<Payout>,
    /// The actor that the treasury's account belongs to.
    pub treasury: ActorId,
    /// Enclave code, revoked code among it.
    pub measurements: BTreeMap<Measurement, EnclaveCode>,
    /// Machines that host enclaves, revoked ones among them.
    pub platforms: BTreeMap<PlatformId, Platform>,
    /// Modules by the SHA-256 of their bytes, revoked ones among them (R095).
    pub modules: BTreeMap<Digest, ApprovedModule>,
    /// Vaults that everything moves away from, and where it goes (R081).
    pub moves: BTreeMap<VaultId, Move>,
    /// Vaults that the council has suspended, since when, and by which proposal (R061, R187).
    pub suspensions: BTreeMap<VaultId, Mark>,
    /// Vaults that the council has admitted since the network was founded, and where their nodes are (R008).
    pub admissions: BTreeMap<VaultId, Admission>,
    /// Vaults whose enterprises leave, since when, and how long that takes.
    pub exits: BTreeMap<VaultId, Exit>,
    /// Who proposes changes and votes on them.
    pub council: BTreeMap<ActorId, PublicKey<Governance>>,
}

impl Registry {
    /// How many masters must endorse a document.
    pub fn master_quorum(&self) -> usize {
        majority(self.masters.len())
    }

    /// Whether a majority of the registered masters endorses a document (R195).
    pub fn endorsed<T: Document>(&self, document: &Endorsed<T, Master>) -> bool {
        document.verify(self.masters.values(), self.master_quorum())
    }

    /// The Vault that a person's own data goes to: always the same for the same person (R014), until the council moves what that
    /// Vault keeps; then the one that it goes to (R081). A Vault that was admitted later takes nobody away from those that the
    /// network was founded with.
    pub fn assigned(&self, actor: &ActorId) -> Option<&VaultId> {
        let digest = Digest::of("symphony/vault-assignment/v1", actor);
        let number = u64::from_le_bytes(digest.0[..8].try_into().ok()?);
        let mut founded = self.vaults.keys().filter(|vault| !self.admissions.contains_key(*vault));
        let vaults = u64::try_from(founded.clone().count()).ok()?;
        let first = founded.nth(usize::try_from(number.checked_rem(vaults)?).ok()?)?;
        Some(self.keeper(first))
    }

    /// The Vault that keeps what this one kept: itself, unless the council has moved it.
    pub fn keeper<'a>(&'a self, vault: &'a VaultId) -> &'a VaultId {
        // A Vault that is moved away from is never moved to, so the way ends; a founding governance that says otherwise ends it too.
        let mut keeper = vault;
        for _ in 0..self.moves.len() {
            match self.moves.get(keeper) {
                Some(known) => keeper = &known.to,
                None => break,
            }
        }
        keeper
    }

    /// Whether a Vault can take part in a move: it is registered, and neither it nor its operator or executor is suspended.
    pub(super) fn able(&self, vault: &VaultId) -> bool {
        let active = |actor: &ActorId| self.actors.get(actor).is_some_and(|actor| !actor.suspended);
        let record = self.vaults.get(vault).filter(|_| !self.suspensions.contains_key(vault));
        record.is_some_and(|vault| active(&vault.operator) && active(&vault.executor))
    }
}

/// More than half of so many masters: any two majorities share one.
pub const fn majority(masters: usize) -> usize {
    masters / 2 + 1
}

/// A company or service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// Where it is paid and pays from.
    pub account: AccountId,
    /// What it may do.
    pub roles: BTreeSet<Role>,
    /// Usage scopes that it may submit tasks for; empty for actors that submit none (R016).
    pub scopes: BTreeSet<UsageScope>,
    /// Whether governance suspended it.
    pub suspended: bool,
}

/// What an actor may do (R183).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Role {
    /// Submits and pays for tasks.
    TaskSubmitter,
    /// Operates a Vault.
    VaultOperator,
    /// Executes slices.
    Executor,
    /// Combines slices.
    Aggregator,
    /// Verifies results.
    Verifier,
    /// Pays out.
    PayoutAuthority,
    /// Holds the treasury.
    TreasuryAuthority,
}

/// An approved Vault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VaultRecord {
    /// The enterprise that operates it.
    pub operator: ActorId,
    /// The actor that its slice enclave computes as.
    pub executor: ActorId,
    /// The Vault's signing key.
    pub key: PublicKey<Vault>,
    /// The Vault's HPKE key, 32 bytes of X25519: uploads are sealed to it.
    pub sealing_key: Vec<u8>,
}

/// Where everything goes that a Vault keeps, since the council decided so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// The Vault that it goes to.
    pub to: VaultId,
    /// Since when, and by which proposal.
    pub since: Mark,
}

/// An approved verifier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifierRecord {
    /// Who verifies.
    pub actor: ActorId,
    /// The key that verdicts are signed with.
    pub key: PublicKey<Verifier>,
}
