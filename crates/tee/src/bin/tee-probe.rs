//! An enclave that only tries what no enclave may do and tells what happened. For this crate's tests.

use std::fs::{self, File};
use std::io;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::process::{Command, ExitCode};

use nix::sys::signal;
use nix::unistd;
use symphony_tee::session::{self, EnclaveContext, Work};
use symphony_types::canonical;
use symphony_types::digest::Digest;
use symphony_types::id::{PolicyVersion, SchemaVersion, SemanticVersion, TaskId};

fn main() -> ExitCode {
    match session::run(<[u8]>::to_vec, |context, ready| {
        let context = context.clone();
        move |request: &[u8]| answer(&context, &ready, request)
    }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn answer(context: &EnclaveContext, ready: &[u8], request: &[u8]) -> Vec<u8> {
    match request {
        b"ready" => ready.to_vec(),
        b"attempts" => canonical::to_bytes(&attempts()),
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
