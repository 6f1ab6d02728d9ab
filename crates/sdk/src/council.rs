//! The council's side of governance (R191, R194): motions that a member signs, and the log, which a client checks against the
//! governance that it trusts, the one that the network was founded with. No answer of a gateway or a master is believed.

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use symphony_protocol::governance::Governance;
use symphony_protocol::governance::change::Change;
use symphony_protocol::governance::log::{
    EndorsedHead, Followed, LogEntry, LogHead, LogUpdate, extends, governance_digest, includes,
};
use symphony_protocol::governance::proposal::{Motion, Proposal, Vote, Withdrawal};
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{ActorId, GovernanceSequence};
use symphony_types::key::{Governance as CouncilKey, PrivateKey};
use symphony_types::limits::GOVERNANCE_LOG_MAX;
use symphony_wire::documents::{decode, encode};
use thiserror::Error;

use crate::client::{Client, ClientError};
use crate::shape::governance::{GovernanceLog, GovernanceProof, GovernanceView, ProposalEntry};

/// Why a log or a proof is not believed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LogError {
    /// The bytes are not of a log.
    #[error("reading the governance log: {0}")]
    Shape(String),
    /// An entry that the council did not carry, or a head that no majority of the masters endorses.
    #[error("{0}: {title}", title = .0.title())]
    Unproven(Code),
    /// The entry is not in the log with that head.
    #[error("the entry is not in the log")]
    NotIncluded,
    /// The log is not a continuation of the one that was known.
    #[error("the log does not go on from the earlier one")]
    NotExtended,
}

/// One member of the council, with its key.
pub struct Member<'a> {
    /// Its name.
    pub name: &'a ActorId,
    /// Its key.
    pub key: &'a PrivateKey<CouncilKey>,
}

impl Member<'_> {
    /// A proposal; `number` is higher than all that the member used before; it may take the place of an open one of the member. The
    /// second part is its name.
    pub fn proposes(
        &self,
        foundation: Digest,
        number: u64,
        change: Change,
        summary: String,
        amends: Option<Digest>,
    ) -> (Motion, Digest) {
        let proposer = self.name.clone();
        let proposal = self.key.sign(Proposal { foundation, proposer, number, change, summary, amends });
        let motion = Motion::Propose(Box::new(proposal));
        let name = motion.proposal();
        (motion, name)
    }

    /// A vote.
    pub fn votes(&self, proposal: Digest, approve: bool) -> Motion {
        Motion::Vote(self.key.sign(Vote { proposal, voter: self.name.clone(), approve }))
    }

    /// A withdrawal of the member's own proposal.
    pub fn withdraws(&self, proposal: Digest) -> Motion {
        Motion::Withdraw(self.key.sign(Withdrawal { proposal }))
    }
}

impl Client {
    /// What governs, as a majority of the masters has it.
    pub async fn governance(&self) -> Result<GovernanceView, ClientError> {
        self.read(&["governance"]).await
    }

    /// Has a motion ordered; the same again has no second effect.
    pub async fn govern(&self, motion: &Motion) -> Result<ProposalEntry, ClientError> {
        let bytes = encode(motion);
        self.repeat(|| {
            let request = self.request(Method::POST, &["governance", "motions"]);
            request.header(CONTENT_TYPE, "application/octet-stream").body(bytes.clone())
        })
        .await
    }

    /// The whole log, to be checked by [`checked`].
    pub async fn governance_log(&self) -> Result<LogUpdate, ClientError> {
        let garbled = |fault: LogError| ClientError::Garbled(fault.to_string());
        let mut entries: Vec<LogEntry> = Vec::new();
        loop {
            let from = (entries.len() as u64 + 1).to_string();
            let query = [("from", from.as_str())];
            let part: GovernanceLog =
                self.repeat(|| self.select(Method::GET, &["governance", "log"], &query)).await?;
            let head: EndorsedHead = read(&part.head).map_err(garbled)?;
            let new: Result<Vec<LogEntry>, LogError> = part.entries.iter().map(|one| read(one)).collect();
            let new = new.map_err(garbled)?;
            let ended = new.is_empty();
            entries.extend(new);
            entries.retain(|entry| entry.sequence <= head.body.sequence);
            if ended || entries.len() as u64 >= head.body.sequence.0 || entries.len() > GOVERNANCE_LOG_MAX {
                return Ok(LogUpdate { entries, head });
            }
        }
    }

    /// An entry with the proof that it is in the log, and that the log goes on from the first `since` entries.
    pub async fn governance_proof(
        &self,
        sequence: GovernanceSequence,
        since: u64,
    ) -> Result<GovernanceProof, ClientError> {
        let (sequence, since) = (sequence.to_string(), since.to_string());
        let (path, query) = (["governance", "proofs", sequence.as_str()], [("since", since.as_str())]);
        self.repeat(|| self.select(Method::GET, &path, &query)).await
    }
}

/// What governs after a log: every entry was carried by the council, and a majority of the masters says that these are all.
/// **Errors**: [`LogError`].
pub fn checked(trusted: &Governance, log: &LogUpdate) -> Result<Followed, LogError> {
    let mut followed = Followed::new(trusted.clone());
    head(trusted, &log.head)?;
    followed.follow(log).map_err(LogError::Unproven)?;
    Ok(followed)
}

/// The entry that a proof shows, and the head of the log that it is in; `known` is an earlier head that the log must go on
/// from. **Errors**: [`LogError`].
pub fn proven(
    trusted: &Governance,
    proof: &GovernanceProof,
    known: Option<&LogHead>,
) -> Result<(LogEntry, LogHead), LogError> {
    let entry: LogEntry = read(&proof.entry)?;
    let endorsed: EndorsedHead = read(&proof.head)?;
    head(trusted, &endorsed)?;
    let path = |path: &[String]| -> Result<Vec<Digest>, LogError> {
        let step = |text: &String| Digest::from_hex(text);
        path.iter()
            .map(|text| step(text).ok_or_else(|| LogError::Shape("a path is of digests".to_owned())))
            .collect()
    };
    if !includes(&endorsed.body, &entry, &path(&proof.inclusion)?) {
        return Err(LogError::NotIncluded);
    }
    if let Some(known) = known
        && !extends(known, &endorsed.body, &path(&proof.consistency)?)
    {
        return Err(LogError::NotExtended);
    }
    Ok((entry, endorsed.body))
}

fn head(trusted: &Governance, head: &EndorsedHead) -> Result<(), LogError> {
    let own = head.body.foundation == governance_digest(trusted);
    if own && trusted.registry.endorsed(head) {
        Ok(())
    } else {
        Err(LogError::Unproven(Code::GovernanceForged))
    }
}

fn read<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, LogError> {
    let bytes = hex::decode(text).map_err(|error| LogError::Shape(error.to_string()))?;
    decode(&bytes).map_err(|error| LogError::Shape(error.to_string()))
}
