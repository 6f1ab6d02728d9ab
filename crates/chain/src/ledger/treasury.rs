//! The treasury (R178): its money leaves only on the approvals of enough of its own signers, for a proposal
//! that governance has accepted on the chain and that serves once.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use symphony_types::amount::Sym;
use symphony_types::digest::Digest;
use symphony_types::id::AccountId;
use symphony_types::key::Document as _;

use super::accounts::Flow;
use super::{Abort, State, governance};
use crate::transaction::{Approval, ProposalKind, Release};

/// What happened to the treasury.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// Money left.
    Released {
        /// Who was paid.
        to: AccountId,
        /// How much.
        amount: Sym,
        /// The proposal that allowed it.
        proposal: Digest,
    },
}

/// The treasury's money.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Treasury {
    pub(super) balance: Sym,
}

impl Treasury {
    pub(super) const fn new(balance: Sym) -> Self {
        Self { balance }
    }
}

pub(super) fn release(
    state: &State,
    release: &Release,
    approvals: &[Approval],
) -> Result<Vec<super::Event>, Abort> {
    if release.chain != state.chain {
        return Err(Abort::WrongChain);
    }
    if release.amount == Sym::ZERO {
        return Err(Abort::AmountZero);
    }
    let mut signers = BTreeSet::new();
    for approval in approvals {
        let known = state.roles.treasury.contains(&approval.key) && signers.insert(approval.key);
        if !known || approval.body != *release || !approval.verify(&approval.key) {
            return Err(Abort::ApprovalInvalid);
        }
    }
    if signers.len() < state.roles.treasury_threshold as usize {
        return Err(Abort::ApprovalsMissing);
    }
    let spent = governance::spend(state, release.proposal, ProposalKind::Release, release.digest())?;
    if state.treasury.balance < release.amount {
        return Err(Abort::TreasuryTooSmall);
    }
    let released = Event::Released { to: release.to, amount: release.amount, proposal: release.proposal };
    Ok(vec![super::Event::Governance(spent), super::Event::Treasury(released)])
}

pub(super) fn evolve(state: &mut State, flow: &mut Flow, event: &Event) {
    match event {
        Event::Released { to, amount, .. } => {
            flow.take(&mut state.treasury.balance, *amount);
            flow.give(state.accounts.balance_mut(*to), *amount);
        }
    }
}
