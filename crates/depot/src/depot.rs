//! The port to the place of segments, and which of the two places a Vault has.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use object_store::{Error as StoreError, ObjectStore};
use symphony_segments::segment::SegmentId;
use symphony_standby::place::Place;

use crate::config::Settings;
use crate::folder::Folder;
use crate::objects::Objects;

/// A place of segments.
#[async_trait]
pub trait Depot: Send + Sync {
    /// Where segments are written and read, by their paths.
    fn store(&self) -> Arc<dyn ObjectStore>;

    /// Makes the place ready for a Vault that has these segments: what an earlier place has is brought over. Blocks.
    ///
    /// **Errors**: [`DepotError::Elsewhere`], the file system, or the store while segments are brought over.
    fn adopt(&self, known: &BTreeSet<SegmentId>) -> Result<(), DepotError>;

    /// Has a segment that was just written there for good. **Errors**: the file system.
    async fn settle(&self, segment: &SegmentId) -> Result<(), DepotError>;

    /// Removes a segment, if it is there, and whatever was begun of it. **Errors**: the place; then it is tidied up later.
    async fn remove(&self, segment: &SegmentId) -> Result<(), DepotError>;

    /// Removes a segment that was not written to its end. Something of it may still be on its way, so the place is tidied once more.
    ///
    /// **Errors**: as [`Self::remove`].
    async fn abandon(&self, segment: &SegmentId) -> Result<(), DepotError>;

    /// Removes what is not of these segments, when something may have been left. Call while none is being written.
    ///
    /// **Errors**: the place; then it is tidied up at the next call.
    async fn tidy(&self, known: &BTreeSet<SegmentId>) -> Result<(), DepotError>;

    /// Reads the segment from the place itself next time: what was read of it may be wrong.
    fn forget(&self, segment: &SegmentId);

    /// Whether the place answers, asked by one of its segments. **Errors**: it does not.
    async fn answers(&self, segment: &SegmentId) -> Result<(), DepotError>;
}

/// A place cannot be used, or failed.
#[derive(Debug, thiserror::Error)]
pub enum DepotError {
    /// The configuration of the store does not hold together.
    #[error("the store of segments is not configured right: {0}")]
    Config(String),
    /// A file that the configuration names, or one of the Vault's own.
    #[error("{0}")]
    File(PathBuf, #[source] io::Error),
    /// The store did not answer, or refused.
    #[error("the store of segments failed")]
    Store(#[from] StoreError),
    /// The segments are in another place than the configuration says.
    #[error("the vault's segments are in {0}, and the configuration names another place for them")]
    Elsewhere(String),
}

impl DepotError {
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |error| Self::File(path, error)
    }
}

/// The place of the segments of a Vault's folder: the store of these settings, or the folder itself. `owner` is a word that no other
/// Vault has. **Errors**: [`DepotError`].
pub fn open(place: &Place, owner: &str, settings: Option<&Settings>) -> Result<Arc<dyn Depot>, DepotError> {
    Ok(match settings {
        None => Arc::new(Folder::open(place)?),
        Some(settings) => Arc::new(Objects::open(place, owner, settings)?),
    })
}
