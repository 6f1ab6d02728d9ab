//! Writes one segment: sorted Arrow batches in, a sealed file in the store and its entry out.
//!
//! Memory is bounded by one row group and one part of the upload, whatever the segment's size. Nothing is visible in the store
//! before [`SegmentWriter::finish`] has returned: a writer that is dropped leaves no segment.

use std::sync::Arc;

use arrow::array::{Array as _, AsArray as _, RecordBatch, UInt32Array, UInt64Array};
use arrow::datatypes::{DataType, Int32Type, UInt32Type, UInt64Type};
use bytes::Bytes;
use object_store::{ObjectStore, ObjectStoreExt as _, WriteMultipart};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::encryption::encrypt::FileEncryptionProperties;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;
use roaring::RoaringBitmap;
use sha2::{Digest as _, Sha256};
use symphony_protocol::governance::semantics::{ValueType, normalise};
use symphony_types::digest::Digest;
use symphony_types::id::{AttributeName, VaultId};
use symphony_types::limits::{SUBJECTS_PER_VAULT_MAX, TEXT_LEN_MAX};
use symphony_types::time::RecordMillis;

use crate::error::SegmentError;
use crate::limits::{PAGE_ROWS, ROW_GROUP_ROWS, SEGMENT_ROWS_MAX};
use crate::open::RECORDS_KEY;
use crate::schema::{FIXED, PERSON, SEQUENCE, SegmentSchema};
use crate::segment::{SegmentEntry, SegmentId, SegmentKey};

/// A segment being written.
pub struct SegmentWriter {
    id: SegmentId,
    schema: SegmentSchema,
    encoder: ArrowWriter<Vec<u8>>,
    upload: WriteMultipart,
    file: Sha256,
    columns: Vec<Sha256>,
    groups: usize,
    bytes: u64,
    rows: u64,
    people: RoaringBitmap,
    times: Option<(u64, u64)>,
    last: Option<RowKey>,
}

/// How many rows are sealed together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Rows of a row group: what one core reads at a time.
    pub group_rows: usize,
    /// Rows of a page: the least that a window of time leaves out.
    pub page_rows: usize,
}

impl Default for Layout {
    fn default() -> Self {
        Self { group_rows: ROW_GROUP_ROWS, page_rows: PAGE_ROWS }
    }
}

/// By what rows are ordered: the time, rows without one first, then the person, then the record's place.
pub(crate) type RowKey = (Option<u64>, u32, u32);

impl SegmentWriter {
    /// Begins a segment of `vault` under a key that must be used for no other.
    ///
    /// **Errors**: [`SegmentError::Store`] when the store takes no upload.
    pub async fn begin(
        store: Arc<dyn ObjectStore>,
        vault: &VaultId,
        id: SegmentId,
        key: &SegmentKey,
        schema: &SegmentSchema,
        layout: Layout,
    ) -> Result<Self, SegmentError> {
        let sealing = FileEncryptionProperties::builder(key.0.to_vec())
            .with_aad_prefix(id.additional_data(vault))
            .with_aad_prefix_storage(false)
            .build()
            .map_err(SegmentError::Encode)?;
        let properties = properties(schema, layout).with_file_encryption_properties(sealing).build();
        let encoder = ArrowWriter::try_new(Vec::new(), schema.arrow(), Some(properties));
        let encoder = encoder.map_err(SegmentError::Encode)?;
        let upload = store.put_multipart(&id.path()).await.map_err(SegmentError::Store)?;
        Ok(Self {
            id,
            columns: vec![Sha256::new(); schema.attributes().len() + FIXED],
            schema: schema.clone(),
            encoder,
            upload: WriteMultipart::new_with_chunk_size(upload, PART_BYTES),
            file: Sha256::new(),
            groups: 0,
            bytes: 0,
            rows: 0,
            people: RoaringBitmap::new(),
            times: None,
            last: None,
        })
    }

    /// Appends rows, which must continue the ascending order of time, person and sequence. Texts must be in the form in which
    /// they are compared.
    ///
    /// **Errors**: [`SegmentError`] when the batch does not fit; then nothing of it is written.
    pub async fn write(&mut self, batch: &RecordBatch) -> Result<(), SegmentError> {
        if batch.schema_ref().fields() != self.schema.arrow().fields() {
            return Err(SegmentError::Batch("other columns"));
        }
        if self.rows + batch.num_rows() as u64 > SEGMENT_ROWS_MAX {
            return Err(SegmentError::TooMany("rows of a segment"));
        }
        check_texts(&self.schema, batch)?;
        self.take_keys(batch)?;
        self.encoder.write(batch).map_err(SegmentError::Encode)?;
        self.drain().await
    }

    /// Ends the segment, whose records have commitments under this root: see [`SegmentEntry::records`]. Once this has returned
    /// the store has all of it.
    ///
    /// **Errors**: [`SegmentError::Store`] and [`SegmentError::Encode`]; then there is no segment.
    pub async fn finish(mut self, records: Digest) -> Result<SegmentEntry, SegmentError> {
        self.encoder.flush().map_err(SegmentError::Encode)?;
        self.drain().await?;
        let frame_at = self.bytes;
        self.encoder.append_key_value_metadata(KeyValue::new(RECORDS_KEY.to_owned(), hex::encode(records.0)));
        // Indexes and the footer are left; the encoder has forgotten its row groups then.
        self.encoder.finish().map_err(SegmentError::Encode)?;
        self.groups = 0;
        self.drain().await?;
        self.upload.finish().await.map_err(SegmentError::Store)?;
        let digest = |hash: Sha256| Digest(hash.finalize().into());
        Ok(SegmentEntry {
            id: self.id,
            schema_version: self.schema.version(),
            rows: self.rows,
            times: self.times.map(|(first, last)| (RecordMillis(first), RecordMillis(last))),
            people: self.people.into(),
            bytes: self.bytes,
            frame_at,
            records,
            digest: digest(self.file),
            columns: self.columns.into_iter().map(digest).collect(),
        })
    }

    /// Checks the order of a batch as a whole, then takes people and times of it.
    fn take_keys(&mut self, batch: &RecordBatch) -> Result<(), SegmentError> {
        let (people, sequences, times) = keys_of(&self.schema, batch);
        let mut last = self.last;
        for row in 0..batch.num_rows() {
            let time = times.filter(|times| times.is_valid(row)).map(|times| times.value(row));
            let key = (time, people.value(row), sequences.value(row));
            if last.is_some_and(|last| last >= key) {
                return Err(SegmentError::Order);
            }
            if key.1 >= SUBJECTS_PER_VAULT_MAX {
                return Err(SegmentError::TooMany("people"));
            }
            last = Some(key);
        }
        self.last = last;
        self.rows += batch.num_rows() as u64;
        self.people.extend(people.values());
        if let Some(times) = times {
            let known = arrow::compute::min(times).zip(arrow::compute::max(times));
            self.times = match (self.times, known) {
                (Some((first, last)), Some((lesser, greater))) => {
                    Some((first.min(lesser), last.max(greater)))
                }
                (known, None) | (None, known) => known,
            };
        }
        Ok(())
    }

    /// Passes on what the encoder has sealed since, and adds it to the digests.
    async fn drain(&mut self) -> Result<(), SegmentError> {
        // The encoder holds back a few bytes of what it has sealed.
        self.encoder.sync().map_err(|error| SegmentError::Encode(error.into()))?;
        let sealed = Bytes::from(std::mem::take(self.encoder.inner_mut()));
        for group in &self.encoder.flushed_row_groups()[self.groups..] {
            for (column, digest) in group.columns().iter().zip(&mut self.columns) {
                let (start, length) = column.byte_range();
                // A row group is drained as a whole, so its columns lie in what has just been taken.
                let start = (start - self.bytes) as usize;
                digest.update(&sealed[start..start + length as usize]);
            }
        }
        self.groups = self.encoder.flushed_row_groups().len();
        self.file.update(&sealed);
        self.bytes += sealed.len() as u64;
        self.upload.wait_for_capacity(UPLOADS_MAX).await.map_err(SegmentError::Store)?;
        self.upload.put(sealed);
        Ok(())
    }
}

/// Who, which of the person's records, and when, by row.
pub(crate) fn keys_of<'a>(
    schema: &SegmentSchema,
    batch: &'a RecordBatch,
) -> (&'a UInt32Array, &'a UInt32Array, Option<&'a UInt64Array>) {
    let time = schema.time().and_then(|time| schema.column(time));
    (
        batch.column(0).as_primitive::<UInt32Type>(),
        batch.column(1).as_primitive::<UInt32Type>(),
        time.map(|column| batch.column(column).as_primitive::<UInt64Type>()),
    )
}

/// Refuses texts that are too long or not in the form in which they are compared: queries compare bytes.
fn check_texts(schema: &SegmentSchema, batch: &RecordBatch) -> Result<(), SegmentError> {
    for (index, (name, value)) in schema.attributes().iter().enumerate() {
        let ValueType::Text = value else { continue };
        let column = batch.column(index + FIXED).as_dictionary::<Int32Type>();
        let texts = column.values();
        if texts.data_type() != &DataType::Utf8 {
            return Err(SegmentError::Batch("a column of texts"));
        }
        for text in texts.as_string::<i32>().iter().flatten() {
            check_text(name, text)?;
        }
    }
    Ok(())
}

fn check_text(name: &AttributeName, text: &str) -> Result<(), SegmentError> {
    if text.chars().count() > TEXT_LEN_MAX {
        return Err(SegmentError::Text(name.clone()));
    }
    if normalise(text) != text {
        return Err(SegmentError::Batch("a text is not in the form in which texts are compared"));
    }
    Ok(())
}

/// How columns are laid out, sealed or not.
///
/// Dictionaries for texts; people and places as packed differences, which zstd gains nothing on and takes time for; what is
/// left compressed. Row groups are as many rows as one core should take at a time, pages small enough for a window of time to
/// leave most of a row group out.
pub fn properties(
    schema: &SegmentSchema,
    layout: Layout,
) -> parquet::file::properties::WriterPropertiesBuilder {
    let zstd = Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL).unwrap_or_default());
    let mut properties = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_2_0)
        .set_created_by("symphony".into())
        .set_max_row_group_row_count(Some(layout.group_rows))
        .set_data_page_row_count_limit(layout.page_rows)
        .set_write_batch_size(layout.page_rows.min(BATCH_ROWS))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_dictionary_enabled(false)
        .set_compression(zstd);
    for name in [PERSON, SEQUENCE] {
        let column = ColumnPath::from(name);
        properties = properties
            .set_column_encoding(column.clone(), Encoding::DELTA_BINARY_PACKED)
            .set_column_compression(column, Compression::UNCOMPRESSED);
    }
    for (name, value) in schema.attributes() {
        let column = ColumnPath::new(vec![name.as_str().to_owned()]);
        properties = match value {
            ValueType::Text => properties.set_column_dictionary_enabled(column, true),
            ValueType::Time => properties
                .set_column_encoding(column.clone(), Encoding::DELTA_BINARY_PACKED)
                .set_column_compression(column, Compression::UNCOMPRESSED),
            ValueType::Cents => properties.set_column_encoding(column, Encoding::DELTA_BINARY_PACKED),
        };
    }
    properties
}

/// Values that the encoder takes at a time; a page ends only between two such batches.
const BATCH_ROWS: usize = 1 << 10;
/// The level of zstd: the next ones take twice the time for a hundredth of the bytes.
const ZSTD_LEVEL: i32 = 3;
/// Bytes of one part of an upload. Five MiB is the least that S3 takes.
const PART_BYTES: usize = 8 << 20;
/// Parts on their way at once.
const UPLOADS_MAX: usize = 2;
