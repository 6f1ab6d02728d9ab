//! What whoever may dispute a result is told of tasks that are not its own (R139, R208): which of them can be disputed, and the
//! evidence of a result before it is final.
//!
//! Of a task of others there are its name, its class, its state and when that state ends; of a result that awaits its end the
//! evidence that its settlement will show, without a settlement. Parses are not told of: nobody but their owner disputes one.

use symphony_protocol::evidence::{CandidateBundle, EndorsedCandidate};
use symphony_protocol::lifecycle::{Stage, Task, TaskState};
use symphony_protocol::machine::State;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{ActorId, TaskId};
use symphony_types::key::{Document as _, Endorsement, Master};
use symphony_types::time::OrderedMillis;
use symphony_wire::v1;

use crate::claim::{Claim, Subject};
use crate::effects::Fault;
use crate::endorsing::endorsements;
use crate::node::Node;
use crate::{settlement, views};

/// Tasks of a page at most.
pub(crate) const PAGE_MAX: usize = 256;
/// The states in which a result may be disputed, or is.
const OPEN: [TaskState; 3] = [TaskState::Verifying, TaskState::AwaitingSettlement, TaskState::Challenged];
/// Bytes of a place in the order of the list: when a state ends, and the task.
const PLACE_BYTES: usize = 8 + 32;

type Place = (OrderedMillis, TaskId);

/// A page of the tasks whose result may be disputed, or is, in the order in which their states end. **Errors**: `ADM-0001` for
/// another state or a place that is none; `ADM-0003` for whoever may not dispute.
pub(crate) fn list(state: &State, actor: &ActorId, asked: &v1::TasksRequest) -> Result<v1::TaskList, Code> {
    views::registered(state, actor)?;
    let wanted: Vec<_> =
        OPEN.into_iter().filter(|open| asked.state.is_empty() || asked.state == open.as_str()).collect();
    if wanted.is_empty() {
        return Err(Code::Malformed);
    }
    let after = place(&asked.after)?;
    let limit = match asked.limit as usize {
        0 => PAGE_MAX,
        limit => limit.min(PAGE_MAX),
    };
    let due = state.due.keys().skip_while(|due| after.is_some_and(|after| **due <= after));
    let open = due.filter_map(|(until, id)| {
        let task = state.tasks.get(id)?;
        wanted.contains(&task.state()).then_some(((*until, *id), task))
    });
    let page: Vec<_> = open.take(limit).collect();
    let next = page.last().filter(|_| page.len() == limit).map_or_else(Vec::new, |(place, _)| bytes(place));
    Ok(v1::TaskList { tasks: page.into_iter().map(entry).collect(), next })
}

fn entry(((until, id), task): (Place, &Task)) -> v1::TaskEntry {
    v1::TaskEntry {
        task_id: id.0.0.to_vec(),
        task_class: views::class_word(task.envelope.plan.class()).to_owned(),
        state: task.state().as_str().to_owned(),
        until_ms: until.0,
        since_ms: task.since.0,
    }
}

fn bytes((until, task): &Place) -> Vec<u8> {
    [until.0.to_be_bytes().as_slice(), &task.0.0].concat()
}

/// The place that was told; `None` before the first. **Errors**: `ADM-0001`.
fn place(bytes: &[u8]) -> Result<Option<Place>, Code> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let bytes: [u8; PLACE_BYTES] = bytes.try_into().map_err(|_| Code::Malformed)?;
    let (mut until, mut task) = ([0; 8], [0; 32]);
    until.copy_from_slice(&bytes[..8]);
    task.copy_from_slice(&bytes[8..]);
    Ok(Some((OrderedMillis(u64::from_be_bytes(until)), TaskId(Digest(task)))))
}

/// Whether an actor may have the evidence of a result before it is final, now. **Errors**: `ADM-0003` for whoever may not
/// dispute, `ADM-0004`, `EXE-0008` before there is a verdict, `SET-0009` while it is looked at again and after its end.
pub(crate) fn open(state: &State, actor: &ActorId, id: &TaskId) -> Result<(), Code> {
    views::registered(state, actor)?;
    match state.tasks.get(id).ok_or(Code::NotFound)?.stage {
        Stage::AwaitingSettlement { .. } => Ok(()),
        Stage::Accepted
        | Stage::Resolving
        | Stage::Computing
        | Stage::Training { .. }
        | Stage::Aggregating { .. }
        | Stage::Verifying { .. } => Err(Code::ResultNotReady),
        Stage::Challenged { .. }
        | Stage::Completed { .. }
        | Stage::Rejected { .. }
        | Stage::TimedOut { .. } => Err(Code::NotChallengeable),
    }
}

/// The evidence of a result that awaits its end, with the endorsements of its order; `None` before and after.
pub(crate) async fn candidate(
    node: &Node,
    id: &TaskId,
    endorsements: Vec<Endorsement<Master>>,
) -> Option<CandidateBundle> {
    let state = node.state();
    let task = state.tasks.get(id)?;
    let Stage::AwaitingSettlement { slices, aggregate, verdict, final_at } = &task.stage else { return None };
    Some(CandidateBundle {
        final_at: *final_at,
        network: node.network.clone(),
        governance: node.founded.clone(),
        changes: state.proposals.log.until(task.envelope.versions.governance),
        evidence: settlement::evidence(node, task, slices, aggregate, endorsements).await,
        verdict: verdict.clone(),
    })
}

/// The same with the endorsements of a majority. **Errors**: [`Fault`]; `SET-0009` when its time ended meanwhile.
pub(crate) async fn endorsed(node: &Node, id: &TaskId) -> Result<EndorsedCandidate, Fault> {
    let over = || Fault::Refused(Code::NotChallengeable, Code::NotChallengeable.title().to_owned());
    let mut body = candidate(node, id, vec![]).await.ok_or_else(over)?;
    let claims = vec![
        Claim { subject: Subject::Envelope(*id), document: body.evidence.envelope.body.digest() },
        Claim { subject: Subject::Candidate(*id), document: body.digest() },
    ];
    let mut endorsements = endorsements(node, claims).await?.into_iter();
    body.evidence.envelope.endorsements = endorsements.next().unwrap_or_default();
    Ok(EndorsedCandidate { body, endorsements: endorsements.next().unwrap_or_default() })
}
