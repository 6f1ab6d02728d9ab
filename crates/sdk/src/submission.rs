//! What a submitter asks the platform for, from its file to the task that ended: quote, lock, submit, watch (R023, R026,
//! R156, R209).
//!
//! Every step may be repeated under the same request id: the quote records nothing, the lock is made once, and the
//! platform knows the task by its submitter's name for it.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use symphony_types::catalogue::Code;
use symphony_types::id::{ActorId, LockRef, RequestId};
use thiserror::Error;

use crate::client::{Client, ClientError};
use crate::recipient::{OpenError, Recipient};
use crate::shape::{Quote, SubmitTaskRequest, Task, TaskSpec};
use crate::training::Misfit;
use crate::wallet::{Wallet, WalletError};

/// A submission did not get to its end.
#[derive(Debug, Error)]
pub enum SubmissionError {
    /// The file cannot be read.
    #[error("reading {0}")]
    File(PathBuf, #[source] std::io::Error),
    /// The file is not one of this shape.
    #[error("{0}: {1}")]
    Shape(PathBuf, String),
    /// A number in it cannot be asked for.
    #[error(transparent)]
    Number(#[from] Misfit),
    /// What it asks for is no request.
    #[error("{0}: {1}")]
    Request(Code, String),
    /// The gateway refuses, or does not answer.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The escrow lock was not made.
    #[error(transparent)]
    Wallet(#[from] WalletError),
    /// The result does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// What a submitter asks for, as its author writes it.
pub trait Submission {
    /// The same as the interface takes it. **Errors**: a number that cannot be asked for.
    fn spec(&self) -> Result<TaskSpec, Misfit>;
}

/// Reads a submission: TOML when the file's name ends in `toml`, else JSON. Unknown fields are errors.
/// **Errors**: [`SubmissionError::File`], [`SubmissionError::Shape`].
pub fn read<S: Submission + DeserializeOwned>(path: &Path) -> Result<S, SubmissionError> {
    let text =
        std::fs::read_to_string(path).map_err(|error| SubmissionError::File(path.to_owned(), error))?;
    let toml = path.extension().is_some_and(|extension| extension == "toml");
    let spec = if toml {
        toml::from_str(&text).map_err(|error| error.to_string())
    } else {
        serde_json::from_str(&text).map_err(|error| error.to_string())
    };
    spec.map_err(|detail| SubmissionError::Shape(path.to_owned(), detail))
}

/// A step that a submission has taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is priced.
    Quoted(Quote),
    /// The worst case is locked.
    Locked(LockRef),
    /// The task is in this state.
    Task(Box<Task>),
}

/// Everything that a submitter acts with.
pub struct Submitter {
    /// The gateway.
    pub client: Client,
    /// Pays.
    pub wallet: Wallet,
    /// Opens results.
    pub recipient: Recipient,
    /// Who asks: the subject of the client's token.
    pub actor: ActorId,
}

impl Submitter {
    /// Quotes and locks. **Errors**: [`SubmissionError`].
    pub async fn lock<S: Submission>(
        &self,
        submission: &S,
        request: &RequestId,
        step: impl FnMut(Step),
    ) -> Result<LockRef, SubmissionError> {
        self.lock_task(&submission.spec()?, request, step).await
    }

    /// Quotes, locks and submits. **Errors**: [`SubmissionError`].
    pub async fn submit<S: Submission>(
        &self,
        submission: &S,
        request: &RequestId,
        mut step: impl FnMut(Step),
    ) -> Result<Task, SubmissionError> {
        let spec = submission.spec()?;
        let lock = self.lock_task(&spec, request, &mut step).await?;
        let request = SubmitTaskRequest {
            request_id: request.to_string(),
            spec,
            budget_lock_ref: lock.to_string(),
            recipient_key: hex::encode(self.recipient.public()),
        };
        let task = self.client.submit(&request).await?;
        step(Step::Task(Box::new(task.clone())));
        Ok(task)
    }

    /// Quotes, locks, submits and follows the task to its end. **Errors**: [`SubmissionError`]; a task that was rejected
    /// after admission is no error.
    pub async fn follow<S: Submission>(
        &self,
        submission: &S,
        request: &RequestId,
        mut step: impl FnMut(Step),
    ) -> Result<Task, SubmissionError> {
        let task = self.submit(submission, request, &mut step).await?;
        Ok(self.client.watch(task.task_id, |task| step(Step::Task(Box::new(task.clone())))).await?)
    }

    async fn lock_task(
        &self,
        spec: &TaskSpec,
        request: &RequestId,
        mut step: impl FnMut(Step),
    ) -> Result<LockRef, SubmissionError> {
        let quote = self.client.quote(spec).await?;
        step(Step::Quoted(quote.clone()));
        let request = spec
            .request(&self.actor, request, self.recipient.public())
            .map_err(|(code, detail)| SubmissionError::Request(code, detail))?;
        let lock = self.wallet.lock(&self.client, &request, &quote).await?;
        step(Step::Locked(lock));
        Ok(lock)
    }
}
