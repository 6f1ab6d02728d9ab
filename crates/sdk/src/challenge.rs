//! Disputing a result: what may be disputed and what that takes is asked for, the bond is locked, and the filing sent (R139,
//! R140).
//!
//! Every step may be repeated: the lock is made once for the same filing, and the platform knows a filing by its content.

use std::collections::BTreeSet;

use symphony_protocol::artifact::challenge::{Dispute, Filing};
use symphony_protocol::lifecycle::TaskState;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::TaskId;
use symphony_types::limits::{EXHIBITS_MAX, FILINGS_PER_TASK_MAX, GROUNDS_CHARS_MAX};

use crate::client::ClientError;
use crate::shape::challenge::{ChallengeEntry, ChallengeFiling, ChallengeList};
use crate::submission::{SubmissionError, Submitter};

/// What somebody disputes, before it knows what of the result that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objection {
    /// A round of a training, or the run of a module or a statistic as the first; without it the evidence.
    pub round: Option<u32>,
    /// Why, in words.
    pub grounds: String,
    /// SHA-256 of what shows it.
    pub exhibits: Vec<Digest>,
}

impl Submitter {
    /// Locks the bond and files. Nothing is locked where nothing may be disputed. **Errors**: [`SubmissionError`].
    pub async fn challenge(
        &self,
        task: TaskId,
        objection: &Objection,
    ) -> Result<ChallengeList, SubmissionError> {
        let list = self.client.challenges(task).await?;
        let filing = self.filing(task, &list, objection)?;
        match fresh(&list, &filing) {
            Ok(true) => {}
            Ok(false) => return Ok(list),
            Err(code) => return Err(ClientError::refused(code, code.title().to_owned()).into()),
        }
        let lock = self.wallet.bond(&self.client, filing.lock_purpose(), &list).await?;
        let sent = ChallengeFiling {
            round: objection.round,
            grounds: filing.grounds,
            exhibits: filing.exhibits.iter().map(ToString::to_string).collect(),
            result: list.result,
            bond_lock_ref: lock.to_string(),
        };
        Ok(self.client.challenge(task, &sent).await?)
    }

    /// What is filed, as every master reads it. **Errors**: [`SubmissionError::Client`] when nothing may be disputed.
    fn filing(
        &self,
        task: TaskId,
        list: &ChallengeList,
        objection: &Objection,
    ) -> Result<Filing, SubmissionError> {
        let over = Code::NotChallengeable;
        let result = match list.result.as_str() {
            "" => return Err(ClientError::refused(over, over.title().to_owned()).into()),
            result => Digest::from_hex(result).ok_or_else(|| ClientError::Garbled("result".to_owned()))?,
        };
        let exhibits: BTreeSet<_> = objection.exhibits.iter().copied().collect();
        Ok(Filing {
            task,
            challenger: self.actor.clone(),
            dispute: objection.round.map_or(Dispute::Evidence, Dispute::Round),
            result,
            grounds: objection.grounds.clone(),
            exhibits: exhibits.into_iter().collect(),
        })
    }
}

/// Whether a filing says something new, as the masters will judge it: what they would refuse should not lock a bond before. It is
/// not new when it was filed before. **Errors**: `ADM-0001`, `SET-0009`, `SET-0010`, `SET-0011`.
fn fresh(list: &ChallengeList, filing: &Filing) -> Result<bool, Code> {
    let round = match filing.dispute {
        Dispute::Evidence => 0,
        Dispute::Round(round) => round,
    };
    let exhibits: Vec<_> = filing.exhibits.iter().map(ToString::to_string).collect();
    let earlier = list.challenges.iter().find(|known| known.round == round);
    let entries = || earlier.iter().flat_map(|known| &known.filings);
    let mine = |entry: &&ChallengeEntry| {
        entry.challenger == filing.challenger.as_str()
            && entry.grounds == filing.grounds
            && entry.exhibits == exhibits
    };
    if entries().any(|entry| mine(&entry)) {
        return Ok(false);
    }
    let grounds = filing.grounds.chars().count();
    if filing.grounds.trim().is_empty() || grounds > GROUNDS_CHARS_MAX || exhibits.len() > EXHIBITS_MAX {
        return Err(Code::Malformed);
    }
    if list.task_state == TaskState::Challenged.as_str() {
        return Err(Code::NotChallengeable);
    }
    let filings: usize = list.challenges.iter().map(|known| known.filings.len()).sum();
    if filings >= FILINGS_PER_TASK_MAX as usize {
        return Err(Code::ChallengeLimit);
    }
    let shown = |exhibit: &String| entries().any(|entry| entry.exhibits.contains(exhibit));
    if earlier.is_some() && exhibits.iter().all(shown) { Err(Code::NothingNew) } else { Ok(true) }
}
