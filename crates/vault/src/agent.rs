//! Keeps the slice enclaves of a Vault alive (R116, R121, R199): the one that does all work, and those beside it that read segments.
//!
//! Without hardware the enclave's keys, sealed to the platform, and the nonce of its boot report stay in the node's folder, so
//! that the boot report is the same after every restart of enclave or node. Another program gets other keys. On hardware keys
//! end with the process, and each start has keys and evidence of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use symphony_tee::boot::{Boot, Identity};
use symphony_tee::host::{EnclaveProcess, HostError, Serve};
use symphony_tee::machine::EnclaveMachine;
use symphony_tee::report::SignedBoot;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_wire::documents;
use symphony_wire::enclave::{Answer, Call, ModuleCode};

use crate::keys;
use crate::problem::Problem;

/// A running slice enclave, and those beside it.
pub struct Agent {
    process: EnclaveProcess,
    /// Modules that the enclave has, the latest one last.
    modules: Mutex<Vec<ModuleCode>>,
    /// Further enclaves, which read portions of segments and nothing else.
    beside: Vec<Agent>,
    watch: Option<Arc<Watch>>,
}

/// Told the process of an enclave that asks while it reads a portion: for tests of what its loss leaves.
pub type Watch = dyn Fn(u32) + Send + Sync;

/// How a slice enclave is started.
#[derive(Clone)]
pub struct AgentConfig {
    /// The measured program.
    pub program: PathBuf,
    /// Whom it serves.
    pub identity: Identity,
    /// The machine under it.
    pub machine: EnclaveMachine,
    /// The node's folder.
    pub folder: PathBuf,
    /// The modules that are approved now. On hardware, where keys end with the process, the enclave begins with them; else it
    /// is started again for the first task of each.
    pub modules: Vec<ModuleCode>,
    /// Enclaves that share the segments of a slice, this one among them.
    pub executors: usize,
}

impl Agent {
    /// Starts the enclaves and checks their boot reports. Blocks. **Errors**: one does not start or does not verify.
    pub fn start(config: AgentConfig) -> anyhow::Result<Self> {
        let beside = (2..=config.executors).map(|number| {
            let folder = config.folder.join(format!("executor-{number}"));
            fs::create_dir_all(&folder)?;
            Self::start(AgentConfig { folder, modules: vec![], executors: 1, ..config.clone() })
        });
        let beside = beside.collect::<anyhow::Result<_>>()?;
        Ok(Self { beside, ..Self::alone(config)? })
    }

    fn alone(config: AgentConfig) -> anyhow::Result<Self> {
        let AgentConfig { program, identity, machine, folder, mut modules, executors: _ } = config;
        match machine {
            EnclaveMachine::Software(_) => modules.clear(),
            EnclaveMachine::Vendor(_) => modules.truncate(MODULES_MAX),
        }
        let ready = if modules.is_empty() { vec![] } else { documents::encode(&modules) };
        let (keys_file, log) = (folder.join("enclave.keys"), folder.join("enclave.log"));
        let boot = |kept: Option<(Digest, Vec<u8>)>| -> anyhow::Result<Boot> {
            let (nonce, sealed_keys) = match kept {
                Some((nonce, sealed_keys)) => (nonce, Some(sealed_keys)),
                None => (Digest(*keys::random()?), None),
            };
            let (identity, machine) = (identity.clone(), machine.clone());
            Ok(Boot { identity, machine, nonce, sealed_keys, ready: ready.clone() })
        };
        let kept = kept(&keys_file).filter(|_| matches!(machine, EnclaveMachine::Software(_)));
        let again = kept.is_some();
        let process = match EnclaveProcess::spawn(&program, boot(kept)?, &log) {
            Err(HostError::Refused(reason)) if again => {
                tracing::warn!(%reason, "the enclave cannot use its earlier keys and makes new ones");
                EnclaveProcess::spawn(&program, boot(None)?, &log)?
            }
            other => other?,
        };
        if let EnclaveMachine::Software(_) = machine {
            let nonce = process.boot().body.nonce;
            let draft = keys_file.with_extension("keys.new");
            fs::write(&draft, documents::encode(&(nonce, process.sealed_keys())))?;
            fs::rename(draft, keys_file)?;
        }
        Ok(Self { process, modules: Mutex::new(modules), beside: vec![], watch: None })
    }

    /// The same with these enclaves beside it, in place of those that it has.
    #[must_use]
    pub fn with_beside(self, beside: Vec<Self>) -> Self {
        Self { beside, ..self }
    }

    /// The same, whose calls end after this time.
    #[must_use]
    pub fn with_deadline(self, deadline: Duration) -> Self {
        let beside = self.beside.into_iter().map(|agent| agent.with_deadline(deadline)).collect();
        Self { process: self.process.with_deadline(deadline), beside, ..self }
    }

    /// The same, telling a watch.
    #[must_use]
    pub fn watched(self, watch: Arc<Watch>) -> Self {
        Self { watch: Some(watch), ..self }
    }

    /// All enclaves, this one first.
    pub(crate) fn executors(&self) -> Vec<&Self> {
        std::iter::once(self).chain(&self.beside).collect()
    }

    /// Tells that an executor asked.
    pub(crate) fn asked(&self, executor: &Self) {
        self.watch.iter().for_each(|watch| watch(executor.pid()));
    }

    /// The signed boot report, canonical bytes.
    pub fn boot(&self) -> Vec<u8> {
        self.process.boot().to_canonical()
    }

    /// The signed boot report.
    pub fn report(&self) -> SignedBoot {
        self.process.boot()
    }

    /// The process id of the enclave.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Asks the enclave for a run of a module; starts it again with the module when it lacks it, because code is compiled
    /// before the enclave is locked down. Blocks. **Errors**: as [`Self::call`].
    pub fn run(&self, call: &Call, module: &ModuleCode) -> Result<Answer, Problem> {
        match self.call(call)? {
            Answer::ModuleWanted => {
                let mut modules = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
                modules.retain(|known| known.code != module.code);
                if modules.len() == MODULES_MAX {
                    modules.remove(0);
                }
                modules.push(module.clone());
                self.process
                    .respawn_with(documents::encode(&*modules))
                    .map_err(|error| Problem::fault("the enclave does not start with the module", error))?;
                drop(modules);
                self.call(call)
            }
            answer => Ok(answer),
        }
    }

    /// Asks the enclave; starts it again once if it has died. Blocks. **Errors**: its refusal, or it is gone.
    pub fn call(&self, call: &Call) -> Result<Answer, Problem> {
        self.twice(&mut || self.process.call(&documents::encode(call)))
    }

    /// As [`Self::call`], and has `serve` reply to what the enclave asks meanwhile, as in [`EnclaveProcess::call_serving`]. An
    /// enclave that is started again asks from the beginning. Blocks. **Errors**: as [`Self::call`].
    pub fn call_serving(&self, call: &Call, serve: &mut Serve<'_>) -> Result<Answer, Problem> {
        self.twice(&mut || self.process.call_serving(&documents::encode(call), serve))
    }

    /// As [`Self::call_serving`], but once: an enclave that is lost is started again for later calls. **Errors**: as [`Self::call`].
    pub(crate) fn try_serving(&self, call: &Call, serve: &mut Serve<'_>) -> Result<Answer, Problem> {
        let answer = self.process.call_serving(&documents::encode(call), serve).inspect_err(|error| {
            tracing::warn!(error = error as &dyn std::error::Error, "an executor is lost and started again");
            if let Err(error) = self.process.respawn() {
                tracing::error!(error = &error as &dyn std::error::Error, "an executor does not start");
            }
        });
        told(answer)
    }

    /// Calls, and once more with the enclave started again when that failed.
    fn twice(&self, attempt: &mut dyn FnMut() -> Result<Vec<u8>, HostError>) -> Result<Answer, Problem> {
        let answer = attempt().or_else(|error| {
            tracing::warn!(error = &error as &dyn std::error::Error, "the enclave is started again");
            self.process.respawn()?;
            attempt()
        });
        told(answer)
    }
}

fn told(answer: Result<Vec<u8>, HostError>) -> Result<Answer, Problem> {
    let answer = answer.map_err(|error| Problem::fault("the enclave does not answer", error))?;
    match documents::decode(&answer) {
        Ok(Answer::Refused { code, detail }) => Err(Problem::refused(code, detail)),
        Ok(answer) => Ok(answer),
        Err(error) => Err(Problem::fault("the enclave's answer is malformed", error)),
    }
}

/// The enclave gave an answer to another question.
pub(crate) fn wrong_answer() -> Problem {
    Problem::refused(Code::Internal, "the enclave answered another question")
}

/// Modules that one enclave has at once; each takes address space for its memory.
const MODULES_MAX: usize = 16;

fn kept(file: &Path) -> Option<(Digest, Vec<u8>)> {
    documents::decode(&fs::read(file).ok()?).ok()
}
