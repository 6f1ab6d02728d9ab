//! A receipt read whole, the slips of recognition, other papers, and words that nobody wrote.

use super::expense::{Clock, Day, Method};
use super::layout::{Region, Word};
use super::{NotAReceipt, Scan, amount, bbox, doubtful, extract, layout, tsv};

/// Rows of text as words at their places, 10 by 20 pixels a letter.
fn scan(rows: &[&str]) -> Scan {
    let mut words = Vec::new();
    for (line, row) in (0_u32..).zip(rows) {
        let mut left = 0;
        for word in row.split(' ') {
            let width = u32::try_from(word.chars().count()).unwrap() * 10;
            let at = Region { page: 0, left, top: line * 30, right: left + width, bottom: line * 30 + 20 };
            if !word.is_empty() {
                words.push(Word { text: word.into(), at, bps: 9_500 });
            }
            left += width + 10;
        }
    }
    Scan { words }
}

const RECEIPT: &[&str] = &[
    "BLUE HERON TRADING SON BHD",
    "(123456-X)",
    "12, JALAN MELUR, 50450 KUALA LUMPUR",
    "TEL: 03-1234567",
    "TAX INVOICE",
    "Invoice No: CS004711",
    "Date: 1l/02/2019   8:13:39 PM",
    "Description          Amount",
    "Garden Hose",
    "2 x 10.50            21.00",
    "Hand Soap            8.O2",
    "Total (RM)           29.02",
    "Rounding             -0.02",
    "Rounded Total        29. 00",
    "Cash                 50.00",
    "Change               21.00",
];

/// R083: every field of a usual receipt, through common slips of recognition.
#[test]
fn a_usual_receipt_is_read_whole() {
    let expense = extract(&[scan(RECEIPT)]).unwrap();
    assert_eq!(expense.merchant.as_ref().unwrap().value, "BLUE HERON TRADING SDN BHD");
    assert_eq!(expense.date.as_ref().unwrap().value, Day { year: 2019, month: 2, day: 11 });
    assert_eq!(expense.time.as_ref().unwrap().value, Clock { hour: 20, minute: 13, second: 39 });
    assert_eq!(expense.total.as_ref().unwrap().value, 2_900);
    assert_eq!(expense.currency.as_ref().unwrap().value, "MYR");
    assert_eq!(expense.country.as_ref().unwrap().value, "MY");
    assert_eq!(expense.city.as_ref().unwrap().value, "Kuala Lumpur");
    assert_eq!(expense.number.as_ref().unwrap().value, "CS004711");
    assert_eq!(expense.payment.as_ref().unwrap().value, Method::Cash);
    let items: Vec<_> =
        expense.items.iter().map(|item| (item.value.description.as_str(), item.value.amount)).collect();
    assert_eq!(items, [("Garden Hose", 2_100), ("Hand Soap", 802)]);
    assert_eq!(expense.items[0].value.quantity_milli, Some(2_000));
    assert_eq!(expense.items[0].value.unit_price, Some(1_050));
    assert_eq!(expense.checks.paid_makes_total, Some(true));
    assert_eq!(expense.checks.items_make_total, Some(true));
    assert_eq!(expense.quality.consistency, 10_000);
    // The box of the total is that of its amount.
    assert_eq!(expense.total.unwrap().at.unwrap().top, 13 * 30);
}

/// R084: the same words give the same bytes, in whatever order they come.
#[test]
fn the_same_words_give_the_same_bytes() {
    let forward = scan(RECEIPT);
    let mut backward = forward.clone();
    backward.words.reverse();
    let bytes = |scan: Scan| extract(&[scan]).unwrap().canonical();
    assert_eq!(bytes(forward.clone()), bytes(forward.clone()));
    assert_eq!(bytes(forward), bytes(backward));
}

/// R083: what is no receipt is refused with a reason.
#[test]
fn other_papers_are_refused_with_a_reason() {
    assert_eq!(extract(&[]), Err(NotAReceipt::NoText));
    assert_eq!(extract(&[scan(&["A FEW"])]), Err(NotAReceipt::NoText));
    let letter =
        scan(&["Dear reader, this is a letter", "that speaks about the weather", "and of nothing else"]);
    assert_eq!(extract(&[letter]), Err(NotAReceipt::NoAmount));
    let table = scan(&["The average growth of plants was", "about 12.50 and 13.75 in the north"]);
    assert_eq!(extract(std::slice::from_ref(&table)), Err(NotAReceipt::NoSale));
    assert!(doubtful(&extract(&[table])));
}

/// R083: amounts as recognition leaves them.
#[test]
fn amounts_survive_the_slips_of_recognition() {
    let amounts = |text: &str| {
        let row = layout::rows(&scan(&[text]).words).remove(0);
        amount::in_row(&row).iter().map(|amount| (amount.cents, amount.exact)).collect::<Vec<_>>()
    };
    assert_eq!(amounts("RM29.70"), [(2_970, true)]);
    assert_eq!(amounts("TOTAL 49. 39"), [(4_939, true)]);
    assert_eq!(amounts("TOTAL 1,234.50 S"), [(123_450, true)]);
    assert_eq!(amounts("SUMME 1.234,50 EUR"), [(123_450, true)]);
    assert_eq!(amounts("9.O0 1O.50"), [(900, true), (1_050, true)]);
    assert_eq!(amounts("-0.02 0.03-"), [(-2, true), (-3, true)]);
    assert_eq!(amounts("6.00% 11/02/2019 12:45"), []);
}

/// R083: the forms of dates; the order of day and month follows the country.
#[test]
fn dates_are_read_in_their_forms() {
    let day = |text: &str, place: &str| {
        let rows = ["SILVER PINE BOOKS", place, text, "TOTAL 10.00", "CASH 10.00"];
        extract(&[scan(&rows)]).unwrap().date.map(|date| (date.value.year, date.value.month, date.value.day))
    };
    let expected = Some((2018, 3, 5));
    for text in
        ["Date 05/03/2018", "5-3-18", "05 MAR 2018", "MAR 5, 2018", "2018-03-05", "05.03.2018", "O5/03/2018"]
    {
        assert_eq!(day(text, "SINGAPORE"), expected, "{text}");
    }
    assert_eq!(day("Date 03/05/2018", "SEATTLE, USA"), expected);
    assert_eq!(day("Date 31/02/2018", "SINGAPORE"), None);
    let sure = |text: &str| {
        let rows = ["SILVER PINE BOOKS", text, "TOTAL 10.00", "CASH 10.00"];
        extract(&[scan(&rows)]).unwrap().date.map_or(0, |date| date.bps)
    };
    assert!(sure("Date 05/03/20%") < sure("Date 05/03/20"), "more digits may be hidden");
    assert_eq!(sure("Date 05/03/2018*"), sure("Date 05/03/2018"), "nothing can follow");
    let first = ["05/03/2018 SILVER PINE BOOKS", "SINGAPORE", "TOTAL 10.00", "CASH 10.00"];
    let first = extract(&[scan(&first)]).unwrap().date.map(|date| date.value);
    assert_eq!(first, Some(Day { year: 2018, month: 3, day: 5 }), "no row stands above it");
    assert_eq!(
        day("Date 5°3°2018 22 52 33", "SINGAPORE"),
        expected,
        "strokes that were taken for something else"
    );
}

fn total(looks: &[&[&str]]) -> Option<u64> {
    let head = ["SILVER PINE BOOKS", "SINGAPORE", "TAX INVOICE", "Date 05/03/2018", "Pencil 4.69"];
    let scans: Vec<Scan> = looks.iter().map(|rows| scan(&[head.as_slice(), *rows].concat())).collect();
    extract(&scans).unwrap().total.map(|total| total.value)
}

/// R083: cash and change prove a total, each from whichever recognition read it; what was given is none when there was change.
#[test]
fn cash_and_change_prove_a_total_across_recognitions() {
    let first = ["Grnd Ttl 92.80", "Cash 400.00", "Change 7.20"].as_slice();
    let second = ["Grnd Ttl S2.", "Cash 100.00", "Chnge"].as_slice();
    assert_eq!(total(&[first, second]), Some(9_280));
    assert_eq!(total(&[&["GrandTotal 92.80", "Cash 100.00", "Change 7.20"]]), Some(9_280));
}

/// R083: a total that was rounded to coins stands beside the one that was not; a rounding that was misread is no total.
#[test]
fn roundings_lie_near_their_total() {
    assert_eq!(total(&[&["Total Sales 72.74", "Rounding RM 72.75", "CASH 100.00"]]), Some(7_275));
    assert_eq!(
        total(&[&["Sub Total 4.69", "Rounding Adj 1.01", "Total Sales 4.70", "Cash 5.00"]]),
        Some(470)
    );
}

/// R083: specks are no legal form, a letter that was seen twice is one, and marks in a known word are its letters.
#[test]
fn slips_in_names_are_put_right() {
    let name = |row: &str| {
        let rows = ["31goyo oY a", row, "SINGAPORE", "05/03/2018", "TOTAL 10.00", "CASH 10.00"];
        extract(&[scan(&rows)]).unwrap().merchant.map(|name| name.value)
    };
    assert_eq!(name("BLUE Y\u{a5}. HERON SDN BHD").as_deref(), Some("BLUE Y. HERON SDN BHD"));
    assert_eq!(name("HERON HARDWA.2 CENTRE").as_deref(), Some("HERON HARDWARE CENTRE"));
}

/// R083: two recognitions that agree are surer than one.
#[test]
fn agreement_of_recognitions_makes_sure() {
    let rows = ["GREEN VALLEY", "12/01/2018", "TOTAL 10.00", "CASH 10.00"];
    let one = extract(&[scan(&rows)]).unwrap();
    let two = extract(&[scan(&rows), scan(&rows)]).unwrap();
    assert_eq!(one.total.as_ref().unwrap().value, two.total.as_ref().unwrap().value);
    assert!(two.merchant.unwrap().bps > one.merchant.unwrap().bps);
}

/// R083: tables of the foreign programs are untrusted.
#[test]
fn malformed_tables_give_no_words() {
    assert_eq!(tsv::words("5\t1\t1\t1\t1\t1\t10\t20\t30\t40\t92.95\tTOTAL\n5\t1\t1\n5\tx\n", 0).len(), 1);
    assert_eq!(tsv::words("5\t1\t1\t1\t1\t1\t4294967295\t20\t30\t40\t92.95\tA", 0), []);
    let pages = bbox::pages(
        "<page width=\"200.5\" height=\"300\">\n<word xMin=\"1.25\" yMin=\"2\" xMax=\"9\" yMax=\"8\">A&amp;B</word>\n<word xMin=\"q\">",
    );
    assert_eq!((pages.len(), pages[0].width, pages[0].words.len()), (1, 201, 1));
    assert_eq!((pages[0].words[0].text.as_str(), pages[0].words[0].at.left), ("A&B", 12));
}

/// R083: a page of nothing but words is read in bounded time: neither its words nor those of a row are without limit.
#[test]
fn words_and_rows_have_limits() {
    let word = |at: u32| {
        let at = Region { page: 0, left: at * 12, top: 0, right: at * 12 + 10, bottom: 20 };
        Word { text: "13.30".into(), at, bps: 9_000 }
    };
    let rows = layout::rows(&(0..20_000).map(word).collect::<Vec<_>>());
    assert_eq!(rows.iter().map(|row| row.words.len()).sum::<usize>(), 5_000);
    assert!(rows.iter().all(|row| row.words.len() <= 100));
    let beyond = Region { page: 0, left: u32::MAX - 1, top: u32::MAX - 1, right: u32::MAX, bottom: u32::MAX };
    assert_eq!(layout::rows(&[Word { text: "-".into(), at: beyond, bps: 9_000 }]), []);
}

/// R083: what the fuzz target begins with is read, so that it explores the reading and not the refusals.
#[test]
fn the_fuzz_seeds_are_receipts() {
    let table = |text: &str| Scan { words: tsv::words(text, 0) };
    let one = include_str!("../../fuzz/seeds/extract/table");
    let two: Vec<Scan> = include_str!("../../fuzz/seeds/extract/tables").split('\x01').map(table).collect();
    let pages = bbox::pages(include_str!("../../fuzz/seeds/extract/page"));
    let page = Scan { words: pages.into_iter().flat_map(|page| page.words).collect() };
    assert_eq!(two.len(), 2);
    for scans in [vec![table(one)], two, vec![page]] {
        let expense = extract(&scans).unwrap();
        assert_eq!(expense.total.map(|total| total.value), Some(1330));
        assert_eq!(expense.date.map(|date| date.value), Some(Day { year: 2026, month: 3, day: 12 }));
    }
}

proptest::proptest! {
    /// R083: no words, however wild, stop the extractor.
    #[test]
    fn any_words_are_read_or_refused(rows in proptest::collection::vec("[A-Z0-9 .,:/$-]{0,40}|TOTAL [0-9.,OlS ]{1,12}|[0-9/ -]{6,10}", 0..30)) {
        let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
        let _ = extract(&[scan(&rows)]);
    }

    /// R083: nor do any characters at all.
    #[test]
    fn any_text_is_read_or_refused(rows in proptest::collection::vec(".{0,40}", 0..20)) {
        let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
        let _ = extract(&[scan(&rows), scan(&rows)]);
    }
}
