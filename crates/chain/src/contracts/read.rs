//! What view functions return, as the answers of the port. Numbers of 64 bits and digests come as text.

use std::collections::BTreeMap;

use serde_json::Value;
use symphony_types::amount::Sym;
use symphony_types::digest::Digest;
use symphony_types::id::{AccountId, EpochId, LockRef, PolicyVersion, TaskId};
use symphony_types::time::OrderedMillis;

use super::call::class;
use super::fullnode::Refused;
use crate::ledger::escrow::{Lock, LockState};
use crate::ledger::query::Minting;
use crate::ledger::reward::{Totals, Tree};
use crate::ledger::staking::Stake;
use crate::transaction::RecipientClass;

/// The values that a view returned, taken one after the other; `None` where one is not what it should be.
pub(super) struct Values(std::vec::IntoIter<Value>);

impl Values {
    pub(super) fn of(body: Value) -> Option<Self> {
        match body {
            Value::Array(values) => Some(Self(values.into_iter())),
            _ => None,
        }
    }

    pub(super) fn number(&mut self) -> Option<u64> {
        number(&self.0.next()?)
    }

    pub(super) fn sym(&mut self) -> Option<Sym> {
        self.number().map(Sym)
    }

    pub(super) fn digest(&mut self) -> Option<Digest> {
        digest(&self.0.next()?)
    }

    pub(super) fn flag(&mut self) -> Option<bool> {
        self.0.next()?.as_bool()
    }

    pub(super) fn digests(&mut self) -> Option<Vec<Digest>> {
        self.0.next()?.as_array()?.iter().map(digest).collect()
    }

    fn numbers(&mut self) -> Option<Vec<u64>> {
        self.0.next()?.as_array()?.iter().map(number).collect()
    }
}

/// A number, as text when it may be large.
pub(super) fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// 32 bytes; leading zeros may be left out.
pub(super) fn digest(value: &Value) -> Option<Digest> {
    let digits = value.as_str()?.strip_prefix("0x")?;
    if digits.is_empty() || digits.len() > 64 {
        return None;
    }
    Digest::from_hex(&format!("{digits:0>64}"))
}

/// Of `escrow::get`, with what `escrow::settlement` says once it is settled.
pub(super) fn lock(lock: LockRef, mut got: Values, settlement: Option<Values>) -> Option<Lock> {
    let (owner, request) = (AccountId(got.digest()?), got.digest()?);
    let (amount, held) = (got.sym()?, got.sym()?);
    let policy_version = PolicyVersion(u32::try_from(got.number()?).ok()?);
    let expires = OrderedMillis(got.number()?);
    let state = match (got.number()?, settlement) {
        (HELD, _) => LockState::Held,
        (SETTLED, Some(mut settled)) => LockState::Settled {
            task: TaskId(settled.digest()?),
            charged: settled.sym()?,
            refunded: settled.sym()?,
        },
        (RECLAIMED, _) => LockState::Reclaimed,
        _ => return None,
    };
    Some(Lock { lock, owner, request, amount, held, policy_version, expires, state })
}

/// Of `staking::stake`.
pub(super) fn stake(mut values: Values) -> Option<Stake> {
    let (deposit, cooling) = (values.sym()?, values.sym()?);
    Some(Stake { deposit, cooling, matures: OrderedMillis(values.number()?) })
}

/// Of `reward::tree`.
pub(super) fn tree(mut values: Values) -> Option<Tree> {
    let (root, leaves) = (values.digest()?, values.number()?);
    Some(Tree { root, leaves, total: values.sym()?, unclaimed: values.sym()? })
}

/// Of `inflation::epochs`.
pub(super) fn minting(mut values: Values) -> Option<Minting> {
    let (next, ends) = (values.number()?, values.number()?);
    Some(Minting { next, ends, due: OrderedMillis(values.number()?) })
}

/// Of `reward::batch`: the digest of its bytes and its epoch; `None` inside when it was not executed.
pub(super) fn executed(mut values: Values) -> Option<Option<(Digest, EpochId)>> {
    let executed = values.flag()?;
    let found = (values.digest()?, EpochId(values.number()?));
    Some(executed.then_some(found))
}

/// Of `reward::batch_totals`.
pub(super) fn totals(mut totals: Values) -> Option<Totals> {
    let (charged, refunded) = (totals.sym()?, totals.sym()?);
    let (subsidised, drawn) = (totals.sym()?, totals.sym()?);
    let paid = totals.numbers()?;
    let of_class = |one: RecipientClass| Some((one, Sym(*paid.get(usize::from(class(one)))?)));
    let classes: Option<BTreeMap<_, _>> = CLASSES.into_iter().map(of_class).collect();
    let mut classes = classes?;
    // As the ledger: those of the batch's own fields always, others when somebody was paid.
    let fields = [RecipientClass::Contributor, RecipientClass::Treasury];
    classes.retain(|one, amount| fields.contains(one) || *amount > Sym::ZERO);
    Some(Totals {
        charged,
        refunded,
        subsidised,
        drawn,
        classes,
        carried: totals.sym()?,
        pool_return: totals.sym()?,
    })
}

/// The reason in the abort code of a text such as `Move abort in 0x1::escrow: E_LOCK_UNKNOWN(0x6000c): ...`, or
/// `... sub_status: Some(393228) ...` of a view; `None` when no abort is told.
pub fn reason(text: &str) -> Option<u16> {
    let code = match text.split_once("Move abort in ") {
        Some((_, told)) => {
            let (_, told) = told.split_once(": ")?;
            let (_, digits) = told.split_once("0x")?;
            u64::from_str_radix(leading(digits, |c| c.is_ascii_hexdigit()), 16).ok()?
        }
        None => {
            let (_, digits) = text.split_once("sub_status: Some(")?;
            leading(digits, |c| c.is_ascii_digit()).parse().ok()?
        }
    };
    u16::try_from(code & 0xffff).ok()
}

fn leading(text: &str, of: impl Fn(char) -> bool) -> &str {
    &text[..text.find(|c| !of(c)).unwrap_or(text.len())]
}

/// Whether a view was refused because what was asked for is not there.
pub(super) fn missing(refused: &Refused) -> bool {
    matches!(reason(&refused.message), Some(LOCK_UNKNOWN | TREE_UNKNOWN))
}

const HELD: u64 = 0;
const SETTLED: u64 = 1;
const RECLAIMED: u64 = 2;
/// Reasons of the contracts.
const LOCK_UNKNOWN: u16 = 12;
const TREE_UNKNOWN: u16 = 31;
const CLASSES: [RecipientClass; 6] = [
    RecipientClass::Contributor,
    RecipientClass::VaultOperator,
    RecipientClass::Executor,
    RecipientClass::Aggregator,
    RecipientClass::Verifier,
    RecipientClass::Treasury,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_abort_is_found_however_it_is_told() {
        for (text, told) in [
            ("Move abort in 0xa0::escrow: E_LOCK_UNKNOWN(0x6000c): There is no such lock", Some(12)),
            ("Move abort in 0xa0::reward: 0x6001f", Some(31)),
            ("VMError { major_status: ABORTED, sub_status: Some(393228), message: None }", Some(12)),
            ("Executed successfully", None),
            ("Move abort in 0xa0::reward: soon", None),
            ("Move abort in ", None),
            ("Out of gas", None),
        ] {
            assert_eq!(reason(text), told, "{text}");
        }
    }

    #[test]
    fn values_that_are_not_what_they_should_be_are_refused() {
        let of = |value: Value| Values::of(value).unwrap();
        assert_eq!(of(serde_json::json!(["18446744073709551615", 7])).number(), Some(u64::MAX));
        assert_eq!(of(serde_json::json!(["-1"])).number(), None);
        assert_eq!(of(serde_json::json!(["0x1"])).digest().map(|digest| digest.0[31]), Some(1));
        assert_eq!(of(serde_json::json!([format!("0x{}", "0".repeat(65))])).digest(), None);
        assert_eq!(of(serde_json::json!([])).flag(), None);
        assert!(Values::of(serde_json::json!({})).is_none());
    }
}
