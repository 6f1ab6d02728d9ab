//! Whether the amounts of a receipt agree, and what a data-quality score is made of (R083, R086).

use crate::parse::expense::{Checks, Expense, Field, Item, Quality};
use crate::parse::sale::Sale;

/// Checks the amounts against each other.
pub(crate) fn of(sale: &Sale, items: &[Field<Item>]) -> Checks {
    let Some(total) = sale.total.as_ref().and_then(|total| i64::try_from(total.value).ok()) else {
        return Checks::default();
    };
    let mut roundings = sale.roundings.clone();
    roundings.push(0);
    let rounded =
        |sum: i64| roundings.iter().any(|rounding| sum + rounding == total || sum - rounding == total);
    let taxed = |sum: i64| rounded(sum) || sale.taxes.iter().any(|tax| rounded(sum + tax));
    let goods: i64 = items.iter().map(|item| item.value.amount).sum();
    let products: Vec<(u64, u64, i64)> = items
        .iter()
        .filter_map(|item| Some((item.value.quantity_milli?, item.value.unit_price?, item.value.amount)))
        .collect();
    let (paid, change) = (&sale.paid, &sale.change);
    Checks {
        items_make_total: (!items.is_empty()).then(|| taxed(goods)),
        paid_makes_total: (!paid.is_empty()).then(|| {
            paid.iter().any(|paid| *paid == total || change.iter().any(|change| paid - change.abs() == total))
        }),
        parts_make_total: (!sale.subtotals.is_empty())
            .then(|| sale.subtotals.iter().any(|subtotal| taxed(*subtotal))),
        quantities_make_amounts: (!products.is_empty())
            .then(|| products.iter().all(|(quantity, price, amount)| product(*quantity, *price, *amount))),
    }
}

/// Whether quantity times price is the amount, but for a hundredth.
pub(crate) fn product(quantity_milli: u64, unit_price: u64, amount: i64) -> bool {
    let exact = u128::from(quantity_milli) * u128::from(unit_price);
    let wanted = u128::from(amount.unsigned_abs()) * 1_000;
    exact.abs_diff(wanted) <= 1_000
}

/// The ingredients of the score.
pub(crate) fn quality(expense: &Expense) -> Quality {
    let found: Vec<u16> = [
        expense.merchant.as_ref().map(Field::bps),
        expense.date.as_ref().map(Field::bps),
        expense.total.as_ref().map(Field::bps),
        expense.currency.as_ref().map(Field::bps),
        expense.country.as_ref().map(Field::bps),
        expense.number.as_ref().map(Field::bps),
        expense.payment.as_ref().map(Field::bps),
        expense.items.iter().map(Field::bps).min(),
    ]
    .into_iter()
    .flatten()
    .collect();
    let checks = &expense.checks;
    let made: Vec<bool> = [
        checks.items_make_total,
        checks.paid_makes_total,
        checks.parts_make_total,
        checks.quantities_make_amounts,
    ]
    .into_iter()
    .flatten()
    .collect();
    let share = |part: usize, whole: usize| u16::try_from(part * 10_000 / whole.max(1)).unwrap_or(10_000);
    let sum: usize = found.iter().map(|bps| usize::from(*bps)).sum();
    Quality {
        completeness: share(found.len(), FIELDS),
        consistency: share(made.iter().filter(|held| **held).count(), made.len()),
        confidence: u16::try_from(sum / found.len().max(1)).unwrap_or(10_000),
    }
}

/// Fields that a whole receipt has.
const FIELDS: usize = 8;
