//! The checks of a result, one by one (R118, R131, R132, R134, R135): what the verifier decides by and what
//! anybody repeats from an evidence bundle, without trust in any node.
//!
//! Attestation documents are judged by the attestation engine; its judgement comes in as a function.

pub mod parse;

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{ActorId, GovernanceSequence, Measurement, NodeId, PlatformId, TaskId, VaultId};
use symphony_types::key::{Document, PublicKey, SoftwareEnclave};
use symphony_types::merkle;
use symphony_types::time::OrderedMillis;

use crate::admission::explain;
use crate::artifact::{
    Attestation, Combined, Decision, Evidence, HelperShare, Outcome, SignedAggregate, SignedSlice,
    SliceHeader, TaskEnvelope, Verdict,
};
use crate::execution::{aggregate, coordinate, training};
use crate::governance::Governance;
use crate::lifecycle::training::Position;

/// What an attestation must be about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// The task.
    pub task: TaskId,
    /// The Vault of a slice; `None` for the aggregation.
    pub vault: Option<VaultId>,
    /// The actor that was asked.
    pub actor: ActorId,
    /// The challenge.
    pub nonce: Digest,
    /// Root over the inputs.
    pub input_root: Digest,
    /// Digest of the output.
    pub output: Digest,
    /// The code that the task was admitted with (R128).
    pub measurements: Vec<Measurement>,
    /// Where governance was then.
    pub governance: GovernanceSequence,
    /// SHA-256 of the module that ran, where one did (R095).
    pub module: Option<Digest>,
    /// When that was: evidence of hardware is judged as of then.
    pub admitted_at: OrderedMillis,
    /// Whether the inputs must be wiped: always, but between two rounds of a training (R127).
    pub purged: bool,
}

/// What the attestation engine found in a good attestation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appraised {
    /// SHA-256 of the task report as it came.
    pub report: Digest,
    /// The node that started the enclave.
    pub node: NodeId,
    /// The machine that it runs on.
    pub platform: PlatformId,
    /// The enclave's key that its boot report names.
    pub signing_key: PublicKey<SoftwareEnclave>,
    /// Whether the enclave is of class `software`.
    pub software: bool,
}

/// Why a check failed: a code, and words.
pub type Fault = (Code, String);

/// One check: its name, what it proves, and the code when it failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The check's name.
    pub check: &'static str,
    /// What holds when it passes.
    pub proves: &'static str,
    /// Why it failed.
    pub fault: Option<Fault>,
}

/// Judges an attestation against what it must be about. **Errors**: `EXE-0003` when it is absent, `EXE-0004` with
/// the reasons when it does not hold.
pub type Appraise<'a> = &'a dyn Fn(&Attestation, &Expectation) -> Result<Appraised, Fault>;

/// All checks of a result, in a fixed order; every one is made even after one has failed.
pub fn findings(governance: &Governance, evidence: &Evidence, appraise: Appraise<'_>) -> Vec<Finding> {
    let envelope = &evidence.envelope.body;
    let parts = parts(evidence);
    let each = |judge: &dyn Fn(&Part<'_>) -> Result<(), Fault>| parts.iter().try_for_each(judge);
    let mut findings = Vec::new();
    let mut check = |check, proves, result: Result<(), Fault>| {
        findings.push(Finding { check, proves, fault: result.err() });
    };
    check(
        "envelope-signature",
        "a majority of the registered masters gave this order",
        envelope_signature(governance, evidence),
    );
    check(
        "envelope-meaning",
        "the plan reads what the version of meaning that the envelope names admits, and as it says",
        meaning(governance, envelope),
    );
    check(
        "actors-distinct",
        "submitter, aggregator and verifier are three actors",
        actors(governance, evidence),
    );
    check(
        "reserve-receipts",
        "every participating vault reserved consent-covered budget for this task",
        receipts(governance, evidence),
    );
    check(
        "slice-headers",
        "each slice is its vault's, committed the reserved epsilon, and the quorum holds",
        each(&|part| part.headers(governance, envelope)),
    );
    check(
        "slice-attestations",
        "each slice ran in an approved enclave on the inputs and to the output that its header names",
        each(&|part| part.slices_attested(governance, envelope, appraise)),
    );
    check(
        "aggregate-order",
        "the aggregate is made of exactly these slices, and is what the order allows; of a training, round by round",
        each(&|part| part.order(envelope)).and_then(|()| finished(evidence)),
    );
    check(
        "aggregate-attestation",
        "the aggregation ran in an approved enclave whose key signed the aggregate",
        each(&|part| part.aggregate_attested(envelope, appraise)),
    );
    findings
}

/// The verdict that the checks amount to.
pub fn verdict(governance: &Governance, evidence: &Evidence, appraise: Appraise<'_>) -> Verdict {
    decided(
        governance,
        evidence.envelope.body.task,
        evidence.digest(),
        &findings(governance, evidence, appraise),
    )
}

fn decided(governance: &Governance, task: TaskId, evidence: Digest, findings: &[Finding]) -> Verdict {
    let faults: Vec<_> =
        findings.iter().filter_map(|f| f.fault.as_ref().map(|(code, _)| (f.check, *code))).collect();
    Verdict {
        task,
        verifier: governance.registry.verifier.actor.clone(),
        decision: faults.first().map_or(Decision::Accepted, |(_, code)| Decision::Rejected(*code)),
        evidence,
        reasons: faults.into_iter().map(|(check, _)| String::from(check)).collect(),
    }
}

fn envelope_signature(governance: &Governance, evidence: &Evidence) -> Result<(), Fault> {
    if governance.registry.endorsed(&evidence.envelope) {
        Ok(())
    } else {
        Err(fault(Code::EnvelopeInvalid, "no majority of the registered masters endorses the envelope"))
    }
}

/// Also that the version was in force when the task was asked for, which is at most the time for preparing before it was admitted
/// (R054, R190).
fn meaning(governance: &Governance, envelope: &TaskEnvelope) -> Result<(), Fault> {
    let follows = || {
        let policy = governance.policy_of(envelope.versions.policy)?;
        let asked = envelope.admitted_at.minus(policy.deadlines.prepare_ms);
        let in_force = [asked, envelope.admitted_at].map(|at| governance.semantics_at(at).version);
        let version = envelope.versions.semantic;
        if version < in_force[0] || in_force[1] < version {
            return Err(Code::EnvelopeInvalid);
        }
        explain::path(governance.semantics_of(version)?, &envelope.plan).map(drop)
    };
    follows().map_err(|code| fault(code, "the plan does not follow from the meaning in force"))
}

fn actors(governance: &Governance, evidence: &Evidence) -> Result<(), Fault> {
    let submitter = &evidence.envelope.body.submitter;
    let aggregator = &evidence.envelope.body.coordination.aggregator;
    let verifier = &governance.registry.verifier.actor;
    if submitter == aggregator || aggregator == verifier || verifier == submitter {
        return Err(fault(Code::ResultRejected, "two of the three actors are one"));
    }
    Ok(())
}

fn receipts(governance: &Governance, evidence: &Evidence) -> Result<(), Fault> {
    let envelope = &evidence.envelope.body;
    let vaults = &envelope.coordination.participating_vault_ids;
    let named: Vec<_> = evidence.receipts.iter().map(|receipt| receipt.body.vault.clone()).collect();
    let digests: Vec<_> = evidence.receipts.iter().map(|receipt| receipt.body.digest()).collect();
    if named != *vaults || digests != envelope.reservations {
        return Err(fault(Code::ResultRejected, "the receipts are not the envelope's reservations"));
    }
    for receipt in &evidence.receipts {
        let body = &receipt.body;
        let signed =
            governance.registry.vaults.get(&body.vault).is_some_and(|vault| receipt.verify(&vault.key));
        let reserved = body.refusal.is_none()
            && body.task == envelope.task
            && Some(body.epsilon) == envelope.charge.per_subject()
            && body.deadline == envelope.execute_by;
        if !signed || !reserved {
            return Err(fault(Code::ResultRejected, body.vault.as_str()));
        }
    }
    Ok(())
}

/// Whether one slice may be of a round: its Vault's word, with what is committed, made by an approved enclave.
/// **Errors**: the first check that fails.
pub fn round_slice(
    governance: &Governance,
    envelope: &TaskEnvelope,
    position: &Position,
    (slice, attestation): (&SignedSlice, &Attestation),
    appraise: Appraise<'_>,
) -> Result<(), Fault> {
    if !training::counts(governance, envelope, position, slice) {
        return Err(fault(Code::ResultRejected, "the slice does not count"));
    }
    slice_attested(governance, envelope, (&slice.body, position.last), attestation, appraise)
}

/// Whether a round is what the plan allows at its position, and approved enclaves made all of it. **Errors**: the first
/// check that fails.
pub fn round(
    governance: &Governance,
    envelope: &TaskEnvelope,
    position: Position,
    combined: &Combined,
    appraise: Appraise<'_>,
) -> Result<(), Fault> {
    Part { combined, step: Step::Round(position) }.holds(governance, envelope, appraise)
}

/// Whether a run that was made again is what the order allows, and approved enclaves made all of it. **Errors**: the first
/// check that fails.
pub fn run(
    governance: &Governance,
    envelope: &TaskEnvelope,
    combined: &Combined,
    appraise: Appraise<'_>,
) -> Result<(), Fault> {
    Part { combined, step: Step::Single }.holds(governance, envelope, appraise)
}

/// The combinations of slices that a result rests on, in order: one of a query or a computation, one for each round of a training.
fn parts(evidence: &Evidence) -> Vec<Part<'_>> {
    let Some(plan) = evidence.envelope.body.plan.training() else {
        return vec![Part { combined: &evidence.result, step: Step::Single }];
    };
    let mut position = Some(Position::FIRST);
    let rounds = evidence.rounds.iter().chain([&evidence.result]);
    let parts = rounds.map(|combined| {
        let at = position;
        let outcome = &combined.aggregate.0.body.outcome;
        position = at.and_then(|at| at.next(&plan.training, outcome));
        Part { combined, step: at.map_or(Step::None, Step::Round) }
    });
    parts.collect()
}

/// Whether nothing more is to be computed.
fn finished(evidence: &Evidence) -> Result<(), Fault> {
    match evidence.result.aggregate.0.body.outcome {
        Outcome::Step { .. } => Err(fault(Code::ResultRejected, "the last round is missing")),
        Outcome::Audience { .. }
        | Outcome::Suppressed
        | Outcome::Model { .. }
        | Outcome::Withheld { .. }
        | Outcome::Computed { .. } => Ok(()),
    }
}

/// One combination of slices.
struct Part<'a> {
    combined: &'a Combined,
    step: Step,
}

/// What a combination answers.
enum Step {
    /// A query or a computation: all in one step.
    Single,
    /// A round of a training.
    Round(Position),
    /// Nothing: it comes after the last round.
    None,
}

impl Part<'_> {
    fn holds(
        &self,
        governance: &Governance,
        envelope: &TaskEnvelope,
        appraise: Appraise<'_>,
    ) -> Result<(), Fault> {
        self.headers(governance, envelope)?;
        self.order(envelope)?;
        self.slices_attested(governance, envelope, appraise)?;
        self.aggregate_attested(envelope, appraise)
    }

    fn headers(&self, governance: &Governance, envelope: &TaskEnvelope) -> Result<(), Fault> {
        let slices = self.combined.headers();
        let accepted = match &self.step {
            Step::Single => coordinate::accepted(governance, envelope, &slices),
            Step::Round(position) => training::accepted(governance, envelope, position, &slices),
            Step::None => Err(Code::ResultRejected),
        };
        match accepted {
            Ok(accepted) if accepted == slices => Ok(()),
            Ok(_) => Err(fault(Code::ResultRejected, "a slice does not count")),
            Err(code) => Err(fault(code, code.title())),
        }
    }

    fn slices_attested(
        &self,
        governance: &Governance,
        envelope: &TaskEnvelope,
        appraise: Appraise<'_>,
    ) -> Result<(), Fault> {
        let slices = self.combined.slices.iter();
        let purged = match &self.step {
            Step::Single | Step::None => true,
            Step::Round(position) => position.last,
        };
        slices.map(|(slice, attestation)| (&slice.body, attestation)).try_for_each(|(body, attestation)| {
            slice_attested(governance, envelope, (body, purged), attestation, appraise)
        })
    }

    fn order(&self, envelope: &TaskEnvelope) -> Result<(), Fault> {
        let (slices, aggregate) = (self.combined.headers(), &self.combined.aggregate.0);
        let checked = match &self.step {
            Step::Single => aggregate::check(envelope, &slices, aggregate),
            Step::Round(position) => training::check(envelope, position, &slices, aggregate),
            Step::None => Err(Code::ResultRejected),
        };
        checked.map_err(|code| fault(code, code.title()))
    }

    fn aggregate_attested(&self, envelope: &TaskEnvelope, appraise: Appraise<'_>) -> Result<(), Fault> {
        let nonce = match &self.step {
            Step::Single => aggregate::aggregate_nonce(envelope),
            Step::Round(position) => training::aggregate_nonce(&envelope.digest(), position),
            Step::None => return Err(fault(Code::ResultRejected, "a round after the last")),
        };
        let (aggregate, attestation) = &self.combined.aggregate;
        let (slices, attested) = (self.combined.headers(), (aggregate, attestation));
        let first = aggregate_attested(envelope, nonce, &slices, attested, appraise)?;
        match (&self.step, &aggregate.body.helper, &self.combined.helper) {
            (Step::Round(position), Some(share), Some(attestation)) => {
                let nonce = training::helper_nonce(&envelope.digest(), position);
                helper_attested(envelope, nonce, &slices, (share, attestation), &first, appraise)
            }
            (Step::Single | Step::Round(_), None, None) => Ok(()),
            _ => Err(fault(Code::AttestationMissing, "the second aggregator's attestation is not there")),
        }
    }
}

/// Whether an approved enclave of the Vault made a slice. **Errors**: those of the appraisal, `ADM-0019` when the class of
/// the enclave is not admitted.
fn slice_attested(
    governance: &Governance,
    envelope: &TaskEnvelope,
    (body, purged): (&SliceHeader, bool),
    attestation: &Attestation,
    appraise: Appraise<'_>,
) -> Result<(), Fault> {
    let vault = governance.registry.vaults.get(&body.vault);
    let vault = vault.ok_or_else(|| fault(Code::ResultRejected, body.vault.as_str()))?;
    let expectation = Expectation {
        task: envelope.task,
        vault: Some(body.vault.clone()),
        actor: vault.executor.clone(),
        nonce: body.nonce,
        input_root: body.input_root,
        output: body.bundle,
        measurements: envelope.coordination.measurements.clone(),
        governance: envelope.versions.governance,
        module: envelope.plan.compute().map(|plan| plan.code),
        admitted_at: envelope.admitted_at,
        purged,
    };
    let appraised = appraise(attestation, &expectation)?;
    if appraised.report != body.report {
        return Err(fault(Code::AttestationFailed, "the header names another report"));
    }
    software(&appraised, envelope.coordination.software_admitted)
}

/// What is found of the approved enclave that made an aggregate from these slices. **Errors**: those of the appraisal, `EXE-0004`
/// when the enclave did not sign it, `ADM-0019` when its class is not admitted.
pub fn aggregate_attested(
    envelope: &TaskEnvelope,
    nonce: Digest,
    slices: &[SignedSlice],
    (aggregate, attestation): (&SignedAggregate, &Attestation),
    appraise: Appraise<'_>,
) -> Result<Appraised, Fault> {
    let appraised = appraise(attestation, &aggregation_of(envelope, nonce, slices, aggregate.body.result))?;
    if appraised.report != aggregate.body.report || !aggregate.verify(&appraised.signing_key) {
        return Err(fault(Code::AttestationFailed, "the attested enclave did not sign the aggregate"));
    }
    software(&appraised, envelope.coordination.software_admitted)?;
    Ok(appraised)
}

/// Whether an approved enclave of another node and machine than the first aggregator's made the second share. **Errors**: as of the
/// first.
fn helper_attested(
    envelope: &TaskEnvelope,
    nonce: Digest,
    slices: &[SignedSlice],
    (share, attestation): (&HelperShare, &Attestation),
    first: &Appraised,
    appraise: Appraise<'_>,
) -> Result<(), Fault> {
    let appraised = appraise(attestation, &aggregation_of(envelope, nonce, slices, share.share))?;
    if appraised.report != share.report {
        return Err(fault(
            Code::AttestationFailed,
            "the header names another report of the second aggregator",
        ));
    }
    if appraised.node == first.node || appraised.platform == first.platform {
        return Err(fault(Code::AttestationFailed, "one machine holds both shares"));
    }
    software(&appraised, envelope.coordination.software_admitted)
}

/// What the report of an aggregator of these slices must be about.
fn aggregation_of(
    envelope: &TaskEnvelope,
    nonce: Digest,
    slices: &[SignedSlice],
    output: Digest,
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

/// The root over sealed bundles, in the order of their Vaults: the input of an aggregation.
pub fn bundles_root(bundles: impl Iterator<Item = Digest>) -> Digest {
    let leaves: Vec<_> = bundles.map(|bundle| merkle::leaf(&bundle.0)).collect();
    merkle::root(&leaves)
}

fn software(appraised: &Appraised, admitted: bool) -> Result<(), Fault> {
    if appraised.software && !admitted {
        return Err(fault(Code::PlatformRefused, Code::PlatformRefused.title()));
    }
    Ok(())
}

fn fault(code: Code, detail: &str) -> Fault {
    (code, String::from(detail))
}
