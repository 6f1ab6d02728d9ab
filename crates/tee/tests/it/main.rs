//! A real enclave process: what it cannot do, what survives its death, and what its reports are worth.
#![allow(clippy::unwrap_used)]

mod asking;
mod hardware;
mod workers;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use symphony_tee::appraise::{AppraisalPolicy, Expected, Reason, appraise, appraise_boot};
use symphony_tee::boot::{Boot, Identity};
use symphony_tee::hardware::HardwareAdmitted;
use symphony_tee::host::{EnclaveProcess, HostError};
use symphony_tee::keys::PlatformSeed;
use symphony_tee::machine::EnclaveMachine;
use symphony_tee::measure;
use symphony_tee::report::{AGGREGATE_STEP, EnclaveRole, SignedReport};
use symphony_types::digest::Digest;
use symphony_types::id::{ActorId, NodeId, TaskId};

const PROBE: &str = env!("CARGO_BIN_EXE_tee-probe");

struct Bench {
    folder: tempfile::TempDir,
    seed: PlatformSeed,
}

impl Bench {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), seed: PlatformSeed::generate().unwrap() }
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("enclave.log")
    }

    fn boot(&self) -> Boot {
        Boot {
            identity: Identity {
                chain: "test".into(),
                node: NodeId::new("master-1").unwrap(),
                actor: ActorId::new("aggregator").unwrap(),
                role: EnclaveRole::Aggregator,
            },
            machine: EnclaveMachine::Software(self.seed.clone()),
            nonce: Digest([5; 32]),
            sealed_keys: None,
            ready: Vec::new(),
        }
    }

    fn enclave(&self) -> EnclaveProcess {
        EnclaveProcess::spawn(Path::new(PROBE), self.boot(), &self.log()).unwrap()
    }

    /// One with workers.
    fn slice(&self) -> EnclaveProcess {
        let mut boot = self.boot();
        boot.identity.role = EnclaveRole::Slice;
        EnclaveProcess::spawn(Path::new(PROBE), boot, &self.log()).unwrap()
    }

    fn policy(&self) -> AppraisalPolicy {
        AppraisalPolicy {
            chain: "test".into(),
            measurements: BTreeSet::from([measure::program(Path::new(PROBE)).unwrap()]),
            platforms: BTreeMap::from([(self.seed.platform(), self.seed.public())]),
            revoked_platforms: BTreeSet::new(),
            software_admitted: true,
            hardware: HardwareAdmitted::NONE,
        }
    }
}

fn expected() -> Expected {
    Expected {
        task: TaskId(Digest([1; 32])),
        step: AGGREGATE_STEP.into(),
        nonce: Digest([2; 32]),
        input_root: Some(Digest([3; 32])),
        output: Digest([4; 32]),
        actor: ActorId::new("aggregator").unwrap(),
        role: EnclaveRole::Aggregator,
        module: None,
        purged: true,
    }
}

fn work(enclave: &EnclaveProcess) -> SignedReport {
    bcs::from_bytes(&enclave.call(b"work").unwrap()).unwrap()
}

/// R117, R122, R127: nothing can leave but through the pipe.
#[test]
fn an_enclave_can_do_none_of_what_it_must_not() {
    let bench = Bench::new();
    let enclave = bench.enclave();
    let attempts: Vec<(String, bool)> = bcs::from_bytes(&enclave.call(b"attempts").unwrap()).unwrap();
    assert!(attempts.len() >= 16);
    for (what, forbidden) in attempts {
        assert!(forbidden, "the kernel did not forbid the enclave to {what}");
    }
    let variables: u64 = bcs::from_bytes(&enclave.call(b"environment").unwrap()).unwrap();
    assert_eq!(variables, 0);
    assert_eq!(enclave.call(b"still here").unwrap(), b"still here");
}

/// R130: what holds is what the kernel says, seen from outside.
#[test]
fn the_lockdown_is_reported_as_it_is() {
    let bench = Bench::new();
    let enclave = bench.enclave();
    let held = enclave.lockdown();
    assert!(held.no_new_privs && held.undumpable && held.no_core && held.dies_with_host);
    assert_eq!(held.namespaces.len() + held.refused.len(), 4, "{held:?}");
    let status = std::fs::read_to_string(format!("/proc/{}/status", enclave.pid())).unwrap();
    assert!(status.lines().any(|line| line == "Seccomp:\t2"), "{status}");
    assert!(status.lines().any(|line| line == "NoNewPrivs:\t1"), "{status}");
    assert!(status.lines().any(|line| line == "Threads:\t1"), "{status}");
}

/// R116, R121, R123, R124
#[test]
fn the_reports_of_a_real_enclave_are_accepted() {
    let bench = Bench::new();
    let enclave = bench.enclave();
    let report = work(&enclave);
    assert_eq!(appraise_boot(&enclave.boot(), &bench.policy(), EnclaveRole::Aggregator), Ok(()));
    assert_eq!(appraise(&enclave.boot(), &report, &bench.policy(), &expected()), Ok(()));
    assert_eq!(enclave.boot().body.nonce, Digest([5; 32]));
    assert!(!report.body.memory_locked);
}

/// R120, R124, R125, R130
#[test]
fn a_real_report_fails_a_wrong_nonce_an_unknown_program_and_a_production_policy() {
    let bench = Bench::new();
    let enclave = bench.enclave();
    let report = work(&enclave);
    let judge = |policy: &AppraisalPolicy, expected: &Expected| {
        appraise(&enclave.boot(), &report, policy, expected).unwrap_err()
    };
    let stale = Expected { nonce: Digest([9; 32]), ..expected() };
    assert_eq!(judge(&bench.policy(), &stale), [Reason::Nonce]);
    let unknown = AppraisalPolicy { measurements: BTreeSet::new(), ..bench.policy() };
    assert_eq!(judge(&unknown, &expected()), [Reason::MeasurementUnknown]);
    let production = AppraisalPolicy { software_admitted: false, ..bench.policy() };
    assert_eq!(judge(&production, &expected()), [Reason::SoftwareRefused]);
    assert_eq!(
        appraise_boot(&enclave.boot(), &production, EnclaveRole::Aggregator),
        Err(vec![Reason::SoftwareRefused])
    );
}

/// R121, R122: a killed enclave continues a task under way.
#[test]
fn a_killed_enclave_comes_back_with_the_same_keys() {
    let bench = Bench::new();
    let enclave = bench.enclave();
    let (boot, pid, dedupe) = (enclave.boot(), enclave.pid(), enclave.call(b"dedupe").unwrap());
    kill(Pid::from_raw(pid as i32), Signal::SIGKILL).unwrap();
    assert!(matches!(enclave.call(b"work"), Err(HostError::Ended)));
    assert!(matches!(enclave.call(b"work"), Err(HostError::Ended)));
    enclave.respawn().unwrap();
    assert_ne!(enclave.pid(), pid);
    assert_eq!(enclave.boot(), boot);
    assert_eq!(enclave.call(b"dedupe").unwrap(), dedupe);
    assert_eq!(appraise(&boot, &work(&enclave), &bench.policy(), &expected()), Ok(()));
}

/// R122: the sealed keys alone carry an enclave over a restart of its host, and a new nonce makes a new report.
#[test]
fn sealed_keys_serve_a_later_host() {
    let bench = Bench::new();
    let first = bench.enclave();
    let (sealed, boot) = (first.sealed_keys(), first.boot().body);
    drop(first);
    let again = Boot { sealed_keys: Some(sealed), nonce: Digest([6; 32]), ..bench.boot() };
    let second = EnclaveProcess::spawn(Path::new(PROBE), again, &bench.log()).unwrap();
    assert_eq!(second.boot().body.hpke_key, boot.hpke_key);
    assert_eq!(second.boot().body.signing_key, boot.signing_key);
    assert_eq!(second.boot().body.nonce, Digest([6; 32]));
}

/// R122
#[test]
fn two_first_boots_have_nothing_in_common_but_code_and_machine() {
    let bench = Bench::new();
    let (one, two) = (bench.enclave(), bench.enclave());
    let (left, right) = (one.boot().body, two.boot().body);
    assert_ne!(left.hpke_key, right.hpke_key);
    assert_ne!(left.signing_key, right.signing_key);
    assert_ne!(one.call(b"dedupe").unwrap(), two.call(b"dedupe").unwrap());
    assert_eq!((left.measurement, left.platform), (right.measurement, right.platform));
}

/// R121, R125
#[test]
fn keys_of_another_machine_or_enclave_do_not_boot() {
    let bench = Bench::new();
    let sealed = Some(bench.enclave().sealed_keys());
    let mut elsewhere = Boot { sealed_keys: sealed.clone(), ..Bench::new().boot() };
    let refused = |boot: Boot| {
        let result = EnclaveProcess::spawn(Path::new(PROBE), boot, &bench.log());
        matches!(result, Err(HostError::Refused(reason)) if reason.contains("sealed keys"))
    };
    assert!(refused(elsewhere.clone()));
    elsewhere = Boot { sealed_keys: sealed, ..bench.boot() };
    elsewhere.identity.actor = ActorId::new("other").unwrap();
    assert!(refused(elsewhere));
}

/// R117, R127: a crash ends the enclave, and its log does not quote the data.
#[test]
fn a_crash_leaks_nothing_into_the_log() {
    let bench = Bench::new();
    let enclave = bench.enclave();
    assert!(matches!(enclave.call(b"panic"), Err(HostError::Ended)));
    let log = std::fs::read_to_string(bench.log()).unwrap();
    assert!(log.contains("enclave stopped at"), "{log}");
    assert!(!log.contains("secret"), "{log}");
    enclave.respawn().unwrap();
    assert_eq!(enclave.call(b"back").unwrap(), b"back");
}

#[test]
fn a_late_enclave_is_ended() {
    let bench = Bench::new();
    let enclave = bench.enclave().with_deadline(Duration::from_millis(50));
    let pid = Pid::from_raw(enclave.pid() as i32);
    assert!(matches!(enclave.call(b"hang"), Err(HostError::Deadline(_))));
    assert!(kill(pid, None).is_err());
}

#[test]
fn an_enclave_ends_with_its_owner() {
    let bench = Bench::new();
    let enclave = bench.enclave();
    let pid = Pid::from_raw(enclave.pid() as i32);
    drop(enclave);
    assert!(kill(pid, None).is_err());
}

#[test]
fn a_program_that_is_no_enclave_does_not_boot() {
    let bench = Bench::new();
    let spawn = |program: &str| EnclaveProcess::spawn(Path::new(program), bench.boot(), &bench.log());
    assert!(matches!(spawn("/bin/true"), Err(HostError::Ended)));
    assert!(matches!(spawn("/bin/cat"), Err(HostError::Malformed)));
    assert!(matches!(spawn("/nowhere"), Err(HostError::Spawn(_))));
}

#[test]
fn a_large_frame_passes_both_ways() {
    let bench = Bench::new();
    let enclave = bench.enclave();
    let body: Vec<u8> = (0..8_u32 << 20).map(|index| (index % 251) as u8).collect();
    assert!(enclave.call(&body).unwrap() == body);
}
