//! Locks the running process down for good: no files, no sockets, no programs, no new threads, no executable
//! memory, no core dump, no life after its host (part of R117 and R127: what cannot be written stays nowhere).
//!
//! A program may start workers once everything but the filter is in place: they inherit what holds already, and the filter is
//! then put on all threads in one step, which the kernel makes for all or for none.
//!
//! Landlock and the system call filter are mandatory. The rest is taken where the system grants it and reported
//! as it is: inside a container, for example, `unshare` is usually refused. None of this protects from root on
//! the host.

use std::{fs, io};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, Ruleset, RulesetAttr as _, RulesetError, RulesetStatus, Scope,
};
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

pub mod filter;

/// What the sandbox holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockedDown {
    /// No program started from here could gain rights.
    pub no_new_privs: bool,
    /// Other processes of the same user cannot attach or read the memory.
    pub undumpable: bool,
    /// A crash leaves no image of the memory.
    pub no_core: bool,
    /// The kernel ends the enclave when the thread that started it ends.
    pub dies_with_host: bool,
    /// Whether every Landlock rule asked for is enforced; otherwise the kernel knows only some of them.
    pub landlock_full: bool,
    /// Namespaces of its own.
    pub namespaces: Vec<String>,
    /// What was asked for and refused, with the reason.
    pub refused: Vec<String>,
}

/// The process could not be locked down and must not serve.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The kernel's Landlock failed.
    #[error("closing the file system")]
    Landlock(#[from] RulesetError),
    /// The kernel has no Landlock.
    #[error("this kernel enforces no landlock rules")]
    NoLandlock,
    /// Threads that ran before would be held by the filter alone.
    #[error("{0} threads run before the lock-down, not one")]
    Threads(usize),
    /// The threads of the process could not be counted.
    #[error("counting threads")]
    Count(#[source] io::Error),
    /// The program could not start its workers.
    #[error("starting workers")]
    Workers(#[source] io::Error),
    /// The filter could not be built or installed.
    #[error("filtering system calls")]
    Filter(#[from] filter::FilterError),
}

/// Locks the process down. Call from its only thread; nothing opens it again. `workers` may start threads, which no
/// code can after; it runs without files and without network, and must return only when its threads have begun with their
/// own work, because what a thread does to begin is no longer allowed them.
///
/// **Errors**: a mandatory part is missing, or the workers are. The process may by then be half locked and must end.
pub fn lock_down<W>(workers: impl FnOnce() -> io::Result<W>) -> Result<(LockedDown, W), SandboxError> {
    let threads = fs::read_dir("/proc/self/task").map_err(SandboxError::Count)?.count();
    if threads != 1 {
        return Err(SandboxError::Threads(threads));
    }
    let mut held = LockedDown::default();
    held.leave_namespaces();
    // After `unshare`: a change of credentials resets the death signal and the dumpable flag.
    held.attempt("no core dump", setrlimit(Resource::RLIMIT_CORE, 0, 0), |held| &mut held.no_core);
    held.attempt("not dumpable", prctl::set_dumpable(false), |held| &mut held.undumpable);
    held.attempt("death with the host", prctl::set_pdeathsig(Signal::SIGKILL), |held| {
        &mut held.dies_with_host
    });
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(RULES))?
        .handle_access(AccessNet::from_all(RULES))?
        .scope(Scope::from_all(RULES))?
        .create()?
        .restrict_self()?;
    held.landlock_full = match status.ruleset {
        RulesetStatus::FullyEnforced => true,
        RulesetStatus::PartiallyEnforced => false,
        RulesetStatus::NotEnforced => return Err(SandboxError::NoLandlock),
    };
    // What is reported is what the kernel says, read before the filter forbids asking.
    held.no_new_privs = prctl::get_no_new_privs() == Ok(true);
    held.undumpable &= prctl::get_dumpable() == Ok(false);
    held.dies_with_host &= prctl::get_pdeathsig() == Ok(Some(Signal::SIGKILL));
    let workers = workers().map_err(SandboxError::Workers)?;
    filter::install()?;
    Ok((held, workers))
}

impl LockedDown {
    /// Leaves the namespaces of the host where the system grants it, and notes what it refuses.
    pub fn leave_namespaces(&mut self) {
        for (name, flag) in NAMESPACES {
            match unshare(*flag) {
                Ok(()) => self.namespaces.push((*name).into()),
                Err(error) => self.refuse(&format!("namespace {name}"), error),
            }
        }
    }

    fn attempt(&mut self, what: &str, result: nix::Result<()>, slot: impl FnOnce(&mut Self) -> &mut bool) {
        match result {
            Ok(()) => *slot(self) = true,
            Err(error) => self.refuse(what, error),
        }
    }

    fn refuse(&mut self, what: &str, error: Errno) {
        self.refused.push(format!("{what}: {error}"));
    }
}

/// The user namespace comes first: it grants the right to make the others.
const NAMESPACES: &[(&str, CloneFlags)] = &[
    ("user", CloneFlags::CLONE_NEWUSER),
    ("net", CloneFlags::CLONE_NEWNET),
    ("ipc", CloneFlags::CLONE_NEWIPC),
    ("uts", CloneFlags::CLONE_NEWUTS),
];

/// Files, network and scopes. Later kernels know more, which the filter refuses anyway.
const RULES: ABI = ABI::V6;
