//! What nodes are paid for running while the schedule of inflation lasts (R164): the same for each, whatever it worked, so that
//! there are nodes before there is work.

use alloc::collections::BTreeMap;

use symphony_types::amount::Sym;
use symphony_types::id::AccountId;

use crate::governance::policy::Policy;
use crate::governance::registry::Registry;

/// Payments of one epoch of the schedule by account, none of them nothing: for each Vault to its operator, for each master to the
/// aggregator, which the masters run, and for the verifier. An actor without a record is not paid.
pub fn node_pay(policy: &Policy, registry: &Registry) -> BTreeMap<AccountId, Sym> {
    let operators = registry.vaults.values().map(|vault| &vault.operator);
    let masters = registry.masters.keys().map(|_| &registry.aggregator);
    let mut paid = BTreeMap::new();
    for actor in operators.chain(masters).chain([&registry.verifier.actor]) {
        let Some(known) = registry.actors.get(actor) else { continue };
        let sum: &mut Sym = paid.entry(known.account).or_default();
        *sum = Sym(sum.0.saturating_add(policy.node_pay.0));
    }
    paid.retain(|_, amount| *amount > Sym::ZERO);
    paid
}
