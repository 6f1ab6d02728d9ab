//! Receipts: the caller's own documents at its assigned Vault (R074-R080, R207), and the parses that read them there
//! (R083, R234). Nobody else has access to them.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, Request, State};
use axum::response::{IntoResponse, Response};
use http::header;
use serde::{Deserialize, Serialize};
use symphony_types::catalogue::Code;
use symphony_wire::caller::Caller;
use symphony_wire::v1::vault_operation::Operation;
use symphony_wire::v1::{
    CorrectReceipt, Correction, DrawReceipt, EraseReceipt, ListReceipts, ReadReceipt, SubmitParseRequest,
    VaultAnswer,
};
use utoipa::ToSchema;

use super::request::{JsonBody, RequestKey, hex32};
use super::shape::{ReceiptEntry, Task};
use super::tasks::accepted;
use super::vaults::unique;
use crate::gateway::{Gateway, Proven};
use crate::operations::ASSIGNED;
use crate::problem::Problem;
use crate::receipts::{Admitted, Answered, Receipts};

/// Receipts that one answer lists, unless it is asked for fewer.
const LISTED: u32 = 1_000;
/// How a PNG begins.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

/// The parts of an upload.
#[derive(ToSchema)]
#[schema(as = ReceiptDocuments)]
#[allow(dead_code, reason = "only its description is used")]
struct Documents {
    /// JPEG, PNG or PDF, by its first bytes; at most 32 parts of at most 16 MiB. Names and declared types are not read.
    #[schema(value_type = Vec<String>, format = Binary)]
    document: Vec<Vec<u8>>,
}

/// What became of the parts of an upload, in their order.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReceiptReport {
    results: Vec<ReceiptResult>,
}

/// What became of one part: a receipt, or a refusal.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct ReceiptResult {
    /// From 1. The first part beyond the limit stands for all that follow.
    part: usize,
    receipt: Option<ReceiptEntry>,
    /// Whether another request brought the same content before.
    duplicate: bool,
    /// Catalogue code of the refusal, else empty.
    code: String,
    title: String,
    detail: String,
    /// Whether the same part may be taken later.
    retryable: bool,
    /// The task that reads the receipt, where a parse was asked for and admitted.
    task_id: Option<String>,
    /// Why there is none though it was asked for. The receipt is kept all the same.
    parse_refusal: Option<Refusal>,
}

/// Why a receipt is not kept, or not read.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReceiptRefusal)]
pub(crate) struct Refusal {
    /// Catalogue code.
    code: String,
    title: String,
    detail: String,
    /// Whether the same may succeed later.
    retryable: bool,
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        let Problem { code, detail } = problem;
        let (title, retryable) = (code.title().to_owned(), code.retry());
        Self { code: code.as_str().to_owned(), title, detail, retryable }
    }
}

impl ReceiptResult {
    fn new(part: usize, answered: Answered, parse: Option<Admitted>) -> Self {
        match answered.and_then(|answer| Ok((answer.duplicates > 0, one(answer)?))) {
            Err(problem) => {
                let Refusal { code, title, detail, retryable } = problem.into();
                Self { part, code, title, detail, retryable, ..Self::default() }
            }
            Ok((duplicate, receipt)) => {
                let (task_id, parse_refusal) = match parse {
                    None => (None, None),
                    Some(Ok(task)) => (Some(hex::encode(task.task_id)), None),
                    Some(Err(problem)) => (None, Some(problem.into())),
                };
                let receipt = Some(receipt);
                Self { part, receipt, duplicate, task_id, parse_refusal, ..Self::default() }
            }
        }
    }
}

/// What is done with the receipts of an upload.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wish {
    #[serde(default)]
    parse: bool,
}

/// Uploads receipts: each part of the body is one document, and is answered on its own.
///
/// Keeping a receipt is between the caller and its Vault: it is no task and earns nothing. The same content is the same
/// receipt. The same idempotency key with the same parts has one effect.
///
/// With `parse=true` each receipt that was kept is then read, in a task of its own that costs the caller nothing. A
/// receipt whose parse is refused is kept, and may be parsed later.
#[utoipa::path(
    post, path = "/v1/receipts", operation_id = "uploadReceipts", tag = "receipts",
    params(
        ("idempotency-key" = String, Header, description = "The caller's name for the upload, at most 56 characters"),
        ("parse" = Option<bool>, Query, description = "Whether the receipts are read as well; not when absent")
    ),
    request_body(content = Documents, content_type = "multipart/form-data"),
    responses((status = 200, description = "What became of each part", body = ReceiptReport))
)]
pub(crate) async fn upload(
    State(gateway): State<Arc<Gateway>>,
    Proven(caller): Proven,
    key: RequestKey,
    wish: Result<Query<Wish>, QueryRejection>,
    request: Request,
) -> Result<Json<ReceiptReport>, Problem> {
    let Query(wish) = wish.map_err(|fault| Problem::malformed(fault.body_text()))?;
    let key = key.required()?;
    let media = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let boundary = multer::parse_boundary(media.unwrap_or_default())
        .map_err(|_| Problem::new(Code::UnsupportedMedia, "the body must be multipart/form-data"))?;
    let vault = gateway.vault(&caller, ASSIGNED).await?;
    let receipts = Receipts { gateway, caller, vault, key };
    let answers = receipts.send(request.into_body(), boundary).await?;
    let parses =
        if wish.parse { receipts.parse(&answers).await } else { answers.iter().map(|_| None).collect() };
    let results = (1..).zip(answers).zip(parses);
    let results =
        results.map(|((part, answered), parse)| ReceiptResult::new(part, answered, parse)).collect();
    Ok(Json(ReceiptReport { results }))
}

/// Has one of the caller's receipts read, in a task that costs the caller nothing. The same idempotency key has one
/// effect.
#[utoipa::path(
    post, path = "/v1/receipts/{id}/parse", operation_id = "parseReceipt", tag = "receipts",
    params(
        ("id" = String, Path, description = "Receipt id, 64 hexadecimal digits"),
        ("idempotency-key" = String, Header, description = "The caller's name for the request")
    ),
    responses((status = 202, description = "The task is taken up", body = Task,
        headers(("location" = String, description = "Where the task is"))))
)]
pub(crate) async fn parse(
    State(gateway): State<Arc<Gateway>>,
    Proven(caller): Proven,
    Path(id): Path<String>,
    key: RequestKey,
) -> Result<Response, Problem> {
    let (key, receipt) = (key.required()?, hex32("a receipt id", &id)?);
    let vault = gateway.vault(&caller, ASSIGNED).await?;
    Ok(accepted(gateway.parse(&caller, &vault, &key, receipt).await?))
}

/// A Vault's ticket for the parse of one receipt.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ParseTicket {
    /// The bytes that the Vault gave, as hexadecimal digits.
    ticket: String,
}

/// Has a receipt read for which the caller got its Vault's ticket itself, by a sealed operation. The same ticket has one
/// effect.
#[utoipa::path(
    post, path = "/v1/parses", operation_id = "submitParse", tag = "receipts",
    request_body = ParseTicket,
    responses((status = 202, description = "The task is taken up", body = Task,
        headers(("location" = String, description = "Where the task is"))))
)]
pub(crate) async fn submit(
    State(gateway): State<Arc<Gateway>>,
    Proven(caller): Proven,
    JsonBody(body): JsonBody<ParseTicket>,
) -> Result<Response, Problem> {
    let ticket =
        hex::decode(&body.ticket).map_err(|_| Problem::malformed("a ticket is hexadecimal digits"))?;
    Ok(accepted(gateway.submit_parse(&caller, SubmitParseRequest { ticket }).await?))
}

/// Which receipts are listed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Page {
    #[serde(default)]
    after: Option<String>,
    #[serde(default)]
    limit: Option<u32>,
}

/// The caller's receipts in the order that they came in, erased ones among them. What was read of them is here without
/// its items.
#[utoipa::path(
    get, path = "/v1/receipts", operation_id = "listReceipts", tag = "receipts",
    params(
        ("after" = Option<String>, Query, description = "Only receipts that came in after this one"),
        ("limit" = Option<u32>, Query, description = "At most so many, and at most 1000")
    ),
    responses((status = 200, description = "The receipts", body = Vec<ReceiptEntry>))
)]
pub(crate) async fn list(
    State(gateway): State<Arc<Gateway>>,
    Proven(caller): Proven,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Json<Vec<ReceiptEntry>>, Problem> {
    let Query(page) = page.map_err(|fault| Problem::malformed(fault.body_text()))?;
    let after = page.after.as_deref().map(|after| hex32("after", after)).transpose()?.unwrap_or_default();
    let list = ListReceipts { after, limit: page.limit.unwrap_or(LISTED).clamp(1, LISTED) };
    let answer = ask(&gateway, &caller, Operation::ListReceipts(list)).await?;
    Ok(Json(answer.receipts.into_iter().map(ReceiptEntry::from).collect()))
}

/// One of the caller's receipts, with what was read of it and the salt that its commitment was made with.
#[utoipa::path(
    get, path = "/v1/receipts/{id}", operation_id = "getReceipt", tag = "receipts",
    params(("id" = String, Path, description = "Receipt id, 64 hexadecimal digits")),
    responses((status = 200, description = "The receipt", body = ReceiptEntry))
)]
pub(crate) async fn receipt(
    State(gateway): State<Arc<Gateway>>,
    Proven(caller): Proven,
    Path(id): Path<String>,
) -> Result<Json<ReceiptEntry>, Problem> {
    let read = ReadReceipt { receipt_id: hex32("a receipt id", &id)?, content: false };
    Ok(Json(one(ask(&gateway, &caller, Operation::ReadReceipt(read)).await?)?))
}

/// The content of one of the caller's receipts, as it was uploaded.
#[utoipa::path(
    get, path = "/v1/receipts/{id}/content", operation_id = "getReceiptContent", tag = "receipts",
    params(("id" = String, Path, description = "Receipt id, 64 hexadecimal digits")),
    responses((status = 200, description = "The content", content(
        (Vec<u8> = "image/jpeg"), (Vec<u8> = "image/png"), (Vec<u8> = "application/pdf")
    )))
)]
pub(crate) async fn content(
    State(gateway): State<Arc<Gateway>>,
    Proven(caller): Proven,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let read = ReadReceipt { receipt_id: hex32("a receipt id", &id)?, content: true };
    let place = gateway.documents.acquire().await;
    let _place = place.map_err(|_| Problem::new(Code::Unavailable, "the gateway is closing"))?;
    let answer = ask(&gateway, &caller, Operation::ReadReceipt(read)).await?;
    let media = match answer.receipts.first().map(|receipt| receipt.media_type.as_str()) {
        Some("image/jpeg") => "image/jpeg",
        Some("image/png") => "image/png",
        Some("application/pdf") => "application/pdf",
        _ => return Err(Problem::new(Code::Internal, "the vault named no known media type")),
    };
    Ok(file(media, answer.content))
}

/// Bytes to keep: a browser must not show what somebody uploaded as a part of this site.
fn file(media: &'static str, content: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, media), (header::CONTENT_DISPOSITION, "attachment")], content).into_response()
}

/// Which page is drawn.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sheet {
    #[serde(default)]
    page: u32,
}

/// A page of a receipt that was read, with a box around each value.
#[utoipa::path(
    get, path = "/v1/receipts/{id}/drawing", operation_id = "drawReceipt", tag = "receipts",
    params(
        ("id" = String, Path, description = "Receipt id, 64 hexadecimal digits"),
        ("page" = Option<u32>, Query, description = "From 0; the first when absent")
    ),
    responses((status = 200, description = "The picture", content((Vec<u8> = "image/png"))))
)]
pub(crate) async fn drawing(
    State(gateway): State<Arc<Gateway>>,
    Proven(caller): Proven,
    Path(id): Path<String>,
    sheet: Result<Query<Sheet>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(Sheet { page }) = sheet.map_err(|fault| Problem::malformed(fault.body_text()))?;
    let draw = DrawReceipt { receipt_id: hex32("a receipt id", &id)?, page };
    let place = gateway.documents.acquire().await;
    let _place = place.map_err(|_| Problem::new(Code::Unavailable, "the gateway is closing"))?;
    let picture = ask(&gateway, &caller, Operation::DrawReceipt(draw)).await?.content;
    if !picture.starts_with(PNG) {
        return Err(Problem::new(Code::Internal, "the vault drew no picture"));
    }
    Ok(file("image/png", picture))
}

/// Fields and what they say instead: `merchant`, `date` as 2018-03-25, `time` as 19:04:00, `total` as 12.30, `city`. An empty
/// value takes a field away.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Corrections {
    corrections: BTreeMap<String, String>,
}

/// Puts the caller's word in place of what was read of one of its receipts. The record that campaigns see is superseded by
/// another; the same again changes nothing.
#[utoipa::path(
    patch, path = "/v1/receipts/{id}", operation_id = "correctReceipt", tag = "receipts",
    params(("id" = String, Path, description = "Receipt id, 64 hexadecimal digits")),
    request_body = Corrections,
    responses((status = 200, description = "The receipt as it is now", body = ReceiptEntry))
)]
pub(crate) async fn correct(
    State(gateway): State<Arc<Gateway>>,
    Proven(caller): Proven,
    Path(id): Path<String>,
    JsonBody(body): JsonBody<Corrections>,
) -> Result<Json<ReceiptEntry>, Problem> {
    let corrections = body.corrections.into_iter().map(|(field, value)| Correction { field, value });
    let correct =
        CorrectReceipt { receipt_id: hex32("a receipt id", &id)?, corrections: corrections.collect() };
    Ok(Json(one(ask(&gateway, &caller, Operation::CorrectReceipt(correct)).await?)?))
}

/// An erased receipt and the Vault's proof.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErasureReport {
    receipt: ReceiptEntry,
    /// Canonical bytes of the erasure, signed by the Vault: `symphony receipt check-erasure` reads them.
    proof: String,
}

/// Erases one of the caller's receipts: its key, its salt and its content. The commitment stays. Again, the same proof.
#[utoipa::path(
    delete, path = "/v1/receipts/{id}", operation_id = "eraseReceipt", tag = "receipts",
    params(("id" = String, Path, description = "Receipt id, 64 hexadecimal digits")),
    responses((status = 200, description = "The proof", body = ErasureReport))
)]
pub(crate) async fn erase(
    State(gateway): State<Arc<Gateway>>,
    Proven(caller): Proven,
    Path(id): Path<String>,
) -> Result<Json<ErasureReport>, Problem> {
    let erase = EraseReceipt { receipt_id: hex32("a receipt id", &id)? };
    let answer = ask(&gateway, &caller, Operation::EraseReceipt(erase)).await?;
    let proof = hex::encode(&answer.proof);
    Ok(Json(ErasureReport { receipt: one(answer)?, proof }))
}

async fn ask(gateway: &Arc<Gateway>, caller: &Caller, operation: Operation) -> Result<VaultAnswer, Problem> {
    let vault = gateway.vault(caller, ASSIGNED).await?;
    gateway.operate(caller, &vault, &unique()?, operation).await
}

/// The one receipt that an answer must have.
fn one(answer: VaultAnswer) -> Result<ReceiptEntry, Problem> {
    let receipt = answer.receipts.into_iter().next();
    receipt.map(ReceiptEntry::from).ok_or_else(|| Problem::new(Code::Internal, "the vault named no receipt"))
}
