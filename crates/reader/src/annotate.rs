//! A page's picture with a box around everything that was read from it (R083).

use std::io::Cursor;

use image::{ImageFormat, Rgb, RgbImage, imageops};
use imageproc::drawing::draw_hollow_rect_mut;
use imageproc::rect::Rect;
use symphony_compute::parse::layout::Region;

use crate::protocol::Refusal;
use crate::render::letters;

/// Draws the boxes of one page and their names; the bytes of a PNG. `units` is the page's width as the boxes count it,
/// if that is not pixels.
///
/// **Errors**: the picture cannot be encoded.
pub fn boxes(
    picture: RgbImage,
    page: u16,
    places: &[(String, Region)],
    units: Option<u32>,
) -> Result<Vec<u8>, Refusal> {
    let whole = picture.width().max(1);
    let shown = whole.min(WIDTH_MAX);
    let mut picture = if shown < whole {
        let height = u64::from(picture.height()) * u64::from(shown) / u64::from(whole);
        imageops::thumbnail(&picture, shown, u32::try_from(height).unwrap_or(1).max(1))
    } else {
        picture
    };
    let units = u64::from(units.unwrap_or(whole).max(1));
    let pixel = |unit: u32| i32::try_from(u64::from(unit) * u64::from(shown) / units).unwrap_or(i32::MAX / 4);
    for (name, at) in places.iter().filter(|(_, at)| at.page == page) {
        let colour = colour(name);
        let (left, top) = (pixel(at.left), pixel(at.top));
        let (right, bottom) = (pixel(at.right).max(left + 1), pixel(at.bottom).max(top + 1));
        for wider in 1..=2 {
            let (width, height) =
                ((right - left + 2 * wider).unsigned_abs(), (bottom - top + 2 * wider).unsigned_abs());
            draw_hollow_rect_mut(
                &mut picture,
                Rect::at(left - wider, top - wider).of_size(width, height),
                colour,
            );
        }
        letters::draw(&mut picture, left, top - letters::SMALL, name, colour);
    }
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Png).map_err(|_| Refusal::Unreadable)?;
    Ok(bytes.into_inner())
}

fn colour(name: &str) -> Rgb<u8> {
    Rgb(match name {
        "merchant" => [200, 30, 30],
        "total" => [20, 140, 40],
        "date" | "time" => [30, 60, 210],
        "item" => [200, 130, 0],
        _ => [130, 50, 160],
    })
}

/// Wider pages are shrunk for showing.
const WIDTH_MAX: u32 = 2_000;
