//! Erasure of a person (R055, R077, R080, D12): every consent ends, every key that opens anything of it is destroyed, and the Vault
//! signs that it did.
//!
//! In order: the journal's command, in one transaction with the rows that go and with the catalogue that hides the person in every
//! segment; the slots of the person's key and of its documents; the segments that have its rows, each written again without them,
//! until the old one's key is destroyed. Only then is the erasure answered. What a crash leaves undone is done at the next start.
//! Commitments stay, and so do the roots over them.

use std::collections::BTreeMap;

use arrow::array::{AsArray as _, RecordBatch};
use arrow::datatypes::UInt32Type;
use symphony_consensus::orderer::Orderer as _;
use symphony_protocol::vault::document::{PersonErasure, SignedPersonErasure};
use symphony_protocol::vault::machine::Command;
use symphony_segments::catalogue::CatalogueVersion;
use symphony_segments::segment::SegmentEntry;
use symphony_types::catalogue::Code;
use symphony_types::id::SubjectId;
use symphony_types::subjects::{SubjectIndex, SubjectSet};
use symphony_wire::documents;
use symphony_wire::v1::VaultAnswer;

use crate::analysis::rows_at;
use crate::documents::overwriting;
use crate::enterprise::Enterprise;
use crate::ingest::Authority;
use crate::problem::Problem;
use crate::store::person::{self, Going};
use crate::store::segment::{Segmented, put_segmented};

impl Enterprise {
    /// Erases a person; the same proof for the same person. Blocks while segments are written again.
    ///
    /// **Errors**: `ADM-0003` for anybody else's, `VLT-0002`, or something could not be overwritten yet: then ask again.
    pub(crate) async fn erase_person(
        &self,
        authority: &Authority,
        subject: &str,
    ) -> Result<VaultAnswer, Problem> {
        let person = SubjectId::new(subject).map_err(|_| Code::Malformed)?;
        if !authority.covers(&person) {
            return Err(Code::Forbidden.into());
        }
        let key = self.keys.subject_key(&person);
        let _one_at_a_time = self.upkeep.lock().await;
        let roll = self.state().subjects.clone();
        let subject = match roll.find(&key) {
            Some(subject) => {
                self.forget(subject).await?;
                subject
            }
            None => roll.former(&key).ok_or(Code::SubjectUnknown)?,
        };
        // Again, where an earlier request could not.
        self.keys.people.erase([subject.0].into_iter()).map_err(overwriting)?;
        self.slots.settle().map_err(overwriting)?;
        self.rewrite().await?;
        let proof = self.person_proof(subject)?;
        Ok(VaultAnswer { accepted: 1, proof: documents::encode(&proof), ..VaultAnswer::default() })
    }

    /// Those of the people who are not erased.
    pub(crate) fn readable(&self, people: &SubjectSet) -> SubjectSet {
        people.difference(self.state().subjects.erased())
    }

    /// Orders the erasure and destroys the keys, while nobody computes with anything of the person, keeps or brings any.
    async fn forget(&self, subject: SubjectIndex) -> Result<(), Problem> {
        let _no_slice = self.computing.lock().await;
        let _no_document = self.filing.lock().await;
        let _no_record = self.ingesting.lock().await;
        let _no_segment = self.analysis.writing.lock().await;
        let (going, slots) = self.going(subject)?;
        let hidden = hiding(&self.analysis.segmented(), &[subject])?;
        let noted = hidden.clone();
        let hook = move |transaction: &redb::WriteTransaction| {
            person::erase_person(transaction, subject, &going)?;
            noted.as_ref().map_or(Ok(()), |noted| put_segmented(transaction, noted))
        };
        self.journal.order_with(Command::ErasePerson { subject }, hook).await?;
        if let Some(hidden) = hidden {
            self.analysis.install(hidden);
        }
        self.bases.clear();
        // Each is tried whatever becomes of the other; what fails is tried again when the person asks again.
        let documents = self.slots.erase_all(slots);
        self.keys.people.erase([subject.0].into_iter()).and(documents).map_err(overwriting)
    }

    /// The documents that go with a person, and their slots.
    pub(crate) fn going(&self, subject: SubjectIndex) -> Result<(Vec<Going>, Vec<u32>), Problem> {
        let view = self.store.read()?;
        let (mut going, mut slots) = (Vec::new(), Vec::new());
        for row in view.documents(subject, 0)? {
            let (sequence, row) = row?;
            let (commitment, Some(held)) = (row.commitment, row.held) else { continue };
            let unlocked = self.unlock(subject, &commitment, &held);
            let reading = unlocked.and_then(|(key, _)| view.reading(&key, &commitment));
            let record = match reading {
                Ok(reading) => reading.and_then(|reading| reading.record()),
                Err(problem) => {
                    // What does not open any more goes all the same; a record that came of it stays, closed for good.
                    tracing::warn!(%commitment, %problem, "a damaged document is erased with its person");
                    None
                }
            };
            slots.push(held.slot);
            going.push(Going { sequence, commitment, record });
        }
        Ok((going, slots))
    }

    /// Writes every segment that has rows of erased people again without them, and destroys the old one's key and file.
    ///
    /// **Errors**: storage; then the segments that are left are written at the next erasure or start.
    pub(crate) async fn rewrite(&self) -> Result<(), Problem> {
        let _no_merge = self.analysis.merging.lock().await;
        let _no_other_segment = self.analysis.writing.lock().await;
        for entry in self.analysis.segmented().catalogue.to_rewrite() {
            self.rewrite_segment(&entry).await?;
        }
        self.analysis.settle_keys().map_err(overwriting)
    }

    async fn rewrite_segment(&self, entry: &SegmentEntry) -> Result<(), Problem> {
        let (analysis, segmented) = (&self.analysis, self.analysis.segmented());
        let erasures = segmented.catalogue.erased_in(&entry.id);
        let (mut places, mut destroyed) = (Vec::new(), BTreeMap::<CatalogueVersion, u64>::new());
        for place in places_of(&analysis.whole(entry)?) {
            match erasures.iter().find(|(_, people)| people.contains(place.0)) {
                Some((version, _)) => *destroyed.entry(*version).or_default() += 1,
                None => places.push(place),
            }
        }
        let draft = if places.is_empty() {
            None
        } else {
            places.sort_unstable();
            let view = self.store.read()?;
            let (mut rows, root) = rows_at(&view, (&self.keys, &self.slots), &segmented.schema, places)?;
            Some(analysis.written(&mut rows, root).await?)
        };
        // No slice reads the old segment while it goes.
        let _no_slice = self.computing.lock().await;
        let drafted = draft.as_ref().map(|draft| (draft.entry.id, draft.slot));
        let next = draft.map(|draft| (draft.entry, draft.slot));
        analysis.note(&self.store, drafted, segmented.rewritten(&entry.id, next, &destroyed)).await?;
        match segmented.slot(&entry.id) {
            Some(slot) => analysis.destroy(&entry.id, slot).await,
            None => Ok(()),
        }
    }

    /// The kept proof, or a new one over the journal as it is.
    fn person_proof(&self, subject: SubjectIndex) -> Result<SignedPersonErasure, Problem> {
        if let Some(proof) = self.store.read()?.person_erasure(subject)? {
            return Ok(proof);
        }
        let (head, at) = (self.journal.head(), self.state().subjects.erased_at(subject));
        let at = at.ok_or_else(|| Problem::refused(Code::Internal, "the erasure is not in the journal"))?;
        let vault = self.vault.clone();
        let erasure = PersonErasure { vault, subject, at, height: head.height, head: head.hash };
        let proof = self.keys.signing.sign(erasure);
        self.store.write(|transaction| person::put_person_erasure(transaction, &proof))?;
        Ok(proof)
    }
}

/// What is known of segments without these people; `None` when none has rows of them, and later ones get none.
pub(crate) fn hiding(segmented: &Segmented, people: &[SubjectIndex]) -> Result<Option<Segmented>, Problem> {
    let hidden = segmented.without(people.iter().map(|subject| subject.0).collect());
    let hidden = hidden.map_err(|error| Problem::fault("the catalogue takes no erasure", error))?;
    let touched = |subject: &SubjectIndex| {
        hidden.catalogue.to_rewrite().iter().any(|entry| entry.people.contains(subject.0))
    };
    let touched = people.iter().any(touched);
    Ok(touched.then_some(hidden))
}

/// Person and position of each row.
pub(crate) fn places_of(read: &[RecordBatch]) -> Vec<(u32, u32)> {
    let mut places = Vec::with_capacity(read.iter().map(RecordBatch::num_rows).sum());
    for batch in read {
        let [people, sequences] =
            [0, 1].map(|column| batch.column(column).as_primitive::<UInt32Type>().values());
        places.extend(people.iter().copied().zip(sequences.iter().copied()));
    }
    places
}
