//! What the reading process may still do once a document arrives: compute, and start the foreign programs it was told
//! of, which inherit all of this (R082, R122).
//!
//! No network (no socket can be made; a network namespace of its own where granted), no file but the programs, their
//! libraries, models and fonts, and those for reading only; nothing can be written. Landlock and the filter are
//! mandatory. A second, tighter layer closes around each foreign program ([`crate::tool`]).

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr as _,
    RulesetCreated, RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope,
};
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;
use symphony_tee::sandbox::LockedDown;
use symphony_tee::sandbox::filter::{Filter, FilterError};

use crate::protocol::{Limits, Programs};

/// The process could not be locked down and must not read.
#[derive(Debug, thiserror::Error)]
pub enum LockdownError {
    /// The kernel's Landlock failed.
    #[error("closing the file system")]
    Landlock(#[from] RulesetError),
    /// The kernel has no Landlock.
    #[error("this kernel enforces no landlock rules")]
    NoLandlock,
    /// The filter could not be built or installed.
    #[error("filtering system calls")]
    Filter(#[from] FilterError),
    /// A limit could not be set.
    #[error("limiting the process")]
    Limit(#[from] nix::Error),
}

/// Locks the reading process down. Call from its only thread.
///
/// **Errors**: a mandatory part is missing. The process may by then be half locked and must end.
pub fn lock_down(limits: &Limits, programs: &Programs) -> Result<LockedDown, LockdownError> {
    let mut held = LockedDown::default();
    held.leave_namespaces();
    // After `unshare`: a change of credentials resets the death signal and the dumpable flag.
    held.no_core = limit_resources(limits.memory_bytes, limits.cpu_seconds).is_ok();
    let set = [
        ("not dumpable", prctl::set_dumpable(false)),
        ("death with the host", prctl::set_pdeathsig(Signal::SIGKILL)),
    ];
    held.refused.extend(set.iter().filter_map(|(what, result)| Some(format!("{what}: {}", result.err()?))));
    let mut run: Vec<PathBuf> = vec!["/proc/self/exe".into()];
    run.extend([&programs.tesseract, &programs.pdftotext, &programs.pdftoppm].map(Clone::clone));
    let mut read: Vec<PathBuf> = vec![programs.tessdata.clone()];
    read.extend(POPPLER_FILES.iter().map(PathBuf::from));
    held.landlock_full = close_files(&run, &read)?;
    held.no_new_privs = prctl::get_no_new_privs() == Ok(true);
    held.undumpable = prctl::get_dumpable() == Ok(false);
    held.dies_with_host = prctl::get_pdeathsig() == Ok(Some(Signal::SIGKILL));
    Filter::allowing(CALLS).install()?;
    Ok(held)
}

/// Closes a tighter layer around what is about to become one foreign program.
///
/// **Errors**: as [`lock_down`].
pub fn close_around(program: &Path, read: &[PathBuf]) -> Result<(), LockdownError> {
    close_files(&[program.to_owned()], read)?;
    Ok(())
}

/// Sets the limits that the kernel keeps: memory, processor time, no core dump, no file written.
///
/// **Errors**: a limit above what the process may have.
pub fn limit_resources(memory_bytes: u64, cpu_seconds: u32) -> Result<(), LockdownError> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    setrlimit(Resource::RLIMIT_FSIZE, FILE_BYTES_MAX, FILE_BYTES_MAX)?;
    setrlimit(Resource::RLIMIT_NOFILE, FILES_MAX, FILES_MAX)?;
    setrlimit(Resource::RLIMIT_AS, memory_bytes, memory_bytes)?;
    setrlimit(Resource::RLIMIT_CPU, cpu_seconds.into(), cpu_seconds.into())?;
    Ok(())
}

/// Whether all rules are enforced.
fn close_files(run: &[PathBuf], read: &[PathBuf]) -> Result<bool, LockdownError> {
    let reading = AccessFs::ReadFile | AccessFs::ReadDir;
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(RULES))?
        .handle_access(AccessNet::from_all(RULES))?
        .scope(Scope::from_all(RULES))?
        .create()?;
    for path in run {
        rules = allow(rules, path, AccessFs::ReadFile | AccessFs::Execute)?;
    }
    for path in read {
        rules = allow(rules, path, reading)?;
    }
    for path in LIBRARIES {
        rules = allow(rules, Path::new(path), reading | AccessFs::Execute)?;
    }
    rules = allow(rules, Path::new("/dev/null"), AccessFs::ReadFile | AccessFs::WriteFile)?;
    match rules.restrict_self()?.ruleset {
        RulesetStatus::FullyEnforced => Ok(true),
        RulesetStatus::PartiallyEnforced => Ok(false),
        RulesetStatus::NotEnforced => Err(LockdownError::NoLandlock),
    }
}

/// What is absent needs no rule. A plain file has no folder to list.
fn allow(
    rules: RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    let Ok(opened) = PathFd::new(path) else { return Ok(rules) };
    let access = if path.is_dir() { access } else { access & !BitFlags::from(AccessFs::ReadDir) };
    rules.add_rule(PathBeneath::new(opened, access))
}

/// What poppler reads beside the document: encodings, fonts and where fonts are. Nothing of it is private.
pub const POPPLER_FILES: &[&str] = &[
    "/usr/share/poppler",
    "/usr/share/fonts",
    "/usr/share/fontconfig",
    "/etc/fonts",
    "/var/cache/fontconfig",
];

/// Shared libraries, and where the loader finds them.
const LIBRARIES: &[&str] = &["/usr/lib", "/usr/lib64", "/lib", "/lib64", "/etc/ld.so.cache"];

const RULES: ABI = ABI::V6;
/// The document on its way to a foreign program lies in memory that has the form of a file.
const FILE_BYTES_MAX: u64 = 256 << 20;
const FILES_MAX: u64 = 64;

/// Memory, pipes, files (where, Landlock decides), children and their programs, threads, signals, time. No socket, no
/// tracing, no mounts, no keys, no kernel programs.
const CALLS: &[i64] = &[
    #[cfg(target_arch = "x86_64")]
    libc::SYS_access,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_arch_prctl,
    libc::SYS_brk,
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_clone,
    libc::SYS_clone3,
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_dup,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_dup2,
    libc::SYS_dup3,
    libc::SYS_execve,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_fcntl,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_ftruncate,
    libc::SYS_futex,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_getrandom,
    libc::SYS_getrusage,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_ioctl,
    libc::SYS_kill,
    libc::SYS_landlock_add_rule,
    libc::SYS_landlock_create_ruleset,
    libc::SYS_landlock_restrict_self,
    libc::SYS_lseek,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lstat,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    libc::SYS_memfd_create,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_newfstatat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_open,
    libc::SYS_openat,
    libc::SYS_pidfd_send_signal,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_pipe,
    libc::SYS_pipe2,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_prctl,
    libc::SYS_pread64,
    libc::SYS_prlimit64,
    libc::SYS_read,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_readlink,
    libc::SYS_readlinkat,
    libc::SYS_readv,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_sigaltstack,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_stat,
    libc::SYS_statfs,
    libc::SYS_statx,
    libc::SYS_sysinfo,
    libc::SYS_tgkill,
    libc::SYS_umask,
    libc::SYS_uname,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_vfork,
    libc::SYS_wait4,
    libc::SYS_waitid,
    libc::SYS_write,
    libc::SYS_writev,
];
