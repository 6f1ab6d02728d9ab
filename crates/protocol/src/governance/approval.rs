//! What governance thinks of enclave code and of the machines that host it: registered, active, revoked, since when and by
//! which proposal (R120, R128, R129, R194).
//!
//! ```text
//! code:     (register) -> registered -> active -> revoked      registered -> revoked
//! platform: (admit) -> admitted -> revoked
//! module:   (approve) -> approved -> revoked
//! ```
//!
//! Nothing that is revoked comes back. What holds is told by the place in the governance log, so that a task is judged by
//! what held when it was admitted, whatever came later.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use symphony_types::digest::Digest;
use symphony_types::id::{GovernanceSequence, Measurement, ModuleName, PlatformId};
use symphony_types::key::{PublicKey, SoftwarePlatform};
use symphony_types::time::OrderedMillis;

use super::hardware;
use super::registry::Registry;
use crate::artifact::module::Declaration;

/// When something came to hold, and by which proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The entry of the governance log; zero for what the network was founded with.
    pub sequence: GovernanceSequence,
    /// When it was enacted.
    pub at: OrderedMillis,
    /// Digest of the proposal; zero for what the network was founded with.
    pub by: Digest,
}

impl Mark {
    /// What the network was founded with.
    pub const FOUNDED: Self =
        Self { sequence: GovernanceSequence(0), at: OrderedMillis(0), by: Digest::ZERO };
}

/// What enclave code may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Purpose {
    /// Slices and aggregation.
    Any,
    /// Slices, parses and parts of trainings, inside a Vault.
    Slices,
    /// Combining, at a master.
    Aggregation,
}

impl Purpose {
    /// Every purpose.
    pub const ALL: [Self; 3] = [Self::Any, Self::Slices, Self::Aggregation];

    /// The word that stands in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Slices => "slices",
            Self::Aggregation => "aggregation",
        }
    }

    /// Whether code that is for this may be used for `wanted`.
    pub const fn covers(self, wanted: Self) -> bool {
        match (self, wanted) {
            (Self::Any, _) | (Self::Slices, Self::Slices) | (Self::Aggregation, Self::Aggregation) => true,
            (Self::Slices | Self::Aggregation, _) => false,
        }
    }
}

/// Where enclave code is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// Known, and admitted to nothing.
    Registered,
    /// New tasks may be served by it.
    Active,
    /// Nothing is sealed to it any more.
    Revoked,
}

impl Status {
    /// The word that stands in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::Active => "active",
            Self::Revoked => "revoked",
        }
    }
}

/// Enclave code that governance knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnclaveCode {
    /// What it is for.
    pub purpose: Purpose,
    /// Digest of the recipe that it is built by; zero where none was told.
    pub recipe: Digest,
    /// Since when it is known.
    pub registered: Mark,
    /// Since when tasks may be admitted with it.
    pub activated: Option<Mark>,
    /// Since when nothing is sealed to it.
    pub revoked: Option<Mark>,
}

impl EnclaveCode {
    /// Code that a network is founded with: active from the beginning.
    pub const fn founded(purpose: Purpose) -> Self {
        let (registered, activated) = (Mark::FOUNDED, Some(Mark::FOUNDED));
        Self { purpose, recipe: Digest::ZERO, registered, activated, revoked: None }
    }

    /// Where it is.
    pub const fn status(&self) -> Status {
        match (&self.activated, &self.revoked) {
            (_, Some(_)) => Status::Revoked,
            (Some(_), None) => Status::Active,
            (None, None) => Status::Registered,
        }
    }

    /// Whether it was active when governance was at this place.
    pub fn active_at(&self, sequence: GovernanceSequence) -> bool {
        self.activated.is_some_and(|mark| mark.sequence <= sequence)
            && self.revoked.is_none_or(|mark| mark.sequence > sequence)
    }
}

/// What a machine is known by. The two kinds never stand for each other (R130).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Machine {
    /// A machine without trusted hardware.
    Software {
        /// The key that signs its boot reports.
        key: PublicKey<SoftwarePlatform>,
    },
    /// A machine whose vendor vouches for it.
    Hardware {
        /// The kind of hardware, by its word.
        class: String,
        /// Its name, made of the vendor's number for it.
        platform: PlatformId,
    },
}

impl Machine {
    /// Its name.
    pub fn platform(&self) -> PlatformId {
        match self {
            Self::Software { key } => key.platform(),
            Self::Hardware { platform, .. } => *platform,
        }
    }

    /// The word for its class that stands in the API.
    pub fn class(&self) -> &str {
        match self {
            Self::Software { .. } => "software",
            Self::Hardware { class, .. } => class,
        }
    }

    /// The key that it quotes with; none of hardware.
    pub const fn quoting_key(&self) -> Option<&PublicKey<SoftwarePlatform>> {
        match self {
            Self::Software { key } => Some(key),
            Self::Hardware { .. } => None,
        }
    }

    /// Whether its class is a word, and not the one for no hardware.
    pub(super) fn is_sound(&self) -> bool {
        match self {
            Self::Software { .. } => true,
            Self::Hardware { class, .. } => class != "software" && hardware::is_word(class),
        }
    }
}

/// A machine that may host enclaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// What it is known by.
    pub machine: Machine,
    /// Since when it is believed.
    pub admitted: Mark,
    /// Since when it is not.
    pub revoked: Option<Mark>,
}

impl Platform {
    /// A machine that a network is founded with.
    pub const fn founded(key: PublicKey<SoftwarePlatform>) -> Self {
        Self::founded_machine(Machine::Software { key })
    }

    /// A machine of any kind that a network is founded with.
    pub const fn founded_machine(machine: Machine) -> Self {
        Self { machine, admitted: Mark::FOUNDED, revoked: None }
    }
}

/// A module that tasks may name (R095).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovedModule {
    /// What it is for, in a sentence.
    pub about: String,
    /// What is enforced about it.
    pub declaration: Declaration,
    /// Digest of the sources that it is built from.
    pub source: Digest,
    /// Digest of the recipe that it is built by.
    pub recipe: Digest,
    /// Since when tasks may name it.
    pub approved: Mark,
    /// Since when they may not, and nothing is run any more.
    pub revoked: Option<Mark>,
}

impl Registry {
    /// The latest version of a module that tasks may name, with the SHA-256 of its bytes.
    pub fn module(&self, name: &ModuleName) -> Option<(Digest, &ApprovedModule)> {
        let usable = self
            .modules
            .iter()
            .filter(|(_, module)| module.revoked.is_none() && module.declaration.name == *name);
        usable.max_by_key(|(_, module)| module.declaration.version).map(|(code, module)| (*code, module))
    }

    /// Whether these bytes may run now for a task that was admitted when governance was at a place (R128, R129).
    pub fn runs(&self, code: &Digest, admitted: GovernanceSequence) -> bool {
        let module = self.modules.get(code);
        module.is_some_and(|module| module.revoked.is_none() && module.approved.sequence <= admitted)
    }

    /// The code that a new task is admitted with, in ascending order.
    pub fn active_code(&self) -> Vec<Measurement> {
        let active = self.measurements.iter().filter(|(_, code)| code.status() == Status::Active);
        active.map(|(measurement, _)| *measurement).collect()
    }

    /// Whether something may be sealed to this code now, for this purpose (R120, R129).
    pub fn dispatches(&self, measurement: &Measurement, wanted: Purpose) -> bool {
        let code = self.measurements.get(measurement);
        code.is_some_and(|code| code.status() == Status::Active && code.purpose.covers(wanted))
    }

    /// Whether this code was active for this purpose when governance was at a place: what a task that was admitted there is
    /// judged by (R128).
    pub fn approved_at(
        &self,
        measurement: &Measurement,
        wanted: Purpose,
        sequence: GovernanceSequence,
    ) -> bool {
        let code = self.measurements.get(measurement);
        code.is_some_and(|code| code.active_at(sequence) && code.purpose.covers(wanted))
    }

    /// Whether work that was admitted with this code can still be done for each of these purposes.
    pub fn can_serve(&self, measurements: &[Measurement], purposes: &[Purpose]) -> bool {
        purposes.iter().all(|wanted| measurements.iter().any(|one| self.dispatches(one, *wanted)))
    }
}
