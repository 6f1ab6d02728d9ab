//! What the council asks of trusted hardware: kinds, firmware, registers and roots, as plain data that the attestation engine
//! reads (R120, R124, R130). Which words mean something is the engine's; a word that it does not know admits nothing.
//!
//! Rules that were replaced are kept by the place in the governance log, so that a task is judged by what held when it was
//! admitted.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use symphony_types::canonical;
use symphony_types::digest::Digest;
use symphony_types::id::{GovernanceSequence, Measurement};
use symphony_types::limits::{HARDWARE_RULES_BYTES_MAX, NAME_LEN_MAX};
use symphony_types::time::OrderedMillis;

use super::Governance;

/// What is asked of trusted hardware. The default admits nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HardwareRules {
    /// Kinds of hardware, by their words.
    pub classes: BTreeSet<String>,
    /// Further registers that code must have, by the vendor's name.
    pub registers: BTreeMap<Measurement, BTreeMap<String, Vec<u8>>>,
    /// Whether collateral must have told revoked certificates.
    pub revocation_required: bool,
    /// Whether two threads may share a core.
    pub smt_admitted: bool,
    /// The lowest privilege level of a guest that may ask; 0 is the highest.
    pub privilege_max: u32,
    /// For vendors that judge firmware themselves: which judgements suffice.
    pub levels: LevelRules,
    /// For vendors that name versions only: the least of each model. A model without an entry is refused.
    pub floors: BTreeMap<String, VersionFloor>,
    /// Roots that are no vendor's. Never beside a policy that refuses software (R130).
    pub development: Option<DevelopmentRoots>,
}

/// Which judgements of a vendor about firmware suffice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LevelRules {
    /// Judgements that suffice, by the vendor's words.
    pub statuses: BTreeSet<String>,
    /// Judgements that suffice until the grace period ends.
    pub grace_statuses: BTreeSet<String>,
    /// The first moment at which the grace period is over.
    pub grace_until: OrderedMillis,
    /// Weaknesses that are not tolerated at any judgement.
    pub advisories_refused: BTreeSet<String>,
    /// The least number of the vendor's collection of levels.
    pub collection_min: u32,
    /// Whether a platform may grow by further packages.
    pub dynamic_platform_admitted: bool,
    /// Whether the vendor's service may keep a platform's keys.
    pub cached_keys_admitted: bool,
    /// Whether a service domain may be bound.
    pub service_domain_admitted: bool,
}

/// The lowest firmware of one model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VersionFloor {
    /// Each part at least this, in the vendor's order.
    pub versions: [u8; 5],
    /// What suffices until the grace period ends.
    pub grace_versions: Option<[u8; 5]>,
    /// The first moment at which the grace period is over.
    pub grace_until: OrderedMillis,
}

/// Roots of a vendor of our own making (R130). **Shape**: DER.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DevelopmentRoots {
    /// In place of Intel's.
    pub intel: Vec<u8>,
    /// In place of AMD's: generation, root, and issuer of chip keys.
    pub amd: Vec<(String, Vec<u8>, Vec<u8>)>,
    /// In place of AWS'.
    pub aws: Vec<u8>,
}

impl HardwareRules {
    /// Whether every part is within its limit. **Errors**: what is wrong.
    pub fn check(&self) -> Result<(), &'static str> {
        let levels = &self.levels;
        let words = self.classes.iter().chain(self.floors.keys()).chain(&levels.statuses);
        let words = words.chain(&levels.grace_statuses).chain(&levels.advisories_refused);
        let words = words.chain(self.registers.values().flat_map(BTreeMap::keys));
        if words.into_iter().any(|word| !is_word(word)) {
            return Err("a word of the rules for hardware is empty, too long or not plain");
        }
        if canonical::to_bytes(self).len() > HARDWARE_RULES_BYTES_MAX {
            return Err("the rules for hardware are too long");
        }
        Ok(())
    }

    /// What a proposal about these rules is about.
    pub fn digest(&self) -> Digest {
        Digest::of("symphony/hardware-rules/v1", self)
    }
}

impl Governance {
    /// What was asked of hardware when governance was at a place; none where nothing was ever said.
    pub fn hardware_at(&self, at: GovernanceSequence) -> Option<&HardwareRules> {
        self.hardware.range(..=at).next_back().map(|(_, rules)| rules)
    }

    /// Whether an enclave of any class may serve a new task: software, or hardware that the rules name (R130).
    pub fn admits_enclaves(&self) -> bool {
        let hardware = self.hardware_at(self.sequence).is_some_and(|rules| !rules.classes.is_empty());
        self.software_admitted() || hardware
    }

    /// Whether these rules may stand beside the active policy. **Errors**: what is wrong.
    pub(super) fn check_hardware(&self, rules: &HardwareRules) -> Result<(), &'static str> {
        if rules.development.is_some() && !self.software_admitted() {
            return Err("roots of development stand beside a policy that refuses software enclaves");
        }
        rules.check()
    }
}

/// Words are short and printable, so that they are shown as they are.
pub(super) fn is_word(word: &str) -> bool {
    !word.is_empty() && word.len() <= NAME_LEN_MAX && word.bytes().all(|byte| byte.is_ascii_graphic())
}
