//! Words and their places, gathered into the rows that a reader's eye sees (R083).
//!
//! Recognition splits a line where its gap is wide, which on a receipt is just where the amount stands. Rows are
//! therefore built anew from the words' boxes, from left to right, so that a slightly slanted line stays one.

use serde::{Deserialize, Serialize};

use crate::parse::spelling;

/// A rectangle on a page. **Units**: pixels of the page picture (points of a PDF with text).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Region {
    /// The page, from 0.
    pub page: u16,
    /// Left edge.
    pub left: u32,
    /// Upper edge.
    pub top: u32,
    /// Right edge, outside.
    pub right: u32,
    /// Lower edge, outside.
    pub bottom: u32,
}

/// A recognised word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Word {
    /// What was read.
    pub text: String,
    /// Where it stands.
    pub at: Region,
    /// How sure the recognition is. **Units**: basis points.
    pub bps: u16,
}

/// Words side by side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// From left to right.
    pub words: Vec<Word>,
    /// The words with single spaces between them.
    pub text: String,
    /// The text in upper case, with what recognition adds to it (frames, specks) taken away.
    pub folded: String,
    /// The rectangle around all words.
    pub at: Region,
}

impl Region {
    /// The smallest rectangle around both; they stand on the same page.
    #[must_use]
    pub fn around(self, other: Self) -> Self {
        Self {
            page: self.page,
            left: self.left.min(other.left),
            top: self.top.min(other.top),
            right: self.right.max(other.right),
            bottom: self.bottom.max(other.bottom),
        }
    }

    /// From the upper to the lower edge.
    pub fn height(self) -> u32 {
        self.bottom.saturating_sub(self.top)
    }

    fn overlap(self, top: u32, bottom: u32) -> u32 {
        self.bottom.min(bottom).saturating_sub(self.top.max(top))
    }
}

impl Row {
    fn of(words: Vec<Word>) -> Option<Self> {
        let at = words.iter().map(|word| word.at).reduce(Region::around)?;
        let text = words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
        let folded = spelling::fold(&text);
        Some(Self { words, text, folded, at })
    }

    /// Where the words that cover the bytes `from..to` of [`Row::text`] stand, and the least sure of them.
    pub fn span(&self, from: usize, to: usize) -> (Region, u16) {
        let mut start = 0;
        let mut found: Option<(Region, u16)> = None;
        for word in &self.words {
            let end = start + word.text.len();
            if start < to && end > from {
                found = Some(match found {
                    None => (word.at, word.bps),
                    Some((at, bps)) => (at.around(word.at), bps.min(word.bps)),
                });
            }
            start = end + 1;
        }
        found.unwrap_or((self.at, 0))
    }

    /// The average sureness over the letters of the row.
    pub fn bps(&self) -> u16 {
        let weight: usize = self.words.iter().map(|word| word.text.len()).sum();
        let sum: usize = self.words.iter().map(|word| word.text.len() * usize::from(word.bps)).sum();
        u16::try_from(sum / weight.max(1)).unwrap_or(u16::MAX)
    }

    /// The middle word's height: what a letter of this row measures.
    pub fn letter_height(&self) -> u32 {
        median(self.words.iter().map(|word| word.at.height()).collect())
    }
}

/// The rows of all pages, from top to bottom.
pub fn rows(words: &[Word]) -> Vec<Row> {
    let mut kept: Vec<&Word> = words.iter().filter(|word| legible(word)).take(WORDS_MAX).collect();
    let usual = median(kept.iter().map(|word| word.at.height()).collect()).max(1);
    kept.retain(|word| word.at.height() <= usual * TALL);
    kept.sort_by_key(|word| (word.at.page, word.at.left, word.at.top));
    let mut open: Vec<Open> = Vec::new();
    for word in kept {
        let best = open
            .iter_mut()
            .filter(|row| row.page == word.at.page && row.words.len() < ROW_WORDS_MAX)
            .filter(|row| row.right <= word.at.left + word.at.height() / 2)
            .map(|row| (word.at.overlap(row.top, row.bottom), row))
            .filter(|(overlap, row)| overlap * 2 > word.at.height().min(row.bottom - row.top))
            .max_by_key(|(overlap, row)| (*overlap, std::cmp::Reverse(row.words.len())));
        match best {
            Some((_, row)) => row.push(word, usual),
            None => open.push(Open::new(word)),
        }
    }
    let mut rows: Vec<(u16, u32, Row)> =
        open.into_iter().filter_map(|row| Some((row.page, row.first_middle, Row::of(row.words)?))).collect();
    rows.sort_by_key(|(page, middle, row)| (*page, *middle, row.at.left));
    rows.into_iter().map(|(_, _, row)| row).collect()
}

/// A row while words join it from the left.
struct Open {
    page: u16,
    top: u32,
    bottom: u32,
    right: u32,
    first_middle: u32,
    words: Vec<Word>,
}

impl Open {
    fn new(word: &Word) -> Self {
        let at = word.at;
        let first_middle = u32::midpoint(at.top, at.bottom);
        let (page, top, bottom) = (at.page, at.top, at.bottom.max(at.top + 1));
        Self { page, top, bottom, right: at.right, first_middle, words: vec![word.clone()] }
    }

    /// The row follows its words up or down; specks and frames do not lead it.
    fn push(&mut self, word: &Word, usual: u32) {
        let height = word.at.height();
        if height * 2 > usual && height < usual * 2 {
            (self.top, self.bottom) = (word.at.top, word.at.bottom);
        }
        self.right = self.right.max(word.at.right);
        self.words.push(word.clone());
    }
}

fn legible(word: &Word) -> bool {
    let at = word.at;
    let boxed = at.left < at.right && at.right <= SIDE_MAX && at.top < at.bottom && at.bottom <= SIDE_MAX;
    let speck = || word.text.chars().all(|c| "|_~—–-=.'‘’`\"“”:;,°".contains(c));
    boxed && !word.text.trim().is_empty() && (word.text == "-" || !speck())
}

/// The middle of some numbers; zero of none.
pub fn median(mut numbers: Vec<u32>) -> u32 {
    numbers.sort_unstable();
    numbers.get(numbers.len() / 2).copied().unwrap_or(0)
}

/// Words of one document that are read; a receipt has some hundreds.
const WORDS_MAX: usize = 5_000;
/// Words of one row; more begin another.
const ROW_WORDS_MAX: usize = 100;
/// No page is longer or wider. **Units**: pixels or tenths of a point.
const SIDE_MAX: u32 = 1 << 20;
/// A word this many times taller than usual is a frame or a stain.
const TALL: u32 = 6;
