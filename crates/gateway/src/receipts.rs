//! Receipt documents in a multipart body: each part is one operation of its own, sealed to the caller's Vault, with an
//! answer of its own (R014, R074, R204, R209).
//!
//! One part is in memory at a time. What a part is called and what it claims to be is not read.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use futures::Stream;
use futures::stream::unfold;
use multer::{Field, Multipart};
use symphony_types::catalogue::Code;
use symphony_types::id::RequestId;
use symphony_types::limits::{DOCUMENT_BYTES_MAX, DOCUMENTS_PER_UPLOAD_MAX};
use symphony_wire::caller::Caller;
use symphony_wire::v1::vault_operation::Operation;
use symphony_wire::v1::{PutReceipt, VaultAnswer};

use crate::gateway::Gateway;
use crate::operations::SealedVault;
use crate::problem::Problem;
use crate::upload::Pieces;

/// Bytes of one request body: the largest documents, and room for what stands between them.
const BODY_BYTES_MAX: usize = DOCUMENTS_PER_UPLOAD_MAX * DOCUMENT_BYTES_MAX + HEADS_BYTES_MAX;
/// Bytes that may be read ahead without the content of a part among them: headers, or what precedes the first part.
const HEADS_BYTES_MAX: usize = 1 << 20;

/// Where the documents of one request go, in whose name, under which key.
pub(crate) struct Receipts {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) caller: Caller,
    pub(crate) vault: SealedVault,
    pub(crate) key: RequestId,
}

/// What became of one part.
pub(crate) type Answered = Result<VaultAnswer, Problem>;

impl Receipts {
    /// Sends every part, one after the other. The first part beyond the limit is refused and stands for all that follow,
    /// which are read and dropped.
    ///
    /// **Errors**: the body is no multipart body, has no part, is too large or stalls. What was sent stays done.
    pub(crate) async fn send(&self, body: Body, boundary: String) -> Result<Vec<Answered>, Problem> {
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
        let id = RequestId::new(&format!("{}:{number}", self.key))
            .map_err(|_| Problem::malformed("the idempotency key of an upload has at most 56 characters"))?;
        let operation = Operation::PutReceipt(PutReceipt { content });
        Ok(self.gateway.operate(&self.caller, &self.vault, &id, operation).await)
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
