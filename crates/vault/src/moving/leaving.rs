//! The Vault that is left: erases whom the destination has, and seals the next batch for it (R081).
//!
//! A batch is the next people in the order of their positions, each with its records and then its documents, and may end in the
//! middle of a person. Nothing about them changes meanwhile: once the first batch is offered nothing is added here, and who is on the
//! way is not erased.

use std::sync::atomic::Ordering;

use symphony_consensus::orderer::Orderer as _;
use symphony_protocol::governance::registry::Move;
use symphony_protocol::vault::machine::Command;
use symphony_protocol::vault::machine::moving::{Command as MoveCommand, Cursor};
use symphony_protocol::vault::moving::{
    Content, Item, Offer, Person, SignedInvitation, SignedStanding, load,
};
use symphony_types::canonical;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::Commitment;
use symphony_types::key::Document as _;
use symphony_types::subjects::SubjectIndex;
use symphony_wire::documents;
use symphony_wire::enclave::{Answer, Call, MovingOut, purpose};
use symphony_wire::moving::{Cargo, Told};
use symphony_wire::sealed;
use zeroize::Zeroizing;

use super::{Step, believed, decided, forged};
use crate::agent::{Agent, wrong_answer};
use crate::documents::overwriting;
use crate::enterprise::Enterprise;
use crate::erase::hiding;
use crate::keys::DataKey;
use crate::problem::Problem;
use crate::store::document::Held;
use crate::store::person;
use crate::store::reading::Reading;
use crate::store::record::Log;
use crate::store::segment::{put_segmented, remove_marks};
use crate::store::{self, Profile, View};

impl Enterprise {
    /// Erases what has arrived, then offers the next batch, or says that nothing is left. **Errors**: as
    /// [`Self::step_of_move`].
    pub(super) async fn offer(
        &self,
        agent: &Agent,
        invitation: &SignedInvitation,
        receipt: SignedStanding,
        boot: &[u8],
    ) -> Result<(Told, Cargo), Problem> {
        let body = &invitation.body;
        let followed = self.followed();
        let governance = followed.governance();
        let known = decided(governance, &self.vault, &body.to)?;
        if body.from != self.vault || body.proposal != known.since.by {
            return Err(Problem::refused(Code::MoveConflict, "the invitation is for another move"));
        }
        let vaults = &governance.registry.vaults;
        if !vaults.get(&known.to).is_some_and(|record| invitation.verify(&record.key)) {
            return Err(forged(&known.to));
        }
        let (policy, _) = self.policy_of_move(&known);
        if believed(governance, &policy, &known.to, boot)? != body.boot {
            return Err(Problem::refused(Code::AttestationFailed, "the invitation is for another enclave"));
        }
        self.confirm(receipt).await?;
        self.free().await?;
        let cursor = self.state().moves.out.as_ref().map_or(Cursor::START, |out| out.at);
        if self.remaining(cursor) {
            return self.send(agent, invitation, &known, boot).await;
        }
        let standing = self.end(&known).await?;
        Ok((Told::Stands { standing }, Cargo::default()))
    }

    /// Whether anybody is left.
    fn remaining(&self, from: Cursor) -> bool {
        let state = self.state();
        let end = SubjectIndex(state.subjects.len());
        state.subjects.between(from.subject, end).next().is_some()
    }

    /// Whether a move may begin or go on: no task holds budget, and whoever moves to here is here. **Errors**: `VLT-0019`.
    async fn free(&self) -> Result<(), Problem> {
        self.expire().await?;
        let (state, followed) = (self.state(), self.followed());
        if state.ledger.holds() {
            return Err(Problem::refused(Code::MoveWaits, "tasks hold budget of people here"));
        }
        let closed = |from| state.moves.inbound.get(from).is_some_and(|known| known.closed);
        let mut moves = followed.governance().registry.moves.iter();
        match moves.find(|(from, known)| known.to == self.vault && !closed(from)) {
            None => Ok(()),
            Some((from, _)) => {
                Err(Problem::refused(Code::MoveWaits, format!("what {from} kept is not all here yet")))
            }
        }
    }

    /// Notes of slices over segments what they used, because the segments will go. **Errors**: storage.
    async fn settle_usage(&self) -> Result<(), Problem> {
        let view = self.store.read()?;
        let mut settled = Vec::new();
        for (task, _) in view.marks()? {
            let mut usage = view.usage(&task)?.unwrap_or_default();
            self.used_of_segments(&task, &mut usage).await?;
            settled.push((task, usage));
        }
        if settled.is_empty() {
            return Ok(());
        }
        let tasks: Vec<_> = settled.iter().map(|(task, _)| *task).collect();
        self.store.write(|transaction| {
            for (task, usage) in &settled {
                store::put_usage(transaction, task, usage)?;
            }
            remove_marks(transaction, &tasks)
        })
    }

    async fn send(
        &self,
        agent: &Agent,
        invitation: &SignedInvitation,
        known: &Move,
        boot: &[u8],
    ) -> Result<(Told, Cargo), Problem> {
        let _no_slice = self.computing.lock().await;
        let _no_document = self.filing.lock().await;
        let _no_record = self.ingesting.lock().await;
        self.settle_usage().await?;
        let (items, until) = self.batch()?;
        let load = load(&items);
        let (policy, versions) = self.policy_of_move(known);
        let invited = invitation.body.digest();
        let plain = Zeroizing::new(canonical::to_bytes(&items));
        drop(items);
        let batch = sealed::seal(&agent.report().body.hpke_key, purpose::MOVE_BATCH, &invited.0, &plain);
        let key = self.followed().governance().registry.vaults[&known.to].key;
        let call = Call::MoveOut(Box::new(MovingOut {
            invitation: invitation.clone(),
            key,
            boot: boot.to_vec(),
            batch: batch.map_err(|error| Problem::fault("a batch cannot be sealed", error))?,
            policy: documents::encode(&policy),
            versions,
        }));
        let Answer::MovedOut { sealed, report } = agent.call(&call)? else { return Err(wrong_answer()) };
        self.told(Step::Sealed)?;
        let (proposal, to, batches) = (known.since.by, known.to.clone(), invitation.body.batches);
        let step = MoveCommand::Offer { proposal, to, batches, until, load };
        self.journal.order(Command::Move(Box::new(step))).await?;
        self.told(Step::Offered)?;
        let state = self.state();
        let pending = state.moves.out.as_ref().and_then(|out| out.pending.as_ref());
        let (_, tally) = pending.ok_or_else(|| Problem::of(Code::MoveConflict))?;
        let after = tally.standing(proposal, (&self.vault, &known.to), false);
        let (sealed_digest, report_digest) = (Digest::of_bytes(&sealed), Digest::of_bytes(&report));
        let offer = Offer { invitation: invited, sealed: sealed_digest, report: report_digest, after };
        let cargo = Cargo { sealed, boot: agent.boot(), report };
        Ok((Told::Offered { offer: self.keys.signing.sign(offer) }, cargo))
    }

    /// The items of the batch that is on its way, or of the next, and where it ends.
    fn batch(&self) -> Result<(Vec<Item>, Cursor), Problem> {
        let (state, view) = (self.state(), self.store.read()?);
        let out = state.moves.out.as_ref();
        let (from, end) =
            out.map_or((Cursor::START, None), |out| (out.at, out.pending.as_ref().map(|(until, _)| *until)));
        let most = self.moving.items_max.load(Ordering::Relaxed);
        let (mut batch, log) = (Batch { items: Vec::new(), bytes: 0, most, end }, view.log()?);
        let last = SubjectIndex(state.subjects.len());
        let mut until = Cursor { subject: last, part: 0 };
        for subject in state.subjects.between(from.subject, last) {
            let skip = if subject == from.subject { from.part } else { 0 };
            if let Some(part) = self.person_into(&mut batch, (&view, &log), subject, skip)? {
                until = Cursor { subject, part };
                break;
            }
        }
        Ok((batch.items, end.unwrap_or(until)))
    }

    /// Adds what fits of a person from its `skip`th item on; the first item that does not, `None` when all did.
    fn person_into(
        &self,
        batch: &mut Batch,
        (view, log): (&View, &Log),
        subject: SubjectIndex,
        skip: u32,
    ) -> Result<Option<u32>, Problem> {
        let key = self.keys.data_key(subject);
        let key = key.map_err(|error| Problem::fault("a person's key cannot be opened", error))?;
        let mut part = 0;
        let mut place = |batch: &Batch| {
            part += 1;
            (part > skip).then(|| batch.full(Cursor { subject, part: part - 1 })).map(|full| (part - 1, full))
        };
        match place(batch) {
            None => {}
            Some((at, true)) => return Ok(Some(at)),
            Some((_, false)) => {
                batch.add(self.person_item(view, (subject, &key))?);
            }
        }
        for entry in log.of(subject) {
            match place(batch) {
                None => {}
                Some((at, true)) => return Ok(Some(at)),
                Some((_, false)) => batch.add(Item::Record(log.open(&self.keys, &key, &entry)?.1)),
            }
        }
        for row in view.documents(subject, 0)? {
            let (_, row) = row?;
            let Some(held) = row.held else { continue };
            match place(batch) {
                None => {}
                Some((at, true)) => return Ok(Some(at)),
                Some((_, false)) => {
                    batch.add(self.document_item(view, (subject, &key), (&row.commitment, &held))?);
                }
            }
        }
        Ok(None)
    }

    fn person_item(&self, view: &View, (subject, key): (SubjectIndex, &DataKey)) -> Result<Item, Problem> {
        let Profile { subject: id, contact, wallet } = view.profile(self.keys.data_key(subject), subject)?;
        let state = self.state();
        let spent = state.ledger.consumed(subject).map(|(scope, spent)| (scope.clone(), spent));
        let values = view.derived(key, subject)?.iter().map(canonical::to_bytes).collect();
        Ok(Item::Person(Person { subject: id, contact, wallet, spent: spent.collect(), values }))
    }

    fn document_item(
        &self,
        view: &View,
        (subject, person): (SubjectIndex, &DataKey),
        (commitment, held): (&Commitment, &Held),
    ) -> Result<Item, Problem> {
        let (key, header) = self.unlock(subject, commitment, held)?;
        let reading = view.reading(&key, commitment)?;
        let record = reading.as_ref().and_then(Reading::record);
        let derived = record.map(|record| view.derived_record((&self.slots, person), subject, &record));
        Ok(Item::Document(Content {
            content: view.document_content(&key, &header.record)?.to_vec(),
            record: header.record,
            media: header.media,
            reading: reading.map(|reading| canonical::to_bytes(&reading)).unwrap_or_default(),
            derived: derived.transpose()?,
        }))
    }

    /// Takes the destination's word on what it has, and destroys the keys of whom it has entirely. **Errors**: `ADM-0003`, `VLT-0020`.
    async fn confirm(&self, receipt: SignedStanding) -> Result<(), Problem> {
        if receipt.body.batches == 0 || self.state().outbound().is_some_and(|known| known == receipt.body) {
            return Ok(());
        }
        let _no_other_upkeep = self.upkeep.lock().await;
        let _no_slice = self.computing.lock().await;
        self.settle_usage().await?;
        let _no_document = self.filing.lock().await;
        let _no_record = self.ingesting.lock().await;
        let _no_segment = self.analysis.writing.lock().await;
        let state = self.state();
        let out = state.moves.out.as_ref().ok_or(Code::MoveConflict)?;
        let pending = out.pending.as_ref().filter(|(_, tally)| {
            // The rows of anybody go with this very batch's receipt, and with no other word of the destination.
            tally.standing(out.proposal, (&self.vault, &out.to), false) == receipt.body
        });
        let Some((until, _)) = pending else {
            let ended = out.ended && out.tally.batches() == receipt.body.batches;
            return if ended { Ok(()) } else { Err(Problem::of(Code::MoveConflict)) };
        };
        let gone: Vec<SubjectIndex> = state.subjects.between(out.at.subject, until.subject).collect();
        let (mut leaving, mut slots, mut wallets) = (Vec::new(), Vec::new(), Vec::new());
        let view = self.store.read()?;
        for subject in &gone {
            let (going, own) = self.going(*subject)?;
            slots.extend(own);
            leaving.push((*subject, going));
            if let Some(wallet) = view.profile(self.keys.data_key(*subject), *subject)?.wallet {
                wallets.push(person::moved_wallet(&self.keys, *subject, wallet)?);
            }
        }
        let hidden = hiding(&self.analysis.segmented(), &gone)?;
        let noted = hidden.clone();
        let hook = move |transaction: &redb::WriteTransaction| {
            for (subject, going) in &leaving {
                person::erase_person(transaction, *subject, going)?;
            }
            person::put_moved_wallets(transaction, &wallets)?;
            noted.as_ref().map_or(Ok(()), |noted| put_segmented(transaction, noted))
        };
        let step = Command::Move(Box::new(MoveCommand::Confirm { receipt }));
        self.journal.order_with(step, hook).await?;
        if let Some(hidden) = hidden {
            self.analysis.install(hidden);
        }
        self.bases.clear();
        self.told(Step::Confirmed)?;
        let documents = self.slots.erase_all(slots);
        let people = self.keys.people.erase(gone.iter().map(|subject| subject.0));
        people.and(documents).map_err(overwriting)?;
        self.told(Step::Overwritten)
    }

    /// Destroys what is left of keys and segments, and says that nothing is. **Errors**: something could not be overwritten yet.
    async fn end(&self, known: &Move) -> Result<SignedStanding, Problem> {
        {
            let _no_other_upkeep = self.upkeep.lock().await;
            let state = self.state();
            self.keys
                .people
                .erase(state.subjects.erased().iter().map(|subject| subject.0))
                .map_err(overwriting)?;
            self.slots.settle().map_err(overwriting)?;
            self.rewrite().await?;
        }
        self.told(Step::Emptied)?;
        let (proposal, to) = (known.since.by, known.to.clone());
        self.journal.order(Command::Move(Box::new(MoveCommand::End { proposal, to }))).await?;
        self.told(Step::Ended)?;
        let standing = self.state().outbound().ok_or_else(|| Problem::of(Code::MoveConflict))?;
        Ok(self.keys.signing.sign(standing))
    }
}

/// A batch that is being put together.
struct Batch {
    items: Vec<Item>,
    bytes: usize,
    /// Items that it has at most.
    most: usize,
    /// Where it ends, when it was offered before.
    end: Option<Cursor>,
}

impl Batch {
    /// Whether the item at this place is for the next batch.
    fn full(&self, at: Cursor) -> bool {
        match self.end {
            Some(end) => at >= end,
            None => self.bytes >= BATCH_BYTES || self.items.len() >= self.most,
        }
    }

    fn add(&mut self, item: Item) {
        self.bytes = self.bytes.saturating_add(canonical::to_bytes(&item).len());
        self.items.push(item);
    }
}

/// A batch is full when it has so much; one document more may be in it. **Units**: bytes.
const BATCH_BYTES: usize = 4 << 20;
