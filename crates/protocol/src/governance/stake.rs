//! Who must have a stake, and whether what the chain shows of it is enough (R184, R185, R186).
//!
//! Stakes are on the chain: their owners add to them and take them out, and the chain keeps the cooldown. Masters order what
//! a majority of them sees there, as one sheet with a number. From the last sheet and the policy in force at a moment follows
//! whether somebody may have new work:
//!
//! ```text
//! nothing is asked            unasked          new work
//! minimum and margin or more  compliant        new work
//! the minimum or more         near_minimum     new work, and a warning
//! less                        insufficient     no new work, no pay for running a node; what has begun goes on
//! ```
//!
//! An account that several nodes are for must have the minimum for each. What cools down does not count, and can still be
//! slashed.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use symphony_types::amount::{Bps, SYM_UNIT, Sym};
use symphony_types::catalogue::Code;
use symphony_types::id::{AccountId, ActorId, VaultId};
use symphony_types::key::{Document, Endorsed, Master};
use symphony_types::time::OrderedMillis;

use super::Governance;
use super::membership::MemberStatus;
use super::registry::{Actor, Registry};

/// What a node stakes as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum NodeTier {
    /// The network's own nodes: the aggregator, for each master, and the verifier.
    Master,
    /// Operators of Vaults.
    Enterprise,
}

impl NodeTier {
    /// The word in views.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::Enterprise => "enterprise",
        }
    }
}

/// What nodes must stake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StakePolicy {
    /// For each of the network's own nodes; zero where none is asked for.
    pub master_min: Sym,
    /// For each Vault; zero where none is asked for.
    pub enterprise_min: Sym,
    /// A stake that exceeds the minimum by less than this part of it is warned about.
    pub warning: Bps,
}

impl StakePolicy {
    /// Nothing is asked for.
    pub const NONE: Self = Self { master_min: Sym::ZERO, enterprise_min: Sym::ZERO, warning: Bps(0) };

    /// Whether it is sound: in reach, and something where the network is not for development. **Errors**: what is wrong.
    pub(super) fn check(&self, development: bool) -> Result<(), &'static str> {
        let minimums = [self.master_min, self.enterprise_min];
        if minimums.iter().any(|minimum| *minimum > STAKE_MIN_MAX) || self.warning > Bps::WHOLE {
            return Err("a minimum stake or its warning is out of range");
        }
        if !development && minimums.contains(&Sym::ZERO) {
            return Err("nodes of a network that is not for development have a stake");
        }
        Ok(())
    }

    const fn minimum(&self, tier: NodeTier) -> Sym {
        match tier {
            NodeTier::Master => self.master_min,
            NodeTier::Enterprise => self.enterprise_min,
        }
    }
}

/// The largest minimum stake of one node. Ten million SYM.
const STAKE_MIN_MAX: Sym = Sym(10_000_000 * SYM_UNIT);

/// What the chain shows of one stake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StakeEntry {
    /// As what.
    pub tier: NodeTier,
    /// Whose.
    pub account: AccountId,
    /// What counts.
    pub deposit: Sym,
    /// What is on its way out and can still be slashed.
    pub cooling: Sym,
    /// When that may be taken out.
    pub matures: OrderedMillis,
}

/// The stakes of all who must have one, as the chain shows them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StakeSheet {
    /// From one; zero before the first. Each sheet takes the place of the one before.
    pub number: u64,
    /// By tier and account, ascending, each once.
    pub entries: Vec<StakeEntry>,
}

impl Document for StakeSheet {
    const TAG: &'static str = "symphony/stake-sheet/v1";
}

/// A sheet that masters endorse, each as its own chain shows it.
pub type EndorsedStakes = Endorsed<StakeSheet, Master>;

impl StakeSheet {
    /// What is known of a stake.
    pub fn entry(&self, tier: NodeTier, account: AccountId) -> Option<&StakeEntry> {
        let place = self.entries.binary_search_by_key(&(tier, account), |entry| (entry.tier, entry.account));
        self.entries.get(place.ok()?)
    }

    /// Whether it has exactly those who must have a stake, in order.
    pub fn names(&self, registry: &Registry) -> bool {
        self.entries.iter().map(|entry| (entry.tier, entry.account)).eq(registry.stakers().into_keys())
    }
}

impl Registry {
    /// The actors behind nodes, one for each node: operators of Vaults, the aggregator for each master, and the verifier. An
    /// actor without a record is left out.
    pub fn node_actors(&self) -> impl Iterator<Item = (NodeTier, &ActorId, AccountId)> {
        let operators = self.vaults.values().map(|vault| (NodeTier::Enterprise, &vault.operator));
        let masters = self.masters.keys().map(|_| (NodeTier::Master, &self.aggregator));
        let all = operators.chain(masters).chain([(NodeTier::Master, &self.verifier.actor)]);
        all.filter_map(|(tier, actor)| Some((tier, actor, self.actors.get(actor)?.account)))
    }

    /// Who operates a Vault; `None` where there is no such Vault, or its operator has no record.
    pub fn operator(&self, vault: &VaultId) -> Option<&Actor> {
        self.actors.get(&self.vaults.get(vault)?.operator)
    }

    /// Who must have a stake, and for how many nodes.
    pub fn stakers(&self) -> BTreeMap<(NodeTier, AccountId), u64> {
        let mut stakers = BTreeMap::new();
        for (tier, _, account) in self.node_actors() {
            let nodes: &mut u64 = stakers.entry((tier, account)).or_default();
            *nodes = nodes.saturating_add(1);
        }
        stakers
    }
}

/// Whether a stake is enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StakeStanding {
    /// Nothing is asked for.
    Unasked,
    /// It is.
    Compliant,
    /// It is, by less than the margin.
    NearMinimum,
    /// It is not.
    Insufficient,
}

impl StakeStanding {
    /// Every standing.
    pub const ALL: [Self; 4] = [Self::Unasked, Self::Compliant, Self::NearMinimum, Self::Insufficient];

    /// The word in views.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unasked => "unasked",
            Self::Compliant => "compliant",
            Self::NearMinimum => "near_minimum",
            Self::Insufficient => "insufficient",
        }
    }
}

/// What governs and what is staked, at a moment.
#[derive(Clone, Copy, Debug)]
pub struct Staking<'a> {
    /// What governs.
    pub governance: &'a Governance,
    /// What is staked.
    pub sheet: &'a StakeSheet,
    /// When.
    pub at: OrderedMillis,
}

impl Staking<'_> {
    /// The least that an account must have in a tier. An enterprise that has left needs none.
    pub fn minimum(&self, tier: NodeTier, account: AccountId) -> Sym {
        let minimum = self.governance.policy_at(self.at).stakes.minimum(tier);
        if minimum == Sym::ZERO {
            return minimum;
        }
        let nodes = self.governance.registry.node_actors();
        let nodes = nodes.filter(|(of, _, by)| (*of, *by) == (tier, account)).count();
        let left = if tier == NodeTier::Enterprise { self.left(account) } else { 0 };
        Sym(minimum.0.saturating_mul(u64::try_from(nodes.saturating_sub(left)).unwrap_or(u64::MAX)))
    }

    /// How many of an operator's Vaults have left.
    fn left(&self, account: AccountId) -> usize {
        let (registry, epoch) = (&self.governance.registry, self.governance.epoch_of(self.at));
        let left =
            registry.exits.keys().filter(|vault| registry.status(vault, epoch) == Some(MemberStatus::Left));
        left.filter(|vault| registry.operator(vault).is_some_and(|by| by.account == account)).count()
    }

    /// Whether an account has enough in a tier.
    pub fn standing(&self, tier: NodeTier, account: AccountId) -> StakeStanding {
        let minimum = self.minimum(tier, account);
        let deposit = self.sheet.entry(tier, account).map_or(Sym::ZERO, |entry| entry.deposit);
        let part = u64::from(self.governance.policy_at(self.at).stakes.warning.0);
        let margin = minimum.share_floor(part, u64::from(Bps::WHOLE.0)).unwrap_or(minimum);
        if minimum == Sym::ZERO {
            StakeStanding::Unasked
        } else if deposit < minimum {
            StakeStanding::Insufficient
        } else if deposit.0 - minimum.0 < margin.0 {
            StakeStanding::NearMinimum
        } else {
            StakeStanding::Compliant
        }
    }

    /// Whether whoever operates a Vault has enough. **Errors**: `VLT-0024`; `ADM-0012` where there is no such Vault.
    pub fn vault(&self, vault: &VaultId) -> Result<(), Code> {
        let account = self.governance.registry.operator(vault).ok_or(Code::VaultUnknown)?.account;
        match self.standing(NodeTier::Enterprise, account) {
            StakeStanding::Insufficient => Err(Code::VaultUnstaked),
            StakeStanding::Unasked | StakeStanding::Compliant | StakeStanding::NearMinimum => Ok(()),
        }
    }

    /// Whether the network's own nodes have enough: without an aggregator and a verifier nobody is served. **Errors**: `GOV-0024`.
    pub fn network(&self) -> Result<(), Code> {
        let mut own = self.governance.registry.node_actors().filter(|(tier, ..)| *tier == NodeTier::Master);
        let short = own.any(|(tier, _, account)| self.standing(tier, account) == StakeStanding::Insufficient);
        if short { Err(Code::NodesUnstaked) } else { Ok(()) }
    }
}
