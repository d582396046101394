//! Line charts as SVG that reads well on light and dark pages.

use std::fmt::Write as _;

const WIDTH: f64 = 1_080.0;
const HEIGHT: f64 = 500.0;
/// Around the plot of each panel.
const LEFT: f64 = 66.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 62.0;
const BOTTOM: f64 = 106.0;

/// Colours by class; the second set is for dark pages.
const STYLE: &str = "
  text { font: 13px system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; fill: #24292f }
  .title { font-size: 15px; font-weight: 600 }
  .small { font-size: 12px; fill: #57606a }
  .back { fill: #ffffff }
  .grid { stroke: #d8dee4; stroke-width: 1 }
  .frame { stroke: #8c959f; stroke-width: 1; fill: none }
  .mark { stroke: #57606a; stroke-width: 1; stroke-dasharray: 3 4 }
  .line { fill: none; stroke-width: 1.8; stroke-linejoin: round }
  .c0 { stroke: #0550ae; stroke-width: 3 } .c1 { stroke: #bc4c00 } .c2 { stroke: #1a7f37 }
  .c3 { stroke: #8250df } .c4 { stroke: #bf3989 }
  .dash { stroke-dasharray: 8 5 } .dot { stroke-dasharray: 2 4 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .small { fill: #9ea7b3 }
    .back { fill: #0d1117 }
    .grid { stroke: #262c36 }
    .frame { stroke: #6e7681 }
    .mark { stroke: #9ea7b3 }
    .c0 { stroke: #58a6ff } .c1 { stroke: #f0883e } .c2 { stroke: #56d364 }
    .c3 { stroke: #bc8cff } .c4 { stroke: #ff7bcb }
  }
";

/// One axis.
pub struct Axis {
    pub label: &'static str,
    pub from: f64,
    pub to: f64,
    pub log: bool,
    /// Where there is a line, and what is written there.
    pub ticks: Vec<(f64, String)>,
}

impl Axis {
    /// Part of the way from one end to the other.
    fn part(&self, value: f64) -> f64 {
        if self.log {
            (value / self.from).ln() / (self.to / self.from).ln()
        } else {
            (value - self.from) / (self.to - self.from)
        }
    }
}

/// One line.
pub struct Line {
    pub name: String,
    /// Classes of the style: a colour, and `dash` or `dot`.
    pub class: String,
    pub points: Vec<(f64, f64)>,
}

/// One plot of a figure.
pub struct Panel {
    pub title: &'static str,
    pub x: Axis,
    pub y: Axis,
    pub lines: Vec<Line>,
    /// Vertical lines with a word.
    pub marks: Vec<(f64, &'static str)>,
}

/// Panels side by side, with the names of the first one's lines below.
pub fn figure(description: &str, panels: &[Panel]) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
         aria-label=\"{description}\">\n<style>{STYLE}</style>\n\
         <rect class=\"back\" width=\"{WIDTH}\" height=\"{HEIGHT}\" rx=\"6\"/>\n"
    );
    let width = WIDTH / panels.len() as f64;
    for (at, panel) in panels.iter().enumerate() {
        let frame = Frame { left: at as f64 * width + LEFT, width: width - LEFT - RIGHT, id: at };
        frame.draw(panel, &mut svg);
    }
    if let Some(first) = panels.first() {
        legend(&first.lines, &mut svg);
    }
    svg.push_str("</svg>\n");
    svg
}

struct Frame {
    left: f64,
    width: f64,
    id: usize,
}

impl Frame {
    const HIGH: f64 = HEIGHT - TOP - BOTTOM;

    fn x(&self, axis: &Axis, value: f64) -> f64 {
        self.left + self.width * axis.part(value)
    }

    fn y(axis: &Axis, value: f64) -> f64 {
        TOP + Self::HIGH * (1.0 - axis.part(value))
    }

    fn draw(&self, panel: &Panel, svg: &mut String) {
        let (left, right, floor) = (self.left, self.left + self.width, TOP + Self::HIGH);
        text(svg, "title", (left, 28.0), "start", panel.title);
        for (value, label) in &panel.x.ticks {
            let x = self.x(&panel.x, *value);
            let _ = writeln!(svg, "<path class=\"grid\" d=\"M{x:.1} {TOP}V{floor}\"/>");
            text(svg, "small", (x, floor + 18.0), "middle", label);
        }
        for (value, label) in &panel.y.ticks {
            let y = Self::y(&panel.y, *value);
            let _ = writeln!(svg, "<path class=\"grid\" d=\"M{left:.1} {y:.1}H{right:.1}\"/>");
            text(svg, "small", (left - 8.0, y + 4.0), "end", label);
        }
        for (value, label) in &panel.marks {
            let x = self.x(&panel.x, *value);
            let _ = writeln!(svg, "<path class=\"mark\" d=\"M{x:.1} {TOP}V{floor}\"/>");
            text(svg, "small", (x, TOP - 6.0), "middle", label);
        }
        text(svg, "", (left + self.width / 2.0, floor + 40.0), "middle", panel.x.label);
        let middle = TOP + Self::HIGH / 2.0;
        let at = left - LEFT + 16.0;
        let _ = writeln!(
            svg,
            "<text text-anchor=\"middle\" transform=\"translate({at:.1} {middle}) rotate(-90)\">{}</text>",
            panel.y.label
        );
        let size = format!("x=\"{left:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{}\"", self.width, Self::HIGH);
        let _ = writeln!(svg, "<clipPath id=\"p{0}\"><rect {size}/></clipPath><g clip-path=\"url(#p{0})\">", self.id);
        // The first line is on top.
        for line in panel.lines.iter().rev() {
            self.line(panel, line, svg);
        }
        let _ = writeln!(svg, "</g><rect class=\"frame\" {size}/>");
    }

    fn line(&self, panel: &Panel, line: &Line, svg: &mut String) {
        let point = |(x, y): &(f64, f64)| format!("{:.1} {:.1}", self.x(&panel.x, *x), Self::y(&panel.y, *y));
        let path = line.points.iter().map(point).collect::<Vec<_>>().join("L");
        let _ = writeln!(svg, "<path class=\"line {}\" d=\"M{path}\"/>", line.class);
    }
}

fn legend(lines: &[Line], svg: &mut String) {
    let mut x = LEFT;
    for line in lines {
        let y = HEIGHT - 24.0;
        let _ = writeln!(svg, "<path class=\"line {}\" d=\"M{x:.1} {:.1}h30\"/>", line.class, y - 4.5);
        text(svg, "", (x + 37.0, y), "start", &line.name);
        x += 37.0 + 7.2 * line.name.chars().count() as f64 + 24.0;
    }
}

fn text(svg: &mut String, class: &str, (x, y): (f64, f64), anchor: &str, text: &str) {
    let _ = writeln!(svg, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>");
}
