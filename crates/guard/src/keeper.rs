//! A guard whose word is kept before it is given: nothing that it signed leaves before the disk has it
//! (R198, R205).
//!
//! A strict guard keeps nothing, because it ends with its process. A trusted one appends each vote, and writes its
//! whole state when the committee changes, the votes are full, or an append has failed. While that fails too, the guard
//! answers as if it were not there.

use std::io;

use symphony_consensus::quorum::committee::Committee;
use symphony_consensus::quorum::guard::{Ask, Identity, Kept, LocalGuard, Memory, Refusal, VoteGuard};
use symphony_types::id::NodeId;
use symphony_types::key::Signature;
use zeroize::Zeroizing;

use crate::store::{Open, Store, Vote};

/// A guard with its folder.
pub struct Keeper {
    guard: LocalGuard,
    store: Store,
    trusted: Option<Trusted>,
}

/// What a trusted guard writes besides its rules.
pub struct Trusted {
    /// The secret of its key.
    pub seed: Zeroizing<[u8; 32]>,
    /// The master that it votes for.
    pub node: NodeId,
    /// Whether the disk lacks something that only a whole state brings.
    pub stale: bool,
}

impl Keeper {
    /// A guard that keeps its word in `store` if it is `trusted`. The store is held in any case.
    pub fn new(guard: LocalGuard, store: Store, trusted: Option<Trusted>) -> Self {
        Self { guard, store, trusted }
    }

    /// The folder.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Brings the disk up to date. **Errors**: [`Refusal::Unreachable`] when it cannot be.
    pub fn persist(&mut self) -> Result<(), Refusal> {
        let Some(trusted) = self.trusted.as_mut().filter(|trusted| trusted.stale) else { return Ok(()) };
        let Identity { seat, boot, .. } = self.guard.identity()?;
        let committee = self.guard.rules().committee().clone();
        let memory = self.guard.rules().memory().clone();
        let node = trusted.node.clone();
        let open = Open { cluster: committee.cluster, node, seat, boot, committee, memory };
        match self.store.write(&trusted.seed, &open) {
            Ok(()) => {
                trusted.stale = false;
                Ok(())
            }
            Err(error) => Err(refused("state", &error)),
        }
    }

    /// Keeps one vote, if the votes before it are kept.
    fn append(&mut self, ask: &Ask, signature: Signature) {
        if let Some(trusted) = self.trusted.as_mut().filter(|trusted| !trusted.stale) {
            let Ask { height, round, step, block, .. } = *ask;
            trusted.stale = !self.store.append(&Vote { height, round, step, block, signature });
        }
    }
}

impl VoteGuard for Keeper {
    fn sign(&mut self, ask: &Ask) -> Result<Signature, Refusal> {
        let repeated = remembers(self.guard.rules().memory(), ask);
        let signature = self.guard.sign(ask)?;
        if !repeated {
            self.append(ask, signature);
        }
        self.persist()?;
        Ok(signature)
    }

    fn install(&mut self, committee: &Committee) -> Result<(), Refusal> {
        let repeated = self.guard.rules().committee() == committee;
        self.guard.install(committee)?;
        if let Some(trusted) = self.trusted.as_mut().filter(|_| !repeated) {
            trusted.stale = true;
        }
        self.persist()
    }

    fn identity(&mut self) -> Result<Identity, Refusal> {
        self.guard.identity()
    }

    fn memory(&mut self) -> Result<Memory, Refusal> {
        // It holds signatures, which leave with it.
        self.persist()?;
        self.guard.memory()
    }

    fn keep(&mut self, kept: &Kept) -> Result<(), Refusal> {
        self.guard.keep(kept)?;
        if self.trusted.is_none() {
            return Ok(());
        }
        let stays = self.guard.kept()?.into_iter().find(|other| other != kept);
        self.store.keep(kept, stays.map(|other| other.polka.block)).map_err(|error| refused("block", &error))
    }

    fn kept(&mut self) -> Result<Vec<Kept>, Refusal> {
        self.guard.kept()
    }
}

/// Says what the disk did not take.
fn refused(what: &str, error: &io::Error) -> Refusal {
    let (what, cause) = (format!("{what} not kept"), error.to_string());
    eprintln!("{}", serde_json::json!({ "level": "ERROR", "what": what, "cause": cause }));
    Refusal::Unreachable
}

fn remembers(memory: &Memory, ask: &Ask) -> bool {
    let slot = (ask.round, ask.step);
    memory.height == ask.height && memory.signed.iter().any(|(round, step, ..)| (*round, *step) == slot)
}
