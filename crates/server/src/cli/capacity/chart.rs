//! Plots as SVG, without a background: the page says how lines and letters look on light and on dark.

use anyhow::{Context, anyhow};
use plotters::prelude::*;

/// What a page puts its own colours in the place of: one for each line, then the grid.
pub(super) const COLOURS: [&str; 5] = ["#0059A1", "#D25F01", "#008759", "#A03C81", "#6B5B00"];
pub(super) const GRID: &str = "#E6E6E5";
const SIZE: (u32, u32) = (960, 300);

/// One line of a plot.
pub(super) struct Series<'a> {
    pub(super) name: &'a str,
    pub(super) points: Vec<(f64, f64)>,
}

/// How places on the horizontal axis are called.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Axis {
    /// Days from a Monday on.
    Week,
    /// Days from the beginning on.
    Days,
    /// Of 100 bots.
    Percent,
}

impl Axis {
    fn title(self) -> &'static str {
        match self {
            Self::Week => "",
            Self::Days => "days",
            Self::Percent => "percent of bots",
        }
    }

    fn label(self, x: f64) -> String {
        const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
        match self {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a day of a week or two")]
            Self::Week if x.fract() == 0.0 => DAYS[x as usize % 7].to_owned(),
            Self::Week => String::new(),
            Self::Days | Self::Percent => format!("{x}"),
        }
    }

    /// Half of the bots hardly ever wait.
    fn begins(self) -> f64 {
        if self == Self::Percent { 50.0 } else { 0.0 }
    }

    /// Where there is least to see.
    fn legend(self) -> SeriesLabelPosition {
        if self == Self::Percent { SeriesLabelPosition::UpperLeft } else { SeriesLabelPosition::UpperRight }
    }
}

/// Lines over a common axis, each with its name.
pub(super) fn lines(axis: Axis, y: &str, series: &[Series<'_>]) -> anyhow::Result<String> {
    let mut svg = String::new();
    draw(&mut svg, axis, y, series).map_err(|error| anyhow!("{error}")).context("drawing a plot")?;
    Ok(svg)
}

fn colour(hex: &str) -> RGBColor {
    let part = |from: usize| u8::from_str_radix(hex.get(from..from + 2).unwrap_or_default(), 16).unwrap_or(0);
    RGBColor(part(1), part(3), part(5))
}

fn draw(svg: &mut String, axis: Axis, y: &str, series: &[Series<'_>]) -> Result<(), Box<dyn std::error::Error>> {
    let all = || series.iter().flat_map(|one| &one.points).filter(|point| point.0 >= axis.begins());
    let widest = all().map(|point| point.0).fold(f64::MIN_POSITIVE, f64::max);
    let highest = all().map(|point| point.1).fold(1.0, f64::max);
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    let mut chart = ChartBuilder::on(&area)
        .margin(12)
        .margin_right(24)
        .x_label_area_size(if axis.title().is_empty() { 28 } else { 42 })
        .y_label_area_size(64)
        .build_cartesian_2d(axis.begins()..widest, 0.0..highest * 1.08)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(colour(GRID))
        .x_labels(8)
        .y_labels(6)
        .x_label_formatter(&|x| axis.label(*x))
        .y_label_formatter(&|y| format!("{y}"))
        .x_desc(axis.title())
        .y_desc(y)
        .label_style(("sans-serif", 13))
        .axis_desc_style(("sans-serif", 13))
        .draw()?;
    for (one, hex) in series.iter().zip(COLOURS.iter().cycle()) {
        let style = colour(hex).stroke_width(2);
        chart
            .draw_series(LineSeries::new(one.points.iter().copied().filter(|point| point.0 >= axis.begins()), style))?
            .label(one.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
    }
    chart
        .configure_series_labels()
        .position(axis.legend())
        .background_style(WHITE.mix(0.85))
        .border_style(colour(GRID))
        .label_font(("sans-serif", 13))
        .draw()?;
    area.present()?;
    Ok(())
}
