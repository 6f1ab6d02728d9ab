//! What the council may change, one kind a variant: whether a change fits what governs, and what it does to it (R128, R129,
//! R081, R130, R194).
//!
//! A new kind is a variant with an arm in each function here. Proposals, votes, the log and its followers keep their shape.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{Measurement, PlatformId, PolicyVersion, SemanticVersion, VaultId};
use symphony_types::limits::{MODULE_BYTES_MAX, MODULES_MAX, TEXT_LEN_MAX};
use symphony_types::time::OrderedMillis;

use super::Governance;
use super::approval::{ApprovedModule, EnclaveCode, Machine, Platform, Purpose};
use super::epoch::Activation;
use super::hardware::HardwareRules;
use super::log::LogEntry;
use super::meaning::Amendment;
use super::membership::{Enterprise, Exit};
use super::policy::Policy;
use super::registry::Move;
use super::semantics::{AttributeLifecycle, Semantics};
use crate::artifact::module::{Declaration, Input};

/// What the council may change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// Makes enclave code known.
    RegisterMeasurement {
        /// The code.
        measurement: Measurement,
        /// What it is for.
        purpose: Purpose,
        /// Digest of the recipe that it is built by.
        recipe: Digest,
    },
    /// Lets new tasks be served by registered code, beside what is active already (R128).
    ActivateMeasurement {
        /// The code.
        measurement: Measurement,
    },
    /// Ends all dispatch to code at once (R129).
    RevokeMeasurement {
        /// The code.
        measurement: Measurement,
    },
    /// Believes the boot reports of a machine from now on.
    AdmitPlatform {
        /// The key that it quotes with, or what its vendor calls it.
        machine: Machine,
    },
    /// Believes a machine no more, at once.
    RevokePlatform {
        /// The machine.
        platform: PlatformId,
    },
    /// Lets tasks name a module (R095). A version above those of the same name that are there replaces them for new tasks.
    ApproveModule {
        /// What it is for, in a sentence.
        about: String,
        /// Its bytes, so that every Vault has what was approved.
        code: Vec<u8>,
        /// What is enforced about it.
        declaration: Declaration,
        /// Digest of the sources that it is built from.
        source: Digest,
        /// Digest of the recipe that it is built by.
        recipe: Digest,
    },
    /// Runs a module no more, at once.
    RevokeModule {
        /// SHA-256 of its bytes.
        code: Digest,
    },
    /// Replaces what is asked of trusted hardware: of tasks that are admitted from now on.
    SetHardwareRules {
        /// The rules.
        rules: HardwareRules,
    },
    /// Moves everything that one Vault keeps to another, for ever (R081).
    MoveVault {
        /// The Vault that is left.
        from: VaultId,
        /// The Vault that takes its people.
        to: VaultId,
    },
    /// Puts a version of the policy into force, after one epoch of notice (R188, R190).
    AdoptPolicy {
        /// The version: the one after the last.
        version: PolicyVersion,
        /// What it says.
        policy: Box<Policy>,
    },
    /// Puts a version of meaning into force, after one epoch of notice (R052, R190).
    AmendMeaning {
        /// The version: the one after the last.
        version: SemanticVersion,
        /// What becomes different.
        amendment: Box<Amendment>,
    },
    /// Freezes an enterprise node, at once: nothing is dispatched to it, and what its Vault keeps is served to nobody (R061, R187).
    SuspendNode {
        /// Its Vault.
        vault: VaultId,
    },
    /// Lets a suspended node take part again.
    ReinstateNode {
        /// Its Vault.
        vault: VaultId,
    },
    /// Approves an enterprise: masters connect to its node, and its Vault takes part (R008).
    AdmitEnterprise {
        /// The enterprise.
        enterprise: Box<Enterprise>,
    },
    /// Lets an enterprise leave: nothing new is given to its Vault, and after some epochs nothing holds it.
    ReleaseEnterprise {
        /// Its Vault.
        vault: VaultId,
    },
}

impl Change {
    /// The word that stands in the API.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::RegisterMeasurement { .. } => "register_measurement",
            Self::ActivateMeasurement { .. } => "activate_measurement",
            Self::RevokeMeasurement { .. } => "revoke_measurement",
            Self::AdmitPlatform { .. } => "admit_platform",
            Self::RevokePlatform { .. } => "revoke_platform",
            Self::ApproveModule { .. } => "approve_module",
            Self::RevokeModule { .. } => "revoke_module",
            Self::SetHardwareRules { .. } => "set_hardware_rules",
            Self::AdoptPolicy { .. } => "adopt_policy",
            Self::AmendMeaning { .. } => "amend_meaning",
            Self::MoveVault { .. } => "move_vault",
            Self::SuspendNode { .. } => "suspend_node",
            Self::ReinstateNode { .. } => "reinstate_node",
            Self::AdmitEnterprise { .. } => "admit_enterprise",
            Self::ReleaseEnterprise { .. } => "release_enterprise",
        }
    }

    /// The digest of what it is about: the measurement, the platform, the rules, the module, the policy, the amendment, the enterprise, the Vault or the two Vaults.
    pub fn subject(&self) -> Digest {
        match self {
            Self::RegisterMeasurement { measurement, .. }
            | Self::ActivateMeasurement { measurement }
            | Self::RevokeMeasurement { measurement } => measurement.0,
            Self::AdmitPlatform { machine } => machine.platform().0,
            Self::RevokePlatform { platform } => platform.0,
            Self::ApproveModule { code, .. } => Digest::of_bytes(code),
            Self::RevokeModule { code } => *code,
            Self::SetHardwareRules { rules } => rules.digest(),
            Self::AdoptPolicy { policy, .. } => policy.digest(),
            Self::AmendMeaning { amendment, .. } => amendment.digest(),
            Self::MoveVault { from, to } => Digest::of("symphony/vault-move/v1", &(from, to)),
            Self::SuspendNode { vault }
            | Self::ReinstateNode { vault }
            | Self::ReleaseEnterprise { vault } => Digest::of("symphony/node/v1", vault),
            Self::AdmitEnterprise { enterprise } => enterprise.digest(),
        }
    }

    /// Whether it only takes away, so that there is nothing to wait for.
    pub const fn revokes(&self) -> bool {
        match self {
            Self::RevokeMeasurement { .. }
            | Self::RevokePlatform { .. }
            | Self::RevokeModule { .. }
            | Self::SuspendNode { .. } => true,
            Self::RegisterMeasurement { .. }
            | Self::ActivateMeasurement { .. }
            | Self::AdmitPlatform { .. }
            | Self::ApproveModule { .. }
            | Self::SetHardwareRules { .. }
            | Self::AdoptPolicy { .. }
            | Self::AmendMeaning { .. }
            | Self::MoveVault { .. }
            | Self::ReinstateNode { .. }
            | Self::AdmitEnterprise { .. }
            | Self::ReleaseEnterprise { .. } => false,
        }
    }

    /// Whether it fits what governs at a moment. **Errors**: `GOV-0012`; `ADM-0019` for a machine of class `software`, or for
    /// rules with roots of development, where policy refuses that class (R130), and for a policy that would change that;
    /// `GOV-0018` to `GOV-0020` for a policy that cannot be adopted; `GOV-0017` for Vaults that cannot be moved.
    pub fn check(&self, governance: &Governance, at: OrderedMillis) -> Result<(), Code> {
        let registry = &governance.registry;
        let fits = match self {
            Self::RegisterMeasurement { measurement, .. } => !registry.measurements.contains_key(measurement),
            Self::ActivateMeasurement { measurement } => registry
                .measurements
                .get(measurement)
                .is_some_and(|code| code.activated.is_none() && code.revoked.is_none()),
            Self::RevokeMeasurement { measurement } => {
                registry.measurements.get(measurement).is_some_and(|code| code.revoked.is_none())
            }
            Self::AdmitPlatform { machine } => {
                if machine.quoting_key().is_some() && !governance.software_admitted() {
                    return Err(Code::PlatformRefused);
                }
                machine.is_sound() && !registry.platforms.contains_key(&machine.platform())
            }
            Self::RevokePlatform { platform } => {
                registry.platforms.get(platform).is_some_and(|known| known.revoked.is_none())
            }
            Self::ApproveModule { about, code, declaration, .. } => {
                about.len() <= TEXT_LEN_MAX
                    && code.len() <= MODULE_BYTES_MAX
                    && registry.modules.len() < MODULES_MAX
                    && !registry.modules.contains_key(&Digest::of_bytes(code))
                    && registry.modules.values().all(|known| {
                        known.declaration.name != declaration.name
                            || known.declaration.version < declaration.version
                    })
                    && declared(governance.semantics_at(at), declaration)
            }
            Self::RevokeModule { code } => {
                registry.modules.get(code).is_some_and(|known| known.revoked.is_none())
            }
            Self::SetHardwareRules { rules } => {
                if rules.development.is_some() && !governance.software_admitted() {
                    return Err(Code::PlatformRefused);
                }
                governance.check_hardware(rules).is_ok()
                    && governance.hardware_at(governance.sequence) != Some(rules)
            }
            Self::AdoptPolicy { version, policy } => return governance.adoptable(*version, policy, at),
            Self::AmendMeaning { version, amendment } => {
                return governance.meanings.amended(*version, amendment, at).map(drop);
            }
            Self::MoveVault { from, to } => {
                return if movable(governance, from, to) { Ok(()) } else { Err(Code::MoveUnfit) };
            }
            Self::SuspendNode { vault } => {
                registry.vaults.contains_key(vault) && !registry.suspensions.contains_key(vault)
            }
            Self::ReinstateNode { vault } => registry.suspensions.contains_key(vault),
            Self::AdmitEnterprise { enterprise } => return governance.admissible(enterprise),
            Self::ReleaseEnterprise { vault } => {
                registry.vaults.contains_key(vault) && !registry.exits.contains_key(vault)
            }
        };
        if fits { Ok(()) } else { Err(Code::ChangeUnfit) }
    }
}

/// Whether everything that a Vault keeps can go to another: both are there and able, neither is left already, the other stays, and
/// there are enclaves that may have it (R081).
fn movable(governance: &Governance, from: &VaultId, to: &VaultId) -> bool {
    let registry = &governance.registry;
    let left = |vault: &VaultId| registry.moves.contains_key(vault);
    from != to
        && registry.able(from)
        && registry.able(to)
        && !left(from)
        && !left(to)
        && !registry.exits.contains_key(to)
        && governance.admits_enclaves()
        && registry.can_serve(&registry.active_code(), &[Purpose::Slices])
}

/// Whether a declaration is sound, and reads attributes that are there, in their own types and under their own class.
fn declared(semantics: &Semantics, declaration: &Declaration) -> bool {
    let known = |input: &Input| {
        let attribute = semantics.attributes.get(&input.attribute);
        attribute.is_some_and(|attribute| {
            attribute.lifecycle == AttributeLifecycle::Active
                && attribute.value == input.kind.value_type()
                && attribute.privacy_class <= declaration.privacy_class
        })
    };
    declaration.check().is_ok() && declaration.inputs.iter().all(known)
}

impl Governance {
    /// Enacts an entry of the log whose change fits.
    pub fn enact(&mut self, entry: &LogEntry) {
        let (mark, registry) = (entry.mark(), &mut self.registry);
        self.sequence = entry.sequence;
        match &entry.proposal.body.change {
            Change::RegisterMeasurement { measurement, purpose, recipe } => {
                let (purpose, recipe) = (*purpose, *recipe);
                let code = EnclaveCode { purpose, recipe, registered: mark, activated: None, revoked: None };
                registry.measurements.insert(*measurement, code);
            }
            Change::ActivateMeasurement { measurement } => {
                if let Some(code) = registry.measurements.get_mut(measurement) {
                    code.activated = Some(mark);
                }
            }
            Change::RevokeMeasurement { measurement } => {
                if let Some(code) = registry.measurements.get_mut(measurement) {
                    code.revoked = Some(mark);
                }
            }
            Change::AdmitPlatform { machine } => {
                let platform = Platform { machine: machine.clone(), admitted: mark, revoked: None };
                registry.platforms.insert(machine.platform(), platform);
            }
            Change::RevokePlatform { platform } => {
                if let Some(platform) = registry.platforms.get_mut(platform) {
                    platform.revoked = Some(mark);
                }
            }
            Change::ApproveModule { about, code, declaration, source, recipe } => {
                let (about, declaration) = (about.clone(), declaration.clone());
                let (source, recipe, revoked) = (*source, *recipe, None);
                let module = ApprovedModule { about, declaration, source, recipe, approved: mark, revoked };
                registry.modules.insert(Digest::of_bytes(code), module);
            }
            Change::RevokeModule { code } => {
                if let Some(module) = registry.modules.get_mut(code) {
                    module.revoked = Some(mark);
                }
            }
            Change::SetHardwareRules { rules } => {
                self.hardware.insert(entry.sequence, rules.clone());
            }
            Change::AdoptPolicy { version, policy } => {
                let (first, from) = self.calendar.notice(entry.at);
                self.calendar.add(first, Activation { version: *version, from, epoch_ms: policy.epoch_ms });
                self.policies.insert(*version, Policy::clone(policy));
            }
            Change::AmendMeaning { version, amendment } => {
                let (_, from) = self.calendar.notice(entry.at);
                if let Ok(next) = self.meanings.amended(*version, amendment, entry.at) {
                    self.meanings.add(from, next);
                }
            }
            Change::MoveVault { from, to } => {
                registry.moves.insert(from.clone(), Move { to: to.clone(), since: mark });
            }
            Change::SuspendNode { vault } => {
                registry.suspensions.insert(vault.clone(), mark);
            }
            Change::ReinstateNode { vault } => {
                registry.suspensions.remove(vault);
            }
            Change::AdmitEnterprise { enterprise } => registry.admit(enterprise, mark),
            Change::ReleaseEnterprise { vault } => {
                let exit = Exit::new(mark, self.calendar.epoch_of(entry.at));
                registry.exits.insert(vault.clone(), exit);
            }
        }
    }
}
