//! A person's receipts at its assigned Vault: uploaded, listed, given back, erased (R074-R080, R207, R209).

use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde::Deserialize;
use symphony_protocol::vault::document::DocumentRecord;
use symphony_types::catalogue::{self, Code};
use symphony_types::digest::Digest;
use symphony_types::id::{RequestId, SubjectId};
use symphony_types::limits::DOCUMENT_BYTES_MAX;

use crate::client::{Client, ClientError, IDEMPOTENCY_KEY, ProblemDetails, body, parse, patiently};
use crate::shape::{ErasureReport, ReceiptEntry};

/// A receipt that a Vault took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uploaded {
    /// The receipt.
    pub receipt: ReceiptEntry,
    /// Whether another request brought the same content before.
    pub duplicate: bool,
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
    code: String,
    title: String,
    detail: String,
    retryable: bool,
}

impl Answered {
    fn into_uploaded(self) -> Result<Uploaded, ClientError> {
        if let Some(receipt) = self.receipt {
            return Ok(Uploaded { receipt, duplicate: self.duplicate });
        }
        let status = catalogue::by_str(&self.code).map_or(500, Code::http);
        let Self { code, title, detail, retryable, .. } = self;
        Err(ClientError::Refused(ProblemDetails { code, title, detail, status, retryable }))
    }
}

impl Client {
    /// Uploads one document, a JPEG, PNG or PDF. Again by the same name, or the same content by another, has no further
    /// effect. **Errors**: the Vault's refusal; a document that is too large is not sent.
    pub async fn upload_receipt(&self, content: &[u8], key: &RequestId) -> Result<Uploaded, ClientError> {
        if content.len() > DOCUMENT_BYTES_MAX {
            return Err(ClientError::Refused(too_large()));
        }
        patiently(async || {
            let part = Part::bytes(content.to_vec()).file_name("receipt");
            let request = self.request(Method::POST, &["receipts"]);
            let request = request.header(IDEMPOTENCY_KEY, key.as_str());
            let request = request.multipart(Form::new().part("document", part));
            let report: Report = parse(&body(self.once(request).await?).await?)?;
            match <[Answered; 1]>::try_from(report.results) {
                Ok([answered]) => answered.into_uploaded(),
                Err(_) => Err(ClientError::Garbled("not one result for one receipt".to_owned())),
            }
        })
        .await
    }

    /// All of the caller's receipts in the order that they came in, erased ones among them.
    pub async fn receipts(&self) -> Result<Vec<ReceiptEntry>, ClientError> {
        let mut receipts: Vec<ReceiptEntry> = Vec::new();
        loop {
            let (after, limit) = (receipts.last().map(|last| last.receipt_id.as_str()), PAGE.to_string());
            let query = [("limit", Some(limit.as_str())), ("after", after)];
            let query: Vec<_> = query.iter().filter_map(|(name, value)| Some((*name, (*value)?))).collect();
            let page: Vec<ReceiptEntry> = self.repeat(|| self.select(&["receipts"], &query)).await?;
            let last = page.len() < PAGE;
            receipts.extend(page);
            if last {
                return Ok(receipts);
            }
        }
    }

    /// One receipt, with the salt that its commitment was made with.
    pub async fn receipt(&self, id: Digest) -> Result<ReceiptEntry, ClientError> {
        self.read(&["receipts", &id.to_hex()]).await
    }

    /// The content of a receipt, as it was uploaded.
    pub async fn receipt_content(&self, id: Digest) -> Result<Vec<u8>, ClientError> {
        let path = ["receipts", &id.to_hex(), "content"];
        self.repeat_bytes(|| self.request(Method::GET, &path)).await
    }

    /// Erases a receipt; its commitment stays. Again, the same proof. [`crate::erasure::check`] reads it.
    pub async fn erase_receipt(&self, id: Digest) -> Result<ErasureReport, ClientError> {
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

fn too_large() -> ProblemDetails {
    let code = Code::BodyTooLarge;
    ProblemDetails {
        code: code.as_str().to_owned(),
        title: code.title().to_owned(),
        detail: format!("a receipt has at most {DOCUMENT_BYTES_MAX} bytes"),
        status: code.http(),
        retryable: code.retry(),
    }
}

/// Receipts that are listed by one request.
const PAGE: usize = 1_000;
