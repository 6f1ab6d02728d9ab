//! One seat's guard as the hosts of that seat see it: up or down, with its memory or without, and every signature
//! that it gave written down (R198).

use symphony_consensus::quorum::committee::{Committee, GuardBoot, Seat, Step};
use symphony_consensus::quorum::guard::{
    Ask, Identity, Kept, LocalGuard, Memory, Refusal, Rules, Strictness, VoteGuard,
};
use symphony_types::digest::Digest;
use symphony_types::id::NodeId;
use symphony_types::key::{Consensus, PrivateKey, PublicKey, Signature, Signed, SoftwarePlatform};

/// How a guard comes back from a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Return {
    /// With its key and all that it signed: it keeps its state before a signature leaves.
    Trusted,
    /// With a new key, which the cluster has to admit.
    NewKey,
    /// With its old key and no memory: a negative control.
    Forgetful,
}

/// One signature that left a guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Given {
    /// The seat.
    pub seat: Seat,
    /// The key.
    pub key: PublicKey<Consensus>,
    /// The slot.
    pub slot: (u64, u32, Step),
    /// The block.
    pub block: Option<Digest>,
}

/// A guard with everything around it.
pub struct Guard {
    seat: Seat,
    node: NodeId,
    founding: Committee,
    strictness: Strictness,
    platform: [u8; 32],
    key: [u8; 32],
    boot: Option<Signed<GuardBoot, SoftwarePlatform>>,
    running: Option<LocalGuard>,
    memory: (Memory, Committee),
    blocks: Vec<Kept>,
    /// Signatures since somebody last took them.
    pub given: Vec<Given>,
    /// Refusals since somebody last took them.
    pub refused: Vec<(Ask, Refusal)>,
    /// Leaves proposals unsigned: the host has other plans for that slot.
    pub holds_proposals: bool,
}

impl Guard {
    /// A guard with the founding key of a seat.
    pub fn new(seat: Seat, founding: Committee, strictness: Strictness, seeds: ([u8; 32], [u8; 32])) -> Self {
        let (key, platform) = seeds;
        let node = founding.members[usize::from(seat.0)].node.clone();
        let mut guard = Self {
            seat,
            node,
            memory: (Memory::default(), founding.clone()),
            blocks: Vec::new(),
            founding,
            strictness,
            platform,
            key,
            boot: None,
            running: None,
            given: Vec::new(),
            refused: Vec::new(),
            holds_proposals: false,
        };
        guard.start();
        guard
    }

    /// The key that it votes with.
    pub fn key(&self) -> PublicKey<Consensus> {
        PrivateKey::<Consensus>::from_seed(&self.key).public()
    }

    /// Whether it answers.
    pub fn is_up(&self) -> bool {
        self.running.is_some()
    }

    /// Ends it.
    pub fn crash(&mut self) {
        if let Some(mut guard) = self.running.take() {
            self.blocks = guard.kept().unwrap_or_default();
            self.memory = (guard.rules().memory().clone(), guard.rules().committee().clone());
        }
    }

    /// Starts it again. `seed` is the secret of a new key, if it makes one.
    pub fn come_back(&mut self, how: Return, seed: [u8; 32]) {
        self.crash();
        match how {
            Return::Trusted => {}
            Return::Forgetful => (self.memory.0, self.blocks) = (Memory::default(), Vec::new()),
            Return::NewKey => {
                self.key = seed;
                (self.memory, self.blocks) = ((Memory::default(), self.founding.clone()), Vec::new());
                let key = self.key();
                let boot = GuardBoot {
                    cluster: self.founding.cluster,
                    node: self.node.clone(),
                    key,
                    nonce: Digest::tagged("symphony/sim-nonce/v1", &seed),
                };
                self.boot = Some(PrivateKey::<SoftwarePlatform>::from_seed(&self.platform).sign(boot));
            }
        }
        self.start();
    }

    fn start(&mut self) {
        let (memory, committee) = self.memory.clone();
        let mut rules = Rules::new(self.seat, self.founding.clone(), self.strictness, memory);
        if let Err(refusal) = rules.install(&committee) {
            unreachable!("invariant: a guard keeps a committee that it took: {refusal}");
        }
        let key = PrivateKey::from_seed(&self.key);
        let mut guard = LocalGuard::new(key, self.boot.clone(), rules);
        for kept in &self.blocks {
            // It keeps what it kept.
            let _ = guard.keep(kept);
        }
        self.running = Some(guard);
    }

    /// Signs past [`Guard::holds_proposals`].
    pub fn sign_now(&mut self, ask: &Ask) -> Result<Signature, Refusal> {
        let Some(guard) = self.running.as_mut() else { return Err(Refusal::Unreachable) };
        let signed = guard.sign(ask);
        match &signed {
            Ok(_) => self.given.push(Given {
                seat: self.seat,
                key: self.key(),
                slot: (ask.height, ask.round, ask.step),
                block: ask.block,
            }),
            Err(refusal) => self.refused.push((ask.clone(), *refusal)),
        }
        signed
    }
}

impl VoteGuard for Guard {
    fn sign(&mut self, ask: &Ask) -> Result<Signature, Refusal> {
        if self.holds_proposals && ask.step == Step::Propose {
            return Ok(UNSIGNED);
        }
        self.sign_now(ask)
    }

    fn install(&mut self, committee: &Committee) -> Result<(), Refusal> {
        self.running.as_mut().ok_or(Refusal::Unreachable)?.install(committee)
    }

    fn identity(&mut self) -> Result<Identity, Refusal> {
        self.running.as_mut().ok_or(Refusal::Unreachable)?.identity()
    }

    fn memory(&mut self) -> Result<Memory, Refusal> {
        self.running.as_mut().ok_or(Refusal::Unreachable)?.memory()
    }

    fn keep(&mut self, kept: &Kept) -> Result<(), Refusal> {
        self.running.as_mut().ok_or(Refusal::Unreachable)?.keep(kept)
    }

    fn kept(&mut self) -> Result<Vec<Kept>, Refusal> {
        self.running.as_mut().ok_or(Refusal::Unreachable)?.kept()
    }
}

/// Stands where the host will put another signature.
pub const UNSIGNED: Signature = Signature([1; 64]);
