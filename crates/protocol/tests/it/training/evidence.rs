//! Evidence of a training: good evidence passes, and every mutation fails its check (R097, R101, R124, R127, R131-R135).

use symphony_protocol::artifact::*;
use symphony_protocol::lifecycle::training::Position;
use symphony_protocol::verification::{self, Appraised, findings, verdict};
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::epsilon::Epsilon;
use symphony_types::id::TaskId;
use symphony_types::key::{Document, Master, SoftwareEnclave, Vault};

use super::{course, requested};
use crate::attest::{appraise, attest, slice_expectation};
use crate::rounds::{combined, found, planned, propensity, round_aggregate, round_slice};
use crate::stage::{VAULTS, actor, enclave, governance, key, vault};
use crate::world::{Act, Script, World};

/// A training that waits for its verdict.
fn verifying(script: Script) -> (World, TaskId) {
    let (mut world, task) = requested(&propensity("t1"), Script { verify: Act::Sleep, ..script });
    while world.step(false) {}
    (world, task)
}

fn evidence_of(script: Script) -> Evidence {
    let (world, task) = verifying(script);
    world.evidence(&task)
}

fn good() -> Evidence {
    evidence_of(Script::default())
}

fn faults(evidence: &Evidence) -> Vec<(&'static str, Code)> {
    let all = findings(&governance(), evidence, &appraise);
    assert_eq!(all.len(), 8, "every check is made");
    all.into_iter().filter_map(|finding| Some((finding.check, finding.fault?.0))).collect()
}

/// Bends good evidence and expects exactly these checks to fail, and the verdict to say so.
fn fails(name: &str, expected: &[(&str, Code)], bend: impl FnOnce(&mut Evidence)) {
    let mut evidence = good();
    bend(&mut evidence);
    let faults = faults(&evidence);
    assert_eq!(faults, expected, "{name}");
    let verdict = verdict(&governance(), &evidence, &appraise);
    assert_eq!(verdict.decision, Decision::Rejected(expected[0].1), "{name}");
    assert_eq!(verdict.reasons, expected.iter().map(|(check, _)| check.to_string()).collect::<Vec<_>>());
}

fn reslice(round: &mut Combined, change: impl FnOnce(&mut SliceHeader)) {
    let mut body = round.slices[0].0.body.clone();
    change(&mut body);
    round.slices[0].0 = key::<Vault>("vault-a").sign(body);
}

fn reaggregate(round: &mut Combined, change: impl FnOnce(&mut AggregateHeader)) {
    let mut body = round.aggregate.0.body.clone();
    change(&mut body);
    round.aggregate.0 = enclave().sign(body);
}

const HEADERS: &str = "slice-headers";
const SLICES: &str = "slice-attestations";
const ORDER: &str = "aggregate-order";
const AGGREGATE: &str = "aggregate-attestation";

/// R131, R133, R135: evidence of trainings that went in every way passes every check, and gives the same verdict again.
#[test]
fn good_evidence_is_accepted() {
    let scripts = [
        (Script::default(), 4),
        (course(|course| course.until = [9, 9, 2]), 4),
        (course(|course| course.quality = [600_000, 600_000, 600_000, 0]), 3),
        (course(|course| course.quality = [1, 2, 3, 4]), 4),
    ];
    for (script, rounds) in scripts {
        let evidence = evidence_of(script);
        assert_eq!(evidence.rounds.len(), rounds);
        assert_eq!(faults(&evidence), []);
        let first = verdict(&governance(), &evidence, &appraise);
        assert_eq!((first.decision, first.evidence), (Decision::Accepted, evidence.digest()));
        assert_eq!(first, verdict(&governance(), &evidence, &appraise));
    }
}

/// R097: a training is all its rounds, each once, in their order.
#[test]
fn rounds_that_are_not_the_plans_fail() {
    let rejected = Code::ResultRejected;
    // Another position asks for other nonces, another loss and another kind of round, and its reports do not answer them.
    let shifted = [
        (HEADERS, Code::QuorumBroken),
        (ORDER, Code::AggregationFailed),
        (AGGREGATE, Code::AttestationFailed),
    ];
    // Qualities that do not rise end the training early, so that a round in the middle would be the last.
    let ended = [shifted[0], (SLICES, Code::AttestationFailed), shifted[1], shifted[2]];
    fails("left out", &shifted, |evidence| drop(evidence.rounds.remove(1)));
    fails("the first left out", &shifted, |evidence| drop(evidence.rounds.remove(0)));
    fails("swapped", &ended, |evidence| evidence.rounds.swap(1, 2));
    fails("doubled", &ended, |evidence| evidence.rounds.insert(1, evidence.rounds[1].clone()));
    fails("the last missing", &[(ORDER, rejected)], |evidence| {
        evidence.result = evidence.rounds.pop().unwrap();
    });
    let after = [(HEADERS, rejected), (ORDER, rejected), (AGGREGATE, rejected)];
    fails("a round after the last", &after, |evidence| {
        evidence.rounds.push(evidence.result.clone());
    });
    fails("none before the last", &shifted, |evidence| evidence.rounds.clear());
}

/// R097: each round begins with the learner that the one before it left; another learner anywhere breaks what follows.
#[test]
fn another_learner_breaks_the_chain() {
    let broken = [(HEADERS, Code::QuorumBroken), (AGGREGATE, Code::AttestationFailed)];
    for round in 0..4 {
        fails(&format!("after round {}", round + 1), &broken, |evidence| {
            reaggregate(&mut evidence.rounds[round], |body| {
                let Outcome::Step { evaluation, .. } = body.outcome else { panic!("no step") };
                body.outcome = Outcome::Step { state: Digest::of_bytes(b"another learner"), evaluation };
            });
        });
    }
    // A round that was computed from another learner, with everything else right.
    fails("from another learner", &broken, |evidence| {
        let envelope = evidence.envelope.body.clone();
        let elsewhere = Position::of(2, false, Digest::of_bytes(b"another learner"));
        let slices: Vec<_> = VAULTS.map(|name| round_slice(&envelope, &elsewhere, &vault(name))).into();
        let outcome = evidence.rounds[1].aggregate.0.body.outcome;
        let aggregate = round_aggregate(&envelope, &elsewhere, &slices, outcome);
        evidence.rounds[1] = combined(&envelope, &elsewhere, &slices, &aggregate);
    });
}

/// R098: a quality that ends the training ends it: evidence that goes on has a round too much.
#[test]
fn a_training_that_goes_on_after_its_end_fails() {
    // The round after that is the last, and its enclaves have not wiped what they read.
    let expected = [(SLICES, Code::AttestationFailed), (ORDER, Code::AggregationFailed)];
    fails("no better in round three", &expected, |evidence| {
        reaggregate(&mut evidence.rounds[2], |body| {
            let Outcome::Step { state, .. } = body.outcome else { panic!("no step") };
            body.outcome = Outcome::Step { state, evaluation: Some(found(600_000)) };
        });
    });
}

/// R124, R125, R132: every round is attested, the ones in the middle too.
#[test]
fn a_round_without_its_attestation_fails() {
    let (missing, failed) = (Code::AttestationMissing, Code::AttestationFailed);
    for round in 0..5 {
        let of = |evidence: &mut Evidence, bend: &dyn Fn(&mut Combined)| match round {
            4 => bend(&mut evidence.result),
            round => bend(&mut evidence.rounds[round]),
        };
        let name = format!("round {}", round + 1);
        fails(&name, &[(SLICES, missing)], |evidence| {
            of(evidence, &|round| round.slices[1].1.report.clear());
        });
        fails(&name, &[(SLICES, failed)], |evidence| {
            of(evidence, &|round| round.slices[1].1 = round.slices[0].1.clone());
        });
        fails(&name, &[(SLICES, failed)], |evidence| {
            of(evidence, &|round| reslice(round, |body| body.report = Digest::ZERO));
        });
        fails(&name, &[(AGGREGATE, missing)], |evidence| {
            of(evidence, &|round| round.aggregate.1.report.clear());
        });
        fails(&name, &[(AGGREGATE, failed)], |evidence| {
            of(evidence, &|round| reaggregate(round, |body| body.result = Digest::ZERO));
        });
        fails(&name, &[(AGGREGATE, failed)], |evidence| {
            of(evidence, &|round| {
                let body = round.aggregate.0.body.clone();
                round.aggregate.0 = key::<SoftwareEnclave>("another enclave").sign(body);
            });
        });
    }
    fails("a report of another round", &[(SLICES, failed)], |evidence| {
        evidence.rounds[2].slices[0].1 = evidence.rounds[1].slices[0].1.clone();
    });
}

/// R127: features may stay between two rounds; after the last one the enclave has wiped them, and says so.
#[test]
fn the_last_round_wipes_its_inputs() {
    let attested = |evidence: &mut Evidence, last: bool, purged: bool| {
        let envelope = evidence.envelope.body.clone();
        let round = if last { &mut evidence.result } else { &mut evidence.rounds[1] };
        let (slice, attestation) = &mut round.slices[0];
        *attestation = attest(&slice_expectation(&envelope, &slice.body, purged));
        let report = Digest::of_bytes(&attestation.report);
        reslice(round, |body| body.report = report);
    };
    fails("kept after the last", &[(SLICES, Code::AttestationFailed)], |evidence| {
        attested(evidence, true, false);
    });
    for purged in [false, true] {
        let mut evidence = good();
        attested(&mut evidence, false, purged);
        assert_eq!(faults(&evidence), [], "between two rounds, purged: {purged}");
    }
}

/// R107, R110: a slice of a round that does not count.
#[test]
fn a_slice_that_does_not_count_fails() {
    let broken = Code::ResultRejected;
    // The report is about the nonce too.
    fails("nonce", &[(HEADERS, broken), (SLICES, Code::AttestationFailed)], |evidence| {
        reslice(&mut evidence.rounds[1], |body| body.nonce = Digest::ZERO);
    });
    fails("more drawn than reserved", &[(HEADERS, broken)], |evidence| {
        reslice(&mut evidence.rounds[1], |body| body.epsilon = Epsilon(2_728_986));
    });
    fails("unsigned", &[(HEADERS, broken)], |evidence| {
        evidence.rounds[1].slices[0].0.body.records = Bucket(1 << 40);
    });
    let alone = [
        (HEADERS, Code::QuorumBroken),
        (ORDER, Code::AggregationFailed),
        (AGGREGATE, Code::AttestationFailed),
    ];
    fails("the quorum of a round in the middle", &alone, |evidence| {
        evidence.rounds[1].slices.truncate(1);
    });
}

/// R098, R101, R114: an aggregate that the plan does not allow, in any round.
#[test]
fn an_aggregate_against_the_plan_fails() {
    let expected = [(ORDER, Code::AggregationFailed)];
    type Change = (&'static str, fn(&mut AggregateHeader));
    let changes: [Change; 3] = [
        ("another task", |body| body.task = TaskId(Digest::ZERO)),
        ("an input less", |body| drop(body.inputs.pop())),
        ("another input", |body| body.inputs[0].1 = Digest::ZERO),
    ];
    for (name, change) in changes {
        fails(name, &expected, |evidence| reaggregate(&mut evidence.rounds[1], change));
    }
    fails("another aggregator", &expected, |evidence| {
        reaggregate(&mut evidence.result, |body| body.aggregator = actor("trainer"));
    });
    fails("an evaluation where none is due", &expected, |evidence| {
        reaggregate(&mut evidence.rounds[0], |body| {
            let Outcome::Step { state, .. } = body.outcome else { panic!("no step") };
            body.outcome = Outcome::Step { state, evaluation: Some(found(1)) };
        });
    });
    fails("released below the threshold", &expected, |evidence| {
        reaggregate(&mut evidence.result, |body| {
            body.outcome = Outcome::Model { model: Digest::ZERO, evaluation: found(499_999) };
        });
    });
    fails("withheld above it", &expected, |evidence| {
        reaggregate(&mut evidence.result, |body| {
            body.outcome = Outcome::Withheld { evaluation: found(500_000) };
        });
    });
}

/// R098: a plan that was changed after the fact is not the one that was ordered and computed.
#[test]
fn evidence_under_another_plan_fails() {
    fails_first("envelope-signature", |evidence| {
        let Plan::Training(plan) = &mut evidence.envelope.body.plan else { panic!("no training") };
        plan.training.accept_from = 0;
    });
    fails_first(HEADERS, |evidence| {
        let mut envelope = evidence.envelope.body.clone();
        let Plan::Training(plan) = &mut envelope.plan else { panic!("no training") };
        plan.training.settings.learning_rate += 1;
        evidence.envelope = key::<Master>("master-1").endorsed(envelope);
    });
}

fn fails_first(check: &str, bend: impl FnOnce(&mut Evidence)) {
    let mut evidence = good();
    bend(&mut evidence);
    assert_eq!(faults(&evidence).first().map(|(check, _)| *check), Some(check));
}

/// R134: the verdict's digest is of all rounds.
#[test]
fn the_verdict_names_every_round() {
    let one = good();
    let mut digests = std::collections::BTreeSet::from([one.digest()]);
    for round in 0..4 {
        let mut other = one.clone();
        other.rounds[round].slices[2].1.boot.push(0);
        assert!(digests.insert(other.digest()), "round {}", round + 1);
    }
}

/// R101, R195: a master asks of one round what the verifier asks of all, at its position and nowhere else.
#[test]
fn a_master_judges_a_round_like_the_verifier() {
    let evidence = good();
    let envelope = &evidence.envelope.body;
    let mut position = Position::FIRST;
    let judge = |position, combined: &Combined| {
        verification::round(&governance(), envelope, position, combined, &appraise).map_err(|(code, _)| code)
    };
    for round in evidence.rounds.iter().chain([&evidence.result]) {
        assert_eq!(judge(position, round), Ok(()), "{position:?}");
        let elsewhere = Position::of(position.round, position.last, Digest::of_bytes(b"another learner"));
        assert_eq!(judge(elsewhere, round), Err(Code::QuorumBroken));
        let mut bare = round.clone();
        bare.aggregate.1.report.clear();
        assert_eq!(judge(position, &bare), Err(Code::AttestationMissing));
        let mut bare = round.clone();
        bare.slices[2].1.report.clear();
        assert_eq!(judge(position, &bare), Err(Code::AttestationMissing));
        let mut released = round.clone();
        reaggregate(&mut released, |body| body.outcome = Outcome::Suppressed);
        assert_eq!(judge(position, &released), Err(Code::AggregationFailed));
        let mut unlike = round.clone();
        unlike.slices.pop();
        assert_eq!(judge(position, &unlike), Err(Code::AggregationFailed));
        if let Some(next) = position.next(planned(envelope), &round.aggregate.0.body.outcome) {
            position = next;
        }
    }
    let hardware = |attestation: &Attestation, about: &_| {
        appraise(attestation, about).map(|appraised| Appraised { software: false, ..appraised })
    };
    assert_eq!(verdict(&governance(), &evidence, &hardware).decision, Decision::Accepted);
}
