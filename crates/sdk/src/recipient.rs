//! The submitter's key that results are sealed to: only its holder reads an audience (R093, D19).

use std::path::Path;

use symphony_protocol::artifact::AudienceResult;
use symphony_types::id::TaskId;
use symphony_wire::documents;
use symphony_wire::enclave::purpose;
use symphony_wire::sealed::{SealError, SealingKey};
use thiserror::Error;

use crate::secret::{self, SecretError};

/// A result cannot be read.
#[derive(Debug, Error)]
pub enum OpenError {
    /// It was sealed to another key, for another task, or was changed.
    #[error("opening the result")]
    Seal(#[from] SealError),
    /// What was sealed is not a result.
    #[error("reading the result")]
    Shape(#[from] documents::DecodeError),
    /// The result of another task was sealed.
    #[error("the result is of another task")]
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

    /// Opens the sealed result of a task. **Errors**: [`OpenError`].
    pub fn open(&self, task: TaskId, sealed: &[u8]) -> Result<AudienceResult, OpenError> {
        let plaintext = self.0.open(purpose::RESULT, &documents::encode(&task), sealed)?;
        let result: AudienceResult = documents::decode(&plaintext)?;
        if result.task == task { Ok(result) } else { Err(OpenError::Foreign) }
    }
}

#[cfg(test)]
mod tests {
    use symphony_protocol::artifact::Outcome;
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
}
