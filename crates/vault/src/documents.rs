//! A person's receipt documents: kept, listed, given back and erased (R074-R080, R209, D12).
//!
//! Only the person itself has access, the Vault's operator has none. Keeping one is a local event: a command of the
//! Vault's own journal with its rows, and no word to any other node. The same content of the same person is the
//! same receipt. Erasing overwrites the document's key, and the Vault signs that it did.

use symphony_consensus::orderer::Orderer as _;
use symphony_protocol::vault::document::{self, DocumentRecord, Erasure, Kept, Media, SignedErasure};
use symphony_protocol::vault::machine::Command;
use symphony_types::canonical;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{ActorId, Commitment, RequestId, SubjectId};
use symphony_types::limits::DOCUMENTS_PER_PERSON_MAX;
use symphony_types::subjects::SubjectIndex;
use symphony_wire::documents;
use symphony_wire::v1::{EraseReceipt, ListReceipts, ReadReceipt, ReceiptEntry, VaultAnswer};

use crate::enterprise::Enterprise;
use crate::keys::{self, DataKey, KeyError};
use crate::parse::shown;
use crate::problem::Problem;
use crate::slots::Slot;
use crate::store::View;
use crate::store::document::{self as rows, DocumentRow, Header, Held, NewDocument};

/// A content on its way in.
struct Incoming {
    subject: SubjectIndex,
    own: SubjectId,
    media: Media,
    content: Vec<u8>,
    /// Of the content alone.
    digest: Digest,
    /// Of person and content, worthless without the Vault's secret.
    mark: Digest,
    /// Of caller and request id, likewise.
    request: Digest,
}

/// What a person's documents say about one more.
struct Shelf {
    /// The document with the same content.
    same: Option<Commitment>,
    documents: u32,
    bytes: u64,
    /// The position of the next one.
    next: u32,
}

impl Enterprise {
    /// Keeps a document, or names the one with the same content.
    ///
    /// **Errors**: not of a known kind, empty, too large, over the quota, a request id of another content, nobody here.
    pub(crate) async fn put_document(
        &self,
        own: &SubjectId,
        name: (&ActorId, &RequestId),
        content: Vec<u8>,
    ) -> Result<VaultAnswer, Problem> {
        let subject = self.enrolled(own.as_str())?;
        let media = document::media(&content)?;
        let digest = Digest::of_bytes(&content);
        let mark = self.document_mark(own, digest);
        // By the position too: who is erased and enrolled again is another person, whose requests have no answer yet.
        let name = canonical::to_bytes(&(subject, name));
        let request = self.keys.keyed("symphony/document-request/v1", &name);
        let incoming = Incoming { subject, own: own.clone(), media, content, digest, mark, request };
        let _one_at_a_time = self.filing.lock().await;
        let view = self.store.read()?;
        if let Some((known, brought)) = view.document_of_request(request)? {
            return self.answered(&view, &incoming, known, brought);
        }
        let shelf = self.shelf(&view, &incoming)?;
        if let Some(same) = shelf.same {
            self.store.write(|transaction| rows::put_document_request(transaction, request, same))?;
            return self.known(&view, subject, same, false);
        }
        let quota = &self.quota;
        let bytes = shelf.bytes.saturating_add(incoming.content.len() as u64);
        let room = shelf.documents < quota.documents_max && bytes <= quota.document_bytes_max;
        if !room || shelf.next >= DOCUMENTS_PER_PERSON_MAX {
            return Err(Code::DocumentQuota.into());
        }
        let commitment = self.keep(incoming, shelf.next).await?;
        self.known(&self.store.read()?, subject, commitment, true)
    }

    /// A page of the person's documents, in the order that they came in.
    pub(crate) async fn list_documents(
        &self,
        own: &SubjectId,
        list: ListReceipts,
    ) -> Result<VaultAnswer, Problem> {
        let subject = self.enrolled(own.as_str())?;
        let _one_at_a_time = self.filing.lock().await;
        let view = self.store.read()?;
        let from = match list.after.as_slice() {
            [] => 0,
            after => self.find(&view, subject, &commitment(after)?)?.0.saturating_add(1),
        };
        let limit = list.limit.clamp(1, LISTED_MAX) as usize;
        let mut receipts = Vec::new();
        for row in view.documents(subject, from)?.take(limit) {
            let (_, row) = row?;
            let mut entry = self.entry_of(&view, subject, &row)?;
            (entry.content_digest, entry.salt) = (Vec::new(), Vec::new());
            if let Some(reading) = &mut entry.reading {
                reading.items.clear();
            }
            receipts.push(entry);
        }
        Ok(VaultAnswer { receipts, ..VaultAnswer::default() })
    }

    /// One of the person's documents, with its content if that is asked for.
    ///
    /// **Errors**: not the person's, or the content of an erased one.
    pub(crate) async fn read_document(
        &self,
        own: &SubjectId,
        read: ReadReceipt,
    ) -> Result<VaultAnswer, Problem> {
        let subject = self.enrolled(own.as_str())?;
        let commitment = commitment(&read.receipt_id)?;
        let _one_at_a_time = self.filing.lock().await;
        let view = self.store.read()?;
        let (_, row) = self.find(&view, subject, &commitment)?;
        let receipts = vec![self.entry_of(&view, subject, &row)?];
        let mut answer = VaultAnswer { receipts, ..VaultAnswer::default() };
        if read.content {
            let (key, header) = self.held(&view, subject, &commitment)?;
            answer.content = view.document_content(&key, &header.record)?.to_vec();
        }
        Ok(answer)
    }

    /// Erases one of the person's documents; the same proof for the same document.
    ///
    /// **Errors**: not the person's, or its key could not be overwritten yet.
    pub(crate) async fn erase_document(
        &self,
        own: &SubjectId,
        erase: EraseReceipt,
    ) -> Result<VaultAnswer, Problem> {
        let subject = self.enrolled(own.as_str())?;
        let commitment = commitment(&erase.receipt_id)?;
        let _one_at_a_time = self.filing.lock().await;
        self.find(&self.store.read()?, subject, &commitment)?;
        let proof = self.end_document(subject, commitment).await?;
        let receipts = vec![self.entry(&self.store.read()?, subject, &commitment)?];
        Ok(VaultAnswer { receipts, proof: documents::encode(&proof), ..VaultAnswer::default() })
    }

    /// Ends a document, be it that its owner wants so or that it was kept for its time; the same proof for the same document. Hold
    /// [`Self::filing`]. **Errors**: storage, or its key could not be overwritten yet.
    pub(crate) async fn end_document(
        &self,
        subject: SubjectIndex,
        commitment: Commitment,
    ) -> Result<SignedErasure, Problem> {
        let view = self.store.read()?;
        let (sequence, row) = view.document(subject, &commitment)?;
        if let Some(held) = row.held {
            let (key, _) = self.unlock(subject, &commitment, &held)?;
            let record = view.reading(&key, &commitment)?.and_then(|reading| reading.record());
            let place = (subject.0, sequence);
            let hook = move |transaction: &redb::WriteTransaction| {
                rows::erase_document(transaction, place, commitment, record)
            };
            self.journal.order_with(Command::EraseDocument { subject, commitment }, hook).await?;
            // From here on a crash is made good by the next start, which overwrites what no row names.
            self.slots.erase(held.slot).map_err(overwriting)?;
        }
        self.slots.settle().map_err(overwriting)?;
        self.proof(&view, subject, commitment)
    }

    /// Makes a document durable: its key first, then everything else in one transaction with the journal's entry.
    async fn keep(&self, incoming: Incoming, sequence: u32) -> Result<Commitment, Problem> {
        let Incoming { subject, own, media, content, digest, mark, request } = incoming;
        let record =
            DocumentRecord { salt: *keys::random().map_err(sealing)?, subject: own, content: digest };
        let commitment = record.commitment();
        let person = self.keys.data_key(subject).map_err(sealing)?;
        let (key, wrapped) = person.new_inner(&rows::key_place(&commitment)).map_err(sealing)?;
        let wrapped = wrapped.try_into().map_err(|_| sealing(KeyError::Open))?;
        let size = content.len() as u64;
        let content = rows::seal_content(&key, &commitment, &content).map_err(sealing)?;
        let header = Header { record, media }.seal(&key).map_err(sealing)?;
        let slot = self.slots.put(&Slot { wrapped, mark, generation: 0 });
        let slot = slot.map_err(|error| Problem::fault("a document's key cannot be written", error))?;
        let row = DocumentRow { commitment, held: Some(Held { slot, size, header }) };
        let document = NewDocument { subject, sequence, row, content, request };
        let hook = move |transaction: &redb::WriteTransaction| rows::put_document(transaction, &document);
        let ordered = self.journal.order_with(Command::KeepDocument { subject, commitment }, hook).await;
        if let Err(refusal) = ordered {
            // A journal that stopped may have taken it; the next start knows.
            if let symphony_consensus::orderer::OrderError::Refused(_) = refusal {
                self.slots.erase(slot).map_err(overwriting)?;
            }
            return Err(refusal.into());
        }
        Ok(commitment)
    }

    /// The answer to a request that was answered before. Of an erased document nothing is left to compare.
    fn answered(
        &self,
        view: &View,
        incoming: &Incoming,
        known: Commitment,
        brought: bool,
    ) -> Result<VaultAnswer, Problem> {
        let (_, row) = view.document(incoming.subject, &known)?;
        if let Some(held) = row.held
            && self.slot(held.slot)?.mark != incoming.mark
        {
            return Err(Code::IdempotencyConflict.into());
        }
        self.known(view, incoming.subject, known, brought)
    }

    /// The answer of a request: the receipt, and whether this request brought it.
    fn known(
        &self,
        view: &View,
        subject: SubjectIndex,
        known: Commitment,
        brought: bool,
    ) -> Result<VaultAnswer, Problem> {
        let receipts = vec![self.entry(view, subject, &known)?];
        let (accepted, duplicates) = (u64::from(brought), u64::from(!brought));
        Ok(VaultAnswer { accepted, duplicates, receipts, ..VaultAnswer::default() })
    }

    fn shelf(&self, view: &View, incoming: &Incoming) -> Result<Shelf, Problem> {
        let mut shelf = Shelf { same: None, documents: 0, bytes: 0, next: 0 };
        for row in view.documents(incoming.subject, 0)? {
            let (sequence, row) = row?;
            shelf.next = sequence.saturating_add(1);
            let Some(held) = row.held else { continue };
            shelf.documents += 1;
            shelf.bytes = shelf.bytes.saturating_add(held.size);
            if self.slot(held.slot)?.mark == incoming.mark {
                shelf.same = Some(row.commitment);
                break;
            }
        }
        Ok(shelf)
    }

    /// A document of the person: its position and its row. **Errors**: `ADM-0004`.
    pub(crate) fn find(
        &self,
        view: &View,
        subject: SubjectIndex,
        commitment: &Commitment,
    ) -> Result<(u32, DocumentRow), Problem> {
        self.state().documents.of(subject, commitment)?;
        view.document(subject, commitment)
    }

    /// The key and the header of a document of the person. **Errors**: `ADM-0004`, or `VLT-0012` when it is erased.
    pub(crate) fn held(
        &self,
        view: &View,
        subject: SubjectIndex,
        commitment: &Commitment,
    ) -> Result<(DataKey, Header), Problem> {
        let (_, row) = self.find(view, subject, commitment)?;
        self.unlock(subject, commitment, &row.held.ok_or(Code::DocumentErased)?)
    }

    pub(crate) fn entry(
        &self,
        view: &View,
        subject: SubjectIndex,
        commitment: &Commitment,
    ) -> Result<ReceiptEntry, Problem> {
        let (_, row) = view.document(subject, commitment)?;
        self.entry_of(view, subject, &row)
    }

    fn entry_of(
        &self,
        view: &View,
        subject: SubjectIndex,
        row: &DocumentRow,
    ) -> Result<ReceiptEntry, Problem> {
        let Kept { since, erased, .. } = self.state().documents.of(subject, &row.commitment)?;
        let mut entry = ReceiptEntry {
            receipt_id: row.commitment.0.0.to_vec(),
            state: ERASED.to_owned(),
            uploaded_ms: since.0,
            erased_ms: erased.map_or(0, |at| at.0),
            ..ReceiptEntry::default()
        };
        if let Some(held) = &row.held {
            let (key, header) = self.unlock(subject, &row.commitment, held)?;
            entry.state = STORED.to_owned();
            entry.media_type = header.media.name().to_owned();
            entry.size_bytes = held.size;
            entry.content_digest = header.record.content.0.to_vec();
            entry.salt = header.record.salt.to_vec();
            entry.reading = view.reading(&key, &row.commitment)?.as_ref().map(shown);
        }
        Ok(entry)
    }

    /// A document's key and header. **Errors**: a changed byte.
    pub(crate) fn unlock(
        &self,
        subject: SubjectIndex,
        commitment: &Commitment,
        held: &Held,
    ) -> Result<(DataKey, Header), Problem> {
        let person = self.keys.data_key(subject).map_err(sealing)?;
        let key = held.key(&self.slots, &person, commitment)?;
        let header = Header::open(&key, commitment, &held.header)?;
        Ok((key, header))
    }

    /// What tells a content of a person again.
    pub(crate) fn document_mark(&self, own: &SubjectId, content: Digest) -> Digest {
        self.keys.keyed("symphony/document-mark/v1", &canonical::to_bytes(&(own, content)))
    }

    fn slot(&self, number: u32) -> Result<Slot, Problem> {
        self.slots.get(number).map_err(|error| Problem::fault("a document's key cannot be read", error))
    }

    /// The kept proof, or a new one over the journal as it is.
    fn proof(
        &self,
        view: &View,
        subject: SubjectIndex,
        commitment: Commitment,
    ) -> Result<SignedErasure, Problem> {
        if let Some(proof) = view.erasure(&commitment)? {
            return Ok(proof);
        }
        let head = self.journal.head();
        let erased = self.state().documents.of(subject, &commitment)?.erased;
        let at =
            erased.ok_or_else(|| Problem::refused(Code::Internal, "the erasure is not in the journal"))?;
        let vault = self.vault.clone();
        let erasure = Erasure { vault, commitment, at, height: head.height, head: head.hash };
        let proof = self.keys.signing.sign(erasure);
        self.store.write(|transaction| rows::put_erasure(transaction, &proof))?;
        Ok(proof)
    }
}

pub(crate) fn commitment(bytes: &[u8]) -> Result<Commitment, Problem> {
    let bytes =
        bytes.try_into().map_err(|_| Problem::refused(Code::Malformed, "a receipt's id has 32 bytes"))?;
    Ok(Commitment(Digest(bytes)))
}

pub(crate) fn sealing(error: KeyError) -> Problem {
    Problem::fault("a document cannot be sealed or opened", error)
}

pub(crate) fn overwriting(error: std::io::Error) -> Problem {
    Problem::fault("a document's key cannot be overwritten", error)
}

const STORED: &str = "stored";
const ERASED: &str = "erased";
/// Receipts of one answer.
const LISTED_MAX: u32 = 1_000;
