//! The real program under its lock-down: a training over three Vaults, through pipes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::rc::Rc;

use symphony_protocol::artifact::Outcome;
use symphony_tee::boot::{Boot, Identity};
use symphony_tee::host::EnclaveProcess;
use symphony_tee::keys::PlatformSeed;
use symphony_tee::measure;
use symphony_tee::report::EnclaveRole;
use symphony_types::digest::Digest;
use symphony_types::id::{ActorId, NodeId};

use crate::course::{Course, plan};
use crate::stage::{Enclave, vault};

const PROGRAM: &str = env!("CARGO_BIN_EXE_symphony-enclave");

fn start(
    seed: &PlatformSeed,
    role: EnclaveRole,
    actor: &str,
    folder: &Path,
) -> (Rc<EnclaveProcess>, Enclave) {
    let identity = Identity {
        chain: "test".into(),
        node: NodeId::new("node").unwrap(),
        actor: ActorId::new(actor).unwrap(),
        role,
    };
    let boot = Boot { identity, platform_seed: seed.clone(), nonce: Digest::ZERO, sealed_keys: None };
    let process = EnclaveProcess::spawn(Path::new(PROGRAM), boot, &folder.join(actor)).unwrap();
    let process = Rc::new(process);
    let caller = process.clone();
    let enclave = Enclave::new(process.boot().clone(), move |request| caller.call(request).unwrap());
    (process, enclave)
}

/// R097, R102, R122: no thread may be started under the lock-down, and a training still goes to its end, over a
/// restart of a Vault's enclave.
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
    let start = |role, actor: &str| start(&seed, role, actor, folder.path());
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
    for process in slices.iter().chain([&aggregator]) {
        let status = fs::read_to_string(format!("/proc/{}/status", process.pid())).unwrap();
        assert!(status.lines().any(|line| line == "Threads:\t1"), "{status}");
    }
    slices[1].respawn().unwrap();
    let lefts = course.rest();
    assert_eq!(lefts.len(), 3);
    assert!(matches!(lefts[2].header.body.outcome, Outcome::Model { .. }));
}
