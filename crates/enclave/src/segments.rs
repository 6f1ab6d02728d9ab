//! Records in segments: opened under the keys that the Vault sealed, read through its host, counted on the enclave's workers
//! (R079, R087, R092).
//!
//! The host gives sealed bytes and learns which it gave; what it gives wrongly does not open. Handles are asked for those alone
//! who are selected.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rayon::prelude::*;
use symphony_compute::material::Material;
use symphony_compute::slice::{self, Selected};
use symphony_compute::statistic::{KNOWN, Notes};
use symphony_protocol::artifact::selection::Inquiry;
use symphony_protocol::artifact::{Assignment, ResolvedOperand, ResolvedQuery};
use symphony_segments::answer::{Audience, Bounds, QueryError, audience};
use symphony_segments::composition::Composition;
use symphony_segments::error::SegmentError;
use symphony_segments::handed::{Handed, input_root};
use symphony_segments::open::{OpenSegment, Ranges};
use symphony_segments::segment::SegmentId;
use symphony_segments::statistic::{Found, statistic};
use symphony_tee::asking::Host;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::AttributeName;
use symphony_types::key::Document as _;
use symphony_types::limits::TEXT_LEN_MAX;
use symphony_types::subjects::SubjectIndex;
use symphony_types::time::RecordMillis;
use symphony_wire::documents;
use symphony_wire::enclave::{Question, purpose};
use zeroize::Zeroizing;

use crate::handler::Handler;
use crate::refusal::Refusal;
use crate::slice::unfit;
use crate::station::Station;

/// Whom the query selects by records in segments together with those beside them, whose `material` has no handles; and the root of
/// both.
pub(crate) fn select<S: Station>(
    handler: &Handler<S>,
    host: &mut dyn Host,
    order: &Assignment,
    query: &ResolvedQuery,
    (sealed, material): (&[u8], &Material),
) -> Result<(Vec<Selected>, Digest), Refusal> {
    let (people, root) = match query.who.one_record() {
        Some(operands) => {
            let beside = slice::qualifying(query, material).map_err(unfit)?;
            one_record(
                handler,
                host,
                order,
                (operands, query.who.window()),
                (sealed, material.root(), &beside),
            )?
        }
        None => {
            let mut notes = Notes::read(query.inquiry(), material).map_err(unfit)?;
            let root = note(handler, host, order, query.inquiry(), (sealed, material.root()), &mut notes)?;
            (notes.qualifying(&query.who), root)
        }
    };
    let mut selected = Vec::with_capacity(people.len());
    for people in people.chunks(HANDLES_AT_A_TIME) {
        let named: Vec<SubjectIndex> = people.iter().map(|(person, _)| SubjectIndex(*person)).collect();
        let handles = handles(handler, host, order, &named)?;
        let selection = handles.into_iter().zip(people);
        selected.extend(
            selection.map(|(handle, (_, latest))| Selected { handle, latest: RecordMillis(*latest) }),
        );
    }
    Ok((selected, root))
}

/// People by index, each with the latest time that counts.
type Dated = Zeroizing<Vec<(u32, u64)>>;

/// Who has a record in segments that satisfies all operands, together with those `qualifying` by records beside them, in ascending
/// order and with their latest time; and the root of both.
fn one_record<S: Station>(
    handler: &Handler<S>,
    host: &mut dyn Host,
    order: &Assignment,
    (operands, window): (&[ResolvedOperand], Option<&AttributeName>),
    (sealed, beside, qualifying): (&[u8], Digest, &[(u32, u64)]),
) -> Result<(Dated, Digest), Refusal> {
    let handed = open(handler, order, sealed)?;
    let files = Asked(Mutex::new(host));
    let asked = Composition::one_record(operands, window);
    let answer = handler.workers().run(|| {
        let (opened, root) = opened(order, &handed, &files, beside)?;
        let found = audience(&opened, &handed.schema, &handed.permitted, &asked, (&files, bounds()))?;
        Ok((found, root))
    });
    let (found, root): (Audience, Digest) = answer.map_err(unanswered)?;
    let latest = found.latest.iter().copied().chain(std::iter::repeat(0));
    let mut people: BTreeMap<u32, u64> = found.people.bitmap().iter().zip(latest).collect();
    for (person, latest) in qualifying {
        let known = people.entry(*person).or_default();
        *known = (*latest).max(*known);
    }
    Ok((Zeroizing::new(people.into_iter().collect()), root))
}

/// Adds to the notes what records in segments say of people; the root of them and of the records `beside`.
pub(crate) fn note<S: Station>(
    handler: &Handler<S>,
    host: &mut dyn Host,
    order: &Assignment,
    inquiry: Inquiry<'_>,
    (sealed, beside): (&[u8], Digest),
    notes: &mut Notes,
) -> Result<Digest, Refusal> {
    let handed = open(handler, order, sealed)?;
    let files = Asked(Mutex::new(host));
    let answer = handler.workers().run(|| {
        let (opened, root) = opened(order, &handed, &files, beside)?;
        let found = statistic(&opened, &handed.schema, &handed.permitted, inquiry, (&files, bounds()))?;
        Ok((found, root))
    });
    let (found, root): (Found, Digest) = answer.map_err(unanswered)?;
    for said in &found.people {
        let known = if said.known { KNOWN } else { 0 };
        notes.person(said.person, said.holding | known, said.amount);
        if said.latest > 0 {
            notes.time(said.person, said.latest);
        }
    }
    found.measured.iter().for_each(|(person, place, value)| notes.measure(*person, *place, *value));
    found.grouped.iter().for_each(|(person, group, records)| notes.group(*person, *group, *records));
    Ok(root)
}

fn unanswered(error: QueryError) -> Refusal {
    Refusal::new(error.code(), error.to_string())
}

fn open<S: Station>(handler: &Handler<S>, order: &Assignment, sealed: &[u8]) -> Result<Handed, Refusal> {
    let refuse = |detail| Refusal::new(Code::SealInvalid, detail);
    let opened = handler.sealing.open(purpose::SEGMENTS, &order.digest().0, sealed);
    let opened = Zeroizing::new(opened.map_err(|_| refuse("the segments do not open"))?);
    documents::decode(&opened).map_err(|_| refuse("the segments are malformed"))
}

/// The segments, opened, and the root of them and of the records `beside`.
fn opened(
    order: &Assignment,
    handed: &Handed,
    files: &Asked<'_>,
    beside: Digest,
) -> Result<(Vec<Arc<OpenSegment>>, Digest), QueryError> {
    let opened = handed.segments.par_iter().map(|segment| {
        let opened = segment.open(&order.vault, &handed.schema, files)?;
        let records = opened.records().ok_or(SegmentError::Schema("a segment that names no records"))?;
        Ok::<_, SegmentError>((Arc::new(opened), records))
    });
    let opened: Vec<(Arc<OpenSegment>, Digest)> = opened.collect::<Result<_, _>>()?;
    let roots: Vec<(SegmentId, Digest)> = opened.iter().map(|(open, root)| (open.id(), *root)).collect();
    let root = input_root(beside, &roots, &handed.permitted);
    Ok((opened.into_iter().map(|(open, _)| open).collect(), root))
}

fn bounds() -> Bounds {
    Bounds { memory_bytes: MEMORY_BYTES_MAX, deadline: Instant::now() + DEADLINE }
}

/// What is delivered for these people, in their order.
fn handles<S: Station>(
    handler: &Handler<S>,
    host: &mut dyn Host,
    order: &Assignment,
    people: &[SubjectIndex],
) -> Result<Vec<String>, Refusal> {
    let refuse = |detail| Refusal::new(Code::SealInvalid, detail);
    let question = documents::encode(&Question::Handles { people: people.to_vec() });
    let reply = host.ask(&question).map_err(|_| refuse("the handles were not given"))?;
    let aad = [&order.digest().0, question.as_slice()].concat();
    let opened = handler.sealing.open(purpose::HANDLES, &aad, &reply);
    let opened = Zeroizing::new(opened.map_err(|_| refuse("the handles do not open"))?);
    let handles: Vec<String> = documents::decode(&opened).map_err(|_| refuse("the handles are malformed"))?;
    if handles.len() != people.len()
        || handles.iter().any(|handle| !(1..=TEXT_LEN_MAX).contains(&handle.len()))
    {
        return Err(refuse("the handles are others"));
    }
    Ok(handles)
}

/// The host, as whoever has the files.
struct Asked<'a>(Mutex<&'a mut dyn Host>);

impl Ranges for Asked<'_> {
    fn ranges(&self, segment: &SegmentId, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, SegmentError> {
        let withheld = || SegmentError::Withheld(*segment);
        let wanted = ranges.iter().map(|range| (range.start, range.end)).collect();
        let question = documents::encode(&Question::Ranges { segment: segment.0, ranges: wanted });
        // One question stands at a time; who panicked while asking left the pipe to the host's own checks.
        let mut host = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let reply = Bytes::from(host.ask(&question).map_err(|_| withheld())?);
        drop(host);
        let mut at = 0_usize;
        let mut found = Vec::with_capacity(ranges.len());
        for range in ranges {
            let length = range.end.checked_sub(range.start).and_then(|length| usize::try_from(length).ok());
            let end = length.and_then(|length| at.checked_add(length)).filter(|end| *end <= reply.len());
            let end = end.ok_or_else(withheld)?;
            found.push(reply.slice(at..end));
            at = end;
        }
        if at == reply.len() { Ok(found) } else { Err(withheld()) }
    }
}

/// People whose handles are asked for at a time.
const HANDLES_AT_A_TIME: usize = 65_536;
/// What one answer may hold of arrays and decrypted columns. **Units**: bytes.
const MEMORY_BYTES_MAX: usize = 1 << 30;
/// How long counting may take: less than a call to an enclave may.
const DEADLINE: Duration = Duration::from_secs(60);
