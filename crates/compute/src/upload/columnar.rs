//! Parquet files and Arrow IPC streams: batches of columns, told apart into lines.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{Array, AsArray as _, PrimitiveArray, RecordBatch};
use arrow::buffer::Buffer;
use arrow::datatypes::{
    ArrowPrimitiveType, ArrowTimestampType, DataType, Date32Type, Date64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use bytes::Bytes;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use rayon::prelude::*;
use symphony_types::catalogue::Code;
use symphony_types::limits::UPLOAD_BYTES_MAX;
use symphony_types::time::DAY_MS;

use crate::columns;
use crate::upload::row::{COLUMNS_MAX, Fields, Scalar, refuse, shown};
use crate::upload::{LineError, UploadError};

/// Batches in order; a fault ends them.
type Batches = Box<dyn Iterator<Item = Result<RecordBatch, ()>>>;

/// The batches of a Parquet file.
pub(super) fn parquet(bytes: &[u8]) -> Result<Batches, UploadError> {
    let bytes = Bytes::copy_from_slice(bytes);
    let open = move || {
        let plain = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let written = ArrowReaderMetadata::load(&bytes, plain.clone()).ok()?;
        let options = plain.with_schema(texts_as_views(written.schema()));
        let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(bytes, options).ok()?;
        let unpacked = builder.metadata().row_groups().iter().map(|group| group.total_byte_size());
        let unpacked = unpacked.fold(0_i64, |sum, size| sum.saturating_add(size.max(0)));
        if unpacked > UNPACKED_BYTES_MAX {
            return None;
        }
        builder.with_batch_size(ROWS_PER_BATCH).build().ok()
    };
    // The reader follows offsets of the file; on a hostile file that may panic.
    let reader = catch_unwind(AssertUnwindSafe(open)).ok().flatten();
    let Some(mut reader) = reader else {
        return Err(malformed("the upload is not a parquet file, or unpacks to too much"));
    };
    let mut whole = true;
    Ok(Box::new(std::iter::from_fn(move || {
        if !whole {
            return None;
        }
        let batch = match catch_unwind(AssertUnwindSafe(|| reader.next())) {
            Ok(None) => return None,
            Ok(Some(Ok(batch))) => Ok(batch),
            Ok(Some(Err(_))) | Err(_) => Err(()),
        };
        whole = batch.is_ok();
        Some(batch)
    })))
}

/// The batches of an Arrow IPC stream.
pub(super) fn arrow_stream(bytes: &[u8]) -> Result<Batches, UploadError> {
    let stream = columns::read(Buffer::from(bytes), false);
    let stream = stream.map_err(|_| malformed("the upload is not an arrow ipc stream"))?;
    Ok(Box::new(stream.batches.into_iter().map(Ok)))
}

/// Parses each row of each batch, a batch on all cores.
pub(super) fn lines<'a, T: Send + 'a>(
    batches: Batches,
    parse: impl for<'f> Fn(&Fields<'f>) -> Result<T, LineError> + Sync + 'a,
) -> impl Iterator<Item = (u64, Result<T, LineError>)> + 'a {
    let mut number = 0;
    batches.flat_map(move |batch| {
        let rows = match &batch {
            Ok(batch) => rows(batch, &parse),
            Err(()) => vec![Err(refuse(Code::Malformed, "the upload cannot be read from here on"))],
        };
        let first = number + 1;
        number += rows.len() as u64;
        (first..).zip(rows)
    })
}

fn rows<T: Send>(
    batch: &RecordBatch,
    parse: &(impl for<'f> Fn(&Fields<'f>) -> Result<T, LineError> + Sync),
) -> Vec<Result<T, LineError>> {
    let schema = batch.schema();
    let row = |row: usize| {
        let mut fields = Fields::new();
        for (field, column) in schema.fields().iter().zip(batch.columns()) {
            if fields.len() == COLUMNS_MAX {
                return Err(refuse(Code::Malformed, "the upload has too many columns"));
            }
            if !fields.push(Cow::Borrowed(field.name()), scalar(column, row)) {
                return Err(refuse(Code::Malformed, format!("column {} stands twice", shown(field.name()))));
            }
        }
        parse(&fields)
    };
    (0..batch.num_rows()).into_par_iter().map(row).collect()
}

fn scalar(column: &dyn Array, row: usize) -> Scalar<'_> {
    if column.is_null(row) {
        return Scalar::Null;
    }
    match column.data_type() {
        DataType::Utf8 => Scalar::Text(Cow::Borrowed(column.as_string::<i32>().value(row))),
        DataType::LargeUtf8 => Scalar::Text(Cow::Borrowed(column.as_string::<i64>().value(row))),
        DataType::Utf8View => Scalar::Text(Cow::Borrowed(column.as_string_view().value(row))),
        DataType::Dictionary(_, _) => {
            let dictionary = column.as_any_dictionary();
            match (scalar(dictionary.keys(), row), dictionary.values().data_type()) {
                // A dictionary of dictionaries is nobody's column.
                (Scalar::Integer(_), DataType::Dictionary(_, _)) => Scalar::Other("a nested value"),
                (Scalar::Integer(key), _) => scalar(dictionary.values(), key as usize),
                _ => Scalar::Other("a nested value"),
            }
        }
        DataType::Int8 => whole(column.as_primitive::<Int8Type>(), row),
        DataType::Int16 => whole(column.as_primitive::<Int16Type>(), row),
        DataType::Int32 => whole(column.as_primitive::<Int32Type>(), row),
        DataType::Int64 => whole(column.as_primitive::<Int64Type>(), row),
        DataType::UInt8 => whole(column.as_primitive::<UInt8Type>(), row),
        DataType::UInt16 => whole(column.as_primitive::<UInt16Type>(), row),
        DataType::UInt32 => whole(column.as_primitive::<UInt32Type>(), row),
        DataType::UInt64 => whole(column.as_primitive::<UInt64Type>(), row),
        DataType::Timestamp(TimeUnit::Second, _) => moment::<TimestampSecondType>(column, row, 1000, 1),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            moment::<TimestampMillisecondType>(column, row, 1, 1)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            moment::<TimestampMicrosecondType>(column, row, 1, 1000)
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            moment::<TimestampNanosecondType>(column, row, 1, 1_000_000)
        }
        DataType::Date32 => {
            time(i64::from(column.as_primitive::<Date32Type>().value(row)).checked_mul(DAY_MS as i64))
        }
        DataType::Date64 => time(Some(column.as_primitive::<Date64Type>().value(row))),
        DataType::Float16 | DataType::Float32 | DataType::Float64 => {
            Scalar::Other("a number with a fraction")
        }
        DataType::Boolean => Scalar::Other("a yes or no"),
        DataType::List(_) | DataType::LargeList(_) | DataType::Struct(_) | DataType::Map(_, _) => {
            Scalar::Other("a nested value")
        }
        _ => Scalar::Other("of a type that no column takes"),
    }
}

/// The same columns with texts as views into their pages: a long text that a dictionary repeats in every row is
/// held once.
fn texts_as_views(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| match field.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 => {
            Arc::new(field.as_ref().clone().with_data_type(DataType::Utf8View))
        }
        _ => field.clone(),
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn whole<T: ArrowPrimitiveType>(column: &PrimitiveArray<T>, row: usize) -> Scalar<'_>
where
    u64: TryFrom<T::Native>,
{
    match u64::try_from(column.value(row)) {
        Ok(number) => Scalar::Integer(number),
        Err(_) => Scalar::Other("a negative number"),
    }
}

fn moment<T: ArrowTimestampType>(column: &dyn Array, row: usize, times: i64, per_milli: i64) -> Scalar<'_> {
    time(column.as_primitive::<T>().value(row).checked_mul(times).map(|units| units.div_euclid(per_milli)))
}

fn time(millis: Option<i64>) -> Scalar<'static> {
    match millis.and_then(|millis| u64::try_from(millis).ok()) {
        Some(millis) => Scalar::Time(millis),
        None => Scalar::Other("a time before 1970 or too late"),
    }
}

fn malformed(detail: &str) -> UploadError {
    UploadError { code: Code::Malformed, detail: detail.into() }
}

const ROWS_PER_BATCH: usize = 8192;
/// What a compressed file may grow to.
const UNPACKED_BYTES_MAX: i64 = 4 * UPLOAD_BYTES_MAX as i64;
