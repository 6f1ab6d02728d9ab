//! A picture's grey values, upright, from bytes that were sniffed; all decoders are memory-safe and limited (R082).

use std::io::Cursor;

use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, ImageDecoder, ImageFormat, ImageReader, Rgb, RgbImage, imageops};

use crate::document::Sniffed;
use crate::protocol::{Limits, Refusal};

/// Decodes a picture and turns it as its camera says.
///
/// **Errors**: it is damaged or too large.
pub fn decode(bytes: &[u8], kind: Sniffed, limits: &Limits) -> Result<GrayImage, Refusal> {
    Ok(grey(colours(bytes, kind, limits)?))
}

/// As [`decode`], in colour.
///
/// **Errors**: as [`decode`].
pub fn decode_colours(bytes: &[u8], kind: Sniffed, limits: &Limits) -> Result<RgbImage, Refusal> {
    Ok(on_white(colours(bytes, kind, limits)?).into_rgb8())
}

fn colours(bytes: &[u8], kind: Sniffed, limits: &Limits) -> Result<DynamicImage, Refusal> {
    let format = match kind {
        Sniffed::Jpeg => ImageFormat::Jpeg,
        Sniffed::Png => ImageFormat::Png,
        Sniffed::Pdf => return Err(Refusal::Unreadable),
    };
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut allowed = image::Limits::default();
    allowed.max_alloc = Some(limits.memory_bytes / 2);
    reader.limits(allowed);
    let mut decoder = reader.into_decoder().map_err(|_| Refusal::Unreadable)?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > u64::from(limits.pixels_max) {
        return Err(Refusal::TooManyPixels(limits.pixels_max));
    }
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut picture = DynamicImage::from_decoder(decoder).map_err(|_| Refusal::Unreadable)?;
    picture.apply_orientation(orientation);
    Ok(picture)
}

fn grey(picture: DynamicImage) -> GrayImage {
    on_white(picture).into_luma8()
}

/// What is transparent shows white paper.
fn on_white(picture: DynamicImage) -> DynamicImage {
    if !picture.color().has_alpha() {
        return picture;
    }
    let over = picture.into_rgba8();
    let paper = RgbImage::from_fn(over.width(), over.height(), |x, y| {
        let [r, g, b, a] = over.get_pixel(x, y).0;
        let shown = |c: u8| {
            u8::try_from((u32::from(c) * u32::from(a) + 255 * (255 - u32::from(a))) / 255).unwrap_or(255)
        };
        Rgb([shown(r), shown(g), shown(b)])
    });
    DynamicImage::ImageRgb8(paper)
}

/// The picture turned clockwise by so many quarters.
pub fn turned(picture: &GrayImage, quarters: u8) -> GrayImage {
    match quarters % 4 {
        0 => picture.clone(),
        1 => imageops::rotate90(picture),
        2 => imageops::rotate180(picture),
        _ => imageops::rotate270(picture),
    }
}
