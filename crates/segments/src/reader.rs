//! Opens segments, reads their columns, and finds and names bytes that are not those that were written.
//!
//! A segment is opened once: its key is unwrapped, its footer and indexes are decrypted and kept until [`Segments::forget`].
//! Every part that is read is authenticated; [`Segments::check`] looks at the whole file besides.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::{RecordBatch, new_null_array};
use arrow::datatypes::{FieldRef, SchemaRef};
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt as _, StreamExt as _};
use object_store::{ObjectStore, ObjectStoreExt as _};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::{AsyncFileReader, ParquetRecordBatchStreamBuilder};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use sha2::{Digest as _, Sha256};
use symphony_types::digest::Digest;
use symphony_types::id::VaultId;
use tokio::runtime::Handle;

use crate::error::SegmentError;
use crate::limits::SEGMENTS_MAX;
use crate::open::{OpenSegment, Ranges};
use crate::schema::SegmentSchema;
use crate::segment::{KeySource, Part, SegmentEntry, SegmentId};

/// The segments of one Vault in one store.
pub struct Segments {
    vault: VaultId,
    store: Arc<dyn ObjectStore>,
    keys: Arc<dyn KeySource>,
    schema: Mutex<Arc<SegmentSchema>>,
    open: Mutex<BTreeMap<SegmentId, Arc<OpenSegment>>>,
}

impl Segments {
    /// The segments of `vault`, whose columns are those of `schema`.
    pub fn new(
        vault: VaultId,
        store: Arc<dyn ObjectStore>,
        keys: Arc<dyn KeySource>,
        schema: SegmentSchema,
    ) -> Self {
        Self { vault, store, keys, schema: Mutex::new(Arc::new(schema)), open: Mutex::default() }
    }

    /// The schema.
    pub fn schema(&self) -> Arc<SegmentSchema> {
        Arc::clone(&self.schema.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes a schema that this one [grew](SegmentSchema::grown) to. What is open stays open.
    pub fn grow(&self, schema: SegmentSchema) {
        *self.schema.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(schema);
    }

    /// The Vault.
    pub fn vault(&self) -> &VaultId {
        &self.vault
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// The files as a scan reads them. Call within a runtime.
    pub fn ranges(&self) -> StoredRanges {
        StoredRanges { store: self.store.clone(), runtime: Handle::current() }
    }

    /// Opens a segment, or gives the one that is open.
    ///
    /// **Errors**: [`SegmentError::Key`] without its key, [`SegmentError::Missing`] without its file,
    /// [`SegmentError::Corrupt`] when its frame is not what was written.
    pub async fn open(&self, entry: &SegmentEntry) -> Result<Arc<OpenSegment>, SegmentError> {
        if let Some(open) = self.opened().get(&entry.id) {
            return Ok(open.clone());
        }
        let open = Arc::new(self.load(entry).await?);
        let mut opened = self.opened();
        while opened.len() >= SEGMENTS_MAX {
            opened.pop_first();
        }
        opened.insert(entry.id, open.clone());
        Ok(open)
    }

    /// Lets go of a segment's key and of what was decrypted of it.
    pub fn forget(&self, segment: &SegmentId) {
        self.opened().remove(segment);
    }

    /// Lets go of all, so that the next query finds everything cold.
    pub fn forget_all(&self) {
        self.opened().clear();
    }

    /// Records of a segment in their order, of these columns of the schema only, which ascend. A segment that is older than a column has
    /// nothing in it.
    ///
    /// **Errors**: as [`Segments::open`]; what is read later is authenticated, and fails as [`SegmentError::Corrupt`] of its frame:
    /// [`Segments::check`] tells the column. [`SegmentError::Store`] when the store fails meanwhile.
    pub async fn records(
        &self,
        entry: &SegmentEntry,
        columns: &[usize],
        rows: usize,
    ) -> Result<BoxStream<'static, Result<RecordBatch, SegmentError>>, SegmentError> {
        let open = self.open(entry).await?;
        let segment = open.id();
        let wanted = self.schema().arrow().project(columns);
        let wanted = Arc::new(wanted.map_err(|_| SegmentError::Schema("there is no such column"))?);
        let there: Vec<usize> = wanted
            .fields()
            .iter()
            .filter_map(|field| open.arrow().schema().index_of(field.name()).ok())
            .collect();
        let mask =
            ProjectionMask::roots(open.metadata().file_metadata().schema_descr(), there.iter().copied());
        let stream = ParquetRecordBatchStreamBuilder::new_with_metadata(
            SegmentFile::new(self.store.clone(), &open),
            open.arrow().clone(),
        )
        .with_projection(mask)
        .with_batch_size(rows)
        .build()
        .map_err(|_| corrupt(segment, Part::Frame))?;
        Ok(stream.map(move |batch| filled(&wanted, &batch.map_err(|error| unread(segment, error))?)).boxed())
    }

    /// Reads the whole file and every column of it.
    ///
    /// **Errors**: [`SegmentError::Corrupt`] with the first column whose bytes are not those that were written, or the frame around
    /// the columns; [`SegmentError::Key`], [`SegmentError::Missing`], [`SegmentError::Store`].
    pub async fn check(&self, entry: &SegmentEntry) -> Result<(), SegmentError> {
        // What is open may be older than the fault.
        self.forget(&entry.id);
        if self.digest_of(entry).await? != entry.digest {
            return Err(corrupt(entry.id, self.faulty_part(entry).await?));
        }
        let schema = self.schema().arrow();
        for name in names(self.open(entry).await?.as_ref()) {
            let column =
                schema.index_of(&name).map_err(|_| SegmentError::Schema("a segment of other columns"))?;
            let failed = || corrupt(entry.id, Part::Column(name.clone()));
            let mut records = self.records(entry, &[column], CHECK_ROWS).await?;
            let mut rows = 0;
            while let Some(batch) = records.next().await {
                let batch = batch.map_err(|error| match error {
                    SegmentError::Corrupt { .. } => failed(),
                    error => error,
                });
                rows += batch?.num_rows() as u64;
            }
            if rows != entry.rows {
                return Err(failed());
            }
        }
        Ok(())
    }

    async fn load(&self, entry: &SegmentEntry) -> Result<OpenSegment, SegmentError> {
        let schema = self.schema();
        if entry.schema_version > schema.version() {
            return Err(SegmentError::Schema("a segment of a later version"));
        }
        let key = self.keys.key(&entry.id).ok_or(SegmentError::Key(entry.id))?;
        let path = entry.id.path();
        let head = self.store.head(&path).await.map_err(|error| missing(entry.id, error))?;
        if head.size != entry.bytes {
            return Err(corrupt(entry.id, Part::Frame));
        }
        let end = self.store.get_range(&path, entry.frame()).await;
        let end = end.map_err(|error| missing(entry.id, error))?;
        OpenSegment::new(&self.vault, entry.id, &key, &schema, entry.bytes, &end)
    }

    /// The digest of a file that has its length, read in pieces, so that no piece takes long.
    async fn digest_of(&self, entry: &SegmentEntry) -> Result<Digest, SegmentError> {
        let (path, failed) = (entry.id.path(), |error| missing(entry.id, error));
        if self.store.head(&path).await.map_err(failed)?.size != entry.bytes {
            return Err(corrupt(entry.id, Part::Frame));
        }
        let mut digest = Sha256::new();
        for start in (0..entry.bytes).step_by(PIECE_BYTES) {
            let end = entry.bytes.min(start + PIECE_BYTES as u64);
            digest.update(&self.store.get_range(&path, start..end).await.map_err(failed)?);
        }
        Ok(Digest(digest.finalize().into()))
    }

    /// Where bytes of a file are wrong, of which is known that some are.
    async fn faulty_part(&self, entry: &SegmentEntry) -> Result<Part, SegmentError> {
        let open = match self.open(entry).await {
            Ok(open) => open,
            Err(SegmentError::Corrupt { part, .. }) => return Ok(part),
            Err(error) => return Err(error),
        };
        self.forget(&entry.id);
        for (column, name) in names(&open).into_iter().enumerate() {
            let mut digest = Sha256::new();
            for group in open.metadata().row_groups() {
                let (start, length) = group.column(column).byte_range();
                let bytes = self.store.get_range(&entry.id.path(), start..start + length).await;
                digest.update(&bytes.map_err(|error| missing(entry.id, error))?);
            }
            let digest = Digest(digest.finalize().into());
            if entry.columns.get(column) != Some(&digest) {
                return Ok(Part::Column(name));
            }
        }
        Ok(Part::Frame)
    }

    fn opened(&self) -> MutexGuard<'_, BTreeMap<SegmentId, Arc<OpenSegment>>> {
        // A map of whole entries is whole whoever panicked while holding it.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the columns of a segment are called, in their order.
fn names(open: &OpenSegment) -> Vec<String> {
    open.arrow().schema().fields().iter().map(|field| field.name().clone()).collect()
}

/// A batch with all of these columns; those that it has not are empty.
fn filled(wanted: &SchemaRef, batch: &RecordBatch) -> Result<RecordBatch, SegmentError> {
    let column = |field: &FieldRef| {
        let there = batch.column_by_name(field.name()).cloned();
        there.unwrap_or_else(|| new_null_array(field.data_type(), batch.num_rows()))
    };
    let columns = wanted.fields().iter().map(column).collect();
    RecordBatch::try_new(Arc::clone(wanted), columns).map_err(|_| SegmentError::Batch("other columns"))
}

/// Ranges of files in a store. Blocks, and must not be used on a thread of the runtime.
pub struct StoredRanges {
    store: Arc<dyn ObjectStore>,
    runtime: Handle,
}

impl Ranges for StoredRanges {
    fn ranges(&self, segment: &SegmentId, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, SegmentError> {
        let found = self.runtime.block_on(self.store.get_ranges(&segment.path(), ranges));
        found.map_err(|error| missing(*segment, error))
    }
}

/// The file of a segment.
pub(crate) struct SegmentFile {
    store: Arc<dyn ObjectStore>,
    id: SegmentId,
    metadata: Arc<ParquetMetaData>,
}

impl SegmentFile {
    pub(crate) fn new(store: Arc<dyn ObjectStore>, open: &OpenSegment) -> Self {
        Self { store, id: open.id(), metadata: open.metadata().clone() }
    }
}

impl fmt::Debug for SegmentFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the file of segment {}", self.id)
    }
}

impl AsyncFileReader for SegmentFile {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ParquetError>> {
        let path = self.id.path();
        let store = self.store.clone();
        async move { store.get_range(&path, range).await.map_err(outside) }.boxed()
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, Result<Vec<Bytes>, ParquetError>> {
        let path = self.id.path();
        let store = self.store.clone();
        async move { store.get_ranges(&path, &ranges).await.map_err(outside) }.boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>, ParquetError>> {
        let metadata = self.metadata.clone();
        async move { Ok(metadata) }.boxed()
    }
}

fn outside(error: object_store::Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}

fn missing(segment: SegmentId, error: object_store::Error) -> SegmentError {
    match error {
        object_store::Error::NotFound { .. } => SegmentError::Missing(segment),
        // It has another length.
        object_store::Error::Precondition { .. } => corrupt(segment, Part::Frame),
        other => SegmentError::Store(other),
    }
}

/// Why records are not read: the store's fault, or that of the bytes.
fn unread(segment: SegmentId, error: ParquetError) -> SegmentError {
    let ParquetError::External(source) = error else { return corrupt(segment, Part::Frame) };
    let store = source.downcast::<object_store::Error>();
    store.map_or_else(|_| corrupt(segment, Part::Frame), |error| missing(segment, *error))
}

fn corrupt(segment: SegmentId, part: Part) -> SegmentError {
    SegmentError::Corrupt { segment, part }
}

/// Rows that a check decodes at a time.
const CHECK_ROWS: usize = 64 << 10;
/// Bytes that a check reads of a file at a time.
const PIECE_BYTES: usize = 8 << 20;
