//! Proofs of the ordered journal (R031, R134, R191, R192): that an entry is in it, and that it goes on from an earlier head, each under
//! heads that a majority of the masters endorses out of its own journals.
//!
//! Anybody registered may have the digest of any entry, which says nothing by itself. An entry's bytes have what somebody asked,
//! so they are told of the caller's own tasks alone. A master whose journal was joined proves nothing, and endorses no head.

use symphony_consensus::journal::JournalError;
use symphony_consensus::tree::View;
use symphony_protocol::journal::{Earlier, EndorsedJournal, Included, JournalHead, JournalProof};
use symphony_protocol::machine::{Answer, Event, State};
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{ActorId, EpochId, TaskId};
use symphony_types::key::{Document as _, Endorsed};
use symphony_types::time::OrderedMillis;
use symphony_wire::documents::{decode, encode};
use symphony_wire::v1;

use crate::claim::{Claim, JournalPlace, Subject};
use crate::effects::Fault;
use crate::endorsing::endorsements;
use crate::node::Node;
use crate::views;

/// Entries of one moment among which that of a task is looked for.
const MOMENT_ENTRIES_MAX: u64 = 8_192;

/// The head at a place, by this master's own journal. **Errors**: `ADM-0004` beyond its end, `GOV-0002` of an epoch that is not over.
pub(crate) fn head(node: &Node, place: JournalPlace) -> Result<JournalHead, Code> {
    let (end, governance) = (node.orderer.head(), &node.state().governance);
    let view = View::of(&node.orderer.database()).map_err(unproven)?;
    let (height, epoch) = match place {
        JournalPlace::Height(height) if height <= end.height => (height, None),
        JournalPlace::Height(_) => return Err(Code::NotFound),
        JournalPlace::End(epoch) => {
            let over = governance.end_of(epoch);
            if end.at < over {
                return Err(Code::EpochOpen);
            }
            (view.before(over, end.height).map_err(unproven)?, Some(epoch))
        }
    };
    let at = match view.entry(height).map_err(unproven)? {
        Some((entry, _, _)) => entry.at,
        None => OrderedMillis(0),
    };
    let root = view.root(height).map_err(unproven)?;
    Ok(JournalHead { foundation: node.state().proposals.log.foundation(), epoch, height, at, root })
}

/// The same with the endorsements of a majority. **Errors**: those of [`head`]; [`Fault::Again`].
async fn endorsed(node: &Node, place: JournalPlace) -> Result<EndorsedJournal, Fault> {
    let body = head(node, place).map_err(refused)?;
    let claims = vec![Claim { subject: Subject::Journal(place), document: body.digest() }];
    let endorsements = endorsements(node, claims).await?.pop().unwrap_or_default();
    Ok(Endorsed { body, endorsements })
}

/// What a registered actor wants proven. **Errors**: `ADM-0001` for both a task and a height, `ADM-0003`, `ADM-0004` for what is not in
/// the journal up to the head, or is another's task; `GOV-0002`; [`Fault::Again`].
pub(crate) async fn view(
    node: &Node,
    actor: &ActorId,
    asked: &v1::JournalRequest,
) -> Result<v1::JournalProof, Fault> {
    views::registered(&node.state(), actor).map_err(refused)?;
    let task = match asked.task_id.as_slice() {
        [] => None,
        bytes => Some(TaskId(Digest(bytes.try_into().map_err(|_| refused(Code::Malformed))?))),
    };
    if task.is_some() && asked.height > 0 {
        return Err(refused(Code::Malformed));
    }
    let place = match asked.epoch {
        Some(epoch) => JournalPlace::End(EpochId(epoch)),
        None => JournalPlace::Height(node.orderer.head().height),
    };
    let head = endorsed(node, place).await?;
    let earlier = match asked.since {
        Some(epoch) => Some(endorsed(node, JournalPlace::End(EpochId(epoch))).await?),
        None => None,
    };
    let journal = View::of(&node.orderer.database()).map_err(unproven).map_err(refused)?;
    let included = match task {
        Some(task) => Some(of_task(&journal, &node.state(), actor, (&task, head.body.height))),
        None if asked.height > 0 => Some(included(&journal, asked.height, head.body.height, false)),
        None => None,
    };
    let proof = JournalProof {
        entry: included.transpose().map_err(refused)?,
        earlier: earlier.map(|earlier| goes_on(&journal, earlier, &head)).transpose().map_err(refused)?,
        head,
    };
    Ok(v1::JournalProof { proof: encode(&proof) })
}

fn included(journal: &View, height: u64, count: u64, whole: bool) -> Result<Included, Code> {
    let (_, digest, bytes) = journal.entry(height).map_err(unproven)?.ok_or(Code::NotFound)?;
    let path = journal.inclusion(count, height).map_err(unproven)?;
    Ok(Included { height, digest, bytes: whole.then_some(bytes), path })
}

/// The entry by which a task of the actor's own came to its state.
fn of_task(
    journal: &View,
    state: &State,
    actor: &ActorId,
    (task, count): (&TaskId, u64),
) -> Result<Included, Code> {
    let at = since(state, actor, task)?;
    let first = journal.before(at, count).map_err(unproven)? + 1;
    let mut last = None;
    for height in first..first.saturating_add(MOMENT_ENTRIES_MAX).min(count + 1) {
        let Some((entry, _, _)) =
            journal.entry(height).map_err(unproven)?.filter(|(entry, _, _)| entry.at == at)
        else {
            break;
        };
        let events: Vec<Event> = decode(&entry.events).map_err(|_| Code::Internal)?;
        let moves = |event: &Event| {
            event.task().as_ref() == Some(task)
                && !matches!(event, Event::EffectLeased { .. } | Event::LeaseDropped { .. })
        };
        if events.iter().any(moves) {
            last = Some(height);
        }
    }
    included(journal, last.ok_or(Code::NotFound)?, count, true)
}

/// When a task of the actor's own came to its state. **Errors**: `ADM-0004`.
fn since(state: &State, actor: &ActorId, task: &TaskId) -> Result<OrderedMillis, Code> {
    if let Some(known) = state.tasks.get(task).filter(|known| known.envelope.submitter == *actor) {
        return Ok(known.since);
    }
    if let Some(known) = state.parses.get(task).filter(|known| known.order.ticket.owner == *actor) {
        return Ok(known.since);
    }
    match state.requests.get(task).map(|known| &known.answer) {
        Some(Answer::Refused { submitter, at, .. }) if submitter == actor => Ok(*at),
        Some(Answer::Refused { .. } | Answer::Preparing(_) | Answer::Admitted) | None => Err(Code::NotFound),
    }
}

fn goes_on(journal: &View, earlier: EndorsedJournal, head: &EndorsedJournal) -> Result<Earlier, Code> {
    let path = journal.consistency(head.body.height, earlier.body.height).map_err(unproven)?;
    Ok(Earlier { head: earlier, path })
}

fn refused(code: Code) -> Fault {
    Fault::Refused(code, code.title().to_owned())
}

fn unproven(error: JournalError) -> Code {
    match error {
        JournalError::Unproven(_) => Code::NotFound,
        other => {
            tracing::error!(error = &other as &dyn std::error::Error, "the journal cannot be read");
            Code::Internal
        }
    }
}
