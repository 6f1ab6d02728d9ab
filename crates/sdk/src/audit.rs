//! Proofs of the masters' ordered journal (R031, R134, R191, R192): fetched from a gateway or kept in a file, and believed of nobody. A head
//! counts when a majority of the registered masters endorses it, an entry when its path leads there, and a later head when it goes on from
//! the earlier one.

use reqwest::Method;
use serde::{Deserialize, Serialize};
use symphony_protocol::governance::Governance;
use symphony_protocol::governance::log::LogUpdate;
use symphony_protocol::journal::{
    EndorsedJournal, JournalEntry, JournalHead, JournalProof, extends, includes,
};
use symphony_protocol::machine::Event;
use symphony_types::digest::Digest;
use symphony_types::id::{EpochId, TaskId};
use symphony_wire::documents::decode;
use thiserror::Error;

use crate::client::{Client, ClientError};
use crate::council::{LogError, checked};
use crate::verify::governance_digest;

/// Why a proof is not believed. The words say which part fails.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProofError {
    /// The bytes are no proof.
    #[error("reading the proof: {0}")]
    Shape(String),
    /// What governs cannot be told.
    #[error(transparent)]
    Governance(#[from] LogError),
    /// No majority of the registered masters stands behind a head, or it is of another network.
    #[error("no majority of the registered masters endorses the head at {0}")]
    Unsigned(u64),
    /// A head is not of what was asked for.
    #[error("the head is not of the epoch that was asked for")]
    OtherHead,
    /// The entry is not in the journal with that head.
    #[error("entry {0} is not in the journal with this head")]
    NotIncluded(u64),
    /// It is another entry than was asked for.
    #[error("another entry was proven than the one that was asked for")]
    OtherEntry,
    /// The masters endorsed another head of the same epoch before.
    #[error("the earlier head is not the one that was kept: the masters endorsed two journals")]
    Forked,
    /// The later journal is no continuation of the earlier one.
    #[error("the journal at {later} does not go on from the one at {earlier}: it was cut or forked")]
    NotExtended {
        /// Entries of the earlier one.
        earlier: u64,
        /// Entries of the later one.
        later: u64,
    },
    /// The proof lacks what was asked for.
    #[error("the proof does not show what was asked for")]
    Missing,
}

/// What is to be shown of the journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// At the end of this epoch; as it is now when absent.
    pub epoch: Option<EpochId>,
    /// The entry by which a task of the caller's own came to its state.
    pub task: Option<TaskId>,
    /// The entry at a place, from one.
    pub height: Option<u64>,
    /// That it goes on from the end of this epoch.
    pub since: Option<EpochId>,
    /// That the head there is this one, which was kept.
    pub known: Option<JournalHead>,
}

/// A proof as it is kept in a file, with what it is checked by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// What the council changed of the governance that the network was founded with.
    pub log: LogUpdate,
    /// Canonical bytes of the proof.
    pub proof: Vec<u8>,
}

/// What a proof shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// The head.
    pub head: ShownHead,
    /// The entry.
    pub entry: Option<ShownEntry>,
    /// The head that it goes on from.
    pub earlier: Option<ShownHead>,
}

/// A head in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShownHead {
    /// The epoch whose end it is.
    pub epoch: Option<u64>,
    /// Entries.
    pub height: u64,
    /// Root of the tree over them.
    pub root: String,
}

impl From<&JournalHead> for ShownHead {
    fn from(head: &JournalHead) -> Self {
        Self { epoch: head.epoch.map(|epoch| epoch.0), height: head.height, root: head.root.to_hex() }
    }
}

/// An entry in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShownEntry {
    /// Its place.
    pub height: u64,
    /// Its digest.
    pub digest: String,
    /// When it was ordered, where its bytes are told. **Units**: milliseconds.
    pub at_ms: Option<u64>,
    /// Tasks that its events are about, likewise.
    pub tasks: Vec<String>,
}

impl Client {
    /// A proof, to be checked by [`check`].
    pub async fn journal_proof(&self, asked: &Asked) -> Result<Vec<u8>, ClientError> {
        let numbers = [
            ("epoch", asked.epoch.map(|epoch| epoch.0)),
            ("height", asked.height),
            ("since", asked.since.map(|epoch| epoch.0)),
        ];
        let mut query: Vec<(&str, String)> =
            numbers.into_iter().filter_map(|(name, value)| Some((name, value?.to_string()))).collect();
        query.extend(asked.task.map(|task| ("task", task.to_string())));
        let query: Vec<_> = query.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.repeat_bytes(|| self.select(Method::GET, &["journal", "proof"], &query)).await
    }
}

/// Checks a proof against what the network was founded with and the governance log since. What `asked` says must be shown. **Errors**:
/// [`ProofError`].
pub fn check(
    trusted: &Governance,
    log: &LogUpdate,
    bytes: &[u8],
    asked: &Asked,
) -> Result<Shown, ProofError> {
    let proof: JournalProof = decode(bytes).map_err(|error| ProofError::Shape(error.to_string()))?;
    let governed = checked(trusted, log)?;
    let signed = |head: &EndorsedJournal| {
        let own = head.body.foundation == governance_digest(trusted);
        match own && governed.governance().registry.endorsed(head) {
            true => Ok(()),
            false => Err(ProofError::Unsigned(head.body.height)),
        }
    };
    signed(&proof.head)?;
    let head = &proof.head.body;
    if asked.epoch.is_some() && head.epoch != asked.epoch {
        return Err(ProofError::OtherHead);
    }
    if let Some(earlier) = &proof.earlier {
        signed(&earlier.head)?;
        let before = &earlier.head.body;
        if asked.since.is_some() && before.epoch != asked.since {
            return Err(ProofError::OtherHead);
        }
        if asked.known.is_some_and(|known| known != *before) {
            return Err(ProofError::Forked);
        }
        if !extends(before, head, &earlier.path) {
            return Err(ProofError::NotExtended { earlier: before.height, later: head.height });
        }
    } else if asked.since.is_some() || asked.known.is_some() {
        return Err(ProofError::Missing);
    }
    let entry = match &proof.entry {
        Some(entry) if !includes(head, entry) => return Err(ProofError::NotIncluded(entry.height)),
        Some(entry) => Some(shown(entry.height, entry.digest, entry.bytes.as_deref(), asked)?),
        None if asked.task.is_some() || asked.height.is_some() => return Err(ProofError::Missing),
        None => None,
    };
    let earlier = proof.earlier.as_ref().map(|earlier| ShownHead::from(&earlier.head.body));
    Ok(Shown { head: head.into(), entry, earlier })
}

/// The head of a kept proof, with the same checks. **Errors**: [`ProofError`].
pub fn head(trusted: &Governance, kept: &Kept) -> Result<JournalHead, ProofError> {
    check(trusted, &kept.log, &kept.proof, &Asked::default())?;
    let proof: JournalProof = decode(&kept.proof).map_err(|error| ProofError::Shape(error.to_string()))?;
    Ok(proof.head.body)
}

/// An entry that is in the journal, if it is the one that was asked for.
fn shown(height: u64, digest: Digest, bytes: Option<&[u8]>, asked: &Asked) -> Result<ShownEntry, ProofError> {
    let mut shown = ShownEntry { height, digest: digest.to_hex(), at_ms: None, tasks: Vec::new() };
    if let Some(bytes) = bytes {
        let garbled = |error: symphony_wire::documents::DecodeError| ProofError::Shape(error.to_string());
        let entry: JournalEntry = decode(bytes).map_err(garbled)?;
        let events: Vec<Event> = decode(&entry.events).map_err(garbled)?;
        shown.at_ms = Some(entry.at.0);
        shown.tasks = events.iter().filter_map(Event::task).map(|task| task.to_string()).collect();
        shown.tasks.sort();
        shown.tasks.dedup();
        if entry.height != height {
            return Err(ProofError::OtherEntry);
        }
    }
    let about = asked.task.is_none_or(|task| shown.tasks.contains(&task.to_string()));
    if !about || asked.height.is_some_and(|wanted| wanted != height) {
        return Err(ProofError::OtherEntry);
    }
    Ok(shown)
}
