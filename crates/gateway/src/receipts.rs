//! Receipt documents in a multipart body: each part is one operation of its own, sealed to the caller's Vault, with an
//! answer of its own (R014, R074, R204, R209). A parse is a step of its own afterwards: the Vault gives a ticket, and the
//! masters admit it (R083, R234); whatever becomes of it, the receipt is kept.
//!
//! One part is in memory at a time. What a part is called and what it claims to be is not read.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use futures::stream::unfold;
use futures::{Stream, StreamExt};
use multer::{Field, Multipart};
use symphony_types::catalogue::Code;
use symphony_types::id::RequestId;
use symphony_types::limits::{DOCUMENT_BYTES_MAX, DOCUMENTS_PER_UPLOAD_MAX};
use symphony_wire::caller::Caller;
use symphony_wire::v1::vault_operation::Operation;
use symphony_wire::v1::{ParseReceipt, PutReceipt, SubmitParseRequest, Task, VaultAnswer};

use crate::gateway::Gateway;
use crate::operations::SealedVault;
use crate::problem::Problem;
use crate::upload::Pieces;

/// Bytes of one request body: the largest documents, and room for what stands between them.
const BODY_BYTES_MAX: usize = DOCUMENTS_PER_UPLOAD_MAX * DOCUMENT_BYTES_MAX + HEADS_BYTES_MAX;
/// Bytes that may be read ahead without the content of a part among them: headers, or what precedes the first part.
const HEADS_BYTES_MAX: usize = 1 << 20;
/// Parses of one request that are admitted at once.
const PARSES_AT_ONCE: usize = 4;
/// What the names of parses add to those of the parts. The longest name has room for a key of 56 characters.
const PARSE: &str = ":read";

/// Where the documents of one request go, in whose name, under which key.
pub(crate) struct Receipts {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) caller: Caller,
    pub(crate) vault: SealedVault,
    pub(crate) key: RequestId,
}

/// What became of one part.
pub(crate) type Answered = Result<VaultAnswer, Problem>;
/// What became of the parse of one part: a task of the masters, or the refusal of Vault or masters.
pub(crate) type Admitted = Result<Task, Problem>;

impl Receipts {
    /// Sends every part, one after the other. The first part beyond the limit is refused and stands for all that follow,
    /// which are read and dropped.
    ///
    /// **Errors**: the key is too long for names of parts; the body is no multipart body, has no part, is too large or
    /// stalls. What was sent stays done.
    pub(crate) async fn send(&self, body: Body, boundary: String) -> Result<Vec<Answered>, Problem> {
        self.name(DOCUMENTS_PER_UPLOAD_MAX, PARSE)?;
        let ahead = Arc::new(AtomicUsize::new(0));
        let pieces = Pieces::new(body, self.gateway.limits.stall, BODY_BYTES_MAX);
        let mut parts =
            Parts { multipart: Multipart::new(stream(pieces, Arc::clone(&ahead)), boundary), ahead };
        let mut answers = Vec::new();
        while let Some(part) = parts.next().await? {
            let answer = match answers.len() {
                sent if sent < DOCUMENTS_PER_UPLOAD_MAX => self.part(sent + 1, part, &parts.ahead).await?,
                sent => {
                    drain(part, &parts.ahead).await?;
                    if sent > DOCUMENTS_PER_UPLOAD_MAX {
                        continue;
                    }
                    let most = format!("one request has at most {DOCUMENTS_PER_UPLOAD_MAX} documents");
                    Err(Problem::new(Code::TooManyDocuments, most))
                }
            };
            answers.push(answer);
        }
        if answers.is_empty() {
            return Err(Problem::malformed("the body has no part"));
        }
        Ok(answers)
    }

    /// Reads and sends one part. **Errors**: those of the body; the part's own refusal is its answer.
    async fn part(&self, number: usize, part: Field<'_>, ahead: &AtomicUsize) -> Result<Answered, Problem> {
        let place = self.gateway.documents.acquire().await;
        let _place = place.map_err(|_| Problem::new(Code::Unavailable, "the gateway is closing"))?;
        let content = match content(part, ahead).await? {
            Some(content) => content,
            None => {
                let most = format!("a document has at most {DOCUMENT_BYTES_MAX} bytes");
                return Ok(Err(Problem::new(Code::BodyTooLarge, most)));
            }
        };
        let id = self.name(number, "")?;
        let operation = Operation::PutReceipt(PutReceipt { content });
        Ok(self.gateway.operate(&self.caller, &self.vault, &id, operation).await)
    }

    /// Has every part that was kept parsed, under names of their own; in the order of the answers, none for a part
    /// that was refused.
    pub(crate) async fn parse(&self, answers: &[Answered]) -> Vec<Option<Admitted>> {
        let kept =
            answers.iter().map(|answer| Some(answer.as_ref().ok()?.receipts.first()?.receipt_id.clone()));
        let kept: Vec<_> = (1..).zip(kept).collect();
        let parses = kept.into_iter().map(|(number, receipt)| async move {
            let receipt = receipt?;
            Some(match self.name(number, PARSE) {
                Ok(id) => self.gateway.parse(&self.caller, &self.vault, &id, receipt).await,
                Err(problem) => Err(problem),
            })
        });
        futures::stream::iter(parses).buffered(PARSES_AT_ONCE).collect().await
    }

    /// The name of one step of one part: the same for the same upload.
    fn name(&self, part: usize, step: &str) -> Result<RequestId, Problem> {
        RequestId::new(&format!("{}:{part}{step}", self.key))
            .map_err(|_| Problem::malformed("the idempotency key of an upload has at most 56 characters"))
    }
}

impl Gateway {
    /// Has a kept receipt parsed: the Vault's ticket, then the masters' task. The same name has one effect. **Errors**:
    /// the refusal of the Vault or of the masters.
    pub(crate) async fn parse(
        self: &Arc<Self>,
        caller: &Caller,
        vault: &SealedVault,
        id: &RequestId,
        receipt_id: Vec<u8>,
    ) -> Admitted {
        let asked = Operation::ParseReceipt(ParseReceipt { receipt_id });
        let ticket = self.operate(caller, vault, id, asked).await?.ticket;
        if ticket.is_empty() {
            return Err(Problem::new(Code::Internal, "the vault gave no ticket"));
        }
        self.submit_parse(caller, SubmitParseRequest { ticket }).await
    }
}

/// The parts of a body.
struct Parts {
    multipart: Multipart<'static>,
    /// Bytes that were read since the last byte of a content.
    ahead: Arc<AtomicUsize>,
}

impl Parts {
    async fn next(&mut self) -> Result<Option<Field<'static>>, Problem> {
        let next = self.multipart.next_field().await.map_err(broken)?;
        self.ahead.store(0, Ordering::Relaxed);
        Ok(next)
    }
}

/// The content of a part; none when it is too large, and then its rest is dropped.
async fn content(mut part: Field<'_>, ahead: &AtomicUsize) -> Result<Option<Vec<u8>>, Problem> {
    let mut content = Vec::new();
    while let Some(piece) = part.chunk().await.map_err(broken)? {
        ahead.store(0, Ordering::Relaxed);
        if content.len() + piece.len() > DOCUMENT_BYTES_MAX {
            drain(part, ahead).await?;
            return Ok(None);
        }
        content.extend_from_slice(&piece);
    }
    Ok(Some(content))
}

async fn drain(mut part: Field<'_>, ahead: &AtomicUsize) -> Result<(), Problem> {
    while part.chunk().await.map_err(broken)?.is_some() {
        ahead.store(0, Ordering::Relaxed);
    }
    Ok(())
}

/// A refusal on its way through the multipart reader.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.detail)]
struct Stopped(Problem);

fn broken(error: multer::Error) -> Problem {
    match error {
        multer::Error::StreamReadFailed(cause) => match cause.downcast::<Stopped>() {
            Ok(stopped) => stopped.0,
            Err(_) => Problem::malformed("the request body broke off"),
        },
        other => Problem::malformed(format!("reading the parts: {other}")),
    }
}

fn stream(
    pieces: Pieces,
    ahead: Arc<AtomicUsize>,
) -> impl Stream<Item = Result<Bytes, Stopped>> + Send + 'static {
    let pieces = unfold((pieces, ahead), |(mut pieces, ahead)| async move {
        let piece = pieces.next().await.map_err(Stopped).transpose()?;
        let piece = piece.and_then(|piece| {
            let before = ahead.fetch_add(piece.len(), Ordering::Relaxed);
            let fits = before + piece.len() <= HEADS_BYTES_MAX;
            if fits { Ok(piece) } else { Err(Stopped(Problem::malformed("the head of a part is too long"))) }
        });
        Some((piece, (pieces, ahead)))
    });
    OneByOne { inner: Box::pin(pieces), paused: false }
}

/// Gives one item a poll: the multipart reader takes all that it is offered before it looks at any of it.
struct OneByOne<S> {
    inner: Pin<Box<S>>,
    paused: bool,
}

impl<S: Stream> Stream for OneByOne<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<S::Item>> {
        if std::mem::take(&mut self.paused) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let polled = self.inner.as_mut().poll_next(context);
        self.paused = matches!(polled, Poll::Ready(Some(_)));
        polled
    }
}
