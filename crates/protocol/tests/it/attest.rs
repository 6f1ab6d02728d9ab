//! The attestations of the test world: a report states in plain bytes what it is about, and the engine reads it.

use symphony_protocol::artifact::*;
use symphony_protocol::verification::{Appraised, Expectation, bundles_root};
use symphony_types::canonical::to_bytes;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{NodeId, PlatformId};

use crate::stage::{self, enclave};

/// The attestation of a query's slice.
pub(crate) fn slice_attestation(envelope: &TaskEnvelope, header: &SliceHeader) -> Attestation {
    attest(&slice_expectation(envelope, header, true))
}

/// What the attestation of a slice must be about.
pub(crate) fn slice_expectation(envelope: &TaskEnvelope, header: &SliceHeader, purged: bool) -> Expectation {
    let letter = header.vault.as_str().trim_start_matches("vault-");
    Expectation {
        task: envelope.task,
        vault: Some(header.vault.clone()),
        actor: stage::actor(&format!("executor-{letter}")),
        nonce: header.nonce,
        input_root: header.input_root,
        output: header.bundle,
        measurements: envelope.coordination.measurements.clone(),
        governance: envelope.versions.governance,
        module: envelope.plan.compute().map(|plan| plan.code),
        admitted_at: envelope.admitted_at,
        purged,
    }
}

/// What the attestation of an aggregation must be about.
pub(crate) fn aggregate_expectation(
    envelope: &TaskEnvelope,
    slices: &[SignedSlice],
    header: &AggregateHeader,
    nonce: Digest,
) -> Expectation {
    let actor = header.aggregator.clone();
    Expectation { actor, ..aggregation_expectation(envelope, slices, header.result, nonce) }
}

/// The same of either aggregator, of what it hands out.
pub(crate) fn aggregation_expectation(
    envelope: &TaskEnvelope,
    slices: &[SignedSlice],
    output: Digest,
    nonce: Digest,
) -> Expectation {
    Expectation {
        task: envelope.task,
        vault: None,
        actor: envelope.coordination.aggregator.clone(),
        nonce,
        input_root: bundles_root(slices.iter().map(|slice| slice.body.bundle)),
        output,
        measurements: envelope.coordination.measurements.clone(),
        governance: envelope.versions.governance,
        module: None,
        admitted_at: envelope.admitted_at,
        purged: true,
    }
}

/// A report that says what it is about.
pub(crate) fn attest(about: &Expectation) -> Attestation {
    attest_at("master-1", about)
}

/// The same, by an enclave of this node.
pub(crate) fn attest_at(node: &str, about: &Expectation) -> Attestation {
    Attestation { boot: node.as_bytes().to_vec(), report: stated(about) }
}

fn stated(about: &Expectation) -> Vec<u8> {
    let mut report = to_bytes(&(
        (&about.task, &about.vault, &about.actor),
        (&about.nonce, &about.input_root, &about.output),
        &about.measurements,
    ));
    if !about.purged {
        report.extend_from_slice(b"inputs stay");
    }
    report
}

/// The test world's attestation engine. An enclave may wipe its inputs where it need not.
pub(crate) fn appraise(attestation: &Attestation, about: &Expectation) -> Result<Appraised, (Code, String)> {
    if attestation.report.is_empty() {
        return Err((Code::AttestationMissing, "no report".into()));
    }
    let wiped = Expectation { purged: true, ..about.clone() };
    if attestation.report != stated(about) && attestation.report != stated(&wiped) {
        return Err((Code::AttestationFailed, "the report is about something else".into()));
    }
    let node = NodeId::new(core::str::from_utf8(&attestation.boot).expect("a node's name"));
    Ok(Appraised {
        report: Digest::of_bytes(&attestation.report),
        node: node.expect("a node's name"),
        platform: PlatformId(Digest::of_bytes(&attestation.boot)),
        signing_key: enclave().public(),
        software: true,
    })
}
