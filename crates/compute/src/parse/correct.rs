//! The owner's word on what a receipt says, in place of what was read (R083): in the form in which readings are shown.

use symphony_types::catalogue::Code;
use symphony_types::limits::TEXT_LEN_MAX;
use time::format_description::StaticFormatDescription;
use time::macros::format_description;
use time::{Date, Time};

use super::expense::{Clock, Day, Expense, Field};

impl Expense {
    /// The expense with another value in `field`, and without one when it is empty: `merchant`, `date` (2018-03-25), `time`
    /// (19:04:00), `total` (12.30) or `city`. Checks and quality stay those of the reading.
    ///
    /// **Errors**: `ADM-0001` for another field or a value of another form.
    pub fn corrected(mut self, field: &str, value: &str) -> Result<Self, Code> {
        match field {
            "merchant" => self.merchant = said(value, text)?,
            "date" => self.date = said(value, day)?,
            "time" => self.time = said(value, clock)?,
            "total" => self.total = said(value, cents)?,
            "city" => self.city = said(value, text)?,
            _ => return Err(Code::Malformed),
        }
        Ok(self)
    }
}

/// The owner is believed; nothing on the page shows it.
fn said<T>(value: &str, of: impl Fn(&str) -> Option<T>) -> Result<Option<Field<T>>, Code> {
    if value.is_empty() {
        return Ok(None);
    }
    let value = of(value).ok_or(Code::Malformed)?;
    Ok(Some(Field { value, bps: SURE, at: None }))
}

fn text(value: &str) -> Option<String> {
    let fits = value.len() <= TEXT_LEN_MAX && !value.trim().is_empty();
    (fits && !value.chars().any(char::is_control)).then(|| value.to_owned())
}

fn day(value: &str) -> Option<Day> {
    let date = Date::parse(value, DAY).ok()?;
    let year = u16::try_from(date.year()).ok().filter(|year| (1990..=2079).contains(year))?;
    Some(Day { year, month: date.month().into(), day: date.day() })
}

fn clock(value: &str) -> Option<Clock> {
    let time = Time::parse(value, CLOCK).ok()?;
    Some(Clock { hour: time.hour(), minute: time.minute(), second: time.second() })
}

fn cents(value: &str) -> Option<u64> {
    let (whole, cents) = value.split_once('.')?;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if cents.len() != 2
        || whole.is_empty()
        || whole.len() > WHOLE_DIGITS_MAX
        || !digits(whole)
        || !digits(cents)
    {
        return None;
    }
    Some(whole.parse::<u64>().ok()? * 100 + cents.parse::<u64>().ok()?)
}

const DAY: StaticFormatDescription = format_description!("[year]-[month]-[day]");
const CLOCK: StaticFormatDescription = format_description!("[hour]:[minute]:[second]");
const WHOLE_DIGITS_MAX: usize = 12;
const SURE: u16 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn empty() -> Expense {
        serde_json::from_value(serde_json::json!({
            "extractor": 1, "merchant": null, "date": null, "time": null, "currency": null, "total": null, "tax": null,
            "payment": null, "number": null, "country": null, "city": null, "items": [],
            "checks": {"items_make_total": null, "paid_makes_total": null, "parts_make_total": null,
                "quantities_make_amounts": null},
            "quality": {"completeness": 0, "consistency": 0, "confidence": 0}
        }))
        .unwrap()
    }

    /// R083: every field takes its form and nothing else, and an empty value takes it away.
    #[test]
    fn corrections_have_the_form_of_readings() {
        for (field, good, bad) in [
            ("merchant", "Northern Lamp", ["  ", "a\u{1b}[2J", &*"x".repeat(TEXT_LEN_MAX + 1)]),
            ("city", "Singapore", ["\n", "a\tb", &*"x".repeat(TEXT_LEN_MAX + 1)]),
            ("date", "2018-03-25", ["25/03/2018", "2018-02-30", "1889-01-01"]),
            ("time", "19:04:00", ["24:00:00", "19:04", "noon"]),
            ("total", "12.30", ["12.3", "-1.00", "9999999999999.00"]),
        ] {
            let corrected = empty().corrected(field, good).unwrap();
            assert_ne!(corrected, empty(), "{field}");
            assert_eq!(corrected.corrected(field, "").unwrap(), empty(), "{field}");
            for bad in bad {
                assert_eq!(empty().corrected(field, bad), Err(Code::Malformed), "{field} {bad}");
            }
        }
        assert_eq!(empty().corrected("total", "12.30").unwrap().total.unwrap().value, 1_230);
        assert_eq!(empty().corrected("tax", "1.00"), Err(Code::Malformed));
    }
}
