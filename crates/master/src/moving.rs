//! Carries what a Vault keeps to the one that the council moves it to (R081): invitation, batch and receipt, until both have signed that
//! nothing is left. What is in a batch no master can tell (D6).
//!
//! Each step may be repeated, by another master too, and each Vault knows where it is, so a master that takes over just goes on.

use std::time::Duration;

use symphony_protocol::machine::{Command, Effect, MoveClosing};
use symphony_types::id::VaultId;
use symphony_wire::documents::{decode, encode};
use symphony_wire::moving::{Ask, Cargo, Told};
use symphony_wire::v1::MoveStep;
use tonic::Request;

use crate::effects::Fault;
use crate::following;
use crate::node::Node;

/// How long one step may take: segments are written again at the end.
const STEP_TIMEOUT: Duration = Duration::from_secs(600);

/// Carries everything that is left. **Errors**: [`Fault`]; a Vault that still waits for its tasks is one to try again.
pub(crate) async fn carry(node: &Node, from: &VaultId) -> Result<(), Fault> {
    let state = node.state();
    let Some(known) = state.governance.registry.moves.get(from) else { return Ok(()) };
    let to = &known.to;
    for vault in [from, to] {
        following::bring(node, vault).await?;
    }
    let effect = Effect::Move(from.clone());
    while node.state().holds(&node.id, &effect) {
        let (told, boot) = step(node, to, &Ask::Invite { from: from.clone() }, Cargo::default()).await?;
        let Told::Invited { invitation, standing } = told else { return Err(strange(to)) };
        let asked = Ask::Offer { invitation, receipt: standing };
        let (told, batch) = step(node, from, &asked, boot).await?;
        match told {
            Told::Offered { offer } => drop(step(node, to, &Ask::Accept { offer }, batch).await?),
            Told::Stands { standing: source } => {
                let asked = Ask::Close { last: source.clone() };
                let (told, _) = step(node, to, &asked, Cargo::default()).await?;
                let Told::Stands { standing: destination } = told else { return Err(strange(to)) };
                let closing = MoveClosing { source, destination };
                return Ok(node.order(Command::RecordMove { closing }).await?);
            }
            Told::Invited { .. } => return Err(strange(from)),
        }
    }
    Ok(())
}

async fn step(node: &Node, vault: &VaultId, ask: &Ask, cargo: Cargo) -> Result<(Told, Cargo), Fault> {
    let mut client = node.peers.vault(vault).map_err(|code| Fault::Again(format!("{vault}: {code}")))?;
    let Cargo { sealed, boot, report } = cargo;
    let mut request = Request::new(MoveStep { step: encode(ask), sealed, boot, report });
    request.set_timeout(STEP_TIMEOUT);
    let MoveStep { step, sealed, boot, report } = client.r#move(request).await?.into_inner();
    let told = decode(&step).map_err(|error| Fault::Again(format!("{vault}: {error}")))?;
    Ok((told, Cargo { sealed, boot, report }))
}

fn strange(vault: &VaultId) -> Fault {
    Fault::Again(format!("{vault} answered another step"))
}
