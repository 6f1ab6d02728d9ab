//! The system calls that an enclave may still make: memory without code, its three pipes, time and randomness.
//! Everything else fails with `EPERM`, calls that do not exist yet included. Other locked-down processes (a master's
//! guard, the reader of documents) make lists of their own with the same [`Filter`].

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};
use symphony_types::digest::Digest;

/// The filter could not be built or installed.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// The rules make no program, or there is none for this processor.
    #[error("building the filter")]
    Build(#[from] seccompiler::BackendError),
    /// The kernel refused it.
    #[error("installing the filter")]
    Install(#[from] seccompiler::Error),
}

/// The system calls that a process may still make; all others fail with `EPERM`.
pub struct Filter {
    rules: BTreeMap<i64, Vec<SeccompRule>>,
}

impl Filter {
    /// Allows these calls with any argument.
    pub fn allowing<'a>(calls: impl IntoIterator<Item = &'a i64>) -> Self {
        Self { rules: calls.into_iter().map(|call| (*call, Vec::new())).collect() }
    }

    /// Allows a call when all of these conditions hold; said again, when those of either hold.
    ///
    /// **Errors**: the conditions make no rule.
    pub fn when(mut self, call: i64, conditions: &[SeccompCondition]) -> Result<Self, FilterError> {
        self.rules.entry(call).or_default().push(SeccompRule::new(conditions.to_vec())?);
        Ok(self)
    }

    /// Allows memory that no code runs from, and a signal of the process to itself.
    ///
    /// **Errors**: as [`Self::when`].
    pub fn with_plain_memory(self) -> Result<Self, FilterError> {
        let anonymous = masked(3, libc::MAP_ANONYMOUS, libc::MAP_ANONYMOUS)?;
        self.when(libc::SYS_mmap, &[masked(2, libc::PROT_EXEC, 0)?, anonymous])?
            .when(libc::SYS_mprotect, &[masked(2, libc::PROT_EXEC, 0)?])?
            .when(libc::SYS_tgkill, &[equal(0, std::process::id())?])
    }

    /// Filters the calling thread, for good, and what it starts.
    ///
    /// **Errors**: [`FilterError`]; the thread is then unfiltered.
    pub fn install(self) -> Result<(), FilterError> {
        Ok(seccompiler::apply_filter(&self.program()?)?)
    }

    /// Filters all threads of the process, for good, and what they start.
    ///
    /// **Errors**: [`FilterError`], also when one thread cannot be filtered; none of them is then.
    pub fn install_on_all_threads(self) -> Result<(), FilterError> {
        Ok(seccompiler::apply_filter_all_threads(&self.program()?)?)
    }

    fn program(self) -> Result<BpfProgram, FilterError> {
        let arch = TargetArch::try_from(std::env::consts::ARCH)?;
        let refuse = SeccompAction::Errno(libc::EPERM as u32);
        Ok(SeccompFilter::new(self.rules, refuse, SeccompAction::Allow, arch)?.try_into()?)
    }
}

/// An argument, counted from 0, is this value.
///
/// **Errors**: there is no such argument.
pub fn equal(argument: u8, value: u32) -> Result<SeccompCondition, FilterError> {
    let value = u64::from(value);
    Ok(SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)?)
}

/// The bits of an argument under a mask are this value.
///
/// **Errors**: there is no such argument.
pub fn masked(argument: u8, mask: i32, value: i32) -> Result<SeccompCondition, FilterError> {
    let (mask, value) = (u64::from(mask as u32), u64::from(value as u32));
    Ok(SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(mask), value)?)
}

/// Filters all threads of the process as an enclave, for good.
///
/// **Errors**: [`FilterError`]; no thread is then filtered.
pub fn install() -> Result<(), FilterError> {
    enclave()?.install_on_all_threads()
}

/// What identifies the rules, as part of a boot report's engine digest.
pub fn digest() -> Digest {
    Digest::of("symphony/sandbox-filter/v1", &(FREE, FILTER_VERSION))
}

fn enclave() -> Result<Filter, FilterError> {
    let mut filter = Filter::allowing(FREE).when(libc::SYS_read, &[equal(0, 0)?])?;
    for call in [libc::SYS_write, libc::SYS_writev] {
        filter = filter.when(call, &[equal(0, 1)?])?.when(call, &[equal(0, 2)?])?;
    }
    filter.with_plain_memory()
}

/// Calls that are harmless with any argument. Calls with a condition stand in [`enclave`].
const FREE: &[i64] = &[
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
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
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_yield,
    libc::SYS_sigaltstack,
];

/// Rises with every change of the conditions, and of what they are put on: all threads since 2.
const FILTER_VERSION: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the program as the kernel would, on one call.
    fn verdict(program: &BpfProgram, call: i64, arguments: [u64; 6]) -> u32 {
        let mut data = Vec::new();
        data.extend_from_slice(&(call as u32).to_le_bytes());
        let arch: u32 = if cfg!(target_arch = "x86_64") { 0xC000_003E } else { 0xC000_00B7 };
        data.extend_from_slice(&arch.to_le_bytes());
        data.extend_from_slice(&[0; 8]);
        arguments.iter().for_each(|argument| data.extend_from_slice(&argument.to_le_bytes()));
        let (mut at, mut register) = (0, 0_u32);
        loop {
            let step = &program[at];
            let jump = |holds: bool| usize::from(if holds { step.jt } else { step.jf });
            at += 1;
            match step.code {
                0x20 => {
                    let offset = step.k as usize;
                    register = u32::from_le_bytes(data[offset..offset + 4].try_into().unwrap());
                }
                0x54 => register &= step.k,
                0x05 => at += step.k as usize,
                0x15 => at += jump(register == step.k),
                0x25 => at += jump(register > step.k),
                0x35 => at += jump(register >= step.k),
                0x06 => return step.k,
                code => panic!("unexpected instruction {code:#x}"),
            }
        }
    }

    const ALLOWED: u32 = 0x7fff_0000;
    const REFUSED: u32 = 0x0005_0000 | libc::EPERM as u32;

    /// R122, R127
    #[test]
    fn every_call_outside_the_list_is_refused() {
        let program = enclave().unwrap().program().unwrap();
        let conditional =
            [libc::SYS_read, libc::SYS_write, libc::SYS_writev, libc::SYS_mmap, libc::SYS_mprotect];
        for call in 0..1024 {
            if FREE.contains(&call) {
                assert_eq!(verdict(&program, call, [0; 6]), ALLOWED, "call {call}");
            } else if !conditional.contains(&call) && call != libc::SYS_tgkill {
                assert_eq!(verdict(&program, call, [0; 6]), REFUSED, "call {call}");
            }
        }
        for call in [
            libc::SYS_openat,
            libc::SYS_socket,
            libc::SYS_connect,
            libc::SYS_clone,
            libc::SYS_clone3,
            libc::SYS_execve,
            libc::SYS_execveat,
            libc::SYS_ptrace,
            libc::SYS_process_vm_readv,
            libc::SYS_memfd_create,
            libc::SYS_pkey_mprotect,
            libc::SYS_personality,
            libc::SYS_io_uring_setup,
            libc::SYS_kill,
            libc::SYS_prctl,
        ] {
            assert_eq!(verdict(&program, call, [0; 6]), REFUSED, "call {call}");
        }
    }

    /// R122
    #[test]
    fn memory_is_anonymous_and_never_executable() {
        let program = enclave().unwrap().program().unwrap();
        for protection in 0..16_u64 {
            let executable = protection & libc::PROT_EXEC as u64 != 0;
            let expected = if executable { REFUSED } else { ALLOWED };
            let private = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u64;
            let map = [0, 4096, protection, private, u64::MAX, 0];
            assert_eq!(verdict(&program, libc::SYS_mmap, map), expected);
            assert_eq!(verdict(&program, libc::SYS_mprotect, [0, 4096, protection, 0, 0, 0]), expected);
            let of_a_file = [0, 4096, protection, libc::MAP_PRIVATE as u64, 3, 0];
            assert_eq!(verdict(&program, libc::SYS_mmap, of_a_file), REFUSED);
        }
    }

    /// R122
    #[test]
    fn only_the_three_pipes_pass_and_only_their_way() {
        let program = enclave().unwrap().program().unwrap();
        for descriptor in 0..64 {
            let passes = |call| verdict(&program, call, [descriptor, 0, 0, 0, 0, 0]) == ALLOWED;
            assert_eq!(passes(libc::SYS_read), descriptor == 0);
            assert_eq!(passes(libc::SYS_write), descriptor == 1 || descriptor == 2);
            assert_eq!(passes(libc::SYS_writev), descriptor == 1 || descriptor == 2);
            let own = u64::from(std::process::id());
            let signal = |group: u64| verdict(&program, libc::SYS_tgkill, [group, 1, 6, 0, 0, 0]);
            assert_eq!(signal(own), ALLOWED);
            assert_eq!(signal(own + 1 + descriptor), REFUSED);
        }
    }

    /// R122: the kernel itself, on one thread of this process.
    #[test]
    fn the_kernel_refuses_executable_memory_and_files_under_the_filter() {
        let refused = std::thread::spawn(|| {
            let before = memmap2::MmapMut::map_anon(4096).and_then(memmap2::MmapMut::make_exec).is_ok();
            enclave().unwrap().install().unwrap();
            let memory = memmap2::MmapMut::map_anon(4096);
            let plain = memory.is_ok();
            let executable = memory.and_then(memmap2::MmapMut::make_exec).map(drop).map_err(|e| e.kind());
            let file = std::fs::File::open("/dev/null").map(drop).map_err(|e| e.kind());
            let thread = std::thread::Builder::new().spawn(|| ()).map(drop).map_err(|e| e.kind());
            (before, plain, executable, file, thread)
        })
        .join()
        .unwrap();
        let denied = Err(std::io::ErrorKind::PermissionDenied);
        assert_eq!(refused, (true, true, denied, denied, denied));
    }
}
