//! A real guard process: what it signs, what survives SIGKILL in both admissions, and what cannot end it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test panics rather than returning errors")]

mod stage;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::thread;

use symphony_consensus::quorum::block::{BLOCK_BYTES_MAX, name};
use symphony_consensus::quorum::committee::{Seat, Step};
use symphony_consensus::quorum::guard::{Kept, Memory, Refusal, VoteGuard as _};
use symphony_consensus::quorum::socket::{Admission, Class, FRAME_BYTES_MAX, RemoteGuard};
use symphony_types::canonical;
use symphony_types::digest::Digest;

use stage::{A, B, Bench, admitted, ask, founding, key, precommit, rotated};

/// R198: a trusted guard is the same guard after SIGKILL, and bound by all that it signed before.
#[test]
fn a_trusted_guard_resumes_and_refuses_what_it_must() {
    let bench = Bench::new("trusted");
    let running = bench.start();
    assert_eq!(running.ready, "guard of master-1 ready: class software, admission trusted, founding key\n");
    let mut host = bench.host();
    let identity = host.identity().unwrap();
    assert_eq!((identity.key, &identity.boot), (key(0).public(), &None));
    let prevote = host.sign(&ask(5, 1, Step::Prevote, A)).unwrap();
    let given = host.sign(&precommit(5, 1, A)).unwrap();
    let memory = host.memory().unwrap();
    running.kill();
    assert_eq!(host.identity(), Err(Refusal::Unreachable));

    let running = bench.start();
    assert!(running.ready.ends_with("resumed key\n"), "{}", running.ready);
    assert_eq!(host.identity().unwrap(), identity);
    assert_eq!(host.memory().unwrap(), memory);
    assert_eq!(host.sign(&ask(5, 1, Step::Prevote, A)).unwrap(), prevote);
    assert_eq!(host.sign(&precommit(5, 1, A)).unwrap(), given);
    assert_eq!(host.sign(&ask(5, 1, Step::Prevote, B)), Err(Refusal::Equivocation));
    assert_eq!(host.sign(&precommit(5, 1, B)), Err(Refusal::Equivocation));
    assert_eq!(host.sign(&ask(5, 0, Step::Prevote, A)), Err(Refusal::Backwards));
    assert_eq!(host.sign(&ask(4, 0, Step::Prevote, A)), Err(Refusal::Backwards));
    assert_eq!(host.sign(&ask(5, 2, Step::Prevote, B)), Err(Refusal::Locked));
    host.sign(&ask(5, 2, Step::Prevote, A)).unwrap();
    assert_eq!(host.memory().unwrap().lock, memory.lock);
}

/// R196, R198: a trusted guard has the block of its lock and its polka after SIGKILL, of any size, and what a host
/// wants kept of a height that is over or above the limit is refused.
#[test]
fn a_trusted_guard_still_has_the_block_that_it_is_locked_on() {
    let bench = Bench::new("trusted");
    let running = bench.start();
    let mut host = bench.host();
    let kept = |height: u64, byte: u8, length: usize| {
        let block = vec![byte; length];
        let polka = precommit(height, 0, Some(name(&block))).polka.unwrap();
        Kept { polka, block }
    };
    let locked = kept(5, 1, BLOCK_BYTES_MAX);
    host.keep(&locked).unwrap();
    host.sign(&precommit(5, 0, Some(locked.polka.block))).unwrap();
    for byte in 2..5 {
        host.keep(&kept(5, byte, BLOCK_BYTES_MAX)).unwrap();
    }
    assert_eq!(host.keep(&kept(5, 6, BLOCK_BYTES_MAX + 1)), Err(Refusal::TooLarge));
    assert_eq!(host.keep(&kept(4, 7, 1)), Err(Refusal::Backwards));
    let both = vec![locked.clone(), kept(5, 4, BLOCK_BYTES_MAX)];
    assert_eq!(host.kept().unwrap(), both);
    running.kill();

    let running = bench.start();
    assert_eq!(host.kept().unwrap(), both);
    host.keep(&kept(6, 8, 1)).unwrap();
    host.sign(&precommit(6, 0, Some(kept(6, 8, 1).polka.block))).unwrap();
    running.kill();
    let _running = bench.start();
    assert_eq!(host.kept().unwrap(), vec![kept(6, 8, 1)]);
}

/// R198, R205: a strict guard is another one after every restart, and has no vote until the cluster gives it one.
#[test]
fn a_strict_guard_comes_back_with_a_new_key_and_no_vote() {
    let bench = Bench::new("strict");
    let running = bench.start();
    assert!(running.ready.ends_with("class software, admission strict, founding key\n"), "{}", running.ready);
    let mut host = bench.host();
    host.sign(&ask(5, 1, Step::Prevote, A)).unwrap();
    let mut keys = vec![host.identity().unwrap().key];
    let mut nonces = Vec::new();
    running.kill();
    for _ in 0..3 {
        let running = bench.start();
        assert!(running.ready.ends_with("new key\n"), "{}", running.ready);
        let identity = host.identity().unwrap();
        let boot = identity.boot.unwrap();
        assert_eq!((boot.body.key, boot.body.cluster), (identity.key, founding().cluster));
        assert!(!keys.contains(&identity.key) && !nonces.contains(&boot.body.nonce));
        keys.push(identity.key);
        nonces.push(boot.body.nonce);
        assert_eq!(host.memory().unwrap(), Memory::default());
        assert_eq!(host.sign(&ask(6, 0, Step::Prevote, A)), Err(Refusal::NoVote));
        let committee = admitted(&mut host, 5);
        host.install(&committee).unwrap();
        assert_eq!(host.sign(&ask(5, 1, Step::Prevote, B)), Err(Refusal::NoVote));
        host.sign(&ask(6, 0, Step::Prevote, A)).unwrap();
        running.kill();
    }
    let mut left: Vec<_> =
        fs::read_dir(bench.path("state")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["founded", "lock"]);
    assert_eq!(fs::read(bench.path("state/founded")).unwrap(), b"");
}

/// R198, R212: without a whole state there is no old key, whatever is missing of it.
#[test]
fn a_damaged_state_means_a_new_key() {
    type Harm = fn(&mut Vec<u8>);
    let harms: [(&str, Option<Harm>); 5] = [
        ("missing", None),
        ("empty", Some(Vec::clear)),
        ("torn", Some(|bytes| bytes.truncate(bytes.len() / 2))),
        ("flipped", Some(|bytes| bytes[100] ^= 4)),
        ("a byte longer", Some(|bytes| bytes.push(0))),
    ];
    for file in ["state/state", "state/votes.1"] {
        for (what, harm) in harms {
            let bench = Bench::new("trusted");
            let running = bench.start();
            bench.host().sign(&ask(5, 1, Step::Prevote, A)).unwrap();
            running.kill();
            let path = bench.path(file);
            let mut bytes = fs::read(&path).unwrap();
            fs::remove_file(&path).unwrap();
            if let Some(harm) = harm {
                harm(&mut bytes);
                fs::write(&path, &bytes).unwrap();
            }
            comes_back_with_a_new_key(&bench, &format!("{file} {what}"));
        }
    }
}

fn comes_back_with_a_new_key(bench: &Bench, what: &str) {
    // Put back by an operator who thinks that this helps.
    bench.put_founding_seed();
    let running = bench.start();
    let said = if what == "state/state missing" { "new key\n" } else { "new key for a damaged state\n" };
    assert!(running.ready.ends_with(said), "{what}: {}", running.ready);
    let mut host = bench.host();
    assert_eq!(host.sign(&ask(5, 1, Step::Prevote, B)), Err(Refusal::NoVote), "{what}");
    let identity = host.identity().unwrap();
    assert_ne!(identity.key, key(0).public(), "{what}");
    let committee = admitted(&mut host, 5);
    host.install(&committee).unwrap();
    host.sign(&ask(6, 0, Step::Prevote, A)).unwrap();
    running.kill();
    // The new key is kept like the first, with its committee.
    let _running = bench.start();
    assert_eq!(host.identity().unwrap(), identity, "{what}");
    assert_eq!(host.sign(&ask(6, 0, Step::Prevote, B)), Err(Refusal::Equivocation), "{what}");
    assert!(!bench.path("founding.seed").exists(), "{what}");
}

/// R198: the founding key serves one life, and its seed is gone once that is noted.
#[test]
fn the_founding_seed_is_taken_once() {
    for admission in ["strict", "trusted"] {
        let bench = Bench::new(admission);
        let running = bench.start();
        assert!(!bench.path("founding.seed").exists());
        running.kill();
        let _ = fs::remove_file(bench.path("state/state"));
        bench.put_founding_seed();
        let running = bench.start();
        assert!(running.ready.ends_with("new key\n"), "{}", running.ready);
        assert!(!bench.path("founding.seed").exists());
    }
}

/// R198: a crash of the first start, after the state and before the mark: the state counts, not the seed.
#[test]
fn a_state_without_a_mark_is_resumed() {
    let bench = Bench::new("trusted");
    let running = bench.start();
    let mut host = bench.host();
    host.sign(&ask(1, 0, Step::Prevote, A)).unwrap();
    running.kill();
    fs::remove_file(bench.path("state/founded")).unwrap();
    bench.put_founding_seed();
    let running = bench.start();
    assert!(running.ready.ends_with("resumed key\n"), "{}", running.ready);
    assert_eq!(host.sign(&ask(1, 0, Step::Prevote, B)), Err(Refusal::Equivocation));
    assert!(bench.path("state/founded").exists() && !bench.path("founding.seed").exists());
}

/// R198: whoever changes to `strict` leaves no key behind, and whoever changes back gets none.
#[test]
fn a_change_of_admission_takes_a_new_key() {
    let bench = Bench::new("trusted");
    bench.start().kill();
    bench.admit("strict");
    let running = bench.start();
    assert!(running.ready.ends_with("admission strict, new key\n"), "{}", running.ready);
    assert!(!bench.path("state/state").exists());
    running.kill();
    bench.admit("trusted");
    let running = bench.start();
    assert!(running.ready.ends_with("admission trusted, new key\n"), "{}", running.ready);
}

/// R198, R211: SIGKILL while it signs, again and again: every signature that left is remembered.
#[test]
fn no_signature_leaves_before_it_is_kept() {
    let bench = Bench::new("trusted");
    let mut host = bench.host();
    let mut left = Vec::new();
    for life in 0..10_u32 {
        let mut running = bench.start();
        for (round, signature) in &left {
            assert_eq!(host.sign(&ask(1, *round, Step::Prevote, A)).as_ref(), Ok(signature), "round {round}");
            assert_eq!(host.sign(&ask(1, *round, Step::Prevote, B)), Err(Refusal::Equivocation));
        }
        let (go, wait) = mpsc::channel();
        let killer = thread::spawn(move || {
            wait.recv().unwrap();
            running.child.kill().unwrap();
            running
        });
        // The last slot may be signed on disk without its signature having left.
        let first = life * 1_000;
        for round in first.. {
            if round == first + 1 + life % 3 {
                go.send(()).unwrap();
            }
            match host.sign(&ask(1, round, Step::Prevote, A)) {
                Ok(signature) => left.push((round, signature)),
                Err(refusal) => {
                    assert_eq!(refusal, Refusal::Unreachable);
                    break;
                }
            }
        }
        killer.join().unwrap().kill();
        // The memory holds the last 96 slots of a height.
        let known = left.len().saturating_sub(40);
        left.drain(..known);
    }
}

/// R211: while the disk does not take the state, nothing leaves; afterwards the same signature does.
#[test]
fn a_guard_that_cannot_keep_its_word_gives_none() {
    let bench = Bench::new("trusted");
    let running = bench.start();
    let mut host = bench.host();
    fs::create_dir(bench.path("state/state.part")).unwrap();
    // A changed committee takes a whole state.
    assert_eq!(host.install(&rotated()), Err(Refusal::Unreachable));
    for _ in 0..2 {
        assert_eq!(host.sign(&ask(1, 0, Step::Prevote, A)), Err(Refusal::Unreachable));
        assert_eq!(host.memory(), Err(Refusal::Unreachable));
    }
    assert_eq!(host.sign(&ask(1, 0, Step::Prevote, B)), Err(Refusal::Equivocation));
    fs::remove_dir(bench.path("state/state.part")).unwrap();
    let signature = host.sign(&ask(1, 0, Step::Prevote, A)).unwrap();
    assert_eq!(host.memory().unwrap().signed, [(0, Step::Prevote, A, signature)]);
    let log = bench.log();
    assert!(log.contains("state not kept"), "{log}");
    running.kill();
    let _running = bench.start();
    assert_eq!(host.memory().unwrap().signed, [(0, Step::Prevote, A, signature)]);
    // The committee came back too: from height 2 on, the key that seat 1 had before is no prevote of a polka.
    assert_eq!(host.sign(&precommit(2, 0, A)), Err(Refusal::BadPolka));
}

/// R198: no bytes on the socket end the guard.
#[test]
fn rubbish_does_not_end_the_process() {
    let bench = Bench::new("strict");
    let mut running = bench.start();
    let mut host = bench.host();
    let given = host.sign(&ask(1, 0, Step::Prevote, A)).unwrap();
    let oversize = (FRAME_BYTES_MAX as u32 + 1).to_le_bytes().to_vec();
    for bytes in
        [b"rubbish, and more of it".to_vec(), oversize, vec![1], vec![9, 0, 0, 0, 1], vec![0xff; 200_000]]
    {
        let mut stranger = UnixStream::connect(bench.path("run/guard.sock")).unwrap();
        // It may hang up before all is sent.
        let _ = stranger.write_all(&bytes);
        let _ = stranger.shutdown(Shutdown::Write);
        let _ = stranger.read_to_end(&mut Vec::new());
        assert_eq!(host.sign(&ask(1, 0, Step::Prevote, A)).unwrap(), given);
    }
    assert!(running.child.try_wait().unwrap().is_none());
}

/// R205: a guard serves its own seat of its own cluster, and starts for no other.
#[test]
fn another_cluster_seat_or_platform_is_refused() {
    let bench = Bench::new("trusted");
    let running = bench.start();
    let socket = bench.path("run/guard.sock");
    let mut other = RemoteGuard::new(&socket, Digest([9; 32]), Seat(0));
    assert_eq!(other.sign(&ask(1, 0, Step::Prevote, A)), Err(Refusal::BadCommittee));
    let mut elsewhere = RemoteGuard::new(&socket, founding().cluster, Seat(2));
    assert_eq!(elsewhere.identity(), Err(Refusal::BadCommittee));
    running.kill();

    let mut foreign = founding();
    foreign.cluster = Digest([9; 32]);
    fs::write(bench.path("committee.bcs"), canonical::to_bytes(&foreign)).unwrap();
    assert!(bench.refused().contains("belongs to another cluster, master or seat"));
    let mut moved = founding();
    moved.members.swap(0, 1);
    fs::write(bench.path("committee.bcs"), canonical::to_bytes(&moved)).unwrap();
    assert!(bench.refused().contains("master-1 is not in seat 0"));
    fs::write(bench.path("committee.bcs"), b"rubbish").unwrap();
    assert!(bench.refused().contains("is not a founding committee"));

    let fresh = Bench::new("strict");
    fs::write(fresh.path("founding.seed"), "09".repeat(32)).unwrap();
    assert!(fresh.refused().contains("the founding seed is not that of this seat"));
    fs::write(fresh.path("platform.seed"), "09".repeat(32)).unwrap();
    assert!(fresh.refused().contains("the platform seed is not that of this seat"));
    fs::remove_file(fresh.path("platform.seed")).unwrap();
    assert!(fresh.refused().contains("there is no platform seed"));
    assert!(fresh.path("founding.seed").exists(), "a guard that did not start has taken nothing");
}

/// R205: one guard a folder; open folders and foreign files are not touched.
#[test]
fn a_second_guard_and_an_open_folder_are_refused() {
    let bench = Bench::new("trusted");
    let running = bench.start();
    assert!(bench.refused().contains("another guard runs in"));
    let mut host = bench.host();
    host.identity().unwrap();
    running.kill();
    fs::set_permissions(bench.path("run"), fs::Permissions::from_mode(0o755)).unwrap();
    assert!(bench.refused().contains("is open to other users"));
    fs::set_permissions(bench.path("run"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::remove_file(bench.path("run/guard.sock")).unwrap();
    fs::write(bench.path("run/guard.sock"), "notes").unwrap();
    assert!(bench.refused().contains("something else stands there"));
    assert_eq!(fs::read(bench.path("run/guard.sock")).unwrap(), b"notes");
}

/// R205: what the guard is stands in its first line, its log and its status; what it can do, the kernel says.
#[test]
fn a_guard_says_its_class_and_is_locked_down() {
    for (admission, expected) in [("strict", Admission::Strict), ("trusted", Admission::Trusted)] {
        let bench = Bench::new(admission);
        let running = bench.start();
        assert!(running.ready.contains("class software"), "{}", running.ready);
        let log = bench.log();
        assert!(log.contains("\"class\":\"software\"") && log.contains("\"no_new_privs\":true"), "{log}");
        assert!(log.contains("\"undumpable\":true") && log.contains("\"no_core\":true"), "{log}");
        let status = fs::read_to_string(format!("/proc/{}/status", running.child.id())).unwrap();
        for line in ["Seccomp:\t2", "NoNewPrivs:\t1", "Threads:\t1"] {
            assert!(status.lines().any(|other| other == line), "{line}: {status}");
        }
        let mode = |name: &str| fs::metadata(bench.path(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("run"), mode("run/guard.sock"), mode("state")), (0o700, 0o600, 0o700));

        let mut host = bench.host();
        host.sign(&ask(1, 0, Step::Prevote, A)).unwrap();
        host.sign(&ask(1, 0, Step::Prevote, B)).unwrap_err();
        host.sign(&ask(1, 0, Step::Propose, None)).unwrap_err();
        let status = host.status().unwrap();
        assert_eq!((status.class, status.admission, status.signed), (Class::Software, expected, 1));
        let count = |kind| status.refusals.iter().find(|(other, _)| *other == kind).unwrap().1;
        assert_eq!(
            (count(Refusal::Equivocation), count(Refusal::NoBlock), count(Refusal::Locked)),
            (1, 1, 0)
        );
    }
}

/// R205: no guard outlives its supervisor.
#[test]
fn a_supervised_guard_ends_with_its_supervisor() {
    let bench = Bench::new("trusted");
    let running = bench.start();
    let mut host = bench.host();
    let given = host.sign(&ask(1, 0, Step::Prevote, A)).unwrap();
    assert!(running.orphan().success());
    assert!(bench.log().contains("guard ended with its supervisor"));
    let _running = bench.start();
    assert_eq!(host.sign(&ask(1, 0, Step::Prevote, A)).unwrap(), given);
}
