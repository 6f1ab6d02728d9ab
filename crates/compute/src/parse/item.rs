//! What was bought (R083): rows between the head and the totals with a description and an amount.
//!
//! A receipt spreads an item over one, two or three rows: description, then code, quantity, price and amount in any
//! order. A row with an amount closes an item; words without one wait for it.

use crate::parse::amount::{self, Amount};
use crate::parse::check;
use crate::parse::expense::{Field, Item};
use crate::parse::layout::{Region, Row};
use crate::parse::{Reading, lexicon, sale, spelling};

/// The items of the recognition that explains the total best; the first one otherwise.
pub(crate) fn of(readings: &[Reading], total: Option<&Field<u64>>) -> Vec<Field<Item>> {
    let total = total.and_then(|total| i64::try_from(total.value).ok());
    let sets: Vec<Vec<Field<Item>>> = readings.iter().map(|reading| items(&reading.rows)).collect();
    let off = |set: &Vec<Field<Item>>| {
        let sum: i64 = set.iter().map(|item| item.value.amount).sum();
        total.map_or(0, |total| (sum - total).abs())
    };
    sets.into_iter().filter(|set| !set.is_empty()).min_by_key(off).unwrap_or_default()
}

fn items(rows: &[Row]) -> Vec<Field<Item>> {
    let end = rows.iter().position(closes).unwrap_or(rows.len());
    let begin = rows[..end].iter().position(opens).map_or(0, |index| index + 1);
    let mut items: Vec<Field<Item>> = Vec::new();
    let mut waiting: Option<(String, Region)> = None;
    for row in &rows[begin..end] {
        let amounts = amount::in_row(row);
        let letters = letters(row, &amounts);
        let last = amounts.iter().rev().find(|amount| amount.exact);
        match last {
            Some(last) => {
                let carried =
                    waiting.take().filter(|_| letters.chars().filter(|c| c.is_alphabetic()).count() < WORDY);
                let (description, at) = match carried {
                    Some((text, at)) if at.page == row.at.page => (text, at.around(row.at)),
                    _ => (letters, row.at),
                };
                if description.chars().any(char::is_alphanumeric) {
                    items.push(item(description, at, row, &amounts, last));
                }
            }
            None if !letters.is_empty() && !ignored(row) => waiting = Some((letters, row.at)),
            None => {}
        }
        if items.len() >= ITEMS_MAX {
            break;
        }
    }
    items
}

fn item(description: String, at: Region, row: &Row, amounts: &[Amount], last: &Amount) -> Field<Item> {
    let mut value = Item { description, quantity_milli: None, unit_price: None, amount: last.cents };
    let others: Vec<&Amount> = amounts.iter().filter(|amount| amount.from != last.from).collect();
    let mut proved = false;
    // A whole number is rather a count than a price.
    let mut counts: Vec<&Amount> = others.iter().copied().filter(|count| count.cents > 0).collect();
    counts.sort_by_key(|count| (count.exact, count.from));
    for count in counts {
        for price in others.iter().filter(|price| price.from != count.from) {
            let (Ok(unit), Ok(milli)) = (u64::try_from(price.cents), u64::try_from(count.cents * 10)) else {
                continue;
            };
            if !proved && milli < QUANTITY_MILLI_MAX && check::product(milli, unit, last.cents) {
                (value.quantity_milli, value.unit_price, proved) = (Some(milli), Some(unit), true);
            }
        }
    }
    if !proved && others.iter().any(|price| price.exact && price.cents == last.cents) {
        value.quantity_milli = Some(1_000);
        value.unit_price = u64::try_from(last.cents).ok();
    }
    let bps = (u32::from(last.bps.min(row.bps())) * 8 / 10) as u16 + if proved { 1_500 } else { 0 };
    Field { value, bps: bps.min(9_700), at: Some(at) }
}

/// What a row says beside its amounts.
fn letters(row: &Row, amounts: &[Amount]) -> String {
    let mut rest = String::new();
    let mut at = 0;
    for amount in amounts.iter().filter(|amount| amount.exact) {
        rest.push_str(row.text.get(at..amount.from).unwrap_or_default());
        rest.push(' ');
        at = amount.to;
    }
    rest.push_str(row.text.get(at..).unwrap_or_default());
    let words = rest.split_whitespace().filter(|word| {
        let marks = word.chars().all(|c| !c.is_alphanumeric());
        let code = word.chars().filter(char::is_ascii_digit).count() * 2 > word.chars().count()
            && word.chars().count() > 1;
        !marks && !code && !["RM", "SR", "ZR", "X", "x", "@", "S", "Z", "T"].contains(word)
    });
    words.collect::<Vec<_>>().join(" ").chars().take(DESCRIPTION_MAX).collect()
}

/// The heading of the list of goods.
fn opens(row: &Row) -> bool {
    let named = HEADINGS.iter().filter(|word| spelling::says(&row.folded, word)).count();
    named >= 2 && !amount::in_row(row).iter().any(|amount| amount.exact)
}

/// The first row of the totals.
fn closes(row: &Row) -> bool {
    let total = sale::is_total(row) && !amount::in_row(row).is_empty() && !opens(row);
    total || lexicon::SUBTOTALS.iter().any(|word| spelling::says(&row.folded, word))
}

fn ignored(row: &Row) -> bool {
    let head = spelling::words(&row.folded).iter().any(|word| lexicon::HEADS.contains(word));
    head || row.folded.contains(':')
}

const HEADINGS: &[&str] = &[
    "DESCRIPTION",
    "ITEM",
    "ITEMS",
    "QTY",
    "QUANTITY",
    "PRICE",
    "AMOUNT",
    "AMT",
    "CODE",
    "DESC",
    "U/P",
    "UNIT",
    "DISC",
    "TOTAL",
    "RM",
    "MENGE",
    "PREIS",
    "BETRAG",
    "HARGA",
    "KUANTITI",
    "UOM",
];
const ITEMS_MAX: usize = 500;
const DESCRIPTION_MAX: usize = 120;
/// A description of its own has so many letters.
const WORDY: usize = 3;
const QUANTITY_MILLI_MAX: u64 = 10_000_000;
