//! What two Vaults say to each other when the council moves everything that one keeps to the other, and what travels (R081).
//!
//! The destination invites each batch, the source offers it, the destination's word on what it has then is the receipt on which
//! the source erases. All three name the proposal. Counts are buckets, because they pass masters (D6); the root has everything.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use symphony_types::digest::Digest;
use symphony_types::epsilon::Epsilon;
use symphony_types::id::{AccountId, Commitment, SubjectId, UsageScope, VaultId};
use symphony_types::key::{Document, Signed, Vault};
use symphony_types::merkle::{self, Frontier};

use super::document::{DocumentRecord, Media};
use super::record::CanonicalRecord;
use crate::artifact::Bucket;

/// The destination asks for the next batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// Digest of the proposal that the council carried.
    pub proposal: Digest,
    /// The Vault that is left.
    pub from: VaultId,
    /// The Vault that asks.
    pub to: VaultId,
    /// How many batches it has.
    pub batches: u64,
    /// Random: makes the batch's attestation fresh (R123).
    pub challenge: Digest,
    /// Digest of the boot report of the enclave that the batch is to be sealed to.
    pub boot: Digest,
}

impl Document for Invitation {
    const TAG: &'static str = "symphony/move-invitation/v1";
}

/// An invitation with the signature of the destination.
pub type SignedInvitation = Signed<Invitation, Vault>;

/// The source's word on a batch that its enclave sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// Digest of the invitation that it answers.
    pub invitation: Digest,
    /// SHA-256 of the sealed batch.
    pub sealed: Digest,
    /// SHA-256 of the attestation report on it.
    pub report: Digest,
    /// Where the move is when the destination has it.
    pub after: Standing,
}

impl Document for Offer {
    const TAG: &'static str = "symphony/move-offer/v1";
}

/// An offer with the signature of the source.
pub type SignedOffer = Signed<Offer, Vault>;

/// Where a move is, in one Vault's words. The last one, of both Vaults alike, is their closing statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Digest of the proposal that the council carried.
    pub proposal: Digest,
    /// The Vault that is left.
    pub from: VaultId,
    /// The Vault that takes its people.
    pub to: VaultId,
    /// Batches that are at the destination.
    pub batches: u64,
    /// People who came with them.
    pub people: Bucket,
    /// Their records.
    pub records: Bucket,
    /// Their receipt documents.
    pub documents: Bucket,
    /// Root of the tree over the batches, each the root over its commitments.
    pub root: Digest,
    /// Whether nothing is left at the source.
    pub closed: bool,
}

impl Document for Standing {
    const TAG: &'static str = "symphony/move-standing/v1";
}

/// A standing with the signature of one of the two Vaults.
pub type SignedStanding = Signed<Standing, Vault>;

/// What has been moved, as each Vault counts it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    people: u64,
    records: u64,
    documents: u64,
    batches: Frontier,
}

/// What one batch adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// People who begin in it.
    pub people: u32,
    /// Records, those that came of documents among them.
    pub records: u32,
    /// Documents.
    pub documents: u32,
    /// Root over its commitments.
    pub root: Digest,
}

impl Tally {
    /// How many batches there were.
    pub const fn batches(&self) -> u64 {
        self.batches.count()
    }

    /// With one batch more.
    #[must_use]
    pub fn with(&self, load: &Load) -> Self {
        let mut batches = self.batches.clone();
        batches.push(merkle::leaf(&load.root.0));
        Self {
            people: self.people.saturating_add(u64::from(load.people)),
            records: self.records.saturating_add(u64::from(load.records)),
            documents: self.documents.saturating_add(u64::from(load.documents)),
            batches,
        }
    }

    /// In words for outside.
    pub fn standing(&self, proposal: Digest, (from, to): (&VaultId, &VaultId), closed: bool) -> Standing {
        Standing {
            proposal,
            from: from.clone(),
            to: to.clone(),
            batches: self.batches(),
            people: Bucket::of(self.people),
            records: Bucket::of(self.records),
            documents: Bucket::of(self.documents),
            root: self.batches.root(),
            closed,
        }
    }
}

/// What travels, in batches: a person, then its records, then its documents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Item {
    /// A person. Its consents do not travel (R061).
    Person(Person),
    /// A record that was uploaded.
    Record(CanonicalRecord),
    /// A receipt document.
    Document(Content),
}

/// A person on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// Its id.
    pub subject: SubjectId,
    /// What is delivered for it.
    pub contact: String,
    /// Where its dividends go.
    pub wallet: Option<AccountId>,
    /// What it has consumed of its budget, by scope.
    pub spent: Vec<(UsageScope, Epsilon)>,
    /// What modules found of it, as the Vaults keep that.
    pub values: Vec<Vec<u8>>,
}

/// A receipt document on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// What is committed to: whose it is and its salt stand here.
    pub record: DocumentRecord,
    /// What the content is.
    pub media: Media,
    /// The content.
    pub content: Vec<u8>,
    /// What was read of it, as the Vaults keep that; empty when nothing was.
    pub reading: Vec<u8>,
    /// The record that came of it.
    pub derived: Option<CanonicalRecord>,
}

impl Item {
    /// Whose it is.
    pub const fn subject(&self) -> &SubjectId {
        match self {
            Self::Person(person) => &person.subject,
            Self::Record(record) => &record.subject,
            Self::Document(document) => &document.record.subject,
        }
    }

    /// The commitments to it, which stay what they were (R077).
    pub fn commitments(&self) -> Vec<Commitment> {
        match self {
            Self::Person(_) => Vec::new(),
            Self::Record(record) => alloc::vec![record.commitment()],
            Self::Document(document) => {
                let derived = document.derived.iter().map(CanonicalRecord::commitment);
                core::iter::once(document.record.commitment()).chain(derived).collect()
            }
        }
    }
}

/// What a batch adds to a move.
pub fn load(items: &[Item]) -> Load {
    let mut load = Load { people: 0, records: 0, documents: 0, root: Digest::ZERO };
    let mut leaves = Vec::new();
    for item in items {
        match item {
            Item::Person(_) => load.people += 1,
            Item::Record(_) => load.records += 1,
            Item::Document(document) => {
                load.documents += 1;
                load.records += u32::from(document.derived.is_some());
            }
        }
        leaves.extend(item.commitments().iter().map(|commitment| merkle::leaf(&commitment.0.0)));
    }
    load.root = merkle::root(&leaves);
    load
}
