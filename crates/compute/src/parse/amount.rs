//! Amounts of money in a row, with what recognition does to them: `1O.50`, `49. 39`, `43, 90`, `RM29.70S` (R083).

use crate::parse::layout::{Region, Row};
use crate::parse::spelling;

/// An amount as it stands in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amount {
    /// **Units**: hundredths; negative with a minus before or behind it.
    pub cents: i64,
    /// Whether two decimals are printed; otherwise it is a whole number and may be anything.
    pub exact: bool,
    /// Characters that had to be taken for digits.
    pub repaired: u8,
    /// How sure the recognition was of its words. **Units**: basis points.
    pub bps: u16,
    /// Where it stands.
    pub at: Region,
    /// First byte of it in the row's text.
    pub from: usize,
    /// Byte behind it.
    pub to: usize,
}

/// The amounts of a row, from left to right. Dates, times, telephone and registration numbers are none.
pub fn in_row(row: &Row) -> Vec<Amount> {
    let chars: Vec<(usize, char)> = row.text.char_indices().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        match number(&chars, at) {
            Some((number, end)) => {
                let (from, to) = (chars[at].0, chars.get(end).map_or(row.text.len(), |(byte, _)| *byte));
                let (place, bps) = row.span(from, to);
                let cents = if number.negative { -number.cents } else { number.cents };
                let (exact, repaired) = (number.exact, number.repaired);
                found.push(Amount { cents, exact, repaired, bps, at: place, from, to });
                at = end;
            }
            None => at += 1,
        }
    }
    found
}

struct Number {
    cents: i64,
    exact: bool,
    repaired: u8,
    negative: bool,
}

/// The number that begins just here, and the index behind it.
fn number(chars: &[(usize, char)], start: usize) -> Option<(Number, usize)> {
    let char_at = |index: usize| chars.get(index).map(|(_, c)| *c);
    let before = start.checked_sub(1).and_then(char_at);
    if before.is_some_and(|c| c.is_ascii_digit() || ".,/:".contains(c)) || !opens(chars, start) {
        return None;
    }
    let mut groups: Vec<String> = vec![String::new()];
    let mut marks: Vec<char> = Vec::new();
    let (mut at, mut repaired) = (start, 0_u8);
    while let Some(c) = char_at(at) {
        if let Some(digit) = spelling::digit(c).filter(|_| c.is_ascii_digit() || inside(chars, at, start)) {
            repaired += u8::from(!c.is_ascii_digit());
            groups.last_mut()?.push((b'0' + digit) as char);
            at += 1;
        } else if let Some(next) = mark(chars, at) {
            marks.push(c);
            groups.push(String::new());
            at = next;
        } else {
            break;
        }
        if at - start > NUMBER_CHARS_MAX {
            return None;
        }
    }
    let number = valued(&groups, &marks, repaired)?;
    closes(chars, at, &number)?;
    let minus_before =
        before == Some('-') || (before == Some('$') && start > 1 && char_at(start - 2) == Some('-'));
    let bracketed = before == Some('(') && char_at(at) == Some(')');
    let negative = minus_before || bracketed || (number.exact && char_at(at) == Some('-'));
    Some((Number { negative, ..number }, at))
}

/// A digit begins a number; so does what looks like one before the decimals.
fn opens(chars: &[(usize, char)], at: usize) -> bool {
    let Some((_, c)) = chars.get(at) else { return false };
    if c.is_ascii_digit() {
        // The tail of a word such as `POS1N` is no number, `RM5` and `S5.00` are.
        let before = at.checked_sub(1).and_then(|index| chars.get(index)).map(|(_, c)| *c);
        return before.is_none_or(|c| !c.is_alphabetic()) || currency_before(chars, at);
    }
    let starts_word = at == 0 || !chars[at - 1].1.is_alphanumeric() || currency_before(chars, at);
    starts_word && spelling::digit(*c).is_some() && *c != '$' && {
        let run = chars[at..].iter().take_while(|(_, c)| spelling::digit(*c).is_some()).count();
        let decimals = chars.get(at + run + 1..at + run + 3);
        run <= 3
            && matches!(chars.get(at + run), Some((_, '.' | ',')))
            && decimals.is_some_and(|two| two.iter().all(|(_, c)| c.is_ascii_digit()))
    }
}

fn currency_before(chars: &[(usize, char)], at: usize) -> bool {
    let word: String =
        chars[..at].iter().rev().take_while(|(_, c)| c.is_alphabetic()).map(|(_, c)| *c).collect();
    let word: String = word.chars().rev().collect::<String>().to_uppercase();
    CURRENCY_WORDS.contains(&word.as_str())
}

/// Whether a letter between or behind digits stands for a digit.
fn inside(chars: &[(usize, char)], at: usize, start: usize) -> bool {
    let next = chars.get(at + 1).map(|(_, c)| *c);
    let follows = |c: char| c.is_ascii_digit() || ".,".contains(c);
    if at == start {
        return true;
    }
    let decimals = (1..=2).rev().find(|back| at >= *back && ".,".contains(chars[at - back].1));
    // Just behind the point a letter is a digit; behind the decimals it is a tax code.
    let in_decimals = decimals.is_some_and(|back| back == 1 || !next.is_some_and(|c| c.is_alphanumeric()))
        && !matches!(chars[at].1, 'S' | 'Z' | 's' | 'z' if decimals == Some(2) && next.is_none());
    in_decimals || next.is_some_and(follows)
}

/// A decimal or grouping mark, possibly with one stray space behind it; the index of what follows.
fn mark(chars: &[(usize, char)], at: usize) -> Option<usize> {
    let c = chars.get(at)?.1;
    let next = |index: usize| chars.get(index).map(|(_, c)| *c);
    let digit = |index: usize| next(index).is_some_and(|c| spelling::digit(c).is_some());
    if !".,".contains(c) {
        return None;
    }
    if digit(at + 1) {
        return Some(at + 1);
    }
    // `49. 39`: two digits and no third behind the space.
    let two = next(at + 1) == Some(' ')
        && next(at + 2).is_some_and(|c| c.is_ascii_digit())
        && next(at + 3).is_some_and(|c| c.is_ascii_digit())
        && !next(at + 4).is_some_and(|c| c.is_ascii_digit() || ".,".contains(c));
    two.then_some(at + 2)
}

/// The value of digit groups with the marks between them, or `None` if they are no amount.
fn valued(groups: &[String], marks: &[char], repaired: u8) -> Option<Number> {
    let last = groups.last()?;
    let exact = !marks.is_empty() && last.len() == 2;
    let grouped = if exact { &groups[..groups.len() - 1] } else { groups };
    let inner = if exact { &marks[..marks.len() - 1] } else { marks };
    if grouped.first()?.is_empty() || grouped[1..].iter().any(|group| group.len() != 3) {
        return None;
    }
    // One mark groups, another one divides; a price per litre with three decimals is no amount.
    let divided = exact && inner.contains(marks.last()?);
    if divided
        || inner.iter().any(|mark| Some(mark) != inner.first())
        || (!exact && marks.contains(&'.') && marks.len() == 1)
    {
        return None;
    }
    let digits: String = grouped.concat();
    let whole: i64 = digits.parse().ok().filter(|_| digits.len() <= WHOLE_DIGITS_MAX)?;
    let cents = if exact { last.parse::<i64>().ok()? } else { 0 };
    (exact || repaired == 0).then_some(())?;
    Some(Number { cents: whole * 100 + cents, exact, repaired, negative: false })
}

/// Refuses what goes on: a date, a time, a measure.
fn closes(chars: &[(usize, char)], end: usize, number: &Number) -> Option<()> {
    let char_at = |index: usize| chars.get(index).map(|(_, c)| *c);
    match char_at(end) {
        Some('%' | '/' | ':') => None,
        Some('.' | ',') if char_at(end + 1).is_some_and(|c| c.is_ascii_digit()) => None,
        Some('-') if char_at(end + 1).is_some_and(|c| c.is_alphanumeric()) => None,
        Some(c) if c.is_alphabetic() && !number.exact => None,
        Some(' ') if char_at(end + 1) == Some('%') => None,
        _ => Some(()),
    }
}

/// What may stand before digits without a space.
const CURRENCY_WORDS: &[&str] = &[
    "RM", "MYR", "R", "RP", "IDR", "SGD", "S", "USD", "US", "EUR", "GBP", "HKD", "HK", "THB", "PHP", "P",
    "INR", "RS", "AUD", "A", "CHF", "CAD", "NT", "TWD", "KR", "SEK", "NOK", "DKK", "VND",
];
const NUMBER_CHARS_MAX: usize = 20;
/// Whole digits of an amount; more is a telephone or article number.
const WHOLE_DIGITS_MAX: usize = 8;
