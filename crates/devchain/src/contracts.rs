//! The reference ledger's aborts and events in the words of the contracts, so that both can be compared.

use serde_json::{Map, Value, json};
use symphony_chain::contracts::{class, kind, tier as tier_number};
use symphony_chain::ledger::{
    Abort, Event, accounts, escrow, governance, inflation, reward, staking, treasury,
};
use symphony_chain::transaction::{RecipientClass, Tier};
use symphony_types::digest::Digest;

use crate::genesis::address;
use crate::vm;

/// The reason in a Move abort code, as the ledger's abort; `None` when only the contracts have it.
pub fn abort(code: u64) -> Option<Abort> {
    let reason = usize::try_from(code & 0xffff).ok()?.checked_sub(1)?;
    Abort::ALL.get(reason).copied()
}

/// A ledger's event as the contracts announce it: module and name, and the fields as the VM shows them. `None` for the execution
/// itself, which is the transaction, and for the end of a list of nodes.
pub fn announced(event: &Event) -> Option<(String, Value)> {
    let (name, data) = match event {
        Event::Executed { .. } => return None,
        Event::Account(accounts::Event::Transferred { from, to, amount }) => {
            ("sym::Transferred", json!({"from": hex(from.0), "to": hex(to.0), "amount": text(amount.0)}))
        }
        Event::Escrow(event) => escrow(event),
        Event::Staking(event) => staking(event),
        Event::Reward(event) => reward(event),
        Event::Treasury(treasury::Event::Released { to, amount, proposal }) => {
            let data = json!({"to": hex(to.0), "amount": text(amount.0), "proposal": hex(*proposal)});
            ("treasury::Released", data)
        }
        Event::Governance(event) => governance(event),
        Event::Inflation(inflation::Event::NodesClosed { .. }) => return None,
        Event::Inflation(inflation::Event::Minted { epoch, pool, treasury }) => {
            let data = json!({"epoch": text(*epoch), "pool": text(pool.0), "treasury": text(treasury.0)});
            ("inflation::Minted", data)
        }
        Event::Inflation(inflation::Event::NodePaid { epoch, account, amount }) => {
            let data = json!({"epoch": text(*epoch), "account": hex(account.0), "amount": text(amount.0)});
            ("inflation::NodePaid", data)
        }
    };
    Some((name.into(), data))
}

fn governance(event: &governance::Event) -> (&'static str, Value) {
    match event {
        governance::Event::Recorded { result, accepted } => {
            let data = json!({
                "proposal": hex(result.proposal), "kind": kind(result.kind), "payload": hex(result.payload),
                "votes_for": text(result.votes_for), "votes_against": text(result.votes_against),
                "eligible": text(result.eligible), "accepted": accepted,
            });
            ("governance::Recorded", data)
        }
        governance::Event::Spent { proposal } => ("governance::Spent", json!({"proposal": hex(*proposal)})),
    }
}

fn escrow(event: &escrow::Event) -> (&'static str, Value) {
    match event {
        escrow::Event::Locked { lock, owner, request, amount, policy_version, expires } => {
            let data = json!({
                "lock": hex(lock.0), "owner": hex(owner.0), "request": hex(*request), "amount": text(amount.0),
                "policy_version": policy_version.0, "expires": text(expires.0),
            });
            ("escrow::Locked", data)
        }
        escrow::Event::Settled { owner, settlement } => {
            let data = json!({
                "owner": hex(owner.0), "lock": hex(settlement.lock.0), "task": hex(settlement.task.0),
                "charged": text(settlement.charged.0), "refunded": text(settlement.refunded.0),
            });
            ("escrow::Settled", data)
        }
        escrow::Event::Reclaimed { lock, owner, amount } => {
            let data = json!({"lock": hex(lock.0), "owner": hex(owner.0), "amount": text(amount.0)});
            ("escrow::Reclaimed", data)
        }
    }
}

fn staking(event: &staking::Event) -> (&'static str, Value) {
    let of = |account: Digest, tier: Tier| {
        Map::from_iter([("account".into(), hex(account).into()), ("tier".into(), tier_number(tier).into())])
    };
    let (name, mut data, fields) = match event {
        staking::Event::Deposited { account, tier, amount } => {
            ("staking::Deposited", of(account.0, *tier), vec![("amount", text(amount.0))])
        }
        staking::Event::WithdrawalRequested { account, tier, amount, matures } => {
            let fields = vec![("amount", text(amount.0)), ("matures", text(matures.0))];
            ("staking::WithdrawalRequested", of(account.0, *tier), fields)
        }
        staking::Event::Withdrawn { account, tier, amount } => {
            ("staking::Withdrawn", of(account.0, *tier), vec![("amount", text(amount.0))])
        }
        staking::Event::Slashed { account, tier, deposit, cooling, reference } => {
            let fields = vec![
                ("deposit", text(deposit.0)),
                ("cooling", text(cooling.0)),
                ("reference", hex(*reference)),
            ];
            ("staking::Slashed", of(account.0, *tier), fields)
        }
    };
    data.extend(fields.into_iter().map(|(name, value)| (name.to_owned(), Value::from(value))));
    (name, Value::Object(data))
}

fn reward(event: &reward::Event) -> (&'static str, Value) {
    match event {
        reward::Event::Subsidised { incentives, treasury } => {
            ("reward::Subsidised", json!({"incentives": text(incentives.0), "treasury": text(treasury.0)}))
        }
        reward::Event::CarryDrawn { vault, amount } => {
            ("reward::CarryDrawn", json!({"vault": vault.as_str(), "amount": text(amount.0)}))
        }
        reward::Event::Paid { payee } => {
            let data = json!({
                "account": hex(payee.account.0), "class": class(payee.class), "amount": text(payee.amount.0),
            });
            ("reward::Paid", data)
        }
        reward::Event::TreeOpened { epoch, tree } => {
            let data = json!({
                "epoch": text(epoch.0), "vault": tree.vault.as_str(), "root": hex(tree.root),
                "leaves": text(tree.leaves), "total": text(tree.total.0),
            });
            ("reward::TreeOpened", data)
        }
        reward::Event::CarryKept { vault, amount } => {
            ("reward::CarryKept", json!({"vault": vault.as_str(), "amount": text(amount.0)}))
        }
        reward::Event::PoolReturned { amount } => ("reward::PoolReturned", json!({"amount": text(amount.0)})),
        reward::Event::TreasuryShared { amount } => {
            ("reward::TreasuryShared", json!({"amount": text(amount.0)}))
        }
        reward::Event::Anchored { anchor } => {
            let data = json!({"task": hex(anchor.task.0), "settlement_root": hex(anchor.settlement_root)});
            ("reward::Anchored", data)
        }
        reward::Event::BatchRecorded { record } => ("reward::BatchRecorded", recorded(record)),
        reward::Event::Claimed { account, vault, epoch, index, amount } => {
            let data = json!({
                "account": hex(account.0), "vault": vault.as_str(), "epoch": text(epoch.0),
                "index": text(*index), "amount": text(amount.0),
            });
            ("reward::Claimed", data)
        }
    }
}

fn recorded(record: &reward::BatchRecord) -> Value {
    let totals = &record.totals;
    let paid = |class| text(totals.classes.get(&class).copied().unwrap_or_default().0);
    let classes = [
        RecipientClass::Contributor,
        RecipientClass::VaultOperator,
        RecipientClass::Executor,
        RecipientClass::Aggregator,
        RecipientClass::Verifier,
        RecipientClass::Treasury,
    ];
    json!({
        "batch_id": hex(record.batch_id), "bytes": hex(record.bytes), "epoch": text(record.epoch.0),
        "totals": {
            "charged": text(totals.charged.0), "refunded": text(totals.refunded.0),
            "subsidised": text(totals.subsidised.0), "drawn": text(totals.drawn.0),
            "classes": classes.map(paid), "carried": text(totals.carried.0),
            "pool_return": text(totals.pool_return.0),
        },
    })
}

/// What the contracts announced, without the framework's own events, in the form of [`announced`].
pub fn of_contracts(events: &[vm::Event]) -> Vec<(String, Value)> {
    let prefix = format!("0x{}::", hex::encode(address()));
    let ours = events.iter().filter_map(|event| Some((event.tag.strip_prefix(&prefix)?, &event.data)));
    ours.map(|(name, data)| (name.to_owned(), whole(data))).collect()
}

/// The same value with every address written in full: the VM leaves leading zeros out.
pub(crate) fn whole(value: &Value) -> Value {
    match value {
        Value::String(text) => match text.strip_prefix("0x") {
            Some(digits) if digits.len() <= 64 && digits.bytes().all(|b| b.is_ascii_hexdigit()) => {
                Value::String(format!("0x{digits:0>64}"))
            }
            _ => value.clone(),
        },
        Value::Array(values) => Value::Array(values.iter().map(whole).collect()),
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(name, value)| (name.clone(), whole(value))).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

fn hex(digest: Digest) -> String {
    format!("0x{digest}")
}

fn text(number: u64) -> String {
    number.to_string()
}
