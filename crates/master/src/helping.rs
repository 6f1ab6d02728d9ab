//! The second aggregator of a round on shares (R113): a master that computes on them for the one that leads the training.
//!
//! Any other master can be it; the order of the round names its enclave, so that Vaults seal to it. What goes between the
//! two enclaves is sealed from one to the other: the two masters carry it. The second believes the first nothing: it holds
//! every half against the word of its Vault, and answers one order once, so that nobody has noise drawn anew over the same
//! shares.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use symphony_protocol::artifact::training::{EndorsedRoundOrder, RoundOrder};
use symphony_protocol::artifact::{Attestation, SignedSlice};
use symphony_protocol::lifecycle::training::Position;
use symphony_protocol::machine::State;
use symphony_protocol::verification;
use symphony_tee::governed;
use symphony_tee::report::SignedBoot;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{NodeId, VaultId};
use symphony_types::key::Document as _;
use symphony_types::limits::VAULTS_PER_TASK_MAX;
use symphony_wire::documents::{decode, encode};
use symphony_wire::enclave::{Answer, Call, Gathered, Helped};
use symphony_wire::status::problem_of;
use symphony_wire::v1::{AggregatorRequest, HelpAnswer, HelpRequest, SharedPart, SliceResult};

use crate::effects::Fault;
use crate::execution::{enclave, masters, wrong_answer};
use crate::node::Node;

/// How long another master may take to show its enclave.
const BOOT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long it may take with the halves of a round.
const HELP_TIMEOUT: Duration = Duration::from_secs(60);

/// Orders of rounds that a master has answered, the latest last. Lost with the process.
#[derive(Default)]
pub(crate) struct Answered(Mutex<VecDeque<Digest>>);

impl Answered {
    /// Whether this is the first time that an order is to be answered.
    pub(crate) fn first(&self, order: Digest) -> bool {
        let mut answered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if answered.contains(&order) {
            return false;
        }
        if answered.len() >= ANSWERED_MAX {
            answered.pop_front();
        }
        answered.push_back(order);
        true
    }
}

/// Orders that are remembered.
const ANSWERED_MAX: usize = 4_096;

/// A Vault whose part cannot be used, and why.
pub(crate) type Unusable = (VaultId, Code, String);

/// The boot report of the aggregator's enclave of another master, not always of the same: `turn` says whom to ask first.
/// **Errors**: [`Fault::Again`] when none shows its own.
pub(crate) async fn second(node: &Node, turn: u32) -> Result<Vec<u8>, Fault> {
    let mut masters: Vec<&NodeId> = node.peers.masters().collect();
    let first = turn as usize % masters.len().max(1);
    masters.rotate_left(first);
    for master in masters {
        if let Some(boot) = boot_of(node, master).await {
            return Ok(boot);
        }
    }
    Err(Fault::Again("no other master computes on the second shares".to_owned()))
}

async fn boot_of(node: &Node, master: &NodeId) -> Option<Vec<u8>> {
    let mut client = node.peers.master(master)?;
    let mut request = tonic::Request::new(AggregatorRequest {});
    request.set_timeout(BOOT_TIMEOUT);
    let boot = client.get_aggregator(request).await.ok()?.into_inner().boot;
    let shown = SignedBoot::from_canonical(&boot)?;
    (shown.body.node == *master).then_some(boot)
}

/// Has both enclaves check and add up the halves of a round. What comes back is for the end of the round, and tells there if
/// the second could not use a part; the inner error names a Vault whose part the first cannot use. **Errors**: [`Fault`].
pub(crate) async fn help<'a>(
    node: &Arc<Node>,
    round: Gathered,
    parts: impl Iterator<Item = &'a SliceResult>,
) -> Result<Result<Helped, Unusable>, Fault> {
    let order = round.order.clone();
    let asked = match enclave(node, Call::Ask { round }).await? {
        Answer::Asked { message } => message,
        Answer::PartRefused { vault, code, detail } => return Ok(Err((vault, code, detail))),
        Answer::Refused { code, detail } => return Err(Fault::Refused(code, detail)),
        _ => return Err(wrong_answer()),
    };
    let boot = order.body.helper_boot.as_deref().unwrap_or_default();
    let boot = SignedBoot::from_canonical(boot);
    let boot =
        boot.ok_or_else(|| Fault::Again("the other aggregator's boot report is malformed".to_owned()))?;
    let client = node.peers.master(&boot.body.node);
    let mut client = client.ok_or_else(|| Fault::Again("the other aggregator has no address".to_owned()))?;
    let parts = order.body.vaults.iter().zip(parts).map(|(vault, part)| SharedPart {
        vault_id: vault.to_string(),
        bundle: part.bundle.clone(),
        half: part.pieces.get(1).cloned().unwrap_or_default(),
        boot: part.boot.clone(),
        header: part.header.clone(),
        report: part.report.clone(),
    });
    let request = HelpRequest { order: encode(&order), parts: parts.collect(), asked };
    let mut request = tonic::Request::new(request);
    request.set_timeout(HELP_TIMEOUT);
    let answer = client.help_round(request).await.map_err(|status| {
        let (code, detail) = problem_of(&status);
        Fault::Again(format!("{}: {code}: {detail}", boot.body.node))
    })?;
    let HelpAnswer { sealed, report } = answer.into_inner();
    Ok(Ok(Helped { sealed, report }))
}

/// The attestation of the second aggregator, where an order has one.
pub(crate) fn attestation(order: &EndorsedRoundOrder, helped: Option<Helped>) -> Option<Attestation> {
    Some(Attestation { boot: order.body.helper_boot.clone()?, report: helped?.report })
}

/// Does the second aggregator's part of a round for the master that leads it. The enclave judges the order. **Errors**: the
/// request is malformed, a half is not its Vault's, the order was answered before, or the enclave refuses.
pub(crate) async fn answer(
    node: &Arc<Node>,
    state: &State,
    request: HelpRequest,
) -> Result<HelpAnswer, (Code, String)> {
    let malformed = |detail: String| (Code::Malformed, detail);
    if request.parts.len() > VAULTS_PER_TASK_MAX {
        return Err((Code::BodyTooLarge, "too many parts".to_owned()));
    }
    let order: EndorsedRoundOrder = decode(&request.order).map_err(|error| malformed(error.to_string()))?;
    let mut round = Gathered {
        order: order.clone(),
        bundles: vec![],
        halves: vec![],
        learner: None,
        slices: vec![],
        policy: encode(&governed::policy(&node.network, &state.governance)),
        masters: masters(state),
    };
    for part in request.parts {
        let vault = VaultId::new(&part.vault_id).map_err(|error| malformed(error.to_string()))?;
        check(&node.network, state, &order.body, &vault, &part)?;
        round.bundles.push((vault.clone(), part.bundle));
        round.slices.push((vault, part.boot));
        round.halves.push(part.half);
    }
    if !state.governance.registry.endorsed(&order) || !node.answered.first(order.body.digest()) {
        return Err((Code::EnvelopeInvalid, "the order is not the masters', or it was answered".to_owned()));
    }
    let unavailable = |fault: Fault| (Code::Unavailable, fault.to_string());
    match enclave(node, Call::Help { round, asked: request.asked }).await.map_err(unavailable)? {
        Answer::Helped(Helped { sealed, report }) => Ok(HelpAnswer { sealed, report }),
        Answer::Refused { code, detail } => Err((code, detail)),
        _ => Err(unavailable(wrong_answer())),
    }
}

/// Whether a Vault itself, and its approved enclave, stand behind a bundle of a round: otherwise the first aggregator could
/// bring halves of its own.
pub(crate) fn check(
    network: &str,
    state: &State,
    order: &RoundOrder,
    vault: &VaultId,
    part: &SharedPart,
) -> Result<(), (Code, String)> {
    let slice: SignedSlice = decode(&part.header).map_err(|error| (Code::Malformed, error.to_string()))?;
    let position = Position::of(order.round, order.last, order.state);
    let attestation = Attestation { boot: part.boot.clone(), report: part.report.clone() };
    let judge =
        |attestation: &_, expected: &_| governed::judge(network, &state.governance, attestation, expected);
    let judged = (&slice, &attestation);
    verification::round_slice(&state.governance, &order.envelope, &position, judged, &judge)?;
    let body = &slice.body;
    let own = body.vault == *vault
        && body.attempt == order.attempt
        && body.bundle == Digest::of_bytes(&part.bundle);
    if own { Ok(()) } else { Err((Code::ResultRejected, "the part is not the header's".to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R113: an order is answered once, or noise could be drawn anew over the same shares.
    #[test]
    fn an_order_is_answered_once() {
        let answered = Answered::default();
        let order = |number: usize| Digest::of("test/order", &(number as u64));
        assert!((0..ANSWERED_MAX).all(|number| answered.first(order(number))));
        assert!((0..ANSWERED_MAX).all(|number| !answered.first(order(number))));
        assert!(answered.first(order(ANSWERED_MAX)) && !answered.first(order(1)));
    }
}
