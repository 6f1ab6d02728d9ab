//! What governance admits of trusted hardware. Everything that is not named is refused: no class, no program, no machine
//! and no tolerance is admitted by default (R120, R130).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use symphony_types::id::{Measurement, PlatformId};
use symphony_types::time::OrderedMillis;

use crate::claims::{Class, Hex, TcbStatus};

/// What is admitted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Kinds of hardware.
    pub classes: BTreeSet<Class>,
    /// Programs, each with the further registers that it must have, by the vendor's name.
    pub measurements: BTreeMap<Measurement, BTreeMap<String, Hex>>,
    /// Machines. Without an entry no machine is admitted, because keys of machines in strangers' hands are for sale.
    pub platforms: BTreeSet<PlatformId>,
    /// Machines that were struck off; this outweighs `platforms`.
    pub revoked_platforms: BTreeSet<PlatformId>,
    /// Whether roots of development are admitted. False in production (R130).
    pub development_admitted: bool,
    /// Whether collateral must have told revoked certificates.
    pub revocation_required: bool,
    /// Whether two threads may share a core.
    pub smt_admitted: bool,
    /// What is asked of Intel's firmware.
    pub intel: IntelPolicy,
    /// What is asked of AMD's firmware, by generation. A generation without an entry is refused.
    pub amd_floors: BTreeMap<String, Floor>,
    /// The lowest privilege level of an AMD guest that may ask; 0 is the highest.
    pub vmpl_max: u32,
}

/// What is asked of Intel's firmware.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntelPolicy {
    /// Judgements of the vendor that suffice.
    pub statuses: BTreeSet<TcbStatus>,
    /// Judgements that suffice, with a warning, until the grace period ends.
    pub grace_statuses: BTreeSet<TcbStatus>,
    /// The end of the grace period: the first moment at which it is over.
    pub grace_until: OrderedMillis,
    /// Weaknesses that are not tolerated at any status.
    pub advisories_refused: BTreeSet<String>,
    /// The vendor's collection of levels must have at least this number, so that nobody presents an old one.
    pub eval_number_min: u32,
    /// Whether a platform may be one that can grow by further packages. All servers with two sockets are.
    pub dynamic_platform_admitted: bool,
    /// Whether a platform's keys may be kept by the vendor's registration service.
    pub cached_keys_admitted: bool,
    /// Whether a service domain may be bound.
    pub service_domain_admitted: bool,
}

/// The lowest firmware of one AMD generation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Floor {
    /// Bootloader, tee, snp, microcode, fmc: each at least this.
    pub versions: [u8; 5],
    /// The floor before this one suffices, with a warning, until `grace_until`.
    pub grace_versions: Option<[u8; 5]>,
    /// The end of the grace period: the first moment at which it is over.
    pub grace_until: OrderedMillis,
}
