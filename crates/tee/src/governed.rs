//! Appraisal under governance: the registry's approved code and platforms in, a judgement in the words of the
//! verification rules out. One function for the verifier, the Vault and whoever checks an evidence bundle (R124).

use std::collections::BTreeSet;

use symphony_protocol::artifact::{Attestation, TaskEnvelope};
use symphony_protocol::governance::Governance;
use symphony_protocol::verification::{Appraised, Expectation};
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::Measurement;
use symphony_types::key::Document as _;

use crate::appraise::{AppraisalPolicy, Expected, appraise, appraise_boot};
use crate::report::{AGGREGATE_STEP, BootReport, EnclaveRole, SignedBoot, SignedReport, slice_step};

/// What governance admits now.
pub fn policy(network: &str, governance: &Governance) -> AppraisalPolicy {
    let registry = &governance.registry;
    AppraisalPolicy {
        chain: network.to_owned(),
        measurements: registry.measurements.clone(),
        platforms: registry.platforms.clone(),
        revoked_platforms: registry.platforms_revoked.clone(),
        software_admitted: governance.policy().software_admitted,
    }
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
    let unreadable = |_| (Code::AttestationMissing, "the boot report is malformed".to_owned());
    let boot: SignedBoot = bcs::from_bytes(boot).map_err(unreadable)?;
    let mut policy = policy(network, governance);
    policy.measurements.retain(|measurement| envelope.coordination.measurements.contains(measurement));
    policy.software_admitted &= envelope.coordination.software_admitted;
    appraise_boot(&boot, &policy, role).map_err(|reasons| {
        let reasons: Vec<_> = reasons.iter().map(ToString::to_string).collect();
        (Code::AttestationFailed, reasons.join(", "))
    })?;
    Ok(boot.body)
}

/// Whether a boot report is the one that an attestation report names, with the signature of its registered platform:
/// nobody else could make these bytes.
pub fn names(governance: &Governance, report: &[u8], boot: &[u8]) -> bool {
    let (Ok(report), Ok(boot)) =
        (bcs::from_bytes::<SignedReport>(report), bcs::from_bytes::<SignedBoot>(boot))
    else {
        return false;
    };
    let platform = governance.registry.platforms.get(&boot.body.platform);
    report.body.boot == boot.body.digest() && platform.is_some_and(|key| boot.verify(key))
}

/// Judges one attestation against what it must be about, under the code that its task was admitted with (R128).
/// **Errors**: `EXE-0003` when a report is absent, `EXE-0004` with the reasons.
pub fn judge(
    network: &str,
    governance: &Governance,
    attestation: &Attestation,
    expectation: &Expectation,
) -> Result<Appraised, (Code, String)> {
    if attestation.boot.is_empty() || attestation.report.is_empty() {
        return Err((Code::AttestationMissing, Code::AttestationMissing.title().to_owned()));
    }
    let unreadable = |_| (Code::AttestationFailed, "the attestation cannot be read".to_owned());
    let boot: SignedBoot = bcs::from_bytes(&attestation.boot).map_err(unreadable)?;
    let report: SignedReport = bcs::from_bytes(&attestation.report).map_err(unreadable)?;
    let measurements: BTreeSet<Measurement> = expectation.measurements.iter().copied().collect();
    let policy = AppraisalPolicy { measurements, ..policy(network, governance) };
    let slice = expectation.vault.as_ref();
    let expected = Expected {
        task: expectation.task,
        step: slice.map_or_else(|| AGGREGATE_STEP.to_owned(), slice_step),
        nonce: expectation.nonce,
        input_root: Some(expectation.input_root),
        output: expectation.output,
        actor: expectation.actor.clone(),
        role: if slice.is_some() { EnclaveRole::Slice } else { EnclaveRole::Aggregator },
        purged: expectation.purged,
    };
    appraise(&boot, &report, &policy, &expected).map_err(|reasons| {
        let reasons: Vec<_> = reasons.iter().map(ToString::to_string).collect();
        (Code::AttestationFailed, reasons.join(", "))
    })?;
    Ok(Appraised {
        report: Digest::of_bytes(&attestation.report),
        node: boot.body.node,
        platform: boot.body.platform,
        signing_key: boot.body.signing_key,
        software: boot.body.class.is_software(),
    })
}
