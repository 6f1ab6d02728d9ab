//! The curve of a training as a picture: quality, and log loss where there is one, over the steps (R104).

use anyhow::{Result, anyhow};
use plotters::chart::ChartBuilder;
use plotters::drawing::{DrawingArea, IntoDrawingArea as _};
use plotters::element::Circle;
use plotters::prelude::SVGBackend;
use plotters::series::LineSeries;
use plotters::style::colors::{BLUE, RED, WHITE};
use plotters::style::{Color as _, RGBColor};
use symphony_sdk::shape::training::EvaluationEntry;

/// The picture as SVG text. **Errors**: there is nothing to draw.
pub(super) fn svg(curve: &[EvaluationEntry]) -> Result<String> {
    let of = |pick: fn(&EvaluationEntry) -> Option<u32>| -> Vec<(u32, f64)> {
        curve.iter().filter_map(|one| Some((one.step, f64::from(pick(one)?) / 1e6))).collect()
    };
    let quality = of(|one| Some(one.quality_micro));
    let log_loss = of(|one| one.log_loss_micro);
    let Some(last) = curve.iter().map(|one| one.step).max() else {
        return Err(anyhow!("nothing was evaluated yet"));
    };
    let mut text = String::new();
    {
        let height = if log_loss.is_empty() { HEIGHT } else { 2 * HEIGHT };
        let root = SVGBackend::with_string(&mut text, (WIDTH, height)).into_drawing_area();
        root.fill(&WHITE)?;
        let lines = [("quality", quality, BLUE), ("log loss", log_loss, RED)];
        let lines: Vec<_> = lines.into_iter().filter(|(_, points, _)| !points.is_empty()).collect();
        for (area, (name, points, colour)) in root.split_evenly((lines.len(), 1)).iter().zip(&lines) {
            line(area, name, points, *colour, last)?;
        }
        root.present()?;
    }
    Ok(text)
}

fn line(
    area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    name: &str,
    points: &[(u32, f64)],
    colour: RGBColor,
    last: u32,
) -> Result<()> {
    let values = || points.iter().map(|(_, value)| *value);
    let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
    let room = ((high - low) / 10.0).max(0.01);
    let mut chart = ChartBuilder::on(area)
        .margin(10)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d(0..last.max(1), (low - room)..(high + room))?;
    chart.configure_mesh().x_desc("steps").y_desc(name).draw()?;
    chart.draw_series(LineSeries::new(points.iter().copied(), &colour))?;
    chart.draw_series(points.iter().map(|point| Circle::new(*point, 3, colour.filled())))?;
    Ok(())
}

const WIDTH: u32 = 800;
const HEIGHT: u32 = 300;

#[cfg(test)]
mod tests {
    use super::*;

    fn point(step: u32, log_loss_micro: Option<u32>) -> EvaluationEntry {
        EvaluationEntry { step, quality_micro: 500_000 + step, log_loss_micro, calibration_error_micro: None }
    }

    /// R104: every evaluation is a point of each line; without a log loss there is one line.
    #[test]
    fn each_evaluation_is_a_point() {
        let propensity: Vec<_> = (0..5).map(|at| point(at * 10, Some(700_000 - at))).collect();
        let drawn = svg(&propensity).unwrap();
        assert!(drawn.starts_with("<svg") && drawn.trim_end().ends_with("</svg>"));
        assert_eq!((drawn.matches("<circle").count(), drawn.matches("log loss").count()), (10, 1));
        let clusters = svg(&[point(0, None), point(10, None)]).unwrap();
        assert_eq!((clusters.matches("<circle").count(), clusters.matches("log loss").count()), (2, 0));
        assert!(svg(&[point(0, None)]).is_ok(), "one point is enough");
        assert!(svg(&[]).is_err());
    }
}
