//! What a slice enclave gets besides its material, and asks for while it runs: segments with their keys, their sealed bytes,
//! and the handles of those whom they select (R079, R087, R093).
//!
//! The enclave names selected people to its own Vault, which has their records and their handles anyway; nobody else learns of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use rayon::prelude::*;
use symphony_segments::catalogue::Snapshot;
use symphony_segments::handed::{Handed, input_root};
use symphony_segments::open::Ranges as _;
use symphony_segments::reader::StoredRanges;
use symphony_segments::segment::SegmentEntry;
use symphony_types::canonical;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::subjects::{SubjectIndex, SubjectSet};
use symphony_wire::documents;
use symphony_wire::enclave::{Question, purpose};
use symphony_wire::sealed;
use zeroize::Zeroizing;

use crate::analysis::unread;
use crate::enterprise::Enterprise;
use crate::problem::Problem;
use crate::serving::dealing::Portion;
use crate::store::View;

pub(crate) mod dealing;

/// The segments of one slice while its enclave runs.
pub(crate) struct Serving<'a> {
    enterprise: &'a Enterprise,
    segments: &'a [Arc<SegmentEntry>],
    people: &'a SubjectSet,
    handed: Handed,
    files: StoredRanges,
    /// Whether the place of segments did not answer.
    away: AtomicBool,
    /// The enclave's key, and the digest of the order.
    sealing: (&'a [u8; 32], &'a Digest),
}

impl<'a> Serving<'a> {
    /// Serves a snapshot for these people. Call on a thread that may block, within the runtime. **Errors**: a key is not there.
    pub(crate) fn new(
        enterprise: &'a Enterprise,
        snapshot: &'a Snapshot,
        people: &'a SubjectSet,
        sealing: (&'a [u8; 32], &'a Digest),
    ) -> Result<Self, Problem> {
        let handed = enterprise.handed(snapshot, people)?;
        let files = enterprise.analysis.segments().ranges();
        let (segments, away) = (&snapshot.segments[..], AtomicBool::new(false));
        Ok(Self { enterprise, segments, people, handed, files, away, sealing })
    }

    /// What the slice is computed on, with the root of the records `beside`.
    pub(crate) fn input_root(&self, beside: Digest) -> Digest {
        let segments: Vec<_> = self.segments.iter().map(|entry| (entry.id, entry.records)).collect();
        input_root(beside, &segments, &self.handed.permitted)
    }

    /// The segments, sealed to the enclave. **Errors**: sealing.
    pub(crate) fn sealed(&self) -> Result<Vec<u8>, Problem> {
        let plain = Zeroizing::new(canonical::to_bytes(&self.handed));
        let (key, order) = self.sealing;
        sealed::seal(key, purpose::SEGMENTS, &order.0, &plain)
            .map_err(|error| Problem::fault("segments cannot be sealed", error))
    }

    /// The reply to a question of the enclave that finishes the slice, for which these portions were read; empty when there is
    /// none, which the enclave refuses its call for.
    pub(crate) fn reply(&self, question: &[u8], portions: &[Portion]) -> Vec<u8> {
        self.said(match documents::decode(question) {
            Ok(Question::Ranges { segment, ranges }) => self.bytes(segment, &ranges),
            Ok(Question::Handles { people }) => self.handles(question, &people),
            Ok(Question::Piece { portion, piece }) => dealing::piece(portions, portion, piece),
            Ok(Question::Keep { .. }) => Err(Problem::fault("the enclave asked for what it may not", "keep")),
            Err(error) => Err(Problem::fault("the enclave's question is malformed", error)),
        })
    }

    fn said(&self, reply: Result<Vec<u8>, Problem>) -> Vec<u8> {
        reply.unwrap_or_else(|problem| {
            self.away.fetch_or(problem.code() == Code::SegmentsUnavailable, Ordering::AcqRel);
            tracing::error!(
                error = &problem as &dyn std::error::Error,
                "a question of the enclave has no reply"
            );
            Vec::new()
        })
    }

    /// Why the slice has no answer, which the enclave knows only in part. What it read may be wrong, and is read anew next time.
    pub(crate) fn failed(&self, problem: Problem) -> Problem {
        self.segments.iter().for_each(|entry| self.enterprise.analysis.forget(&entry.id));
        if self.away.load(Ordering::Acquire) { Code::SegmentsUnavailable.into() } else { problem }
    }

    fn bytes(&self, segment: [u8; 16], ranges: &[(u64, u64)]) -> Result<Vec<u8>, Problem> {
        let wrong = |what: &'static str| Problem::fault("the enclave asked for other bytes", what);
        let place = self.segments.binary_search_by(|entry| entry.id.0.cmp(&segment));
        let entry = &self.segments[place.map_err(|_| wrong("a segment that is not of its task"))?];
        let mut total = 0_u64;
        let mut wanted = Vec::with_capacity(ranges.len().min(RANGES_MAX));
        for (start, end) in ranges {
            if start > end || *end > entry.bytes || wanted.len() == RANGES_MAX {
                return Err(wrong("ranges outside of the file, or too many"));
            }
            total = total.saturating_add(end - start);
            wanted.push(*start..*end);
        }
        if total > REPLY_BYTES_MAX {
            return Err(wrong("too many bytes at a time"));
        }
        let found = self.files.ranges(&entry.id, &wanted);
        let found: Vec<Bytes> = found.map_err(unread)?;
        Ok(found.concat())
    }

    fn handles(&self, question: &[u8], people: &[SubjectIndex]) -> Result<Vec<u8>, Problem> {
        let wrong = |what: &'static str| Problem::fault("the enclave asked for other people", what);
        if people.len() > HANDLES_MAX || !people.iter().all(|subject| self.people.contains(*subject)) {
            return Err(wrong("somebody who is not of its task, or too many"));
        }
        let view = self.enterprise.store.read()?;
        let handles = self.enterprise.contacts(&view, people)?;
        let plain = Zeroizing::new(canonical::to_bytes(&*handles));
        let (key, order) = self.sealing;
        let aad = [&order.0, question].concat();
        sealed::seal(key, purpose::HANDLES, &aad, &plain)
            .map_err(|error| Problem::fault("handles cannot be sealed", error))
    }
}

impl Enterprise {
    /// What is delivered for each of these people, opened on all cores. **Errors**: storage, or a changed byte.
    pub(crate) fn contacts(
        &self,
        view: &View,
        people: &[SubjectIndex],
    ) -> Result<Zeroizing<Vec<String>>, Problem> {
        let subjects = view.subjects()?;
        let contacts = people.par_chunks(PROFILES_AT_A_TIME).map(|people| {
            let mut keys = self.keys.reader();
            let contact =
                |subject: &SubjectIndex| Ok(subjects.profile(keys.key(*subject), *subject)?.contact);
            people.iter().map(contact).collect::<Result<Vec<_>, Problem>>()
        });
        let contacts = contacts.collect::<Result<Vec<_>, Problem>>()?;
        Ok(Zeroizing::new(contacts.into_iter().flatten().collect()))
    }
}

/// Profiles that a core opens in a row.
const PROFILES_AT_A_TIME: usize = 64;
/// Ranges of one question.
const RANGES_MAX: usize = 4_096;
/// Bytes of one reply. **Units**: bytes.
const REPLY_BYTES_MAX: u64 = 32 << 20;
/// People of one question.
const HANDLES_MAX: usize = 65_536;
