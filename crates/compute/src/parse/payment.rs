//! How the buyer paid, and the receipt's own number (R083).

use crate::parse::certainty::{self, Pool};
use crate::parse::expense::{Field, Method};
use crate::parse::layout::Row;
use crate::parse::{Reading, amount, spelling};

/// What was found.
pub(crate) struct Payment {
    pub(crate) method: Option<Field<Method>>,
    pub(crate) number: Option<Field<String>>,
}

pub(crate) fn of(readings: &[Reading]) -> Payment {
    let mut methods: Pool<Method> = Pool::default();
    let mut numbers: Pool<String> = Pool::default();
    for (index, reading) in readings.iter().enumerate() {
        for row in &reading.rows {
            for (method, words) in METHODS {
                if let Some(word) = words.iter().find(|word| spelling::says(&row.folded, word)) {
                    let with_amount = !amount::in_row(row).is_empty();
                    let heading = NO_METHOD.iter().any(|word| spelling::says(&row.folded, word));
                    let named = i32::from(word.len() > 4);
                    methods.add(
                        index,
                        *method,
                        1 + named + 4 * i32::from(with_amount) - 4 * i32::from(heading),
                        Some(row.at),
                    );
                }
            }
            if let Some((number, at, points)) = number(row) {
                numbers.add(index, number, points, Some(at));
            }
        }
    }
    Payment { method: methods.best(&certainty::PAYMENT), number: numbers.best(&certainty::NUMBER) }
}

/// The word with digits behind a label such as `Invoice No`.
fn number(row: &Row) -> Option<(String, crate::parse::layout::Region, i32)> {
    let (phrase, points) = NUMBERS.iter().find(|(phrase, _)| spelling::says(&row.folded, phrase))?;
    if NO_NUMBER.iter().any(|word| spelling::says(&row.folded, word)) {
        return None;
    }
    let last = phrase.split(' ').next_back()?;
    let label = row.words.iter().position(|word| {
        spelling::words(&spelling::fold(&word.text)).iter().any(|part| spelling::like(part, last))
    })?;
    let tail = |text: &str| {
        let text = text.rsplit([':', '#']).next().unwrap_or(text);
        text.trim_matches(|c: char| !c.is_alphanumeric()).to_uppercase()
    };
    let fits = |text: &String| {
        text.chars().filter(char::is_ascii_digit).count() >= 3
            && !text.contains('/')
            && text.len() <= 30
            && !text.contains('.')
    };
    row.words[label..]
        .iter()
        .map(|word| (tail(&word.text), word))
        .find(|(text, _)| fits(text))
        .map(|(text, word)| (text, word.at, points + i32::from(word.bps / 2_500)))
}

const METHODS: &[(Method, &[&str])] = &[
    (Method::Cash, &["CASH", "TUNAI", "BAR", "ESPECES", "EFECTIVO", "CONTANT"]),
    (
        Method::Card,
        &[
            "VISA",
            "MASTERCARD",
            "MASTER CARD",
            "CREDIT CARD",
            "DEBIT CARD",
            "AMEX",
            "MYDEBIT",
            "NETS",
            "EC KARTE",
            "GIROCARD",
            "CARD",
        ],
    ),
    (
        Method::Wallet,
        &[
            "ALIPAY",
            "WECHAT PAY",
            "GRABPAY",
            "EWALLET",
            "E WALLET",
            "APPLE PAY",
            "GOOGLE PAY",
            "PAYPAL",
            "QR PAY",
            "DUITNOW",
            "PAYNOW",
        ],
    ),
    (Method::Voucher, &["VOUCHER", "GIFT CARD", "GUTSCHEIN"]),
];
/// Rows that say cash or card of something else.
const NO_METHOD: &[&str] = &[
    "CASH SALES",
    "CASH SALE",
    "CASH BILL",
    "CASH RECEIPT",
    "MEMBER CARD",
    "CASH REFUND",
    "LOYALTY",
    "CASH INVOICE",
    "CASH INV",
];
const NUMBERS: &[(&str, i32)] = &[
    ("RECEIPT NO", 4),
    ("RECEIPT NUMBER", 4),
    ("INVOICE NO", 4),
    ("INVOICE NUMBER", 4),
    ("TAX INVOICE NO", 4),
    ("INV NO", 4),
    ("BILL NO", 4),
    ("DOC NO", 4),
    ("DOCUMENT NO", 4),
    ("TRANS NO", 3),
    ("RCPT NO", 4),
    ("SLIP NO", 3),
    ("SALES NO", 3),
    ("ORDER NO", 2),
    ("RECEIPT", 2),
    ("INVOICE", 1),
    ("BILL", 1),
    ("TRN", 1),
];
const NO_NUMBER: &[&str] = &["GST", "TEL", "FAX", "TAX ID", "REG"];
