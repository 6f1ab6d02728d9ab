//! What is read: every kind of document, the same bytes twice, under lock-down.

use symphony_reader::protocol::{Kind, Reading};
use symphony_reader::render::{self, Truth, page, pdf};

use crate::reader;

fn assert_true(reading: &Reading, truth: &Truth) {
    let expense = &reading.expense;
    assert_eq!(expense.merchant.as_ref().unwrap().value, truth.merchant);
    assert_eq!(expense.date.as_ref().unwrap().value, truth.date);
    assert_eq!(expense.total.as_ref().unwrap().value, truth.total);
    assert_eq!(expense.currency.as_ref().unwrap().value, truth.currency);
    assert_eq!(expense.country.as_ref().unwrap().value, truth.country);
}

/// R082 R083: JPEG, PNG, PDF with text and PDF of a scan, told apart by content.
#[test]
fn every_kind_of_document_is_read() {
    let receipt = render::invent(1);
    let picture = page::picture(&receipt);
    let documents = [
        (Kind::Png, page::png(&picture).unwrap()),
        (Kind::Jpeg, page::jpeg(&picture).unwrap()),
        (Kind::PdfText, pdf::with_text(&receipt)),
        (Kind::PdfScan, pdf::of_scan(&picture).unwrap()),
    ];
    for (kind, bytes) in documents {
        let reading = reader().read(&bytes).unwrap();
        assert_eq!(reading.kind, kind);
        assert_eq!(reading.looks == 0, kind == Kind::PdfText);
        assert_true(&reading, &receipt.truth);
    }
}

/// R083: a slanted photograph on a dark table, and one taken upside down.
#[test]
fn a_slanted_and_a_turned_photograph_are_read() {
    let receipt = render::invent(2);
    let photo = page::photographed(&page::picture(&receipt), 2);
    assert_true(&reader().read(&page::jpeg(&photo).unwrap()).unwrap(), &receipt.truth);
    let turned = image::imageops::rotate180(&page::picture(&receipt));
    assert_true(&reader().read(&page::png(&turned).unwrap()).unwrap(), &receipt.truth);
}

/// R084: the same document gives the same record, byte for byte, and names what read it.
#[test]
fn the_same_document_gives_the_same_bytes() {
    let bytes = page::jpeg(&page::photographed(&page::picture(&render::invent(3)), 3)).unwrap();
    let reader = reader();
    let (first, second) = (reader.read(&bytes).unwrap(), reader.read(&bytes).unwrap());
    assert_eq!(first.expense.canonical(), second.expense.canonical());
    assert_eq!(first, second);
    assert_eq!(&first.measured, reader.measured());
    assert!(first.measured.tesseract.is_some() && first.measured.model.is_some());
}

/// R082: the process is confined before it sees the document.
#[test]
fn the_process_is_locked_down() {
    let reading = reader().read(&pdf::with_text(&render::invent(4))).unwrap();
    assert!(reading.locked.no_new_privs && reading.locked.no_core && reading.locked.undumpable);
    assert!(reading.locked.dies_with_host, "{:?}", reading.locked);
}

/// R083: the boxes are drawn on a picture of the page.
#[test]
fn boxes_are_drawn_on_the_page() {
    let receipt = render::invent(5);
    for bytes in [page::png(&page::picture(&receipt)).unwrap(), pdf::with_text(&receipt)] {
        let reader = reader();
        let reading = reader.read(&bytes).unwrap();
        let drawn = reader.annotate(&bytes, 0, &reading.expense.places()).unwrap();
        let picture = image::load_from_memory(&drawn).unwrap().into_rgb8();
        assert!(picture.pixels().any(|pixel| pixel.0 == [200, 30, 30]), "no box around the merchant");
    }
}
