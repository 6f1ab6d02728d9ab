//! What a node and its enclave say to each other: canonical bytes in frames on the enclave's standard input and
//! output. Attestation documents are opaque here; the `tee` crate knows them.

use serde::{Deserialize, Serialize};
use symphony_protocol::artifact::module::Declaration;
use symphony_protocol::artifact::parse::{EndorsedParse, Quality};
use symphony_protocol::artifact::training::EndorsedRoundOrder;
use symphony_protocol::artifact::{EndorsedAssignment, EndorsedEnvelope, SignedAggregate, Versions};
use symphony_protocol::vault::moving::{Invitation, SignedInvitation};
use symphony_protocol::vault::record::CanonicalRecord;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{ActorId, TaskId, VaultId};
use symphony_types::key::{Document, Master, PublicKey, Signed, SoftwareEnclave, Vault};
use symphony_types::subjects::SubjectIndex;

/// A request of the host to its enclave.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Call {
    /// To an aggregator: make the task's keys and seal them to each slice enclave.
    OpenTask {
        /// The order.
        envelope: EndorsedEnvelope,
        /// Boot report of each participating Vault's enclave (canonical `SignedBoot`).
        slices: Vec<(VaultId, Vec<u8>)>,
        /// Canonical `AppraisalPolicy` that the boot reports are appraised by.
        policy: Vec<u8>,
        /// The masters: a majority of them must endorse the envelope.
        masters: Vec<PublicKey<Master>>,
    },
    /// To an aggregator: open the bundles, combine, seal to the submitter.
    Aggregate {
        /// The order.
        envelope: EndorsedEnvelope,
        /// Makes the report fresh.
        nonce: Digest,
        /// Sealed bundles by Vault, ascending.
        bundles: Vec<(VaultId, Vec<u8>)>,
        /// The masters: a majority of them must endorse the envelope.
        masters: Vec<PublicKey<Master>>,
    },
    /// To a slice enclave: evaluate the query, or run the module, on sealed material.
    Evaluate {
        /// The order, with the aggregator's boot report and the task keys inside.
        assignment: EndorsedAssignment,
        /// Arrow batches sealed to this enclave, see `compute::material`.
        material: Vec<u8>,
        /// Segments whose bytes the enclave may ask for, sealed to it, see `segments::handed`; none when all records are in the
        /// material.
        segments: Option<Vec<u8>>,
        /// What this Vault's enclaves found in portions of the segments; none when this one reads them all.
        dealt: Option<Dealt>,
        /// Canonical `AppraisalPolicy` that the aggregator's boot report is appraised by.
        policy: Vec<u8>,
        /// The masters: a majority of them must endorse the assignment.
        masters: Vec<PublicKey<Master>>,
    },
    /// To a slice enclave: this Vault's part of a round of a training.
    Contribute {
        /// The order, with the aggregator's boot report inside.
        order: EndorsedRoundOrder,
        /// The Vault whose part it is.
        vault: VaultId,
        /// The learner that the round begins with, and its key sealed to this enclave; none in the first round.
        learner: Option<SealedLearner>,
        /// Root over the records that the round is computed on; the enclave may still hold them.
        input_root: Digest,
        /// Those records, sealed to this enclave; none to try without.
        material: Option<Vec<u8>>,
        /// Canonical `AppraisalPolicy` that the aggregator's boot report is appraised by.
        policy: Vec<u8>,
        /// The masters: a majority of them must endorse the order.
        masters: Vec<PublicKey<Master>>,
    },
    /// To an aggregator that combines alone: add the next piece of a Vault's part. What has been added stays until the
    /// round is combined.
    Piece {
        /// The order.
        order: EndorsedRoundOrder,
        /// Whose part it is.
        vault: VaultId,
        /// Boot report of its enclave (canonical `SignedBoot`).
        boot: Vec<u8>,
        /// Canonical [`Manifest`] of the part.
        bundle: Vec<u8>,
        /// The piece, sealed to this enclave.
        piece: Vec<u8>,
        /// Canonical `AppraisalPolicy` that the boot reports are appraised by.
        policy: Vec<u8>,
        /// The masters: a majority of them must endorse the order.
        masters: Vec<PublicKey<Master>>,
    },
    /// To the first of two aggregators that compute on shares: what it asks the second one.
    Ask {
        /// The round; its halves are those for this enclave.
        round: Gathered,
    },
    /// To the second of them: check, add up, noise, and answer.
    Help {
        /// The round; its halves are those for this enclave.
        round: Gathered,
        /// What the first asks, sealed to this enclave.
        asked: Vec<u8>,
    },
    /// To an aggregator: combine the parts of a round, make the step, seal what comes out.
    Combine {
        /// The round.
        round: Gathered,
        /// The second aggregator's answer, where two compute on shares.
        helped: Option<Helped>,
    },
    /// To a slice enclave: read what the words of a document tell.
    Extract {
        /// The order.
        order: EndorsedParse,
        /// Words sealed to this enclave, see `compute::parse::record`.
        sheet: Vec<u8>,
        /// The masters: a majority of them must endorse the order.
        masters: Vec<PublicKey<Master>>,
    },
    /// To the enclave of a Vault that is left: seal a batch of people to the destination's.
    MoveOut(Box<MovingOut>),
    /// To the enclave of a Vault that takes people: open such a batch for the Vault.
    MoveIn {
        /// The invitation that it answers.
        invitation: Invitation,
        /// The actor that the source's enclave computes as.
        executor: ActorId,
        /// Boot report of the source's enclave (canonical `SignedBoot`).
        boot: Vec<u8>,
        /// Its attestation report on the batch.
        report: Vec<u8>,
        /// The batch, sealed to this enclave.
        batch: Vec<u8>,
        /// Canonical `AppraisalPolicy` that the source's enclave is appraised by.
        policy: Vec<u8>,
        /// The Vault's HPKE key.
        vault: Vec<u8>,
    },
    /// To a slice enclave: find what a portion of a slice's segments says of people, for the enclave that finishes the slice.
    Scan {
        /// The order.
        assignment: EndorsedAssignment,
        /// The portion, sealed to this enclave, see `segments::handed`.
        portion: Vec<u8>,
        /// Boot report of the enclave that finishes the slice (canonical `SignedBoot`).
        finisher: Vec<u8>,
        /// Canonical `AppraisalPolicy` that it is appraised by.
        policy: Vec<u8>,
        /// The masters: a majority of them must endorse the assignment.
        masters: Vec<PublicKey<Master>>,
    },
}

/// What the enclaves of one Vault found in the segments of a slice, for the one that finishes it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Dealt {
    /// Canonical `AppraisalPolicy` that they are appraised by.
    pub policy: Vec<u8>,
    /// Boot report (canonical `SignedBoot`) and findings of each portion; together they have every segment once.
    pub portions: Vec<(Vec<u8>, Findings)>,
}

/// What an enclave found in a portion of a slice's segments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Findings {
    /// The segments that it read, each with the root over its records' commitments.
    pub segments: Vec<([u8; 16], Digest)>,
    /// SHA-256 of each piece, sealed to the enclave that finishes the slice.
    pub pieces: Vec<Digest>,
    /// Canonical signed attestation report.
    pub report: Vec<u8>,
}

/// A batch of people that is to be sealed to another Vault's enclave.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MovingOut {
    /// The destination's word: for which move, and for which enclave.
    pub invitation: SignedInvitation,
    /// The destination's registered key.
    pub key: PublicKey<Vault>,
    /// Boot report of its enclave (canonical `SignedBoot`).
    pub boot: Vec<u8>,
    /// Canonical list of `Item`s, sealed to this enclave.
    pub batch: Vec<u8>,
    /// Canonical `AppraisalPolicy` that the destination's enclave is appraised by.
    pub policy: Vec<u8>,
    /// What governs.
    pub versions: Versions,
}

/// What a slice enclave asks its host while a call runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Question {
    /// Sealed bytes of a segment's file. The reply has them one after the other; it is empty when they cannot be had.
    Ranges {
        /// The segment's name.
        segment: [u8; 16],
        /// First byte and end of each range.
        ranges: Vec<(u64, u64)>,
    },
    /// What is delivered for these people, who were selected from segments; ascending. The reply is a canonical list of texts in
    /// the same order, sealed to the enclave; it is empty when there is none.
    Handles {
        /// The people.
        people: Vec<SubjectIndex>,
    },
    /// Keep a sealed piece of what is found in a portion. The reply is its SHA-256; it is empty when the host cannot keep it.
    Keep {
        /// The piece.
        piece: Vec<u8>,
    },
    /// A piece that was kept of a portion. The reply is empty when there is none.
    Piece {
        /// The portion's place in [`Dealt::portions`].
        portion: u32,
        /// The piece's place in [`Findings::pieces`].
        piece: u32,
    },
}

/// A module that an enclave makes ready before it is locked down, as a list in `tee::boot::Boot::ready`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleCode {
    /// Its bytes.
    pub code: Vec<u8>,
    /// What is enforced about it.
    pub declaration: Declaration,
}

/// The enclave's answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(clippy::large_enum_variant)] // One exists at a time, and it is encoded at once.
pub enum Answer {
    /// Task keys, sealed to each slice enclave.
    Opened {
        /// Canonical sealed `SignedTaskKeys` by Vault.
        keys: Vec<(VaultId, Vec<u8>)>,
    },
    /// The module of the task was not made ready when the enclave started.
    ModuleWanted,
    /// The aggregate.
    Aggregated {
        /// What the aggregator says of it.
        header: SignedAggregate,
        /// The result, sealed to the submitter.
        sealed: Vec<u8>,
        /// Canonical signed attestation report.
        report: Vec<u8>,
    },
    /// The slice.
    Evaluated {
        /// Signals or sums, sealed to the aggregator's enclave.
        bundle: Vec<u8>,
        /// Values of derived attributes, which stay in the Vault.
        derived: Vec<(SubjectIndex, u64)>,
        /// Merkle root over the commitments of the rows that went in.
        input_root: Digest,
        /// Canonical signed attestation report.
        report: Vec<u8>,
    },
    /// The part of a round.
    Contributed {
        /// Canonical [`Manifest`].
        bundle: Vec<u8>,
        /// The pieces that it names, each sealed to an aggregator's enclave.
        pieces: Vec<Vec<u8>>,
        /// Canonical signed attestation report.
        report: Vec<u8>,
    },
    /// A piece is added.
    Added,
    /// What the first of two aggregators asks the second, sealed to it.
    Asked {
        /// For [`Call::Help`].
        message: Vec<u8>,
    },
    /// What the second answers.
    Helped(Helped),
    /// The enclave does not hold the records of the round; ask again with them.
    RecordsWanted,
    /// A round.
    Combined {
        /// What the aggregator says of it.
        header: SignedAggregate,
        /// The transcript of the step or the model, sealed to the submitter.
        sealed: Vec<u8>,
        /// The next learner, sealed under a key of its own; none after the last round.
        learner: Option<Vec<u8>>,
        /// That key, sealed to each enclave that goes on.
        keys: Vec<(VaultId, Vec<u8>)>,
        /// Canonical signed attestation report.
        report: Vec<u8>,
    },
    /// A part of a round that cannot be used, though another round without it can be made (R099).
    PartRefused {
        /// Whose.
        vault: VaultId,
        /// Why, by code.
        code: Code,
        /// Why, in words without any private value.
        detail: String,
    },
    /// What a document tells; for the Vault that gave its words.
    Extracted {
        /// Canonical `Expense`.
        expense: Vec<u8>,
        /// The record of it.
        record: CanonicalRecord,
        /// How good it is.
        quality: Quality,
        /// Canonical signed attestation report.
        report: Vec<u8>,
    },
    /// A batch, sealed to the destination's enclave.
    MovedOut {
        /// The batch.
        sealed: Vec<u8>,
        /// Canonical signed attestation report.
        report: Vec<u8>,
    },
    /// A batch, sealed to this enclave's Vault.
    MovedIn {
        /// The batch.
        sealed: Vec<u8>,
    },
    /// What was found in a portion of a slice's segments; the pieces are with the host.
    Scanned(Findings),
    /// The enclave will not do it.
    Refused {
        /// Why, by code.
        code: Code,
        /// Why, in words without any private value.
        detail: String,
    },
}

/// A round as a host hands it to an aggregator's enclave.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Gathered {
    /// The order.
    pub order: EndorsedRoundOrder,
    /// Bundles by Vault, ascending: exactly those that the order names.
    pub bundles: Vec<(VaultId, Vec<u8>)>,
    /// Of each bundle the half that is sealed to this enclave; empty where one aggregator combines.
    pub halves: Vec<Vec<u8>>,
    /// The learner that the round begins with, sealed under its key; none in the first round.
    pub learner: Option<Vec<u8>>,
    /// Boot report of each Vault's enclave that is to go on with the learner (canonical `SignedBoot`).
    pub slices: Vec<(VaultId, Vec<u8>)>,
    /// Canonical `AppraisalPolicy` that the boot reports are appraised by.
    pub policy: Vec<u8>,
    /// The masters: a majority of them must endorse the order.
    pub masters: Vec<PublicKey<Master>>,
}

/// What the second of two aggregators gives to the first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Helped {
    /// Its answers about the Vaults' halves, and its noised share, sealed to the first.
    pub sealed: Vec<u8>,
    /// Canonical signed attestation report on it.
    pub report: Vec<u8>,
}

/// The bundle of a Vault's part of a round. Where one aggregator combines, the first piece is the part with its first sums,
/// and the others are the next sums; where two do, each has one piece, its half of the part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// SHA-256 of each sealed piece.
    pub pieces: Vec<Digest>,
}

/// A learner on its way to an enclave.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SealedLearner {
    /// Its key, sealed to the enclave.
    pub key: Vec<u8>,
    /// The learner, sealed under that key.
    pub sealed: Vec<u8>,
}

/// What the aggregator's enclave gives a slice enclave for one task; sealed to it, never seen outside (D18).
#[derive(Clone, Serialize, Deserialize)]
pub struct TaskKeys {
    /// The task.
    pub task: TaskId,
    /// The Vault whose enclave these are for.
    pub vault: VaultId,
    /// Keys the de-duplication tokens.
    pub dedupe: [u8; 32],
    /// The HPKE key that signals are sealed to.
    pub aggregator_key: Vec<u8>,
}

impl Document for TaskKeys {
    const TAG: &'static str = "symphony/task-keys/v1";
}

/// Task keys that the aggregator's enclave signed with its boot-attested key.
pub type SignedTaskKeys = Signed<TaskKeys, SoftwareEnclave>;

/// What a slice enclave says of a part that it made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartWord {
    /// Digest of the round's order.
    pub order: Digest,
    /// Whose part it is.
    pub vault: VaultId,
    /// SHA-256 of the part's canonical bytes.
    pub part: Digest,
}

impl Document for PartWord {
    const TAG: &'static str = "symphony/training-part/v1";
}

/// A word of a slice enclave, signed with its boot-attested key.
pub type SignedPartWord = Signed<PartWord, SoftwareEnclave>;

/// What one of two aggregators says of what it seals to the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareWord {
    /// Digest of the round's order.
    pub order: Digest,
    /// SHA-256 of the message.
    pub message: Digest,
}

impl Document for ShareWord {
    const TAG: &'static str = "symphony/training-share/v1";
}

/// A word of an aggregator's enclave, signed with its boot-attested key.
pub type SignedShareWord = Signed<ShareWord, SoftwareEnclave>;

/// Enclaves that one Vault has for its slices at most.
pub const EXECUTORS_MAX: usize = 16;
/// Pieces of what is found in one portion of a slice's segments at most.
pub const PIECES_MAX: usize = 256;

/// Associated data of what a caller and its Vault seal to each other: nobody can pass it off as another caller's.
pub fn between(vault: &VaultId, actor: &ActorId) -> Vec<u8> {
    format!("{vault}\n{actor}").into_bytes()
}

/// Purposes of sealed messages: each is bound into the HPKE context, so that one never opens as another.
pub mod purpose {
    /// Task keys, aggregator to slice enclave; associated data: task id and vault id.
    pub const TASK_KEYS: &str = "symphony/seal/task-keys/v1";
    /// Record material, Vault to its slice enclave; associated data: digest of the assignment, which has task, Vault and end.
    pub const MATERIAL: &str = "symphony/seal/material/v1";
    /// Segments with their keys, Vault to its slice enclave; associated data: digest of the assignment.
    pub const SEGMENTS: &str = "symphony/seal/segments/v1";
    /// A portion of a slice's segments with their keys, Vault to one of its slice enclaves; associated data: digest of the assignment.
    pub const PORTION: &str = "symphony/seal/portion/v1";
    /// A piece of what is found in a portion, slice enclave to the one that finishes the slice; associated data: digest of the
    /// assignment, and which piece it is.
    pub const FINDINGS: &str = "symphony/seal/findings/v1";
    /// Handles of selected people, Vault to its slice enclave; associated data: digest of the assignment and canonical
    /// `Question` that asks for them.
    pub const HANDLES: &str = "symphony/seal/handles/v1";
    /// Records of a training, Vault to its slice enclave; associated data: task id, vault id, the task's
    /// end and the root over them.
    pub const TRAINING: &str = "symphony/seal/training/v1";
    /// A piece of a part of a round, slice enclave to aggregator; associated data: digest of the round's order, vault id, and
    /// which piece it is.
    pub const PART: &str = "symphony/seal/part/v1";
    /// What the first of two aggregators asks the second; associated data: digest of the round's order.
    pub const ASK: &str = "symphony/seal/share-ask/v1";
    /// What the second answers; associated data: digest of the round's order.
    pub const HELP: &str = "symphony/seal/share-help/v1";
    /// A learner under its own key; associated data: task id and the learner's digest.
    pub const LEARNER: &str = "symphony/seal/learner/v2";
    /// The key of a learner, aggregator to slice enclave; associated data: task id, vault id and the learner's digest.
    pub const LEARNER_KEY: &str = "symphony/seal/learner-key/v1";
    /// The transcript of a step, aggregator to submitter; associated data: task id and round.
    pub const STEP: &str = "symphony/seal/step/v1";
    /// Words of a document, Vault to its slice enclave; associated data: task id, vault id and the task's end.
    pub const SHEET: &str = "symphony/seal/sheet/v1";
    /// People on their way, Vault to its slice enclave; associated data: digest of the invitation.
    pub const MOVE_BATCH: &str = "symphony/seal/move-batch/v1";
    /// The same, enclave to enclave; associated data: digest of the invitation.
    pub const MOVE: &str = "symphony/seal/move/v1";
    /// The same, slice enclave to its Vault; associated data: digest of the invitation.
    pub const MOVED: &str = "symphony/seal/moved/v1";
    /// Slice signals, slice enclave to aggregator; associated data: task id and vault id.
    pub const BUNDLE: &str = "symphony/seal/bundle/v1";
    /// The result, aggregator to submitter; associated data: task id.
    pub const RESULT: &str = "symphony/seal/result/v1";
    /// A user's operation, gateway to Vault; associated data: the Vault's name.
    pub const OPERATION: &str = "symphony/seal/operation/v1";
    /// A Vault's answer to an operation; associated data: the Vault's name.
    pub const ANSWER: &str = "symphony/seal/answer/v1";
    /// A caller's own operation, caller to Vault; associated data: [`super::between`].
    pub const OWN_OPERATION: &str = "symphony/seal/own-operation/v1";
    /// The Vault's answer to the caller itself; associated data: the same.
    pub const OWN_ANSWER: &str = "symphony/seal/own-answer/v1";
}
