//! The real program under its lock-down, through pipes: a training over three Vaults, and the memory of a large round.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::rc::Rc;

use symphony_enclave::Workers;
use symphony_protocol::artifact::Outcome;
use symphony_protocol::artifact::training::ModelKind;
use symphony_tee::boot::{Boot, Identity};
use symphony_tee::host::EnclaveProcess;
use symphony_tee::keys::PlatformSeed;
use symphony_tee::machine::EnclaveMachine;
use symphony_tee::measure;
use symphony_tee::report::EnclaveRole;
use symphony_types::digest::Digest;
use symphony_types::id::{ActorId, NodeId};
use symphony_wire::enclave::Answer;

use crate::course::{Course, plan, records};
use crate::modules::{Scene, ready};
use crate::stage::{Enclave, name_of, slice, vault};

const PROGRAM: &str = env!("CARGO_BIN_EXE_symphony-enclave");

fn start(
    seed: &PlatformSeed,
    role: EnclaveRole,
    actor: &str,
    folder: &Path,
    ready: Vec<u8>,
) -> (Rc<EnclaveProcess>, Enclave) {
    let identity = Identity {
        chain: "test".into(),
        node: NodeId::new("node").unwrap(),
        actor: ActorId::new(actor).unwrap(),
        role,
    };
    let boot = Boot {
        identity,
        machine: EnclaveMachine::Software(seed.clone()),
        nonce: Digest::ZERO,
        sealed_keys: None,
        ready,
    };
    let process = EnclaveProcess::spawn(Path::new(PROGRAM), boot, &folder.join(actor)).unwrap();
    let process = Rc::new(process);
    let caller = process.clone();
    let enclave = Enclave::new(process.boot(), move |request| caller.call(request).unwrap());
    (process, enclave)
}

/// How many threads a process has, all of them under the filter.
fn filtered(process: &EnclaveProcess) -> usize {
    let tasks = fs::read_dir(format!("/proc/{}/task", process.pid())).unwrap();
    let held = tasks.map(|task| {
        let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        assert!(status.lines().any(|line| line == "Seccomp:\t2"), "{status}");
    });
    held.count()
}

/// Workers of a slice executor on this machine.
fn beside() -> usize {
    match Workers::wanted() {
        1 => 0,
        more => more,
    }
}

/// R097, R102, R122: no thread may be started under the lock-down, those from before are held by it, and a training still goes
/// to its end, over a restart of a Vault's enclave.
#[test]
fn a_training_runs_in_locked_down_processes() {
    let folder = tempfile::tempdir().unwrap();
    let seed = PlatformSeed::generate().unwrap();
    let measurement = measure::program(Path::new(PROGRAM)).unwrap();
    let mut course = Course::new(plan());
    let policy = &mut course.stage.policy;
    policy.measurements = BTreeSet::from([measurement]);
    policy.platforms = BTreeMap::from([(seed.platform(), seed.public())]);
    course.envelope.coordination.measurements = vec![measurement];
    let start = |role, actor: &str| start(&seed, role, actor, folder.path(), vec![]);
    let (aggregator, enclave) = start(EnclaveRole::Aggregator, "aggregator");
    course.stage.aggregator = enclave;
    let mut slices = Vec::new();
    for number in 1..=3 {
        let (process, enclave) = start(EnclaveRole::Slice, &format!("operator-{number}"));
        course.stage.slices.insert(vault(number), enclave);
        slices.push(process);
    }
    let vaults = course.vaults();
    course.round(&vaults);
    slices.iter().for_each(|process| assert_eq!(filtered(process), 1 + beside()));
    assert_eq!(filtered(&aggregator), 1);
    slices[1].respawn().unwrap();
    assert_eq!(filtered(&slices[1]), 1 + beside());
    let lefts = course.rest();
    assert_eq!(lefts.len(), 3);
    assert!(matches!(lefts[2].header.body.outcome, Outcome::Model { .. }));
}

/// R094, R122: a module is compiled before the lock-down and runs under it, on both engines; started again, the enclave has it
/// again, under the same keys.
#[test]
fn a_module_runs_in_a_locked_down_process() {
    let folder = tempfile::tempdir().unwrap();
    let seed = PlatformSeed::generate().unwrap();
    let measurement = measure::program(Path::new(PROGRAM)).unwrap();
    let mut scene = Scene::new("histogram");
    scene.stage.policy.measurements.insert(measurement);
    scene.stage.policy.platforms.insert(seed.platform(), seed.public());
    scene.envelope.coordination.measurements.push(measurement);
    let (process, enclave) = start(&seed, EnclaveRole::Slice, "operator-1", folder.path(), vec![]);
    scene.stage.slices.insert(vault(1), enclave);
    let first = vault(1);
    assert!(matches!(scene.slice(&first, false), Answer::ModuleWanted));
    process.respawn_with(ready(&["histogram"])).unwrap();
    let expected = scene.result(false);
    process.respawn().unwrap();
    assert_eq!(scene.result(true), expected, "a review has the same answer");
    assert_eq!(expected.groups[0].cells, scene.expected());
}

/// What a process holds of memory. **Units**: bytes.
fn held(process: &EnclaveProcess) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", process.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1_024
}

/// Bytes of a piece.
const PIECE: usize = 1 << 19;

/// R099: while parts come, an aggregator holds one vector of sums and a few pieces, whatever the number of Vaults.
#[test]
fn an_aggregator_holds_one_vector_of_sums() {
    let folder = tempfile::tempdir().unwrap();
    let seed = PlatformSeed::generate().unwrap();
    let measurement = measure::program(Path::new(PROGRAM)).unwrap();
    let mut large = plan();
    large.training.model = ModelKind::Clusters { clusters: 1_024 };
    large.training.features = vec![large.training.features[1].clone(); 1_950];
    large.training.label = None;
    let model = large.training.shape().coordinates() * size_of::<i64>();
    assert!(model > 15_000_000);
    let mut course = Course::new(large);
    for number in 1..=8 {
        course.stage.slices.insert(vault(number), slice(number));
        course.records.insert(vault(number), records(number, 20));
    }
    course.envelope.coordination.participating_vault_ids = course.vaults();
    course.envelope.coordination.measurements.push(measurement);
    course.stage.policy.measurements.insert(measurement);
    course.stage.policy.platforms.insert(seed.platform(), seed.public());
    let (aggregator, enclave) = start(&seed, EnclaveRole::Aggregator, "aggregator", folder.path(), vec![]);
    course.stage.aggregator = enclave;
    let order = course.stage.master.endorsed(course.order(&course.vaults()));
    let before = held(&aggregator);
    let mut after = Vec::new();
    for vault in course.vaults() {
        let part = course.part(&order, &vault);
        assert_eq!(part.pieces.len(), 31);
        for piece in 0..part.pieces.len() {
            let answer = course.stage.aggregator.call(&course.piece_call(&order, (&vault, &part), piece));
            assert!(matches!(answer, Answer::Added), "{}", name_of(&answer));
        }
        after.push(held(&aggregator));
    }
    let held: Vec<_> = after.iter().map(|bytes| bytes - before).collect();
    // What an allocator keeps differs from run to run; the parts of eight Vaults are eight models.
    assert!(held.iter().all(|held| *held < model + 16 * PIECE), "{held:?}");
}
