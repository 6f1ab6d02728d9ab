//! Every refusal, by name.

use symphony_compute::parse::NotAReceipt;
use symphony_reader::host::{ReadError, Reader};
use symphony_reader::protocol::Refusal;
use symphony_reader::render::{self, page, pdf};

use crate::{reader, with};

fn refusal(reader: &Reader, bytes: &[u8]) -> Refusal {
    match reader.read(bytes) {
        Err(ReadError::Refused(refusal)) => refusal,
        other => panic!("no refusal: {other:?}"),
    }
}

fn png() -> Vec<u8> {
    page::png(&page::picture(&render::invent(7))).unwrap()
}

/// R082: limits of bytes, pages and pixels hold before anything is decoded.
#[test]
fn what_is_too_large_is_refused() {
    let small = with(|config| config.limits.bytes_max = 1_000);
    assert_eq!(refusal(&small, &png()), Refusal::TooLarge(1_000));
    let few = with(|config| config.limits.pixels_max = 10_000);
    assert_eq!(refusal(&few, &png()), Refusal::TooManyPixels(10_000));
    let none = with(|config| config.limits.pages_max = 0);
    assert_eq!(refusal(&none, &pdf::with_text(&render::invent(7))), Refusal::TooManyPages(0));
}

/// R082: neither a name nor a beginning makes a document.
#[test]
fn what_is_no_document_alone_is_refused() {
    let reader = reader();
    assert_eq!(refusal(&reader, b""), Refusal::NotADocument);
    assert_eq!(refusal(&reader, b"GIF89a and so on"), Refusal::NotADocument);
    let mut two = png();
    two.extend_from_slice(&pdf::with_text(&render::invent(7)));
    assert_eq!(refusal(&reader, &two), Refusal::NotADocument);
    let mut archive = pdf::with_text(&render::invent(7));
    archive.extend_from_slice(b"PK\x05\x06");
    archive.extend_from_slice(&[0; 18]);
    assert_eq!(refusal(&reader, &archive), Refusal::NotADocument);
}

/// R082: what is damaged is refused.
#[test]
fn what_is_cut_off_is_refused() {
    let reader = reader();
    let whole = png();
    assert_eq!(refusal(&reader, &whole[..whole.len() / 2]), Refusal::Unreadable);
    let jpeg = page::jpeg(&page::picture(&render::invent(7))).unwrap();
    assert_eq!(refusal(&reader, &jpeg[..jpeg.len() / 2]), Refusal::Unreadable);
    let pdf = pdf::with_text(&render::invent(7));
    assert_eq!(refusal(&reader, &pdf[..pdf.len() / 2]), Refusal::Unreadable);
}

/// R083: a picture without a receipt is refused with the reason.
#[test]
fn what_is_no_receipt_is_refused() {
    let blank = image::GrayImage::from_pixel(400, 600, image::Luma([255]));
    assert_eq!(refusal(&reader(), &page::png(&blank).unwrap()), Refusal::NotAReceipt(NotAReceipt::NoText));
}

/// R082: the time is up, and the caller hears it soon.
#[test]
fn what_takes_too_long_is_refused() {
    let hasty = with(|config| config.limits.wall_ms = 1);
    assert_eq!(refusal(&hasty, &png()), Refusal::TimedOut(1));
}

/// R082: a foreign program that is absent is named, with how to install it.
#[test]
fn a_missing_engine_is_named() {
    let without = with(|config| {
        config.programs.tesseract = "/nowhere/tesseract".into();
        config.programs.pdftotext = "/nowhere/pdftotext".into();
    });
    assert_eq!(without.missing().len(), 2);
    let Refusal::EngineMissing(words) = refusal(&without, &png()) else { panic!("tesseract is not missed") };
    assert!(words.contains("install the packages tesseract-ocr"));
    let Refusal::EngineMissing(words) = refusal(&without, &pdf::with_text(&render::invent(7))) else {
        panic!("poppler is not missed")
    };
    assert!(words.contains("poppler-utils"));
}

/// R082: a process that may have hardly any memory ends, and its caller does not.
#[test]
fn a_reader_without_memory_gives_up() {
    let poor = with(|config| config.limits.memory_bytes = 24 << 20);
    let refused = refusal(&poor, &png());
    assert!(matches!(refused, Refusal::GaveUp(_) | Refusal::Unreadable), "{refused:?}");
}
