//! What nodes have staked, as masters see it on the chain (R184, R186), and their pay while the schedule of inflation lasts (R164).
//!
//! The master that leads looks again and again, the others now and then. What has changed is ordered once a majority sees the same; an
//! epoch of inflation that is minted and not paid goes to the payout service with the word of a majority on who stands (R185, R187).
//! Nothing is owed: whoever looks next finds the same, a sheet counts once by its number, and the chain pays an epoch once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use symphony_chain::port::{Chain, ChainError};
use symphony_chain::transaction::Tier;
use symphony_protocol::governance::stake::{NodeTier, StakeEntry, StakeSheet, StakeStanding};
use symphony_protocol::machine::{Command, State};
use symphony_protocol::settlement::bootstrap::{NodePay, node_pay};
use symphony_types::amount::Sym;
use symphony_types::id::AccountId;
use symphony_types::time::OrderedMillis;
use symphony_wire::documents::encode;
use symphony_wire::v1::{self, SignedDocument};
use tokio::time::sleep;

use crate::claim::Subject;
use crate::effects::Fault;
use crate::endorsing::endorsed;
use crate::node::{Node, now};

/// How often the master that leads looks.
const EVERY: Duration = Duration::from_secs(2);
/// How often the others do, in looks of the one that leads.
const OTHERS: u32 = 5;
/// Accounts that are asked for at once.
const AT_ONCE: usize = 8;
/// How long the payout service may take.
const PAY_TIMEOUT: Duration = Duration::from_secs(60);
/// The gauge of nodes by what stands of their stakes.
pub const GAUGE: &str = "symphony_governance_stakes";

/// Looks for ever.
pub(crate) async fn run(node: Arc<Node>) {
    let (mut told, mut paid) = (BTreeMap::new(), 0);
    for turn in 0_u32.. {
        sleep(EVERY).await;
        tell(&node.state(), &mut told);
        if !node.leads() && turn % OTHERS != 0 {
            continue;
        }
        if let Err(fault) = look(&node).await {
            tracing::debug!(%fault, "stakes are looked at again");
        }
        if let Err(fault) = pay(&node, &mut paid).await {
            tracing::debug!(%fault, "nodes are paid later");
        }
    }
}

/// Has the stakes ordered when the chain shows others than were ordered last. **Errors**: [`Fault`].
async fn look(node: &Node) -> Result<(), Fault> {
    let state = node.state();
    let seen = sheet(&node.chain, &state).await;
    let seen = seen.map_err(|error| Fault::Refused(error.code(), error.to_string()))?;
    if seen.entries == state.stakes.entries {
        return Ok(());
    }
    let sheet = endorsed(node, vec![(Subject::Stakes(seen.number), seen)]).await?.pop();
    let sheet = sheet.ok_or_else(|| Fault::Again("the stakes were not endorsed".to_owned()))?;
    Ok(node.order(Command::RecordStakes { sheet }).await?)
}

/// The sheet after the last one, as the chain shows the stakes of those who must have one. **Errors**: it does not answer.
pub(crate) async fn sheet(chain: &impl Chain, state: &State) -> Result<StakeSheet, ChainError> {
    let stakers = state.governance.registry.stakers().into_keys();
    let entries = stream::iter(stakers).map(|(tier, account)| entry(chain, tier, account));
    let entries = entries.buffered(AT_ONCE).try_collect().await?;
    Ok(StakeSheet { number: state.stakes.number.saturating_add(1), entries })
}

async fn entry(chain: &impl Chain, tier: NodeTier, account: AccountId) -> Result<StakeEntry, ChainError> {
    let of = match tier {
        NodeTier::Master => Tier::Master,
        NodeTier::Enterprise => Tier::Enterprise,
    };
    let stake = chain.account(account).await?.stakes.get(&of).copied().unwrap_or_default();
    Ok(StakeEntry { tier, account, deposit: stake.deposit, cooling: stake.cooling, matures: stake.matures })
}

/// Has nodes paid for every epoch of inflation that is minted and not paid, from the epoch `paid` on. **Errors**: [`Fault`].
async fn pay(node: &Node, paid: &mut u64) -> Result<(), Fault> {
    let refused = |error: ChainError| Fault::Refused(error.code(), error.to_string());
    let minted = node.chain.minting().await.map_err(refused)?.next;
    while *paid < minted && node.state().governance.policy_at(now()).node_pay > Sym::ZERO {
        if !node.chain.nodes_paid(*paid).await.map_err(refused)? {
            let document = due(&node.state(), *paid, now());
            let document = endorsed(node, vec![(Subject::NodePay(*paid), document)]).await?;
            let document = document.first().map(encode).unwrap_or_default();
            let mut request = tonic::Request::new(SignedDocument { document, standing: vec![] });
            request.set_timeout(PAY_TIMEOUT);
            node.peers.payout().pay_nodes(request).await?;
        }
        *paid += 1;
    }
    Ok(())
}

/// Who is paid for an epoch of inflation, as a state says at a moment.
pub(crate) fn due(state: &State, epoch: u64, at: OrderedMillis) -> NodePay {
    NodePay { epoch, nodes: node_pay(&state.staking(at)).into_iter().collect() }
}

/// Warns of each stake that has come near the minimum or below it, and says when it is enough again (R186).
fn tell(state: &State, told: &mut BTreeMap<(NodeTier, AccountId), StakeStanding>) {
    let staking = state.staking(now());
    let mut counts = BTreeMap::from(StakeStanding::ALL.map(|standing| (standing.as_str(), 0_u32)));
    for (tier, actor, account) in state.governance.registry.node_actors() {
        let standing = staking.standing(tier, account);
        *counts.entry(standing.as_str()).or_default() += 1;
        let before = told.insert((tier, account), standing).unwrap_or(StakeStanding::Unasked);
        let minimum = staking.minimum(tier, account);
        match standing {
            _ if standing == before => {}
            StakeStanding::Insufficient => {
                tracing::warn!(%actor, tier = tier.as_str(), minimum = minimum.0, "a stake is too small: no new work");
            }
            StakeStanding::NearMinimum => {
                tracing::warn!(%actor, tier = tier.as_str(), minimum = minimum.0, "a stake is near the minimum");
            }
            StakeStanding::Compliant | StakeStanding::Unasked => {
                tracing::info!(%actor, tier = tier.as_str(), "a stake is enough");
            }
        }
    }
    for (standing, count) in counts {
        metrics::gauge!(GAUGE, "standing" => standing).set(f64::from(count));
    }
}

/// The stakes of all nodes, as they are told: one line an account and tier.
pub(crate) fn view(state: &State, at: OrderedMillis) -> Vec<v1::StakeEntry> {
    let staking = state.staking(at);
    let mut lines: BTreeMap<_, v1::StakeEntry> = BTreeMap::new();
    for (tier, actor, account) in state.governance.registry.node_actors() {
        let known = state.stakes.entry(tier, account);
        let line = lines.entry((tier, account)).or_insert_with(|| v1::StakeEntry {
            actors: vec![],
            tier: tier.as_str().to_owned(),
            account: account.0.0.to_vec(),
            deposit: known.map_or(0, |known| known.deposit.0),
            cooling: known.map_or(0, |known| known.cooling.0),
            matures_ms: known.map_or(0, |known| known.matures.0),
            minimum: staking.minimum(tier, account).0,
            standing: staking.standing(tier, account).as_str().to_owned(),
        });
        if line.actors.last().is_none_or(|last| last != actor.as_str()) {
            line.actors.push(actor.to_string());
        }
    }
    lines.into_values().collect()
}
