//! The reference ledger's calls and events in the words of the contracts, so that both can be compared and either can be driven.

use serde_json::{Map, Value, json};
use symphony_chain::ledger::{Abort, Event, accounts, escrow, reward, staking, treasury};
use symphony_chain::transaction::{Call, PayoutBatch, RecipientClass, Release, Tier};
use symphony_types::digest::Digest;
use symphony_types::key::{Signed, Treasury};

use crate::genesis::{address, call};
use crate::vm;

/// The entry function that does what the ledger's call does.
pub fn entry(wanted: &Call) -> vm::Call {
    let (module, function, args) = match wanted {
        Call::Transfer { to, amount } => ("sym", "transfer", vec![bytes(to), bytes(amount)]),
        Call::EscrowLock { request, amount, policy_version, expires } => {
            let args = vec![bytes(request), bytes(amount), bytes(policy_version), bytes(expires)];
            ("escrow", "lock", args)
        }
        Call::EscrowReclaim { lock } => ("escrow", "reclaim", vec![bytes(lock)]),
        Call::StakeDeposit { tier, amount } => {
            ("staking", "deposit", vec![bytes(&number(*tier)), bytes(amount)])
        }
        Call::StakeWithdrawRequest { tier, amount } => {
            ("staking", "request_withdrawal", vec![bytes(&number(*tier)), bytes(amount)])
        }
        Call::StakeWithdraw { tier } => ("staking", "withdraw", vec![bytes(&number(*tier))]),
        Call::Slash { account, tier, amount, reference } => {
            let args = vec![bytes(account), bytes(&number(*tier)), bytes(amount), bytes(reference)];
            ("staking", "slash", args)
        }
        Call::Payout(batch) => ("reward", "payout", payout(batch)),
        Call::ClaimDividend { vault, epoch, index, amount, path } => {
            let args = vec![bytes(vault), bytes(epoch), bytes(index), bytes(amount), bytes(path)];
            ("reward", "claim", args)
        }
        Call::TreasuryRelease { release, approvals } => {
            ("treasury", "release", releasing(release, approvals))
        }
    };
    call((address(), module), function, args)
}

/// Lists of the batch's parts, in the order of the entry function's parameters.
fn payout(batch: &PayoutBatch) -> Vec<Vec<u8>> {
    let PayoutBatch { settlements, subsidies, payees, dividends, carries, anchors, .. } = batch;
    vec![
        bytes(&batch.batch_id),
        bytes(&batch.epoch),
        list(settlements, |entry| entry.lock),
        list(settlements, |entry| entry.task),
        list(settlements, |entry| entry.charged),
        list(settlements, |entry| entry.refunded),
        list(subsidies, |entry| entry.task),
        list(subsidies, |entry| entry.amount),
        list(payees, |entry| entry.account),
        list(payees, |entry| class(entry.class)),
        list(payees, |entry| entry.amount),
        list(dividends, |entry| entry.vault.clone()),
        list(dividends, |entry| entry.root),
        list(dividends, |entry| entry.leaves),
        list(dividends, |entry| entry.total),
        list(carries, |entry| entry.vault.clone()),
        list(carries, |entry| entry.into),
        list(carries, |entry| entry.out_of),
        bytes(&batch.pool_return),
        bytes(&batch.treasury),
        list(anchors, |entry| entry.task),
        list(anchors, |entry| entry.settlement_root),
    ]
}

fn releasing(release: &Release, approvals: &[Signed<Release, Treasury>]) -> Vec<Vec<u8>> {
    let keys: Vec<Vec<u8>> = approvals.iter().map(|approval| approval.key.as_bytes().to_vec()).collect();
    let signatures: Vec<Vec<u8>> = approvals.iter().map(|approval| approval.signature.0.to_vec()).collect();
    vec![
        bytes(&release.chain),
        bytes(&release.to),
        bytes(&release.amount),
        bytes(&release.proposal),
        bytes(&keys),
        bytes(&signatures),
    ]
}

fn list<T, V: serde::Serialize>(entries: &[T], field: impl Fn(&T) -> V) -> Vec<u8> {
    bytes(&entries.iter().map(field).collect::<Vec<V>>())
}

fn bytes<T: serde::Serialize>(value: &T) -> Vec<u8> {
    symphony_types::canonical::to_bytes(value)
}

/// The number of a tier in the contracts.
pub const fn number(tier: Tier) -> u8 {
    match tier {
        Tier::Master => 0,
        Tier::Enterprise => 1,
        Tier::Producer => 2,
    }
}

/// The number of a class in the contracts: its place in canonical bytes.
pub const fn class(class: RecipientClass) -> u8 {
    match class {
        RecipientClass::Contributor => 0,
        RecipientClass::VaultOperator => 1,
        RecipientClass::Executor => 2,
        RecipientClass::Aggregator => 3,
        RecipientClass::Verifier => 4,
        RecipientClass::Treasury => 5,
    }
}

/// The reason in a Move abort code, as the ledger's abort; `None` when only the contracts have it.
pub fn abort(code: u64) -> Option<Abort> {
    let reason = usize::try_from(code & 0xffff).ok()?.checked_sub(1)?;
    Abort::ALL.get(reason).copied()
}

/// A ledger's event as the contracts announce it: module and name, and the fields as the VM shows them. `None` for the execution
/// itself, which is the transaction.
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
    };
    Some((name.into(), data))
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
        Map::from_iter([("account".into(), hex(account).into()), ("tier".into(), number(tier).into())])
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
