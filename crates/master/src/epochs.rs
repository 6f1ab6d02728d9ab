//! What a closed epoch paid, for whoever computes it again (R168, R173, R208): a record that a majority of the masters endorses, and what
//! was settled in pages, which the anchors in the record bind.
//!
//! Of a settlement there are no person, no submitter and no record: of contributors it has one sum a Vault (R162).

use symphony_protocol::reconcile::chain;
use symphony_protocol::settlement::epoch::EndorsedEpoch;
use symphony_types::catalogue::Code;
use symphony_types::id::{ActorId, EpochId};
use symphony_types::key::{Document as _, Endorsed};
use symphony_wire::documents::encode;
use symphony_wire::v1;

use crate::claim::{Claim, Subject};
use crate::effects::Fault;
use crate::endorsing::endorsements;
use crate::node::Node;
use crate::views;

/// Settlements of a page at most.
const PAGE_MAX: usize = 256;
/// How often a record is made until a majority makes the same one: the chain's confirmation comes to one master after the other.
const ATTEMPTS: u32 = 3;

/// The record with the endorsements of a majority. **Errors**: those of [`symphony_protocol::machine::State::epoch_record`]; [`Fault::Again`].
async fn endorsed(node: &Node, epoch: EpochId) -> Result<EndorsedEpoch, Fault> {
    let refused = |code: Code| Fault::Refused(code, code.title().to_owned());
    let mut attempt = 1;
    loop {
        let body = node.state().epoch_record(epoch).map_err(refused)?;
        let claims = vec![Claim { subject: Subject::Epoch(epoch), document: body.digest() }];
        match endorsements(node, claims).await {
            Ok(mut all) => return Ok(Endorsed { body, endorsements: all.pop().unwrap_or_default() }),
            Err(_) if attempt < ATTEMPTS => attempt += 1,
            Err(fault) => return Err(fault),
        }
    }
}

/// The record of an epoch, with the first page, or another page of what was settled in it. **Errors**: those of [`endorsed`]; `ADM-0003` for
/// whoever is no registered actor.
pub(crate) async fn view(
    node: &Node,
    actor: &ActorId,
    asked: &v1::EpochRequest,
) -> Result<v1::EpochPage, Fault> {
    let refused = |code: Code| Fault::Refused(code, code.title().to_owned());
    views::registered(&node.state(), actor).map_err(refused)?;
    let epoch = EpochId(asked.epoch);
    let (record, digest) = match asked.from {
        0 => {
            let record = endorsed(node, epoch).await?;
            (encode(&record), record.body.digest().0.to_vec())
        }
        _ => (Vec::new(), Vec::new()),
    };
    let state = node.state();
    let Some((instructions, _)) = chain::issued(&state, epoch) else { return Err(refused(Code::EpochOpen)) };
    let anchors = instructions.anchors.iter().skip(usize::try_from(asked.from).unwrap_or(usize::MAX));
    let page = anchors.take(PAGE_MAX).map(|(task, _)| state.settlement(task).map(|settled| encode(&settled)));
    let settlements: Option<Vec<_>> = page.collect();
    Ok(v1::EpochPage {
        record,
        digest,
        settlements: settlements.ok_or_else(|| refused(Code::Internal))?,
        total: instructions.anchors.len() as u64,
    })
}
