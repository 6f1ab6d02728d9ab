//! A drawn receipt as PDF, with text or as the picture of a scan. Written by hand: a few objects are all it takes.

use std::fmt::Write as _;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use image::GrayImage;

use crate::render::Receipt;

/// A page of selectable text.
pub fn with_text(receipt: &Receipt) -> Vec<u8> {
    let height = receipt.rows.len() * 12 + 60;
    let mut content = String::from("BT\n/F1 9 Tf\n12 TL\n");
    let _ = writeln!(content, "20 {} Td", height - 40);
    for (_, row) in &receipt.rows {
        let escaped = row.replace('\\', "\\\\").replace('(', "\\(").replace(')', "\\)");
        let _ = writeln!(content, "({escaped}) Tj T*");
    }
    content.push_str("ET\n");
    let page = format!(
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 260 {height}] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>"
    );
    let font = "<< /Type /Font /Subtype /Type1 /BaseFont /Courier >>".as_bytes().to_vec();
    file(&[CATALOGUE.into(), PAGES.into(), page.into_bytes(), stream("", content.as_bytes()), font])
}

/// A page that is one picture.
///
/// **Errors**: the picture cannot be compressed.
pub fn of_scan(picture: &GrayImage) -> std::io::Result<Vec<u8>> {
    let (width, height) = (picture.width() * 72 / 200, picture.height() * 72 / 200);
    let page = format!(
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {width} {height}] /Contents 4 0 R /Resources << /XObject << /I 5 0 R >> >> >>"
    );
    let content = format!("{width} 0 0 {height} 0 0 cm /I Do\n");
    let head = format!(
        "/Type /XObject /Subtype /Image /Width {} /Height {} /ColorSpace /DeviceGray /BitsPerComponent 8 /Filter /FlateDecode",
        picture.width(),
        picture.height()
    );
    let image = stream(&head, &deflated(picture.as_raw())?);
    Ok(file(&[CATALOGUE.into(), PAGES.into(), page.into_bytes(), stream("", content.as_bytes()), image]))
}

pub(crate) fn deflated(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes)?;
    encoder.finish()
}

pub(crate) fn stream(head: &str, bytes: &[u8]) -> Vec<u8> {
    let mut object = format!("<< {head} /Length {} >>\nstream\n", bytes.len()).into_bytes();
    object.extend_from_slice(bytes);
    object.extend_from_slice(b"\nendstream");
    object
}

/// A file of objects numbered from 1, the first of which is the catalogue.
pub(crate) fn file(objects: &[Vec<u8>]) -> Vec<u8> {
    let mut file = b"%PDF-1.4\n".to_vec();
    let mut places = Vec::new();
    for (number, object) in (1..).zip(objects) {
        places.push(file.len());
        file.extend_from_slice(format!("{number} 0 obj\n").as_bytes());
        file.extend_from_slice(object);
        file.extend_from_slice(b"\nendobj\n");
    }
    let table = file.len();
    let mut tail = format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1);
    for place in places {
        let _ = writeln!(tail, "{place:010} 00000 n ");
    }
    let _ =
        write!(tail, "trailer\n<< /Size {} /Root 1 0 R >>\nstartxref\n{table}\n%%EOF\n", objects.len() + 1);
    file.extend_from_slice(tail.as_bytes());
    file
}

pub(crate) const CATALOGUE: &str = "<< /Type /Catalog /Pages 2 0 R >>";
pub(crate) const PAGES: &str = "<< /Type /Pages /Kids [3 0 R] /Count 1 >>";
