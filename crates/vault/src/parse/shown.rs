//! A reading in the words of the public messages (R083, R207).

use symphony_compute::parse::expense::{Checks, Expense, Field, Item, Method};
use symphony_compute::parse::layout::Region;
use symphony_compute::parse::record::attribute;
use symphony_protocol::artifact::parse::ParseOutcome;
use symphony_wire::v1::{ReadBox, ReadCheck, ReadField, ReadItem, ReceiptReading};

use crate::store::reading::Reading;

/// What the owner of a document sees of its reading.
pub(crate) fn shown(reading: &Reading) -> ReceiptReading {
    let mut shown = ReceiptReading { task_id: reading.task.0.0.to_vec(), ..ReceiptReading::default() };
    match reading.outcome {
        ParseOutcome::Refused(code) => shown.code = code.as_str().to_owned(),
        ParseOutcome::Parsed { record, quality } => {
            shown.record_commitment = reading.record().unwrap_or(record).0.0.to_vec();
            shown.completeness_bps = quality.completeness.0.into();
            shown.checks_bps = quality.checks.0.into();
            shown.confidence_bps = quality.confidence.0.into();
        }
    }
    if let Some(read) = &reading.read {
        let corrected = reading.corrected.as_ref();
        let expense = corrected.map_or(&read.expense, |corrected| &corrected.expense);
        shown.extractor = expense.extractor;
        shown.fields = fields(expense);
        for field in &mut shown.fields {
            field.corrected = corrected.is_some_and(|corrected| corrected.fields.contains(&field.name));
        }
        shown.items = expense.items.iter().map(item).collect();
        shown.checks = checks(&expense.checks);
    }
    shown
}

fn fields(expense: &Expense) -> Vec<ReadField> {
    let cents = |cents: &u64| format!("{}.{:02}", cents / 100, cents % 100);
    let all = [
        field("merchant", expense.merchant.as_ref(), String::clone),
        field("date", expense.date.as_ref(), |day| {
            format!("{:04}-{:02}-{:02}", day.year, day.month, day.day)
        }),
        field("time", expense.time.as_ref(), |time| {
            format!("{:02}:{:02}:{:02}", time.hour, time.minute, time.second)
        }),
        field("currency", expense.currency.as_ref(), String::clone),
        field("total", expense.total.as_ref(), cents),
        field("tax", expense.tax.as_ref(), cents),
        field("payment", expense.payment.as_ref(), |method| method_name(*method).to_owned()),
        field("number", expense.number.as_ref(), String::clone),
        field("country", expense.country.as_ref(), String::clone),
        field("city", expense.city.as_ref(), String::clone),
    ];
    all.into_iter().flatten().collect()
}

fn field<T>(name: &str, field: Option<&Field<T>>, value: impl Fn(&T) -> String) -> Option<ReadField> {
    let field = field?;
    Some(ReadField {
        name: name.to_owned(),
        value: value(&field.value),
        confidence_bps: field.bps.into(),
        attribute: attribute(name).unwrap_or_default().to_owned(),
        at: field.at.map(place),
        corrected: false,
    })
}

fn item(field: &Field<Item>) -> ReadItem {
    let Item { description, quantity_milli, unit_price, amount } = &field.value;
    ReadItem {
        description: description.clone(),
        quantity_milli: quantity_milli.unwrap_or(0),
        unit_price_cents: unit_price.unwrap_or(0),
        amount_cents: *amount,
        confidence_bps: field.bps.into(),
        at: field.at.map(place),
    }
}

fn checks(checks: &Checks) -> Vec<ReadCheck> {
    let all = [
        ("items_make_total", checks.items_make_total),
        ("paid_makes_total", checks.paid_makes_total),
        ("parts_make_total", checks.parts_make_total),
        ("quantities_make_amounts", checks.quantities_make_amounts),
    ];
    let made = all.into_iter().filter_map(|(name, holds)| Some((name, holds?)));
    made.map(|(name, holds)| ReadCheck { name: name.to_owned(), holds }).collect()
}

const fn method_name(method: Method) -> &'static str {
    match method {
        Method::Cash => "cash",
        Method::Card => "card",
        Method::Wallet => "wallet",
        Method::Voucher => "voucher",
    }
}

fn place(at: Region) -> ReadBox {
    ReadBox {
        page: at.page.into(),
        left: at.left,
        top: at.top,
        width: at.right.saturating_sub(at.left),
        height: at.bottom.saturating_sub(at.top),
    }
}
