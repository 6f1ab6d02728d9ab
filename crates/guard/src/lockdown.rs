//! What a guard can still do once it serves: accept and answer on its socket, and, if it is trusted, replace files in
//! its own folder (R198, R205).
//!
//! Modelled on the lock-down of enclaves ([`symphony_tee::sandbox`]), with what differs: a socket that exists may
//! accept, one folder may be written. No other file, no new socket, no program, no thread, no executable memory. The
//! guard does not die with the thread that started it, because it has to outlive its master; see `--supervised`.
//! Landlock and the filter are mandatory, the rest is reported as it is. Nothing here protects from root, or from
//! another process of the guard's user that replaces its files or starts a guard of its own.

use std::path::Path;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, PathBeneath, PathFd, PathFdError, Ruleset,
    RulesetAttr as _, RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope,
};
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use symphony_tee::sandbox::LockedDown;
use symphony_tee::sandbox::filter::{Filter, FilterError, equal};

/// The process could not be locked down and must not serve.
#[derive(Debug, thiserror::Error)]
pub enum LockdownError {
    /// The kernel's Landlock failed.
    #[error("closing the file system")]
    Landlock(#[from] RulesetError),
    /// The folder cannot be named in a rule.
    #[error("opening the guard's folder")]
    Folder(#[from] PathFdError),
    /// The kernel has no Landlock.
    #[error("this kernel enforces no landlock rules")]
    NoLandlock,
    /// The filter could not be built or installed.
    #[error("filtering system calls")]
    Filter(#[from] FilterError),
}

/// Locks the process down, but for replacing files below `folder`. Call from its only thread.
///
/// **Errors**: a mandatory part is missing. The process may by then be half locked and must end.
pub fn lock_down(folder: Option<&Path>) -> Result<LockedDown, LockdownError> {
    let mut held = LockedDown::default();
    held.leave_namespaces();
    // After `unshare`: a change of credentials resets the dumpable flag.
    if let Err(error) = setrlimit(Resource::RLIMIT_CORE, 0, 0) {
        held.refused.push(format!("no core dump: {error}"));
    } else {
        held.no_core = true;
    }
    if let Err(error) = prctl::set_dumpable(false) {
        held.refused.push(format!("not dumpable: {error}"));
    }
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(RULES))?
        .handle_access(AccessNet::from_all(RULES))?
        .scope(Scope::from_all(RULES))?
        .create()?;
    if let Some(folder) = folder {
        rules = rules.add_rule(PathBeneath::new(PathFd::new(folder)?, replacing()))?;
    }
    held.landlock_full = match rules.restrict_self()?.ruleset {
        RulesetStatus::FullyEnforced => true,
        RulesetStatus::PartiallyEnforced => false,
        RulesetStatus::NotEnforced => return Err(LockdownError::NoLandlock),
    };
    // What is reported is what the kernel says, read before the filter forbids asking.
    held.no_new_privs = prctl::get_no_new_privs() == Ok(true);
    held.undumpable = prctl::get_dumpable() == Ok(false);
    filter(folder.is_some())?.install()?;
    Ok(held)
}

/// Making, writing and renaming plain files; not reading them.
fn replacing() -> BitFlags<AccessFs> {
    AccessFs::MakeReg | AccessFs::WriteFile | AccessFs::Truncate | AccessFs::RemoveFile
}

fn filter(writes: bool) -> Result<Filter, FilterError> {
    let written = if writes { WRITING } else { &[] };
    Filter::allowing(FREE.iter().chain(written))
        .with_plain_memory()?
        .when(libc::SYS_ioctl, &[equal(1, FIONBIO)?])
}

const RULES: ABI = ABI::V6;
const FIONBIO: u32 = libc::FIONBIO as u32;

/// Calls on what is open already. Calls with a condition stand in [`filter`].
const FREE: &[i64] = &[
    libc::SYS_accept4,
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_close,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_madvise,
    libc::SYS_mremap,
    libc::SYS_munmap,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_read,
    libc::SYS_recvfrom,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_yield,
    libc::SYS_sendto,
    libc::SYS_sigaltstack,
    libc::SYS_write,
    libc::SYS_writev,
];

/// Calls that replace a file; where, Landlock decides.
const WRITING: &[i64] = &[
    libc::SYS_openat,
    libc::SYS_pwrite64,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_unlink,
    libc::SYS_unlinkat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rename,
    libc::SYS_renameat,
    libc::SYS_renameat2,
];

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::{self, ErrorKind};
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::process::Command;
    use std::thread;

    use super::*;

    /// What is tried under the lock-down, and how it ended.
    type Tried = Vec<(&'static str, Result<(), ErrorKind>)>;

    /// Tries everything on a thread of its own, which alone is locked down.
    fn tried(trusted: bool) -> Tried {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("guard");
        fs::create_dir(&inside).unwrap();
        fs::write(inside.join("secret"), "s").unwrap();
        let listener = UnixListener::bind(folder.path().join("socket")).unwrap();
        let _host = UnixStream::connect(folder.path().join("socket")).unwrap();
        let outside = folder.path().to_owned();
        let locked = thread::spawn(move || {
            lock_down(trusted.then_some(inside.as_path())).unwrap();
            let (part, state) = (inside.join("part"), inside.join("state"));
            let all: [(&'static str, io::Result<()>); 14] = [
                ("accept", listener.accept().and_then(|(stream, _)| stream.set_nonblocking(true))),
                ("make a file inside", File::create(&part).and_then(|file| file.sync_all())),
                ("replace a file inside", fs::rename(&part, &state)),
                ("read a file inside", File::open(inside.join("secret")).map(drop)),
                ("make a file outside", File::create(outside.join("other")).map(drop)),
                ("move a file outside", fs::rename(&state, outside.join("state"))),
                ("read a file outside", File::open("/etc/passwd").map(drop)),
                ("read its own memory", File::open("/proc/self/mem").map(drop)),
                ("listen", TcpListener::bind("127.0.0.1:0").map(drop)),
                ("connect", TcpStream::connect("127.0.0.1:9").map(drop)),
                ("connect locally", UnixStream::connect(outside.join("socket")).map(drop)),
                ("start a program", Command::new("/bin/true").spawn().map(drop)),
                ("start a thread", thread::Builder::new().spawn(|| ()).map(drop)),
                ("remove the folder", fs::remove_dir_all(&inside)),
            ];
            all.map(|(what, result)| (what, result.map_err(|error| error.kind()))).to_vec()
        });
        locked.join().unwrap()
    }

    /// R205: what is left is the socket and, for a trusted guard, its folder.
    #[test]
    fn a_locked_guard_accepts_and_at_most_replaces_files_in_its_folder() {
        for (trusted, allowed) in
            [(false, vec!["accept"]), (true, vec!["accept", "make a file inside", "replace a file inside"])]
        {
            let tried = tried(trusted);
            let done: Vec<_> =
                tried.iter().filter(|(_, result)| result.is_ok()).map(|(what, _)| *what).collect();
            assert_eq!(done, allowed);
            for (what, result) in tried {
                // Not for another reason: an absent file would be no proof.
                let forbidden = matches!(result, Ok(()) | Err(ErrorKind::PermissionDenied));
                assert!(forbidden, "trusted {trusted}: {what}: {result:?}");
            }
        }
    }
}
