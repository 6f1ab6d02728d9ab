//! Receipts drawn from a seed, with their truth: for the demonstration, and for tests that have no real data (R083).
//!
//! Sellers, goods and prices are invented; layouts, currencies, date forms and orders of rows vary. A drawn receipt can
//! be had as PNG, as JPEG with a scanner's noise and slant, as PDF with text and as PDF of a scan.

use rand::{Rng as _, RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha12Rng;
pub use symphony_compute::parse::expense::{Clock, Day};

pub mod letters;
pub mod page;
pub mod pdf;

/// What a drawn receipt says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truth {
    /// The seller, as printed.
    pub merchant: String,
    /// The day of the sale.
    pub date: Day,
    /// Its time.
    pub time: Clock,
    /// ISO 4217.
    pub currency: String,
    /// **Units**: hundredths of the currency.
    pub total: u64,
    /// The receipt's number.
    pub number: String,
    /// ISO 3166.
    pub country: String,
    /// Description and amount in hundredths.
    pub items: Vec<(String, u64)>,
}

/// A receipt as rows of print.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// What it says.
    pub truth: Truth,
    /// Its rows, each as wide as [`COLUMNS`] at most; those of the head are bold.
    pub rows: Vec<(bool, String)>,
}

/// What varies with the place.
struct Market {
    country: &'static str,
    currency: &'static str,
    sign: &'static str,
    form: &'static str,
    streets: &'static [&'static str],
    city: &'static str,
    tax: &'static str,
    day: fn(Day) -> String,
}

/// Invents the receipt of a seed.
pub fn invent(seed: u64) -> Receipt {
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    let market = &MARKETS[pick(&mut rng, MARKETS.len())];
    let day = Day {
        year: 2015 + small(&mut rng, 11) as u16,
        month: 1 + small(&mut rng, 12) as u8,
        day: 1 + small(&mut rng, 28) as u8,
    };
    let date = day;
    let time = Clock {
        hour: 8 + small(&mut rng, 14) as u8,
        minute: small(&mut rng, 60) as u8,
        second: small(&mut rng, 60) as u8,
    };
    let merchant = format!("{} {} {}", one(&mut rng, FIRST_NAMES), one(&mut rng, TRADES), market.form);
    invented(&mut rng, market, merchant.trim_end().to_owned(), date, time)
}

/// Invents a receipt of one seller and day, as a demonstration needs it. **Errors**: none; an unknown country is the first.
pub fn invent_of(seed: u64, merchant: &str, country: &str, date: Day) -> Receipt {
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    let market = MARKETS.iter().find(|market| market.country == country).unwrap_or(&MARKETS[0]);
    let time = Clock {
        hour: 8 + small(&mut rng, 14) as u8,
        minute: small(&mut rng, 60) as u8,
        second: small(&mut rng, 60) as u8,
    };
    invented(&mut rng, market, merchant.to_uppercase(), date, time)
}

fn invented(rng: &mut ChaCha12Rng, market: &Market, merchant: String, date: Day, time: Clock) -> Receipt {
    let number = format!("{}{:06}", one(rng, &["A", "CS", "INV", "R"]), small(rng, 999_999));
    let mut items = Vec::new();
    for _ in 0..1 + small(rng, 7) {
        let (quantity, price) = (1 + small(rng, 3), u64::from(50 + small(rng, 400) * 5));
        items.push((one(rng, GOODS).to_owned(), quantity, price));
    }
    let total: u64 = items.iter().map(|(_, quantity, price)| u64::from(*quantity) * price).sum();
    let mut rows = head(rng, market, &merchant, date, time, &number);
    goods(rng, &mut rows, &items);
    sums(rng, &mut rows, market, total);
    let items =
        items.into_iter().map(|(name, quantity, price)| (name, u64::from(quantity) * price)).collect();
    let truth = Truth {
        merchant,
        date,
        time,
        currency: market.currency.into(),
        total,
        number,
        country: market.country.into(),
        items,
    };
    Receipt { truth, rows }
}

fn head(
    rng: &mut ChaCha12Rng,
    market: &Market,
    merchant: &str,
    date: Day,
    time: Clock,
    number: &str,
) -> Vec<(bool, String)> {
    let mut rows = vec![(true, centred(merchant))];
    rows.push((false, centred(&format!("{} {}", small(rng, 200) + 1, one(rng, market.streets)))));
    rows.push((false, centred(market.city)));
    rows.push((false, centred(&format!("Tel: {:02}-{:07}", small(rng, 90) + 10, small(rng, 9_999_999)))));
    rows.push((false, String::new()));
    rows.push((true, centred(one(rng, &["TAX INVOICE", "RECEIPT", "CASH RECEIPT"]))));
    let clock = format!("{:02}:{:02}:{:02}", time.hour, time.minute, time.second);
    rows.push((false, format!("{}: {number}", one(rng, &["Receipt No", "Invoice No", "Bill No"]))));
    if small(rng, 2) == 0 {
        rows.push((false, format!("Date: {}  {clock}", (market.day)(date))));
    } else {
        rows.push((false, format!("Date : {}", (market.day)(date))));
        rows.push((false, format!("Time : {clock}")));
    }
    rows.push((false, "-".repeat(COLUMNS)));
    rows
}

fn goods(rng: &mut ChaCha12Rng, rows: &mut Vec<(bool, String)>, items: &[(String, u32, u64)]) {
    rows.push((false, spread("Description", "Amount")));
    let two_rows = small(rng, 2) == 0;
    for (name, quantity, price) in items {
        let amount = money(u64::from(*quantity) * price);
        if two_rows {
            rows.push((false, name.clone()));
            rows.push((false, spread(&format!("  {quantity} x {}", money(*price)), &amount)));
        } else {
            rows.push((false, spread(&format!("{quantity} {name}"), &amount)));
        }
    }
    rows.push((false, "-".repeat(COLUMNS)));
}

fn sums(rng: &mut ChaCha12Rng, rows: &mut Vec<(bool, String)>, market: &Market, total: u64) {
    let sign = market.sign;
    if small(rng, 2) == 0 {
        rows.push((false, spread("Subtotal", &money(total))));
    }
    rows.push((
        true,
        spread(one(rng, &["TOTAL", "Grand Total", "TOTAL AMOUNT"]), &format!("{sign} {}", money(total))),
    ));
    if small(rng, 3) > 0 {
        let given = total.div_ceil(1_000) * 1_000;
        rows.push((false, spread("Cash", &money(given))));
        rows.push((false, spread("Change", &money(given - total))));
    } else {
        rows.push((false, spread(one(rng, &["VISA", "Mastercard"]), &money(total))));
    }
    let tax = total * 6 / 106;
    rows.push((false, spread(&format!("incl. {} 6%", market.tax), &money(tax))));
    rows.push((false, String::new()));
    rows.push((false, centred("Thank you, please come again")));
}

fn money(cents: u64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

fn spread(left: &str, right: &str) -> String {
    let gap = COLUMNS.saturating_sub(left.chars().count() + right.chars().count()).max(1);
    format!("{left}{}{right}", " ".repeat(gap))
}

fn centred(text: &str) -> String {
    format!("{}{text}", " ".repeat(COLUMNS.saturating_sub(text.chars().count()) / 2))
}

fn small(rng: &mut ChaCha12Rng, below: u32) -> u32 {
    rng.random_range(0..below.max(1))
}

fn pick(rng: &mut ChaCha12Rng, count: usize) -> usize {
    (rng.next_u32() as usize) % count
}

fn one<'a>(rng: &mut ChaCha12Rng, of: &[&'a str]) -> &'a str {
    of[pick(rng, of.len())]
}

/// Characters of one row.
pub const COLUMNS: usize = 38;

const MARKETS: &[Market] = &[
    Market {
        country: "MY",
        currency: "MYR",
        sign: "RM",
        form: "SDN BHD",
        streets: &["Jalan Melur", "Jalan Kenanga", "Lorong Cempaka"],
        city: "50450 Kuala Lumpur, Malaysia",
        tax: "SST",
        day: |day| format!("{:02}/{:02}/{}", day.day, day.month, day.year),
    },
    Market {
        country: "SG",
        currency: "SGD",
        sign: "S$",
        form: "PTE LTD",
        streets: &["Orchid Road", "Harbour Street", "Temple Lane"],
        city: "Singapore 238823",
        tax: "GST",
        day: |day| format!("{:02}-{:02}-{}", day.day, day.month, day.year),
    },
    Market {
        country: "GB",
        currency: "GBP",
        sign: "GBP",
        form: "LTD",
        streets: &["Mill Lane", "Station Road", "Bridge Street"],
        city: "London E1 6AN, United Kingdom",
        tax: "VAT",
        day: |day| format!("{:02} {} {}", day.day, MONTHS[usize::from(day.month) - 1], day.year),
    },
    Market {
        country: "US",
        currency: "USD",
        sign: "USD",
        form: "INC",
        streets: &["Maple Avenue", "Oak Street", "2nd Street"],
        city: "Seattle, WA 98101, USA",
        tax: "Sales Tax",
        day: |day| format!("{:02}/{:02}/{}", day.month, day.day, day.year),
    },
];

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const FIRST_NAMES: &[&str] =
    &["BLUE HERON", "GOLDEN LOTUS", "NORTH GATE", "SILVER PINE", "OLD HARBOUR", "RED MAPLE", "GREEN VALLEY"];
const TRADES: &[&str] =
    &["COFFEE", "TRADING", "HARDWARE", "BAKERY", "BOOKS", "PHARMACY", "RESTAURANT", "GROCERY"];
const GOODS: &[&str] = &[
    "Iced Latte",
    "Bread Roll",
    "Garden Hose",
    "Paper Pad",
    "Hand Soap",
    "Chicken Rice",
    "Green Tea",
    "Wood Screws",
    "Lamp",
    "Rice 5kg",
    "Orange Juice",
    "Notebook",
    "Paint Brush",
    "Cereal",
];
