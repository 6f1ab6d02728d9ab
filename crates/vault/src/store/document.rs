//! The rows of receipt documents (R076-R080, D12).
//!
//! A document has a row by person and position, a sealed content by commitment, and a place by commitment; a request has
//! the commitment that answered it, and whether it brought it. Header and content are sealed under the document's own key, whose wrapped form is in
//! [`crate::slots`]. Commitment, header and content are checked against each other on every read (R078).

use std::collections::BTreeSet;

use redb::{ReadableTable as _, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};
use symphony_protocol::vault::document::{DocumentRecord, Media, SignedErasure};
use symphony_types::canonical;
use symphony_types::digest::Digest;
use symphony_types::id::Commitment;
use symphony_types::subjects::SubjectIndex;
use zeroize::Zeroizing;

use super::reading::erase_reading;
use super::{View, broken, put, unreadable};
use crate::keys::{DataKey, KeyError};
use crate::problem::Problem;
use crate::slots::KeySlots;

/// A document's row. Its commitment stays when the rest is erased.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DocumentRow {
    /// Its commitment.
    pub commitment: Commitment,
    /// What goes with an erasure.
    pub held: Option<Held>,
}

/// What is there of a document that is not erased.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Held {
    /// The slot of its wrapped key.
    pub slot: u32,
    /// Bytes of its content.
    pub size: u64,
    /// Its header under its key.
    pub header: Vec<u8>,
}

impl Held {
    /// The document's key. **Errors**: the slot cannot be read, or a changed byte.
    pub fn key(&self, slots: &KeySlots, person: &DataKey, document: &Commitment) -> Result<DataKey, Problem> {
        let slot = slots.get(self.slot);
        let slot = slot.map_err(|error| Problem::fault("a document's key cannot be read", error))?;
        person.inner(&key_place(document), &slot.wrapped).map_err(unreadable)
    }
}

/// Where the wrapped key of a document belongs.
pub fn key_place(document: &Commitment) -> Vec<u8> {
    place(b"document-key", document)
}

/// What a document says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// What is committed to.
    pub record: DocumentRecord,
    /// What the content is.
    pub media: Media,
}

impl Header {
    /// The header under the document's key. **Errors**: [`KeyError`].
    pub fn seal(&self, key: &DataKey) -> Result<Vec<u8>, KeyError> {
        let plain = Zeroizing::new(canonical::to_bytes(self));
        key.seal(&place(b"header", &self.record.commitment()), &plain)
    }

    /// The header of a commitment. **Errors**: a changed byte.
    pub fn open(key: &DataKey, commitment: &Commitment, sealed: &[u8]) -> Result<Self, Problem> {
        let plain = key.open(&place(b"header", commitment), sealed).map_err(unreadable)?;
        let header: Self =
            bcs::from_bytes(&plain).map_err(|error| Problem::fault("a header is damaged", error))?;
        if header.record.commitment() == *commitment { Ok(header) } else { Err(broken()) }
    }
}

/// A content under the document's key. **Errors**: [`KeyError`].
pub fn seal_content(key: &DataKey, commitment: &Commitment, content: &[u8]) -> Result<Vec<u8>, KeyError> {
    key.seal(&place(b"content", commitment), content)
}

/// A document on its way to disk.
pub struct NewDocument {
    /// Whose.
    pub subject: SubjectIndex,
    /// Its position among the person's documents.
    pub sequence: u32,
    /// Its row.
    pub row: DocumentRow,
    /// Its content under its key.
    pub content: Vec<u8>,
    /// Keyed digest of person and request id.
    pub request: Digest,
}

/// All rows of a new document. **Errors**: storage.
pub fn put_document(transaction: &WriteTransaction, document: &NewDocument) -> Result<(), redb::Error> {
    let (commitment, place) = (document.row.commitment, (document.subject.0, document.sequence));
    put_row(transaction, place, &document.row)?;
    transaction.open_table(CONTENTS)?.insert(commitment.0.0, document.content.as_slice())?;
    transaction.open_table(PLACES)?.insert(commitment.0.0, place)?;
    put_request(transaction, document.request, commitment, true)
}

/// The answer to a request that brought nothing new. **Errors**: storage.
pub fn put_document_request(
    transaction: &WriteTransaction,
    request: Digest,
    commitment: Commitment,
) -> Result<(), redb::Error> {
    put_request(transaction, request, commitment, false)
}

fn put_request(
    transaction: &WriteTransaction,
    request: Digest,
    commitment: Commitment,
    brought: bool,
) -> Result<(), redb::Error> {
    transaction.open_table(REQUESTS)?.insert(request.0, (commitment.0.0, brought))?;
    Ok(())
}

/// Takes everything of a document away but its commitment, and the record that came of it. **Errors**: storage.
pub fn erase_document(
    transaction: &WriteTransaction,
    place: (u32, u32),
    commitment: Commitment,
    record: Option<Commitment>,
) -> Result<(), redb::Error> {
    erase_reading(transaction, commitment, record)?;
    transaction.open_table(CONTENTS)?.remove(commitment.0.0)?;
    put_row(transaction, place, &DocumentRow { commitment, held: None })
}

/// The proof of an erasure. **Errors**: storage.
pub fn put_erasure(transaction: &WriteTransaction, erasure: &SignedErasure) -> Result<(), redb::Error> {
    put(transaction, ERASURES, erasure.body.commitment.0, erasure)
}

/// Makes the tables. **Errors**: storage.
pub(super) fn make(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(DOCUMENTS)?;
    transaction.open_table(CONTENTS)?;
    transaction.open_table(PLACES)?;
    transaction.open_table(REQUESTS)?;
    transaction.open_table(ERASURES)?;
    Ok(())
}

fn put_row(transaction: &WriteTransaction, place: (u32, u32), row: &DocumentRow) -> Result<(), redb::Error> {
    transaction.open_table(DOCUMENTS)?.insert(place, canonical::to_bytes(row).as_slice())?;
    Ok(())
}

impl View {
    /// A person's documents from a position on, in the order that they came in. **Errors**: storage.
    pub fn documents(
        &self,
        subject: SubjectIndex,
        from: u32,
    ) -> Result<impl Iterator<Item = Result<(u32, DocumentRow), Problem>> + use<>, Problem> {
        let table = self.transaction.open_table(DOCUMENTS).map_err(redb::Error::from)?;
        let range = table.range((subject.0, from)..=(subject.0, u32::MAX)).map_err(redb::Error::from)?;
        Ok(range.map(|row| {
            let (place, bytes) = row.map_err(redb::Error::from)?;
            Ok((place.value().1, decode(bytes.value())?))
        }))
    }

    /// A document's row and its position among its person's. **Errors**: storage, or there is none.
    pub fn document(
        &self,
        subject: SubjectIndex,
        commitment: &Commitment,
    ) -> Result<(u32, DocumentRow), Problem> {
        let places = self.transaction.open_table(PLACES).map_err(redb::Error::from)?;
        let place = places.get(commitment.0.0).map_err(redb::Error::from)?.ok_or_else(broken)?.value();
        let table = self.transaction.open_table(DOCUMENTS).map_err(redb::Error::from)?;
        let row = table.get(place).map_err(redb::Error::from)?.ok_or_else(broken)?;
        let row: DocumentRow = decode(row.value())?;
        if place.0 == subject.0 && row.commitment == *commitment { Ok((place.1, row)) } else { Err(broken()) }
    }

    /// The content of a document. **Errors**: storage, or a changed byte.
    pub fn document_content(
        &self,
        key: &DataKey,
        record: &DocumentRecord,
    ) -> Result<Zeroizing<Vec<u8>>, Problem> {
        let commitment = record.commitment();
        let table = self.transaction.open_table(CONTENTS).map_err(redb::Error::from)?;
        let sealed = table.get(commitment.0.0).map_err(redb::Error::from)?.ok_or_else(broken)?;
        let content = key.open(&place(b"content", &commitment), sealed.value()).map_err(unreadable)?;
        if Digest::of_bytes(&content) == record.content { Ok(content) } else { Err(broken()) }
    }

    /// The document that answered a request, and whether the request brought it. **Errors**: storage.
    pub fn document_of_request(&self, request: Digest) -> Result<Option<(Commitment, bool)>, Problem> {
        let table = self.transaction.open_table(REQUESTS).map_err(redb::Error::from)?;
        let known = table.get(request.0).map_err(redb::Error::from)?;
        Ok(known.map(|known| (Commitment(Digest(known.value().0)), known.value().1)))
    }

    /// The proof of an erasure. **Errors**: storage.
    pub fn erasure(&self, commitment: &Commitment) -> Result<Option<SignedErasure>, Problem> {
        self.get(ERASURES, commitment.0)
    }

    /// The key slots of all documents. **Errors**: storage.
    pub fn slots(&self) -> Result<BTreeSet<u32>, Problem> {
        let table = self.transaction.open_table(DOCUMENTS).map_err(redb::Error::from)?;
        let mut slots = BTreeSet::new();
        for row in table.iter().map_err(redb::Error::from)? {
            let (_, bytes) = row.map_err(redb::Error::from)?;
            slots.extend(decode(bytes.value())?.held.map(|held| held.slot));
        }
        Ok(slots)
    }
}

fn decode(bytes: &[u8]) -> Result<DocumentRow, Problem> {
    bcs::from_bytes(bytes).map_err(|error| Problem::fault("a document's row is damaged", error))
}

fn place(what: &[u8], commitment: &Commitment) -> Vec<u8> {
    [what, &commitment.0.0].concat()
}

const DOCUMENTS: TableDefinition<'static, (u32, u32), &'static [u8]> =
    TableDefinition::new("vault/documents");
const PLACES: TableDefinition<'static, [u8; 32], (u32, u32)> = TableDefinition::new("vault/document-places");
const REQUESTS: TableDefinition<'static, [u8; 32], ([u8; 32], bool)> =
    TableDefinition::new("vault/document-requests");
const CONTENTS: super::Rows = TableDefinition::new("vault/document-contents");
const ERASURES: super::Rows = TableDefinition::new("vault/erasures");
