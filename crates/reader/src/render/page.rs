//! A drawn receipt as a picture, clean or as a cheap scanner would have it.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::{GrayImage, ImageFormat, Luma};
use imageproc::geometric_transformations::{Border, Interpolation, rotate_about_center};
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster_width};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha12Rng;

use crate::render::{COLUMNS, Receipt, letters};

/// The receipt in clean print.
pub fn picture(receipt: &Receipt) -> GrayImage {
    let size = RasterHeight::Size24;
    let wide = get_raster_width(FontWeight::Regular, size) * COLUMNS;
    let width = u32::try_from(wide).unwrap_or(0) + 2 * MARGIN;
    let height = u32::try_from(receipt.rows.len()).unwrap_or(0) * STEP + 2 * MARGIN;
    let mut page = GrayImage::from_pixel(width, height, Luma([250]));
    for (index, (bold, row)) in (0_u32..).zip(&receipt.rows) {
        letters::print(&mut page, MARGIN, MARGIN + index * STEP, row, *bold, size);
    }
    page
}

/// The bytes of a PNG.
///
/// **Errors**: the picture cannot be encoded.
pub fn png(picture: &GrayImage) -> image::ImageResult<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Png)?;
    Ok(bytes.into_inner())
}

/// The bytes of a JPEG.
///
/// **Errors**: the picture cannot be encoded.
pub fn jpeg(picture: &GrayImage) -> image::ImageResult<Vec<u8>> {
    let mut bytes = Vec::new();
    picture.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, 80))?;
    Ok(bytes)
}

/// Slanted, unevenly lit, faded and grainy, on a dark table.
pub fn photographed(picture: &GrayImage, seed: u64) -> GrayImage {
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    let (width, height) = (picture.width() + 2 * TABLE, picture.height() + 2 * TABLE);
    let mut photo = GrayImage::from_pixel(width, height, Luma([40]));
    image::imageops::replace(&mut photo, picture, i64::from(TABLE), i64::from(TABLE));
    let angle = f32::from(rng.random_range(-30_i8..=30)) / 1_000.0;
    let mut photo = rotate_about_center(&photo, angle, Interpolation::Bilinear, Border::Constant(Luma([40])));
    let fade = rng.random_range(0..60_i32);
    for (x, y, value) in photo.enumerate_pixels_mut() {
        let shade = 40 * i32::try_from(x + y).unwrap_or(0) / i32::try_from(width + height).unwrap_or(1);
        let grain = rng.random_range(-8..=8_i32);
        let faded = i32::from(value.0[0]) + if value.0[0] < 150 && value.0[0] > 45 { fade } else { 0 };
        *value = Luma([u8::try_from((faded - shade + grain).clamp(0, 255)).unwrap_or(255)]);
    }
    photo
}

const MARGIN: u32 = 30;
const STEP: u32 = 30;
const TABLE: u32 = 60;
