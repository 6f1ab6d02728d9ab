//! Appraisal under governance: the registry's approved code and platforms in, a judgement in the words of the
//! verification rules out. One function for the verifier, the Vault and whoever checks an evidence bundle (R124).
//!
//! Evidence of hardware is judged at the ordered time of the order's admission and by the rules that held then.
//!
//! | question | code | machine |
//! |---|---|---|
//! | may something be sealed to it now ([`dispatch`]) | active, and of the order | believed at the order's admission, and not revoked |
//! | is finished work good ([`judge`]) | active at the order's admission (R128, R129) | the same |

use std::collections::BTreeMap;

use symphony_attest::appraise::Tier;
use symphony_protocol::artifact::{Attestation, TaskEnvelope, Versions};
use symphony_protocol::governance::Governance;
use symphony_protocol::governance::approval::{Machine, Mark, Platform, Purpose};
use symphony_protocol::verification::{Appraised, Expectation};
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{GovernanceSequence, Measurement};
use symphony_types::key::Document as _;
use symphony_types::time::OrderedMillis;

use crate::appraise::{AppraisalPolicy, Expected, appraise_boot, examine};
use crate::hardware::HardwareAdmitted;
use crate::report::{
    AGGREGATE_STEP, BootReport, EnclaveRole, PlatformClass, SignedBoot, SignedReport, slice_step,
};
use crate::voucher::VendorDigests;

/// What may be dispatched to now, whatever the order (R120, R129). For enclaves, which narrow it to their order's.
pub fn policy(network: &str, governance: &Governance) -> AppraisalPolicy {
    let measurements = governance.registry.active_code().into_iter().collect();
    let machines = machines(network, governance, governance.sequence, OrderedMillis(0));
    AppraisalPolicy { measurements, ..machines }
}

/// What an order was admitted with, and what it was admitted under.
#[derive(Clone, Copy, Debug)]
pub struct Admitted<'a> {
    /// The code.
    pub measurements: &'a [Measurement],
    /// Where governance was.
    pub versions: &'a Versions,
    /// Whether an enclave of class `software` may serve it.
    pub software: bool,
    /// When: evidence of hardware is judged as of then, whatever a clock says.
    pub at: OrderedMillis,
}

impl<'a> Admitted<'a> {
    /// Of a task.
    pub fn of(envelope: &'a TaskEnvelope) -> Self {
        let coordination = &envelope.coordination;
        let (measurements, software) = (&coordination.measurements, coordination.software_admitted);
        Self { measurements, versions: &envelope.versions, software, at: envelope.admitted_at }
    }

    /// Narrows what is admitted now to what the order was admitted with (R120, R128).
    pub fn narrow(&self, policy: &mut AppraisalPolicy) {
        policy.measurements.retain(|measurement| self.measurements.contains(measurement));
        policy.software_admitted &= self.software;
        policy.hardware.sequence = self.versions.governance;
        policy.hardware.at = self.at;
    }
}

/// To which enclaves of this role something may be sealed now for an order (R121, R128, R129).
pub fn dispatch(
    network: &str,
    governance: &Governance,
    admitted: Admitted<'_>,
    role: EnclaveRole,
) -> AppraisalPolicy {
    let (registry, wanted) = (&governance.registry, purpose(role));
    let admitted_at = admitted.versions.governance;
    let usable = |one: &&Measurement| {
        registry.dispatches(one, wanted) && registry.approved_at(one, wanted, admitted_at)
    };
    let mut policy = machines(network, governance, admitted_at, admitted.at);
    policy.measurements = admitted.measurements.iter().filter(usable).copied().collect();
    policy.software_admitted &= admitted.software;
    policy
}

/// Which enclaves of Vaults may have people's records now, in a move that the council decided on then (R081, R120, R129).
pub fn moving(network: &str, governance: &Governance, decided: &Mark) -> AppraisalPolicy {
    let mut policy = machines(network, governance, governance.sequence, decided.at);
    let registry = &governance.registry;
    let usable = registry.measurements.keys().filter(|one| registry.dispatches(one, Purpose::Slices));
    policy.measurements = usable.copied().collect();
    policy
}

/// Judges a boot report under governance and under the code that a task was admitted with: may anything be sealed to this
/// enclave for the task (R121, R128)? **Errors**: `EXE-0003` when it is no boot report, `EXE-0004` with the reasons.
pub fn admit(
    network: &str,
    governance: &Governance,
    envelope: &TaskEnvelope,
    boot: &[u8],
    role: EnclaveRole,
) -> Result<BootReport, (Code, String)> {
    admitted(boot, &dispatch(network, governance, Admitted::of(envelope), role), role)
}

/// Judges a boot report by what [`dispatch`] allows. **Errors**: as [`admit`].
pub fn admitted(
    boot: &[u8],
    policy: &AppraisalPolicy,
    role: EnclaveRole,
) -> Result<BootReport, (Code, String)> {
    let unreadable = || (Code::AttestationMissing, "the boot report is malformed".to_owned());
    let boot = SignedBoot::from_canonical(boot).ok_or_else(unreadable)?;
    appraise_boot(&boot, policy, role).map_err(|reasons| {
        let reasons: Vec<_> = reasons.iter().map(ToString::to_string).collect();
        (Code::AttestationFailed, reasons.join(", "))
    })?;
    Ok(boot.body)
}

/// Whether a boot report is the one that an attestation report names, with what vouches for it: the signature of its
/// registered platform, which nobody else could make, or the evidence that the report names by digest.
pub fn names(governance: &Governance, report: &[u8], boot: &[u8]) -> bool {
    let (Ok(report), Some(boot)) =
        (bcs::from_bytes::<SignedReport>(report), SignedBoot::from_canonical(boot))
    else {
        return false;
    };
    let platform = governance.registry.platforms.get(&boot.body.platform);
    let quoted = |known: &Platform| known.machine.quoting_key().is_some_and(|key| boot.quoted_by(key));
    report.body.boot == boot.body.digest() && (boot.vendor_word().is_some() || platform.is_some_and(quoted))
}

/// What stands behind one good attestation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The class of the machine.
    pub class: PlatformClass,
    /// How far it may be relied on.
    pub tier: Tier,
    /// Evidence and collateral that the judgement rests on; none of class `software`.
    pub vendor: Option<VendorDigests>,
}

/// Judges one attestation against what it must be about, under the code that its task was admitted with: code that was
/// revoked since then has still done what it did (R128, R129). A machine that is revoked is not believed any more (R124).
/// **Errors**: `EXE-0003` when a report is absent, `EXE-0004` with the reasons.
pub fn judge(
    network: &str,
    governance: &Governance,
    attestation: &Attestation,
    expectation: &Expectation,
) -> Result<Appraised, (Code, String)> {
    judge_standing(network, governance, attestation, expectation).map(|(appraised, _)| appraised)
}

/// The same, telling what stands behind it. **Errors**: as [`judge`].
pub fn judge_standing(
    network: &str,
    governance: &Governance,
    attestation: &Attestation,
    expectation: &Expectation,
) -> Result<(Appraised, Standing), (Code, String)> {
    if attestation.boot.is_empty() || attestation.report.is_empty() {
        return Err((Code::AttestationMissing, Code::AttestationMissing.title().to_owned()));
    }
    let unreadable = || (Code::AttestationFailed, "the attestation cannot be read".to_owned());
    let boot = SignedBoot::from_canonical(&attestation.boot).ok_or_else(unreadable)?;
    let report: SignedReport = bcs::from_bytes(&attestation.report).map_err(|_| unreadable())?;
    let slice = expectation.vault.as_ref();
    let role = if slice.is_some() { EnclaveRole::Slice } else { EnclaveRole::Aggregator };
    let approved =
        |one: &&Measurement| governance.registry.approved_at(one, purpose(role), expectation.governance);
    let measurements = expectation.measurements.iter().filter(approved).copied().collect();
    let machines = machines(network, governance, expectation.governance, expectation.admitted_at);
    let policy = AppraisalPolicy { measurements, ..machines };
    let expected = Expected {
        task: expectation.task,
        step: slice.map_or_else(|| AGGREGATE_STEP.to_owned(), slice_step),
        nonce: expectation.nonce,
        input_root: Some(expectation.input_root),
        output: expectation.output,
        actor: expectation.actor.clone(),
        role,
        module: expectation.module,
        purged: expectation.purged,
    };
    let tier = examine(&boot, &report, &policy, &expected).map_err(|reasons| {
        let reasons: Vec<_> = reasons.iter().map(ToString::to_string).collect();
        (Code::AttestationFailed, reasons.join(", "))
    })?;
    let standing = Standing { class: boot.body.class, tier, vendor: boot.body.vendor };
    let appraised = Appraised {
        report: Digest::of_bytes(&attestation.report),
        node: boot.body.node,
        platform: boot.body.platform,
        signing_key: boot.body.signing_key,
        software: boot.body.class.is_software(),
    };
    Ok((appraised, standing))
}

/// The machines that were believed when governance was at a place, those that are not now, and what was asked of hardware
/// then; no code.
fn machines(
    network: &str,
    governance: &Governance,
    sequence: GovernanceSequence,
    at: OrderedMillis,
) -> AppraisalPolicy {
    let known = governance.registry.platforms.iter();
    let known = known.filter(|(_, platform)| platform.admitted.sequence <= sequence);
    let revoked = known.clone().filter(|(_, platform)| platform.revoked.is_some());
    let (mut platforms, mut hardware) = (BTreeMap::new(), BTreeMap::new());
    for (id, platform) in known {
        match &platform.machine {
            Machine::Software { key } => drop(platforms.insert(*id, *key)),
            Machine::Hardware { class, .. } => drop(hardware.insert(*id, class.clone())),
        }
    }
    let rules = governance.hardware.iter().map(|(since, rules)| (*since, rules.clone())).collect();
    AppraisalPolicy {
        chain: network.to_owned(),
        measurements: [].into(),
        platforms,
        revoked_platforms: revoked.map(|(id, _)| *id).collect(),
        software_admitted: governance.software_admitted(),
        hardware: HardwareAdmitted { machines: hardware, rules, sequence, at },
    }
}

/// What code must be for to take a role.
const fn purpose(role: EnclaveRole) -> Purpose {
    match role {
        EnclaveRole::Slice => Purpose::Slices,
        EnclaveRole::Aggregator => Purpose::Aggregation,
    }
}
