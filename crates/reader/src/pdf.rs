//! A PDF's text layer, or its pages as pictures (R083), by poppler in the same confinement as recognition.

use std::path::{Path, PathBuf};

use image::GrayImage;
use symphony_compute::parse::bbox::{self, TextPage};

use crate::lockdown::POPPLER_FILES;
use crate::protocol::{INSTALL_POPPLER, Refusal};
use crate::recognize::Engine;
use crate::tool::{self, Call};

/// The pages with their text layers.
///
/// **Errors**: poppler is missing, late or gives up; no page, too many pages, a page too large.
pub(crate) fn text(engine: &Engine<'_>, document: &[u8]) -> Result<Vec<TextPage>, Refusal> {
    let last = (u32::from(engine.limits.pages_max) + 1).to_string();
    let args = ["-bbox", "-f", "1", "-l", &last, "-", "-"];
    let printed = poppler(engine, &engine.programs.pdftotext, &args, document, TEXT_BYTES_MAX)?;
    let pages = bbox::pages(&String::from_utf8_lossy(&printed));
    if pages.len() > usize::from(engine.limits.pages_max) {
        return Err(Refusal::TooManyPages(engine.limits.pages_max));
    }
    if pages.is_empty() || pages.iter().any(|page| page.width == 0 || page.height == 0) {
        return Err(Refusal::Unreadable);
    }
    let pixels = |page: &TextPage| u64::from(page.width) * u64::from(page.height);
    if pages.iter().any(|page| pixels(page) > u64::from(engine.limits.pixels_max)) {
        return Err(Refusal::TooManyPixels(engine.limits.pixels_max));
    }
    Ok(pages)
}

/// One page as a picture, from 0, at a resolution that makes print legible and stays below the limit of pixels.
///
/// **Errors**: as [`text`].
pub(crate) fn picture(
    engine: &Engine<'_>,
    document: &[u8],
    page: u16,
    size: &TextPage,
) -> Result<GrayImage, Refusal> {
    let printed = portable(engine, document, page, size, true)?;
    image::load_from_memory_with_format(&printed, image::ImageFormat::Pnm)
        .map(image::DynamicImage::into_luma8)
        .map_err(|_| Refusal::Unreadable)
}

/// As [`picture`], in colour.
///
/// **Errors**: as [`text`].
pub(crate) fn colours(
    engine: &Engine<'_>,
    document: &[u8],
    page: u16,
    size: &TextPage,
) -> Result<image::RgbImage, Refusal> {
    let printed = portable(engine, document, page, size, false)?;
    image::load_from_memory_with_format(&printed, image::ImageFormat::Pnm)
        .map(image::DynamicImage::into_rgb8)
        .map_err(|_| Refusal::Unreadable)
}

fn portable(
    engine: &Engine<'_>,
    document: &[u8],
    page: u16,
    size: &TextPage,
    grey: bool,
) -> Result<Vec<u8>, Refusal> {
    let number = (u32::from(page) + 1).to_string();
    let dpi = resolution(size, engine.limits.pixels_max).to_string();
    let mut args = vec!["-r", &dpi, "-f", &number, "-l", &number];
    args.extend(grey.then_some("-gray"));
    args.push("-");
    // Rounding of the page to whole pixels, and the head of the picture.
    let output_max = engine.limits.pixels_max as usize * 3 + (1 << 20);
    poppler(engine, &engine.programs.pdftoppm, &args, document, output_max)
}

/// Dots per inch for a page in points.
fn resolution(size: &TextPage, pixels_max: u32) -> u64 {
    let squared_inches = u64::from(size.width) * u64::from(size.height) / (72 * 72);
    let most = u64::from(pixels_max.min(PAGE_PIXELS)) / squared_inches.max(1);
    most.isqrt().clamp(20, DPI)
}

fn poppler(
    engine: &Engine<'_>,
    program: &Path,
    args: &[&str],
    document: &[u8],
    output_max: usize,
) -> Result<Vec<u8>, Refusal> {
    if !program.exists() {
        return Err(Refusal::EngineMissing(INSTALL_POPPLER.into()));
    }
    let reads: Vec<PathBuf> = POPPLER_FILES.iter().map(PathBuf::from).collect();
    let call = Call { program, args, reads: &reads, input: document, output_max };
    let (printed, content) = tool::run(&call, engine.limits, engine.deadline)?;
    if content && !printed.is_empty() { Ok(printed) } else { Err(Refusal::Unreadable) }
}

const TEXT_BYTES_MAX: usize = 8 << 20;
const DPI: u64 = 200;
/// Pixels of a drawn page at most.
const PAGE_PIXELS: u32 = 12_000_000;
