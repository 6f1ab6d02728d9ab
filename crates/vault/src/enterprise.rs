//! One Vault: its keys, its store, its journal and the governance that it obeys (R213).
//!
//! Everything that changes goes through the journal, with its rows in the same transaction; a restart at any point
//! finds either all of a step or nothing of it.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;

use anyhow::Context as _;
use redb::Database;
use symphony_consensus::journal::JournalError;
use symphony_consensus::machine::Genesis;
use symphony_consensus::orderer::{Clock, Orderer as _, Solo};
use symphony_consensus::replay::Verify;
use symphony_depot::config::Settings;
use symphony_protocol::artifact::adjustment::{BudgetQuery, SignedBudget};
use symphony_protocol::artifact::{Bucket, Release, ReserveReceipt, SignedReceipt};
use symphony_protocol::governance::Governance;
use symphony_protocol::vault::authorize::{self, EndorsedPreparation};
use symphony_protocol::vault::ledger::EntryState;
use symphony_protocol::vault::machine::{Charter, Command, State};
use symphony_protocol::vault::statement::statement;
use symphony_reader::host::Reader;
use symphony_standby::backend;
use symphony_standby::place::Place;
use symphony_standby::standby::DATABASE;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::epsilon::Epsilon;
use symphony_types::id::{AttributeName, TaskId, VaultId};
use symphony_types::key::{Document as _, Endorsed, Master};
use symphony_types::time::OrderedMillis;
use tokio::sync::{Mutex, Semaphore};

use crate::analysis::Analysis;
use crate::custody::{Bare, Custody};
use crate::governing::Governing;
use crate::keys::VaultKeys;
use crate::machine::VaultMachine;
use crate::moving::Moving;
use crate::problem::Problem;
use crate::rounds::Bases;
use crate::slots::{DOCUMENTS_FILE, KeySlots};
use crate::store::{self, Store};
use crate::tending::Tending;

/// What a Vault takes at most (R080).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Records of all people.
    pub records_max: u64,
    /// Receipt documents of one person, erased ones left out.
    pub documents_max: u32,
    /// Bytes of one person's receipt documents.
    pub document_bytes_max: u64,
    /// Uploaded records of which at least so many become a segment; until then they are read one by one.
    pub segment_rows: u32,
    /// Days that records and receipts are kept; for good when absent.
    pub days: Option<NonZeroU32>,
}

/// How what is beside a Vault's database is kept.
#[derive(Clone)]
pub struct Keeping {
    /// What keeps the secrets of the folder.
    pub custody: Arc<dyn Custody>,
    /// The store of its segments; the folder when absent.
    pub segments: Option<Settings>,
}

/// The journal in the database of a Vault's folder, made on first use. Blocks while it is verified.
///
/// **Errors**: the database, or a journal that does not verify.
pub(crate) fn open_journal(
    database: Database,
    vault: &VaultId,
    network: &str,
    governance: &Governance,
    verify: Verify,
    clock: Clock,
) -> anyhow::Result<(Arc<Database>, Solo<VaultMachine>)> {
    let database = Arc::new(database);
    let name = format!("{network}/{vault}");
    let genesis = Genesis { name, state: State::new(Charter::of(vault.clone(), governance)) };
    let journal = Solo::start(Arc::clone(&database), &genesis, verify, clock);
    let journal =
        journal.map_err(|error: JournalError| anyhow::Error::new(error).context("opening the vault"))?;
    Ok((database, journal))
}

/// A Vault that is open.
pub struct Enterprise {
    pub(crate) vault: VaultId,
    pub(crate) network: String,
    /// What the network was founded with; see [`crate::governing`].
    pub(crate) governance: Governance,
    pub(crate) governing: Governing,
    pub(crate) keys: Arc<VaultKeys>,
    pub(crate) store: Store,
    pub(crate) journal: Solo<VaultMachine>,
    pub(crate) clock: Clock,
    pub(crate) quota: Quota,
    pub(crate) slots: KeySlots,
    /// Records for analysis.
    pub(crate) analysis: Arc<Analysis>,
    /// Merges and releases segments.
    pub(crate) tending: Tending,
    /// Reads documents.
    pub(crate) reader: Reader,
    /// A place for each document that is being read; there are as many as processors.
    pub(crate) desks: Semaphore,
    /// Held while people or records are added, because positions are given out before they are durable.
    pub(crate) ingesting: Mutex<()>,
    /// Held while a receipt document is kept, read or erased.
    pub(crate) filing: Mutex<()>,
    /// Held while a task is prepared or computed or an epoch is closed.
    pub(crate) computing: Mutex<()>,
    /// Held while a person is erased, records end, or the Vault's key is rotated.
    pub(crate) upkeep: Mutex<()>,
    /// Held while a backup is taken.
    pub(crate) backing: Mutex<()>,
    /// Where its files are.
    pub(crate) place: Place,
    /// What trainings are computed on.
    pub(crate) bases: Bases,
    /// Moves between Vaults.
    pub(crate) moving: Moving,
    /// Columns that nothing is reported of.
    pub(crate) withheld: BTreeSet<AttributeName>,
}

impl Enterprise {
    /// Opens the Vault of a folder, making it on first use. Blocks while the journal is verified.
    ///
    /// **Errors**: keys, the database, or a journal that does not verify.
    pub fn open(
        place: impl Into<Place>,
        vault: VaultId,
        network: &str,
        governance: Governance,
        clock: Clock,
        quota: Quota,
        reader: Reader,
    ) -> anyhow::Result<Self> {
        let keeping = Keeping { custody: Arc::new(Bare), segments: None };
        Self::kept(place, vault, (network, governance), clock, quota, reader, keeping)
    }

    /// As [`Self::open`], with the secrets of the folder and its segments kept so. **Errors**: as there, or the custody's refusal, or the
    /// store of segments cannot be used.
    pub fn kept(
        place: impl Into<Place>,
        vault: VaultId,
        (network, governance): (&str, Governance),
        clock: Clock,
        quota: Quota,
        reader: Reader,
        Keeping { custody, segments }: Keeping,
    ) -> anyhow::Result<Self> {
        let place = place.into();
        place.named()?;
        let keys = Arc::new(VaultKeys::kept(&place, custody).context("opening the vault's keys")?);
        let database = place.folder().join(DATABASE);
        let database = match place.standby() {
            Some(standby) => backend::mirrored(&database, standby)?,
            None => Database::create(database)?,
        };
        let opened = open_journal(database, &vault, network, &governance, Verify::Links, Arc::clone(&clock));
        let (database, journal) = opened?;
        let store = Store::open(database)?;
        let governing = Governing::open(&governance, &store).context("opening the governance log")?;
        let subjects = journal.state().subjects.clone();
        keys.people.trim(subjects.len()).context("opening the keys of people")?;
        keys.people.erase(subjects.erased().iter().map(|subject| subject.0))?;
        keys.dividends_key().context("opening the key of dividends")?;
        let view = store.read()?;
        let periods = view.last_period()?.map_or(0, |last| last.number.saturating_add(1));
        keys.trim_periods(periods).context("opening the keys of days")?;
        keys.end_periods(0..view.ended()?.periods)?;
        drop(view);
        let slots = KeySlots::open(&place, DOCUMENTS_FILE, &store.read()?.slots()?)
            .context("opening the keys of documents")?;
        let followed = governing.now();
        let (_, meaning) = followed.governance().meanings.last();
        let analysis = Analysis::open((&place, segments.as_ref()), &vault, meaning, (&store, &keys));
        let analysis = Arc::new(analysis.context("opening the segments")?);
        let tending = Tending::start(Arc::clone(&analysis), store.clone()).context("tending segments")?;
        let opened = Self {
            vault,
            network: network.to_owned(),
            governance,
            governing,
            keys,
            store,
            slots,
            analysis,
            tending,
            reader,
            desks: Semaphore::new(std::thread::available_parallelism().map_or(1, usize::from)),
            journal,
            clock,
            quota,
            ingesting: Mutex::new(()),
            filing: Mutex::new(()),
            computing: Mutex::new(()),
            upkeep: Mutex::new(()),
            backing: Mutex::new(()),
            place,
            bases: Bases::default(),
            moving: Moving::default(),
            withheld: BTreeSet::new(),
        };
        opened.resume().context("going on with an erasure or a rotation")?;
        opened.adopt_standby().context("making the first backup in the standby")?;
        Ok(opened)
    }

    /// The Vault's state after the last durable command.
    pub fn state(&self) -> Arc<State> {
        self.journal.state()
    }

    /// Head of the Vault's journal.
    pub fn head(&self) -> Digest {
        self.journal.head().hash
    }

    /// The Vault's clock.
    pub fn now(&self) -> OrderedMillis {
        self.journal.head().at.max((self.clock)())
    }

    /// Returns when the journal has failed, which the node must stop for.
    pub async fn failed(&self) -> anyhow::Result<()> {
        Ok(self.journal.ended().await?)
    }

    /// Reserves budget for a task: the signed answer, the same for the same question (R064, R065).
    ///
    /// **Errors**: not endorsed by the masters, for another Vault, or another question for the same task.
    pub async fn prepare(&self, preparation: EndorsedPreparation) -> Result<SignedReceipt, Problem> {
        self.ready()?;
        let body = preparation.body.clone();
        authorize::endorsed(&preparation, &self.governance.registry.masters)?;
        authorize::addressed(&body.vault, &self.vault)?;
        let _one_at_a_time = self.computing.lock().await;
        self.expire().await?;
        let refuse = |code| {
            let refusal = Some(code);
            let body = body.clone();
            Ok(self.receipt(&body.task, refusal, &body.epsilon, Bucket(0), body.deadline))
        };
        let followed = self.followed();
        let (_, meaning) = followed.governance().meanings.last();
        // What was reserved before the council decided is answered as it was.
        if let Err(problem) = self.stays().and_then(|()| self.joins())
            && self.state().ledger.entry(&body.task).is_none()
        {
            return refuse(problem.code());
        }
        if body.attributes.iter().any(|name| !meaning.attributes.contains_key(name)) {
            return refuse(Code::AttributeUnknown);
        }
        if let Err(problem) = self.reserve(preparation).await {
            return match problem {
                Problem::Refused {
                    code:
                        code @ (Code::ScopeUnknown
                        | Code::PolicyUnknown
                        | Code::ReservationExpired
                        | Code::Malformed),
                    ..
                } => refuse(code),
                other => Err(other),
            };
        }
        if let Some(receipt) = self.store.read()?.receipt(&body.task)? {
            return Ok(receipt);
        }
        let state = self.state();
        let entry = state.ledger.entry(&body.task).ok_or(Code::ReservationUnknown)?;
        let coverage = Bucket::of(entry.reserved.set().len());
        let receipt = self.receipt(&body.task, None, &entry.epsilon, coverage, entry.deadline);
        self.store.write(|transaction| store::put_receipt(transaction, &receipt))?;
        Ok(receipt)
    }

    /// Frees what a task reserved. Idempotent. **Errors**: as [`Enterprise::prepare`], or it was committed.
    pub async fn release(&self, release: Endorsed<Release, Master>) -> Result<(), Problem> {
        authorize::endorsed(&release, &self.governance.registry.masters)?;
        self.journal.order(Command::ReleaseTask { release }).await?;
        Ok(())
    }

    /// The page of the budget ledger that is asked for, in this Vault's name (R071). Sizes and states only: nobody is named.
    pub fn budget_page(&self, query: &BudgetQuery) -> SignedBudget {
        self.keys.signing.sign(statement(&self.vault, &self.state().ledger, query))
    }

    /// Frees reservations whose deadline has passed. **Errors**: the journal stopped.
    pub async fn expire(&self) -> Result<(), Problem> {
        if self.state().ledger.due(self.now()).next().is_some() {
            self.journal.order(Command::ExpireReservations).await?;
        }
        Ok(())
    }

    /// Orders the reservation unless the ledger has it already.
    async fn reserve(&self, preparation: EndorsedPreparation) -> Result<(), Problem> {
        let state = self.state();
        let same = state.ledger.entry(&preparation.body.task).is_some_and(|entry| {
            let held = match entry.state {
                EntryState::Reserved | EntryState::Drawing(_) => self.now() < entry.deadline,
                EntryState::Committed { .. } => true,
                EntryState::Drawn { .. } | EntryState::Released { .. } | EntryState::Expired { .. } => false,
            };
            held && entry.preparation == preparation.body.digest()
        });
        if !same {
            self.journal.order(Command::PrepareTask { preparation }).await?;
        }
        Ok(())
    }

    fn receipt(
        &self,
        task: &TaskId,
        refusal: Option<Code>,
        epsilon: &Epsilon,
        coverage: Bucket,
        deadline: OrderedMillis,
    ) -> SignedReceipt {
        self.keys.signing.sign(ReserveReceipt {
            task: *task,
            vault: self.vault.clone(),
            refusal,
            epsilon: *epsilon,
            coverage,
            deadline,
            ledger_head: self.head(),
        })
    }
}
