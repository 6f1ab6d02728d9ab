//! The second aggregator of a round on shares (R113): a master that computes on them for the one that leads the training.
//!
//! Any other master can be it; the order of the round names its enclave, so that Vaults seal to it. What goes between the
//! two enclaves is sealed from one to the other: the two masters carry it.

use std::sync::Arc;

use futures::stream::{FuturesUnordered, StreamExt as _};
use symphony_protocol::artifact::Attestation;
use symphony_protocol::artifact::training::EndorsedRoundOrder;
use symphony_protocol::machine::State;
use symphony_tee::governed;
use symphony_tee::report::SignedBoot;
use symphony_types::catalogue::Code;
use symphony_types::id::{NodeId, VaultId};
use symphony_types::limits::VAULTS_PER_TASK_MAX;
use symphony_wire::documents::{decode, encode};
use symphony_wire::enclave::{Answer, Call, Gathered, Helped};
use symphony_wire::status::problem_of;
use symphony_wire::v1::help_answer::Answer as Said;
use symphony_wire::v1::{AggregatorRequest, HelpAnswer, HelpRequest, HelpedRound, RefusedPart, SharedPart};

use crate::effects::Fault;
use crate::execution::{enclave, masters, wrong_answer};
use crate::node::Node;
use crate::peers::{BULK_TIMEOUT, MASTER_TIMEOUT};

/// A Vault whose part cannot be used, and why.
pub(crate) type Unusable = (VaultId, Code, String);

/// The boot report of the aggregator's enclave of another master: the first that answers. **Errors**: [`Fault::Again`]
/// when none does.
pub(crate) async fn second(node: &Node) -> Result<Vec<u8>, Fault> {
    let mut asked: FuturesUnordered<_> = node.peers.masters().map(|master| boot_of(node, master)).collect();
    while let Some(boot) = asked.next().await {
        if let Some(boot) = boot {
            return Ok(boot);
        }
    }
    Err(Fault::Again("no other master computes on the second shares".to_owned()))
}

async fn boot_of(node: &Node, master: &NodeId) -> Option<Vec<u8>> {
    let mut client = node.peers.master(master)?;
    let mut request = tonic::Request::new(AggregatorRequest {});
    request.set_timeout(MASTER_TIMEOUT);
    Some(client.get_aggregator(request).await.ok()?.into_inner().boot)
}

/// Has both enclaves check and add up the halves of a round: `first` and `second` hand the round to each. What comes back
/// is for the end of the round; the inner error names a Vault whose part cannot be used. **Errors**: [`Fault`].
pub(crate) async fn help(
    node: &Arc<Node>,
    first: Gathered,
    second: Gathered,
) -> Result<Result<Helped, Unusable>, Fault> {
    let asked = match enclave(node, Call::Ask { round: first }).await? {
        Answer::Asked { message } => message,
        Answer::PartRefused { vault, code, detail } => return Ok(Err((vault, code, detail))),
        Answer::Refused { code, detail } => return Err(Fault::Refused(code, detail)),
        _ => return Err(wrong_answer()),
    };
    let boot = second.order.body.helper_boot.as_deref().unwrap_or_default();
    let boot: SignedBoot = decode(boot).map_err(|error| Fault::Again(error.to_string()))?;
    let client = node.peers.master(&boot.body.node);
    let mut client = client.ok_or_else(|| Fault::Again("the other aggregator has no address".to_owned()))?;
    let parts = second.bundles.into_iter().zip(second.halves).filter_map(|((vault, bundle), half)| {
        let boot = second.slices.iter().find(|(slice, _)| *slice == vault)?.1.clone();
        Some(SharedPart { vault_id: vault.to_string(), bundle, half, boot })
    });
    let request = HelpRequest { order: encode(&second.order), parts: parts.collect(), asked };
    let mut request = tonic::Request::new(request);
    request.set_timeout(BULK_TIMEOUT);
    let answer = client.help_round(request).await.map_err(|status| {
        let (code, detail) = problem_of(&status);
        Fault::Again(format!("{}: {code}: {detail}", boot.body.node))
    })?;
    match answer.into_inner().answer {
        Some(Said::Helped(HelpedRound { sealed, report })) => Ok(Ok(Helped { sealed, report })),
        Some(Said::Refused(RefusedPart { vault_id, detail })) => {
            let vault = VaultId::new(&vault_id).map_err(|error| Fault::Again(error.to_string()))?;
            Ok(Err((vault, Code::UpdateInvalid, detail)))
        }
        None => Err(wrong_answer()),
    }
}

/// The attestation of the second aggregator, where an order has one.
pub(crate) fn attestation(order: &EndorsedRoundOrder, helped: Option<Helped>) -> Option<Attestation> {
    Some(Attestation { boot: order.body.helper_boot.clone()?, report: helped?.report })
}

/// Does the second aggregator's part of a round for the master that leads it. The enclave judges the order. **Errors**: the
/// request is malformed, or the enclave refuses.
pub(crate) async fn answer(
    node: &Arc<Node>,
    state: &State,
    request: HelpRequest,
) -> Result<HelpAnswer, (Code, String)> {
    let malformed = |detail: String| (Code::Malformed, detail);
    if request.parts.len() > VAULTS_PER_TASK_MAX {
        return Err((Code::BodyTooLarge, "too many parts".to_owned()));
    }
    let mut round = Gathered {
        order: decode(&request.order).map_err(|error| malformed(error.to_string()))?,
        bundles: vec![],
        halves: vec![],
        learner: None,
        slices: vec![],
        policy: encode(&governed::policy(&node.network, &state.governance)),
        masters: masters(state),
    };
    for SharedPart { vault_id, bundle, half, boot } in request.parts {
        let vault = VaultId::new(&vault_id).map_err(|error| malformed(error.to_string()))?;
        round.bundles.push((vault.clone(), bundle));
        round.slices.push((vault, boot));
        round.halves.push(half);
    }
    let unavailable = |fault: Fault| (Code::Unavailable, fault.to_string());
    let said = match enclave(node, Call::Help { round, asked: request.asked }).await.map_err(unavailable)? {
        Answer::Helped(Helped { sealed, report }) => Said::Helped(HelpedRound { sealed, report }),
        Answer::PartRefused { vault, detail, .. } => {
            Said::Refused(RefusedPart { vault_id: vault.to_string(), detail })
        }
        Answer::Refused { code, detail } => return Err((code, detail)),
        _ => return Err(unavailable(wrong_answer())),
    };
    Ok(HelpAnswer { answer: Some(said) })
}
