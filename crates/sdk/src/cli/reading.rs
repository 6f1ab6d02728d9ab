//! How the reading of a receipt looks on a terminal (R083). What was read is another's text: it reaches the terminal
//! without its control characters.

use symphony_sdk::shape::{ReceiptEntry, ReceiptReading};
use symphony_types::catalogue;

use super::show;

/// Who sold, where it was read.
pub(super) fn merchant(receipt: &ReceiptEntry) -> String {
    value(receipt, "merchant")
}

/// When, likewise.
pub(super) fn date(receipt: &ReceiptEntry) -> String {
    value(receipt, "date")
}

/// Where, likewise.
pub(super) fn city(receipt: &ReceiptEntry) -> String {
    value(receipt, "city")
}

/// How much with its currency, likewise.
pub(super) fn total(receipt: &ReceiptEntry) -> String {
    format!("{} {}", value(receipt, "total"), value(receipt, "currency")).trim().to_owned()
}

fn value(receipt: &ReceiptEntry, field: &str) -> String {
    let value = receipt.reading.as_ref().and_then(|reading| reading.value(field));
    value.map(plain).unwrap_or_default()
}

/// The parts of the quality score in percent: complete, checks, sure.
pub(super) fn score(reading: &ReceiptReading) -> [String; 3] {
    [reading.completeness_bps, reading.checks_bps, reading.confidence_bps].map(percent)
}

/// A code and what it means.
pub(super) fn reason(code: &str) -> String {
    let title = catalogue::by_str(code).map_or("", |code| code.title());
    format!("{} {title}", plain(code)).trim().to_owned()
}

/// All that was read: the fields, the items and the checks.
pub(super) fn whole(reading: &ReceiptReading) -> String {
    let [complete, checks, sure] = score(reading);
    let mut facts = vec![["task".to_owned(), plain(&reading.task_id)]];
    if !reading.code.is_empty() {
        facts.push(["not read".to_owned(), reason(&reading.code)]);
        return show::table(["", ""], facts);
    }
    facts.extend([
        ["record".to_owned(), plain(&reading.record_commitment)],
        ["rules".to_owned(), format!("version {}", reading.extractor)],
        ["complete".to_owned(), complete],
        ["checks".to_owned(), checks],
        ["sure".to_owned(), sure],
    ]);
    let fields = reading.fields.iter().map(|field| {
        let goes = if field.attribute.is_empty() { LOCAL.to_owned() } else { plain(&field.attribute) };
        let sure = if field.corrected { OWN.to_owned() } else { percent(field.confidence_bps) };
        [plain(&field.name), plain(&field.value), sure, goes]
    });
    let mut text = show::table(["", ""], facts);
    text = format!("{text}\n{}", show::table(["field", "value", "sure", "attribute"], fields));
    if !reading.items.is_empty() {
        let items = reading.items.iter().map(|item| {
            let price = if item.unit_price_cents == 0 { String::new() } else { cents(item.unit_price_cents) };
            let sign = if item.amount_cents < 0 { "-" } else { "" };
            [
                plain(&item.description),
                milli(item.quantity_milli),
                price,
                format!("{sign}{}", cents(item.amount_cents.unsigned_abs())),
                percent(item.confidence_bps),
            ]
        });
        let head = ["item", "quantity", "price", "amount", "sure"];
        text = format!("{text}\n{}", show::table(head, items));
    }
    if !reading.checks.is_empty() {
        let checks = reading.checks.iter();
        let checks =
            checks.map(|check| [plain(&check.name).replace('_', " "), show::yes(check.holds).to_owned()]);
        text = format!("{text}\n{}", show::table(["check", "holds"], checks));
    }
    text
}

/// A text as one line that moves no cursor.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|sign| if sign.is_control() { '\u{fffd}' } else { sign }).collect()
}

/// Basis points as percent.
fn percent(bps: u32) -> String {
    format!("{}.{} %", bps / 100, bps % 100 / 10)
}

fn cents(amount: u64) -> String {
    format!("{}.{:02}", amount / 100, amount % 100)
}

/// Thousandths without needless zeros; nothing where nothing is printed.
fn milli(quantity: u64) -> String {
    match (quantity / 1_000, quantity % 1_000) {
        (0, 0) => String::new(),
        (whole, 0) => whole.to_string(),
        (whole, part) => format!("{whole}.{part:03}").trim_end_matches('0').to_owned(),
    }
}

/// Stands for the attribute of a candidate that stays at the Vault.
const LOCAL: &str = "local";
/// Stands for the certainty of a value that the owner corrected.
const OWN: &str = "corrected";

#[cfg(test)]
mod tests {
    use super::*;

    /// R083: amounts, quantities and certainties are written exactly, and what is not printed is left out.
    #[test]
    fn numbers_are_written_as_they_were_read() {
        assert_eq!([0, 5, 12_30, u64::MAX].map(cents), ["0.00", "0.05", "12.30", "184467440737095516.15"]);
        assert_eq!([0, 1_000, 500, 1_250, 2_010].map(milli), ["", "1", "0.5", "1.25", "2.01"]);
        assert_eq!([0, 9_375, 10_000].map(percent), ["0.0 %", "93.7 %", "100.0 %"]);
    }

    /// R083: a receipt cannot write to the terminal of whoever looks at it.
    #[test]
    fn control_characters_of_a_receipt_reach_no_terminal() {
        assert_eq!(
            plain("caf\u{e9} \u{1b}[2J\r\n\u{9b}1m"),
            "caf\u{e9} \u{fffd}[2J\u{fffd}\u{fffd}\u{fffd}1m"
        );
    }

    /// R210: a code is shown with its meaning, and one of a later version by itself.
    #[test]
    fn codes_are_shown_with_their_meaning() {
        assert_eq!(reason("VLT-0013"), "VLT-0013 the document is no receipt");
        assert_eq!(reason("VLT-9999"), "VLT-9999");
    }
}
