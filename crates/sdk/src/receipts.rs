//! A person's receipts at its assigned Vault: uploaded, read, listed, given back, drawn, erased (R074-R080, R083, R207,
//! R209).

use std::collections::BTreeMap;

use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde::Deserialize;
use serde_json::json;
use symphony_protocol::vault::document::DocumentRecord;
use symphony_types::catalogue::{self, Code};
use symphony_types::digest::Digest;
use symphony_types::id::{RequestId, SubjectId, TaskId};
use symphony_types::limits::DOCUMENT_BYTES_MAX;
use symphony_wire::v1::vault_operation::Operation;
use symphony_wire::v1::{CorrectReceipt, Correction, DrawReceipt, EraseReceipt, ReadReceipt};

use crate::client::{
    ATTEMPTS, Client, ClientError, IDEMPOTENCY_KEY, ProblemDetails, body, parse, patiently, pause,
};
use crate::shape::{ErasureReport, ReceiptEntry, Task};

/// A receipt that a Vault took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uploaded {
    /// The receipt.
    pub receipt: ReceiptEntry,
    /// Whether another request brought the same content before.
    pub duplicate: bool,
}

/// A receipt that a Vault took, and what became of the parse that was asked for with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsing {
    /// The receipt, which is kept either way.
    pub uploaded: Uploaded,
    /// The task that reads it, or why there is none.
    pub task: Result<TaskId, ProblemDetails>,
}

/// What the gateway says of the parts of an upload.
#[derive(Deserialize)]
struct Report {
    results: Vec<Answered>,
}

#[derive(Deserialize)]
struct Answered {
    receipt: Option<ReceiptEntry>,
    duplicate: bool,
    #[serde(flatten)]
    refusal: Refusal,
    #[serde(default)]
    task_id: Option<String>,
    #[serde(default)]
    parse_refusal: Option<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    code: String,
    title: String,
    detail: String,
    retryable: bool,
}

impl From<Refusal> for ProblemDetails {
    fn from(refusal: Refusal) -> Self {
        let Refusal { code, title, detail, retryable } = refusal;
        let status = catalogue::by_str(&code).map_or(500, Code::http);
        Self { code, title, detail, status, retryable }
    }
}

impl Answered {
    fn uploaded(self) -> Result<Uploaded, ClientError> {
        match self.receipt {
            Some(receipt) => Ok(Uploaded { receipt, duplicate: self.duplicate }),
            None => Err(ClientError::Refused(self.refusal.into())),
        }
    }

    fn parsing(mut self) -> Result<Parsing, ClientError> {
        let task = match (self.task_id.take(), self.parse_refusal.take()) {
            (Some(id), _) => Ok(TaskId(Digest::from_hex(&id).ok_or_else(|| {
                ClientError::Garbled("the task of a parse is 64 hexadecimal digits".to_owned())
            })?)),
            (None, Some(refusal)) => Err(refusal.into()),
            // A receipt that was refused has no parse.
            (None, None) => {
                self.uploaded()?;
                return Err(ClientError::Garbled("neither a parse nor its refusal".to_owned()));
            }
        };
        Ok(Parsing { uploaded: self.uploaded()?, task })
    }
}

impl Client {
    /// Uploads one document, a JPEG, PNG or PDF. Again by the same name, or the same content by another, has no further
    /// effect. **Errors**: the Vault's refusal; a document that is too large is not sent.
    pub async fn upload_receipt(&self, content: &[u8], key: &RequestId) -> Result<Uploaded, ClientError> {
        if let Some(trust) = &self.trust {
            fits(content)?;
            return self.own_upload(trust, content, key).await;
        }
        patiently(async || self.put_receipt(content, key, false).await?.uploaded()).await
    }

    /// Uploads one document and has it read; again by the same name it is the same task. A parse that is refused for the
    /// moment is tried again. **Errors**: as for [`Self::upload_receipt`]; the refusal of the parse is no error, because
    /// the receipt is kept.
    pub async fn upload_and_parse_receipt(
        &self,
        content: &[u8],
        key: &RequestId,
    ) -> Result<Parsing, ClientError> {
        if self.trust.is_some() {
            return self.upload_then_parse(content, key).await;
        }
        let mut parsing = patiently(async || self.put_receipt(content, key, true).await?.parsing()).await?;
        for failures in 1..ATTEMPTS {
            if !parsing.task.as_ref().is_err_and(ProblemDetails::passing) {
                break;
            }
            tokio::time::sleep(pause(failures)).await;
            // What is known of the receipt outlives an attempt that ends otherwise.
            if let Ok(again) = self.put_receipt(content, key, true).await.and_then(Answered::parsing) {
                parsing = again;
            }
        }
        Ok(parsing)
    }

    /// The two steps one after the other, under names of their own, where the gateway sees neither.
    async fn upload_then_parse(&self, content: &[u8], key: &RequestId) -> Result<Parsing, ClientError> {
        let name = RequestId::new(&format!("{key}:read"))
            .map_err(|_| ClientError::Config("the name of an upload has at most 59 characters".to_owned()))?;
        let uploaded = self.upload_receipt(content, key).await?;
        let id = Digest::from_hex(&uploaded.receipt.receipt_id)
            .ok_or_else(|| ClientError::Garbled("a receipt id is 64 hexadecimal digits".to_owned()))?;
        let task = match self.parse_receipt(id, &name).await {
            Ok(task) => Ok(task.task_id),
            Err(ClientError::Refused(problem)) => Err(problem),
            // Whether there is a task is not known; the receipt is kept either way.
            Err(other) => Err(problem(Code::Unavailable, other.to_string())),
        };
        Ok(Parsing { uploaded, task })
    }

    async fn put_receipt(
        &self,
        content: &[u8],
        key: &RequestId,
        parsed: bool,
    ) -> Result<Answered, ClientError> {
        fits(content)?;
        let part = Part::bytes(content.to_vec()).file_name("receipt");
        let query: &[_] = if parsed { &[("parse", "true")] } else { &[] };
        let request = self.select(Method::POST, &["receipts"], query);
        let request = request.header(IDEMPOTENCY_KEY, key.as_str());
        let request = request.multipart(Form::new().part("document", part));
        let report: Report = parse(&body(self.once(request).await?).await?)?;
        match <[Answered; 1]>::try_from(report.results) {
            Ok([answered]) => Ok(answered),
            Err(_) => Err(ClientError::Garbled("not one result for one receipt".to_owned())),
        }
    }

    /// Has a kept receipt read; again by the same name it is the same task. [`Self::watch`] follows it to its end.
    /// **Errors**: the refusal of the Vault or of the masters.
    pub async fn parse_receipt(&self, id: Digest, key: &RequestId) -> Result<Task, ClientError> {
        if let Some(trust) = &self.trust {
            return self.own_parse(trust, id, key).await;
        }
        let path = ["receipts", &id.to_hex(), "parse"];
        self.repeat(|| self.request(Method::POST, &path).header(IDEMPOTENCY_KEY, key.as_str())).await
    }

    /// A page of a receipt that was read, from 0, with a box around each value: a PNG.
    pub async fn receipt_drawing(&self, id: Digest, page: u32) -> Result<Vec<u8>, ClientError> {
        if let Some(trust) = &self.trust {
            let draw = DrawReceipt { receipt_id: id.0.to_vec(), page };
            return self.own_drawing(trust, draw).await;
        }
        let (path, page) = (["receipts", &id.to_hex(), "drawing"], page.to_string());
        self.repeat_bytes(|| self.select(Method::GET, &path, &[("page", &page)])).await
    }

    /// All of the caller's receipts in the order that they came in, erased ones among them, without what was bought.
    pub async fn receipts(&self) -> Result<Vec<ReceiptEntry>, ClientError> {
        let mut receipts: Vec<ReceiptEntry> = Vec::new();
        loop {
            let (after, limit) = (receipts.last().map(|last| last.receipt_id.as_str()), PAGE.to_string());
            let query = [("limit", Some(limit.as_str())), ("after", after)];
            let query: Vec<_> = query.iter().filter_map(|(name, value)| Some((*name, (*value)?))).collect();
            let page: Vec<ReceiptEntry> = match &self.trust {
                Some(trust) => self.own_page(trust, after, PAGE).await?,
                None => self.repeat(|| self.select(Method::GET, &["receipts"], &query)).await?,
            };
            let last = page.len() < PAGE;
            receipts.extend(page);
            if last {
                return Ok(receipts);
            }
        }
    }

    /// One receipt, with all that was read of it and the salt that its commitment was made with.
    pub async fn receipt(&self, id: Digest) -> Result<ReceiptEntry, ClientError> {
        if let Some(trust) = &self.trust {
            let read = ReadReceipt { receipt_id: id.0.to_vec(), content: false };
            return Ok(self.own_receipt(trust, Operation::ReadReceipt(read)).await?.0);
        }
        self.read(&["receipts", &id.to_hex()]).await
    }

    /// The content of a receipt, as it was uploaded.
    pub async fn receipt_content(&self, id: Digest) -> Result<Vec<u8>, ClientError> {
        if let Some(trust) = &self.trust {
            return self.own_content(trust, id).await;
        }
        let path = ["receipts", &id.to_hex(), "content"];
        self.repeat_bytes(|| self.request(Method::GET, &path)).await
    }

    /// Puts the owner's word in place of what was read: fields (`merchant`, `date`, `time`, `total`, `city`) with values in the
    /// form of a reading, empty for none. Again, nothing changes. The receipt as it is then.
    pub async fn correct_receipt(
        &self,
        id: Digest,
        corrections: &BTreeMap<String, String>,
    ) -> Result<ReceiptEntry, ClientError> {
        if let Some(trust) = &self.trust {
            let said = corrections.iter().map(|(field, value)| (field.clone(), value.clone()));
            let corrections = said.map(|(field, value)| Correction { field, value }).collect();
            let correct = CorrectReceipt { receipt_id: id.0.to_vec(), corrections };
            return Ok(self.own_receipt(trust, Operation::CorrectReceipt(correct)).await?.0);
        }
        let path = ["receipts", &id.to_hex()];
        let body = json!({"corrections": corrections});
        self.repeat(|| self.request(Method::PATCH, &path).json(&body)).await
    }

    /// Erases a receipt; its commitment stays. Again, the same proof. [`crate::erasure::check`] reads it.
    pub async fn erase_receipt(&self, id: Digest) -> Result<ErasureReport, ClientError> {
        if let Some(trust) = &self.trust {
            let erase = EraseReceipt { receipt_id: id.0.to_vec() };
            let (receipt, answer) = self.own_receipt(trust, Operation::EraseReceipt(erase)).await?;
            return Ok(ErasureReport { receipt, proof: answer.proof });
        }
        let path = ["receipts", &id.to_hex()];
        self.repeat(|| self.request(Method::DELETE, &path)).await
    }
}

/// Whether a receipt's id is the commitment of this content of this person (R077).
pub fn committed(receipt: &ReceiptEntry, person: &SubjectId, content: &[u8]) -> bool {
    let Some(salt) = Digest::from_hex(&receipt.salt) else { return false };
    let record = DocumentRecord { salt: salt.0, subject: person.clone(), content: Digest::of_bytes(content) };
    record.commitment().0.to_hex() == receipt.receipt_id
}

/// Whether a document may be sent at all.
fn fits(content: &[u8]) -> Result<(), ClientError> {
    if content.len() <= DOCUMENT_BYTES_MAX {
        return Ok(());
    }
    let most = format!("a receipt has at most {DOCUMENT_BYTES_MAX} bytes");
    Err(ClientError::Refused(problem(Code::BodyTooLarge, most)))
}

fn problem(code: Code, detail: String) -> ProblemDetails {
    ProblemDetails {
        code: code.as_str().to_owned(),
        title: code.title().to_owned(),
        detail,
        status: code.http(),
        retryable: code.retry(),
    }
}

/// Receipts that are listed by one request.
const PAGE: usize = 1_000;
