//! Judges verified claims by policy and by what was asked (R120, R121, R124, R125, R130).
//!
//! Pure: every fact is an argument. All faults are collected, each with one stable code, so that an operator sees
//! everything at once. The tier follows from them: any refusal makes it *contraindicated*; with warnings alone, which
//! only a grace period gives, it is *warning*; with nothing it is *affirming*.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use symphony_types::digest::Digest;
use symphony_types::id::TaskId;
use symphony_types::time::OrderedMillis;

use crate::binding::Binding;
use crate::claims::{Claims, Class, Tcb};
use crate::fault::Fault;
use crate::policy::{Floor, Policy};

/// What evidence must be about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The start as the judge knows it, with the keys and the challenge that were presented.
    pub binding: Binding,
    /// The task that the start is for.
    pub task: TaskId,
    /// Challenges that the judge sent, and for what.
    pub challenges: BTreeMap<Digest, Challenge>,
    /// Ordered time of the judgement.
    pub at: OrderedMillis,
}

/// One challenge that was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    /// The task that it was sent for.
    pub task: TaskId,
    /// The first moment at which it is stale.
    pub expires: OrderedMillis,
    /// Whether an answer was accepted before.
    pub spent: bool,
}

/// How far evidence may be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Tier {
    /// Nothing speaks against it.
    Affirming,
    /// It suffices until a grace period ends.
    Warning,
    /// It must be refused.
    Contraindicated,
}

/// A judgement with everything that speaks against the evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appraisal {
    /// How far it may be relied on.
    pub tier: Tier,
    /// Each fault once, in the order of [`Reason`].
    pub reasons: Vec<Reason>,
    /// The fault that kept the evidence from being verified, where one did.
    pub fault: Option<Fault>,
}

impl Appraisal {
    /// Whether material may be sealed to the enclave now.
    pub fn admits(&self) -> bool {
        match self.tier {
            Tier::Affirming | Tier::Warning => true,
            Tier::Contraindicated => false,
        }
    }

    /// The judgement of evidence that does not verify (R125).
    pub fn of_fault(fault: Fault) -> Self {
        Self { tier: Tier::Contraindicated, reasons: vec![Reason::Unverified], fault: Some(fault) }
    }

    /// Every code that speaks against the evidence.
    pub fn codes(&self) -> Vec<&'static str> {
        let fault = self.fault.iter().map(|fault| fault.code.as_str());
        self.reasons.iter().map(|reason| reason.as_str()).chain(fault).collect()
    }
}

/// Judges claims (R124).
pub fn appraise(claims: &Claims, policy: &Policy, expected: &Expected) -> Appraisal {
    let mut reasons = Reasons::default();
    class(claims, policy, &mut reasons);
    program(claims, policy, &mut reasons);
    platform(claims, policy, &mut reasons);
    firmware(claims, policy, expected.at, &mut reasons);
    binding(claims, expected, &mut reasons);
    let holds = claims.valid_from <= expected.at && expected.at.0 / 1000 <= claims.valid_until.0 / 1000;
    reasons.require(holds, Reason::NotValidNow);
    reasons.appraisal()
}

fn class(claims: &Claims, policy: &Policy, reasons: &mut Reasons) {
    reasons.require(policy.classes.contains(&claims.class), Reason::ClassRefused);
    reasons.require(policy.development_admitted || !claims.development, Reason::DevelopmentRoot);
}

fn program(claims: &Claims, policy: &Policy, reasons: &mut Reasons) {
    reasons.require(!claims.traits.debug, Reason::Debug);
    reasons.require(!claims.traits.migratable, Reason::Migratable);
    reasons.require(claims.traits.vmpl.is_none_or(|level| level <= policy.vmpl_max), Reason::Privilege);
    match policy.measurements.get(&claims.measurement) {
        None => reasons.require(false, Reason::MeasurementUnknown),
        Some(registers) => {
            let equal =
                registers.iter().all(|(name, value)| claims.register(name) == Some(value.0.as_slice()));
            reasons.require(equal, Reason::RegisterDiffers);
        }
    }
}

fn platform(claims: &Claims, policy: &Policy, reasons: &mut Reasons) {
    match claims.platform.id {
        None => reasons.require(false, Reason::PlatformMasked),
        Some(id) => {
            reasons.require(policy.platforms.contains(&id), Reason::PlatformUnknown);
            reasons.require(!policy.revoked_platforms.contains(&id), Reason::PlatformRevoked);
        }
    }
    let traits = &claims.traits;
    reasons.require(policy.smt_admitted || traits.smt != Some(true), Reason::SharedCores);
    let intel = &policy.intel;
    let grows = traits.dynamic_platform == Some(true);
    reasons.require(intel.dynamic_platform_admitted || !grows, Reason::DynamicPlatform);
    reasons.require(intel.cached_keys_admitted || traits.cached_keys != Some(true), Reason::CachedKeys);
    reasons.require(intel.service_domain_admitted || !traits.service_domain, Reason::ServiceDomain);
}

fn firmware(claims: &Claims, policy: &Policy, at: OrderedMillis, reasons: &mut Reasons) {
    reasons.require(claims.revocation_checked || !policy.revocation_required, Reason::RevocationUnchecked);
    match claims.class {
        Class::IntelSgx | Class::IntelTdx => levels(&claims.tcb, policy, at, reasons),
        Class::AmdSevSnp => match policy.amd_floors.get(&claims.platform.model) {
            None => reasons.require(false, Reason::TcbBelowFloor),
            Some(floor) => versions(&claims.tcb, floor, at, reasons),
        },
        // AWS replaces the hypervisor under running machines and names no level.
        Class::AwsNitro => {}
    }
}

fn levels(tcb: &Tcb, policy: &Policy, at: OrderedMillis, reasons: &mut Reasons) {
    let intel = &policy.intel;
    let in_grace = |status| intel.grace_statuses.contains(status) && at < intel.grace_until;
    match &tcb.status {
        Some(status) if intel.statuses.contains(status) => {}
        Some(status) if in_grace(status) => reasons.warn(Reason::TcbStatusInGrace),
        Some(_) | None => reasons.require(false, Reason::TcbStatus),
    }
    let refused = tcb.advisories.iter().any(|advisory| intel.advisories_refused.contains(advisory));
    reasons.require(!refused, Reason::Advisory);
    reasons.require(tcb.eval_number >= Some(intel.eval_number_min), Reason::CollateralOld);
}

/// Firmware that may be rolled back to an older one counts as the older one, so every level that the report names must
/// reach the floor.
fn versions(tcb: &Tcb, floor: &Floor, at: OrderedMillis, reasons: &mut Reasons) {
    let reaches = |floor: &[u8; 5]| {
        ["reported", "committed", "launch", "current"].iter().all(|name| {
            let level = tcb.versions.iter().find(|level| level.name == *name);
            level.is_some_and(|level| {
                level.value.len() == floor.len()
                    && level.value.iter().zip(floor).all(|(has, least)| has >= least)
            })
        })
    };
    if reaches(&floor.versions) {
        return;
    }
    let in_grace = at < floor.grace_until && floor.grace_versions.as_ref().is_some_and(reaches);
    if in_grace {
        reasons.warn(Reason::TcbFloorInGrace);
    } else {
        reasons.require(false, Reason::TcbBelowFloor);
    }
}

fn binding(claims: &Claims, expected: &Expected, reasons: &mut Reasons) {
    let nonce = expected.binding.nonce;
    if claims.report_data.iter().all(|byte| *byte == 0) {
        reasons.require(false, Reason::ReportDataEmpty);
    } else {
        let equal = claims.report_data == expected.binding.report_data();
        reasons.require(equal, Reason::ReportDataDiffers);
    }
    let same = claims.nonce.as_ref().is_none_or(|given| given.0 == nonce.0);
    reasons.require(same, Reason::NonceDiffers);
    let key = claims.public_key.as_ref().is_none_or(|key| key.0 == expected.binding.hpke_key);
    reasons.require(key, Reason::PublicKeyDiffers);
    match expected.challenges.get(&nonce) {
        None => reasons.require(false, Reason::NonceUnknown),
        Some(challenge) => {
            reasons.require(challenge.task == expected.task, Reason::NonceOfAnotherTask);
            reasons.require(expected.at < challenge.expires, Reason::NonceStale);
            reasons.require(!challenge.spent, Reason::NonceSpent);
        }
    }
}

#[derive(Default)]
struct Reasons {
    refusals: Vec<Reason>,
    warnings: Vec<Reason>,
}

impl Reasons {
    fn require(&mut self, holds: bool, reason: Reason) {
        if !holds {
            self.refusals.push(reason);
        }
    }

    fn warn(&mut self, reason: Reason) {
        self.warnings.push(reason);
    }

    fn appraisal(self) -> Appraisal {
        let tier = match (self.refusals.is_empty(), self.warnings.is_empty()) {
            (true, true) => Tier::Affirming,
            (true, false) => Tier::Warning,
            (false, _) => Tier::Contraindicated,
        };
        let mut reasons: Vec<Reason> = self.refusals.into_iter().chain(self.warnings).collect();
        reasons.sort_unstable();
        reasons.dedup();
        Appraisal { tier, reasons, fault: None }
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $reason:ident = $text:literal;)*) => {
        /// What speaks against evidence. The text is stable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Reason {
            $($(#[$doc])* $reason,)*
        }

        impl Reason {
            /// Every reason, in order.
            pub const ALL: &'static [Self] = &[$(Self::$reason),*];

            /// The stable text.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$reason => $text,)* }
            }
        }
    };
}

reasons! {
    /// It does not verify; the fault says why.
    Unverified = "evidence-unverified";
    /// Governance does not admit this kind of hardware.
    ClassRefused = "class-refused";
    /// No vendor's root, and policy wants hardware (R130).
    DevelopmentRoot = "development-root-refused";
    /// The host may look inside.
    Debug = "debug-enabled";
    /// It may be moved to another machine.
    Migratable = "migration-enabled";
    /// A lower privilege level of the guest asked than policy admits.
    Privilege = "privilege-level-refused";
    /// Governance does not know the program (R120).
    MeasurementUnknown = "measurement-unknown";
    /// The program is known, but a further register is not as required.
    RegisterDiffers = "register-differs";
    /// The machine hides itself, or its id is zero.
    PlatformMasked = "platform-masked";
    /// Governance does not know the machine.
    PlatformUnknown = "platform-unknown";
    /// The machine was struck off.
    PlatformRevoked = "platform-revoked";
    /// Two threads share a core.
    SharedCores = "smt-enabled";
    /// The platform may grow by further packages.
    DynamicPlatform = "platform-dynamic";
    /// The vendor's service keeps the platform's keys.
    CachedKeys = "platform-keys-cached";
    /// A service domain is bound.
    ServiceDomain = "service-domain-bound";
    /// Collateral told no revoked certificates.
    RevocationUnchecked = "revocation-unchecked";
    /// The vendor's judgement of the firmware does not suffice.
    TcbStatus = "tcb-status-refused";
    /// It suffices until the grace period ends.
    TcbStatusInGrace = "tcb-status-in-grace";
    /// A weakness that policy does not tolerate.
    Advisory = "advisory-refused";
    /// The firmware is older than the floor, or its generation has none.
    TcbBelowFloor = "tcb-below-floor";
    /// It is older than the floor; the floor before suffices until the grace period ends.
    TcbFloorInGrace = "tcb-floor-in-grace";
    /// The vendor's collection of levels is older than policy asks for.
    CollateralOld = "collateral-too-old";
    /// Nothing was bound to the evidence.
    ReportDataEmpty = "report-data-empty";
    /// The evidence is bound to another network, node, key, engine or challenge.
    ReportDataDiffers = "report-data-differs";
    /// The challenge inside the document is another.
    NonceDiffers = "nonce-differs";
    /// The key inside the document is another.
    PublicKeyDiffers = "public-key-differs";
    /// No such challenge was sent.
    NonceUnknown = "nonce-unknown";
    /// The challenge was sent for another task.
    NonceOfAnotherTask = "nonce-of-another-task";
    /// The challenge is too old.
    NonceStale = "nonce-stale";
    /// The challenge was answered before.
    NonceSpent = "nonce-spent";
    /// Evidence or collateral does not hold at the time of the judgement.
    NotValidNow = "not-valid-now";
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
