//! What a watcher has seen, so that a crash makes it neither look twice nor dispute twice: one file, replaced whole, and beside it
//! the exhibits of its disputes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use symphony_types::digest::Digest;
use symphony_types::id::TaskId;
use thiserror::Error;

use crate::secret::write_durably;

/// Notes cannot be had.
#[derive(Debug, Error)]
pub enum NotesError {
    /// A file cannot be read or written.
    #[error("cursor {0}")]
    File(PathBuf, #[source] io::Error),
    /// The file holds something else.
    #[error("cursor {0}: {1}")]
    Damaged(PathBuf, String),
}

/// What became of a dispute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filed {
    /// Nothing yet, or nobody knows: it may be filed again, with the same words.
    Not,
    /// It is filed.
    Done,
    /// The masters do not take it, and why.
    Refused(String),
}

/// A dispute with all its words, so that it is the same one after a crash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dispute {
    /// The check that fails.
    pub grounds: String,
    /// Digest of the aggregate that was looked at.
    pub result: String,
    /// SHA-256 of the bundle that shows it, in hexadecimal digits.
    pub exhibit: String,
    /// What became of it.
    pub filed: Filed,
}

/// What is noted of a result that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Note {
    /// Why it is disputed; nothing where it holds.
    pub dispute: Option<Dispute>,
}

impl Note {
    /// Every check passed.
    pub const fn holding() -> Self {
        Self { dispute: None }
    }

    /// A check fails.
    pub const fn disputing(grounds: String, result: String, exhibit: String) -> Self {
        Self { dispute: Some(Dispute { grounds, result, exhibit, filed: Filed::Not }) }
    }
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    version: u32,
    /// By the task, in hexadecimal digits.
    tasks: BTreeMap<String, Note>,
}

/// The notes of one watcher; in memory alone where there is no file.
#[derive(Default)]
pub struct Notes {
    path: Option<PathBuf>,
    tasks: BTreeMap<TaskId, Note>,
    changed: bool,
}

impl Notes {
    /// Reads the notes of a file, of which there need be none yet. **Errors**: [`NotesError`].
    pub fn open(path: &Path) -> Result<Self, NotesError> {
        let damaged = |detail: String| NotesError::Damaged(path.to_owned(), detail);
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self { path: Some(path.to_owned()), ..Self::default() });
            }
            Err(error) => return Err(NotesError::File(path.to_owned(), error)),
        };
        let content: Content = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        if content.version != VERSION {
            return Err(damaged(format!("version {} is not known", content.version)));
        }
        let mut tasks = BTreeMap::new();
        for (task, note) in content.tasks {
            let exhibit = note.dispute.as_ref().map(|dispute| dispute.exhibit.as_str());
            let wrong =
                [Some(task.as_str()), exhibit].into_iter().flatten().find(|name| digest(name).is_none());
            if let Some(wrong) = wrong {
                return Err(damaged(format!("{wrong} is no digest")));
            }
            tasks.extend(digest(&task).map(|task| (TaskId(task), note)));
        }
        Ok(Self { path: Some(path.to_owned()), tasks, changed: false })
    }

    /// What is noted of a task.
    pub fn get(&self, task: &TaskId) -> Option<&Note> {
        self.tasks.get(task)
    }

    pub(super) fn note(&mut self, task: TaskId, note: Note) {
        self.tasks.insert(task, note);
        self.changed = true;
    }

    pub(super) fn filed(&mut self, task: &TaskId, filed: Filed) {
        if let Some(dispute) = self.tasks.get_mut(task).and_then(|note| note.dispute.as_mut()) {
            self.changed |= dispute.filed != filed;
            dispute.filed = filed;
        }
    }

    /// Forgets every task but these: the others are over. What is written is so with the next [`Self::save`].
    pub(super) fn keep(&mut self, open: &BTreeSet<TaskId>) -> Result<(), NotesError> {
        let before = self.tasks.len();
        self.tasks.retain(|task, _| open.contains(task));
        self.changed |= self.tasks.len() != before;
        self.save()
    }

    /// Writes what has changed, whole or not at all. **Errors**: [`NotesError::File`].
    pub(super) fn save(&mut self) -> Result<(), NotesError> {
        let Some(path) = self.path.as_ref().filter(|_| self.changed) else { return Ok(()) };
        let tasks = self.tasks.iter().map(|(task, note)| (task.to_string(), note.clone())).collect();
        let content = Content { version: VERSION, tasks };
        let text = serde_json::to_vec_pretty(&content)
            .map_err(|error| NotesError::Damaged(path.clone(), error.to_string()))?;
        write_durably(path, &text).map_err(|error| NotesError::File(path.clone(), error))?;
        self.changed = false;
        Ok(())
    }

    /// Keeps an exhibit beside the notes, by its hash: whoever disputes shows it (R140). **Errors**: [`NotesError::File`].
    pub(super) fn exhibit(&self, bytes: &[u8]) -> Result<Digest, NotesError> {
        let digest = Digest::of_bytes(bytes);
        if let Some(path) = &self.path {
            let mut folder = path.clone().into_os_string();
            folder.push(".exhibits");
            let file = Path::new(&folder).join(format!("{digest}.bundle"));
            let write = || {
                fs::create_dir_all(&folder)?;
                write_durably(&file, bytes)
            };
            write().map_err(|error| NotesError::File(file.clone(), error))?;
        }
        Ok(digest)
    }
}

fn digest(name: &str) -> Option<Digest> {
    Digest::from_hex(name)
}

const VERSION: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn task(number: u8) -> TaskId {
        TaskId(Digest([number; 32]))
    }

    fn disputing() -> Note {
        Note::disputing("slice-headers: EXE-0001".to_owned(), "ab".repeat(32), "07".repeat(32))
    }

    /// R139: what is noted is there after a crash, and what is over is forgotten.
    #[test]
    fn notes_are_read_as_they_were_saved() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cursor.json");
        let mut notes = Notes::open(&path).unwrap();
        assert!(!path.exists(), "nothing is written for nothing");
        notes.note(task(1), Note::holding());
        notes.note(task(2), disputing());
        notes.note(task(3), Note::holding());
        notes.save().unwrap();
        notes.filed(&task(2), Filed::Done);
        let crashed = Notes::open(&path).unwrap();
        assert_eq!(crashed.get(&task(2)), Some(&disputing()), "what was not saved is not there");
        notes.keep(&[task(1), task(2)].into()).unwrap();
        let kept = Notes::open(&path).unwrap();
        assert_eq!(kept.get(&task(1)), Some(&Note::holding()));
        assert_eq!(kept.get(&task(2)).unwrap().dispute.as_ref().unwrap().filed, Filed::Done);
        assert_eq!(kept.get(&task(3)), None);
    }

    /// A file of something else is refused, and left as it is.
    #[test]
    fn damaged_notes_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cursor.json");
        let of_nobody = r#"{"version":1,"tasks":{"ab":{"dispute":null}}}"#;
        for wrong in [
            "",
            "{}",
            "[1]",
            r#"{"version":2,"tasks":{}}"#,
            r#"{"version":1,"tasks":{},"more":1}"#,
            of_nobody,
        ] {
            fs::write(&path, wrong).unwrap();
            assert!(matches!(Notes::open(&path), Err(NotesError::Damaged(..))), "{wrong}");
            assert_eq!(fs::read_to_string(&path).unwrap(), wrong);
        }
        assert!(matches!(Notes::open(folder.path()), Err(NotesError::File(..))));
    }

    /// R140: the exhibit lies beside the notes under its hash; without a file it is only hashed.
    #[test]
    fn an_exhibit_is_kept_by_its_hash() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cursor.json");
        let digest = Notes::open(&path).unwrap().exhibit(b"bundle").unwrap();
        assert_eq!(digest, Digest::of_bytes(b"bundle"));
        let kept = folder.path().join(format!("cursor.json.exhibits/{digest}.bundle"));
        assert_eq!(fs::read(kept).unwrap(), b"bundle");
        assert_eq!(Notes::default().exhibit(b"bundle").unwrap(), digest);
    }
}
