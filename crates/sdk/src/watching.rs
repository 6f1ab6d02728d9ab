//! A watcher: looks at every result that awaits its end, makes every check of its evidence, and disputes what does not pass
//! (R139, R140).
//!
//! | what the evidence shows | verdict | disputed |
//! |---|---|---|
//! | every check passes | `holds` | no |
//! | a majority of the masters vouches for it, the verifier accepted it, and a check fails that each master makes again in a dispute | `wrong` | yes |
//! | nobody vouches for it, the verifier accepted something else, or another check fails | `doubtful` | no: whoever brought it could have made it, and the bond would be lost |
//!
//! What holds is looked at once; what is doubtful is fetched again with each pass. A dispute is noted, with its exhibit, before its bond
//! is locked, and the masters' own list of filings is asked before it is filed: neither a crash nor lost notes make a second one.

mod notes;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use reqwest::Method;
use serde::Serialize;
use symphony_protocol::lifecycle::TaskState;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::TaskId;
use symphony_types::limits::{GROUNDS_CHARS_MAX, OPEN_TASKS_MAX};
use symphony_types::time::OrderedMillis;
use thiserror::Error;

use crate::challenge::Objection;
use crate::client::{Client, ClientError, passing};
use crate::shape::challenge::ChallengeList;
use crate::shape::watching::{TaskEntry, TaskList};
use crate::submission::{SubmissionError, Submitter};
use crate::verify::{Check, Report, candidate};
pub use notes::{Filed, Note, Notes, NotesError};

impl Client {
    /// A page of the tasks whose result may be disputed, or is; `after` is `next` of an earlier page (R139, R208).
    pub async fn open_tasks(&self, state: &str, after: &str) -> Result<TaskList, ClientError> {
        let query = [("state", state), ("after", after)];
        self.repeat(|| self.select(Method::GET, &["tasks"], &query)).await
    }

    /// The evidence of a result that is not final (R139).
    pub async fn candidate(&self, task: TaskId) -> Result<Vec<u8>, ClientError> {
        let path = ["tasks", &task.to_string(), "candidate"];
        self.repeat_bytes(|| self.request(Method::GET, &path)).await
    }
}

/// What a watcher thinks of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Opinion {
    /// Every check passes so far.
    Holds,
    /// Masters vouch for evidence that does not support it.
    Wrong,
    /// What was shown proves nothing.
    Doubtful,
    /// It could not be looked at now.
    Missed,
}

/// What a watcher tells of one result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Observation {
    /// The task.
    pub task: String,
    /// When it becomes final unless somebody disputes it.
    pub until_ms: u64,
    /// What is thought of it.
    pub opinion: Opinion,
    /// The check that fails, or what kept the watcher from looking; empty where it holds.
    pub grounds: String,
    /// What became of the dispute; nothing where there is none.
    pub challenge: Option<String>,
}

/// What one pass has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Passed {
    /// Results that await their end.
    pub open: usize,
    /// Of them, evidence that was checked in this pass.
    pub looked: usize,
    /// Of them, results that are known to be wrong or doubtful.
    pub found: usize,
    /// Of them, those that could not be looked at.
    pub missed: usize,
    /// Disputes that were filed in this pass.
    pub filed: usize,
}

/// A pass did not get to its end.
#[derive(Debug, Error)]
pub enum WatchError {
    /// The list of tasks cannot be had.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// What was seen cannot be noted.
    #[error(transparent)]
    Notes(#[from] NotesError),
}

impl WatchError {
    /// Whether another pass cannot get further.
    pub fn lasting(&self) -> bool {
        match self {
            Self::Client(error) => !passing(error),
            Self::Notes(_) => true,
        }
    }
}

/// A watcher and what it has seen.
pub struct Watcher<'a> {
    client: &'a Client,
    trusted: Digest,
    since: OrderedMillis,
    challenger: Option<&'a Submitter>,
    notes: Notes,
    told: BTreeMap<TaskId, Observation>,
    until: Option<Instant>,
}

impl<'a> Watcher<'a> {
    /// A watcher that trusts the network of this governance and what `notes` say. It looks at what came to await its end no earlier
    /// than `since`, and disputes in the name of the `challenger`, if there is one.
    pub const fn new(
        client: &'a Client,
        trusted: Digest,
        since: OrderedMillis,
        challenger: Option<&'a Submitter>,
        notes: Notes,
    ) -> Self {
        Self { client, trusted, since, challenger, notes, told: BTreeMap::new(), until: None }
    }

    /// The same, whose passes end at a moment: with the result that it is looking at then.
    #[must_use]
    pub fn ending(self, until: Option<Instant>) -> Self {
        Self { until, ..self }
    }

    /// Goes through all results that await their end, once, and tells what is new. **Errors**: [`WatchError`]; what is noted stays.
    pub async fn pass(&mut self, mut tell: impl FnMut(&Observation)) -> Result<Passed, WatchError> {
        let open = self.open().await?;
        let known: BTreeSet<_> = open.iter().map(|(task, _)| *task).collect();
        self.notes.keep(&known)?;
        self.told.retain(|task, _| known.contains(task));
        let mut passed = Passed::default();
        let awaiting = |entry: &TaskEntry| entry.state == TaskState::AwaitingSettlement.as_str();
        for (task, entry) in &open {
            if !awaiting(entry) || entry.since_ms < self.since.0 {
                continue;
            }
            if self.until.is_some_and(|until| Instant::now() >= until) {
                break;
            }
            passed.open += 1;
            let seen = self.seen(*task, entry, &mut passed).await?;
            passed.found += usize::from(matches!(seen.opinion, Opinion::Wrong | Opinion::Doubtful));
            passed.missed += usize::from(seen.opinion == Opinion::Missed);
            if self.told.get(task) != Some(&seen) {
                tell(&seen);
                self.told.insert(*task, seen);
            }
        }
        self.notes.save()?;
        Ok(passed)
    }

    /// All tasks whose result may be disputed, or is.
    async fn open(&self) -> Result<Vec<(TaskId, TaskEntry)>, ClientError> {
        let garbled = |what: &str| ClientError::Garbled(what.to_owned());
        let (mut open, mut after) = (Vec::new(), String::new());
        loop {
            let page = self.client.open_tasks("", &after).await?;
            for entry in page.tasks {
                let task = Digest::from_hex(&entry.task_id).ok_or_else(|| garbled("task_id"))?;
                open.push((TaskId(task), entry));
            }
            // Places have one length, so that their order is that of their digits.
            if page.next.is_empty() {
                return Ok(open);
            }
            if page.next <= after || open.len() > OPEN_TASKS_MAX {
                return Err(garbled("a list of tasks without an end"));
            }
            after = page.next;
        }
    }

    /// Looks at one result, unless it was, and disputes it where it is wrong.
    async fn seen(
        &mut self,
        task: TaskId,
        entry: &TaskEntry,
        passed: &mut Passed,
    ) -> Result<Observation, WatchError> {
        let observed = |opinion, grounds: String, challenge| Observation {
            task: entry.task_id.clone(),
            until_ms: entry.until_ms,
            opinion,
            grounds,
            challenge,
        };
        if self.notes.get(&task).is_none() {
            let bytes = match self.client.candidate(task).await {
                Ok(bytes) => bytes,
                Err(error) => return Ok(observed(Opinion::Missed, error.to_string(), None)),
            };
            passed.looked += 1;
            let report = candidate(&bytes, Some(self.trusted));
            match opinion(&report, &task) {
                Ok(()) => self.notes.note(task, Note::holding()),
                Err((Opinion::Wrong, grounds)) => {
                    let exhibit = self.notes.exhibit(&bytes)?;
                    self.notes.note(task, Note::disputing(grounds, report.result, exhibit.to_string()));
                    self.notes.save()?;
                }
                Err((opinion, grounds)) => return Ok(observed(opinion, grounds, None)),
            }
        }
        let Some(Note { dispute: Some(dispute), .. }) = self.notes.get(&task) else {
            return Ok(observed(Opinion::Holds, String::new(), None));
        };
        let grounds = dispute.grounds.clone();
        let told = match (&dispute.filed, self.challenger) {
            (Filed::Done, _) => Some("filed".to_owned()),
            (Filed::Refused(why), _) => Some(format!("refused: {why}")),
            (Filed::Not, None) => None,
            (Filed::Not, Some(submitter)) => {
                let result = dispute.result.clone();
                let exhibits = Digest::from_hex(&dispute.exhibit).into_iter().collect();
                let objection = Objection { round: None, grounds: grounds.clone(), exhibits };
                let (filed, told) = file(submitter, task, &result, &objection).await;
                passed.filed += usize::from(filed == Filed::Done);
                self.notes.filed(&task, filed);
                self.notes.save()?;
                Some(told)
            }
        };
        Ok(observed(Opinion::Wrong, grounds, told))
    }
}

/// What a report says of a task's result. **Errors**: why it does not hold.
fn opinion(report: &Report, task: &TaskId) -> Result<(), (Opinion, String)> {
    let failed = |check: &Check| format!("{}: {}", check.name, check.fault.as_deref().unwrap_or_default());
    let doubt = |why: String| Err((Opinion::Doubtful, why));
    if let Some(check) = report.failed().next().filter(|_| !report.vouched()) {
        return doubt(failed(check));
    }
    if report.task != task.to_string() {
        return doubt("the evidence is of another task".to_owned());
    }
    if let Some(check) = report.disputable() {
        return Err((Opinion::Wrong, failed(check).chars().take(GROUNDS_CHARS_MAX).collect()));
    }
    match report.failed().next() {
        Some(check) => doubt(failed(check)),
        None if report.vouched() && report.passed() => Ok(()),
        None => doubt("not every check was made".to_owned()),
    }
}

/// Files, unless this challenger has disputed the evidence of the task before.
async fn file(submitter: &Submitter, task: TaskId, result: &str, objection: &Objection) -> (Filed, String) {
    let again = |error: &dyn std::error::Error| (Filed::Not, format!("again: {error}"));
    let list = match submitter.client.challenges(task).await {
        Ok(list) => list,
        Err(error) => return again(&error),
    };
    if disputed(&list, submitter.actor.as_str()) {
        return (Filed::Done, "filed".to_owned());
    }
    if list.result != result {
        return (Filed::Not, "again: another result is shown to be disputed".to_owned());
    }
    match submitter.challenge(task, objection).await {
        Ok(_) => (Filed::Done, "filed".to_owned()),
        // A review that is under way ends, and the result may be disputed again.
        Err(SubmissionError::Client(ClientError::Refused(problem)))
            if !problem.passing() && problem.code != Code::NotChallengeable.as_str() =>
        {
            let why = format!("{} {}", problem.code, problem.title);
            (Filed::Refused(why.clone()), format!("refused: {why}"))
        }
        Err(error) => again(&error),
    }
}

fn disputed(list: &ChallengeList, actor: &str) -> bool {
    let of_evidence = list.challenges.iter().filter(|known| known.round == 0);
    of_evidence.flat_map(|known| &known.filings).any(|filing| filing.challenger == actor)
}
