//! The seller's name (R083): a row above the goods that looks like a name, put right where recognition is known to slip.

use crate::parse::certainty::{self, Points, Pool};
use crate::parse::expense::Field;
use crate::parse::layout::{self, Region, Row, Word};
use crate::parse::{Reading, amount, lexicon, spelling};

/// The best-supported name.
pub(crate) fn of(readings: &[Reading]) -> Option<Field<String>> {
    let mut pool: Pool<String> = Pool::default();
    for (number, reading) in readings.iter().enumerate() {
        let head = head(&reading.rows);
        let usual = layout::median(reading.rows.iter().map(Row::letter_height).collect());
        for (index, row) in head.iter().enumerate() {
            let (mut name, mut at, mut bps) = (row.folded.clone(), row.at, row.bps());
            let mut joined = 0;
            for next in head.iter().skip(index + 1).take(2) {
                if !continues(&name, next, at, row) {
                    break;
                }
                name = format!("{name} {}", next.folded);
                (at, bps, joined) = (at.around(next.at), bps.min(next.bps()), joined + 1);
            }
            let Some(mut clean) = cleaned(&name) else { continue };
            if let Some(better) = voted(&clean, row, readings) {
                clean = better;
            }
            let points = points(&clean, row, index, usual) + Points::from(bps / 2_500);
            pool.add(number, clean, points - joined, Some(at));
        }
    }
    pool.best(&certainty::MERCHANT)
}

/// The rows above the goods: until the first amounts, or a bounded number of them.
fn head(rows: &[Row]) -> &[Row] {
    let first_page = rows.first().map_or(0, |row| row.at.page);
    let goods = rows.iter().position(|row| {
        row.at.page != first_page || amount::in_row(row).iter().filter(|amount| amount.exact).count() > 0
    });
    &rows[..goods.unwrap_or(rows.len()).min(HEAD_ROWS)]
}

/// Whether a name goes on in the next row: it ends openly, or the next row is but the legal form.
fn continues(name: &str, next: &Row, at: Region, row: &Row) -> bool {
    let gap = next.at.top.saturating_sub(at.bottom);
    if next.at.page != at.page || gap > 2 * row.letter_height().max(next.letter_height()) {
        return false;
    }
    let open =
        name.ends_with('&') || name.ends_with(" DAN") || name.ends_with(" AND") || name.ends_with(" OF");
    let has_form = legal(name).is_some();
    let Some(next_name) = cleaned(&next.folded) else { return false };
    let words = spelling::words(&next_name);
    let form_only = legal(&next_name).is_some_and(|(from, _)| spelling::words(&next_name[..from]).len() <= 1);
    let starts_with_form = words.first().is_some_and(|word| ["CO", "SDN", "BHD"].contains(word));
    !has_form && address_words(&next_name) == 0 && (open || form_only || starts_with_form)
}

/// A row as a name: registration numbers, brackets of numbers and marks at its ends removed; legal form put right.
fn cleaned(folded: &str) -> Option<String> {
    let mut text = folded.trim_matches(|c: char| !c.is_alphanumeric() && c != '(' && c != ')').to_owned();
    if let Some((from, form)) = legal(&text) {
        text.truncate(from);
        text.push_str(form);
    }
    // `(737445-X)`, `123456-U`, `(CO. REG ...`: a bracket or word with many digits ends the name.
    let mut end = text.len();
    for (at, _) in text.match_indices(['(', ' ', '{', '[']) {
        let rest = &text[at + 1..];
        let word = rest.split([' ', ')', '(']).next().unwrap_or(rest);
        let digits = word.chars().filter(char::is_ascii_digit).count();
        let registered = ["CO.REG", "COREG", "REG", "ROC", "GST", "REG.", "NO.", "(CO", "CO.", "TEL", "TEL:"]
            .contains(&word)
            && rest.chars().filter(char::is_ascii_digit).count() >= 4;
        if at > 0 && ((digits >= 4 && digits * 2 >= word.chars().count()) || registered) {
            end = end.min(at);
        }
    }
    text.truncate(end);
    let text = initials(text.trim_matches(|c: char| !c.is_alphanumeric() && c != ')' && c != '('));
    let text = text.trim_start_matches(')').trim_end_matches('(').trim().to_owned();
    let letters = text.chars().filter(|c| c.is_alphabetic()).count();
    (letters >= 3).then_some(text)
}

/// Where the legal form begins in a name, and its right spelling.
fn legal(text: &str) -> Option<(usize, &'static str)> {
    let mut starts: Vec<usize> = text.match_indices(' ').map(|(at, _)| at + 1).collect();
    starts.insert(0, 0);
    for start in starts {
        let rest = &text[start..];
        let words: Vec<&str> = rest.split([' ', '(']).filter(|word| !word.is_empty()).take(2).collect();
        let bare: Vec<String> = words
            .iter()
            .map(|word| word.chars().filter(|c| c.is_alphanumeric() || *c == '$').collect())
            .collect();
        let pair = |first: &[&str], second: &str| {
            bare.len() == 2
                && first.contains(&bare[0].as_str())
                && (bare[1] == second || spelling::near(&bare[1], second, 1))
        };
        if pair(
            &["SDN", "SON", "SUN", "SIN", "SDH", "SDNN", "5DN", "SBN", "SDM", "SNN", "SPN", "$DN", "SEN"],
            "BHD",
        ) || bare.len() == 2 && bare[0] == "SDN" && bare[1].starts_with('B')
        {
            return Some((start, "SDN BHD"));
        }
        if start > 0
            && words.first().is_some_and(|word| ["S/B", "$/B", "5/B", "S/8", "$/8", "S/B."].contains(word))
        {
            return Some((start, "S/B"));
        }
        if pair(&["PTE", "PIE", "PTF"], "LTD") {
            return Some((start, "PTE LTD"));
        }
        if pair(&["PTY"], "LTD") {
            return Some((start, "PTY LTD"));
        }
        if pair(&["CO"], "LTD") && bare[1] == "LTD" {
            return Some((start, "CO LTD"));
        }
        // Two letters are easily read into specks: only behind a plain name are they a form.
        let plain = text[..start].chars().all(|c| c.is_alphabetic() || " &.'-".contains(c));
        let single = lexicon::LEGAL.iter().find(|form| {
            start > 0 && bare.first().is_some_and(|word| word == *form) && (form.len() > 2 || plain)
        });
        if let Some(form) = single.filter(|form| !form.contains(' ')) {
            return Some((start, form));
        }
    }
    None
}

/// The name that a seller trades under: without its legal form and without what stands in brackets before that.
pub(crate) fn trading_name(name: &str) -> &str {
    let name = legal(name).map_or(name, |(at, _)| &name[..at]).trim_end();
    let bracket = name.rfind('(').filter(|at| *at > 0 && name.ends_with(')'));
    bracket.map_or(name, |at| &name[..at]).trim_end()
}

/// `D.1.Y` is made of letters, `(M)` stands before a legal form.
fn initials(text: &str) -> String {
    let words = text.split(' ').map(|word| {
        let dotted = word.matches('.').count() >= 2 && word.split('.').all(|part| part.chars().count() <= 1);
        if dotted {
            return word.replace('1', "I").replace('0', "O").replace('5', "S").replace('8', "B");
        }
        let letters = word.chars().filter(|c| c.is_alphabetic()).count();
        let digits = word.chars().filter(char::is_ascii_digit).count();
        if letters >= TRADE_LETTERS_MIN && letters < word.chars().count() {
            // `HARDWA.2`: what is almost a known word, but for marks or digits in it, is that word.
            let trade = lexicon::TRADES.iter().find(|trade| {
                trade.chars().count() == word.chars().count() && spelling::near(word, trade, TRADE_SLIPS)
            });
            if let Some(trade) = trade {
                return (*trade).to_owned();
            }
        }
        if digits == 1 && letters >= 4 {
            return word.replace('0', "O").replace('1', "I").replace('5', "S").replace('8', "B");
        }
        word.to_owned()
    });
    let text = words.collect::<Vec<_>>().join(" ");
    text.replace("(4) SDN", "(M) SDN")
        .replace("(H) SDN", "(M) SDN")
        .replace("(N) SDN", "(M) SDN")
        .replace("(W) SDN", "(M) SDN")
}

fn address_words(name: &str) -> usize {
    spelling::words(name).iter().filter(|word| lexicon::ADDRESS.contains(word)).count()
}

fn points(name: &str, row: &Row, index: usize, usual: u32) -> Points {
    let words = spelling::words(name);
    let letters = name.chars().filter(|c| c.is_alphabetic()).count();
    let digits = name.chars().filter(char::is_ascii_digit).count();
    let mut points = 4;
    if legal(name).is_some_and(|(from, _)| from > 0) {
        points += 7;
    }
    if words.iter().any(|word| {
        lexicon::TRADES.iter().any(|trade| spelling::near(word, trade, usize::from(trade.len() > 7)))
    }) {
        points += 4;
    }
    let capitals = row.text.chars().filter(|c| c.is_uppercase()).count() * 10;
    let all = row.text.chars().filter(|c| c.is_alphabetic()).count().max(1);
    if capitals < all {
        points -= 3;
    }
    if row.letter_height() * 10 > usual * 13 {
        points += 2;
    }
    if words.len() < 2 {
        points -= 3;
    }
    points += 3 - Points::try_from(index).unwrap_or(9).min(9);
    points -= 3 * Points::try_from(address_words(name).min(2)).unwrap_or(0);
    if words.iter().any(|word| lexicon::HEADS.iter().any(|head| spelling::like(word, head))) {
        points -= 7;
    }
    if digits * 4 > letters || name.contains('@') || name.contains(':') {
        points -= 4;
    }
    // Ornaments that were taken for text are a crowd of short words.
    let short = words.iter().filter(|word| word.chars().count() <= 2).count();
    if short * 2 > words.len() && words.len() > 1 {
        points -= 4;
    }
    points
}

/// A word of the name that stands almost the same elsewhere, recognised more surely, is taken from there.
fn voted(name: &str, row: &Row, readings: &[Reading]) -> Option<String> {
    let mut changed = false;
    let words: Vec<String> = name
        .split(' ')
        .map(|word| {
            if word.chars().filter(|c| c.is_alphabetic()).count() < VOTE_LETTERS_MIN {
                return word.to_owned();
            }
            let own = row
                .words
                .iter()
                .find(|other| spelling::fold(&other.text).contains(word))
                .map_or(0, |own| own.bps);
            let better = readings
                .iter()
                .flat_map(|reading| &reading.rows)
                .flat_map(|row| &row.words)
                .filter(|other| better(word, own, other))
                .max_by_key(|other| other.bps);
            match better {
                Some(other) => {
                    changed = true;
                    bare(other)
                }
                None => word.to_owned(),
            }
        })
        .collect();
    changed.then(|| words.join(" "))
}

fn bare(word: &Word) -> String {
    spelling::fold(&word.text).trim_matches(|c: char| !c.is_alphanumeric()).to_owned()
}

fn better(word: &str, own: u16, other: &Word) -> bool {
    let folded = bare(other);
    folded != word
        && folded.chars().all(char::is_alphabetic)
        && folded.chars().count() == word.chars().count()
        && other.bps > own + VOTE_MARGIN
        && spelling::near(word, &folded, 1)
}

/// Rows above the goods that may hold the name.
const HEAD_ROWS: usize = 14;
const TRADE_LETTERS_MIN: usize = 5;
const TRADE_SLIPS: usize = 2;
const VOTE_LETTERS_MIN: usize = 5;
const VOTE_MARGIN: u16 = 300;
