//! Vaults: uploads to them and what they hold of a person (R014, R207).
//!
//! The name `assigned` stands for the Vault that the caller's own data belongs to. Everything is sealed here to the
//! Vault; see [`crate::operations`].

use std::sync::Arc;

use axum::Json;
use axum::body::HttpBody;
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequest, Path, Query, Request, State};
use axum::response::{IntoResponse, Response};
use http::header;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use symphony_types::catalogue::Code;
use symphony_types::id::{RequestId, SubjectId, UsageScope};
use symphony_types::limits::DOCUMENT_BYTES_MAX;
use symphony_wire::caller::Caller;
use symphony_wire::v1::vault_operation::Operation;
use symphony_wire::v1::{
    ErasePerson, ReadAttributes, ReadBudget, ReadCandidates, ReadConsents, ReadDividends, ReadLeaves,
    ReadRecords, ReadRetention, RotateKey, SealedOperation, TakeBackup, UploadFormat, VaultAnswer,
};
use utoipa::ToSchema;

use super::request::{JSON, JsonBody, OCTETS, RequestKey, hex32, json, media, require_media};
use super::shape::{
    AttributeEntry, BudgetEntry, CandidateEntry, ConsentEntry, ConsentGrant, DividendEntry, RecordEntry,
    RetentionEntry, UploadReport, VaultEntry, VaultList,
};
use crate::gateway::{Gateway, Proven};
use crate::operations::ASSIGNED;
use crate::problem::Problem;
use crate::upload::{Kind, Upload, collect};

/// Bytes of an operation that its caller sealed: the largest document, and what stands around it.
const OPERATION_BYTES_MAX: usize = DOCUMENT_BYTES_MAX + (64 << 10);
/// Larger ones wait for a place, as documents do.
const SMALL_BYTES: u64 = 64 << 10;
/// Records that one answer lists.
const RECORDS_MAX: u32 = 1000;
const JSON_LINES: &str = "application/x-ndjson";
const PARQUET: &str = "application/vnd.apache.parquet";
const ARROW_STREAM: &str = "application/vnd.apache.arrow.stream";

/// Approved Vaults.
#[utoipa::path(
    get, path = "/v1/vaults", operation_id = "listVaults", tag = "vaults",
    responses((status = 200, description = "The Vaults", body = VaultList))
)]
pub(crate) async fn list(
    State(gateway): State<Arc<Gateway>>,
    Proven(caller): Proven,
) -> Result<Json<VaultList>, Problem> {
    Ok(Json(gateway.list_vaults(&caller).await?.into()))
}

/// The Vault that the caller's own data belongs to.
#[utoipa::path(
    get, path = "/v1/vaults/assigned", operation_id = "assignVault", tag = "vaults",
    responses((status = 200, description = "The Vault", body = VaultEntry))
)]
pub(crate) async fn assigned(
    State(gateway): State<Arc<Gateway>>,
    Proven(caller): Proven,
) -> Result<Json<VaultEntry>, Problem> {
    Ok(Json(gateway.assign_vault(&caller).await?.into()))
}

macro_rules! uploads {
    ($($(#[$doc:meta])* $name:ident $kind:ident $path:literal $id:literal;)*) => {$(
        $(#[$doc])*
        ///
        /// One object as JSON, or many: JSON lines are streamed and have no common fate; a Parquet file or an Arrow
        /// stream is taken whole. The same idempotency key twice has one effect.
        #[utoipa::path(
            post, path = $path, operation_id = $id, tag = "vaults",
            params(
                ("vault" = String, Path, description = "A Vault's name, or `assigned`"),
                ("idempotency-key" = String, Header, description = "The caller's name for the upload, at most 56 characters")
            ),
            request_body(content(
                (Object = "application/json"),
                (String = "application/x-ndjson"),
                (Vec<u8> = "application/vnd.apache.parquet"),
                (Vec<u8> = "application/vnd.apache.arrow.stream")
            )),
            responses((status = 200, description = "What became of it", body = UploadReport))
        )]
        pub(crate) async fn $name(
            State(gateway): State<Arc<Gateway>>,
            Proven(caller): Proven,
            Path(vault): Path<String>,
            key: RequestKey,
            request: Request,
        ) -> Result<Json<UploadReport>, Problem> {
            upload(gateway, caller, &vault, key, Kind::$kind, request).await
        }
    )*};
}

uploads! {
    /// Registers people at a Vault.
    put_subjects Subjects "/v1/vaults/{vault}/subjects" "putSubjects";
    /// Grants and withdraws consents.
    put_consents Consents "/v1/vaults/{vault}/consents" "putConsents";
    /// Uploads records.
    put_records Records "/v1/vaults/{vault}/records" "putRecords";
}

async fn upload(
    gateway: Arc<Gateway>,
    caller: Caller,
    vault: &str,
    key: RequestKey,
    kind: Kind,
    request: Request,
) -> Result<Json<UploadReport>, Problem> {
    let key = key.required()?;
    let media = media(request.headers());
    let columnar = match media.as_str() {
        JSON | JSON_LINES => None,
        PARQUET => Some(UploadFormat::Parquet),
        ARROW_STREAM => Some(UploadFormat::ArrowStream),
        _ => {
            return Err(Problem::new(
                Code::UnsupportedMedia,
                "an upload is JSON, JSON lines, Parquet or an Arrow stream",
            ));
        }
    };
    let vault = gateway.vault(&caller, vault).await?;
    let upload = Upload { gateway: Arc::clone(&gateway), caller, vault, key, kind };
    let closed = |_| Problem::new(Code::Unavailable, "the gateway is closing");
    let tally = match columnar {
        Some(format) => {
            let _place = gateway.columnar_uploads.acquire().await.map_err(closed)?;
            upload.columnar(format, request.into_body()).await?
        }
        None if media == JSON => upload.single(object(json(request, &gateway).await?)?).await?,
        None => {
            let _place = gateway.uploads.acquire().await.map_err(closed)?;
            upload.lines(request.into_body()).await?
        }
    };
    Ok(Json(tally.into()))
}

/// A JSON object as one line. Line breaks of a valid document stand between its tokens only.
fn object(mut bytes: Vec<u8>) -> Result<Vec<u8>, Problem> {
    serde_json::from_slice::<IgnoredAny>(&bytes).map_err(|fault| Problem::malformed(fault.to_string()))?;
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(Problem::malformed("the body is not one JSON object"));
    }
    for byte in &mut bytes {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    bytes.push(b'\n');
    Ok(bytes)
}

macro_rules! readings {
    ($($(#[$doc:meta])* $name:ident $path:literal $id:literal $entry:ident $field:ident $operation:expr;)*) => {$(
        $(#[$doc])*
        ///
        /// The caller's own, or anyone's for the Vault's operator.
        #[utoipa::path(
            get, path = $path, operation_id = $id, tag = "vaults",
            params(
                ("vault" = String, Path, description = "A Vault's name, or `assigned`"),
                ("subject" = String, Path, description = "The person")
            ),
            responses((status = 200, description = "The entries", body = Vec<$entry>))
        )]
        pub(crate) async fn $name(
            State(gateway): State<Arc<Gateway>>,
            Proven(caller): Proven,
            Path((vault, subject)): Path<(String, String)>,
        ) -> Result<Json<Vec<$entry>>, Problem> {
            let answer = reading(&gateway, &caller, &vault, subject, $operation).await?;
            Ok(Json(answer.$field.into_iter().map($entry::from).collect()))
        }
    )*};
}

readings! {
    /// A person's privacy budget.
    budget "/v1/vaults/{vault}/subjects/{subject}/budget" "getBudget" BudgetEntry budget
        |subject| Operation::ReadBudget(ReadBudget { subject, ..ReadBudget::default() });
    /// A person's consents.
    consents "/v1/vaults/{vault}/subjects/{subject}/consents" "getConsents" ConsentEntry consents
        |subject| Operation::ReadConsents(ReadConsents { subject });
    /// A person's records, at most 1000.
    records "/v1/vaults/{vault}/subjects/{subject}/records" "getRecords" RecordEntry records
        |subject| Operation::ReadRecords(ReadRecords { subject, limit: RECORDS_MAX });
    /// What modules found of a person.
    attributes "/v1/vaults/{vault}/subjects/{subject}/attributes" "getAttributes" AttributeEntry attributes
        |subject| Operation::ReadAttributes(ReadAttributes { subject });
    /// A person's dividends, each with the proof that claims it.
    dividends "/v1/vaults/{vault}/subjects/{subject}/dividends" "getDividends" DividendEntry dividends
        |subject| Operation::ReadDividends(ReadDividends { subject });
}

/// A page of what spends a person's budget, with what proves it against the ledger's root.
///
/// The caller's own, or anyone's for the Vault's operator. Canonical bytes of a proven statement: the root, signed by the Vault, the
/// person's entries with their audit paths, and whether there are more after the last of them.
#[utoipa::path(
    get, path = "/v1/vaults/{vault}/subjects/{subject}/budget/statement", operation_id = "getBudgetStatement", tag = "vaults",
    params(
        ("vault" = String, Path, description = "A Vault's name, or `assigned`"),
        ("subject" = String, Path, description = "The person"),
        ("after" = Option<String>, Query, description = "Entries after this task, 64 hexadecimal digits")
    ),
    responses((status = 200, description = "The statement", body = Vec<u8>, content_type = "application/octet-stream"))
)]
pub(crate) async fn budget_statement(
    State(gateway): State<Arc<Gateway>>,
    Proven(caller): Proven,
    Path((vault, subject)): Path<(String, String)>,
    page: Result<Query<After>, QueryRejection>,
) -> Result<Vec<u8>, Problem> {
    let Query(page) = page.map_err(|fault| Problem::malformed(fault.body_text()))?;
    let after = page.after.as_deref().map(|after| hex32("after", after)).transpose()?.unwrap_or_default();
    let read = |subject| Operation::ReadBudget(ReadBudget { subject, proven: true, after });
    Ok(reading(&gateway, &caller, &vault, subject, read).await?.proof)
}

/// Where a page begins.
#[derive(Deserialize)]
pub(crate) struct After {
    after: Option<String>,
}

async fn reading(
    gateway: &Arc<Gateway>,
    caller: &Caller,
    vault: &str,
    subject: String,
    operation: impl FnOnce(String) -> Operation,
) -> Result<VaultAnswer, Problem> {
    SubjectId::new(&subject).map_err(|fault| Problem::malformed(format!("reading the person: {fault}")))?;
    let vault = gateway.vault(caller, vault).await?;
    gateway.operate(caller, &vault, &unique()?, operation(subject)).await
}

/// The Vault's proof that a person is erased.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PersonErasureReport {
    /// Canonical bytes of the erasure, signed by the Vault: `symphony vault check-erasure` reads them.
    proof: String,
}

/// Erases a person: every consent, its profile, records and receipts, and the keys of them all. Commitments stay. Again, the same
/// proof.
///
/// The caller itself, or anyone for the Vault's operator. It is answered when nothing can be opened any more, which takes as
/// long as writing the segments with the person's rows again. Dividends that are not taken by then can be taken only by who
/// kept their proofs. The same id may be registered again, and is another person then.
#[utoipa::path(
    delete, path = "/v1/vaults/{vault}/subjects/{subject}", operation_id = "erasePerson", tag = "vaults",
    params(
        ("vault" = String, Path, description = "A Vault's name, or `assigned`"),
        ("subject" = String, Path, description = "The person")
    ),
    responses((status = 200, description = "The proof", body = PersonErasureReport))
)]
pub(crate) async fn erase(
    State(gateway): State<Arc<Gateway>>,
    Proven(caller): Proven,
    Path((vault, subject)): Path<(String, String)>,
) -> Result<Json<PersonErasureReport>, Problem> {
    let erase = |subject| Operation::ErasePerson(ErasePerson { subject });
    let answer = reading(&gateway, &caller, &vault, subject, erase).await?;
    Ok(Json(PersonErasureReport { proof: hex::encode(&answer.proof) }))
}

/// What the rotation of a Vault's key did.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RotationReport {
    /// Keys that were wrapped anew.
    keys: u64,
}

/// Wraps every key of a Vault anew under a new key and destroys the old one, while the Vault serves. For the Vault's operator.
#[utoipa::path(
    post, path = "/v1/vaults/{vault}/key/rotations", operation_id = "rotateKey", tag = "vaults",
    params(("vault" = String, Path, description = "A Vault's name, or `assigned`")),
    responses((status = 200, description = "What was done", body = RotationReport))
)]
pub(crate) async fn rotate(
    State(gateway): State<Arc<Gateway>>,
    Proven(caller): Proven,
    Path(vault): Path<String>,
) -> Result<Json<RotationReport>, Problem> {
    let vault = gateway.vault(&caller, &vault).await?;
    let answer = gateway.operate(&caller, &vault, &unique()?, Operation::RotateKey(RotateKey {})).await?;
    Ok(Json(RotationReport { keys: answer.accepted }))
}

/// A backup that was taken.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BackupReport {
    /// Its number, which its folder has too.
    number: u64,
    /// What it has, canonical and signed by the Vault, in hexadecimal.
    manifest: String,
}

/// Columns of a Vault's records that no governed attribute is for, each with how many records and people have it. For the Vault's
/// operator.
#[utoipa::path(
    get, path = "/v1/vaults/{vault}/candidates", operation_id = "getCandidates", tag = "vaults",
    params(("vault" = String, Path, description = "A Vault's name, or `assigned`")),
    responses((status = 200, description = "By name, at most 1000", body = Vec<CandidateEntry>))
)]
pub(crate) async fn candidates(
    State(gateway): State<Arc<Gateway>>,
    Proven(caller): Proven,
    Path(vault): Path<String>,
) -> Result<Json<Vec<CandidateEntry>>, Problem> {
    let vault = gateway.vault(&caller, &vault).await?;
    let read = Operation::ReadCandidates(ReadCandidates {});
    let answer = gateway.operate(&caller, &vault, &unique()?, read).await?;
    Ok(Json(answer.candidates.into_iter().map(CandidateEntry::from).collect()))
}

/// How long a Vault keeps records, and what has ended because it was kept for its time. For the Vault's operator.
#[utoipa::path(
    get, path = "/v1/vaults/{vault}/retention", operation_id = "getRetention", tag = "vaults",
    params(("vault" = String, Path, description = "A Vault's name, or `assigned`")),
    responses((status = 200, description = "As it is now", body = RetentionEntry))
)]
pub(crate) async fn retention(
    State(gateway): State<Arc<Gateway>>,
    Proven(caller): Proven,
    Path(vault): Path<String>,
) -> Result<Json<RetentionEntry>, Problem> {
    let vault = gateway.vault(&caller, &vault).await?;
    let read = Operation::ReadRetention(ReadRetention {});
    let answer = gateway.operate(&caller, &vault, &unique()?, read).await?;
    Ok(Json(answer.retention.unwrap_or_default().into()))
}

/// Which leaves.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Leaves {
    #[serde(default)]
    from: u64,
}

/// Who is paid what by a Vault's dividend tree of an epoch: 48 bytes a leaf, an account, a place and an amount. For the Vault's operator.
#[utoipa::path(
    get, path = "/v1/vaults/{vault}/epochs/{epoch}/leaves", operation_id = "getLeaves", tag = "vaults",
    params(
        ("vault" = String, Path, description = "A Vault's name, or `assigned`"),
        ("epoch" = u64, Path, description = "The epoch"),
        ("from" = Option<u64>, Query, description = "The first leaf wanted, from zero")
    ),
    responses((status = 200, description = "Leaves from there on; none behind the last", body = Vec<u8>, content_type = "application/octet-stream"))
)]
pub(crate) async fn leaves(
    State(gateway): State<Arc<Gateway>>,
    Proven(caller): Proven,
    Path((vault, epoch)): Path<(String, u64)>,
    part: Result<Query<Leaves>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(Leaves { from }) = part.map_err(|fault| Problem::malformed(fault.body_text()))?;
    let vault = gateway.vault(&caller, &vault).await?;
    let read = Operation::ReadLeaves(ReadLeaves { epoch, from });
    let answer = gateway.operate(&caller, &vault, &unique()?, read).await?;
    Ok(([(header::CONTENT_TYPE, OCTETS)], answer.content).into_response())
}

/// Takes a backup of a Vault into its node's standby, while the Vault serves. For the Vault's operator.
#[utoipa::path(
    post, path = "/v1/vaults/{vault}/backups", operation_id = "takeBackup", tag = "vaults",
    params(("vault" = String, Path, description = "A Vault's name, or `assigned`")),
    responses((status = 200, description = "What was taken", body = BackupReport))
)]
pub(crate) async fn back_up(
    State(gateway): State<Arc<Gateway>>,
    Proven(caller): Proven,
    Path(vault): Path<String>,
) -> Result<Json<BackupReport>, Problem> {
    let vault = gateway.vault(&caller, &vault).await?;
    let answer = gateway.operate(&caller, &vault, &unique()?, Operation::TakeBackup(TakeBackup {})).await?;
    Ok(Json(BackupReport { number: answer.accepted, manifest: hex::encode(&answer.proof) }))
}

/// A line of a consents upload.
#[derive(Serialize)]
struct ConsentLine<'a> {
    subject: &'a str,
    scope: &'a str,
    state: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<u64>,
}

/// Grants the caller's own consent for a scope, at the assigned Vault.
#[utoipa::path(
    put, path = "/v1/consents/{scope}", operation_id = "grantConsent", tag = "consents",
    params(("scope" = String, Path, description = "Usage scope, such as marketing")),
    request_body(content = Option<ConsentGrant>, description = "Until when; without an end when there is no body"),
    responses((status = 200, description = "What became of it", body = UploadReport))
)]
pub(crate) async fn grant(
    State(gateway): State<Arc<Gateway>>,
    Proven(caller): Proven,
    Path(scope): Path<String>,
    key: RequestKey,
    request: Request,
) -> Result<Json<UploadReport>, Problem> {
    let grant = if request.body().is_end_stream() {
        ConsentGrant::default()
    } else {
        JsonBody::from_request(request, &gateway).await?.0
    };
    consent(gateway, caller, key, &scope, "granted", grant.expires_ms).await
}

/// Withdraws the caller's own consent for a scope, at the assigned Vault.
#[utoipa::path(
    delete, path = "/v1/consents/{scope}", operation_id = "withdrawConsent", tag = "consents",
    params(("scope" = String, Path, description = "Usage scope, such as marketing")),
    responses((status = 200, description = "What became of it", body = UploadReport))
)]
pub(crate) async fn withdraw(
    State(gateway): State<Arc<Gateway>>,
    Proven(caller): Proven,
    Path(scope): Path<String>,
    key: RequestKey,
) -> Result<Json<UploadReport>, Problem> {
    consent(gateway, caller, key, &scope, "withdrawn", None).await
}

async fn consent(
    gateway: Arc<Gateway>,
    caller: Caller,
    key: RequestKey,
    scope: &str,
    state: &str,
    expires_at: Option<u64>,
) -> Result<Json<UploadReport>, Problem> {
    let scope =
        UsageScope::new(scope).map_err(|fault| Problem::malformed(format!("reading the scope: {fault}")))?;
    let key = key.0.map_or_else(unique, Ok)?;
    let line = ConsentLine { subject: caller.actor.as_str(), scope: scope.as_str(), state, expires_at };
    let mut line =
        serde_json::to_vec(&line).map_err(|_| Problem::new(Code::Internal, "writing the consent"))?;
    line.push(b'\n');
    let vault = gateway.vault(&caller, ASSIGNED).await?;
    let upload = Upload { gateway, caller, vault, key, kind: Kind::Consents };
    Ok(Json(upload.single(line).await?.into()))
}

/// A name for a request that its caller did not name.
pub(super) fn unique() -> Result<RequestId, Problem> {
    let id = format!("gateway:{}", hex::encode(rand::random::<[u8; 16]>()));
    RequestId::new(&id).map_err(|_| Problem::new(Code::Internal, "naming the request"))
}

/// Passes on an operation that the caller sealed to the Vault itself, and gives back the Vault's answer, sealed to the
/// caller. Neither can be read here.
///
/// The bytes are those of a `VaultOperation`, whose actor is the caller, under the purpose `symphony/seal/own-operation/v1`.
#[utoipa::path(
    post, path = "/v1/vaults/{vault}/operations", operation_id = "operateSealed", tag = "vaults",
    params(("vault" = String, Path, description = "A Vault's name, or `assigned`")),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 200, description = "A `VaultAnswer`, sealed under `symphony/seal/own-answer/v1`",
        content((Vec<u8> = "application/octet-stream"))))
)]
pub(crate) async fn operate(
    State(gateway): State<Arc<Gateway>>,
    Proven(caller): Proven,
    Path(vault): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    require_media(request.headers(), OCTETS)?;
    let vault = gateway.vault(&caller, &vault).await?;
    let small = request.body().size_hint().upper().is_some_and(|most| most <= SMALL_BYTES);
    let place = if small { None } else { Some(gateway.documents.acquire().await) };
    let _place = place.transpose().map_err(|_| Problem::new(Code::Unavailable, "the gateway is closing"))?;
    let sealed = collect(request.into_body(), gateway.limits.stall, OPERATION_BYTES_MAX).await?;
    let operation = Operation::ByCaller(SealedOperation { sealed });
    let answer = gateway.operate(&caller, &vault, &unique()?, operation).await?;
    Ok(([(header::CONTENT_TYPE, OCTETS)], answer.content).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_becomes_one_line() {
        let line = object(b"{\n \"a\": \"x\\ny\"\r\n}".to_vec()).unwrap();
        assert_eq!(line, b"{  \"a\": \"x\\ny\"  }\n");
        for wrong in [&b"[]"[..], b"1", b"{", b"{}{}", b""] {
            assert_eq!(object(wrong.to_vec()).unwrap_err().code, Code::Malformed);
        }
    }
}
