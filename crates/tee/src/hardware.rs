//! Governed rules for hardware in the words of the verifier, and the judgement of a vendor's word by them (R121, R124, R130).
//!
//! Pure: the time is the order's, the roots are built in or governed, so every node and each replay judges alike.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use symphony_attest::appraise::{self, Challenge, Expected, Tier};
use symphony_attest::claims::{Claims, Class, Hex, TcbStatus};
use symphony_attest::policy::{Floor, IntelPolicy, Policy};
use symphony_attest::roots::{AmdRoot, Roots};
use symphony_attest::verify::verify_under;
use symphony_protocol::governance::hardware::{DevelopmentRoots, HardwareRules};
use symphony_types::digest::Digest;
use symphony_types::id::{GovernanceSequence, Measurement, PlatformId, TaskId};
use symphony_types::time::OrderedMillis;

use crate::appraise::Reason;
use crate::report::{BootReport, PlatformClass, SignedBoot};

/// What governance admits of trusted hardware, and for when it is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HardwareAdmitted {
    /// Machines, with the words of their classes.
    pub machines: BTreeMap<PlatformId, String>,
    /// Rules by the place in the governance log since which they hold.
    pub rules: BTreeMap<GovernanceSequence, HardwareRules>,
    /// The place whose rules count: the order's admission.
    pub sequence: GovernanceSequence,
    /// The ordered time that evidence is judged at: the order's admission.
    pub at: OrderedMillis,
}

impl HardwareAdmitted {
    /// No machine and no class.
    pub const NONE: Self = Self {
        machines: BTreeMap::new(),
        rules: BTreeMap::new(),
        sequence: GovernanceSequence(0),
        at: OrderedMillis(0),
    };

    fn rules(&self) -> Option<&HardwareRules> {
        self.rules.range(..=self.sequence).next_back().map(|(_, rules)| rules)
    }
}

/// What else is admitted, of any class.
pub(crate) struct Admission<'a> {
    pub(crate) measurements: &'a BTreeSet<Measurement>,
    pub(crate) revoked: &'a BTreeSet<PlatformId>,
    pub(crate) software_admitted: bool,
}

/// Everything that speaks against a boot report that a vendor is to vouch for, and how far it may be relied on.
pub(crate) fn judge(
    boot: &SignedBoot,
    hardware: &HardwareAdmitted,
    admission: &Admission<'_>,
) -> (Vec<Reason>, Tier) {
    let refused = |reason| (vec![reason], Tier::Contraindicated);
    let Some(word) = boot.vendor_word() else { return refused(Reason::VendorDiffers) };
    let Some(rules) = hardware.rules() else {
        return refused(Reason::Vendor(appraise::Reason::ClassRefused));
    };
    let Some(roots) = roots(boot.body.class, rules, admission.software_admitted) else {
        return refused(Reason::Vendor(appraise::Reason::DevelopmentRoot));
    };
    let claims = match verify_under(&roots, &word.evidence, &word.collateral, hardware.at) {
        Ok(claims) => claims,
        Err(fault) => return refused(Reason::Evidence(fault.code)),
    };
    let policy = policy(rules, hardware, admission);
    let appraisal = appraise::appraise(&claims, &policy, &expected(&boot.body, hardware.at));
    let mut reasons = told(&boot.body, hardware, &claims);
    let mut tier = appraisal.tier;
    if !reasons.is_empty() {
        tier = Tier::Contraindicated;
    }
    // Warnings alone are no fault.
    if tier == Tier::Contraindicated {
        reasons.extend(appraisal.reasons.into_iter().map(Reason::Vendor));
    }
    (reasons, tier)
}

/// Whom a report of this class is believed from: a report of hardware never from roots of our own making (R130).
fn roots(class: PlatformClass, rules: &HardwareRules, software_admitted: bool) -> Option<Roots> {
    match class {
        PlatformClass::Software => None,
        PlatformClass::Hardware(_) => Some(Roots::pinned()),
        PlatformClass::Development(_) => {
            let development = rules.development.as_ref().filter(|_| software_admitted);
            development.map(development_roots)
        }
    }
}

/// Roots of development in the verifier's form. Their claims are marked.
pub fn development_roots(given: &DevelopmentRoots) -> Roots {
    let amd = given.amd.iter().map(|(generation, root, issuer)| AmdRoot {
        generation: generation.clone().into(),
        root: root.clone().into(),
        issuer: issuer.clone().into(),
    });
    Roots::development(given.intel.clone(), amd.collect(), given.aws.clone())
}

/// What the report says of itself and the evidence does not.
fn told(body: &BootReport, hardware: &HardwareAdmitted, claims: &Claims) -> Vec<Reason> {
    let mut faults = Vec::new();
    let mut require = |holds: bool, reason| {
        if !holds {
            faults.push(reason);
        }
    };
    let class = if claims.development {
        PlatformClass::Development(claims.class)
    } else {
        PlatformClass::Hardware(claims.class)
    };
    require(body.class == class, Reason::BootClass);
    require(body.measurement == claims.measurement, Reason::BootMeasurement);
    require(claims.platform.id.is_none_or(|id| id == body.platform), Reason::BootPlatform);
    let word = hardware.machines.get(&body.platform);
    require(word.is_none_or(|word| word == claims.class.as_str()), Reason::BootClass);
    faults
}

fn policy(rules: &HardwareRules, hardware: &HardwareAdmitted, admission: &Admission<'_>) -> Policy {
    let registers = |measurement: &Measurement| {
        let named = rules.registers.get(measurement).into_iter().flatten();
        named.map(|(name, value)| (name.clone(), Hex(value.clone()))).collect()
    };
    let levels = &rules.levels;
    let floors = rules.floors.iter().map(|(model, floor)| {
        let (versions, grace_versions) = (floor.versions, floor.grace_versions);
        (model.clone(), Floor { versions, grace_versions, grace_until: floor.grace_until })
    });
    Policy {
        classes: rules.classes.iter().filter_map(|word| Class::of_word(word)).collect(),
        measurements: admission.measurements.iter().map(|one| (*one, registers(one))).collect(),
        platforms: hardware.machines.keys().copied().collect(),
        revoked_platforms: admission.revoked.clone(),
        development_admitted: admission.software_admitted,
        revocation_required: rules.revocation_required,
        smt_admitted: rules.smt_admitted,
        intel: IntelPolicy {
            statuses: statuses(&levels.statuses),
            grace_statuses: statuses(&levels.grace_statuses),
            grace_until: levels.grace_until,
            advisories_refused: levels.advisories_refused.clone(),
            eval_number_min: levels.collection_min,
            dynamic_platform_admitted: levels.dynamic_platform_admitted,
            cached_keys_admitted: levels.cached_keys_admitted,
            service_domain_admitted: levels.service_domain_admitted,
        },
        amd_floors: floors.collect(),
        vmpl_max: rules.privilege_max,
    }
}

fn statuses(words: &BTreeSet<String>) -> BTreeSet<TcbStatus> {
    words.iter().filter_map(|word| TcbStatus::of_word(word)).collect()
}

/// The start as it is told. Its challenge is its own: the one of the task stands in the attestation report.
fn expected(body: &BootReport, at: OrderedMillis) -> Expected {
    let task = TaskId(Digest::ZERO);
    let challenge = Challenge { task, expires: OrderedMillis(u64::MAX), spent: false };
    Expected { binding: body.binding(), task, challenges: BTreeMap::from([(body.nonce, challenge)]), at }
}
