//! Letters of a fixed width, drawn pixel by pixel from tables that are part of the program: no font file is opened.

use image::{GrayImage, Luma, Rgb, RgbImage};
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

/// Height of the letters beside boxes. **Units**: pixels.
pub const SMALL: i32 = 16;

/// Draws a row of print in black; returns its width.
pub fn print(page: &mut GrayImage, left: u32, top: u32, text: &str, bold: bool, size: RasterHeight) -> u32 {
    let weight = if bold { FontWeight::Bold } else { FontWeight::Regular };
    let step = u32::try_from(get_raster_width(weight, size)).unwrap_or(0);
    for (place, c) in (0_u32..).zip(text.chars()) {
        each(c, weight, size, |x, y, ink| {
            let (x, y) = (left + place * step + x, top + y);
            if x < page.width() && y < page.height() {
                let paper = page.get_pixel(x, y).0[0];
                page.put_pixel(x, y, Luma([paper.saturating_sub(ink)]));
            }
        });
    }
    step * u32::try_from(text.chars().count()).unwrap_or(0)
}

/// Draws a small text in a colour; what lies outside the picture is left out.
pub fn draw(picture: &mut RgbImage, left: i32, top: i32, text: &str, colour: Rgb<u8>) {
    let (weight, size) = (FontWeight::Bold, RasterHeight::Size16);
    let step = u32::try_from(get_raster_width(weight, size)).unwrap_or(0);
    for (place, c) in (0_u32..).zip(text.chars()) {
        each(c, weight, size, |x, y, ink| {
            let x = u32::try_from(left).ok().map(|left| left + place * step + x);
            let y = u32::try_from(top).ok().map(|top| top + y);
            if let (Some(x), Some(y)) = (x, y)
                && x < picture.width()
                && y < picture.height()
                && ink > 96
            {
                picture.put_pixel(x, y, colour);
            }
        });
    }
}

/// Every pixel of a letter with ink, and how much.
fn each(c: char, weight: FontWeight, size: RasterHeight, mut pixel: impl FnMut(u32, u32, u8)) {
    let Some(letter) = get_raster(c, weight, size).or_else(|| get_raster('?', weight, size)) else { return };
    for (y, line) in (0_u32..).zip(letter.rows()) {
        for (x, ink) in (0_u32..).zip(line.iter()) {
            if *ink > 0 {
                pixel(x, y, *ink);
            }
        }
    }
}
