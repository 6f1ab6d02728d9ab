//! Governance as a Vault knows it (R129, R194, R195): it follows the log that the masters keep, checks every change itself,
//! keeps it, and computes nothing for an order that rests on another state of governance than this.
//!
//! A change is durable before it is in force. What the council cannot change yet (keys) is that of the founding
//! governance, [`Enterprise::governance`](crate::enterprise::Enterprise); enclave code, machines and meaning are those of what is
//! followed. A version of the policy is a command of the Vault's own journal, so that each decision of its budget ledger is made again
//! under the policy that it was made under.

use std::sync::{Arc, Mutex, PoisonError};

use symphony_consensus::orderer::Orderer as _;
use symphony_protocol::governance::Governance;
use symphony_protocol::governance::log::{EndorsedStanding, Followed, LogEntry, LogUpdate};
use symphony_protocol::vault::machine::{Adoption, Command};
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::GovernanceSequence;
use symphony_wire::documents;

use crate::enterprise::Enterprise;
use crate::problem::Problem;
use crate::store::{self, Store, View};

/// The log as far as it is known.
pub(crate) struct Governing(Mutex<Arc<Followed>>);

impl Governing {
    /// What is kept of the log, over the founding governance. **Errors**: storage, or what is kept does not verify.
    pub(crate) fn open(founded: &Governance, store: &Store) -> Result<Self, Problem> {
        Ok(Self(Mutex::new(Arc::new(Self::read(founded, &store.read()?)?))))
    }

    /// The same, to look at.
    pub(crate) fn read(founded: &Governance, view: &View) -> Result<Followed, Problem> {
        let mut followed = Followed::new(founded.clone());
        for bytes in view.governance()? {
            let entry: LogEntry = documents::decode(&bytes)
                .map_err(|error| Problem::fault("an entry of the governance log is damaged", error))?;
            followed.enact(&entry)?;
        }
        Ok(followed)
    }

    /// What governs now.
    pub(crate) fn now(&self) -> Arc<Followed> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Enterprise {
    /// What governs now, as far as this Vault knows.
    pub fn followed(&self) -> Arc<Followed> {
        self.governing.now()
    }

    /// Enacts what is new of an update and says where it is. Blocks. **Errors**: `GOV-0015` when it does not verify; an
    /// update with a gap is no error, the answer says from where on entries are missing.
    pub fn follow(&self, update: &LogUpdate) -> Result<GovernanceSequence, Problem> {
        let mut known = self.governing.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut followed = Followed::clone(&known);
        let new = match followed.follow(update) {
            Err(Code::GovernanceBehind) => return Ok(known.governance().sequence),
            new => new?,
        };
        if !new.is_empty() {
            self.store.write(|transaction| store::put_governance(transaction, new))?;
            for entry in new {
                let (sequence, change) = (entry.sequence, entry.proposal.body.change.as_str());
                tracing::info!(vault = %self.vault, %sequence, change, "governance changed");
            }
            *known = Arc::new(followed);
        }
        Ok(known.governance().sequence)
    }

    /// Takes the versions that the log has: those of the policy that the budget ledger does not know yet, and of meaning the last, whose
    /// attributes segments have columns for from then on. **Errors**: the journal stopped.
    pub async fn adopt_versions(&self) -> Result<(), Problem> {
        let followed = self.followed();
        let governance = followed.governance();
        self.analysis.grow(governance.meanings.last().1).await?;
        let known = self.state().charter.calendar.last().1.version;
        for (first, activation) in governance.calendar.iter().filter(|(_, next)| next.version > known) {
            let policy = governance.policy_of(activation.version)?.clone();
            let adoption = Adoption { first, activation, policy };
            self.journal.order(Command::AdoptPolicy(Box::new(adoption))).await?;
        }
        Ok(())
    }

    /// Whether this Vault may serve what it keeps (R061, R187). **Errors**: `VLT-0022` while the council has suspended it.
    pub(crate) fn serves(&self) -> Result<(), Problem> {
        let followed = self.followed();
        let since = followed.governance().registry.suspensions.get(&self.vault);
        since.map_or(Ok(()), |mark| {
            Err(Problem::refused(
                Code::VaultSuspended,
                format!(
                    "this vault is suspended since entry {} of the governance log; you can read, withdraw and erase here, and \
                     register and consent anew at another vault",
                    mark.sequence
                ),
            ))
        })
    }

    /// Whether this Vault may take anything new. **Errors**: `VLT-0022` as [`Self::serves`], `VLT-0023` once its enterprise leaves.
    pub(crate) fn joins(&self) -> Result<(), Problem> {
        self.serves()?;
        let followed = self.followed();
        let exit = followed.governance().registry.exits.get(&self.vault);
        exit.map_or(Ok(()), |exit| {
            Err(Problem::refused(
                Code::VaultLeaving,
                format!(
                    "this vault leaves the network and is held until epoch {}; register at another vault",
                    exit.until
                ),
            ))
        })
    }

    /// Whether an order rests on the state of governance that this Vault knows. **Errors**: `ADM-0003`, `GOV-0014`.
    pub fn stands(&self, standing: &[u8], order: Digest) -> Result<(), Problem> {
        let standing: EndorsedStanding = documents::decode(standing)
            .map_err(|_| Problem::refused(Code::Malformed, "the order says not what it rests on"))?;
        let known = self.followed();
        known.check(&standing, order).map_err(|code| {
            let (here, there) = (known.governance().sequence, standing.body.sequence);
            Problem::refused(code, format!("governance is at {here} here, the order rests on {there}"))
        })
    }
}
