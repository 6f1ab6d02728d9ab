//! Deals the segments of a slice out to the Vault's executors, and keeps what they find, sealed, for the one that finishes the slice
//! (R079, R087, R110, R121).
//!
//! ```text
//! dealt by rows ──► read, each by one executor ──► pieces kept here, sealed ──► given to the enclave that finishes
//!                     └─ lost ──► read by the next one, three times at most
//! ```
//!
//! Nothing is durable here: a slice that is asked for again is dealt out anew.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use symphony_protocol::artifact::{EndorsedAssignment, TaskEnvelope};
use symphony_segments::handed::Handed;
use symphony_segments::segment::SegmentEntry;
use symphony_tee::appraise::AppraisalPolicy;
use symphony_tee::governed::Admitted;
use symphony_types::canonical;
use symphony_types::digest::Digest;
use symphony_wire::documents;
use symphony_wire::enclave::{Answer, Call, Dealt, Findings, PIECES_MAX, Question, purpose};
use symphony_wire::sealed;
use zeroize::Zeroizing;

use crate::agent::Agent;
use crate::enterprise::Enterprise;
use crate::problem::Problem;
use crate::runtime::judged;
use crate::serving::Serving;

/// What an executor found in its portion.
pub(crate) struct Portion {
    /// Its boot report, canonical bytes.
    boot: Vec<u8>,
    findings: Findings,
    /// The pieces that the findings name, sealed to the enclave that finishes the slice.
    pieces: Vec<Vec<u8>>,
}

/// One slice that is dealt out.
struct Dealing<'a> {
    serving: &'a Serving<'a>,
    agent: &'a Agent,
    assignment: &'a EndorsedAssignment,
    /// What the executors are judged by, and judge the enclave that finishes by.
    policy: AppraisalPolicy,
    /// Boot report of that enclave.
    finisher: Vec<u8>,
    room: Room,
}

/// Room for the pieces of one slice. **Units**: bytes.
struct Room(AtomicUsize);

impl Room {
    /// Takes so many; whether there were as many.
    fn take(&self, bytes: usize) -> bool {
        let left = |left: usize| left.checked_sub(bytes);
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, left).is_ok()
    }

    fn give_back(&self, pieces: &[Vec<u8>]) {
        self.0.fetch_add(pieces.iter().map(Vec::len).sum(), Ordering::AcqRel);
    }
}

impl Serving<'_> {
    /// Has the executors of an agent read the segments of a slice, each a portion; nothing is read where there is one executor or one
    /// segment. Blocks.
    ///
    /// **Errors**: the refusal of an executor; a portion was lost with every executor that read it.
    pub(crate) fn deal(
        &self,
        agent: &Agent,
        assignment: &EndorsedAssignment,
    ) -> Result<Vec<Portion>, Problem> {
        let dealt = dealt_out(self.segments, agent.executors().len());
        if dealt.len() < 2 {
            return Ok(vec![]);
        }
        tracing::info!(portions = dealt.len(), segments = self.segments.len(), "vault.deal");
        let policy = self.enterprise.own_policy(Admitted::of(&assignment.body.envelope));
        let (finisher, room) = (agent.boot(), Room(AtomicUsize::new(KEPT_BYTES_MAX)));
        Dealing { serving: self, agent, assignment, policy, finisher, room }.read(&dealt)
    }
}

impl Enterprise {
    /// What the enclave that finishes a slice is told of its portions; nothing where none was dealt out.
    pub(crate) fn dealt(&self, envelope: &TaskEnvelope, portions: &[Portion]) -> Option<Dealt> {
        if portions.is_empty() {
            return None;
        }
        let policy = documents::encode(&self.own_policy(Admitted::of(envelope)));
        let portions = portions.iter().map(|one| (one.boot.clone(), one.findings.clone())).collect();
        Some(Dealt { policy, portions })
    }
}

/// A piece that was kept. **Errors**: there is none.
pub(crate) fn piece(portions: &[Portion], portion: u32, piece: u32) -> Result<Vec<u8>, Problem> {
    let portion = portions.get(portion as usize);
    let piece = portion.and_then(|portion| portion.pieces.get(piece as usize)).cloned();
    piece.ok_or_else(|| Problem::fault("the enclave asked for other bytes", "a piece that is not kept"))
}

impl Dealing<'_> {
    /// Reads all portions side by side; one that is lost again with the next executor.
    fn read(&self, dealt: &[BTreeSet<usize>]) -> Result<Vec<Portion>, Problem> {
        let executors = self.agent.executors();
        let mut read: Vec<Option<Portion>> = dealt.iter().map(|_| None).collect();
        let mut lost = None;
        for attempt in 0..ATTEMPTS {
            let missing = read.iter_mut().zip(dealt).enumerate().filter(|(_, (found, _))| found.is_none());
            let results: Vec<Result<(), Problem>> = thread::scope(|scope| {
                let begun = missing.map(|(number, (found, portion))| {
                    let executor = executors[(number + attempt) % executors.len()];
                    scope.spawn(move || {
                        *found = Some(self.portion(executor, portion)?);
                        Ok(())
                    })
                });
                let begun: Vec<_> = begun.collect();
                let ended = begun.into_iter().map(|thread| thread.join());
                ended.map(|result| result.unwrap_or_else(|_| Err(panicked()))).collect()
            });
            for result in results {
                match result {
                    Ok(()) => {}
                    Err(problem @ Problem::Refused { .. }) => return Err(problem),
                    Err(problem @ Problem::Fault(..)) => lost = Some(problem),
                }
            }
            if read.iter().all(Option::is_some) {
                return Ok(read.into_iter().flatten().collect());
            }
        }
        Err(lost.unwrap_or_else(panicked))
    }

    /// Has one executor read a portion. **Errors**: a refusal is its own; a fault is its loss.
    fn portion(&self, executor: &Agent, portion: &BTreeSet<usize>) -> Result<Portion, Problem> {
        // One that was lost may have other keys now.
        let boot = executor.boot();
        let key = judged(&boot, &self.policy)?.hpke_key;
        let Handed { schema, permitted, segments } = &self.serving.handed;
        let segments = portion.iter().filter_map(|place| segments.get(*place).cloned()).collect();
        let handed = Handed { schema: schema.clone(), permitted: permitted.clone(), segments };
        let plain = Zeroizing::new(canonical::to_bytes(&handed));
        let (_, order) = self.serving.sealing;
        let portion = sealed::seal(&key, purpose::PORTION, &order.0, &plain)
            .map_err(|error| Problem::fault("a portion cannot be sealed", error))?;
        let call = Call::Scan {
            assignment: self.assignment.clone(),
            portion,
            finisher: self.finisher.clone(),
            policy: documents::encode(&self.policy),
            masters: self.serving.enterprise.governance.registry.masters.values().copied().collect(),
        };
        let mut pieces = Vec::new();
        let answer = executor.try_serving(&call, &mut |question: &[u8]| {
            self.agent.asked(executor);
            self.reply(question, &handed, &mut pieces)
        });
        let digests = || pieces.iter().map(|piece| Digest::of_bytes(piece)).collect::<Vec<_>>();
        match answer {
            Ok(Answer::Scanned(findings)) if findings.pieces == digests() => {
                Ok(Portion { boot, findings, pieces })
            }
            other => {
                self.room.give_back(&pieces);
                let wrong = || Problem::fault("an executor is lost", "its answer is not what was asked for");
                Err(other.err().unwrap_or_else(wrong))
            }
        }
    }

    /// The reply to a question of an executor: bytes of its own segments, and what it has kept.
    fn reply(&self, question: &[u8], handed: &Handed, pieces: &mut Vec<Vec<u8>>) -> Vec<u8> {
        let wrong = |what: &'static str| Err(Problem::fault("an executor asked for what it may not", what));
        self.serving.said(match documents::decode(question) {
            Ok(Question::Ranges { segment, ranges })
                if handed.segments.iter().any(|handed| handed.id.0 == segment) =>
            {
                self.serving.bytes(segment, &ranges)
            }
            Ok(Question::Keep { piece }) if pieces.len() < PIECES_MAX => self.keep(piece, pieces),
            Ok(Question::Keep { .. }) => wrong("too many pieces"),
            Ok(Question::Ranges { .. }) => wrong("a segment that is not of its portion"),
            Ok(Question::Handles { .. } | Question::Piece { .. }) => wrong("what finishes a slice"),
            Err(error) => Err(Problem::fault("an executor's question is malformed", error)),
        })
    }

    fn keep(&self, piece: Vec<u8>, pieces: &mut Vec<Vec<u8>>) -> Result<Vec<u8>, Problem> {
        if !self.room.take(piece.len()) {
            return Err(Problem::fault("what executors find is not kept", "too many bytes"));
        }
        let digest = Digest::of_bytes(&piece);
        pieces.push(piece);
        Ok(digest.0.to_vec())
    }
}

/// The places of segments in portions with about as many rows each; no portion is empty.
fn dealt_out(segments: &[Arc<SegmentEntry>], executors: usize) -> Vec<BTreeSet<usize>> {
    let mut portions = vec![(0_u64, BTreeSet::new()); executors.min(segments.len())];
    let mut order: Vec<usize> = (0..segments.len()).collect();
    order.sort_by_key(|place| std::cmp::Reverse(segments[*place].rows));
    for place in order {
        if let Some((rows, portion)) = portions.iter_mut().min_by_key(|(rows, _)| *rows) {
            // One more, so that segments without rows are dealt out too.
            *rows += segments[place].rows + 1;
            portion.insert(place);
        }
    }
    portions.into_iter().map(|(_, portion)| portion).collect()
}

fn panicked() -> Problem {
    Problem::fault("an executor is lost", "its host stumbled")
}

/// Executors that a portion is given to, one after the other.
const ATTEMPTS: usize = 3;
/// Pieces of one slice that are kept in memory. **Units**: bytes.
const KEPT_BYTES_MAX: usize = 1 << 30;

#[cfg(test)]
mod tests {
    use symphony_segments::people::People;
    use symphony_segments::segment::SegmentId;

    use super::*;

    fn segments(rows: &[u64]) -> Vec<Arc<SegmentEntry>> {
        let entry = |rows: &u64| SegmentEntry {
            id: SegmentId::random(),
            schema_version: 1,
            rows: *rows,
            times: None,
            people: People::new(),
            bytes: 0,
            frame_at: 0,
            digest: Digest::ZERO,
            records: Digest::ZERO,
            columns: vec![],
        };
        rows.iter().map(|rows| Arc::new(entry(rows))).collect()
    }

    /// R087: every segment is in one portion, no portion is empty, and none has much more rows than another one.
    #[test]
    fn segments_are_dealt_out_by_rows() {
        for (rows, executors, portions) in [
            (&[][..], 3, 0),
            (&[5], 3, 1),
            (&[0, 0, 0], 2, 2),
            (&[4, 4, 4, 4], 2, 2),
            (&[9, 1, 1, 1, 1, 1, 1, 1, 1, 1], 2, 2),
            (&[7, 3, 8, 1, 2, 6], 3, 3),
        ] {
            let dealt = dealt_out(&segments(rows), executors);
            assert_eq!(dealt.len(), portions, "{rows:?}");
            assert!(dealt.iter().all(|portion| !portion.is_empty()), "{rows:?}");
            let mut places: Vec<usize> = dealt.iter().flatten().copied().collect();
            places.sort_unstable();
            assert_eq!(places, (0..rows.len()).collect::<Vec<_>>());
            let sums = dealt.iter().map(|portion| portion.iter().map(|place| rows[*place]).sum::<u64>());
            let sums: Vec<u64> = sums.collect();
            let most = rows.iter().max().copied().unwrap_or(0);
            assert!(sums.iter().all(|sum| sum + most >= sums.iter().max().copied().unwrap_or(0)), "{sums:?}");
        }
    }

    /// R080: no more bytes are kept than there is room, whoever finds them; what a lost executor found makes room again.
    #[test]
    fn pieces_are_kept_as_long_as_there_is_room() {
        let room = Room(AtomicUsize::new(10));
        assert!(room.take(6) && !room.take(5) && room.take(4) && !room.take(1));
        room.give_back(&[vec![0; 2], vec![0; 3]]);
        assert!(!room.take(6) && room.take(5));
    }
}
