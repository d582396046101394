//! Plots as SVG.

use anyhow::{Context, anyhow};
use plotters::prelude::*;

/// Colours that are told apart on white and by most eyes.
const COLOURS: [RGBColor; 4] =
    [RGBColor(0, 90, 160), RGBColor(210, 95, 0), RGBColor(0, 135, 90), RGBColor(160, 60, 130)];
const SIZE: (u32, u32) = (960, 320);

/// One line of a plot.
pub(super) struct Series<'a> {
    pub(super) name: &'a str,
    pub(super) points: Vec<(f64, f64)>,
}

/// Lines over a common axis, each with its name.
pub(super) fn lines(x: &str, y: &str, series: &[Series<'_>]) -> anyhow::Result<String> {
    let mut svg = String::new();
    draw(&mut svg, x, y, series).map_err(|error| anyhow!("{error}")).context("drawing a plot")?;
    Ok(svg)
}

fn draw(svg: &mut String, x: &str, y: &str, series: &[Series<'_>]) -> Result<(), Box<dyn std::error::Error>> {
    let all = || series.iter().flat_map(|one| &one.points);
    let widest = all().map(|point| point.0).fold(f64::MIN_POSITIVE, f64::max);
    let highest = all().map(|point| point.1).fold(1.0, f64::max);
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..widest, 0.0..highest * 1.08)?;
    chart
        .configure_mesh()
        .light_line_style(RGBColor(238, 238, 238))
        .x_desc(x)
        .y_desc(y)
        .label_style(("sans-serif", 13))
        .axis_desc_style(("sans-serif", 14))
        .draw()?;
    for (one, colour) in series.iter().zip(COLOURS.iter().cycle()) {
        let style = colour.stroke_width(2);
        chart
            .draw_series(LineSeries::new(one.points.iter().copied(), style))?
            .label(one.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.85))
        .border_style(RGBColor(200, 200, 200))
        .label_font(("sans-serif", 13))
        .draw()?;
    area.present()?;
    Ok(())
}
