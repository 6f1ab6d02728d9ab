//! Threads that an enclave started before its filter: they work, and they are held like the first one.

use std::fs;

use crate::Bench;

/// The status of each thread of a process, by its id.
fn threads(pid: u32) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    tasks.map(|task| fs::read_to_string(task.unwrap().path().join("status")).unwrap()).collect()
}

/// R117, R122, R127: what the kernel says of every thread, seen from outside.
#[test]
fn every_thread_of_an_enclave_is_filtered() {
    let bench = Bench::new();
    let enclave = bench.slice();
    let statuses = threads(enclave.pid());
    assert_eq!(statuses.len(), 4);
    for status in &statuses {
        for line in ["Seccomp:\t2", "Seccomp_filters:\t1", "NoNewPrivs:\t1"] {
            assert!(status.lines().any(|held| held == line), "{line}: {status}");
        }
    }
    assert_eq!(statuses.iter().filter(|status| status.starts_with("Name:\tworker\n")).count(), 3);
    assert_eq!(threads(bench.enclave().pid()).len(), 1);
}

/// R117, R122, R127: also files and sockets, which Landlock and the filter both forbid, and threads of its own.
#[test]
fn a_worker_can_do_none_of_what_an_enclave_must_not() {
    let bench = Bench::new();
    let enclave = bench.slice();
    let attempts = enclave.call(b"attempts of workers").unwrap();
    let attempts: Vec<Vec<(String, bool)>> = bcs::from_bytes(&attempts).unwrap();
    assert_eq!(attempts.len(), 3);
    for (what, forbidden) in attempts.iter().flatten() {
        assert!(forbidden, "the kernel did not forbid a worker to {what}");
    }
    assert!(attempts.iter().all(|tried| tried.len() >= 16));
    assert_eq!(enclave.call(b"still here").unwrap(), b"still here");
}

#[test]
fn workers_run_beside_each_other_under_the_filter() {
    let bench = Bench::new();
    let enclave = bench.slice();
    for _ in 0..50 {
        let met: u64 = bcs::from_bytes(&enclave.call(b"meeting of workers").unwrap()).unwrap();
        assert_eq!(met, 3);
    }
    enclave.respawn().unwrap();
    let met: u64 = bcs::from_bytes(&enclave.call(b"meeting of workers").unwrap()).unwrap();
    assert_eq!(met, 3);
}
