//! Every check of a result can fail, and the verdict names the one that did (R118, R124, R125, R131, R132, R134,
//! R135).

use symphony_protocol::artifact::*;
use symphony_protocol::governance::Governance;
use symphony_protocol::lifecycle::Stage;
use symphony_protocol::verification::{Appraised, findings, verdict};
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::epsilon::Epsilon;
use symphony_types::id::TaskId;
use symphony_types::key::{Document, Master, SoftwareEnclave, Vault};

use crate::attest::appraise;
use crate::stage::{PLENTY, actor, campaign, enclave, governance, key, query, vault};
use crate::world::{Act, Script, World, aggregate, evidence};

/// A task that waits for its verdict.
fn verifying() -> (World, TaskId) {
    let request = campaign("c1");
    let mut world = World::new(Script { verify: Act::Sleep, ..Script::default() });
    world.submit(&request, PLENTY).unwrap();
    while world.step(false) {}
    (world, request.task())
}

fn good() -> Evidence {
    let (world, task) = verifying();
    world.evidence(&task)
}

/// The checks that fail, by name and code.
fn faults(governance: &Governance, evidence: &Evidence) -> Vec<(&'static str, Code)> {
    let all = findings(governance, evidence, &appraise);
    assert_eq!(all.len(), 8, "every check is made");
    all.into_iter().filter_map(|finding| Some((finding.check, finding.fault?.0))).collect()
}

/// Bends good evidence and expects exactly that check among the failing ones, and in the verdict.
fn fails(check: &str, code: Code, bend: impl FnOnce(&mut Evidence)) {
    let mut evidence = good();
    bend(&mut evidence);
    fails_under(&governance(), check, code, &evidence);
}

fn fails_under(governance: &Governance, check: &str, code: Code, evidence: &Evidence) {
    let faults = faults(governance, evidence);
    assert!(faults.contains(&(self::check(check), code)), "{check} {code}: {faults:?}");
    let verdict = verdict(governance, evidence, &appraise);
    assert_eq!(verdict.decision, Decision::Rejected(faults[0].1));
    assert_eq!(verdict.reasons, faults.iter().map(|(check, _)| check.to_string()).collect::<Vec<_>>());
}

fn check(name: &str) -> &'static str {
    let names = [
        "envelope-signature",
        "envelope-meaning",
        "actors-distinct",
        "reserve-receipts",
        "slice-headers",
        "slice-attestations",
        "aggregate-order",
        "aggregate-attestation",
    ];
    names.into_iter().find(|known| *known == name).unwrap()
}

/// Changes one receipt or slice and signs it anew.
fn rereceipt(evidence: &mut Evidence, change: impl FnOnce(&mut ReserveReceipt)) {
    let mut body = evidence.receipts[0].body.clone();
    change(&mut body);
    evidence.receipts[0] = key::<Vault>("vault-a").sign(body);
    // The envelope of a master that went along with it.
    let mut envelope = evidence.envelope.body.clone();
    envelope.reservations[0] = evidence.receipts[0].body.digest();
    evidence.envelope = key::<Master>("master-1").endorsed(envelope);
}

fn reslice(evidence: &mut Evidence, change: impl FnOnce(&mut SliceHeader)) {
    let mut body = evidence.result.slices[0].0.body.clone();
    change(&mut body);
    evidence.result.slices[0].0 = key::<Vault>("vault-a").sign(body);
}

fn reaggregate(evidence: &mut Evidence, change: impl FnOnce(&mut AggregateHeader)) {
    let mut body = evidence.result.aggregate.0.body.clone();
    change(&mut body);
    evidence.result.aggregate.0 = enclave().sign(body);
}

/// R131, R133: good evidence passes every check, and the same evidence gives the same verdict (R135).
#[test]
fn good_evidence_is_accepted() {
    let evidence = good();
    assert_eq!(faults(&governance(), &evidence), []);
    let first = verdict(&governance(), &evidence, &appraise);
    assert_eq!(first.decision, Decision::Accepted);
    assert_eq!((first.evidence, first.reasons.len()), (evidence.digest(), 0));
    assert_eq!(first, verdict(&governance(), &evidence, &appraise));
}

/// R053, R054: a plan that does not follow from the meaning that the envelope names fails, whoever endorses it; so does a version that was
/// not in force.
#[test]
fn an_envelope_of_another_meaning_fails() {
    let again = |evidence: &mut Evidence, bend: &dyn Fn(&mut TaskEnvelope)| {
        let mut envelope = evidence.envelope.body.clone();
        bend(&mut envelope);
        evidence.envelope = key::<Master>("master-1").endorsed(envelope);
    };
    fails("envelope-meaning", Code::AttributeUnknown, |evidence| {
        again(evidence, &|envelope| query(&mut envelope.plan).evaluated_at.0 += 1);
    });
    fails("envelope-meaning", Code::EnvelopeInvalid, |evidence| {
        again(evidence, &|envelope| envelope.versions.semantic.0 += 1);
    });
}

#[test]
fn an_envelope_of_no_master_fails() {
    fails("envelope-signature", Code::EnvelopeInvalid, |evidence| {
        evidence.envelope = key::<Master>("somebody").endorsed(evidence.envelope.body.clone());
    });
    fails("envelope-signature", Code::EnvelopeInvalid, |evidence| {
        query(&mut evidence.envelope.body.plan).cap += 1
    });
}

/// R115, R118: submitter, aggregator and verifier are three.
#[test]
fn one_actor_in_two_roles_fails() {
    let name = |evidence: &mut Evidence, change: &dyn Fn(&mut TaskEnvelope)| {
        let mut envelope = evidence.envelope.body.clone();
        change(&mut envelope);
        evidence.envelope = key::<Master>("master-1").endorsed(envelope);
    };
    fails("actors-distinct", Code::ResultRejected, |evidence| {
        name(evidence, &|envelope| envelope.submitter = actor("aggregator"));
    });
    fails("actors-distinct", Code::ResultRejected, |evidence| {
        name(evidence, &|envelope| envelope.coordination.aggregator = actor("verifier"));
    });
    fails("actors-distinct", Code::ResultRejected, |evidence| {
        name(evidence, &|envelope| envelope.submitter = actor("verifier"));
    });
}

/// R019, R030: receipts are the envelope's reservations, signed by their Vaults, for this task and charge.
#[test]
fn receipts_that_are_not_the_reservations_fail() {
    let check = "reserve-receipts";
    fails(check, Code::ResultRejected, |evidence| drop(evidence.receipts.pop()));
    fails(check, Code::ResultRejected, |evidence| evidence.receipts.swap(0, 1));
    fails(check, Code::ResultRejected, |evidence| evidence.receipts[0].body.coverage = Bucket(1));
    fails(check, Code::ResultRejected, |evidence| {
        evidence.receipts[0] = key::<Vault>("vault-b").sign(evidence.receipts[0].body.clone());
    });
    let changes: [fn(&mut ReserveReceipt); 4] = [
        |body| body.refusal = Some(Code::VaultFull),
        |body| body.task = TaskId(Digest::ZERO),
        |body| body.epsilon = Epsilon(1),
        |body| body.deadline = body.deadline.plus(1),
    ];
    for change in changes {
        fails(check, Code::ResultRejected, |evidence| rereceipt(evidence, change));
    }
}

/// R107, R110: a slice that is not the Vault's, or not of this order, does not count; too few break the quorum.
#[test]
fn a_slice_that_does_not_count_fails() {
    let check = "slice-headers";
    fails(check, Code::ResultRejected, |evidence| reslice(evidence, |body| body.nonce = Digest::ZERO));
    fails(check, Code::ResultRejected, |evidence| reslice(evidence, |body| body.epsilon = Epsilon(1)));
    fails(check, Code::ResultRejected, |evidence| reslice(evidence, |body| body.vault = vault("vault-s")));
    fails(check, Code::ResultRejected, |evidence| evidence.result.slices[0].0.body.records = Bucket(1 << 40));
    fails(check, Code::ResultRejected, |evidence| evidence.result.slices.swap(0, 2));
    fails(check, Code::QuorumBroken, |evidence| evidence.result.slices.truncate(1));
}

/// R124, R125, R132: an attestation that is absent, about something else, or not the one that the header names.
#[test]
fn a_slice_without_its_attestation_fails() {
    let check = "slice-attestations";
    fails(check, Code::AttestationMissing, |evidence| evidence.result.slices[1].1.report.clear());
    fails(check, Code::AttestationFailed, |evidence| evidence.result.slices[1].1.report[40] ^= 1);
    fails(check, Code::AttestationFailed, |evidence| {
        evidence.result.slices[1].1 = evidence.result.slices[0].1.clone();
    });
    fails(check, Code::AttestationFailed, |evidence| reslice(evidence, |body| body.report = Digest::ZERO));
    fails(check, Code::AttestationFailed, |evidence| {
        reslice(evidence, |body| body.input_root = Digest::ZERO)
    });
    fails(check, Code::AttestationFailed, |evidence| reslice(evidence, |body| body.bundle = Digest::ZERO));
    fails(check, Code::ResultRejected, |evidence| reslice(evidence, |body| body.vault = vault("vault-x")));
}

/// R088, R089, R109, R116: other inputs, another task or aggregator, or a size out of bounds.
#[test]
fn an_aggregate_against_its_order_fails() {
    let check = "aggregate-order";
    let changes: [fn(&mut AggregateHeader); 6] = [
        |body| body.task = TaskId(Digest::ZERO),
        |body| body.aggregator = actor("luckin"),
        |body| drop(body.inputs.pop()),
        |body| body.inputs[0].1 = Digest::ZERO,
        |body| body.outcome = Outcome::Audience { returned: 5_001 },
        |body| body.outcome = Outcome::Audience { returned: 49 },
    ];
    for change in changes {
        fails(check, Code::AggregationFailed, |evidence| reaggregate(evidence, change));
    }
    fails(check, Code::AggregationFailed, |evidence| evidence.result.aggregate.0.body.seed = Digest::ZERO);
}

/// R116, R124: the attested enclave is the one that signed, and its report is about these inputs and this output.
#[test]
fn an_aggregate_without_its_attestation_fails() {
    let check = "aggregate-attestation";
    fails(check, Code::AttestationMissing, |evidence| evidence.result.aggregate.1.report.clear());
    fails(check, Code::AttestationFailed, |evidence| evidence.result.aggregate.1.report[3] ^= 1);
    fails(check, Code::AttestationFailed, |evidence| {
        reaggregate(evidence, |body| body.result = Digest::ZERO)
    });
    fails(check, Code::AttestationFailed, |evidence| {
        reaggregate(evidence, |body| body.report = Digest::ZERO)
    });
    fails(check, Code::AttestationFailed, |evidence| {
        let body = evidence.result.aggregate.0.body.clone();
        evidence.result.aggregate.0 = key::<SoftwareEnclave>("another enclave").sign(body);
    });
}

/// R130: evidence of software enclaves fails an order that does not admit them, slice and aggregate alike.
#[test]
fn software_where_it_is_not_admitted_fails() {
    let mut evidence = good();
    let mut envelope = evidence.envelope.body.clone();
    envelope.coordination.software_admitted = false;
    // The whole evidence anew, for an order that is otherwise the same.
    let (world, task) = verifying();
    let mut known = world.task(&task).clone();
    known.envelope = envelope.clone();
    let vaults = envelope.coordination.participating_vault_ids.clone();
    let slices: Vec<_> = vaults.iter().map(|vault| crate::world::slice(&envelope, vault)).collect();
    let made = aggregate(&envelope, &slices, Outcome::Suppressed);
    evidence = self::evidence(&known, &slices, &made);
    let faults = faults(&governance(), &evidence);
    let refused = Code::PlatformRefused;
    assert_eq!(faults, [("slice-attestations", refused), ("aggregate-attestation", refused)]);
    let hardware = |attestation: &Attestation, about: &_| {
        appraise(attestation, about).map(|appraised| Appraised { software: false, ..appraised })
    };
    assert_eq!(verdict(&governance(), &evidence, &hardware).decision, Decision::Accepted);
}

/// Evidence of nothing is rejected and does not panic.
#[test]
fn empty_evidence_is_rejected() {
    let (world, task) = verifying();
    let mut evidence = world.evidence(&task);
    evidence.result.slices.clear();
    evidence.receipts.clear();
    reaggregate(&mut evidence, |body| body.inputs.clear());
    fails_under(&governance(), "slice-headers", Code::QuorumBroken, &evidence);
    fails_under(&governance(), "reserve-receipts", Code::ResultRejected, &evidence);
    let mut envelope = evidence.envelope.body.clone();
    envelope.coordination.participating_vault_ids.clear();
    envelope.coordination.minimum_vault_quorum = 0;
    envelope.reservations.clear();
    evidence.envelope = key::<Master>("master-1").endorsed(envelope);
    assert!(!faults(&governance(), &evidence).is_empty());
}

/// R129: what was approved when the task was admitted counts; a registry that lost a Vault does not panic.
#[test]
fn a_registry_without_the_vault_fails() {
    let mut governance = governance();
    governance.registry.vaults.remove(&vault("vault-a"));
    fails_under(&governance, "slice-attestations", Code::ResultRejected, &good());
}

/// R134: the verdict's digest is of all the evidence: another bit, another digest.
#[test]
fn the_verdict_names_its_evidence() {
    let (world, task) = verifying();
    let Stage::Verifying { slices, aggregate, .. } = &world.task(&task).stage else { panic!() };
    let one = evidence(world.task(&task), slices, aggregate);
    let mut other = one.clone();
    other.result.slices[2].1.boot.push(0);
    assert_ne!(one.digest(), other.digest());
    assert_eq!(world.verdict(&task).body.evidence, one.digest());
}
