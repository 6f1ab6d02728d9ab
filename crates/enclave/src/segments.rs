//! Records in segments: opened under the keys that the Vault sealed, read through its host, counted on the enclave's workers, or by
//! other enclaves of the Vault in portions (R079, R087, R092).
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
use symphony_protocol::artifact::{Assignment, Plan, ResolvedQuery};
use symphony_segments::answer::{Bounds, QueryError, audience};
use symphony_segments::composition::Composition;
use symphony_segments::error::SegmentError;
use symphony_segments::handed::{Handed, input_root};
use symphony_segments::open::{OpenSegment, Ranges};
use symphony_segments::segment::SegmentId;
use symphony_segments::statistic::{Found, statistic};
use symphony_tee::asking::Host;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::key::Document as _;
use symphony_types::limits::TEXT_LEN_MAX;
use symphony_types::subjects::SubjectIndex;
use symphony_wire::documents;
use symphony_wire::enclave::{Dealt, Question, purpose};
use zeroize::Zeroizing;

use crate::handler::Handler;
use crate::portions;
use crate::refusal::Refusal;
use crate::slice::unfit;
use crate::station::Station;

/// Segments as the host gives them: sealed to this enclave, and what other enclaves found in portions of them.
#[derive(Clone, Copy)]
pub(crate) struct Given<'a> {
    pub(crate) sealed: &'a [u8],
    pub(crate) dealt: Option<&'a Dealt>,
}

/// Segments, each with the root over its records' commitments, in ascending order.
pub(crate) type Roots = Vec<(SegmentId, Digest)>;

/// Whom the query selects by records in segments together with those beside them, whose `material` has no handles; and the root of
/// both.
pub(crate) fn select<S: Station>(
    handler: &Handler<S>,
    host: &mut dyn Host,
    order: &Assignment,
    query: &ResolvedQuery,
    (given, material): (Given<'_>, &Material),
) -> Result<(Vec<Selected>, Digest), Refusal> {
    let (people, root) = match query.who.one_record() {
        Some(_) => {
            let beside = slice::qualifying(query, material).map_err(unfit)?;
            one_record(handler, host, order, (given, material.root()), &beside)?
        }
        None => {
            let mut notes = Notes::read(query.inquiry(), material).map_err(unfit)?;
            let root = note(handler, host, order, (given, material.root()), &mut notes)?;
            (notes.qualifying(&query.who, query.ranked()), root)
        }
    };
    let mut selected = Vec::with_capacity(people.len());
    for people in people.chunks(HANDLES_AT_A_TIME) {
        let named: Vec<SubjectIndex> = people.iter().map(|(person, _)| SubjectIndex(*person)).collect();
        let handles = handles(handler, host, order, &named)?;
        let selection = handles.into_iter().zip(people);
        selected.extend(selection.map(|(handle, (_, rank))| Selected { handle, rank: *rank }));
    }
    Ok((selected, root))
}

/// People by index, each with the rank that counts.
type Ranked = Zeroizing<Vec<(u32, u64)>>;

/// Who has a record in segments that satisfies all operands, together with those `qualifying` by records beside them, in ascending
/// order and with their latest time; and the root of both.
fn one_record<S: Station>(
    handler: &Handler<S>,
    host: &mut dyn Host,
    order: &Assignment,
    given: (Given<'_>, Digest),
    qualifying: &[(u32, u64)],
) -> Result<(Ranked, Digest), Refusal> {
    let mut people: BTreeMap<u32, u64> = qualifying.iter().copied().collect();
    let root = each_found(handler, host, order, given, &mut |found| {
        for said in &found.people {
            let known = people.entry(said.person).or_default();
            *known = said.latest.max(*known);
        }
    })?;
    Ok((Zeroizing::new(people.into_iter().collect()), root))
}

/// Adds to the notes what records in segments say of people; the root of them and of the records `beside`.
pub(crate) fn note<S: Station>(
    handler: &Handler<S>,
    host: &mut dyn Host,
    order: &Assignment,
    given: (Given<'_>, Digest),
    notes: &mut Notes,
) -> Result<Digest, Refusal> {
    each_found(handler, host, order, given, &mut |found| {
        for said in &found.people {
            let known = if said.known { KNOWN } else { 0 };
            notes.person(said.person, said.holding | known, said.amount);
            if said.latest > 0 {
                notes.rank(said.person, said.latest);
            }
        }
        found.measured.iter().for_each(|(person, place, value)| notes.measure(*person, *place, *value));
        found.grouped.iter().for_each(|(person, group, records)| notes.group(*person, *group, *records));
    })
}

/// Visits what records in segments say of people, once or in parts that belong together; the root of them and of the records
/// `beside`.
fn each_found<S: Station>(
    handler: &Handler<S>,
    host: &mut dyn Host,
    order: &Assignment,
    (given, beside): (Given<'_>, Digest),
    visit: &mut dyn FnMut(Found),
) -> Result<Digest, Refusal> {
    let handed = open(handler, order, purpose::SEGMENTS, given.sealed)?;
    let roots = match given.dealt {
        Some(dealt) => portions::gather(handler, host, order, (&handed, dealt), visit)?,
        None => {
            let (found, roots) = find(handler, host, order, &handed)?;
            visit(found);
            roots
        }
    };
    Ok(input_root(beside, &roots, &handed.permitted))
}

/// What records in these segments say of people, as far as the order asks.
pub(crate) fn find<S: Station>(
    handler: &Handler<S>,
    host: &mut dyn Host,
    order: &Assignment,
    handed: &Handed,
) -> Result<(Found, Roots), Refusal> {
    let files = Asked(Mutex::new(host));
    let (schema, permitted) = (&handed.schema, &handed.permitted);
    let search = |(opened, roots): (Vec<Arc<OpenSegment>>, Roots)| {
        let found = match &order.envelope.plan {
            Plan::Audience(query) => match query.who.one_record() {
                Some(operands) => {
                    let asked = Composition::one_record(operands, query.who.window());
                    audience(&opened, schema, permitted, &asked, (&files, bounds()))?.into()
                }
                None => statistic(&opened, schema, permitted, query.inquiry(), (&files, bounds()))?,
            },
            Plan::Statistic(plan) => {
                statistic(&opened, schema, permitted, plan.inquiry(), (&files, bounds()))?
            }
            Plan::Training(_) | Plan::Compute(_) => return Ok(None),
        };
        Ok(Some((found, roots)))
    };
    let found = handler.workers().run(|| opened(order, handed, &files).and_then(search));
    let found = found.map_err(|error: QueryError| Refusal::new(error.code(), error.to_string()))?;
    found.ok_or_else(|| Refusal::new(Code::Malformed, "the task reads no segments"))
}

/// Segments that were sealed to this enclave for a purpose.
pub(crate) fn open<S: Station>(
    handler: &Handler<S>,
    order: &Assignment,
    purpose: &str,
    sealed: &[u8],
) -> Result<Handed, Refusal> {
    let refuse = |detail| Refusal::new(Code::SealInvalid, detail);
    let opened = handler.sealing.open(purpose, &order.digest().0, sealed);
    let opened = Zeroizing::new(opened.map_err(|_| refuse("the segments do not open"))?);
    documents::decode(&opened).map_err(|_| refuse("the segments are malformed"))
}

/// The segments, opened, and the roots over their records.
fn opened(
    order: &Assignment,
    handed: &Handed,
    files: &Asked<'_>,
) -> Result<(Vec<Arc<OpenSegment>>, Roots), QueryError> {
    let opened = handed.segments.par_iter().map(|segment| {
        let opened = segment.open(&order.vault, &handed.schema, files)?;
        let records = opened.records().ok_or(SegmentError::Schema("a segment that names no records"))?;
        Ok::<_, SegmentError>((Arc::new(opened), records))
    });
    let opened: Vec<(Arc<OpenSegment>, Digest)> = opened.collect::<Result<_, _>>()?;
    let roots = opened.iter().map(|(open, root)| (open.id(), *root)).collect();
    Ok((opened.into_iter().map(|(open, _)| open).collect(), roots))
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
