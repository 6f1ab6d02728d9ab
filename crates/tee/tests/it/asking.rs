//! Questions of an enclave to its host, through pipes: what is served, what ends the enclave, and that it comes back.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::kill;
use nix::unistd::Pid;
use symphony_tee::asking::QUESTIONS_MAX;
use symphony_tee::frame::FRAME_BYTES_MAX;
use symphony_tee::host::{EnclaveProcess, HostError};

use crate::Bench;

/// The enclave is gone, and comes back.
fn ended(enclave: &EnclaveProcess, pid: u32) {
    assert!(kill(Pid::from_raw(pid as i32), None).is_err());
    assert!(matches!(enclave.call(b"anybody"), Err(HostError::Ended)));
    enclave.respawn().unwrap();
    assert_eq!(enclave.call(b"back").unwrap(), b"back");
    assert_eq!(enclave.call_serving(b"ask once", &mut |_| b"served".to_vec()).unwrap(), b"served");
}

/// R116: the host replies to each question in its order, in every call anew.
#[test]
fn questions_are_replied_to_in_their_order() {
    let bench = Bench::new();
    let enclave = bench.enclave();
    for call in 0..20_u8 {
        let mut questions = Vec::new();
        let answer = enclave.call_serving(b"ask thrice", &mut |question| {
            questions.push(question.to_vec());
            [&[call], question].concat()
        });
        let replies: [Option<Vec<u8>>; 3] = bcs::from_bytes(&answer.unwrap()).unwrap();
        assert_eq!(questions, [b"1", b"2", b"3"]);
        assert_eq!(replies, [b'1', b'2', b'3'].map(|question| Some(vec![call, question])));
        assert_eq!(enclave.call_serving(b"no question", &mut |_| Vec::new()).unwrap(), b"no question");
    }
}

#[test]
fn a_question_without_a_server_ends_the_enclave() {
    let bench = Bench::new();
    let enclave = bench.enclave();
    let pid = enclave.pid();
    assert!(matches!(enclave.call(b"ask once"), Err(HostError::Asked)));
    ended(&enclave, pid);
}

#[test]
fn as_many_questions_as_a_call_may_have_are_served_and_one_more_ends_the_enclave() {
    let bench = Bench::new();
    let enclave = bench.enclave();
    let (pid, mut asked) = (enclave.pid(), 0);
    let last = enclave.call_serving(b"ask on", &mut |_| {
        asked += 1;
        if asked == QUESTIONS_MAX { b"enough".to_vec() } else { Vec::new() }
    });
    assert_eq!(last.unwrap(), b"enough");
    asked = 0;
    let result = enclave.call_serving(b"ask on", &mut |_| {
        asked += 1;
        Vec::new()
    });
    assert!(matches!(result, Err(HostError::Questions)));
    assert_eq!(asked, QUESTIONS_MAX);
    ended(&enclave, pid);
}

#[test]
fn a_large_reply_passes_and_one_longer_than_a_frame_ends_the_enclave() {
    let bench = Bench::new();
    let enclave = bench.enclave();
    let reply: Vec<u8> = (0..8_u32 << 20).map(|index| (index % 251) as u8).collect();
    assert!(enclave.call_serving(b"ask once", &mut |_| reply.clone()).unwrap() == reply);
    let pid = enclave.pid();
    let long = enclave.call_serving(b"ask once", &mut |_| vec![0; FRAME_BYTES_MAX + 1]);
    assert!(matches!(long, Err(HostError::Frame(_))));
    ended(&enclave, pid);
}

#[test]
fn a_question_over_the_limit_is_not_put_and_the_next_one_is() {
    let bench = Bench::new();
    let enclave = bench.enclave();
    let answer = enclave.call_serving(b"ask long", &mut |question| [question, b" reply"].concat());
    assert_eq!(answer.unwrap(), b"short reply");
}

#[test]
fn the_deadline_is_one_for_all_questions_of_a_call() {
    let bench = Bench::new();
    let enclave = bench.enclave().with_deadline(Duration::from_millis(300));
    let (pid, mut asked, began) = (enclave.pid(), 0, Instant::now());
    let result = enclave.call_serving(b"ask on", &mut |_| {
        asked += 1;
        std::thread::park_timeout(Duration::from_millis(50));
        Vec::new()
    });
    assert!(matches!(result, Err(HostError::Deadline(_))));
    assert!(asked >= 1 && began.elapsed() >= Duration::from_millis(300));
    assert!(kill(Pid::from_raw(pid as i32), None).is_err());
    assert!(matches!(enclave.call(b"anybody"), Err(HostError::Ended)));
}

/// Nothing half said is left to be taken for the answer to the next call.
#[test]
fn a_server_that_panics_ends_the_enclave() {
    let bench = Bench::new();
    let enclave = bench.enclave();
    let pid = enclave.pid();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        enclave.call_serving(b"ask once", &mut |_| panic!("no such segment"))
    }));
    assert!(panicked.is_err());
    ended(&enclave, pid);
}

/// R117: an enclave that waits for a reply does not outlive its host. This test starts itself as that host.
#[test]
fn an_enclave_ends_with_a_host_that_dies_before_its_reply() {
    if let Some(file) = std::env::var_os(DYING) {
        let bench = Bench::new();
        let enclave = bench.enclave();
        let pid = enclave.pid().to_string();
        let _ = enclave.call_serving(b"ask once", &mut |_| {
            fs::write(Path::new(&file), &pid).unwrap();
            std::process::abort()
        });
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let mut host = Command::new(std::env::current_exe().unwrap());
    host.args(["--exact", "asking::an_enclave_ends_with_a_host_that_dies_before_its_reply"]);
    host.env(DYING, &file).stdout(Stdio::null()).stderr(Stdio::null());
    assert!(!host.status().unwrap().success());
    let pid = fs::read_to_string(file).unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    while lives(&pid) {
        assert!(Instant::now() < until, "the enclave {pid} outlives its host");
        std::thread::yield_now();
    }
}

/// Whether a process runs, and is not only waiting to be waited for.
fn lives(pid: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status"));
    status.is_ok_and(|status| !status.lines().any(|line| line.starts_with("State:\tZ")))
}

const DYING: &str = "SYMPHONY_TEST_DYING_HOST";
