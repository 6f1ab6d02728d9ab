//! Governance as data: policy, registry and semantics in force, and the epochs that time is counted in
//! (R188-R194).

pub mod accountant;
pub mod approval;
pub mod candidate;
pub mod change;
pub mod epoch;
pub mod hardware;
pub mod log;
pub mod meaning;
pub mod membership;
pub mod policy;
pub mod pricing;
pub mod proposal;
pub mod registry;
pub mod semantics;
pub mod stake;

use serde::{Deserialize, Serialize};
use symphony_types::catalogue::Code;
use symphony_types::id::{EpochId, GovernanceSequence, PolicyVersion, SemanticVersion};
use symphony_types::limits::{COUNCIL_MAX, ENDORSEMENTS_MAX};
use symphony_types::time::OrderedMillis;

use alloc::collections::{BTreeMap, BTreeSet};

use crate::artifact::training::Environment;
use epoch::Calendar;
use hardware::HardwareRules;
use meaning::Meanings;
use policy::Policy;
use registry::Registry;
use semantics::Semantics;

/// What governs: every fee, share, limit, identity and meaning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Governance {
    /// Policies by version; immutable once active (R188).
    pub policies: BTreeMap<PolicyVersion, Policy>,
    /// Which of them is in force when (R190).
    pub calendar: Calendar,
    /// Identities, role bindings and approved code.
    pub registry: Registry,
    /// Attributes and rules, in all versions.
    pub meanings: Meanings,
    /// What is asked of trusted hardware, by the change since which it holds; the last that was reached counts.
    pub hardware: BTreeMap<GovernanceSequence, HardwareRules>,
    /// How many changes were enacted since the network was founded.
    pub sequence: GovernanceSequence,
}

impl Governance {
    /// The policy that is in force at a moment: new tasks are admitted under it.
    ///
    /// Every version of the calendar is in the store: the founding one is checked by [`Governance::check`], and a later one is
    /// put into both at once.
    pub fn policy_at(&self, at: OrderedMillis) -> &Policy {
        &self.policies[&self.version_at(at)]
    }

    /// The policy that is in force in an epoch.
    pub fn policy_in(&self, epoch: EpochId) -> &Policy {
        &self.policies[&self.calendar.version_in(epoch)]
    }

    /// The version that is in force at a moment.
    pub fn version_at(&self, at: OrderedMillis) -> PolicyVersion {
        self.calendar.version_at(at)
    }

    /// The epoch that a moment belongs to.
    pub fn epoch_of(&self, at: OrderedMillis) -> EpochId {
        self.calendar.epoch_of(at)
    }

    /// The first moment after an epoch.
    pub fn end_of(&self, epoch: EpochId) -> OrderedMillis {
        self.calendar.end_of(epoch)
    }

    /// Whether enclaves of class `software` may serve tasks: a network is founded for development, or it is not, and no version
    /// of the policy changes that (R130).
    pub fn software_admitted(&self) -> bool {
        self.policies[&self.calendar.founded().version].software_admitted
    }

    /// The policy of a version that a task was admitted under. **Errors**: `GOV-0001`.
    pub fn policy_of(&self, version: PolicyVersion) -> Result<&Policy, Code> {
        self.policies.get(&version).ok_or(Code::PolicyUnknown)
    }

    /// What names mean at a moment: new tasks are admitted under it (R052).
    pub fn semantics_at(&self, at: OrderedMillis) -> &Semantics {
        self.meanings.at(at)
    }

    /// What names mean in a version that a task was admitted under (R054). **Errors**: `GOV-0001`.
    pub fn semantics_of(&self, version: SemanticVersion) -> Result<&Semantics, Code> {
        self.meanings.of(version).ok_or(Code::PolicyUnknown)
    }

    /// Whether a network can be founded with this: the policy in force exists, every policy is sound, and so is the meaning. **Errors**: what is wrong.
    pub fn check(&self) -> Result<(), &'static str> {
        let founded = self.calendar.founded();
        let Some(policy) = self.policies.get(&founded.version) else {
            return Err("the policy version in force is not in the store");
        };
        self.check_masters()?;
        self.check_council()?;
        self.meanings.founded.check()?;
        if !self.meanings.later.is_empty() {
            return Err("a network is founded with one version of meaning");
        }
        self.hardware.values().try_for_each(|rules| self.check_hardware(rules))?;
        self.policies.values().try_for_each(|policy| self.check_policy(policy))?;
        self.registry.check_members()?;
        if self.calendar != Calendar::new(founded.version, policy.epoch_ms) {
            return Err("a network is founded with one policy version, which has the length of its epochs");
        }
        Ok(())
    }

    /// Whether a policy is sound, and this network can have it. **Errors**: what is wrong.
    pub(crate) fn check_policy(&self, policy: &Policy) -> Result<(), &'static str> {
        if self.registry.masters.len() < 2 && policy.train.environment == Environment::Mpc {
            return Err("two masters are needed to compute on shares");
        }
        policy.check()
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
