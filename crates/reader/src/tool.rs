//! One foreign program on one document: its input lies in memory, its output is bounded, its time runs out (R082).
//!
//! The reading process starts itself once more; that trampoline sets limits, closes a tighter Landlock layer, ties its
//! life to the reading process and then becomes the program. Nothing but standard input and output is open to it.

use std::ffi::OsStr;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::prctl;
use nix::sys::signal::Signal;

use crate::lockdown;
use crate::protocol::{Limits, Refusal};

/// When a reading has to be over.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    at: Instant,
    wall_ms: u32,
}

impl Deadline {
    /// So many milliseconds from now.
    pub fn after(wall_ms: u32) -> Self {
        Self { at: Instant::now() + Duration::from_millis(wall_ms.into()), wall_ms }
    }

    /// What is left.
    ///
    /// **Errors**: nothing is left.
    pub fn left(self) -> Result<Duration, Refusal> {
        let left = self.at.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(Refusal::TimedOut(self.wall_ms)) } else { Ok(left) }
    }
}

/// How a program is called.
pub(crate) struct Call<'a> {
    pub(crate) program: &'a Path,
    pub(crate) args: &'a [&'a str],
    /// What it may read beside its input and its libraries.
    pub(crate) reads: &'a [PathBuf],
    /// Its standard input.
    pub(crate) input: &'a [u8],
    /// Bytes of its output; more ends it.
    pub(crate) output_max: usize,
}

/// Runs a program to its end and returns what it printed, with whether it was content.
///
/// **Errors**: [`Refusal::TimedOut`], [`Refusal::GaveUp`] if it cannot start or prints too much.
pub(crate) fn run(call: &Call<'_>, limits: &Limits, deadline: Deadline) -> Result<(Vec<u8>, bool), Refusal> {
    let name =
        || call.program.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let gave_up = || Refusal::GaveUp(name());
    let mut child = start(call, limits).map_err(|_| gave_up())?;
    let read = collect(&mut child, call.output_max, deadline);
    if !matches!(read, Ok(Some(_))) {
        // Already gone is as good as ended.
        let _ = child.kill();
    }
    let status = child.wait();
    let printed = read?.ok_or_else(gave_up)?;
    Ok((printed, status.is_ok_and(|status| status.success())))
}

fn start(call: &Call<'_>, limits: &Limits) -> std::io::Result<Child> {
    let mut input = std::fs::File::from(memfd_create("document", MFdFlags::MFD_CLOEXEC)?);
    input.write_all(call.input)?;
    input.seek(SeekFrom::Start(0))?;
    let mut command = Command::new("/proc/self/exe");
    command.arg(TRAMPOLINE).arg(std::process::id().to_string()).arg(limits.memory_bytes.to_string());
    command.arg(limits.cpu_seconds.to_string()).arg(call.reads.len().to_string()).args(call.reads);
    command.arg(call.program).args(call.args);
    // One thread: as many readers run as there are cores.
    command.env_clear().env("OMP_THREAD_LIMIT", "1").env("LC_ALL", "C.UTF-8");
    command.stdin(Stdio::from(input)).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()
}

/// The output until its end; `None` if it is longer than allowed.
fn collect(child: &mut Child, output_max: usize, deadline: Deadline) -> Result<Option<Vec<u8>>, Refusal> {
    let Some(mut output) = child.stdout.take() else { return Ok(None) };
    let mut printed = Vec::new();
    let mut part = vec![0; PART_BYTES];
    loop {
        let left = deadline.left()?;
        let timeout = PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(output.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(0) | Err(Errno::EINTR) => continue,
            Ok(_) => {}
            Err(_) => return Ok(None),
        }
        match output.read(&mut part) {
            Ok(0) => return Ok(Some(printed)),
            Ok(count) if printed.len() + count <= output_max => printed.extend_from_slice(&part[..count]),
            _ => return Ok(None),
        }
    }
}

/// Becomes a foreign program, if the arguments say so; returns only if they do not, or why it could not.
pub fn trampoline(args: &[std::ffi::OsString]) -> Option<String> {
    let [word, parent, memory, cpu, count, rest @ ..] = args else { return None };
    if word.as_os_str() != OsStr::new(TRAMPOLINE) {
        return None;
    }
    Some(become_program(parent, memory, cpu, count, rest).unwrap_or_else(|| "the call is malformed".into()))
}

fn become_program(
    parent: &OsStr,
    memory: &OsStr,
    cpu: &OsStr,
    count: &OsStr,
    rest: &[std::ffi::OsString],
) -> Option<String> {
    let number = |text: &OsStr| text.to_str()?.parse::<u64>().ok();
    let (reads, command) = rest.split_at_checked(usize::try_from(number(count)?).ok()?)?;
    let (program, args) = command.split_first()?;
    let reads: Vec<PathBuf> = reads.iter().map(PathBuf::from).collect();
    if let Err(error) = prctl::set_pdeathsig(Signal::SIGKILL) {
        return Some(error.to_string());
    }
    // The reading process may have ended before the signal was ordered.
    if Some(u64::from(std::os::unix::process::parent_id())) != number(parent) {
        return Some("the reading process has ended".into());
    }
    let closed = lockdown::limit_resources(number(memory)?, u32::try_from(number(cpu)?).ok()?)
        .and_then(|()| lockdown::close_around(Path::new(program), &reads));
    if let Err(error) = closed {
        return Some(error.to_string());
    }
    Some(Command::new(program).args(args).exec().to_string())
}

const TRAMPOLINE: &str = "become";
const PART_BYTES: usize = 64 << 10;
