//! The governance log on its way to those that follow it: Vaults and the verifier (R129, R194, R195). Every master tells them
//! of a change as soon as it is ordered, again with every health round, and before an order that rests on it, so no single
//! master can withhold one.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::join_all;
use symphony_protocol::governance::log::{EndorsedHead, LogUpdate};
use symphony_protocol::governance::proposal::ProposalEvent;
use symphony_protocol::machine::Event;
use symphony_types::catalogue::Code;
use symphony_types::id::{GovernanceSequence, VaultId};
use symphony_types::key::Document as _;
use symphony_types::key::Endorsed;
use symphony_wire::documents::encode;
use symphony_wire::status::problem_of;
use symphony_wire::v1::{GovernancePosition, GovernanceUpdate, SignedDocument};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::sleep;
use tonic::{Request, Response, Status};

use crate::claim::{Claim, Subject};
use crate::effects::Fault;
use crate::endorsing::endorsements;
use crate::node::Node;

/// How long a follower may take to check and keep what is new.
const FOLLOW_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause before a follower that did not answer is told again; the next health round tells it too.
const RETRY: Duration = Duration::from_millis(500);
/// How often it is told of one change.
const ATTEMPTS: u32 = 4;

/// The head of the log with the word of a majority. **Errors**: [`Fault::Again`].
pub(crate) async fn head(node: &Node) -> Result<EndorsedHead, Fault> {
    let body = node.state().proposals.log.head();
    if let Some(known) = node.log_head(&body) {
        return Ok(known);
    }
    let claims = vec![Claim { subject: Subject::LogHead, document: body.digest() }];
    let endorsements = endorsements(node, claims).await?.pop().unwrap_or_default();
    let head = Endorsed { body, endorsements };
    node.keep_log_head(&head);
    Ok(head)
}

/// What brings a follower that is at a place up to date; `None` when nothing is new. **Errors**: [`Fault::Again`].
async fn update(node: &Node, from: GovernanceSequence) -> Result<Option<GovernanceUpdate>, Fault> {
    let head = head(node).await?;
    if head.body.sequence <= from {
        return Ok(None);
    }
    let state = node.state();
    let log = state.proposals.log.entries();
    let new = log.filter(|entry| entry.sequence > from && entry.sequence <= head.body.sequence);
    let update = LogUpdate { entries: new.cloned().collect(), head };
    Ok(Some(GovernanceUpdate { update: encode(&update) }))
}

/// Asks a follower where it is and tells it what it lacks. **Errors**: [`Fault`].
async fn tell<F>(node: &Node, call: impl Fn(Request<GovernanceUpdate>) -> F) -> Result<(), Fault>
where
    F: Future<Output = Result<Response<GovernancePosition>, Status>>,
{
    let timed = |update| {
        let mut request = Request::new(update);
        request.set_timeout(FOLLOW_TIMEOUT);
        request
    };
    let at = call(timed(GovernanceUpdate::default())).await?.into_inner().sequence;
    if let Some(update) = update(node, GovernanceSequence(at)).await? {
        let reached = call(timed(update)).await?.into_inner().sequence;
        if reached <= at {
            return Err(Fault::Again("what is new does not fit what it knows".to_owned()));
        }
    }
    Ok(())
}

/// Brings a Vault up to date. **Errors**: [`Fault`].
pub(crate) async fn bring(node: &Node, vault: &VaultId) -> Result<(), Fault> {
    let client = node.peers.vault(vault).map_err(|code| Fault::Again(format!("{vault}: {code}")))?;
    tell(node, |request| {
        let mut client = client.clone();
        async move { client.follow_governance(request).await }
    })
    .await
}

/// Brings a Vault up to date that has just refused an order for that. What comes of it shows at the next attempt.
pub(crate) async fn bring_if_behind(node: &Node, vault: &VaultId, status: &Status) {
    if problem_of(status).0 == Code::GovernanceBehind
        && let Err(fault) = bring(node, vault).await
    {
        tracing::warn!(%vault, %fault, "a vault cannot follow governance");
    }
}

/// Brings the verifier up to date, if it has not told that it is. **Errors**: [`Fault`].
pub(crate) async fn bring_verifier(node: &Node) -> Result<(), Fault> {
    let here = node.state().governance.sequence;
    if node.verifier_at.load(Ordering::Relaxed) >= here.0 {
        return Ok(());
    }
    let client = node.peers.verifier();
    tell(node, |request| {
        let mut client = client.clone();
        async move { client.follow_governance(request).await }
    })
    .await?;
    node.verifier_at.store(here.0, Ordering::Relaxed);
    Ok(())
}

/// What the verifier answers an evidence; one that knows less than it said is told again at the next attempt. **Errors**:
/// [`Fault`].
pub(crate) async fn judged(
    node: &Node,
    answer: impl Future<Output = Result<Response<SignedDocument>, Status>>,
) -> Result<SignedDocument, Fault> {
    bring_verifier(node).await?;
    let answer = answer.await;
    if let Err(status) = &answer
        && problem_of(status).0 == Code::GovernanceBehind
    {
        node.verifier_at.store(0, Ordering::Relaxed);
    }
    Ok(answer?.into_inner())
}

/// Tells everybody of each change, for ever.
pub(crate) async fn run(node: Arc<Node>) {
    let mut ordered = node.orderer.subscribe();
    loop {
        let changed = match ordered.recv().await {
            Ok(ordered) => ordered.events.iter().any(changes),
            Err(RecvError::Lagged(_)) => true,
            Err(RecvError::Closed) => return,
        };
        if changed {
            tokio::spawn(spread(Arc::clone(&node)));
        }
    }
}

fn changes(event: &Event) -> bool {
    matches!(event, Event::Governed { event: ProposalEvent::Executed { .. } })
}

async fn spread(node: Arc<Node>) {
    node.peers.admit(&node.state().governance.registry);
    let followers = node.peers.vaults();
    let vaults = followers.iter().map(|vault| patiently(vault.as_str(), || bring(&node, vault)));
    let verifier = patiently("verifier", || bring_verifier(&node));
    tokio::join!(join_all(vaults), verifier);
}

async fn patiently<F>(follower: &str, told: impl Fn() -> F)
where
    F: Future<Output = Result<(), Fault>>,
{
    for _ in 0..ATTEMPTS {
        match told().await {
            Ok(()) => return,
            Err(fault) => tracing::warn!(follower, %fault, "governance could not be told"),
        }
        sleep(RETRY).await;
    }
}
