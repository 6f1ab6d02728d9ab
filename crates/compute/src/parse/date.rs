//! The day and the time of a sale (R083).
//!
//! Many numbers look like dates. A candidate earns points by its form, by the words beside it and by a time in the
//! same row; what several recognitions read alike earns more.

use crate::parse::certainty::{self, Points, Pool};
use crate::parse::expense::{Clock, Day, Field};
use crate::parse::layout::Row;
use crate::parse::{Reading, lexicon, spelling};

/// What was found.
pub(crate) struct Moment {
    pub(crate) date: Option<Field<Day>>,
    pub(crate) time: Option<Field<Clock>>,
}

/// A date as printed, before the order of its parts is settled.
#[derive(Clone, Copy)]
struct Printed {
    day: Day,
    /// The other order is a date too.
    swapped: Option<Day>,
    from: usize,
    to: usize,
    /// Perhaps more digits follow.
    torn: bool,
    points: Points,
}

/// The best-supported day, and the time that stands with it.
pub(crate) fn of(readings: &[Reading], month_first: bool) -> Moment {
    let mut pool: Pool<Day> = Pool::default();
    let mut times: Pool<Clock> = Pool::default();
    let decided = readings.iter().flat_map(|reading| &reading.rows).flat_map(|row| printed(&row.text));
    let month_first = month_first && !decided.clone().any(|date| date.swapped.is_none() && date.points < 0);
    for (number, reading) in readings.iter().enumerate() {
        for (index, row) in reading.rows.iter().enumerate() {
            let clock = clock(row);
            for date in printed(&row.text) {
                let (at, bps) = row.span(date.from, date.to);
                let day = if month_first { date.swapped.unwrap_or(date.day) } else { date.day };
                let above = index.checked_sub(1).map_or(0, |above| label_above(&reading.rows[above]));
                let label = label(row, date.from) + above - Points::from(date.torn) * TORN;
                let with_time = if clock.is_some() { 2 } else { 0 };
                let sure = i32::from(bps / 2_500);
                pool.add(number, day, date.points + label + with_time + sure, Some(at));
            }
            if let Some((value, from, to)) = clock {
                let (at, bps) = row.span(from, to);
                let dated = i32::from(!printed(&row.text).is_empty()) * 3;
                let named = i32::from(spelling::says(&row.folded, "TIME") || row.folded.contains("MASA")) * 2;
                times.add(number, value, dated + named + i32::from(bps / 2_500), Some(at));
            }
        }
    }
    Moment { date: pool.best(&certainty::DATE), time: times.best(&certainty::TIME) }
}

/// Words that say that a date is the sale's, or something else's.
fn label(row: &Row, from: usize) -> Points {
    let before = row.text.get(..from).map(spelling::fold).unwrap_or_default();
    let other = lexicon::OTHER_DATES.iter().any(|word| spelling::says(&row.folded, word));
    let named = spelling::words(&before).iter().rev().take(3).any(|word| {
        lexicon::DATE_WORDS.iter().any(|wanted| spelling::near(word, wanted, usize::from(wanted.len() > 3)))
    });
    Points::from(named) * 4 - Points::from(other) * 6
}

/// A row that only says that a date follows.
fn label_above(row: &Row) -> Points {
    let named = lexicon::DATE_WORDS.iter().any(|word| spelling::says(&row.folded, word))
        && printed(&row.text).is_empty();
    Points::from(named) * 2
}

/// Every date in a text.
fn printed(text: &str) -> Vec<Printed> {
    let chars: Vec<(usize, char)> = text.char_indices().collect();
    let mut found: Vec<Printed> = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let begins = at == 0
            || !chars[at - 1].1.is_alphanumeric()
            || chars[at - 1].1.is_alphabetic() && chars[at].1.is_ascii_digit();
        let date = if begins {
            parts(&chars, at).and_then(|(parts, end)| Some((settle(&parts)?, end)))
        } else {
            None
        };
        match date {
            Some((settled, end)) => {
                let to = chars.get(end).map_or(text.len(), |(byte, _)| *byte);
                found.push(Printed { from: chars[at].0, to, torn: torn(&chars, at, end), ..settled });
                at = end;
            }
            None => at += 1,
        }
    }
    found
}

/// Whether a sign that no date ends with sticks to a year of two digits (`20/03/20%`): probably two more, misread.
fn torn(chars: &[(usize, char)], start: usize, end: usize) -> bool {
    let digits = |chars: &[(usize, char)]| chars.iter().take_while(|(_, c)| c.is_ascii_digit()).count();
    let last = chars[start..end].iter().rev().take_while(|(_, c)| c.is_ascii_digit()).count();
    let year_last = digits(&chars[start..end]) <= 2 && last == 2;
    year_last && chars.get(end).is_some_and(|(_, c)| "%#@£¥€?*+=<>§{}".contains(*c))
}

/// One part of a date.
enum Part {
    /// Digits, how many, and how many of them were letters.
    Number(u32, usize, usize),
    /// A month's name.
    Month(u8),
}

/// Three parts with marks between them, and the index behind the last.
fn parts(chars: &[(usize, char)], start: usize) -> Option<([Part; 3], usize)> {
    let (first, at, marked) = part(chars, start)?;
    if let (Part::Number(number, 8, 0), true) = (&first, marked == Mark::None) {
        let (year, month, day) = (number / 10_000, number / 100 % 100, number % 100);
        return Some(([Part::Number(year, 4, 0), Part::Number(month, 2, 0), Part::Number(day, 2, 0)], at));
    }
    let (second, at, again) = part(chars, at)?;
    let (third, at, _) = part(chars, at)?;
    let named = matches!(first, Part::Month(_)) || matches!(second, Part::Month(_));
    let strong = marked == Mark::Strong && again == Mark::Strong;
    (named || strong).then_some(([first, second, third], at))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    None,
    Space,
    Strong,
}

fn part(chars: &[(usize, char)], start: usize) -> Option<(Part, usize, Mark)> {
    let mut at = start;
    let word: String =
        chars[at..].iter().map(|(_, c)| *c).take_while(|c| c.is_alphabetic()).take(10).collect();
    let month = lexicon::month(&word.to_uppercase());
    let value = if let Some(month) = month {
        at += word.chars().count();
        Part::Month(month)
    } else {
        let mut digits = String::new();
        let mut repaired = 0;
        while let Some(digit) =
            chars.get(at).and_then(|(_, c)| spelling::digit(*c)).filter(|_| digits.len() < 9)
        {
            let letter = !chars[at].1.is_ascii_digit();
            // `1l/02`: a letter counts as a digit beside digits and marks; a month's name ends the number.
            if letter && !digits.is_empty() {
                let rest: String =
                    chars[at..].iter().map(|(_, c)| *c).take_while(|c| c.is_alphabetic()).collect();
                if lexicon::month(&rest.to_uppercase()).is_some() {
                    break;
                }
            }
            repaired += usize::from(letter);
            digits.push((b'0' + digit) as char);
            at += 1;
        }
        if digits.is_empty() || repaired * 2 > digits.len() {
            return None;
        }
        Part::Number(digits.parse().ok()?, digits.len(), repaired)
    };
    let (mut mark, mut spaces) = (Mark::None, 0);
    while let Some((_, c)) = chars.get(at) {
        match c {
            ' ' if spaces < 2 => {
                spaces += 1;
                if mark == Mark::None {
                    mark = Mark::Space;
                }
            }
            '/' | '-' | '.' | '\'' | ',' | '–' | '—' => mark = Mark::Strong,
            // What recognition makes of a stroke.
            '\\' | '°' | '·' | '‘' | '’' => mark = Mark::Strong,
            _ => break,
        }
        at += 1;
    }
    Some((value, at, mark))
}

/// The day that three parts mean.
fn settle(parts: &[Part; 3]) -> Option<Printed> {
    let points = |digits: usize, repaired: usize| {
        Points::from(digits == 4) * 2 - 2 * Points::try_from(repaired).unwrap_or(9)
    };
    let made = |day: Day, swapped: Option<Day>, points: Points| Printed {
        day,
        swapped,
        from: 0,
        to: 0,
        torn: false,
        points,
    };
    match parts {
        [Part::Number(day, d, r0), Part::Month(month), Part::Number(year, y, r2)] if *d <= 2 => {
            Some(made(civil(*year, *y, u32::from(*month), *day)?, None, points(*y, r0 + r2) + 3))
        }
        [Part::Month(month), Part::Number(day, d, r1), Part::Number(year, y, r2)] if *d <= 2 => {
            Some(made(civil(*year, *y, u32::from(*month), *day)?, None, points(*y, r1 + r2) + 3))
        }
        [Part::Number(year, 4, r0), Part::Number(month, m, r1), Part::Number(day, d, r2)]
            if *m <= 2 && *d <= 2 =>
        {
            Some(made(civil(*year, 4, *month, *day)?, None, points(4, r0 + r1 + r2) + 1))
        }
        [Part::Number(first, a, r0), Part::Number(second, b, r1), Part::Number(year, y, r2)]
            if *a <= 2 && *b <= 2 =>
        {
            let (day_first, month_first) =
                (civil(*year, *y, *second, *first), civil(*year, *y, *first, *second));
            let points = points(*y, r0 + r1 + r2);
            match (day_first, month_first) {
                (Some(day), swapped) => {
                    Some(made(day, swapped.filter(|swapped| *swapped != day), points + 1))
                }
                (None, Some(day)) => Some(made(day, None, points)),
                (None, None) => None,
            }
        }
        _ => None,
    }
}

fn civil(year: u32, digits: usize, month: u32, day: u32) -> Option<Day> {
    let year = match digits {
        4 => year,
        2 if year < 80 => 2000 + year,
        2 => 1900 + year,
        _ => return None,
    };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    ((1990..2080).contains(&year) && (1..=days).contains(&day)).then_some(())?;
    Some(Day { year: year.try_into().ok()?, month: month.try_into().ok()?, day: day.try_into().ok()? })
}

/// The first time of the day in a row, with its bytes.
fn clock(row: &Row) -> Option<(Clock, usize, usize)> {
    let chars: Vec<(usize, char)> = row.text.char_indices().collect();
    (0..chars.len()).find_map(|start| clock_at(&chars, start, row.text.len()))
}

fn clock_at(chars: &[(usize, char)], start: usize, bytes: usize) -> Option<(Clock, usize, usize)> {
    let char_at = |index: usize| chars.get(index).map(|(_, c)| *c);
    if start > 0 && char_at(start - 1).is_some_and(|c| c.is_ascii_digit() || c == ':') {
        return None;
    }
    let two = |at: usize| -> Option<(u8, usize)> {
        let first = char_at(at).and_then(spelling::digit)?;
        match char_at(at + 1).and_then(spelling::digit) {
            Some(second) => Some((first * 10 + second, at + 2)),
            None => Some((first, at + 1)),
        }
    };
    char_at(start).filter(char::is_ascii_digit)?;
    let (hour, at) = two(start)?;
    (char_at(at) == Some(':')).then_some(())?;
    let (minute, mut at) = two(at + 1).filter(|(_, end)| *end == at + 3)?;
    let mut second = 0;
    if matches!(char_at(at), Some(':' | '.'))
        && let Some((value, end)) = two(at + 1).filter(|(_, end)| *end == at + 3)
    {
        (second, at) = (value, end);
    }
    let rest: String =
        chars[at..].iter().map(|(_, c)| *c).filter(|c| *c != ' ' && *c != '.').take(2).collect();
    let hour = match rest.to_uppercase().as_str() {
        "PM" if hour < 12 => hour + 12,
        "AM" if hour == 12 => 0,
        _ => hour,
    };
    (hour < 24 && minute < 60 && second < 60).then_some(())?;
    let to = chars.get(at).map_or(bytes, |(byte, _)| *byte);
    Some((Clock { hour, minute, second }, chars[start].0, to))
}

/// What a date loses whose last digits may be missing.
const TORN: Points = 6;
