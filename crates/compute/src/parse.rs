//! Reading a receipt: words with their places and recognition confidences in, one [`Expense`] out (R082-R084).
//!
//! Everything is a pure function over integers: the same words give the same bytes on every machine. Knowledge of
//! receipts is general (legal forms, words for totals, taxes, payments and dates, habits of character recognition);
//! no rule names a shop. Each value says how sure it is, in basis points, and where on the page it stands. Several recognitions of the same page may be given; what they agree on is trusted more.

use serde::{Deserialize, Serialize};

pub mod amount;
pub mod bbox;
pub mod correct;
pub mod date;
pub mod expense;
pub mod layout;
pub mod record;
pub mod tsv;

mod certainty;
mod check;
mod item;
mod lexicon;
mod merchant;
mod payment;
mod place;
mod sale;
mod spelling;

use expense::{EXTRACTOR, Expense, Field, Quality};
use layout::{Row, Word};

/// All words of one recognition of a document, in page coordinates that all recognitions share.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scan {
    /// The words, in any order.
    pub words: Vec<Word>,
}

/// Why a document is no receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum NotAReceipt {
    /// Hardly a word was recognised.
    #[error("there is no text to read")]
    NoText,
    /// There is text, but no amount of money.
    #[error("no amount of money is named")]
    NoAmount,
    /// There are amounts, but nothing says that something was sold.
    #[error("nothing says that something was sold")]
    NoSale,
}

/// One recognition, read as far as every field's candidates need it.
pub(crate) struct Reading {
    rows: Vec<Row>,
}

/// Reads the expense out of one or several recognitions of the same document.
///
/// **Errors**: [`NotAReceipt`], a decision and not a failure.
pub fn extract(scans: &[Scan]) -> Result<Expense, NotAReceipt> {
    let readings: Vec<Reading> =
        scans.iter().map(|scan| Reading { rows: layout::rows(&scan.words) }).collect();
    refuse_other_papers(&readings)?;
    let place = place::of(&readings);
    let date = date::of(&readings, place.month_first());
    let merchant = merchant::of(&readings);
    let sale = sale::of(&readings);
    let payment = payment::of(&readings);
    // Items are read where most of the sale was understood.
    let items = item::of(&readings, sale.total.as_ref());
    let checks = check::of(&sale, &items);
    let mut expense = Expense {
        extractor: EXTRACTOR,
        merchant,
        date: date.date,
        time: date.time,
        currency: place::currency(&readings, &place),
        total: sale.total,
        tax: sale.tax,
        payment: payment.method,
        number: payment.number,
        country: place.country,
        city: place.city,
        items,
        checks,
        quality: Quality::default(),
    };
    expense.quality = check::quality(&expense);
    Ok(expense)
}

/// Whether another recognition may be worth its cost: a leading field is missing or unsure.
pub fn doubtful(read: &Result<Expense, NotAReceipt>) -> bool {
    let unsure = |confidence: Option<u16>, enough: u16| confidence.is_none_or(|sure| sure < enough);
    match read {
        Err(_) => true,
        Ok(expense) => {
            unsure(expense.merchant.as_ref().map(Field::bps), NAME_ENOUGH)
                || unsure(expense.date.as_ref().map(Field::bps), DATE_ENOUGH)
                || unsure(expense.total.as_ref().map(Field::bps), TOTAL_ENOUGH)
        }
    }
}

fn refuse_other_papers(readings: &[Reading]) -> Result<(), NotAReceipt> {
    let rows = || readings.iter().flat_map(|reading| &reading.rows);
    let letters: usize = rows().map(|row| row.text.chars().filter(|c| c.is_alphanumeric()).count()).sum();
    if letters < LETTERS_MIN * readings.len().max(1) {
        return Err(NotAReceipt::NoText);
    }
    let amounts = rows().filter(|row| amount::in_row(row).iter().any(|amount| amount.exact)).count();
    let whole = rows().filter(|row| sale::is_total(row) && !amount::in_row(row).is_empty()).count();
    if amounts + whole == 0 {
        return Err(NotAReceipt::NoAmount);
    }
    let mut signs: Vec<&str> = rows().flat_map(|row| lexicon::signs_of_sale(&row.folded)).collect();
    signs.sort_unstable();
    signs.dedup();
    if signs.len() < SIGNS_MIN {
        return Err(NotAReceipt::NoSale);
    }
    Ok(())
}

/// A day less sure than this is worth another look.
const DATE_ENOUGH: u16 = 8_000;
/// A total less sure than this.
const TOTAL_ENOUGH: u16 = 6_000;
/// A name less sure than this; another look seldom mends one.
const NAME_ENOUGH: u16 = 3_000;
const LETTERS_MIN: usize = 20;
const SIGNS_MIN: usize = 2;

#[cfg(test)]
mod tests;
