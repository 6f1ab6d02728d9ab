//! The lock of a submission as the chain shows it (R020). Effects of admission: asking the Vaults for consent and budget,
//! and freeing what a dead task reserved (R017, R019, R025). A majority of the masters endorses what is asked; then one call a Vault, in parallel, repeated
//! until the deadline.

use std::time::Duration;

use futures::future::join_all;
use symphony_chain::port::{Chain, ChainError};
use symphony_protocol::admission::envelope::PrepareAnswer;
use symphony_protocol::artifact::{EndorsedLock, LockFact, Preparation, Release, SignedReceipt};
use symphony_protocol::machine::{Answer, Command};
use symphony_types::catalogue::Code;
use symphony_types::id::{LockRef, TaskId, VaultId};
use symphony_types::time::OrderedMillis;
use symphony_wire::documents::{decode, encode};
use symphony_wire::status::problem_of;
use symphony_wire::v1::SignedDocument;
use tokio::time::sleep;

use crate::claim::Subject;
use crate::effects::Fault;
use crate::endorsing::endorsed;
use crate::node::{Node, now};
use crate::orders::{Ordered, ordered};

/// Pause between two calls to a Vault that does not answer.
const RETRY: Duration = Duration::from_millis(200);
/// How long one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Attempts to free a reservation; its deadline frees it anyway.
const RELEASE_ATTEMPTS: u32 = 5;

/// A lock that is held whole, as the chain shows it now; `None` when there is none. **Errors**: the chain does not answer.
pub async fn confirmed(chain: &impl Chain, lock: LockRef) -> Result<Option<LockFact>, ChainError> {
    let lock = chain.lock(lock).await?;
    Ok(lock.filter(|lock| lock.held == lock.amount).map(|lock| LockFact {
        lock: lock.lock,
        owner: lock.owner,
        purpose: lock.request,
        amount: lock.held,
        expires: lock.expires,
    }))
}

/// The lock of a submission with the word of a majority, each by its own sight of the chain (R195); `None` when this
/// master does not see it. **Errors**: [`Fault::Again`] while the chain or too few masters show it.
pub async fn fact(node: &Node, lock: LockRef) -> Result<Option<EndorsedLock>, Fault> {
    let seen = confirmed(&node.chain, lock)
        .await
        .map_err(|error| Fault::Refused(error.code(), error.to_string()))?;
    let Some(fact) = seen else { return Ok(None) };
    Ok(endorsed(node, vec![(Subject::Lock(lock), fact)]).await?.pop())
}

/// Asks every Vault of a request and reports their answers. **Errors**: [`Fault`].
pub async fn prepare(node: &Node, task: &TaskId) -> Result<(), Fault> {
    let state = node.state();
    let Some(Answer::Preparing(admission)) = state.requests.get(task).map(|submission| &submission.answer)
    else {
        return Ok(());
    };
    let asked = admission.vaults.iter();
    let asked = asked.map(|vault| (Subject::Preparation(*task, vault.clone()), admission.preparation(vault)));
    let orders = ordered(node, asked.collect()).await?;
    let answers = orders.iter().map(|order| ask(node, order, admission.prepare_by));
    let answers = join_all(answers).await;
    Ok(node.order(Command::RecordPreparations { task: *task, answers }).await?)
}

async fn ask(node: &Node, order: &Ordered<Preparation>, by: OrderedMillis) -> PrepareAnswer {
    let vault = &order.order.body.vault;
    loop {
        let Some(left) = left(by) else { return PrepareAnswer::Silent(vault.clone()) };
        match call(node, vault, order.message(), left.min(CALL_TIMEOUT)).await {
            Ok(receipt) => return PrepareAnswer::Receipt(receipt),
            Err((code, detail)) => {
                if order.renewed(node, vault, code).await {
                    continue;
                }
                tracing::warn!(%vault, %code, detail, "a vault does not answer a preparation");
            }
        }
        sleep(left.min(RETRY)).await;
    }
}

async fn call(
    node: &Node,
    vault: &VaultId,
    message: SignedDocument,
    timeout: Duration,
) -> Result<SignedReceipt, (Code, String)> {
    let mut client = node.peers.vault(vault).map_err(|code| (code, vault.to_string()))?;
    let mut request = tonic::Request::new(message);
    request.set_timeout(timeout);
    let answer = client.prepare(request).await.map_err(|status| problem_of(&status))?;
    decode(&answer.into_inner().document).map_err(|error| (Code::Malformed, error.to_string()))
}

/// Tells Vaults to free what a dead task reserved. A Vault that cannot be reached frees it at the deadline.
/// **Errors**: [`Fault`] while the other masters do not see it dead; else never, the deadline is the undo.
pub async fn release(node: &Node, task: &TaskId, vaults: &[VaultId]) -> Result<(), Fault> {
    let releases = vaults
        .iter()
        .map(|vault| (Subject::Release(*task, vault.clone()), Release { task: *task, vault: vault.clone() }));
    let endorsed = endorsed(node, releases.collect()).await?;
    join_all(endorsed.iter().map(|release| release_one(node, &release.body.vault, encode(release)))).await;
    Ok(())
}

async fn release_one(node: &Node, vault: &VaultId, document: Vec<u8>) {
    for _ in 0..RELEASE_ATTEMPTS {
        let Ok(mut client) = node.peers.vault(vault) else { return };
        let mut request =
            tonic::Request::new(SignedDocument { document: document.clone(), ..Default::default() });
        request.set_timeout(CALL_TIMEOUT);
        match client.release_budget(request).await {
            Ok(_) => return,
            Err(status) => tracing::warn!(%vault, detail = status.message(), "a vault did not release"),
        }
        sleep(RETRY).await;
    }
}

/// How long it is until a moment, by this node's clock; `None` when it has come. A call to a node that does not
/// answer ends by then, so that one silent Vault does not use up the time of the others.
pub(crate) fn left(moment: OrderedMillis) -> Option<Duration> {
    let left = moment.0.saturating_sub(now().0);
    (left > 0).then(|| Duration::from_millis(left))
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use symphony_chain::ledger::escrow::{Lock, LockState};
    use symphony_chain::ledger::query::Answer as Seen;
    use symphony_chain::port::{RemoteChain, Response, Transport};
    use symphony_types::amount::Sym;
    use symphony_types::digest::Digest;
    use symphony_types::id::{AccountId, PolicyVersion};

    use super::*;

    /// A chain that shows one lock, or does not answer.
    struct Shows(Option<Option<Lock>>);

    #[async_trait]
    impl Transport for Shows {
        async fn call(&self, _: Vec<u8>) -> Result<Vec<u8>, ChainError> {
            let lock = self.0.clone().ok_or_else(|| ChainError::Unreachable("gone".to_owned()))?;
            Ok(Response::Answer(Seen::Lock(lock)).to_bytes())
        }
    }

    fn held(amount: u64, held: u64) -> Lock {
        Lock {
            lock: LockRef(Digest([1; 32])),
            owner: AccountId(Digest([2; 32])),
            request: Digest([3; 32]),
            amount: Sym(amount),
            held: Sym(held),
            policy_version: PolicyVersion(1),
            expires: OrderedMillis(9),
            state: LockState::Held,
        }
    }

    /// R020, R195: a master says of a lock what its own chain shows, only while all of it is held.
    #[test]
    fn a_lock_is_what_the_chain_shows() {
        let seen = |shows| {
            futures::executor::block_on(confirmed(&RemoteChain::new(Shows(shows)), LockRef(Digest([1; 32]))))
        };
        let fact = LockFact {
            lock: LockRef(Digest([1; 32])),
            owner: AccountId(Digest([2; 32])),
            purpose: Digest([3; 32]),
            amount: Sym(5),
            expires: OrderedMillis(9),
        };
        assert_eq!(seen(Some(Some(held(5, 5)))), Ok(Some(fact)));
        assert_eq!(seen(Some(Some(held(5, 0)))), Ok(None));
        assert_eq!(seen(Some(None)), Ok(None));
        assert!(seen(None).is_err());
    }
}
