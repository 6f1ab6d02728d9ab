//! The Vault that takes people: has its enclave open what the source's enclave sealed, and keeps it under keys of its own (R081).
//!
//! Each new person gets a key of this Vault, each document one under its person's. Commitments and salts stay, so the owner can
//! compute them again (R077). What a person has consumed of its budget is committed here; what it allowed is not known here (R061). Who
//! is registered here already keeps its profile, and has what comes beside what it has. Of who was erased here meanwhile nothing is
//! kept.

use std::collections::{BTreeMap, BTreeSet};

use symphony_consensus::orderer::{OrderError, Orderer as _};
use symphony_protocol::vault::machine::Command;
use symphony_protocol::vault::machine::moving::{Admission, Command as MoveCommand};
use symphony_protocol::vault::moving::{
    Content, Item, Load, Person, SignedOffer, SignedStanding, Standing, load,
};
use symphony_protocol::vault::subjects::SubjectKey;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::epsilon::Epsilon;
use symphony_types::id::{SubjectId, UsageScope};
use symphony_types::key::Document as _;
use symphony_types::merkle;
use symphony_types::subjects::SubjectIndex;
use symphony_wire::documents;
use symphony_wire::enclave::{Answer, Call, purpose};
use symphony_wire::moving::Cargo;
use zeroize::Zeroizing;

use super::{Step, believed, decided, forged};
use crate::agent::{Agent, wrong_answer};
use crate::documents::{overwriting, sealing};
use crate::enterprise::Enterprise;
use crate::keys::{DataKey, KeyError};
use crate::problem::Problem;
use crate::slots::Slot;
use crate::store::document::{self as rows, DocumentRow, Header, Held, NewDocument};
use crate::store::reading::{Derived, MovedReading, Reading, put_moved};
use crate::store::record::{RecordRow, Today, Upload, fingerprint, name, put_uploaded, seal_record};
use crate::store::value::{DerivedRow, DerivedValue, put_values};
use crate::store::{self, Profile, SubjectRow, View};

impl Enterprise {
    /// Takes a batch; what is here with it. **Errors**: as [`Self::step_of_move`].
    pub(super) async fn accept(
        &self,
        agent: &Agent,
        offer: &SignedOffer,
        cargo: &Cargo,
    ) -> Result<SignedStanding, Problem> {
        let body = &offer.body;
        let (from, followed) = (&body.after.from, self.followed());
        let governance = followed.governance();
        let known = decided(governance, from, &self.vault)?;
        let proposal = known.since.by;
        if !governance.registry.vaults.get(from).is_some_and(|record| offer.verify(&record.key)) {
            return Err(forged(from));
        }
        let here = self.state().inbound(from, proposal);
        if body.after.proposal == proposal && body.after.batches <= here.batches {
            return Ok(self.keys.signing.sign(here));
        }
        let invitation = self.moving.invited().get(from).cloned();
        let invitation = invitation.filter(|one| one.digest() == body.invitation).ok_or_else(|| {
            Problem::refused(Code::MoveConflict, "the batch answers no invitation of this start")
        })?;
        let carried = (Digest::of_bytes(&cargo.sealed), Digest::of_bytes(&cargo.report));
        if carried != (body.sealed, body.report) {
            return Err(Problem::refused(Code::SealInvalid, "the batch is not the one that was offered"));
        }
        let (policy, _) = self.policy_of_move(&known);
        believed(governance, &policy, from, &cargo.boot)?;
        let invited = invitation.digest();
        let call = Call::MoveIn {
            executor: governance.registry.vaults[from].executor.clone(),
            invitation,
            boot: cargo.boot.clone(),
            report: cargo.report.clone(),
            batch: cargo.sealed.clone(),
            policy: documents::encode(&policy),
            vault: self.keys.sealing.public().to_vec(),
        };
        let Answer::MovedIn { sealed } = agent.call(&call)? else { return Err(wrong_answer()) };
        let opened = self.keys.sealing.open(purpose::MOVED, &invited.0, &sealed);
        let opened = Zeroizing::new(opened.map_err(|_| Code::SealInvalid)?);
        let items: Vec<Item> = documents::decode(&opened)
            .map_err(|error| Problem::refused(Code::Malformed, format!("a batch: {error}")))?;
        drop(opened);
        self.told(Step::Opened)?;
        self.admit(items, &body.after).await?;
        self.told(Step::Admitted)?;
        // What came is kept whatever becomes of its segment, which the next upload tries again.
        if let Err(problem) = self.segment().await {
            tracing::error!(error = &problem as &dyn std::error::Error, "records wait for a segment");
        }
        Ok(self.keys.signing.sign(self.state().inbound(from, proposal)))
    }

    /// Takes the source's word that nothing is left there, and gives the same. **Errors**: `ADM-0003`, `VLT-0020`.
    pub(super) async fn close_move(&self, last: SignedStanding) -> Result<SignedStanding, Problem> {
        let (from, proposal) = (last.body.from.clone(), last.body.proposal);
        if decided(self.followed().governance(), &from, &self.vault)?.since.by != proposal {
            return Err(Problem::refused(Code::MoveConflict, "the statement is of another move"));
        }
        self.journal.order(Command::Move(Box::new(MoveCommand::Close { last }))).await?;
        self.told(Step::Closed)?;
        Ok(self.keys.signing.sign(self.state().inbound(&from, proposal)))
    }

    /// Makes a batch durable: keys first, then everything else in one transaction with the journal's entry.
    async fn admit(&self, items: Vec<Item>, after: &Standing) -> Result<(), Problem> {
        let _no_other_document = self.filing.lock().await;
        let _no_other_record = self.ingesting.lock().await;
        let state = self.state();
        let (here, load) = (state.inbound(&after.from, after.proposal), load(&items));
        if here.batches + 1 != after.batches {
            return Err(Problem::of(Code::MoveConflict));
        }
        if state.holdings.kept().saturating_add(u64::from(load.records)) > self.quota.records_max {
            return Err(Code::VaultFull.into());
        }
        let next = state.subjects.len();
        let mut arrival = Arrival::default();
        if let Err(problem) = self.unpack(&mut arrival, items) {
            self.abandon(next, arrival.slots)?;
            return Err(problem);
        }
        self.told(Step::Keyed)?;
        let slots = arrival.slots.clone();
        let command = arrival.admission(after, here.batches, load);
        let hook = move |transaction: &redb::WriteTransaction| arrival.put(transaction);
        let ordered = self.journal.order_with(Command::Move(Box::new(command)), hook).await;
        // A journal that stopped may have taken it; the next start knows.
        if let Err(OrderError::Refused(_)) = &ordered {
            self.abandon(next, slots)?;
        }
        ordered?;
        Ok(())
    }

    /// Overwrites the keys of what is not kept after all. **Errors**: those of the file system; the next start does it.
    fn abandon(&self, next: u32, slots: Vec<u32>) -> Result<(), Problem> {
        self.keys.people.trim(next).and(self.slots.erase_all(slots)).map_err(overwriting)
    }

    /// Seals everything of a batch under keys of this Vault, which are on disk then.
    fn unpack(&self, arrival: &mut Arrival, items: Vec<Item>) -> Result<(), Problem> {
        let view = self.store.read()?;
        self.enrol(arrival, &items)?;
        let (log, derived) = (view.log()?, Derived::open(&view)?);
        for item in items {
            let subject = match arrival.people.get(item.subject()) {
                Some(fresh) => Some(*fresh),
                None => self.state().subjects.find(&self.keys.subject_key(item.subject())),
            };
            // Erased here since its first items came: then it wants nothing kept.
            let Some(subject) = subject else { continue };
            let key = self.keys.data_key(subject).map_err(unsealed)?;
            match item {
                Item::Person(person) => self.person(arrival, &view, (subject, &key), person)?,
                Item::Record(record) => {
                    let sequence = arrival.sequence(subject, || log.next_sequence(&derived, subject))?;
                    let today = match &arrival.today {
                        Some(today) => today.clone(),
                        None => arrival.today.insert(self.today(&view)?).clone(),
                    };
                    let sealing = key.within(&today.key);
                    let (commitment, sealed) = seal_record(&sealing, &record).map_err(unsealed)?;
                    let name = name(&self.keys, &record.subject, &record.request);
                    let row = RecordRow { subject, sequence, commitment, sealed };
                    // It was counted, if at all, where it comes from.
                    arrival.records.push(Upload { row, fingerprint: fingerprint(&name), waits: false });
                }
                Item::Document(content) => {
                    let sequence = match &content.derived {
                        Some(_) => arrival.sequence(subject, || log.next_sequence(&derived, subject))?,
                        None => 0,
                    };
                    self.document(arrival, &view, (subject, &key), content, sequence)?;
                }
            }
        }
        arrival.records.sort_unstable_by_key(|new| (new.row.subject, new.row.sequence));
        Ok(())
    }

    /// Gives those of a batch a place and a key who have none here.
    fn enrol(&self, arrival: &mut Arrival, items: &[Item]) -> Result<(), Problem> {
        let state = self.state();
        let next = state.subjects.len();
        for item in items {
            let Item::Person(person) = item else { continue };
            let key = self.keys.subject_key(&person.subject);
            if state.subjects.find(&key).is_none() && !arrival.people.contains_key(&person.subject) {
                let index = SubjectIndex(next.saturating_add(arrival.keys.len() as u32));
                arrival.people.insert(person.subject.clone(), index);
                arrival.keys.push(key);
            }
        }
        if !arrival.keys.is_empty() {
            self.keys.new_people(SubjectIndex(next), arrival.keys.len()).map_err(unsealed)?;
        }
        Ok(())
    }

    fn person(
        &self,
        arrival: &mut Arrival,
        view: &View,
        (subject, key): (SubjectIndex, &DataKey),
        person: Person,
    ) -> Result<(), Problem> {
        let Person { subject: id, contact, wallet, spent, values } = person;
        let mut known = BTreeSet::new();
        if arrival.people.contains_key(&id) {
            let profile = Profile { subject: id, contact, wallet };
            let row = SubjectRow::new(key, subject, &profile).map_err(unsealed)?;
            arrival.profiles.push((subject, row));
        } else {
            known.extend(view.derived(key, subject)?.into_iter().map(|value| value.module));
        }
        for value in values {
            let value: DerivedValue = documents::decode(&value).map_err(malformed)?;
            // What was found here is of this Vault's records and may be newer.
            if !known.contains(&value.module) {
                arrival.values.push(DerivedRow::new(key, subject, &value).map_err(unsealed)?);
            }
        }
        arrival.spent.extend(spent.into_iter().map(|(scope, epsilon)| (subject, scope, epsilon)));
        Ok(())
    }

    fn document(
        &self,
        arrival: &mut Arrival,
        view: &View,
        (subject, person): (SubjectIndex, &DataKey),
        content: Content,
        sequence: u32,
    ) -> Result<(), Problem> {
        let Content { record, media, content, reading, derived } = content;
        let commitment = record.commitment();
        let place = match arrival.shelves.get(&subject) {
            Some(next) => *next,
            None => match view.documents(subject, 0)?.last().transpose()? {
                Some((last, _)) => last.saturating_add(1),
                None => 0,
            },
        };
        arrival.shelves.insert(subject, place.saturating_add(1));
        let (key, wrapped) = person.new_inner(&rows::key_place(&commitment)).map_err(sealing)?;
        let wrapped = wrapped.try_into().map_err(|_| sealing(KeyError::Open))?;
        let mark = self.document_mark(&record.subject, record.content);
        let slot = self.slots.put(&Slot { wrapped, mark, generation: 0 });
        let slot = slot.map_err(|error| Problem::fault("a document's key cannot be written", error))?;
        arrival.slots.push(slot);
        if !reading.is_empty() {
            let reading: Reading = documents::decode(&reading).map_err(malformed)?;
            let derived = derived.map(|record| seal_record(&key, &record)).transpose().map_err(sealing)?;
            let marks =
                reading.read.as_ref().map(|read| self.marks((&record.subject, &record.content), read));
            arrival.readings.push(MovedReading {
                document: commitment,
                sealed: reading.seal(&key, &commitment).map_err(sealing)?,
                record: derived.map(|(commitment, sealed)| RecordRow {
                    subject,
                    sequence,
                    commitment,
                    sealed,
                }),
                marks: marks.unwrap_or_default(),
            });
        }
        let size = content.len() as u64;
        let content = rows::seal_content(&key, &commitment, &content).map_err(sealing)?;
        let header = Header { record, media }.seal(&key).map_err(sealing)?;
        let row = DocumentRow { commitment, held: Some(Held { slot, size, header }) };
        // No request of its owner brought it here.
        let request = self.keys.keyed("symphony/moved-document/v1", &commitment.0.0);
        arrival.documents.push(NewDocument { subject, sequence: place, row, content, request });
        Ok(())
    }
}

/// A batch as it becomes durable.
#[derive(Default)]
struct Arrival {
    /// Who is new, by id.
    people: BTreeMap<SubjectId, SubjectIndex>,
    /// Their keys, in the order of their positions.
    keys: Vec<SubjectKey>,
    profiles: Vec<(SubjectIndex, SubjectRow)>,
    values: Vec<DerivedRow>,
    records: Vec<Upload>,
    /// The period that they are sealed for.
    today: Option<Today>,
    documents: Vec<NewDocument>,
    readings: Vec<MovedReading>,
    spent: Vec<(SubjectIndex, UsageScope, Epsilon)>,
    /// Key slots of the documents.
    slots: Vec<u32>,
    /// The next position of a record, by person.
    sequences: BTreeMap<SubjectIndex, u32>,
    /// The next position of a document, by person.
    shelves: BTreeMap<SubjectIndex, u32>,
}

impl Arrival {
    /// The position of a person's next record, of which the `first` is told by the store.
    fn sequence(
        &mut self,
        subject: SubjectIndex,
        first: impl FnOnce() -> Result<u32, Problem>,
    ) -> Result<u32, Problem> {
        let next = match self.sequences.get(&subject) {
            Some(next) => *next,
            None => first()?,
        };
        self.sequences.insert(subject, next.saturating_add(1));
        Ok(next)
    }

    fn admission(&self, after: &Standing, batches: u64, load: Load) -> MoveCommand {
        let uploaded = self.records.iter().map(|new| &new.row);
        let rows: Vec<&RecordRow> =
            uploaded.chain(self.readings.iter().filter_map(|reading| reading.record.as_ref())).collect();
        let leaves: Vec<_> = rows.iter().map(|row| merkle::leaf(&row.commitment.0.0)).collect();
        let subjects: BTreeSet<SubjectIndex> = rows.iter().map(|row| row.subject).collect();
        let documents = self.documents.iter().map(|new| (new.subject, new.row.commitment));
        MoveCommand::Admit(Admission {
            proposal: after.proposal,
            from: after.from.clone(),
            batches,
            load,
            keys: self.keys.clone(),
            records: rows.len() as u32,
            root: merkle::root(&leaves),
            subjects: subjects.into_iter().collect(),
            documents: documents.collect(),
            spent: self.spent.clone(),
        })
    }

    fn put(&self, transaction: &redb::WriteTransaction) -> Result<(), redb::Error> {
        store::put_subjects(transaction, &self.profiles)?;
        put_values(transaction, &self.values)?;
        if let Some(today) = &self.today {
            put_uploaded(transaction, &self.records, today)?;
        }
        self.documents.iter().try_for_each(|document| rows::put_document(transaction, document))?;
        self.readings.iter().try_for_each(|reading| put_moved(transaction, reading))
    }
}

fn unsealed(error: KeyError) -> Problem {
    Problem::fault("what arrives cannot be sealed", error)
}

fn malformed(error: documents::DecodeError) -> Problem {
    Problem::refused(Code::Malformed, format!("what arrives: {error}"))
}
