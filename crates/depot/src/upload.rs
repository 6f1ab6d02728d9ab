//! An object on its way: what fits into one part is put whole; of several parts the store's name for the upload is on disk before the
//! first of them is sent, so that a start finds and ends what a crash left (R080).

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures::FutureExt as _;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path as StorePath;
use object_store::{
    Error as StoreError, MultipartId, MultipartUpload, ObjectStore, ObjectStoreExt as _, PutPayload,
    PutResult, UploadPart,
};
use symphony_segments::segment::SegmentId;
use tokio::sync::OnceCell;

use crate::depot::DepotError;
use crate::folder::{absent, write};

/// What takes objects, whole and in parts.
pub(crate) trait Remote: ObjectStore + MultipartStore {}

impl<T: ObjectStore + MultipartStore> Remote for T {}

/// Names of the uploads in parts that may be under way, on disk.
#[derive(Clone, Debug)]
pub(crate) struct Notes {
    folder: PathBuf,
}

impl Notes {
    /// Opens the notes, making their folder on first use. **Errors**: the file system.
    pub(crate) fn open(folder: PathBuf) -> Result<Self, DepotError> {
        fs::create_dir_all(&folder).map_err(DepotError::file(&folder))?;
        Ok(Self { folder })
    }

    /// The segments of which an upload is noted. **Errors**: the file system.
    pub(crate) fn all(&self) -> Result<Vec<SegmentId>, DepotError> {
        let failed = DepotError::file(&self.folder);
        let read = || {
            let mut noted = Vec::new();
            for file in fs::read_dir(&self.folder)? {
                let name = file?.file_name();
                let name = name.to_str().unwrap_or_default();
                noted.extend(SegmentId::at(&StorePath::from(format!("segments/{name}.parquet"))));
            }
            Ok(noted)
        };
        read().map_err(failed)
    }

    /// The store's name of a segment's upload; `None` when none is noted. **Errors**: the file system.
    pub(crate) fn of(&self, segment: &SegmentId) -> io::Result<Option<MultipartId>> {
        match fs::read_to_string(self.file(segment)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some),
        }
    }

    pub(crate) fn remove(&self, segment: &SegmentId) -> io::Result<()> {
        absent(fs::remove_file(self.file(segment)))
    }

    fn note(&self, segment: &SegmentId, upload: &MultipartId) -> io::Result<()> {
        write(&self.file(segment), upload.as_bytes())
    }

    fn file(&self, segment: &SegmentId) -> PathBuf {
        self.folder.join(segment.to_string())
    }
}

/// One segment being put.
pub(crate) struct Upload {
    parts: usize,
    shared: Arc<Shared>,
}

struct Shared {
    remote: Arc<dyn Remote>,
    notes: Notes,
    segment: SegmentId,
    object: StorePath,
    /// Begun with the second part.
    upload: OnceCell<MultipartId>,
    sent: Mutex<Sent>,
}

#[derive(Default)]
struct Sent {
    /// The first part until there is a second one.
    first: Option<PutPayload>,
    parts: BTreeMap<usize, PartId>,
}

impl Upload {
    pub(crate) fn new(remote: Arc<dyn Remote>, notes: Notes, segment: SegmentId, object: StorePath) -> Self {
        let (upload, sent) = (OnceCell::new(), Mutex::default());
        Self { parts: 0, shared: Arc::new(Shared { remote, notes, segment, object, upload, sent }) }
    }
}

impl std::fmt::Debug for Upload {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "the upload of segment {}", self.shared.segment)
    }
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (number, shared) = (self.parts, Arc::clone(&self.shared));
        self.parts += 1;
        if number == 0 {
            shared.sent().first = Some(data);
            return std::future::ready(Ok(())).boxed();
        }
        async move {
            let first = shared.sent().first.take();
            if let Some(first) = first {
                shared.put(0, first).await?;
            }
            shared.put(number, data).await
        }
        .boxed()
    }

    async fn complete(&mut self) -> object_store::Result<PutResult> {
        let shared = &self.shared;
        if self.parts <= 1 {
            let whole = shared.sent().first.take().unwrap_or_default();
            return shared.remote.put(&shared.object, whole).await;
        }
        let upload = shared.begun().await?;
        let parts = std::mem::take(&mut shared.sent().parts);
        if parts.len() != self.parts {
            return Err(noted(io::Error::other("parts of the segment are missing")));
        }
        let done = shared.remote.complete_multipart(&shared.object, upload, parts.into_values().collect());
        let done = done.await?;
        shared.notes.remove(&shared.segment).map_err(noted)?;
        Ok(done)
    }

    async fn abort(&mut self) -> object_store::Result<()> {
        self.shared.sent().first = None;
        let Some(upload) = self.shared.upload.get() else { return Ok(()) };
        end(&*self.shared.remote, &self.shared.notes, (&self.shared.segment, &self.shared.object), upload)
            .await
    }
}

impl Shared {
    async fn put(&self, number: usize, data: PutPayload) -> object_store::Result<()> {
        let upload = self.begun().await?;
        let part = self.remote.put_part(&self.object, upload, number, data).await?;
        self.sent().parts.insert(number, part);
        Ok(())
    }

    async fn begun(&self) -> object_store::Result<&MultipartId> {
        let begin = async || {
            let upload = self.remote.create_multipart(&self.object).await?;
            self.notes.note(&self.segment, &upload).map_err(noted)?;
            Ok(upload)
        };
        self.upload.get_or_try_init(begin).await
    }

    fn sent(&self) -> MutexGuard<'_, Sent> {
        // What a part's thread left is whole: it is written in one go.
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends an upload in parts, and what the store holds of it. **Errors**: the store, or the note cannot be removed.
pub(crate) async fn end(
    remote: &dyn Remote,
    notes: &Notes,
    (segment, object): (&SegmentId, &StorePath),
    upload: &MultipartId,
) -> object_store::Result<()> {
    match remote.abort_multipart(object, upload).await {
        Ok(()) | Err(StoreError::NotFound { .. }) => notes.remove(segment).map_err(noted),
        Err(error) => Err(error),
    }
}

/// A fault of the notes in the words of the store.
pub(crate) fn noted(error: io::Error) -> StoreError {
    StoreError::Generic { store: "the notes of uploads", source: Box::new(error) }
}
