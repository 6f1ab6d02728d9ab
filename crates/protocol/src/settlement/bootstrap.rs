//! What nodes are paid for running while the schedule of inflation lasts (R164): the same for each, whatever it worked, so that
//! there are nodes before there is work. Nobody who is suspended, has left or has too little stake is paid (R185, R187).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use symphony_types::amount::Sym;
use symphony_types::id::{AccountId, VaultId};
use symphony_types::key::{Document, Endorsed, Master};

use crate::governance::membership::MemberStatus;
use crate::governance::stake::{NodeTier, StakeStanding, Staking};

/// What nodes are paid for one epoch of the schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodePay {
    /// The chain's epoch, from zero.
    pub epoch: u64,
    /// By account, ascending, none of them nothing; of nobody, the epoch is closed without a payment.
    pub nodes: Vec<(AccountId, Sym)>,
}

impl Document for NodePay {
    const TAG: &'static str = "symphony/node-pay/v1";
}

/// A payment that a majority of the masters endorses, each by who stands at that moment.
pub type EndorsedNodePay = Endorsed<NodePay, Master>;

/// Payments of one epoch of the schedule by account, none of them nothing: for each Vault to its operator, for each master to the
/// aggregator, which the masters run, and for the verifier; of those that stand and have the stake that policy asks for. An actor without
/// a record is not paid.
pub fn node_pay(staking: &Staking<'_>) -> BTreeMap<AccountId, Sym> {
    let registry = &staking.governance.registry;
    let each = staking.governance.policy_at(staking.at).node_pay;
    let own = registry
        .node_actors()
        .filter(|(tier, ..)| *tier == NodeTier::Master)
        .map(|(tier, _, account)| (tier, account));
    let operators = registry.vaults.keys().filter(|vault| stands(staking, vault));
    let operators = operators.filter_map(|vault| registry.operator(vault));
    let operators = operators.map(|operator| (NodeTier::Enterprise, operator.account));
    let mut paid = BTreeMap::new();
    for (tier, account) in operators.chain(own) {
        if staking.standing(tier, account) != StakeStanding::Insufficient {
            let sum: &mut Sym = paid.entry(account).or_default();
            *sum = Sym(sum.0.saturating_add(each.0));
        }
    }
    paid.retain(|_, amount| *amount > Sym::ZERO);
    paid
}

/// Whether an enterprise is one of the network's, and not frozen.
fn stands(staking: &Staking<'_>, vault: &VaultId) -> bool {
    let epoch = staking.governance.epoch_of(staking.at);
    match staking.governance.registry.status(vault, epoch) {
        Some(MemberStatus::Active | MemberStatus::Leaving) => true,
        Some(MemberStatus::Suspended | MemberStatus::Left) | None => false,
    }
}
