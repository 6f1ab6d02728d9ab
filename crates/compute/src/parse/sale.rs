//! What was to be paid, and the amounts that prove it: subtotal, tax, rounding, what was given and given back (R083).

use crate::parse::amount::{self, Amount};
use crate::parse::certainty::{self, Points, Pool};
use crate::parse::expense::Field;
use crate::parse::layout::Row;
use crate::parse::{Reading, lexicon, spelling};

/// The amounts of a sale.
#[derive(Default)]
pub(crate) struct Sale {
    pub(crate) total: Option<Field<u64>>,
    pub(crate) tax: Option<Field<u64>>,
    pub(crate) subtotals: Vec<i64>,
    pub(crate) taxes: Vec<i64>,
    pub(crate) roundings: Vec<i64>,
    pub(crate) paid: Vec<i64>,
    pub(crate) change: Vec<i64>,
}

/// What one recognition says, by the words beside its amounts.
#[derive(Default)]
struct Named {
    totals: Vec<(Amount, Points)>,
    subtotals: Vec<Amount>,
    taxes: Vec<Amount>,
    roundings: Vec<Amount>,
    paid: Vec<Amount>,
    change: Vec<Amount>,
    /// Every amount with decimals.
    all: Vec<Amount>,
}

/// Reads the amounts of the sale.
pub(crate) fn of(readings: &[Reading]) -> Sale {
    let named: Vec<Named> = readings.iter().map(named).collect();
    let mut pool: Pool<u64> = Pool::default();
    let mut taxes: Pool<u64> = Pool::default();
    let proved = paid_less_change(&named);
    for (number, named) in named.iter().enumerate() {
        for (amount, label) in candidates(named, &proved) {
            let points = label + support(amount.cents, &proved, named) + legible(&amount);
            if let Some(cents) = u64::try_from(amount.cents).ok().filter(|cents| *cents > 0) {
                pool.add(number, cents, points, Some(amount.at));
            }
        }
    }
    let total = pool.best(&certainty::TOTAL);
    for (number, named) in named.iter().enumerate() {
        for tax in &named.taxes {
            let Ok(cents) = u64::try_from(tax.cents) else { continue };
            let Some(total) = total.as_ref() else { continue };
            // No sales tax of the world is above 30 %.
            if cents * 10 < total.value * 3 && cents > 0 {
                let usual = RATES.iter().any(|rate| is_share(cents, total.value, *rate));
                taxes.add(number, cents, Points::from(usual) * 4 + legible(tax), Some(tax.at));
            }
        }
    }
    let collect = |pick: fn(&Named) -> &Vec<Amount>| {
        let mut cents: Vec<i64> = named.iter().flat_map(pick).map(|amount| amount.cents).collect();
        cents.sort_unstable();
        cents.dedup();
        cents
    };
    Sale {
        total,
        tax: taxes.best(&certainty::TAX),
        subtotals: collect(|named| &named.subtotals),
        taxes: collect(|named| &named.taxes),
        roundings: collect(|named| &named.roundings),
        paid: collect(|named| &named.paid),
        change: collect(|named| &named.change),
    }
}

/// Whether a row names a total.
pub(crate) fn is_total(row: &Row) -> bool {
    label(&row.folded).is_some_and(|points| points >= 4)
}

/// The points of a row's words as a total's label; `None` if no word of totals is in it.
fn label(folded: &str) -> Option<Points> {
    let best = lexicon::TOTALS
        .iter()
        .filter(|(phrase, _)| spelling::says(folded, phrase))
        .map(|(_, points)| *points)
        .max()?;
    let spoilt: Points = lexicon::NOT_TOTALS
        .iter()
        .filter(|(phrase, _)| spelling::says(folded, phrase))
        .map(|(_, points)| *points)
        .min()
        .unwrap_or(0);
    Some(best + spoilt)
}

fn says_one(folded: &str, words: &[&str]) -> bool {
    words.iter().any(|word| spelling::says(folded, word))
}

fn named(reading: &Reading) -> Named {
    let mut named = Named::default();
    // Behind a word of rounding, and too much for one: perhaps what the rounding left.
    let mut left: Vec<Amount> = Vec::new();
    let rows = &reading.rows;
    for (index, row) in rows.iter().enumerate() {
        let amounts = amount::in_row(row);
        named.all.extend(amounts.iter().filter(|amount| amount.exact && amount.cents > 0));
        let label = label(&row.folded);
        let other = Kind::of(&row.folded);
        if label.is_none() && other.is_none() {
            continue;
        }
        let whole =
            amounts.iter().rev().find(|amount| !amount.exact && label.is_some_and(|points| points > 5));
        let Some(amount) = amounts
            .iter()
            .rev()
            .find(|amount| amount.exact)
            .or(whole)
            .copied()
            .or_else(|| beside(rows, index))
        else {
            continue;
        };
        if let Some(points) = label {
            named.totals.push((amount, points));
        }
        match other {
            Some(Kind::Subtotal) => named.subtotals.push(amount),
            Some(Kind::Tax) => named.taxes.push(amount),
            Some(Kind::Rounding) if amount.cents.abs() < ROUNDING_MAX => named.roundings.push(amount),
            Some(Kind::Rounding) if label.is_none() => left.push(amount),
            Some(Kind::Paid) => named.paid.push(amount),
            Some(Kind::Change) => named.change.push(amount),
            _ => {}
        }
    }
    for amount in left {
        let near = |(total, _): &(Amount, Points)| (total.cents - amount.cents).abs() < COIN;
        let points =
            if named.totals.is_empty() || named.totals.iter().any(near) { ROUNDED_POINTS } else { 0 };
        named.totals.push((amount, points));
    }
    named
}

enum Kind {
    Subtotal,
    Tax,
    Rounding,
    Paid,
    Change,
}

impl Kind {
    fn of(folded: &str) -> Option<Self> {
        if says_one(folded, lexicon::CHANGE) {
            Some(Self::Change)
        } else if says_one(folded, lexicon::SUBTOTALS) {
            Some(Self::Subtotal)
        } else if says_one(folded, lexicon::ROUNDING) {
            Some(Self::Rounding)
        } else if says_one(folded, lexicon::PAID) && !says_one(folded, &["CASHIER"]) {
            Some(Self::Paid)
        } else if says_one(folded, lexicon::TAXES)
            && !says_one(
                folded,
                &["REG", "ID", "INVOICE", "INCL", "INCLUSIVE", "INCLUDING", "EXCL", "EXCLUDING"],
            )
        {
            Some(Self::Tax)
        } else {
            None
        }
    }
}

/// The amount of a label that stands alone: just below it, or in a row of its own at the same height.
fn beside(rows: &[Row], index: usize) -> Option<Amount> {
    let row = &rows[index];
    let near = |other: &&Row| {
        other.at.page == row.at.page && other.at.top < row.at.bottom + 2 * row.letter_height().max(8)
    };
    let below = rows.get(index + 1).filter(near);
    let above = index
        .checked_sub(1)
        .and_then(|above| rows.get(above))
        .filter(|above| above.at.bottom > row.at.top + row.at.height() / 3);
    [below, above].into_iter().flatten().find_map(|other| {
        let bare = other.folded.chars().filter(|c| c.is_alphabetic()).count() <= 3;
        let amount = amount::in_row(other).into_iter().rev().find(|amount| amount.exact)?;
        (bare && label(&other.folded).is_none()).then_some(amount)
    })
}

/// Labelled totals; and, for want of any, amounts that what was given and given back, or repetition, point to.
fn candidates(named: &Named, proved: &[i64]) -> Vec<(Amount, Points)> {
    let mut candidates = named.totals.clone();
    for amount in &named.all {
        let repeated = named.all.iter().filter(|other| other.cents == amount.cents).count();
        if proved.contains(&amount.cents) || repeated > 1 {
            candidates.push((*amount, 1));
        }
    }
    for (total, label) in named.totals.iter().filter(|(_, label)| *label >= 5) {
        candidates.extend(named.roundings.iter().filter_map(|rounding| rounded(total, *label, rounding)));
    }
    if named.change.iter().all(|change| change.cents == 0) {
        // Cash without change, or a card, was given exactly.
        candidates.extend(named.paid.iter().map(|paid| (*paid, 2)));
    }
    candidates
}

/// A total and the rounding printed beside it make what was to be paid, whether or not that is legible itself.
fn rounded(total: &Amount, label: Points, rounding: &Amount) -> Option<(Amount, Points)> {
    let whole = |cents: i64| (cents % COIN == 0).then_some(cents);
    let cents = whole(total.cents + rounding.cents).or_else(|| whole(total.cents - rounding.cents))?;
    let already = total.cents % COIN == 0 || rounding.cents == 0 || rounding.cents.abs() >= COIN;
    (!already).then_some((Amount { cents, ..*total }, label))
}

/// What was given less what was given back, whichever recognition read the one and the other.
fn paid_less_change(named: &[Named]) -> Vec<i64> {
    let paid = || named.iter().flat_map(|named| &named.paid).map(|paid| paid.cents);
    let change = named.iter().flat_map(|named| &named.change);
    change
        .flat_map(|change| paid().map(|paid| paid - change.cents.abs()))
        .filter(|cents| *cents > 0)
        .collect()
}

/// What other amounts say for this one.
fn support(cents: i64, proved: &[i64], named: &Named) -> Points {
    let mut points = 0;
    let roundings: Vec<i64> = named.roundings.iter().map(|rounding| rounding.cents).collect();
    if proved.contains(&cents) {
        points += 6;
    }
    if named.paid.iter().any(|paid| paid.cents == cents) {
        points += 2;
    }
    let with_rounding = |sum: i64| {
        sum == cents || roundings.iter().any(|rounding| sum + rounding == cents || sum - rounding == cents)
    };
    let parts = named.subtotals.iter().any(|subtotal| {
        with_rounding(subtotal.cents)
            || named.taxes.iter().any(|tax| with_rounding(subtotal.cents + tax.cents))
    });
    if parts {
        points += 2;
    }
    // The total after rounding differs from another total by the rounding.
    if roundings.iter().any(|rounding| {
        *rounding != 0 && named.totals.iter().any(|(other, _)| other.cents + rounding == cents)
    }) {
        points += 4;
    }
    let same = named.all.iter().filter(|other| other.cents == cents).count();
    points += Points::try_from(same.saturating_sub(1).min(3)).unwrap_or(0);
    // Nothing but what was given is above the total.
    let larger = named.totals.iter().filter(|(other, points)| other.cents > cents && *points >= 5).count();
    points -= Points::try_from(larger.min(3)).unwrap_or(0);
    let sum = goods_sum(named, cents);
    points + if sum { 2 } else { 0 }
}

/// Whether some amounts before the first with this value add up to it.
fn goods_sum(named: &Named, cents: i64) -> bool {
    let Some(first) = named.all.iter().position(|amount| amount.cents == cents) else { return false };
    let before = &named.all[..first];
    (2..=before.len())
        .any(|count| before[before.len() - count..].iter().map(|amount| amount.cents).sum::<i64>() == cents)
}

/// Points for how well an amount was recognised.
fn legible(amount: &Amount) -> Points {
    let sure = Points::from(amount.bps / 2_500);
    sure - 2 * Points::from(amount.repaired) - if amount.exact { 0 } else { 4 }
}

/// Whether `part` is `rate` percent of what `whole` holds without it, or of `whole`, but for rounding.
fn is_share(part: u64, whole: u64, rate: u64) -> bool {
    let close = |expected: u64| part.abs_diff(expected) <= 2;
    close(whole * rate / (100 + rate)) || close(whole * rate / 100)
}

/// Usual sales taxes in percent.
const RATES: &[u64] = &[5, 6, 7, 8, 9, 10, 11, 12, 15, 18, 19, 20, 21, 22, 25];
/// An amount behind a word of rounding that is none.
const ROUNDED_POINTS: Points = 8;
/// The smallest coin where totals are rounded. **Units**: hundredths.
const COIN: i64 = 5;
/// Roundings to coins are below this. **Units**: hundredths.
const ROUNDING_MAX: i64 = 100;
