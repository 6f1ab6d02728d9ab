//! The host's side: starts the measured program, checks its boot report, carries frames, ends it (R120, R121).
//!
//! A call is a request and its answer, and where the host serves them, questions of the enclave and their replies in between.
//! A call that does not come to its answer ends the enclave, so that nothing half said is left in a pipe that is used again.
//!
//! Each enclave has a keeper thread that starts the child and passes its frames. The thread is not a
//! convenience: the kernel ends a child with the *thread* that started it, and a thread of a pool may end early.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use symphony_types::canonical;
use symphony_types::digest::Digest;
use symphony_types::id::Measurement;
use zeroize::Zeroizing;

use crate::asking::QUESTIONS_MAX;
use crate::boot::{Boot, BootAnswer, Booted};
use crate::frame::{self, FrameError, Kind};
use crate::keys::{self, KeyError};
use crate::machine::{EnclaveMachine, MachineError, VendorMachine};
use crate::measure;
use crate::report::SignedBoot;
use crate::sandbox::LockedDown;

/// An enclave could not be started or did not answer.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The program cannot be read.
    #[error("measuring the enclave program")]
    Program(#[source] io::Error),
    /// The log cannot be written.
    #[error("opening the enclave's log")]
    Log(#[source] io::Error),
    /// The program cannot be started.
    #[error("starting the enclave")]
    Spawn(#[source] io::Error),
    /// The enclave will not boot; the text is its reason.
    #[error("the enclave refused to boot: {0}")]
    Refused(String),
    /// The machine gave no evidence for the enclave.
    #[error("having the machine vouch for the enclave")]
    Machine(#[from] MachineError),
    /// No challenge could be drawn for a start.
    #[error("drawing a challenge")]
    Nonce(#[from] KeyError),
    /// What the enclave said is neither an answer nor a question, or the answer to the boot frame is not one.
    #[error("the enclave's answer is malformed")]
    Malformed,
    /// The boot report names something else than was asked for.
    #[error("the boot report is wrong about its {0}")]
    Claim(&'static str),
    /// A frame could not be passed; the enclave is ended.
    #[error("speaking with the enclave")]
    Frame(#[from] FrameError),
    /// The enclave asked in a call that serves no questions, or while it started; it is ended.
    #[error("the enclave asked its host where no question is served")]
    Asked,
    /// The enclave put more questions than one call may have and was ended.
    #[error("the enclave put more than {QUESTIONS_MAX} questions in one call")]
    Questions,
    /// The enclave is gone.
    #[error("the enclave has ended")]
    Ended,
    /// The enclave did not answer in time and was ended.
    #[error("the enclave did not answer within {} ms", .0.as_millis())]
    Deadline(Duration),
}

/// Replies to a question of an enclave.
pub type Serve<'a> = dyn FnMut(&[u8]) -> Vec<u8> + 'a;

/// A running enclave. Ended on drop.
pub struct EnclaveProcess {
    program: PathBuf,
    log: PathBuf,
    boot: Mutex<Boot>,
    booted: Mutex<Arc<Booted>>,
    deadline: Duration,
    pid: AtomicU32,
    running: Mutex<Running>,
}

impl EnclaveProcess {
    /// Starts `program` with an empty environment and its messages appended to `log`, and checks that what
    /// answers is that program, under the asked identity, vouched for by the given machine. Blocks.
    ///
    /// **Errors**: [`HostError`]; nothing is left running then.
    pub fn spawn(program: &Path, boot: Boot, log: &Path) -> Result<Self, HostError> {
        let (running, booted) = start(program, &boot, log)?;
        Ok(Self {
            program: program.into(),
            log: log.into(),
            boot: Mutex::new(Boot { sealed_keys: Some(booted.sealed_keys.clone()), ..boot }),
            booted: Mutex::new(Arc::new(booted)),
            deadline: CALL_DEADLINE,
            pid: AtomicU32::new(running.child.id()),
            running: Mutex::new(running),
        })
    }

    /// Sets how long one call may take; two minutes otherwise.
    #[must_use]
    pub fn with_deadline(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// Passes a request and returns the answer. Blocks; calls from several threads queue.
    ///
    /// **Errors**: the enclave ended, broke the frame format, or was ended for being late or for a question. It then stays
    /// down until [`Self::respawn`].
    pub fn call(&self, request: &[u8]) -> Result<Vec<u8>, HostError> {
        self.running().call(request.to_vec(), self.deadline, None)
    }

    /// As [`Self::call`], and has `serve` reply to what the enclave asks meanwhile, on the calling thread, in the order of the
    /// questions and at most [`QUESTIONS_MAX`] times. The deadline is one for the whole call. `serve` must bound its own time
    /// and must not call this enclave; what it is told comes from the enclave and is measured, not trusted, and what it replies
    /// is at most a frame.
    ///
    /// **Errors**: as [`Self::call`], and a reply was late or longer than a frame, or the questions were too many: the enclave
    /// is then ended. When `serve` panics the enclave is ended as well.
    pub fn call_serving(&self, request: &[u8], serve: &mut Serve<'_>) -> Result<Vec<u8>, HostError> {
        self.running().call(request.to_vec(), self.deadline, Some(serve))
    }

    /// Ends the process, if it still runs, and starts the same program again. Without hardware it has the same keys, and the
    /// boot report stays valid, byte for byte, so that tasks under way continue. On hardware keys end with the process: the
    /// boot report is a new one, under a new challenge, and what was sealed to the old keys stays closed.
    ///
    /// **Errors**: as [`Self::spawn`]; the enclave is then down.
    pub fn respawn(&self) -> Result<(), HostError> {
        self.reborn(|_| {})
    }

    /// As [`Self::respawn`], and has the program make this ready, as in [`Boot::ready`], now and whenever it starts again.
    ///
    /// **Errors**: as [`Self::spawn`]; the enclave is then down.
    pub fn respawn_with(&self, ready: Vec<u8>) -> Result<(), HostError> {
        self.reborn(|boot| boot.ready = ready)
    }

    fn reborn(&self, change: impl FnOnce(&mut Boot)) -> Result<(), HostError> {
        let mut running = self.running();
        let mut boot = self.boot.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut boot);
        running.end();
        if let EnclaveMachine::Vendor(_) = boot.machine {
            boot.nonce = Digest(keys::challenge()?);
        }
        let (reborn, booted) = start(&self.program, &boot, &self.log)?;
        let mut known = self.booted.lock().unwrap_or_else(PoisonError::into_inner);
        let same = booted.boot == known.boot;
        match &boot.machine {
            EnclaveMachine::Software(_) if !same => return Err(HostError::Claim("earlier start")),
            EnclaveMachine::Software(_) => {}
            EnclaveMachine::Vendor(_) => *known = Arc::new(booted),
        }
        self.pid.store(reborn.child.id(), Ordering::Release);
        *running = reborn;
        Ok(())
    }

    /// The boot report of the latest start, already checked against what this host knows.
    pub fn boot(&self) -> SignedBoot {
        self.booted().boot.clone()
    }

    /// The enclave's keys for a later start of this host, closed to it; empty on hardware.
    pub fn sealed_keys(&self) -> Vec<u8> {
        self.booted().sealed_keys.clone()
    }

    /// What the sandbox held at the latest start.
    pub fn lockdown(&self) -> LockedDown {
        self.booted().lockdown.clone()
    }

    fn booted(&self) -> Arc<Booted> {
        // A replaced value is whole at all times.
        Arc::clone(&self.booted.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The process id of the latest start.
    pub fn pid(&self) -> u32 {
        self.pid.load(Ordering::Acquire)
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        // A caller that panicked left at worst an ended child, which the next call reports.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn start(program: &Path, boot: &Boot, log: &Path) -> Result<(Running, Booted), HostError> {
    let log = OpenOptions::new().create(true).append(true).open(log).map_err(HostError::Log)?;
    let mut running = Running::spawn(program, log)?;
    // The child measures itself meanwhile; it gets nothing before the two agree but what it boots with.
    let (measurement, answer) = std::thread::scope(|scope| {
        let measurement = scope.spawn(|| measure::program(program));
        let answer = running.call_wiped(boot.to_frame(), BOOT_DEADLINE, None);
        (measurement.join(), answer)
    });
    let measurement = measurement
        .map_err(|_| HostError::Program(io::Error::other("measuring panicked")))?
        .map_err(HostError::Program)?;
    let answer = bcs::from_bytes(&answer?).map_err(|_| HostError::Malformed)?;
    let booted = match (&boot.machine, answer) {
        (EnclaveMachine::Software(_), BootAnswer::Booted(booted)) => *booted,
        (EnclaveMachine::Vendor(machine), BootAnswer::Wanted(bytes)) => {
            vouched(&mut running, machine, &bytes)?
        }
        (_, BootAnswer::Refused(reason)) => return Err(HostError::Refused(reason)),
        (EnclaveMachine::Software(_), BootAnswer::Wanted(_))
        | (EnclaveMachine::Vendor(_), BootAnswer::Booted(_)) => return Err(HostError::Malformed),
    };
    check(&booted.boot, boot, measurement)?;
    Ok((running, booted))
}

/// Has the machine vouch for a waiting enclave, and the enclave answer.
fn vouched(running: &mut Running, machine: &VendorMachine, wanted: &[u8]) -> Result<Booted, HostError> {
    let wanted = <&[u8; 64]>::try_from(wanted).map_err(|_| HostError::Malformed)?;
    let vouched = machine.vouch(wanted)?;
    let answer = running.call(canonical::to_bytes(&vouched), BOOT_DEADLINE, None)?;
    match bcs::from_bytes(&answer).map_err(|_| HostError::Malformed)? {
        BootAnswer::Booted(booted) if booted.boot.body.binding().report_data() == *wanted => Ok(*booted),
        BootAnswer::Booted(_) => Err(HostError::Claim("bound bytes")),
        BootAnswer::Refused(reason) => Err(HostError::Refused(reason)),
        BootAnswer::Wanted(_) => Err(HostError::Malformed),
    }
}

fn check(answer: &SignedBoot, asked: &Boot, measurement: Measurement) -> Result<(), HostError> {
    let (body, identity) = (&answer.body, &asked.identity);
    let (vouched, platform, measured) = match &asked.machine {
        EnclaveMachine::Software(seed) => (
            answer.quoted_by(&seed.public()),
            body.platform == seed.platform(),
            body.measurement == measurement,
        ),
        // The machine's own word was verified; the program is part of what it measures.
        EnclaveMachine::Vendor(_) => (answer.vendor_word().is_some(), true, true),
    };
    let claims = [
        (vouched, "voucher"),
        (platform, "platform"),
        (measured, "measurement"),
        (body.nonce == asked.nonce, "nonce"),
        (body.chain == identity.chain, "chain"),
        (body.node == identity.node, "node"),
        (body.actor == identity.actor, "actor"),
        (body.role == identity.role, "role"),
    ];
    match claims.iter().find(|(holds, _)| !holds) {
        Some((_, claim)) => Err(HostError::Claim(claim)),
        None => Ok(()),
    }
}

/// One process and the thread that feeds it.
struct Running {
    child: Child,
    jobs: Option<mpsc::Sender<Job>>,
    keeper: Option<JoinHandle<()>>,
}

/// One frame to the enclave, and where the one goes that it says next.
struct Job {
    told: Zeroizing<Vec<u8>>,
    said: mpsc::Sender<Result<(Kind, Vec<u8>), HostError>>,
}

impl Running {
    fn spawn(program: &Path, log: File) -> Result<Self, HostError> {
        let mut command = Command::new(program);
        command.env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let (jobs, inbox) = mpsc::channel();
        let (started, child) = mpsc::channel();
        let keeper = std::thread::Builder::new()
            .name("enclave-keeper".into())
            .spawn(move || keep(command, &started, &inbox))
            .map_err(HostError::Spawn)?;
        let child = child.recv().map_err(|_| HostError::Ended)?.map_err(HostError::Spawn)?;
        Ok(Self { child, jobs: Some(jobs), keeper: Some(keeper) })
    }

    fn call(
        &mut self,
        request: Vec<u8>,
        deadline: Duration,
        serve: Option<&mut Serve<'_>>,
    ) -> Result<Vec<u8>, HostError> {
        self.call_wiped(Zeroizing::new(request), deadline, serve)
    }

    fn call_wiped(
        &mut self,
        request: Zeroizing<Vec<u8>>,
        deadline: Duration,
        serve: Option<&mut Serve<'_>>,
    ) -> Result<Vec<u8>, HostError> {
        let mut call = UnderWay { running: self, answered: false };
        let answer = call.running.converse(request, deadline, serve)?;
        call.answered = true;
        Ok(answer)
    }

    fn converse(
        &self,
        request: Zeroizing<Vec<u8>>,
        deadline: Duration,
        mut serve: Option<&mut Serve<'_>>,
    ) -> Result<Vec<u8>, HostError> {
        let began = Instant::now();
        let (mut told, mut asked) = (request, 0);
        loop {
            let left = deadline.checked_sub(began.elapsed()).ok_or(HostError::Deadline(deadline))?;
            let question = match self.pass(told, left)? {
                None => return Err(HostError::Deadline(deadline)),
                Some((Kind::Answer, answer)) => return Ok(answer),
                Some((Kind::Question, question)) => question,
            };
            let serve = serve.as_mut().ok_or(HostError::Asked)?;
            if asked == QUESTIONS_MAX {
                return Err(HostError::Questions);
            }
            asked += 1;
            told = Zeroizing::new(serve(&question));
        }
    }

    /// Tells the enclave one frame and waits for what it says; `None` when it says nothing in time.
    fn pass(&self, told: Zeroizing<Vec<u8>>, wait: Duration) -> Result<Option<(Kind, Vec<u8>)>, HostError> {
        let (said, hears) = mpsc::channel();
        let jobs = self.jobs.as_ref().ok_or(HostError::Ended)?;
        jobs.send(Job { told, said }).map_err(|_| HostError::Ended)?;
        match hears.recv_timeout(wait) {
            Ok(said) => said.map(Some),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(HostError::Ended),
        }
    }

    fn end(&mut self) {
        self.jobs = None;
        // Both fail only on a child that has already ended and been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(keeper) = self.keeper.take() {
            // The keeper has nothing that panics; if it did, it is gone all the same.
            let _ = keeper.join();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// A call that ends its enclave unless it comes to its answer: also when who serves the questions panics.
struct UnderWay<'a> {
    running: &'a mut Running,
    answered: bool,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.running.end();
        }
    }
}

fn keep(mut command: Command, started: &mpsc::Sender<io::Result<Child>>, inbox: &mpsc::Receiver<Job>) {
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            let _ = started.send(Err(error));
            return;
        }
    };
    let (Some(mut to), Some(mut from)) = (child.stdin.take(), child.stdout.take()) else { return };
    if started.send(Ok(child)).is_err() {
        return;
    }
    while let Ok(Job { told, said }) = inbox.recv() {
        let passed = frame::write(&mut to, &told).and_then(|()| frame::hear(&mut from));
        drop(told);
        // Who asked may have stopped waiting; the child is then being ended.
        let _ = said.send(match passed {
            Ok(Some(heard)) => Ok(heard),
            Ok(None) => Err(HostError::Ended),
            Err(FrameError::Pipe(_) | FrameError::Truncated) => Err(HostError::Ended),
            Err(FrameError::Unknown) => Err(HostError::Malformed),
            Err(error @ FrameError::TooLong(_)) => Err(error.into()),
        });
    }
}

const BOOT_DEADLINE: Duration = Duration::from_secs(30);
const CALL_DEADLINE: Duration = Duration::from_secs(120);
