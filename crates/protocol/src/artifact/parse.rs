//! The documents of a parse task (R082-R086, R234): one document of one person, read inside the one Vault that keeps it.
//!
//! A parse has no escrow, no budget and no aggregator: the Vault's ticket says that the owner wants it, the Vault's
//! statement says what came out, and neither holds a word of what the document says (R082).

use serde::{Deserialize, Serialize};
use symphony_types::amount::{Bps, Sym};
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{ActorId, Commitment, EpochId, Measurement, RequestId, TaskId, VaultId};
use symphony_types::key::{Document, Endorsed, Master, Signed, Vault};
use symphony_types::time::OrderedMillis;

use super::{Attestation, Share, Versions, task_id};

/// The Vault keeps a document, and its owner asked for it to be read. Nobody can have a document parsed without it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParseTicket {
    /// The Vault.
    pub vault: VaultId,
    /// The document, by its commitment.
    pub document: Commitment,
    /// Who owns it and asked.
    pub owner: ActorId,
    /// The owner's name for the request.
    pub request: RequestId,
    /// Nothing is admitted on it from then on.
    pub expires: OrderedMillis,
}

impl Document for ParseTicket {
    const TAG: &'static str = "symphony/parse-ticket/v1";
}

/// A ticket that a Vault signed.
pub type SignedTicket = Signed<ParseTicket, Vault>;

impl ParseTicket {
    /// The task that the request becomes: the same request of the same owner is the same task (R209).
    pub fn task(&self) -> TaskId {
        task_id(&self.owner, &self.request)
    }
}

/// The complete order for a parse (R021); the masters endorse it before the Vault obeys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParseOrder {
    /// The task.
    pub task: TaskId,
    /// What it was admitted on.
    pub ticket: ParseTicket,
    /// Versions that it was admitted under.
    pub versions: Versions,
    /// The epoch of its admission.
    pub epoch: EpochId,
    /// When it was admitted.
    pub admitted_at: OrderedMillis,
    /// After this no statement is accepted.
    pub execute_by: OrderedMillis,
    /// The code that may extract the record, in ascending order (R128).
    pub measurements: alloc::vec::Vec<Measurement>,
    /// Whether an enclave of class `software` may serve the task (R130).
    pub software_admitted: bool,
}

impl Document for ParseOrder {
    const TAG: &'static str = "symphony/parse-order/v1";
}

/// An order that masters endorse.
pub type EndorsedParse = Endorsed<ParseOrder, Master>;

/// How good a record is, in three parts that the policy weighs (R086, R163).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quality {
    /// Fields that were read, of those that a receipt has.
    pub completeness: Bps,
    /// Sums on the receipt that add up, of those that could be compared.
    pub checks: Bps,
    /// How sure the reading is.
    pub confidence: Bps,
}

/// What became of the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ParseOutcome {
    /// A record of it is in the Vault.
    Parsed {
        /// The record's commitment (R083).
        record: Commitment,
        /// How good it is.
        quality: Quality,
    },
    /// There is no record, and why: no receipt, unreadable, or one that was read before.
    Refused(Code),
}

impl ParseOutcome {
    /// Of the outcome for a document, as an attestation names it.
    pub fn digest(&self, document: &Commitment) -> Digest {
        Digest::of("symphony/parse-output/v1", &(document, self))
    }
}

/// What the Vault says of a parse. Its output stays there (R082).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParseStatement {
    /// The task.
    pub task: TaskId,
    /// The Vault.
    pub vault: VaultId,
    /// The document.
    pub document: Commitment,
    /// What came out.
    pub outcome: ParseOutcome,
    /// What read the picture: digest of the reader's, the engine's and its model's measurements (R084).
    pub reader: Digest,
    /// Digest of the words that the reader found, salted: the input of the extraction.
    pub words: Digest,
    /// SHA-256 of the extracting enclave's signed attestation report.
    pub report: Digest,
    /// Head of the Vault's journal after the record was appended.
    pub ledger_head: Digest,
}

impl Document for ParseStatement {
    const TAG: &'static str = "symphony/parse-statement/v1";
}

/// A statement that a Vault signed.
pub type SignedParse = Signed<ParseStatement, Vault>;

impl ParseStatement {
    /// What the attested extraction gave out.
    pub fn output(&self) -> Digest {
        self.outcome.digest(&self.document)
    }
}

/// What a verifier looks at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParseEvidence {
    /// The order.
    pub order: EndorsedParse,
    /// The statement.
    pub statement: SignedParse,
    /// The extraction's attestation.
    pub attestation: Attestation,
}

impl Document for ParseEvidence {
    const TAG: &'static str = "symphony/parse-evidence/v1";

    /// Of everything but the endorsements of the order, as for other evidence.
    fn digest(&self) -> Digest {
        Digest::of(Self::TAG, &(&self.order.body, &self.statement, &self.attestation))
    }
}

/// Everything that the settlement of a parse rests on. Its submitter pays nothing: the subsidy stands here (R085, D11).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParseSettlement {
    /// The task.
    pub task: TaskId,
    /// Versions of its admission.
    pub versions: Versions,
    /// Epoch that it is settled in.
    pub epoch: EpochId,
    /// Digest of the order.
    pub order: Digest,
    /// Digest of the statement.
    pub statement: Digest,
    /// Digest of the verdict.
    pub verdict: Digest,
    /// What the protocol pays for it.
    pub subsidy: Sym,
    /// Who earns what; sums to the subsidy.
    pub shares: alloc::vec::Vec<Share>,
    /// Whether an enclave of class `software` served it (R130).
    pub software: bool,
    /// When it became final.
    pub finalized_at: OrderedMillis,
}
