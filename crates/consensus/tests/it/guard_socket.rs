//! The line between a master and its guard: the same answers as in one process, one host at a time, and nothing that
//! is sent ends the guard.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::AsFd as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use symphony_consensus::quorum::committee::{Seat, Step};
use symphony_consensus::quorum::guard::{LocalGuard, Refusal, Strictness, VoteGuard};
use symphony_consensus::quorum::socket::desk::{Desk, serve};
use symphony_consensus::quorum::socket::{
    Admission, Answer, Call, Class, FRAME_BYTES_MAX, RemoteGuard, VERSION, frame,
};
use symphony_types::digest::Digest;

use crate::guard::{A, B, ask, founding, guard, polka, with};

/// A guard that serves on a thread until it is dropped.
struct Served {
    socket: PathBuf,
    lifeline: Option<UnixStream>,
    thread: Option<JoinHandle<Desk<LocalGuard>>>,
    folder: tempfile::TempDir,
}

impl Served {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("guard.sock");
        let mut served = Self { socket, lifeline: None, thread: None, folder };
        served.start(Desk::new(guard(0, Strictness::Full), founding().cluster, Seat(0), Admission::Strict));
        served
    }

    fn start(&mut self, mut desk: Desk<LocalGuard>) {
        let _ = std::fs::remove_file(&self.socket);
        let listener = UnixListener::bind(&self.socket).unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        self.lifeline = Some(ours);
        self.thread = Some(thread::spawn(move || {
            serve(&listener, &mut desk, Some(theirs.as_fd())).unwrap();
            desk
        }));
    }

    fn stop(&mut self) -> Desk<LocalGuard> {
        self.lifeline = None;
        self.thread.take().unwrap().join().unwrap()
    }

    fn host(&self) -> RemoteGuard {
        RemoteGuard::new(&self.socket, founding().cluster, Seat(0))
    }

    /// A connection that speaks bytes.
    fn raw(&self) -> UnixStream {
        let stream = UnixStream::connect(&self.socket).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    }

    /// Whether the guard still answers somebody new, which shows that it has dealt with all before.
    fn lives(&self) -> bool {
        self.host().identity().is_ok()
    }
}

fn hello() -> Vec<u8> {
    frame(&Call::Hello { version: VERSION, cluster: founding().cluster, seat: Seat(0) }).unwrap()
}

/// All that the guard sends before it hangs up.
fn rest(stream: &mut UnixStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    bytes
}

/// R198, R205
#[test]
fn a_remote_guard_answers_as_a_local_one() {
    let served = Served::new();
    let (mut remote, mut local) = (served.host(), guard(0, Strictness::Full));
    let committee = founding();
    let mut foreign = founding();
    foreign.cluster = Digest([9; 32]);
    assert_eq!(remote.identity(), local.identity());
    for ask in [
        ask(1, 0, Step::Propose, None),
        ask(1, 0, Step::Propose, A),
        ask(1, 0, Step::Prevote, A),
        ask(1, 0, Step::Prevote, B),
        ask(1, 0, Step::Prevote, A),
        ask(1, 0, Step::Precommit, A),
        with(polka(&[1], 1, 0, A), ask(1, 0, Step::Precommit, A)),
        with(polka(&[0, 1], 1, 0, A), ask(1, 0, Step::Precommit, A)),
        ask(1, 1, Step::Prevote, B),
        ask(0, 0, Step::Prevote, A),
    ] {
        assert_eq!(remote.sign(&ask), local.sign(&ask), "{ask:?}");
    }
    assert_eq!(remote.install(&committee), local.install(&committee));
    assert_eq!(remote.install(&foreign), Err(Refusal::BadCommittee));
    assert_eq!(remote.memory(), local.memory());

    let status = remote.status().unwrap();
    assert_eq!((status.class, status.admission, status.signed), (Class::Software, Admission::Strict, 4));
    let counted: Vec<_> = status.refusals.iter().filter(|(_, count)| *count > 0).copied().collect();
    assert_eq!(
        counted,
        [
            (Refusal::Equivocation, 1),
            (Refusal::NoPolka, 1),
            (Refusal::Locked, 1),
            (Refusal::BadPolka, 1),
            (Refusal::NoVote, 1),
            (Refusal::BadCommittee, 1),
            (Refusal::NoBlock, 1),
        ]
    );
    assert_eq!(status.refusals.len(), 10);
}

/// R205: a guard serves its own seat of its own cluster.
#[test]
fn the_host_of_another_cluster_or_seat_is_refused() {
    let served = Served::new();
    let mut host = served.host();
    host.identity().unwrap();
    let other = RemoteGuard::new(&served.socket, Digest([9; 32]), Seat(0));
    let elsewhere = RemoteGuard::new(&served.socket, founding().cluster, Seat(1));
    for mut stranger in [other, elsewhere] {
        assert_eq!(stranger.sign(&ask(1, 0, Step::Prevote, A)), Err(Refusal::BadCommittee));
        assert_eq!(stranger.status(), Err(Refusal::BadCommittee));
    }
    let mut old = served.raw();
    let call = Call::Hello { version: VERSION + 1, cluster: founding().cluster, seat: Seat(0) };
    old.write_all(&frame(&call).unwrap()).unwrap();
    assert_eq!(rest(&mut old), frame(&Answer::Stranger).unwrap());
    assert_eq!(host.status().unwrap().signed, 0);
}

/// R198: two hosts never take turns.
#[test]
fn the_newest_host_stays_and_the_one_before_is_out_for_good() {
    let served = Served::new();
    let (mut first, mut second) = (served.host(), served.host());
    let mut clone = first.clone();
    let given = first.sign(&ask(1, 0, Step::Prevote, A)).unwrap();
    assert_eq!(clone.sign(&ask(1, 0, Step::Prevote, A)).unwrap(), given);
    assert_eq!(second.sign(&ask(1, 0, Step::Prevote, A)).unwrap(), given);
    for _ in 0..3 {
        assert_eq!(first.sign(&ask(1, 0, Step::Prevote, A)), Err(Refusal::Unreachable));
        assert_eq!(clone.identity(), Err(Refusal::Unreachable));
        assert_eq!(second.sign(&ask(1, 0, Step::Prevote, A)).unwrap(), given);
    }
}

/// R198: nothing but a hello of this seat replaces a host.
#[test]
fn rubbish_half_frames_and_strangers_do_not_disturb_the_host() {
    let served = Served::new();
    let mut host = served.host();
    let given = host.sign(&ask(1, 0, Step::Prevote, A)).unwrap();
    let oversize = (FRAME_BYTES_MAX as u32 + 1).to_le_bytes().to_vec();
    let mut long = hello();
    long.push(0);
    long[0] += 1;
    let unasked = frame(&Call::Sign(ask(1, 0, Step::Propose, A))).unwrap();
    let malformed = frame(&Answer::Malformed).unwrap();
    for (what, bytes, answer) in [
        ("text", b"GET / HTTP/1.1\r\n\r\n".to_vec(), malformed.clone()),
        ("oversize", oversize, malformed.clone()),
        ("a byte too many", long, malformed.clone()),
        ("an empty frame", vec![0; 4], malformed.clone()),
        ("no hello", unasked, malformed),
        ("half a length", vec![1, 0], Vec::new()),
        ("half a hello", hello()[..20].to_vec(), Vec::new()),
        ("nothing", Vec::new(), Vec::new()),
    ] {
        let mut stranger = served.raw();
        stranger.write_all(&bytes).unwrap();
        stranger.shutdown(Shutdown::Write).unwrap();
        assert_eq!(rest(&mut stranger), answer, "{what}");
        assert_eq!(host.sign(&ask(1, 0, Step::Prevote, A)).unwrap(), given, "{what}");
    }
    let mut silent = served.raw();
    silent.write_all(&hello()[..20]).unwrap();
    assert_eq!(host.sign(&ask(1, 0, Step::Prevote, A)).unwrap(), given);
    silent.write_all(&hello()[20..]).unwrap();
    let mut welcome = vec![0; frame(&Answer::Welcome).unwrap().len()];
    silent.read_exact(&mut welcome).unwrap();
    assert_eq!(welcome, frame(&Answer::Welcome).unwrap());
    assert_eq!(host.identity(), Err(Refusal::Unreachable));
}

/// R198
#[test]
fn rubbish_from_the_host_itself_ends_the_connection_only() {
    let served = Served::new();
    for rubbish in [vec![0; 4], vec![255; 64], frame(&99_u8).unwrap()] {
        let mut host = served.raw();
        host.write_all(&[hello(), frame(&Call::Identity).unwrap(), rubbish].concat()).unwrap();
        let answers = rest(&mut host);
        assert!(answers.starts_with(&frame(&Answer::Welcome).unwrap()));
        assert!(answers.ends_with(&frame(&Answer::Malformed).unwrap()));
        assert!(served.lives());
    }
    // Who never reads is cut off when the socket is full, and nobody waits for it.
    let mut deaf = served.raw();
    deaf.set_write_timeout(Some(Duration::from_secs(10))).unwrap();
    deaf.write_all(&hello()).unwrap();
    let calls = frame(&Call::Status).unwrap().repeat(100);
    let cut = (0..1_000).any(|_| deaf.write_all(&calls).is_err());
    assert!(cut && served.lives());
}

/// R198: calls that come byte by byte, or many at once, are answered in order.
#[test]
fn calls_are_answered_in_order_however_they_are_cut() {
    let served = Served::new();
    let calls = [hello(), frame(&Call::Identity).unwrap(), frame(&Call::Status).unwrap()].concat();
    let mut slow = served.raw();
    for byte in &calls {
        slow.write_all(&[*byte]).unwrap();
    }
    let mut first = vec![0; frame(&Answer::Welcome).unwrap().len() + 1];
    slow.read_exact(&mut first).unwrap();
    let mut fast = served.raw();
    fast.write_all(&calls).unwrap();
    let mut second = vec![0; first.len()];
    fast.read_exact(&mut second).unwrap();
    assert_eq!(first, second);
}

/// R198: a master goes on with a guard that was restarted, and sees when it is another one.
#[test]
fn a_host_finds_its_guard_again_after_a_restart() {
    let mut served = Served::new();
    let mut host = served.host();
    let given = host.sign(&ask(1, 0, Step::Prevote, A)).unwrap();
    let desk = served.stop();
    assert_eq!(host.sign(&ask(1, 0, Step::Prevote, A)), Err(Refusal::Unreachable));
    served.start(desk);
    assert_eq!(host.sign(&ask(1, 0, Step::Prevote, A)).unwrap(), given);
    let desk = served.stop();
    served.start(desk);
    // The connection is stale, and the first call finds out by itself.
    assert_eq!(host.memory().unwrap().signed.len(), 1);
    served.stop();
    std::fs::remove_file(&served.socket).unwrap();
    assert_eq!(host.identity(), Err(Refusal::Unreachable));
}

/// R198: an answer that comes too late is not taken for that of the next call.
#[test]
fn a_late_or_lying_guard_is_unreachable() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("guard.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let (late, done) = std::sync::mpsc::channel::<()>();
    let fake = thread::spawn(move || {
        let answers: [Vec<u8>; 4] = [
            Vec::new(),
            frame(&Answer::Installed).unwrap(),
            frame(&9_u8).unwrap(),
            (FRAME_BYTES_MAX as u32 + 1).to_le_bytes().to_vec(),
        ];
        let mut open = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut bytes = vec![0; hello().len()];
            stream.read_exact(&mut bytes).unwrap();
            stream.write_all(&frame(&Answer::Welcome).unwrap()).unwrap();
            let mut call = vec![0; frame(&Call::Memory).unwrap().len()];
            stream.read_exact(&mut call).unwrap();
            stream.write_all(&answer).unwrap();
            open.push(stream);
        }
        done.recv().unwrap();
    });
    let patience = Duration::from_millis(100);
    for _ in 0..4 {
        let mut host = RemoteGuard::with_timeout(&socket, founding().cluster, Seat(0), patience);
        assert_eq!(host.memory(), Err(Refusal::Unreachable));
    }
    late.send(()).unwrap();
    fake.join().unwrap();
}

#[test]
fn a_frame_over_the_limit_is_not_made() {
    assert!(frame(&vec![0_u8; FRAME_BYTES_MAX + 1]).is_none());
    assert!(frame(&vec![0_u8; FRAME_BYTES_MAX - 4]).is_some());
    let served = Served::new();
    let one = polka(&[1], 1, 0, A);
    let huge = symphony_consensus::quorum::committee::Certificate {
        signatures: one.signatures.iter().cycle().take(40_000).copied().collect(),
        ..one
    };
    let mut host = served.host();
    assert_eq!(host.sign(&with(huge, ask(1, 0, Step::Precommit, A))), Err(Refusal::Unreachable));
    assert!(served.lives() && served.folder.path().exists());
}
