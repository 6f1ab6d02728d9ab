//! Governance as data: policy, registry and semantics in force, and the epochs that time is counted in
//! (R188-R194).

pub mod accountant;
pub mod approval;
pub mod change;
pub mod epoch;
pub mod hardware;
pub mod log;
pub mod policy;
pub mod pricing;
pub mod proposal;
pub mod registry;
pub mod semantics;

use serde::{Deserialize, Serialize};
use symphony_types::catalogue::Code;
use symphony_types::id::{GovernanceSequence, PolicyVersion};
use symphony_types::limits::{COUNCIL_MAX, ENDORSEMENTS_MAX};

use alloc::collections::{BTreeMap, BTreeSet};

use crate::artifact::training::Environment;
use hardware::HardwareRules;
use policy::Policy;
use registry::Registry;
use semantics::Semantics;

/// What governs: every fee, share, limit, identity and meaning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Governance {
    /// Policies by version; immutable once active (R188).
    pub policies: BTreeMap<PolicyVersion, Policy>,
    /// The version that new tasks are admitted under.
    pub active: PolicyVersion,
    /// Identities, role bindings and approved code.
    pub registry: Registry,
    /// Attributes and rules.
    pub semantics: Semantics,
    /// What is asked of trusted hardware, by the change since which it holds; the last that was reached counts.
    pub hardware: BTreeMap<GovernanceSequence, HardwareRules>,
    /// How many changes were enacted since the network was founded.
    pub sequence: GovernanceSequence,
}

impl Governance {
    /// The policy that new tasks are admitted under.
    ///
    /// The active version is always in the store: genesis is checked by [`Governance::check`] and activation is
    /// an event about a stored version.
    pub fn policy(&self) -> &Policy {
        &self.policies[&self.active]
    }

    /// The policy of a version that a task was admitted under. **Errors**: `GOV-0001`.
    pub fn policy_of(&self, version: PolicyVersion) -> Result<&Policy, Code> {
        self.policies.get(&version).ok_or(Code::PolicyUnknown)
    }

    /// Whether this can govern: the active policy exists and every policy is sound. **Errors**: what is wrong.
    pub fn check(&self) -> Result<(), &'static str> {
        if !self.policies.contains_key(&self.active) {
            return Err("the active policy version is not in the store");
        }
        self.check_masters()?;
        self.check_council()?;
        self.hardware.values().try_for_each(|rules| self.check_hardware(rules))?;
        let alone = self.registry.masters.len() < 2;
        if alone && self.policies.values().any(|policy| policy.train.environment == Environment::Mpc) {
            return Err("two masters are needed to compute on shares");
        }
        self.policies.values().try_for_each(Policy::check)
    }

    /// One member with two names would have two votes.
    fn check_council(&self) -> Result<(), &'static str> {
        let council = &self.registry.council;
        if council.len() > COUNCIL_MAX {
            return Err("the council has too many members");
        }
        if council.values().collect::<BTreeSet<_>>().len() != council.len() {
            return Err("two members of the council have the same key");
        }
        let platforms = &self.registry.platforms;
        if platforms.iter().any(|(id, platform)| platform.machine.platform() != *id) {
            return Err("a platform has another's key");
        }
        if platforms.values().any(|platform| !platform.machine.is_sound()) {
            return Err("the class of a platform is no word");
        }
        Ok(())
    }

    /// Two names for one key would make a majority of less than it looks like.
    fn check_masters(&self) -> Result<(), &'static str> {
        let masters = &self.registry.masters;
        if masters.is_empty() || masters.len() > ENDORSEMENTS_MAX {
            return Err("the number of masters is out of range");
        }
        if masters.values().collect::<BTreeSet<_>>().len() != masters.len() {
            return Err("two masters have the same key");
        }
        Ok(())
    }
}
