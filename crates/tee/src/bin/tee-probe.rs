//! An enclave that only tries what no enclave may do and tells what happened, and that asks its host for the sake of asking.
//! For this crate's tests. As a slice executor it has workers.

use std::fs::{self, File};
use std::io;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::process::{Command, ExitCode};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Barrier};

use nix::sys::signal;
use nix::unistd;
use symphony_tee::asking::{AskError, Host};
use symphony_tee::frame::FRAME_BYTES_MAX;
use symphony_tee::report::EnclaveRole;
use symphony_tee::session::{self, EnclaveContext, Work};
use symphony_types::canonical;
use symphony_types::digest::Digest;
use symphony_types::id::{PolicyVersion, SchemaVersion, SemanticVersion, TaskId};

fn main() -> ExitCode {
    match session::run(<[u8]>::to_vec, Workers::start, |context, ready, workers| {
        let context = context.clone();
        move |request: &[u8], host: &mut dyn Host| answer(&context, &ready, &workers, request, host)
    }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn answer(
    context: &EnclaveContext,
    ready: &[u8],
    workers: &Workers,
    request: &[u8],
    host: &mut dyn Host,
) -> Vec<u8> {
    match request {
        b"ready" => ready.to_vec(),
        b"attempts" => canonical::to_bytes(&attempts()),
        b"attempts of workers" => canonical::to_bytes(&workers.each(attempts)),
        b"meeting of workers" => canonical::to_bytes(&(workers.meet() as u64)),
        b"ask once" => host.ask(b"1").unwrap_or_else(|error| error.to_string().into_bytes()),
        b"ask thrice" => canonical::to_bytes(&[b"1", b"2", b"3"].map(|question| host.ask(question).ok())),
        b"ask on" => loop {
            let reply = host.ask(b"again");
            if reply.is_err() || reply.is_ok_and(|reply| reply == b"enough") {
                break b"enough".to_vec();
            }
        },
        b"ask long" => match host.ask(&vec![1; FRAME_BYTES_MAX]) {
            Err(AskError::TooLong(_)) => host.ask(b"short").unwrap_or_default(),
            Err(AskError::Gone | AskError::Unserved) | Ok(_) => Vec::new(),
        },
        b"work" => canonical::to_bytes(&context.sign(Work {
            task: TaskId(Digest([1; 32])),
            step: "aggregate".into(),
            nonce: Digest([2; 32]),
            module: None,
            input_root: Digest([3; 32]),
            output: Digest([4; 32]),
            schema: SchemaVersion(1),
            semantic: SemanticVersion(1),
            policy: PolicyVersion(1),
            purged: true,
        })),
        b"dedupe" => Digest::of_bytes(context.dedupe_secret()).0.to_vec(),
        b"environment" => canonical::to_bytes(&(std::env::vars_os().count() as u64)),
        b"panic" => panic!("a secret of the task"),
        b"hang" => loop {
            std::thread::park();
        },
        echoed => echoed.to_vec(),
    }
}

/// Threads that were started before the filter.
struct Workers(Vec<Sender<Job>>);

type Job = Box<dyn FnOnce() + Send>;

impl Workers {
    fn start(role: EnclaveRole) -> io::Result<Self> {
        let count = match role {
            EnclaveRole::Slice => WORKERS,
            EnclaveRole::Aggregator => 0,
        };
        let begun = Arc::new(Barrier::new(count + 1));
        let start = |_| {
            let (sender, jobs) = mpsc::channel::<Job>();
            let begun = Arc::clone(&begun);
            std::thread::Builder::new().name("worker".into()).spawn(move || {
                begun.wait();
                jobs.iter().for_each(|job| job());
            })?;
            Ok(sender)
        };
        let workers = (0..count).map(start).collect::<io::Result<_>>()?;
        begun.wait();
        Ok(Self(workers))
    }

    /// What each of them finds, in their order.
    fn each<T: Send + 'static>(&self, find: fn() -> T) -> Vec<T> {
        let ask = |worker: &Sender<Job>| {
            let (found, finds) = mpsc::channel();
            let sent = worker.send(Box::new(move || drop(found.send(find()))));
            sent.ok().and_then(|()| finds.recv().ok())
        };
        self.0.iter().filter_map(ask).collect()
    }

    /// How many of them ran at one time: none goes on before all have come.
    fn meet(&self) -> usize {
        let meeting = Arc::new(Barrier::new(self.0.len()));
        let (left, leaves) = mpsc::channel();
        for worker in &self.0 {
            let (meeting, left) = (Arc::clone(&meeting), left.clone());
            let _ = worker.send(Box::new(move || {
                meeting.wait();
                let _ = left.send(());
            }));
        }
        drop(left);
        leaves.iter().count()
    }
}

const WORKERS: usize = 3;

/// Names what was tried and whether the kernel forbade it; a failure for another reason does not count.
fn attempts() -> Vec<(String, bool)> {
    let tried: [(&str, io::Result<()>); 16] = [
        ("read a file", File::open("/etc/passwd").map(drop)),
        ("read its own program", File::open("/proc/self/exe").map(drop)),
        ("read its own memory", File::open("/proc/self/mem").map(drop)),
        ("list a folder", fs::read_dir("/").map(drop)),
        ("write a file", File::create("/tmp/tee-probe").map(drop)),
        ("remove a file", fs::remove_file("/tmp/tee-probe")),
        ("look at a file", fs::metadata("/etc/passwd").map(drop)),
        ("listen", TcpListener::bind("127.0.0.1:0").map(drop)),
        ("connect", TcpStream::connect("127.0.0.1:9").map(drop)),
        ("send a datagram", UdpSocket::bind("127.0.0.1:0").map(drop)),
        ("connect locally", UnixStream::pair().map(drop)),
        ("start a program", Command::new("/bin/true").spawn().map(drop)),
        ("start a thread", std::thread::Builder::new().spawn(|| ()).map(drop)),
        ("make a pipe", unistd::pipe().map(drop).map_err(io::Error::from)),
        ("copy a descriptor", unistd::dup(io::stdout()).map(drop).map_err(io::Error::from)),
        ("signal its host", signal::kill(unistd::getppid(), None).map_err(io::Error::from)),
    ];
    let forbidden =
        |result: io::Result<()>| result.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied);
    tried.into_iter().map(|(what, result)| (what.into(), forbidden(result))).collect()
}
