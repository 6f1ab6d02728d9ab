//! Documents that no reader should be sent, made from a seed: truncated, with huge dimensions, bombs, two things at
//! once, and noise (R082). The same seed makes the same documents on every machine.

use rand::{Rng as _, RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha12Rng;

use crate::render::{self, page, pdf};

/// A document and what is wrong with it.
pub struct Hostile {
    /// The kind of attack.
    pub kind: &'static str,
    /// The document.
    pub bytes: Vec<u8>,
}

/// Makes hostile documents, one after the other, of all kinds in turn.
pub struct Generator {
    seed: u64,
    next: u64,
    plain: Vec<Vec<u8>>,
}

impl Generator {
    /// A generator of its own documents for each seed.
    pub fn new(seed: u64) -> Self {
        let receipt = render::invent(seed);
        let picture = page::picture(&receipt);
        let plain = [
            page::png(&picture).ok(),
            page::jpeg(&picture).ok(),
            Some(pdf::with_text(&receipt)),
            pdf::of_scan(&picture).ok(),
        ];
        Self { seed, next: 0, plain: plain.into_iter().flatten().collect() }
    }
}

impl Iterator for Generator {
    type Item = Hostile;

    fn next(&mut self) -> Option<Hostile> {
        let number = self.next;
        self.next += 1;
        let mut rng = ChaCha12Rng::seed_from_u64(self.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let plain = self.plain.get(rng.random_range(0..self.plain.len().max(1)))?.clone();
        let (kind, make) = KINDS[usize::try_from(number % KINDS.len() as u64).unwrap_or(0)];
        Some(Hostile { kind, bytes: make(&mut rng, plain, &self.plain) })
    }
}

type Make = fn(&mut ChaCha12Rng, Vec<u8>, &[Vec<u8>]) -> Vec<u8>;

const KINDS: &[(&str, Make)] = &[
    ("truncated", truncated),
    ("bytes changed", changed),
    ("huge dimensions", huge),
    ("bomb in a pdf", bomb),
    ("bomb in a png", png_bomb),
    ("polyglot", polyglot),
    ("noise", noise),
    ("noise behind a magic number", noise_with_head),
    ("pages without end", many_pages),
    ("loop in a pdf", looping),
];

fn truncated(rng: &mut ChaCha12Rng, plain: Vec<u8>, _: &[Vec<u8>]) -> Vec<u8> {
    let length = rng.random_range(0..plain.len());
    plain[..length].to_vec()
}

fn changed(rng: &mut ChaCha12Rng, mut plain: Vec<u8>, _: &[Vec<u8>]) -> Vec<u8> {
    for _ in 0..rng.random_range(1..60) {
        let at = rng.random_range(0..plain.len());
        plain[at] = rng.random();
    }
    plain
}

/// A small file that says it is a picture of gigabytes.
fn huge(rng: &mut ChaCha12Rng, _: Vec<u8>, all: &[Vec<u8>]) -> Vec<u8> {
    let side = |rng: &mut ChaCha12Rng| rng.random_range(20_000..=u32::from(u16::MAX));
    let (width, height) = (side(rng), side(rng));
    if rng.random() {
        let mut png = all.first().cloned().unwrap_or_default();
        png[16..20].copy_from_slice(&width.to_be_bytes());
        png[20..24].copy_from_slice(&height.to_be_bytes());
        let checked = crc(&png[12..29]).to_be_bytes();
        png[29..33].copy_from_slice(&checked);
        return png;
    }
    let mut jpeg = all.get(1).cloned().unwrap_or_default();
    if let Some(at) = jpeg.windows(2).position(|two| two[0] == 0xFF && matches!(two[1], 0xC0 | 0xC2)) {
        jpeg[at + 5..at + 7].copy_from_slice(&(height as u16).to_be_bytes());
        jpeg[at + 7..at + 9].copy_from_slice(&(width as u16).to_be_bytes());
    }
    jpeg
}

/// A stream in a PDF that unpacks to very much, as content or as a picture.
fn bomb(rng: &mut ChaCha12Rng, _: Vec<u8>, _: &[Vec<u8>]) -> Vec<u8> {
    let megabytes = rng.random_range(8..64);
    let unit: &[u8] = if rng.random() { b"0 0 m 9 9 l S\n" } else { &[0; 14] };
    let packed = pdf::deflated(&unit.repeat(megabytes << 16)).unwrap_or_default();
    if rng.random() {
        let page = "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents 4 0 R >>";
        return pdf::file(&[
            pdf::CATALOGUE.into(),
            pdf::PAGES.into(),
            page.into(),
            pdf::stream("/Filter /FlateDecode", &packed),
        ]);
    }
    let page = "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents 4 0 R /Resources << /XObject << /I 5 0 R >> >> >>";
    let head = "/Type /XObject /Subtype /Image /Width 60000 /Height 60000 /ColorSpace /DeviceRGB /BitsPerComponent 8 /Filter /FlateDecode";
    let content = pdf::stream("", b"600 0 0 800 0 0 cm /I Do\n");
    pdf::file(&[pdf::CATALOGUE.into(), pdf::PAGES.into(), page.into(), content, pdf::stream(head, &packed)])
}

/// A PNG whose pixels are few bytes, and a text chunk that unpacks to very much.
fn png_bomb(rng: &mut ChaCha12Rng, _: Vec<u8>, _: &[Vec<u8>]) -> Vec<u8> {
    let side: u32 = rng.random_range(4_000..9_000);
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut header = [side.to_be_bytes(), side.to_be_bytes()].concat();
    header.extend_from_slice(&[8, 0, 0, 0, 0]);
    chunk(&mut png, b"IHDR", &header);
    let mut text = b"Comment\0\0".to_vec();
    text.extend(pdf::deflated(&vec![b'x'; 16 << 20]).unwrap_or_default());
    chunk(&mut png, b"zTXt", &text);
    let rows = pdf::deflated(&vec![0; ((side + 1) * side.min(2_000)) as usize]).unwrap_or_default();
    chunk(&mut png, b"IDAT", &rows);
    chunk(&mut png, b"IEND", &[]);
    png
}

/// One kind of file in front of another.
fn polyglot(rng: &mut ChaCha12Rng, mut plain: Vec<u8>, all: &[Vec<u8>]) -> Vec<u8> {
    match rng.random_range(0..4) {
        0 => plain.extend_from_slice(&all[rng.random_range(0..all.len())]),
        1 => {
            plain.extend_from_slice(b"PK\x05\x06");
            plain.extend_from_slice(&[0; 18]);
        }
        2 => plain.extend_from_slice(b"<script>alert(1)</script>"),
        _ => {
            let mut both = b"GIF89a".to_vec();
            both.extend_from_slice(&plain);
            plain = both;
        }
    }
    plain
}

fn noise(rng: &mut ChaCha12Rng, _: Vec<u8>, _: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = vec![0; rng.random_range(0..50_000)];
    rng.fill_bytes(&mut bytes);
    bytes
}

fn noise_with_head(rng: &mut ChaCha12Rng, plain: Vec<u8>, _: &[Vec<u8>]) -> Vec<u8> {
    let head = plain.len().min(rng.random_range(4..200));
    let mut bytes = plain[..head].to_vec();
    let mut tail = vec![0; rng.random_range(100..20_000)];
    rng.fill_bytes(&mut tail);
    bytes.extend_from_slice(&tail);
    bytes.extend_from_slice(if plain.starts_with(b"%PDF-") { b"\n%%EOF\n" } else { b"\xff\xd9" });
    bytes
}

fn many_pages(rng: &mut ChaCha12Rng, _: Vec<u8>, _: &[Vec<u8>]) -> Vec<u8> {
    let count = rng.random_range(20..2_000);
    let kids = "3 0 R ".repeat(count);
    let pages = format!("<< /Type /Pages /Kids [{kids}] /Count {count} >>");
    let page = "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 100 100] >>";
    pdf::file(&[pdf::CATALOGUE.into(), pages.into_bytes(), page.into()])
}

/// Pages that are their own parents, and a page of absurd size.
fn looping(rng: &mut ChaCha12Rng, _: Vec<u8>, _: &[Vec<u8>]) -> Vec<u8> {
    let pages = match rng.random_range(0..3) {
        0 => "<< /Type /Pages /Kids [2 0 R 2 0 R] /Count 2 >>".to_owned(),
        1 => "<< /Type /Pages /Kids [3 0 R] /Count -5 >>".to_owned(),
        _ => pdf::PAGES.to_owned(),
    };
    let side: u64 = rng.random_range(100_000..10_000_000_000);
    let page = format!(
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {side} {side}] /Contents 3 0 R /Annots 3 0 R >>"
    );
    pdf::file(&[pdf::CATALOGUE.into(), pages.into_bytes(), page.into_bytes()])
}

fn chunk(png: &mut Vec<u8>, name: &[u8; 4], body: &[u8]) {
    png.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
    let start = png.len();
    png.extend_from_slice(name);
    png.extend_from_slice(body);
    let sum = crc(&png[start..]);
    png.extend_from_slice(&sum.to_be_bytes());
}

fn crc(bytes: &[u8]) -> u32 {
    let mut sum = flate2::Crc::new();
    sum.update(bytes);
    sum.sum()
}
