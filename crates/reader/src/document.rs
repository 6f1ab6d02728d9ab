//! What a document is, by its content and never by its name; and that it is that alone (R082).
//!
//! Nothing is decoded here: markers and chunk lengths are walked, dimensions read from their headers. A file that is
//! two things at once (a picture with an archive behind it, a PDF behind a picture) is refused, because whoever opens
//! it next may see the other half.

use crate::protocol::{Limits, Refusal};

/// What the bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sniffed {
    /// A JPEG picture.
    Jpeg,
    /// A PNG picture.
    Png,
    /// A PDF; its pages are not known yet.
    Pdf,
}

/// Decides what a document is.
///
/// **Errors**: it is too large, none of the three, more than one, cut off, or has too many pixels.
pub fn sniff(bytes: &[u8], limits: &Limits) -> Result<Sniffed, Refusal> {
    if bytes.len() > limits.bytes_max as usize {
        return Err(Refusal::TooLarge(limits.bytes_max));
    }
    if ends_as_archive(bytes) {
        return Err(Refusal::NotADocument);
    }
    let (kind, size) = if bytes.starts_with(JPEG) {
        (Sniffed::Jpeg, Some(jpeg(bytes)?))
    } else if bytes.starts_with(PNG) {
        (Sniffed::Png, Some(png(bytes)?))
    } else if bytes.starts_with(PDF) {
        pdf(bytes)?;
        (Sniffed::Pdf, None)
    } else {
        return Err(Refusal::NotADocument);
    };
    match size {
        Some((0, _) | (_, 0)) => Err(Refusal::Unreadable),
        Some((width, height)) if u64::from(width) * u64::from(height) > u64::from(limits.pixels_max) => {
            Err(Refusal::TooManyPixels(limits.pixels_max))
        }
        Some((width, height)) if width.max(height) > SIDE_MAX => {
            Err(Refusal::TooManyPixels(limits.pixels_max))
        }
        _ => Ok(kind),
    }
}

/// Walks a JPEG to its end; its width and height.
fn jpeg(bytes: &[u8]) -> Result<(u32, u32), Refusal> {
    let (size, end) = jpeg_end(bytes)?;
    let rest = &bytes[end..];
    // Telephones append further pictures (previews, depth) or a table of their own.
    let further = rest.starts_with(JPEG) || rest.ends_with(b"SEFT");
    let padding = rest.iter().all(|byte| *byte == 0);
    let foreign = FOREIGN.iter().any(|mark| rest.windows(mark.len()).any(|window| window == *mark));
    if !(padding || (further && !foreign)) {
        return Err(Refusal::NotADocument);
    }
    Ok(size)
}

fn jpeg_end(bytes: &[u8]) -> Result<((u32, u32), usize), Refusal> {
    let (mut at, mut size) = (2, None);
    loop {
        let marker = match bytes.get(at..at + 2) {
            Some([0xFF, 0xFF]) => {
                at += 1;
                continue;
            }
            Some([0xFF, marker]) => *marker,
            _ => return Err(Refusal::Unreadable),
        };
        at += 2;
        match marker {
            0xD9 => return size.map(|size| (size, at)).ok_or(Refusal::Unreadable),
            0x01 | 0xD0..=0xD7 => continue,
            _ => {}
        }
        let length = bytes.get(at..at + 2).map(|two| usize::from(u16::from_be_bytes([two[0], two[1]])));
        let segment = length.filter(|length| *length >= 2).and_then(|length| bytes.get(at..at + length));
        let segment = segment.ok_or(Refusal::Unreadable)?;
        if matches!(marker, 0xC0..=0xCF) && !matches!(marker, 0xC4 | 0xC8 | 0xCC) {
            let &[_, _, _, h1, h0, w1, w0, ..] = segment else { return Err(Refusal::Unreadable) };
            if size.is_some() {
                return Err(Refusal::Unreadable);
            }
            size = Some((u32::from(u16::from_be_bytes([w1, w0])), u32::from(u16::from_be_bytes([h1, h0]))));
        }
        at += segment.len();
        if marker == 0xDA {
            at += scan_bytes(&bytes[at..]).ok_or(Refusal::Unreadable)?;
        }
    }
}

/// Bytes of entropy-coded data until the next marker that is not part of it.
fn scan_bytes(bytes: &[u8]) -> Option<usize> {
    bytes.windows(2).position(|two| two[0] == 0xFF && !matches!(two[1], 0 | 0xFF | 0xD0..=0xD7))
}

/// Walks a PNG to its last chunk; its width and height.
fn png(bytes: &[u8]) -> Result<(u32, u32), Refusal> {
    let mut at = PNG.len();
    let mut size = None;
    loop {
        let head = bytes.get(at..at + 8).ok_or(Refusal::Unreadable)?;
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let body = bytes.get(at + 8..).and_then(|rest| rest.get(..length)).ok_or(Refusal::Unreadable)?;
        let next = at + 12 + length;
        match (&head[4..8], size) {
            (b"IHDR", None) => {
                let &[w3, w2, w1, w0, h3, h2, h1, h0, ..] = body else { return Err(Refusal::Unreadable) };
                size = Some((u32::from_be_bytes([w3, w2, w1, w0]), u32::from_be_bytes([h3, h2, h1, h0])));
            }
            (_, None) | (b"IHDR", Some(_)) => return Err(Refusal::Unreadable),
            (b"IEND", Some(size)) if next == bytes.len() => return Ok(size),
            (b"IEND", Some(_)) if next > bytes.len() => return Err(Refusal::Unreadable),
            (b"IEND", Some(_)) => return Err(Refusal::NotADocument),
            _ => {}
        }
        at = next;
    }
}

/// A PDF ends with its mark, and nothing but line ends stands behind the last one.
fn pdf(bytes: &[u8]) -> Result<(), Refusal> {
    let mark = bytes.windows(EOF.len()).rposition(|window| window == EOF).ok_or(Refusal::Unreadable)?;
    let rest = &bytes[mark + EOF.len()..];
    let blank = rest.iter().all(|byte| byte.is_ascii_whitespace() || *byte == 0);
    // Only the beginning decides what a careless program takes a file for.
    let beginning = &bytes[..bytes.len().min(HEAD_BYTES)];
    let foreign = [b"<html".as_slice(), b"<script", b"<?php"];
    let other = foreign
        .iter()
        .any(|mark| beginning.windows(mark.len()).any(|window| window.eq_ignore_ascii_case(mark)));
    if blank && !other { Ok(()) } else { Err(Refusal::NotADocument) }
}

/// Whether a ZIP archive's directory ends just where the file does.
fn ends_as_archive(bytes: &[u8]) -> bool {
    let first = bytes.len().saturating_sub(ZIP_END_BYTES + usize::from(u16::MAX));
    let tail = &bytes[first..];
    tail.windows(ZIP_END_BYTES).enumerate().any(|(at, window)| {
        let comment = usize::from(u16::from_le_bytes([window[20], window[21]]));
        window.starts_with(b"PK\x05\x06") && at + ZIP_END_BYTES + comment == tail.len()
    })
}

const JPEG: &[u8] = &[0xFF, 0xD8, 0xFF];
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
const PDF: &[u8] = b"%PDF-";
const EOF: &[u8] = b"%%EOF";
/// What a further picture behind a JPEG must not hold.
const FOREIGN: &[&[u8]] = &[PDF, b"PK\x03\x04", b"PK\x05\x06", b"<script", b"<html", b"<?php", b"\x7fELF"];
const HEAD_BYTES: usize = 1024;
const ZIP_END_BYTES: usize = 22;
/// Pixels of one side: a strip this long is no receipt.
const SIDE_MAX: u32 = 30_000;
