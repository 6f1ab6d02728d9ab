//! The reading process from its first frame to its last: setup, lock-down, document, answer (R082-R084).

use std::io::{Read, Write};

use image::GrayImage;
use symphony_compute::parse::expense::EXTRACTOR;
use symphony_compute::parse::layout::{Region, Word};
use symphony_compute::parse::{self, NotAReceipt, Scan};
use symphony_tee::frame::{self, FrameError};
use symphony_tee::sandbox::LockedDown;

use crate::document::{self, Sniffed};
use crate::lockdown;
use crate::prepare::{self, Prepared, Recipe};
use crate::protocol::{Answer, Kind, Measured, PageSize, Reading, Refusal, Request, Setup};
use crate::recognize::{Division, Engine};
use crate::tool::Deadline;
use crate::{annotate, pdf, picture};

/// The process could not serve at all.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The pipes failed.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The first frame is no setup.
    #[error("the first frame is no setup")]
    Setup(#[from] bcs::Error),
    /// The starter left before the document.
    #[error("the pipe ended before the document")]
    Ended,
}

/// Serves one request. Locks the process down between the setup and the document.
///
/// **Errors**: [`ServeError`]; everything about the document is an [`Answer`].
pub fn serve(from: &mut impl Read, to: &mut impl Write) -> Result<(), ServeError> {
    let setup: Setup = bcs::from_bytes(&frame::read(from)?.ok_or(ServeError::Ended)?)?;
    let answer = match lockdown::lock_down(&setup.limits, &setup.programs) {
        Err(error) => Answer::Fault(format!("locking the reader down: {error}")),
        Ok(locked) => match frame::read(from)? {
            None => return Err(ServeError::Ended),
            Some(document) => answer(&setup, locked, &document),
        },
    };
    frame::write(to, &bcs::to_bytes(&answer)?)?;
    Ok(())
}

fn answer(setup: &Setup, locked: LockedDown, document: &[u8]) -> Answer {
    let engine = Engine {
        programs: &setup.programs,
        limits: &setup.limits,
        deadline: Deadline::after(setup.limits.wall_ms),
    };
    let answered = match &setup.request {
        Request::Read => read(&engine, document, locked, true).map(|reading| Answer::Read(Box::new(reading))),
        Request::ReadPlain => {
            read(&engine, document, locked, false).map(|reading| Answer::Read(Box::new(reading)))
        }
        Request::Annotate { page, places } => draw(&engine, document, *page, places).map(Answer::Drawn),
    };
    answered.unwrap_or_else(Answer::Refused)
}

fn read(
    engine: &Engine<'_>,
    document: &[u8],
    locked: LockedDown,
    prepares: bool,
) -> Result<Reading, Refusal> {
    let (kind, pages, looks) = match document::sniff(document, engine.limits)? {
        Sniffed::Pdf => {
            let texts = pdf::text(engine, document)?;
            let words: Vec<Word> = texts.iter().flat_map(|page| page.words.clone()).collect();
            if words.len() >= TEXT_WORDS_MIN {
                let pages = texts
                    .iter()
                    .map(|page| PageSize { width: page.width * 10, height: page.height * 10 })
                    .collect();
                return told(Kind::PdfText, pages, vec![Scan { words }], 0, locked);
            }
            let mut pictures = Vec::new();
            for (number, size) in (0..).zip(&texts) {
                pictures.push(pdf::picture(engine, document, number, size)?);
            }
            let (pages, looks) = look(engine, pictures, prepares)?;
            (Kind::PdfScan, pages, looks)
        }
        sniffed => {
            let kind = if sniffed == Sniffed::Jpeg { Kind::Jpeg } else { Kind::Png };
            let (pages, looks) =
                look(engine, vec![picture::decode(document, sniffed, engine.limits)?], prepares)?;
            (kind, pages, looks)
        }
    };
    let count = u8::try_from(looks.len()).unwrap_or(u8::MAX);
    told(kind, pages, looks, count, locked)
}

fn told(
    kind: Kind,
    pages: Vec<PageSize>,
    scans: Vec<Scan>,
    looks: u8,
    locked: LockedDown,
) -> Result<Reading, Refusal> {
    let expense = parse::extract(&scans).map_err(Refusal::NotAReceipt)?;
    let measured = Measured { extractor: EXTRACTOR, ..Measured::default() };
    Ok(Reading { kind, pages, scans, expense, looks, locked, measured })
}

/// Recognises pages, once more in another way where the first look leaves doubt.
fn look(
    engine: &Engine<'_>,
    mut pictures: Vec<GrayImage>,
    prepares: bool,
) -> Result<(Vec<PageSize>, Vec<Scan>), Refusal> {
    let sizes = |pictures: &[GrayImage]| {
        pictures.iter().map(|page| PageSize { width: page.width(), height: page.height() }).collect()
    };
    if !prepares {
        let pages = sizes(&pictures);
        let mut words = Vec::new();
        for (number, page) in (0..).zip(pictures) {
            words.extend(engine.words(&Prepared::plain(page, number), Division::Automatic)?);
        }
        return Ok((pages, vec![Scan { words }]));
    }
    let mut scan = recognised(engine, &pictures, FIRST)?;
    if illegible(&scan) {
        // Perhaps the page lies on its side or upside down.
        for quarters in [2, 1, 3] {
            let turned: Vec<GrayImage> =
                pictures.iter().map(|page| picture::turned(page, quarters)).collect();
            let other = recognised(engine, &turned, FIRST)?;
            if legible(&other) > 2 * legible(&scan) + LETTERS_MIN {
                (scan, pictures) = (other, turned);
                break;
            }
        }
    }
    let pages = sizes(&pictures);
    let mut scans = vec![scan];
    for further in FURTHER {
        let known = parse::extract(&scans);
        if !parse::doubtful(&known) || known == Err(NotAReceipt::NoText) && scans.len() > 1 {
            break;
        }
        scans.push(recognised(engine, &pictures, *further)?);
    }
    Ok((pages, scans))
}

fn recognised(
    engine: &Engine<'_>,
    pages: &[GrayImage],
    (recipe, division): (Recipe, Division),
) -> Result<Scan, Refusal> {
    let mut words = Vec::new();
    for (number, page) in (0..).zip(pages) {
        engine.deadline.left()?;
        words.extend(engine.words(&prepare::prepare(page, number, recipe), division)?);
    }
    Ok(Scan { words })
}

/// Letters that recognition is sure of.
fn legible(scan: &Scan) -> usize {
    scan.words
        .iter()
        .filter(|word| word.bps > SURE)
        .map(|word| word.text.chars().filter(|c| c.is_alphanumeric()).count())
        .sum()
}

/// Hardly anything was recognised surely.
fn illegible(scan: &Scan) -> bool {
    let all: usize = scan.words.iter().map(|word| word.text.chars().count()).sum();
    legible(scan) * 4 < all.max(4 * LETTERS_MIN)
}

fn draw(
    engine: &Engine<'_>,
    document: &[u8],
    page: u16,
    places: &[(String, Region)],
) -> Result<Vec<u8>, Refusal> {
    let sniffed = document::sniff(document, engine.limits)?;
    if sniffed == Sniffed::Pdf {
        let texts = pdf::text(engine, document)?;
        let size = texts.get(usize::from(page)).ok_or(Refusal::Unreadable)?;
        let drawn = pdf::colours(engine, document, page, size)?;
        let has_text = texts.iter().map(|page| page.words.len()).sum::<usize>() >= TEXT_WORDS_MIN;
        let units = has_text.then_some(size.width * 10);
        return annotate::boxes(drawn, page, places, units);
    }
    annotate::boxes(picture::decode_colours(document, sniffed, engine.limits)?, page, places, None)
}

/// A text layer with fewer words belongs to a scan.
const TEXT_WORDS_MIN: usize = 10;
const SURE: u16 = 7_000;
/// Letters that even a short receipt has.
const LETTERS_MIN: usize = 40;
const FIRST: (Recipe, Division) = (Recipe { letter: 24.0, crisp: false }, Division::Block);
const FURTHER: &[(Recipe, Division)] = &[(Recipe { letter: 32.0, crisp: false }, Division::Column)];
