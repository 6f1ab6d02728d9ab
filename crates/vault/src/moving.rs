//! Moving everything to another Vault, when the council has decided so (R081): the steps that masters carry between the two.
//!
//! ```text
//! destination: invite ──► source: erase what arrived, offer the next batch ──► destination: accept ──► invite ──► ...
//!                         source: nothing is left, both sign so
//! ```
//!
//! Each Vault checks the council's decision in the governance log that it follows, the other's signature, and the other's enclave; the
//! records pass masters sealed from enclave to enclave. Every step may be repeated, and each Vault's journal has where it is, so
//! whatever a crash interrupts goes on with the next invitation. A record leaves the source only on the destination's signed
//! word that it is there.

mod arriving;
mod leaving;

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use symphony_protocol::artifact::Versions;
use symphony_protocol::governance::Governance;
use symphony_protocol::governance::registry::Move;
use symphony_protocol::vault::moving::Invitation;
use symphony_tee::appraise::AppraisalPolicy;
use symphony_tee::governed;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{SchemaVersion, VaultId};
use symphony_types::key::Document as _;
use symphony_wire::moving::{Ask, Cargo, Told};

use crate::agent::Agent;
use crate::enterprise::Enterprise;
use crate::keys;
use crate::problem::Problem;

/// What was just done in a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The source's enclave has sealed a batch.
    Sealed,
    /// The source's journal has it.
    Offered,
    /// The destination's enclave has opened it.
    Opened,
    /// The keys of its new people and documents are on disk.
    Keyed,
    /// The destination's journal and rows have it.
    Admitted,
    /// The source's journal and rows have its people no more.
    Confirmed,
    /// Their keys are overwritten.
    Overwritten,
    /// No segment of the source has rows of anybody.
    Emptied,
    /// The source's journal says so.
    Ended,
    /// The destination's journal says so.
    Closed,
}

/// Is told each step and may fail it: how tests stop a Vault wherever a crash could.
pub type Watch = dyn Fn(Step) -> io::Result<()> + Send + Sync;

/// What is known of moves beside the journal.
pub(crate) struct Moving {
    /// Items of a batch at most.
    items_max: AtomicUsize,
    /// The last invitation to each source. Another start makes another.
    invited: Mutex<BTreeMap<VaultId, Invitation>>,
    /// Held while a step is taken.
    stepping: tokio::sync::Mutex<()>,
    watch: Mutex<Option<Arc<Watch>>>,
}

impl Default for Moving {
    fn default() -> Self {
        let (invited, stepping, watch) = Default::default();
        Self { items_max: AtomicUsize::new(BATCH_ITEMS), invited, stepping, watch }
    }
}

impl Moving {
    fn invited(&self) -> MutexGuard<'_, BTreeMap<VaultId, Invitation>> {
        // Entries are put in whole, whoever panicked while holding them.
        self.invited.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Enterprise {
    /// Takes a step of a move, and says what the other Vault needs for the next.
    ///
    /// **Errors**: `VLT-0020` when the council wants no such move as far as this Vault knows, or the step is not the next; `VLT-0019`
    /// while tasks hold budget; `EXE-0003` and `EXE-0004` for an enclave that is not to be believed; `ADM-0003` for another's
    /// word; `VLT-0008` when the destination is full.
    pub async fn step_of_move(
        self: Arc<Self>,
        agent: Arc<Agent>,
        ask: Ask,
        cargo: Cargo,
    ) -> Result<(Told, Cargo), Problem> {
        let this = Arc::clone(&self);
        let runtime = tokio::runtime::Handle::current();
        let work = tokio::task::spawn_blocking(move || {
            runtime.block_on(async {
                let _one_at_a_time = this.moving.stepping.lock().await;
                this.step(&agent, ask, cargo).await
            })
        });
        work.await.map_err(|error| Problem::fault("a step of a move panicked", error))?
    }

    async fn step(&self, agent: &Agent, ask: Ask, cargo: Cargo) -> Result<(Told, Cargo), Problem> {
        // A move waits until the council lets both Vaults serve again.
        self.serves()?;
        match ask {
            Ask::Invite { from } => self.invite(agent, &from),
            Ask::Offer { invitation, receipt } => self.offer(agent, &invitation, receipt, &cargo.boot).await,
            Ask::Accept { offer } => {
                let standing = self.accept(agent, &offer, &cargo).await?;
                Ok((Told::Stands { standing }, Cargo::default()))
            }
            Ask::Close { last } => {
                let standing = self.close_move(last).await?;
                Ok((Told::Stands { standing }, Cargo::default()))
            }
        }
    }

    /// The same invitation until its batch is here, so that masters who carry the same step do not undo each other's.
    fn invite(&self, agent: &Agent, from: &VaultId) -> Result<(Told, Cargo), Problem> {
        let followed = self.followed();
        let proposal = decided(followed.governance(), from, &self.vault)?.since.by;
        let boot = agent.report();
        let standing = self.state().inbound(from, proposal);
        let mut invited = self.moving.invited();
        let known = invited.get(from).filter(|known| {
            (known.proposal, known.batches, known.boot) == (proposal, standing.batches, boot.body.digest())
        });
        let invitation = match known {
            Some(known) => known.clone(),
            None => {
                let challenge = keys::random().map_err(|error| Problem::fault("no randomness", error))?;
                let invitation = Invitation {
                    proposal,
                    from: from.clone(),
                    to: self.vault.clone(),
                    batches: standing.batches,
                    challenge: Digest(*challenge),
                    boot: boot.body.digest(),
                };
                invited.insert(from.clone(), invitation.clone());
                invitation
            }
        };
        let (invitation, standing) = (self.keys.signing.sign(invitation), self.keys.signing.sign(standing));
        let cargo = Cargo { boot: boot.to_canonical(), ..Cargo::default() };
        Ok((Told::Invited { invitation, standing }, cargo))
    }

    /// Whether this Vault may take more in. **Errors**: `VLT-0018` once the council has moved what it keeps.
    pub(crate) fn stays(&self) -> Result<(), Problem> {
        let followed = self.followed();
        let gone = followed.governance().registry.moves.get(&self.vault);
        gone.map_or(Ok(()), |known| {
            Err(Problem::refused(Code::VaultMoving, format!("what this vault keeps moves to {}", known.to)))
        })
    }

    /// Tells all steps of moves from now on to a watch: for tests of what a crash leaves.
    pub fn watch_moves(&self, watch: Arc<Watch>) {
        *self.moving.watch.lock().unwrap_or_else(PoisonError::into_inner) = Some(watch);
    }

    /// Puts so many items into a batch from now on: for tests of moves of many batches.
    pub fn limit_move_batches(&self, items: usize) {
        self.moving.items_max.store(items.max(1), Ordering::Relaxed);
    }

    fn told(&self, step: Step) -> Result<(), Problem> {
        let watch = self.moving.watch.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let watched = watch.map_or(Ok(()), |watch| watch(step));
        watched.map_err(|error| Problem::fault("a step of a move was stopped", error))
    }

    /// Which enclaves of Vaults may have people's records in a move, and what governs.
    fn policy_of_move(&self, known: &Move) -> (AppraisalPolicy, Versions) {
        let followed = self.followed();
        let governance = followed.governance();
        let versions = Versions {
            schema: SCHEMA,
            semantic: governance.semantics_at(self.now()).version,
            policy: governance.version_at(self.now()),
            governance: governance.sequence,
        };
        (governed::moving(&self.network, governance, &known.since), versions)
    }
}

/// The council's decision to move everything from one Vault to another. **Errors**: `VLT-0020`.
fn decided(governance: &Governance, from: &VaultId, to: &VaultId) -> Result<Move, Problem> {
    let known = governance.registry.moves.get(from).filter(|known| known.to == *to);
    known.cloned().ok_or_else(|| {
        Problem::refused(Code::MoveConflict, format!("no decision is known here to move {from} to {to}"))
    })
}

/// Whether a boot report is of an enclave that computes for a Vault, and may have people's records. **Errors**: `EXE-0003`, `EXE-0004`.
fn believed(
    governance: &Governance,
    policy: &AppraisalPolicy,
    vault: &VaultId,
    boot: &[u8],
) -> Result<Digest, Problem> {
    let role = symphony_tee::report::EnclaveRole::Slice;
    let boot = governed::admitted(boot, policy, role)
        .map_err(|(code, detail)| Problem::refused(code, format!("the enclave of {vault}: {detail}")))?;
    let executor = governance.registry.vaults.get(vault).map(|record| &record.executor);
    if executor != Some(&boot.actor) {
        return Err(Problem::refused(Code::AttestationFailed, format!("the enclave is not that of {vault}")));
    }
    Ok(boot.digest())
}

fn forged(vault: &VaultId) -> Problem {
    Problem::refused(Code::Forbidden, format!("{vault} did not sign this"))
}

/// Items of a batch: the keys of so many people fit in one command.
const BATCH_ITEMS: usize = 4_096;
/// The shape of what travels.
const SCHEMA: SchemaVersion = SchemaVersion(1);
