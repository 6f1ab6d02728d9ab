//! Words from the table that Tesseract prints (`tsv`), untrusted like the picture it read.

use crate::parse::layout::{Region, Word};

/// The words of one page. Lines that are not words, or do not have the shape, are passed over.
pub fn words(table: &str, page: u16) -> Vec<Word> {
    table.lines().filter_map(|line| word(line, page)).take(WORDS_MAX).collect()
}

fn word(line: &str, page: u16) -> Option<Word> {
    let columns: Vec<&str> = line.splitn(12, '\t').collect();
    let [level, .., left, top, width, height, confidence, text] = columns.as_slice() else { return None };
    if *level != "5" {
        return None;
    }
    let (left, top): (u32, u32) = (left.parse().ok()?, top.parse().ok()?);
    let (width, height): (u32, u32) = (width.parse().ok()?, height.parse().ok()?);
    let text: String = text.trim().chars().filter(|c| !c.is_control()).take(WORD_CHARS_MAX).collect();
    (!text.is_empty()).then_some(())?;
    let at = Region { page, left, top, right: left.checked_add(width)?, bottom: top.checked_add(height)? };
    Some(Word { text, at, bps: bps(confidence)? })
}

/// "92.950584" percent as basis points, without floats.
fn bps(percent: &str) -> Option<u16> {
    let (whole, part) = percent.split_once('.').unwrap_or((percent, "0"));
    let whole: u16 = whole.parse().ok().filter(|whole| *whole <= 100)?;
    let mut digits = part.bytes().chain([b'0', b'0']).filter(u8::is_ascii_digit);
    let hundredths = u16::from(digits.next()? - b'0') * 10 + u16::from(digits.next()? - b'0');
    Some((whole * 100 + hundredths).min(10_000))
}

/// Words of one page; a receipt has some hundreds.
const WORDS_MAX: usize = 20_000;
/// Characters of one word.
const WORD_CHARS_MAX: usize = 200;
