//! The record of an expense: what a receipt says, how sure that is and where it stands (R083, R084).

use serde::{Deserialize, Serialize};
use symphony_types::canonical;
use symphony_types::digest::Digest;

use crate::parse::layout::Region;

/// Which rules read the record; rises with every change of what they answer.
pub const EXTRACTOR: u32 = 3;

/// A value that was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field<T> {
    /// The value.
    pub value: T,
    /// How likely it is right; the benchmark `parse` compares it with the truth. **Units**: basis points.
    pub bps: u16,
    /// Where it stands; `None` if it follows from other words.
    pub at: Option<Region>,
}

/// A day of the civil calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Day {
    /// From 1990 to 2079.
    pub year: u16,
    /// From 1.
    pub month: u8,
    /// From 1.
    pub day: u8,
}

/// A time of the day where the receipt was printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Clock {
    /// From 0 to 23.
    pub hour: u8,
    /// From 0 to 59.
    pub minute: u8,
    /// From 0 to 59; zero if it is not printed.
    pub second: u8,
}

/// How the buyer paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Coins and notes.
    Cash,
    /// A credit or debit card.
    Card,
    /// A telephone's wallet or a transfer by a code.
    Wallet,
    /// A voucher or a balance of the shop's own.
    Voucher,
}

/// One thing that was bought.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// As printed.
    pub description: String,
    /// **Units**: thousandths, for what is weighed.
    pub quantity_milli: Option<u64>,
    /// **Units**: hundredths of the currency.
    pub unit_price: Option<u64>,
    /// What it cost in all. **Units**: hundredths of the currency; negative for a discount.
    pub amount: i64,
}

/// Cross-checks of the amounts; `None` where the receipt does not print what a check needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checks {
    /// The items, with or without the tax and the rounding, make the total.
    pub items_make_total: Option<bool>,
    /// What was given less the change is the total.
    pub paid_makes_total: Option<bool>,
    /// The subtotal, the tax and the rounding make the total.
    pub parts_make_total: Option<bool>,
    /// Each quantity times its price is its amount.
    pub quantities_make_amounts: Option<bool>,
}

/// What a data-quality score is made of. **Units**: basis points each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quality {
    /// Share of the fields that were found.
    pub completeness: u16,
    /// Share of the possible cross-checks that hold; zero if none was possible.
    pub consistency: u16,
    /// Average confidence of the fields that were found.
    pub confidence: u16,
}

/// What a receipt is recognised by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Of what is printed on it.
    pub digest: Digest,
    /// Whether nobody else has a receipt that prints the same; otherwise only the same person has not.
    pub anybody: bool,
}

/// What a receipt says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expense {
    /// See [`EXTRACTOR`].
    pub extractor: u32,
    /// The seller, as printed.
    pub merchant: Option<Field<String>>,
    /// The day of the sale.
    pub date: Option<Field<Day>>,
    /// Its time.
    pub time: Option<Field<Clock>>,
    /// ISO 4217, such as `MYR`.
    pub currency: Option<Field<String>>,
    /// What was to be paid. **Units**: hundredths of the currency.
    pub total: Option<Field<u64>>,
    /// The tax in it. **Units**: hundredths of the currency.
    pub tax: Option<Field<u64>>,
    /// How it was paid.
    pub payment: Option<Field<Method>>,
    /// The receipt's own number.
    pub number: Option<Field<String>>,
    /// ISO 3166, such as `MY`.
    pub country: Option<Field<String>>,
    /// The city, in English.
    pub city: Option<Field<String>>,
    /// What was bought, in the order printed.
    pub items: Vec<Field<Item>>,
    /// Whether the amounts agree.
    pub checks: Checks,
    /// What a data-quality score is made of.
    pub quality: Quality,
}

impl<T> Field<T> {
    /// How likely the value is right. **Units**: basis points.
    pub fn bps(&self) -> u16 {
        self.bps
    }
}

impl Expense {
    /// The one form that is hashed and stored (D15).
    pub fn canonical(&self) -> Vec<u8> {
        canonical::to_bytes(self)
    }

    /// What two photographs of one receipt share: merchant, day and total, with the number, and with the time. Nothing
    /// while one of the first three is missing, because then different receipts would look alike.
    pub fn identities(&self) -> Vec<Identity> {
        let (Some(merchant), Some(date), Some(total)) = (&self.merchant, &self.date, &self.total) else {
            return Vec::new();
        };
        let letters: String = merchant.value.chars().filter(|c| c.is_alphanumeric()).collect();
        let sale = (letters.to_uppercase(), date.value, total.value);
        let number = self.number.as_ref().map(|number| &number.value);
        let time = self.time.as_ref().map(|time| time.value);
        let mut identities: Vec<Identity> = Vec::new();
        identities.extend(number.map(|number| Identity {
            digest: Digest::of("symphony/receipt-number/v1", &(&sale, number)),
            anybody: true,
        }));
        identities.extend(time.map(|time| Identity {
            digest: Digest::of("symphony/receipt-time/v1", &(&sale, time)),
            anybody: true,
        }));
        if identities.is_empty() {
            let digest = Digest::of("symphony/receipt-sale/v1", &sale);
            identities.push(Identity { digest, anybody: false });
        }
        identities
    }

    /// Every place that something was read from, with the field's name: what an annotated picture shows.
    pub fn places(&self) -> Vec<(&'static str, Region)> {
        let mut places = Vec::new();
        let mut add = |name, at: Option<Region>| places.extend(at.map(|at| (name, at)));
        self.items.iter().for_each(|item| add("item", item.at));
        add("merchant", self.merchant.as_ref().and_then(|field| field.at));
        add("date", self.date.as_ref().and_then(|field| field.at));
        add("time", self.time.as_ref().and_then(|field| field.at));
        add("currency", self.currency.as_ref().and_then(|field| field.at));
        add("total", self.total.as_ref().and_then(|field| field.at));
        add("tax", self.tax.as_ref().and_then(|field| field.at));
        add("payment", self.payment.as_ref().and_then(|field| field.at));
        add("number", self.number.as_ref().and_then(|field| field.at));
        add("country", self.country.as_ref().and_then(|field| field.at));
        add("city", self.city.as_ref().and_then(|field| field.at));
        places
    }
}
