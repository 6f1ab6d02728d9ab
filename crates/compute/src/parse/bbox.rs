//! Words from the page description that poppler's `pdftotext -bbox` prints, untrusted like the document it read.

use crate::parse::layout::{Region, Word};

/// A page of a PDF as its text layer has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextPage {
    /// **Units**: points, rounded up.
    pub width: u32,
    /// **Units**: points, rounded up.
    pub height: u32,
    /// Its words; empty for a scan.
    pub words: Vec<Word>,
}

/// The pages, in order. Boxes are in tenths of a point, so that small print keeps its rows.
pub fn pages(text: &str) -> Vec<TextPage> {
    let mut pages: Vec<TextPage> = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.starts_with("<page ") {
            let width = tenths(line, "width").unwrap_or(0).div_ceil(10);
            let height = tenths(line, "height").unwrap_or(0).div_ceil(10);
            pages.push(TextPage { width, height, words: Vec::new() });
        } else if line.starts_with("<word ") {
            let number = u16::try_from(pages.len().saturating_sub(1)).unwrap_or(u16::MAX);
            if let (Some(page), Some(word)) = (pages.last_mut(), word(line, number))
                && page.words.len() < WORDS_MAX
            {
                page.words.push(word);
            }
        }
    }
    pages
}

fn word(line: &str, page: u16) -> Option<Word> {
    let (left, top) = (tenths(line, "xMin")?, tenths(line, "yMin")?);
    let (right, bottom) = (tenths(line, "xMax")?, tenths(line, "yMax")?);
    let inner = line.split_once('>')?.1.split_once("</word>")?.0;
    let text: String = plain(inner).chars().filter(|c| !c.is_control()).take(WORD_CHARS_MAX).collect();
    let text = text.trim().to_owned();
    (!text.is_empty()).then_some(Word { text, at: Region { page, left, top, right, bottom }, bps: 10_000 })
}

/// An attribute "123.456" in tenths.
fn tenths(line: &str, name: &str) -> Option<u32> {
    let value = line.split_once(&format!(" {name}=\""))?.1.split_once('"')?.0;
    let (whole, part) = value.split_once('.').unwrap_or((value, "0"));
    let tenth = part.bytes().next().filter(u8::is_ascii_digit).map_or(0, |digit| u32::from(digit - b'0'));
    whole.parse::<u32>().ok()?.checked_mul(10)?.checked_add(tenth)
}

fn plain(escaped: &str) -> String {
    escaped
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&apos;", "'")
        .replace("&#39;", "'")
        .replace("&amp;", "&")
}

const WORDS_MAX: usize = 20_000;
const WORD_CHARS_MAX: usize = 200;
