//! Receipt documents as the Vault's machine knows them: a commitment, whose it is, and whether it is erased (R074-R080,
//! D12).
//!
//! `Commitment = SHA256(Serialize({salt, subject, digest of the content}))` over canonical bytes, as of a canonical
//! record. The commitment is the document's only name outside of its Vault. Erasure destroys the salt and the content;
//! the commitment stays and says nothing any more.
//!
//! ```text
//! (none) -> stored -> erased
//! ```

use alloc::vec::Vec;

use serde::{Deserialize, Serialize, Serializer};
use symphony_types::canonical;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{Commitment, SubjectId, VaultId};
use symphony_types::key::{Document, Signed, Vault};
use symphony_types::limits::DOCUMENT_BYTES_MAX;
use symphony_types::subjects::SubjectIndex;
use symphony_types::table::{Table, Value};
use symphony_types::time::OrderedMillis;

/// What is committed to of one document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DocumentRecord {
    /// 32 random bytes.
    pub salt: [u8; 32],
    /// Whose document it is.
    pub subject: SubjectId,
    /// SHA-256 of the content.
    pub content: Digest,
}

impl DocumentRecord {
    /// The document's commitment.
    pub fn commitment(&self) -> Commitment {
        Commitment(Digest::of_bytes(&canonical::to_bytes(self)))
    }
}

/// What a document is, by its first bytes; its name and declared type are never asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Media {
    /// A photograph.
    Jpeg,
    /// A picture.
    Png,
    /// Pages with text or scans.
    Pdf,
}

impl Media {
    /// The media type's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::Pdf => "application/pdf",
        }
    }

    const fn begins(self) -> &'static [u8] {
        match self {
            Self::Jpeg => b"\xff\xd8\xff",
            Self::Png => b"\x89PNG\r\n\x1a\n",
            Self::Pdf => b"%PDF-",
        }
    }
}

/// Whether a content may be kept, and as what. **Errors**: `VLT-0010` empty, `ADM-0017` too large, `VLT-0009` neither
/// JPEG nor PNG nor PDF.
pub fn media(content: &[u8]) -> Result<Media, Code> {
    if content.is_empty() {
        return Err(Code::DocumentEmpty);
    }
    if content.len() > DOCUMENT_BYTES_MAX {
        return Err(Code::BodyTooLarge);
    }
    let all = [Media::Jpeg, Media::Png, Media::Pdf];
    all.into_iter().find(|media| content.starts_with(media.begins())).ok_or(Code::DocumentUnknown)
}

/// What the journal says of one document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// Whose it is.
    pub subject: SubjectIndex,
    /// When it came in.
    pub since: OrderedMillis,
    /// When it was erased.
    pub erased: Option<OrderedMillis>,
}

impl Value for Kept {}

/// All documents of a Vault. In a digest of the state they are represented by the running digest of all changes.
#[derive(Clone, Debug)]
pub struct Documents {
    table: Table<Commitment, Kept>,
    trail: Digest,
}

impl Default for Documents {
    fn default() -> Self {
        Self { table: Table::new(), trail: Digest::ZERO }
    }
}

impl Documents {
    /// How many documents ever came in.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether none ever came in.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// A person's document. Another person's is none. **Errors**: `ADM-0004`.
    pub fn of(&self, subject: SubjectIndex, commitment: &Commitment) -> Result<Kept, Code> {
        self.table.get(commitment).filter(|kept| kept.subject == subject).copied().ok_or(Code::NotFound)
    }

    /// Documents that came in before a moment and are not erased, and whose they are.
    pub fn older(&self, before: OrderedMillis) -> Vec<(SubjectIndex, Commitment)> {
        let old = self.table.iter().filter(|(_, kept)| kept.erased.is_none() && kept.since < before);
        old.map(|(commitment, kept)| (kept.subject, *commitment)).collect()
    }

    /// Whether the document is new. **Errors**: `ADM-0005` when the commitment is another person's or erased.
    pub(crate) fn admits(&self, subject: SubjectIndex, commitment: &Commitment) -> Result<bool, Code> {
        match self.table.get(commitment) {
            None => Ok(true),
            Some(kept) if kept.subject == subject && kept.erased.is_none() => Ok(false),
            Some(_) => Err(Code::IdempotencyConflict),
        }
    }

    pub(crate) fn keep(&mut self, at: OrderedMillis, subject: SubjectIndex, commitment: Commitment) {
        self.table.insert(commitment, Kept { subject, since: at, erased: None });
        self.trail = Digest::of("symphony/vault-document-kept/v1", &(self.trail, at, subject, commitment));
    }

    pub(crate) fn erase(&mut self, at: OrderedMillis, commitment: &Commitment) {
        if let Some(kept) = self.table.get_mut(commitment) {
            kept.erased = Some(at);
        }
        self.trail = Digest::of("symphony/vault-document-erased/v1", &(self.trail, at, commitment));
    }
}

impl Serialize for Documents {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.len() as u64, self.trail).serialize(serializer)
    }
}

/// A Vault's word that a document is erased: key, salt and content are destroyed, and its journal says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erasure {
    /// The Vault.
    pub vault: VaultId,
    /// The document's commitment, which stays.
    pub commitment: Commitment,
    /// When the journal took the erasure.
    pub at: OrderedMillis,
    /// Height of the journal with the erasure in it.
    pub height: u64,
    /// Digest of the journal's entry at that height.
    pub head: Digest,
}

impl Document for Erasure {
    const TAG: &'static str = "symphony/erasure/v1";
}

/// An erasure with the signature of its Vault.
pub type SignedErasure = Signed<Erasure, Vault>;

/// A Vault's word that a person is erased: its key and those of its documents are destroyed, no segment has a row of it,
/// every consent is ended, and the journal says so (R055, R080, D12).
///
/// The person is named by its position, as in proofs of its budget, and not by its id, which the Vault does not keep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonErasure {
    /// The Vault.
    pub vault: VaultId,
    /// The person's position, which nobody else ever gets.
    pub subject: SubjectIndex,
    /// When the journal took the erasure.
    pub at: OrderedMillis,
    /// Height of the journal with the erasure in it.
    pub height: u64,
    /// Digest of the journal's entry at that height.
    pub head: Digest,
}

impl Document for PersonErasure {
    const TAG: &'static str = "symphony/person-erasure/v1";
}

/// The erasure of a person with the signature of its Vault.
pub type SignedPersonErasure = Signed<PersonErasure, Vault>;

#[cfg(test)]
mod tests {
    use super::*;

    fn commitment(byte: u8) -> Commitment {
        Commitment(Digest([byte; 32]))
    }

    /// R080: what a document is shows in its first bytes, and a prefix of them is not enough.
    #[test]
    fn documents_are_known_by_their_first_bytes() {
        for kind in [Media::Jpeg, Media::Png, Media::Pdf] {
            assert_eq!(media(kind.begins()), Ok(kind));
            let cut = &kind.begins()[..kind.begins().len() - 1];
            assert_eq!(media(cut), Err(Code::DocumentUnknown));
        }
        assert_eq!(media(b""), Err(Code::DocumentEmpty));
        assert_eq!(media(b"receipt.jpg"), Err(Code::DocumentUnknown));
        let mut large = alloc::vec![0; DOCUMENT_BYTES_MAX + 1];
        large[..5].copy_from_slice(b"%PDF-");
        assert_eq!(media(&large), Err(Code::BodyTooLarge));
        assert_eq!(media(&large[..DOCUMENT_BYTES_MAX]), Ok(Media::Pdf));
    }

    /// R209, D12: a commitment is one person's, is noted once, and never comes back after its erasure.
    #[test]
    fn a_commitment_is_noted_once_and_never_comes_back() {
        let (own, other) = (SubjectIndex(0), SubjectIndex(1));
        let mut documents = Documents::default();
        assert_eq!(documents.of(own, &commitment(1)), Err(Code::NotFound));
        assert_eq!(documents.admits(own, &commitment(1)), Ok(true));
        documents.keep(OrderedMillis(5), own, commitment(1));
        assert_eq!(documents.admits(own, &commitment(1)), Ok(false));
        assert_eq!(documents.admits(other, &commitment(1)), Err(Code::IdempotencyConflict));
        assert_eq!(documents.of(other, &commitment(1)), Err(Code::NotFound));
        let before = canonical::to_bytes(&documents);
        documents.erase(OrderedMillis(7), &commitment(1));
        assert_ne!(canonical::to_bytes(&documents), before, "the state's digest tells");
        let erased = Kept { subject: own, since: OrderedMillis(5), erased: Some(OrderedMillis(7)) };
        assert_eq!(documents.of(own, &commitment(1)), Ok(erased));
        assert_eq!(documents.admits(own, &commitment(1)), Err(Code::IdempotencyConflict));
        assert_eq!(documents.len(), 1);
    }
}
