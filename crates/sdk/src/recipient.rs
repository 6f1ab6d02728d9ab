//! The submitter's key that results are sealed to: only its holder reads an audience or a model (R093, R100, D19).

use std::path::Path;

use serde::de::DeserializeOwned;
use symphony_protocol::artifact::compute::ComputedResult;
use symphony_protocol::artifact::statistic::StatisticResult;
use symphony_protocol::artifact::training::{StepTranscript, TrainedModel};
use symphony_protocol::artifact::{AudienceResult, Outcome};
use symphony_types::id::TaskId;
use symphony_wire::documents;
use symphony_wire::enclave::purpose;
use symphony_wire::sealed::{SealError, SealingKey};
use thiserror::Error;

use crate::secret::{self, SecretError};
use crate::statistic::QueryResult;

/// A result cannot be read.
#[derive(Debug, Error)]
pub enum OpenError {
    /// It was sealed to another key, for another task, or was changed.
    #[error("opening the result")]
    Seal(#[from] SealError),
    /// What was sealed is not a result.
    #[error("reading the result")]
    Shape(#[from] documents::DecodeError),
    /// The result of another task, or of another round, was sealed.
    #[error("the result is of another task or round")]
    Foreign,
}

/// The key that opens results.
pub struct Recipient(SealingKey);

impl Recipient {
    /// Makes a key in a new file. **Errors**: [`SecretError`].
    pub fn create(path: &Path) -> Result<Self, SecretError> {
        Ok(Self(SealingKey::from_seed(&*secret::create(path)?)))
    }

    /// Opens the key of a file. **Errors**: [`SecretError`].
    pub fn open_file(path: &Path) -> Result<Self, SecretError> {
        Ok(Self(SealingKey::from_seed(&*secret::read(path)?)))
    }

    /// The public half, which a task request names. **Shape**: 32 bytes of X25519.
    pub fn public(&self) -> [u8; 32] {
        self.0.public()
    }

    /// Opens the sealed result of a query. **Errors**: [`OpenError`].
    pub fn open(&self, task: TaskId, sealed: &[u8]) -> Result<AudienceResult, OpenError> {
        let result: AudienceResult = self.read(purpose::RESULT, &documents::encode(&task), sealed)?;
        if result.task == task { Ok(result) } else { Err(OpenError::Foreign) }
    }

    /// Opens the sealed result of a query that is answered with people or with numbers: no bytes are both. **Errors**: [`OpenError`].
    pub fn open_query(&self, task: TaskId, sealed: &[u8]) -> Result<QueryResult, OpenError> {
        let plain = self.0.open(purpose::RESULT, &documents::encode(&task), sealed)?;
        let result = match documents::decode::<StatisticResult>(&plain) {
            Ok(result) if !matches!(result.outcome, Outcome::Audience { .. }) => {
                (result.task, QueryResult::Statistic(result))
            }
            Ok(_) | Err(_) => {
                let result: AudienceResult = documents::decode(&plain)?;
                (result.task, QueryResult::Audience(result))
            }
        };
        if result.0 == task { Ok(result.1) } else { Err(OpenError::Foreign) }
    }

    /// Opens the sealed result of a training; one that was withheld has no parameters. **Errors**: [`OpenError`].
    pub fn open_model(&self, task: TaskId, sealed: &[u8]) -> Result<TrainedModel, OpenError> {
        let model: TrainedModel = self.read(purpose::RESULT, &documents::encode(&task), sealed)?;
        if model.task == task { Ok(model) } else { Err(OpenError::Foreign) }
    }

    /// Opens the sealed result of a computation. **Errors**: [`OpenError`].
    pub fn open_computed(&self, task: TaskId, sealed: &[u8]) -> Result<ComputedResult, OpenError> {
        let result: ComputedResult = self.read(purpose::RESULT, &documents::encode(&task), sealed)?;
        if result.task == task { Ok(result) } else { Err(OpenError::Foreign) }
    }

    /// Opens the sealed transcript of one step of a training. **Errors**: [`OpenError`].
    pub fn open_step(&self, task: TaskId, round: u32, sealed: &[u8]) -> Result<StepTranscript, OpenError> {
        let step: StepTranscript = self.read(purpose::STEP, &documents::encode(&(task, round)), sealed)?;
        if (step.task, step.round) == (task, round) { Ok(step) } else { Err(OpenError::Foreign) }
    }

    fn read<T: DeserializeOwned>(&self, purpose: &str, aad: &[u8], sealed: &[u8]) -> Result<T, OpenError> {
        Ok(documents::decode(&self.0.open(purpose, aad, sealed)?)?)
    }
}

#[cfg(test)]
mod tests {
    use symphony_protocol::artifact::training::{Evaluation, Shape};
    use symphony_types::digest::Digest;
    use symphony_types::epsilon::Epsilon;
    use symphony_wire::sealed::seal;

    use super::*;

    fn result(task: TaskId) -> AudienceResult {
        AudienceResult {
            task,
            outcome: Outcome::Audience { returned: 2 },
            handles: vec!["a@example.org".to_owned(), "b@example.org".to_owned()],
            eligible_noised: Some(3),
            noise_epsilon: Epsilon(100_000),
        }
    }

    /// R093: the result opens for the key and the task that it was sealed for, and for nothing else.
    #[test]
    fn a_result_opens_only_for_its_key_and_task() {
        let folder = tempfile::tempdir().unwrap();
        let recipient = Recipient::create(&folder.path().join("one.seed")).unwrap();
        let other = Recipient::create(&folder.path().join("two.seed")).unwrap();
        let (task, foreign) = (TaskId(Digest([1; 32])), TaskId(Digest([2; 32])));
        let sealed = |of: TaskId, aad: TaskId| {
            let (plain, aad) = (documents::encode(&result(of)), documents::encode(&aad));
            seal(&recipient.public(), purpose::RESULT, &aad, &plain).unwrap()
        };
        assert_eq!(recipient.open(task, &sealed(task, task)).unwrap(), result(task));
        assert!(matches!(other.open(task, &sealed(task, task)), Err(OpenError::Seal(_))));
        assert!(matches!(recipient.open(foreign, &sealed(task, task)), Err(OpenError::Seal(_))));
        assert!(matches!(recipient.open(task, &sealed(foreign, task)), Err(OpenError::Foreign)));
    }
    /// R100, R104: likewise a model, and the transcript of a step, which is of one round.
    #[test]
    fn models_and_steps_open_only_for_their_task_and_round() {
        let folder = tempfile::tempdir().unwrap();
        let recipient = Recipient::create(&folder.path().join("one.seed")).unwrap();
        let (task, foreign) = (TaskId(Digest([1; 32])), TaskId(Digest([2; 32])));
        let model = TrainedModel {
            task,
            steps: 3,
            shape: Shape::Logistic { features: 1 },
            parameters: vec![0; 16],
            evaluation: Evaluation { quality: 700_000, log_loss: None, calibration_error: None },
        };
        let aad = documents::encode(&task);
        let sealed = seal(&recipient.public(), purpose::RESULT, &aad, &documents::encode(&model)).unwrap();
        assert_eq!(recipient.open_model(task, &sealed).unwrap(), model);
        assert!(matches!(recipient.open_model(foreign, &sealed), Err(OpenError::Seal(_))));

        let step = StepTranscript { task, round: 2, subjects: 9, sums: vec![-5, 9] };
        let sealed = |purpose, aad: (TaskId, u32)| {
            seal(&recipient.public(), purpose, &documents::encode(&aad), &documents::encode(&step)).unwrap()
        };
        assert_eq!(recipient.open_step(task, 2, &sealed(purpose::STEP, (task, 2))).unwrap(), step);
        let open = |round, purpose, aad| recipient.open_step(task, round, &sealed(purpose, aad));
        assert!(matches!(open(3, purpose::STEP, (task, 2)), Err(OpenError::Seal(_))));
        assert!(matches!(open(2, purpose::RESULT, (task, 2)), Err(OpenError::Seal(_))));
        assert!(matches!(open(3, purpose::STEP, (task, 3)), Err(OpenError::Foreign)));
    }
}
