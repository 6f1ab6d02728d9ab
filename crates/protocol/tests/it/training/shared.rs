//! Trainings in the environment of two aggregators (R113): policy chooses it, the same envelope, machine and verifier serve
//! it, and no round counts in which one node holds both shares.

use symphony_protocol::admission::request::terms;
use symphony_protocol::artifact::training::{Environment, ModelKind};
use symphony_protocol::artifact::{AggregateHeader, Decision, Evidence, HelperShare};
use symphony_protocol::lifecycle::{Stage, TaskState};
use symphony_protocol::verification::{findings, verdict};
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::key::SoftwareEnclave;

use super::{course, play, requested};
use crate::attest::appraise;
use crate::flow::assert_nothing_is_left;
use crate::rounds::{self, outcome, planned, propensity, round_aggregate, round_slice, wanted};
use crate::stage::{START, VAULTS, enclave, key, vault};
use crate::world::{Act, Disturbance, Script, governance};

fn shared() -> Script {
    course(|course| course.environment = Environment::Mpc)
}

/// R113, R036: the same training, through every step twice and a crash before every step, to the same end as the calm one.
#[test]
fn a_training_on_shares_settles_whatever_happens() {
    let request = propensity("t1");
    let (calm, task) = play(&request, shared(), Disturbance::default());
    assert_eq!(calm.state.tasks[&task].state(), TaskState::Completed);
    let Stage::Completed { aggregate, .. } = &calm.task(&task).stage else { panic!("not completed") };
    assert!(aggregate.body.helper.is_some());
    assert_eq!(calm.task(&task).envelope.plan.training().unwrap().environment, Environment::Mpc);
    let disturbances = [
        Disturbance { twice: true, ..Disturbance::default() },
        Disturbance { crash_always: true, ..Disturbance::default() },
    ];
    for disturbance in disturbances {
        let (world, _) = play(&request, shared(), disturbance);
        assert_eq!(world.state, calm.state, "{disturbance:?}");
        assert_nothing_is_left(&world);
    }
}

/// R113: the environment of policy is in the plan; and a model that is too large for shares is refused.
#[test]
fn the_environment_is_fixed_at_admission() {
    let mut request = propensity("t1");
    let judged = |request: &_| terms(&governance(Environment::Mpc), request, START).map(|terms| terms.plan);
    let plan = judged(&request).unwrap();
    assert_eq!(plan.training().unwrap().environment, Environment::Mpc);
    // 100 features: 102 numbers a hidden unit, and one more; 49,152 for three Vaults.
    let hidden = |units| ModelKind::Perceptron { hidden: units };
    let most = 49_152 / 3;
    wanted(&mut request).features = vec![wanted(&mut request).features[0].clone(); 100];
    wanted(&mut request).model = hidden(most / 102);
    assert!(judged(&request).is_ok());
    wanted(&mut request).model = hidden(most / 102 + 1);
    assert_eq!(judged(&request).map(drop), Err(Code::SettingOutOfRange));
    assert!(terms(&governance(Environment::Tee), &request, START).is_ok());
}

/// R113: a round says of two aggregators exactly where the plan has two.
#[test]
fn a_round_has_a_second_aggregator_where_the_plan_says_so() {
    let share = HelperShare { share: Digest::ZERO, seed: Digest::ZERO, report: Digest::ZERO };
    for (script, helper) in [(shared(), None), (Script::default(), Some(share))] {
        let (mut world, task) = requested(&propensity("t1"), script);
        world.train_until(&task, 2);
        let (envelope, position) = (world.task(&task).envelope.clone(), world.position(&task));
        let slices = VAULTS.map(|name| round_slice(&envelope, &position, &vault(name))).to_vec();
        let outcome = outcome(planned(&envelope), &position, &script.course);
        let good = round_aggregate(&envelope, &position, &slices, outcome);
        let of = |header| rounds::round(&envelope, &position, slices.clone(), enclave().sign(header));
        let bent = world.rounded(of(AggregateHeader { helper, ..good.body.clone() }));
        assert_eq!(world.order(&bent).unwrap_err().code, Code::AggregationFailed);
        let good = world.rounded(of(good.body));
        assert!(!world.order(&good).unwrap().is_empty());
    }
}

/// A way to spoil evidence.
type Bend = (&'static str, fn(&mut Evidence));

/// R113, R124, R131: the verifier asks for the second aggregator's attestation, and that another node made it.
#[test]
fn evidence_without_a_second_node_fails() {
    let (mut world, task) = requested(&propensity("t1"), Script { verify: Act::Sleep, ..shared() });
    while world.step(false) {}
    let good = world.evidence(&task);
    let governance = governance(Environment::Mpc);
    let faults = |evidence: &Evidence| -> Vec<_> {
        let all = findings(&governance, evidence, &appraise);
        all.into_iter().filter_map(|finding| Some((finding.check, finding.fault?.0))).collect()
    };
    assert_eq!(faults(&good), []);
    assert_eq!(verdict(&governance, &good, &appraise).decision, Decision::Accepted);
    let bends: [Bend; 5] = [
        ("no attestation", |evidence| evidence.rounds[1].helper = None),
        ("an empty attestation", |evidence| evidence.rounds[1].helper.as_mut().unwrap().report.clear()),
        ("the first node again", |evidence| {
            evidence.rounds[1].helper.as_mut().unwrap().boot = b"master-1".to_vec();
        }),
        ("the report of another round", |evidence| {
            evidence.rounds[1].helper = evidence.rounds[2].helper.clone();
        }),
        ("another share", |evidence| {
            let mut body = evidence.rounds[1].aggregate.0.body.clone();
            body.helper.as_mut().unwrap().share = Digest::ZERO;
            evidence.rounds[1].aggregate.0 = enclave().sign(body);
        }),
    ];
    for (name, bend) in bends {
        let mut evidence = good.clone();
        bend(&mut evidence);
        let faults = faults(&evidence);
        assert!(
            matches!(
                faults[..],
                [("aggregate-attestation", Code::AttestationMissing | Code::AttestationFailed)]
            ),
            "{name}: {faults:?}"
        );
    }
    let mut resigned = good;
    resigned.rounds[1].aggregate.0.key = key::<SoftwareEnclave>("another enclave").public();
    assert!(!faults(&resigned).is_empty());
}
