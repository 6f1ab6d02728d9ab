//! Uploads of a data producer or enterprise, parsed into canonical values (R077).
//!
//! **Shape**: JSON lines, Parquet or an Arrow IPC stream. A line is a flat object. *Records*: `request_id`,
//! `subject`, governed attributes by name, and columns of other names, which stay local. *Subjects*: `subject`, `contact`, optional `wallet`. *Consents*:
//! `subject`, `scope`, `state`, optional `expires_at`. Times are RFC 3339 texts or whole milliseconds, amounts
//! are decimal texts such as `5.80` or whole cents. A bad line is refused by itself with a code; the good ones
//! are never lost.

mod columnar;
mod json;
mod row;
mod value;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use symphony_protocol::governance::semantics::Semantics;
use symphony_protocol::vault::record::{LocalValue, Value};
use symphony_types::catalogue::Code;
use symphony_types::id::{AccountId, AttributeName, RequestId, SubjectId, UsageScope};
use symphony_types::limits::UPLOAD_BYTES_MAX;
use symphony_types::time::OrderedMillis;

use crate::upload::row::Fields;

/// How an upload is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    JsonLines,
    /// An Apache Parquet file.
    Parquet,
    /// An Arrow IPC stream.
    ArrowStream,
}

/// A record as it was uploaded; salt and commitment are the Vault's to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsedRecord {
    /// The uploader's name for it.
    pub request: RequestId,
    /// Whose it is.
    pub subject: SubjectId,
    /// Attributes of the registry, each of its type.
    pub values: BTreeMap<AttributeName, Value>,
    /// Columns that the registry has no attribute for (R051).
    pub local: BTreeMap<AttributeName, LocalValue>,
}

/// A person as it was uploaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsedSubject {
    /// The Vault's name for the person.
    pub subject: SubjectId,
    /// The contact handle.
    pub contact: String,
    /// Where dividends are paid.
    pub wallet: Option<AccountId>,
}

/// A consent statement as it was uploaded (R055).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsedConsent {
    /// Who states it.
    pub subject: SubjectId,
    /// For what use.
    pub scope: UsageScope,
    /// Given or taken back.
    pub state: ConsentState,
    /// When it ends by itself.
    pub expires_at: Option<OrderedMillis>,
}

/// What a consent statement says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsentState {
    /// Given.
    Granted,
    /// Taken back.
    Withdrawn,
}

/// Why one line is refused. The detail names columns, never values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct LineError {
    /// The refusal.
    pub code: Code,
    /// What is wrong, in words.
    pub detail: String,
}

/// Why a whole upload is refused: it has no lines that could be told apart.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct UploadError {
    /// The refusal.
    pub code: Code,
    /// What is wrong, in words.
    pub detail: String,
}

/// Lines by their number, from one.
pub type Lines<'a, T> = Box<dyn Iterator<Item = (u64, Result<T, LineError>)> + 'a>;

/// Parses records; attributes are those of `semantics`. Bad lines have `VLT-0001` or `ADM-0001`.
///
/// **Errors**: [`UploadError`] when the upload is too large or is not of its format at all.
pub fn records<'a>(
    format: Format,
    bytes: &'a [u8],
    semantics: &'a Semantics,
) -> Result<Lines<'a, ParsedRecord>, UploadError> {
    lines(format, bytes, move |fields| value::record(fields, semantics))
}

/// Parses subjects. Bad lines have `VLT-0001` or `ADM-0001`.
///
/// **Errors**: as [`records`].
pub fn subjects(format: Format, bytes: &[u8]) -> Result<Lines<'_, ParsedSubject>, UploadError> {
    lines(format, bytes, value::subject)
}

/// Parses consent statements. Bad lines have `VLT-0006` or `ADM-0001`.
///
/// **Errors**: as [`records`].
pub fn consents(format: Format, bytes: &[u8]) -> Result<Lines<'_, ParsedConsent>, UploadError> {
    lines(format, bytes, value::consent)
}

fn lines<'a, T: Send + 'a>(
    format: Format,
    bytes: &'a [u8],
    parse: impl for<'f> Fn(&Fields<'f>) -> Result<T, LineError> + Sync + 'a,
) -> Result<Lines<'a, T>, UploadError> {
    if bytes.len() > UPLOAD_BYTES_MAX {
        let detail = format!("an upload has at most {UPLOAD_BYTES_MAX} bytes");
        return Err(UploadError { code: Code::BodyTooLarge, detail });
    }
    match format {
        Format::JsonLines => Ok(Box::new(json::lines(bytes, parse))),
        Format::Parquet => Ok(Box::new(columnar::lines(columnar::parquet(bytes)?, parse))),
        Format::ArrowStream => Ok(Box::new(columnar::lines(columnar::arrow_stream(bytes)?, parse))),
    }
}
