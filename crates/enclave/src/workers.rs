//! The threads of an enclave beside the one that answers: how many, when they begin, and who has none.
//!
//! They are started before the filter of system calls, which allows no new thread, and end with the process. Trainings keep
//! to the one thread of the global pool and do not come here.

use std::io;
use std::num::NonZeroUsize;
use std::thread;

use rayon::{ThreadPool, ThreadPoolBuilder};
use symphony_tee::report::EnclaveRole;

/// The workers of an enclave; none where the answering thread does it all.
#[derive(Default)]
pub struct Workers(Option<ThreadPool>);

impl Workers {
    /// How many threads this machine has for an enclave's workers: its cores, at most eight. Reads files, so call it
    /// before the lock-down.
    pub fn wanted() -> usize {
        thread::available_parallelism().map_or(1, NonZeroUsize::get).min(WORKERS_MAX)
    }

    /// Starts the workers of an enclave of this role; those of a slice executor only, and none for one core. Returns once
    /// each runs what it is given.
    ///
    /// **Errors**: a thread could not be started.
    pub fn start(role: EnclaveRole, threads: usize) -> io::Result<Self> {
        match role {
            EnclaveRole::Slice if threads > 1 => {}
            EnclaveRole::Slice | EnclaveRole::Aggregator => return Ok(Self::default()),
        }
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads.min(WORKERS_MAX))
            .thread_name(|number| format!("slice-{number}"))
            .build()
            .map_err(io::Error::other)?;
        // All of them have done what a thread does to begin when all of them have done this.
        pool.broadcast(|_| ());
        Ok(Self(Some(pool)))
    }

    /// Runs on the workers, where what is split with `rayon` is shared among them, and waits; without workers on the
    /// calling thread. A panic in it comes out here.
    pub fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        match &self.0 {
            Some(pool) => pool.install(work),
            None => work(),
        }
    }

    /// How many threads share the work; 1 without workers.
    pub fn count(&self) -> usize {
        self.0.as_ref().map_or(1, ThreadPool::current_num_threads)
    }
}

/// Threads that one enclave has beside its first one, at most: a node has other work for its cores.
const WORKERS_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use rayon::prelude::*;
    use symphony_tee::asking::{AskError, Host, Unserved};

    use super::*;

    #[test]
    fn a_slice_executor_has_workers_and_an_aggregator_has_none() {
        let count = |role, threads| Workers::start(role, threads).unwrap().count();
        assert_eq!(count(EnclaveRole::Slice, 3), 3);
        assert_eq!(count(EnclaveRole::Slice, 100), WORKERS_MAX);
        assert_eq!(count(EnclaveRole::Slice, 1), 1);
        assert_eq!(count(EnclaveRole::Aggregator, 3), 1);
        assert!((1..=WORKERS_MAX).contains(&Workers::wanted()));
    }

    /// Each waits for the other, so that one thread alone would never end.
    #[test]
    fn work_is_shared_among_workers() {
        let workers = Workers::start(EnclaveRole::Slice, 2).unwrap();
        let meeting = Barrier::new(2);
        let met = workers.run(|| {
            let both = rayon::join(|| meeting.wait().is_leader(), || meeting.wait().is_leader());
            usize::from(both.0) + usize::from(both.1)
        });
        assert_eq!(met, 1);
    }

    #[test]
    fn the_same_work_is_done_with_and_without_workers_and_its_panic_comes_out() {
        for workers in [Workers::default(), Workers::start(EnclaveRole::Slice, 4).unwrap()] {
            assert_eq!(workers.run(|| (0..10_000_u64).into_par_iter().sum::<u64>()), 49_995_000);
            let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                workers.run(|| [1, 2, 3].par_iter().for_each(|number| assert_ne!(*number, 2)));
            }));
            assert!(panicked.is_err());
            assert_eq!(workers.run(|| 7), 7);
        }
    }

    #[test]
    fn a_worker_may_ask_for_the_thread_that_answers() {
        let workers = Workers::start(EnclaveRole::Slice, 2).unwrap();
        let host: &mut dyn Host = &mut Unserved;
        assert_eq!(workers.run(|| host.ask(b"a range")), Err(AskError::Unserved));
    }
}
