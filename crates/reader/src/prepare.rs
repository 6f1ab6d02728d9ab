//! A page made easy to recognise: paper cut out, light evened, ink darkened, slant removed, letters brought to the
//! height that recognition was trained on (R083).
//!
//! All steps are plain passes over grey pixels with bounded memory. A box found on the prepared picture is carried
//! back to the page it came from.

use image::{GrayImage, Luma, imageops};
use imageproc::geometric_transformations::{Border, Interpolation, rotate_about_center};
use imageproc::region_labelling::{Connectivity, connected_components};
use symphony_compute::parse::layout::{Region, median};

/// A prepared page, and the way back.
pub struct Prepared {
    /// Dark ink on white.
    pub picture: GrayImage,
    page: u16,
    size: (u32, u32),
    /// The page was shrunk by this first.
    shrunk: f32,
    left: u32,
    top: u32,
    cut: (u32, u32),
    /// Turned by this about the middle of the cut, in radians, clockwise.
    angle: f32,
    scale: f32,
}

/// How to prepare.
#[derive(Clone, Copy, Debug)]
pub struct Recipe {
    /// Height that a letter is brought to. **Units**: pixels.
    pub letter: f32,
    /// Whether strokes are drawn to black or white before scaling.
    pub crisp: bool,
}

impl Prepared {
    /// Nothing is changed.
    pub fn plain(picture: GrayImage, page: u16) -> Self {
        let size = picture.dimensions();
        Self { picture, page, size, shrunk: 1.0, left: 0, top: 0, cut: size, angle: 0.0, scale: 1.0 }
    }

    /// A box on the prepared picture, as one on the page.
    pub fn back(&self, at: Region) -> Region {
        let corners = [(at.left, at.top), (at.right, at.top), (at.left, at.bottom), (at.right, at.bottom)];
        let points = corners.map(|(x, y)| self.point_back(x as f32, y as f32));
        let least = |pick: fn(&(f32, f32)) -> f32| points.iter().map(pick).fold(f32::MAX, f32::min).max(0.0);
        let most = |pick: fn(&(f32, f32)) -> f32| points.iter().map(pick).fold(0.0, f32::max);
        Region {
            page: self.page,
            left: (least(|point| point.0) as u32).min(self.size.0),
            top: (least(|point| point.1) as u32).min(self.size.1),
            right: (most(|point| point.0).ceil() as u32).min(self.size.0),
            bottom: (most(|point| point.1).ceil() as u32).min(self.size.1),
        }
    }

    fn point_back(&self, x: f32, y: f32) -> (f32, f32) {
        let (x, y) = (x / self.scale, y / self.scale);
        let (cx, cy) = (self.cut.0 as f32 / 2.0, self.cut.1 as f32 / 2.0);
        let (sin, cos) = (-self.angle).sin_cos();
        let (dx, dy) = (x - cx, y - cy);
        let (x, y) = (cx + dx * cos - dy * sin, cy + dx * sin + dy * cos);
        ((x + self.left as f32) * self.shrunk, (y + self.top as f32) * self.shrunk)
    }
}

/// Prepares an upright page.
pub fn prepare(page: &GrayImage, number: u16, recipe: Recipe) -> Prepared {
    let size = page.dimensions();
    let (small, shrunk) = shrink(page);
    let grid = Grid::of(&small);
    let (left, top, right, bottom) = grid.paper(small.dimensions());
    let evened = even(&small, &grid, (left, top, right, bottom));
    let angle = slant(&evened);
    let straight = if angle.abs() < ANGLE_MIN {
        evened
    } else {
        rotate_about_center(&evened, angle, Interpolation::Bilinear, Border::Constant(Luma([255])))
    };
    let angle = if angle.abs() < ANGLE_MIN { 0.0 } else { angle };
    let letter = letter_height(&straight).unwrap_or(recipe.letter);
    let pixels = (straight.width() * straight.height()).max(1) as f32;
    let mut scale = (recipe.letter / letter).clamp(SCALE_MIN, SCALE_MAX).min((PIXELS_MAX / pixels).sqrt());
    if (scale - 1.0).abs() < SCALE_STEP {
        scale = 1.0;
    }
    let cut = straight.dimensions();
    let picture = scaled(straight, scale);
    let picture = if recipe.crisp { crisp(&picture) } else { picture };
    Prepared { picture, page: number, size, shrunk, left, top, cut, angle, scale }
}

/// A page of a telephone's camera has more pixels than print has detail.
fn shrink(page: &GrayImage) -> (GrayImage, f32) {
    let longest = page.width().max(page.height());
    if longest <= SIDE_MAX && page.width().min(page.height()) <= SHORT_SIDE_MAX {
        return (page.clone(), 1.0);
    }
    let by = (longest as f32 / SIDE_MAX as f32)
        .max(page.width().min(page.height()) as f32 / SHORT_SIDE_MAX as f32);
    let of = |side: u32| ((side as f32 / by).round() as u32).max(1);
    (imageops::thumbnail(page, of(page.width()), of(page.height())), by)
}

/// How bright the paper is, for each square of the page.
struct Grid {
    columns: u32,
    rows: u32,
    light: Vec<u8>,
}

impl Grid {
    fn of(page: &GrayImage) -> Self {
        let (columns, rows) = (page.width().div_ceil(SQUARE), page.height().div_ceil(SQUARE));
        let mut light = vec![255; (columns * rows) as usize];
        for row in 0..rows {
            for column in 0..columns {
                light[(row * columns + column) as usize] = Self::bright(page, column, row);
            }
        }
        let raw = Self { columns, rows, light };
        raw.smoothed()
    }

    /// The average of what is brighter than the average of a square.
    fn bright(page: &GrayImage, column: u32, row: u32) -> u8 {
        let (width, height) = page.dimensions();
        let (left, right) = (column * SQUARE, ((column + 1) * SQUARE).min(width));
        let pixels = page.as_raw();
        let lines = || {
            (row * SQUARE..((row + 1) * SQUARE).min(height))
                .map(|y| &pixels[(y * width + left) as usize..(y * width + right) as usize])
        };
        let sum: u32 = lines().flatten().map(|value| u32::from(*value)).sum();
        let count: u32 = lines().map(|line| line.len() as u32).sum();
        let mean = sum / count.max(1);
        let (mut bright, mut some) = (0, 0);
        for value in lines().flatten().map(|value| u32::from(*value)).filter(|value| *value >= mean) {
            bright += value;
            some += 1;
        }
        u8::try_from(bright / some.max(1)).unwrap_or(255)
    }

    /// The brighter of a square's neighbours, averaged: print does not count as shade.
    fn smoothed(self) -> Self {
        let most = self.each(|values| values.iter().copied().max().unwrap_or(255));
        most.each(|values| {
            let sum: usize = values.iter().map(|value| usize::from(*value)).sum();
            u8::try_from(sum / values.len().max(1)).unwrap_or(255)
        })
    }

    fn each(&self, fold: impl Fn(&[u8]) -> u8) -> Self {
        let mut light = Vec::with_capacity(self.light.len());
        let mut near = Vec::with_capacity(9);
        for row in 0..self.rows {
            for column in 0..self.columns {
                near.clear();
                for y in row.saturating_sub(1)..(row + 2).min(self.rows) {
                    for x in column.saturating_sub(1)..(column + 2).min(self.columns) {
                        near.push(self.light[(y * self.columns + x) as usize]);
                    }
                }
                light.push(fold(&near));
            }
        }
        Self { columns: self.columns, rows: self.rows, light }
    }

    /// The rectangle of the paper: the largest bright area, if there is a dark one to tell it from.
    fn paper(&self, (width, height): (u32, u32)) -> (u32, u32, u32, u32) {
        let whole = (0, 0, width, height);
        let Some(level) = self.level() else { return whole };
        let squares = GrayImage::from_fn(self.columns, self.rows, |x, y| {
            Luma([if self.light[(y * self.columns + x) as usize] > level { 255 } else { 0 }])
        });
        let areas = connected_components(&squares, Connectivity::Four, Luma([0]));
        let boxes = boxes(&areas);
        let Some((_, left, top, right, bottom)) = boxes.into_iter().max_by_key(|area| area.0) else {
            return whole;
        };
        if (right - left) * (bottom - top) * 8 < self.columns * self.rows {
            return whole;
        }
        (left * SQUARE, top * SQUARE, (right * SQUARE).min(width), (bottom * SQUARE).min(height))
    }

    /// The brightness between paper and what lies around it; `None` if the page is all paper.
    fn level(&self) -> Option<u8> {
        let mut counts = [0_u64; 256];
        self.light.iter().for_each(|value| counts[usize::from(*value)] += 1);
        let all = self.light.len() as u64;
        let sum: u64 = counts.iter().enumerate().map(|(value, count)| value as u64 * count).sum();
        let (mut below, mut below_sum, mut best) = (0, 0, (0.0, 0_u8));
        for (value, count) in counts.iter().enumerate().take(255) {
            below += count;
            below_sum += value as u64 * count;
            if below == 0 || below == all {
                continue;
            }
            let dark = below_sum as f64 / below as f64;
            let light = (sum - below_sum) as f64 / (all - below) as f64;
            let apart = (light - dark) * (light - dark) * below as f64 * (all - below) as f64;
            if light - dark > PAPER_CONTRAST && apart > best.0 {
                best = (apart, value as u8);
            }
        }
        (best.0 > 0.0).then_some(best.1)
    }

    /// The paper's brightness at a pixel, between the middles of squares.
    fn line(&self, y: u32, width: u32, out: &mut [u16]) {
        let half = SQUARE / 2;
        let axis = |at: u32, count: u32| {
            let shifted = at.saturating_sub(half);
            let first = (shifted / SQUARE).min(count - 1);
            (first, (first + 1).min(count - 1), if at < half { 0 } else { shifted % SQUARE })
        };
        let (upper, lower, down) = axis(y, self.rows);
        let at = |column: u32, row: u32| u32::from(self.light[(row * self.columns + column) as usize]);
        for x in 0..width {
            let (first, second, across) = axis(x, self.columns);
            let above = at(first, upper) * (SQUARE - across) + at(second, upper) * across;
            let below = at(first, lower) * (SQUARE - across) + at(second, lower) * across;
            let value = (above * (SQUARE - down) + below * down) / (SQUARE * SQUARE);
            out[x as usize] = value as u16;
        }
    }
}

/// The paper with its light evened and its ink darkened.
fn even(page: &GrayImage, grid: &Grid, (left, top, right, bottom): (u32, u32, u32, u32)) -> GrayImage {
    let mut usual: Vec<u32> = grid.light.iter().map(|value| u32::from(*value)).collect();
    usual.sort_unstable();
    // What is far darker than the paper is not paper; its noise is not amplified.
    let floor = u16::try_from(usual[usual.len() * 3 / 4] / 2).unwrap_or(0).max(24);
    let (width, height) = (right - left, bottom - top);
    let mut evened = vec![255_u8; (width * height) as usize];
    let mut light = vec![0_u16; page.width() as usize];
    let mut counts = [0_u32; 256];
    for y in 0..height {
        grid.line(y + top, page.width(), &mut light);
        let from = ((y + top) * page.width() + left) as usize;
        let line = &page.as_raw()[from..from + width as usize];
        let out = &mut evened[(y * width) as usize..((y + 1) * width) as usize];
        for ((out, value), light) in out.iter_mut().zip(line).zip(&light[left as usize..right as usize]) {
            let value = u32::from(*value) * 255 / u32::from((*light).max(floor));
            *out = value.min(255) as u8;
            counts[usize::from(*out)] += 1;
        }
    }
    let table = darkening(&counts);
    evened.iter_mut().for_each(|value| *value = table[usize::from(*value)]);
    GrayImage::from_raw(width, height, evened).unwrap_or_default()
}

/// What each grey becomes: the darkest ink black, the paper white.
fn darkening(counts: &[u32; 256]) -> [u8; 256] {
    let all: u32 = counts.iter().sum();
    let mut sum = 0;
    let black = counts.iter().position(|count| {
        sum += count;
        sum > all / INK_SHARE
    });
    let black = i32::try_from(black.unwrap_or(0)).unwrap_or(0).min(PAPER - CONTRAST_MIN);
    let mut table = [0; 256];
    for (value, slot) in (0_i32..).zip(table.iter_mut()) {
        *slot = ((value - black) * 255 / (PAPER - black)).clamp(0, 255) as u8;
    }
    table
}

/// Some of the ink's pixels.
struct Ink {
    points: Vec<(f32, f32)>,
}

impl Ink {
    fn of(page: &GrayImage) -> Self {
        let width = page.width() as usize;
        let mut points = Vec::new();
        for (y, line) in page.as_raw().chunks_exact(width.max(1)).enumerate().step_by(2) {
            for x in (0..width).step_by(2) {
                if line[x] < INK {
                    points.push((x as f32, y as f32));
                }
            }
        }
        let step = (points.len() / INK_POINTS).max(1);
        Self { points: points.into_iter().step_by(step).collect() }
    }

    /// How clearly lines and gaps alternate down the page when it is sheared by a slope.
    fn sharpness(&self, slope: f32, length: u32) -> u64 {
        let margin = length / 4 + 8;
        let mut counts = vec![0_u32; ((length + 2 * margin) / 2 + 1) as usize];
        for (x, y) in &self.points {
            let at = (y - x * slope + margin as f32) / 2.0;
            if let Some(count) = counts.get_mut(at.max(0.0) as usize) {
                *count += 1;
            }
        }
        counts.windows(2).map(|two| u64::from(two[0].abs_diff(two[1])).pow(2)).sum()
    }
}

/// How far the lines are slanted. **Units**: radians to turn the page by, clockwise.
fn slant(page: &GrayImage) -> f32 {
    let ink = Ink::of(page);
    if ink.points.len() < INK_POINTS / 40 {
        return 0.0;
    }
    let sharpness = |steps: i32| ink.sharpness(steps as f32 * SLOPE_STEP, page.height());
    let coarse =
        (-12..=12).map(|step| step * 4).max_by_key(|step| (sharpness(*step), -step.abs())).unwrap_or(0);
    let fine = (coarse - 3..=coarse + 3).max_by_key(|step| (sharpness(*step), -step.abs())).unwrap_or(0);
    // A slant must show clearly: a straight page stays as it is.
    if sharpness(fine) * 10 < sharpness(0) * 11 {
        return 0.0;
    }
    -(fine as f32 * SLOPE_STEP).atan()
}

/// The middle height of what looks like letters; `None` if hardly anything does.
fn letter_height(page: &GrayImage) -> Option<f32> {
    // The middle of a long page is enough.
    let height = page.height().min(LETTER_ROWS);
    let from = ((page.height() - height) / 2 * page.width()) as usize;
    let band = &page.as_raw()[from..from + (page.width() * height) as usize];
    let black = band.iter().map(|value| if *value < INK { 255 } else { 0 }).collect();
    let black = GrayImage::from_raw(page.width(), height, black)?;
    let areas = connected_components(&black, Connectivity::Eight, Luma([0]));
    let heights: Vec<u32> = boxes(&areas)
        .into_iter()
        .filter(|(_, left, top, right, bottom)| {
            (6..100).contains(&(bottom - top)) && (3..100).contains(&(right - left))
        })
        .map(|(_, _, top, _, bottom)| bottom - top)
        .collect();
    (heights.len() >= 30).then(|| median(heights) as f32)
}

/// Each area's size and rectangle.
fn boxes(areas: &image::ImageBuffer<Luma<u32>, Vec<u32>>) -> Vec<(u32, u32, u32, u32, u32)> {
    let count = areas.as_raw().iter().copied().max().unwrap_or(0) as usize;
    let mut boxes = vec![(0, u32::MAX, u32::MAX, 0, 0); count + 1];
    let width = areas.width().max(1) as usize;
    for (y, line) in areas.as_raw().chunks_exact(width).enumerate() {
        for (x, area) in line.iter().enumerate().filter(|(_, area)| **area != 0) {
            let (x, y) = (x as u32, y as u32);
            let known = &mut boxes[*area as usize];
            *known = (known.0 + 1, known.1.min(x), known.2.min(y), known.3.max(x + 1), known.4.max(y + 1));
        }
    }
    boxes.retain(|known| known.0 > 0);
    boxes
}

fn scaled(picture: GrayImage, scale: f32) -> GrayImage {
    if scale == 1.0 {
        return picture;
    }
    let of = |side: u32| ((side as f32 * scale).round() as u32).max(1);
    let (width, height) = (of(picture.width()), of(picture.height()));
    imageops::resize(&picture, width, height, imageops::FilterType::Triangle)
}

/// Grey edges drawn towards black or white.
fn crisp(picture: &GrayImage) -> GrayImage {
    let mut crisp = picture.clone();
    for value in crisp.iter_mut() {
        *value = ((i32::from(*value) - 96) * 2).clamp(0, 255) as u8;
    }
    crisp
}

const SQUARE: u32 = 16;
/// Longer pages are shrunk first. **Units**: pixels.
const SIDE_MAX: u32 = 6_000;
const SHORT_SIDE_MAX: u32 = 1_800;
/// Paper and table differ by so much.
const PAPER_CONTRAST: f64 = 60.0;
/// What is taken for white after the light is evened.
const PAPER: i32 = 245;
const CONTRAST_MIN: i32 = 60;
/// One pixel in so many is the darkest ink.
const INK_SHARE: u32 = 50;
/// Darker is ink.
const INK: u8 = 140;
const INK_POINTS: usize = 10_000;
const SLOPE_STEP: f32 = 0.002;
/// Smaller slants do not hurt. **Units**: radians.
const ANGLE_MIN: f32 = 0.008;
const LETTER_ROWS: u32 = 500;
const SCALE_MIN: f32 = 0.3;
const SCALE_MAX: f32 = 1.6;
const SCALE_STEP: f32 = 0.08;
/// Pixels of a prepared page at most.
const PIXELS_MAX: f32 = 2_500_000.0;
