//! Bulk uploads: a stream of lines becomes sealed operations of bounded size, whose answers are summed (R014).
//!
//! Chunks end at line ends and depend on the content alone, so that the same upload under the same key makes
//! the same operations and has one effect (R209).

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::{Body, BodyDataStream};
use futures::StreamExt;
use symphony_types::catalogue::Code;
use symphony_types::id::RequestId;
use symphony_types::limits::{CHUNK_BYTES_MAX, UPLOAD_BYTES_MAX, UPLOAD_LINE_BYTES_MAX};
use symphony_wire::caller::Caller;
use symphony_wire::v1::vault_operation::Operation;
use symphony_wire::v1::{LineRefusal, PutConsents, PutRecords, PutSubjects, UploadFormat, VaultAnswer};
use tokio::task::JoinSet;

use crate::gateway::Gateway;
use crate::operations::SealedVault;
use crate::problem::Problem;

/// Bytes of lines in one operation: half of what a chunk may have sealed.
const CHUNK_BYTES: usize = CHUNK_BYTES_MAX / 2;
/// Operations of one upload under way at once; the body is not read further before one is answered.
const IN_FLIGHT_MAX: usize = 4;
/// Refused lines that an answer lists.
const REFUSALS_MAX: usize = 100;
/// Bytes of one columnar upload.
pub(crate) const COLUMNAR_BYTES_MAX: usize = 48 << 20;

/// What is uploaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Subjects,
    Consents,
    Records,
}

impl Kind {
    fn operation(self, format: UploadFormat, content: Vec<u8>) -> Operation {
        let format = format.into();
        match self {
            Self::Subjects => Operation::PutSubjects(PutSubjects { format, content }),
            Self::Consents => Operation::PutConsents(PutConsents { format, content }),
            Self::Records => Operation::PutRecords(PutRecords { format, content }),
        }
    }
}

/// Where an upload goes, in whose name, under which key.
#[derive(Clone)]
pub(crate) struct Upload {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) caller: Caller,
    pub(crate) vault: SealedVault,
    pub(crate) key: RequestId,
    pub(crate) kind: Kind,
}

/// The sum of the answers to one upload.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) accepted: u64,
    pub(crate) duplicates: u64,
    pub(crate) refused_total: u64,
    pub(crate) refused: Vec<LineRefusal>,
    pub(crate) commitments: Vec<Vec<u8>>,
    pub(crate) local: BTreeSet<String>,
}

impl Upload {
    /// Streams lines. **Errors**: the first refusal of an operation; what earlier operations did stays done.
    pub(crate) async fn lines(&self, body: Body) -> Result<Tally, Problem> {
        let mut body = Pieces::new(body, self.gateway.limits.stall, UPLOAD_BYTES_MAX);
        let mut splitter = Splitter::default();
        let mut under_way = JoinSet::new();
        let mut tally = Tally::default();
        let mut sent = 0;
        loop {
            let piece = body.next().await?;
            let last = piece.is_none();
            let chunks = match piece {
                Some(piece) => splitter.push(&piece),
                None => splitter.finish(),
            };
            for chunk in chunks {
                if under_way.len() >= IN_FLIGHT_MAX
                    && let Some(answer) = under_way.join_next().await
                {
                    tally.add(joined(answer)?);
                }
                let (upload, number) = (self.clone(), sent);
                under_way.spawn(async move { upload.chunk(number, chunk).await });
                sent += 1;
            }
            if last {
                break;
            }
        }
        while let Some(answer) = under_way.join_next().await {
            tally.add(joined(answer)?);
        }
        tally.oversized(&splitter.oversized);
        Ok(tally.finish())
    }

    /// Sends one columnar file whole.
    pub(crate) async fn columnar(&self, format: UploadFormat, body: Body) -> Result<Tally, Problem> {
        let content = collect(body, self.gateway.limits.stall, COLUMNAR_BYTES_MAX).await?;
        let mut tally = Tally::default();
        tally.add(self.send(0, format, content).await?);
        Ok(tally.finish())
    }

    /// Sends one object as an upload of one line. **Errors**: also the refusal of that line.
    pub(crate) async fn single(&self, line: Vec<u8>) -> Result<Tally, Problem> {
        let mut tally = Tally::default();
        tally.add(self.send(0, UploadFormat::JsonLines, line).await?);
        match tally.refused.first() {
            None => Ok(tally),
            Some(refusal) => Err(Problem::told(&refusal.code, &refusal.detail)),
        }
    }

    async fn chunk(&self, number: u64, chunk: Chunk) -> Result<VaultAnswer, Problem> {
        let mut answer = self.send(number, UploadFormat::JsonLines, chunk.content).await?;
        for refusal in &mut answer.refused {
            let at = usize::try_from(refusal.line.saturating_sub(1)).unwrap_or(usize::MAX);
            refusal.line = chunk.numbers.get(at).map_or(refusal.line, |line| u64::from(*line));
        }
        Ok(answer)
    }

    async fn send(
        &self,
        number: u64,
        format: UploadFormat,
        content: Vec<u8>,
    ) -> Result<VaultAnswer, Problem> {
        let id = RequestId::new(&format!("{}:{number}", self.key))
            .map_err(|_| Problem::malformed("the idempotency key of an upload has at most 56 characters"))?;
        self.gateway.operate(&self.caller, &self.vault, &id, self.kind.operation(format, content)).await
    }
}

impl Tally {
    fn add(&mut self, answer: VaultAnswer) {
        self.accepted += answer.accepted;
        self.duplicates += answer.duplicates;
        self.refused_total += answer.refused_total;
        self.refused.extend(answer.refused);
        self.commitments.extend(answer.commitments);
        self.local.extend(answer.local);
    }

    fn oversized(&mut self, lines: &[u32]) {
        self.refused_total += lines.len() as u64;
        self.refused.extend(lines.iter().take(REFUSALS_MAX).map(|line| LineRefusal {
            line: u64::from(*line),
            code: Code::BodyTooLarge.as_str().to_owned(),
            detail: format!("a line has at most {UPLOAD_LINE_BYTES_MAX} bytes"),
        }));
    }

    fn finish(mut self) -> Self {
        self.refused.sort_by_key(|refusal| refusal.line);
        self.refused.truncate(REFUSALS_MAX);
        self
    }
}

fn joined(
    answer: Result<Result<VaultAnswer, Problem>, tokio::task::JoinError>,
) -> Result<VaultAnswer, Problem> {
    answer.map_err(|_| Problem::new(Code::Internal, "sending a chunk of the upload"))?
}

/// Reads a whole body of bounded size. **Errors**: `ADM-0017`, `GOV-0003` when it stalls.
pub(crate) async fn collect(body: Body, stall: std::time::Duration, most: usize) -> Result<Vec<u8>, Problem> {
    let mut pieces = Pieces::new(body, stall, most);
    let mut content = Vec::new();
    while let Some(piece) = pieces.next().await? {
        content.extend_from_slice(&piece);
    }
    Ok(content)
}

/// A body piece by piece, bounded in size and in the time between two pieces.
pub(crate) struct Pieces {
    stream: BodyDataStream,
    stall: std::time::Duration,
    left: usize,
    most: usize,
}

impl Pieces {
    pub(crate) fn new(body: Body, stall: std::time::Duration, most: usize) -> Self {
        Self { stream: body.into_data_stream(), stall, left: most, most }
    }

    pub(crate) async fn next(&mut self) -> Result<Option<axum::body::Bytes>, Problem> {
        let piece = tokio::time::timeout(self.stall, self.stream.next())
            .await
            .map_err(|_| Problem::new(Code::Unavailable, "the request body stalled"))?;
        let Some(piece) = piece else { return Ok(None) };
        let piece = piece.map_err(|_| Problem::malformed("the request body broke off"))?;
        let too_large =
            || Problem::new(Code::BodyTooLarge, format!("this body has at most {} bytes", self.most));
        self.left = self.left.checked_sub(piece.len()).ok_or_else(too_large)?;
        Ok(Some(piece))
    }
}

/// Lines of one operation.
#[derive(Debug, Default, PartialEq, Eq)]
struct Chunk {
    content: Vec<u8>,
    /// The number in the upload, from 1, of each line of the content.
    numbers: Vec<u32>,
}

/// Cuts a stream at line ends. Blank lines are left out but counted; too long ones are left out and named.
#[derive(Debug, Default)]
struct Splitter {
    chunk: Chunk,
    partial: Vec<u8>,
    /// The line under way is too long; its bytes are dropped.
    dropping: bool,
    line: u32,
    oversized: Vec<u32>,
}

impl Splitter {
    fn push(&mut self, bytes: &[u8]) -> Vec<Chunk> {
        let mut full = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            self.dropping |= self.partial.len() + text.len() > UPLOAD_LINE_BYTES_MAX;
            if self.dropping {
                self.partial.clear();
            } else {
                self.partial.extend_from_slice(text);
            }
            if ends {
                full.extend(self.end_line());
            }
        }
        full
    }

    fn finish(&mut self) -> Vec<Chunk> {
        let mut rest = Vec::new();
        if self.dropping || !self.partial.is_empty() {
            rest.extend(self.end_line());
        }
        if !self.chunk.numbers.is_empty() {
            rest.push(std::mem::take(&mut self.chunk));
        }
        rest
    }

    /// Ends the line under way; gives the chunk that it no longer fits into.
    fn end_line(&mut self) -> Option<Chunk> {
        self.line += 1;
        let line = std::mem::take(&mut self.partial);
        if std::mem::take(&mut self.dropping) {
            self.oversized.push(self.line);
            return None;
        }
        if line.trim_ascii().is_empty() {
            return None;
        }
        let overflows = self.chunk.content.len() + line.len() + 1 > CHUNK_BYTES;
        let full = overflows.then(|| std::mem::take(&mut self.chunk));
        self.chunk.content.extend_from_slice(&line);
        self.chunk.content.push(b'\n');
        self.chunk.numbers.push(self.line);
        full
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(content: &[u8], step: usize) -> (Vec<Chunk>, Vec<u32>) {
        let mut splitter = Splitter::default();
        let mut chunks = Vec::new();
        for piece in content.chunks(step) {
            chunks.extend(splitter.push(piece));
        }
        chunks.extend(splitter.finish());
        (chunks, splitter.oversized)
    }

    fn sample() -> Vec<u8> {
        let mut content = Vec::new();
        for line in 1..=40_000_u32 {
            match line % 1000 {
                7 => content.extend_from_slice(b" \r"),
                9 => content.resize(content.len() + UPLOAD_LINE_BYTES_MAX + 1, b'x'),
                _ => content.extend_from_slice(
                    format!("{{\"line\":{line},\"filling\":\"{}\"}}", "y".repeat(40)).as_bytes(),
                ),
            }
            content.push(b'\n');
        }
        content.pop();
        content
    }

    /// R209
    #[test]
    fn chunks_depend_on_the_content_alone() {
        let content = sample();
        assert_eq!(split(&content, 1 << 16), split(&content, 1 << 20));
        assert_eq!(split(&content, 1 << 16), split(&content, 4097));
    }

    /// R014
    #[test]
    fn every_line_is_in_one_chunk_or_named() {
        let (chunks, oversized) = split(&sample(), 1 << 16);
        assert!(chunks.len() > 2);
        assert_eq!(oversized.len(), 40);
        assert_eq!(oversized[0], 9);
        let mut lines = 0;
        for chunk in &chunks {
            assert!(chunk.content.len() <= CHUNK_BYTES);
            let texts: Vec<&[u8]> =
                chunk.content.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
            assert_eq!(texts.len(), chunk.numbers.len());
            for (text, number) in texts.iter().zip(&chunk.numbers) {
                assert!(text.starts_with(format!("{{\"line\":{number},").as_bytes()));
            }
            lines += texts.len();
        }
        assert_eq!(lines, 40_000 - 80);
    }

    #[test]
    fn nothing_makes_no_chunk() {
        assert_eq!(split(b"\n \n\r\n", 1), (Vec::new(), Vec::new()));
    }
}
