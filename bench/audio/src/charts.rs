//! The two charts of the documentation.

use crate::scale::{BOTS, Cost};
use crate::svg::{Axis, Line, Panel, figure};

/// Lowest gain that is drawn: below the floor of a measurement through 16 bits.
const FLOOR_DB: f64 = -140.0;

/// Points above 8 kHz of which the left chart shows the highest.
const ENVELOPE: usize = 6;

/// Everybody keeps a colour, whoever is faster today.
fn colour(name: &str) -> &'static str {
    ["muster", "libsoxr", "rubato", "libswresample", "speexdsp"]
        .iter()
        .position(|library| name.starts_with(library))
        .map_or("c4", |at| ["c0", "c1", "c2", "c3", "c4"][at])
}

/// Gain in dB at frequencies in Hz.
pub type Curve = Vec<(f64, f64)>;

/// Gain against frequency of the input, ours first.
pub fn response(curves: &[(&'static str, Curve)]) -> String {
    let panel = |title, x: Axis, marks, shape: fn(&Curve) -> Curve| Panel {
        title,
        x,
        y: Axis {
            label: "gain, dB",
            from: FLOOR_DB,
            to: 10.0,
            log: false,
            ticks: (-7..=0).map(|n| (f64::from(20 * n), minus(20 * n))).collect(),
        },
        lines: curves
            .iter()
            .map(|(name, curve)| Line {
                name: (*name).to_owned(),
                class: colour(name).to_owned(),
                points: shape(curve).iter().map(|(hz, db)| (hz / 1_000.0, db.max(FLOOR_DB))).collect(),
            })
            .collect(),
        marks,
    };
    let label = "frequency of the input, kHz";
    let all = (0..=6).map(|n| (f64::from(4 * n), (4 * n).to_string())).collect();
    let close = (0..=8).map(|n| (6.5 + 0.25 * f64::from(n), format!("{}", 6.5 + 0.25 * f64::from(n)))).collect();
    figure(
        "Frequency response of resamplers from 48 to 16 kHz",
        &[
            panel(
                "Gain of a tone; above 8 kHz, of its alias",
                Axis { label, from: 0.0, to: 24.0, log: false, ticks: all },
                vec![(8.0, "8 kHz")],
                envelope,
            ),
            panel(
                "The transition",
                Axis { label, from: 6.5, to: 8.5, log: false, ticks: close },
                vec![(7.0, "7 kHz"), (8.0, "8 kHz")],
                Curve::clone,
            ),
        ],
    )
}

/// Of the lobes of the stop-band, only how high they reach.
fn envelope(curve: &Curve) -> Curve {
    let (below, above) = curve.split_at(curve.partition_point(|(hz, _)| *hz < 8_500.0));
    let highest = |points: &[(f64, f64)]| {
        let middle = points.iter().map(|(hz, _)| hz).sum::<f64>() / points.len() as f64;
        (middle, points.iter().map(|(_, db)| *db).fold(f64::NEG_INFINITY, f64::max))
    };
    let (below, close) = below.split_at(below.partition_point(|(hz, _)| *hz < 7_900.0));
    let close = close.chunks(2 * ENVELOPE).map(highest);
    below.iter().copied().chain(close).chain(above.chunks(ENVELOPE).map(highest)).collect()
}

/// Share of a core, and bots per core, against the number of bots, ours first.
pub fn cost(costs: &[Cost]) -> String {
    let class = |name: &str| match name.split_once("'s chain") {
        Some((ours, "")) => format!("{} dash", colour(ours)),
        Some((ours, _)) => format!("{} dot", colour(ours)),
        None => colour(name).to_owned(),
    };
    let lines = |value: &dyn Fn(usize, f64) -> f64| {
        let line = |cost: &Cost| Line {
            name: cost.name.clone(),
            class: class(&cost.name),
            points: BOTS.iter().zip(&cost.shares).map(|(bots, share)| (*bots as f64, value(*bots, *share))).collect(),
        };
        costs.iter().map(line).collect::<Vec<_>>()
    };
    let bots = || Axis {
        label: "bots",
        from: 1.0,
        to: 1_000.0,
        log: true,
        ticks: [1, 3, 10, 30, 100, 300, 1_000].map(|n| (f64::from(n), thousands(n))).into(),
    };
    figure(
        "Share of a core and bots per core against the number of bots",
        &[
            Panel {
                title: "What a number of bots costs",
                x: bots(),
                y: Axis {
                    label: "share of one core, %",
                    from: 0.005,
                    to: 3_000.0,
                    log: true,
                    ticks: [0.01, 0.1, 1.0, 10.0, 100.0, 1_000.0]
                        .map(|n: f64| (n, if n < 1.0 { n.to_string() } else { thousands(n as u32) }))
                        .into(),
                },
                lines: lines(&|_, share| 100.0 * share),
                marks: Vec::new(),
            },
            Panel {
                title: "How many would fill the core",
                x: bots(),
                y: Axis {
                    label: "bots per core",
                    from: 30.0,
                    to: 30_000.0,
                    log: true,
                    ticks: [30, 100, 300, 1_000, 3_000, 10_000, 30_000].map(|n| (f64::from(n), thousands(n))).into(),
                },
                lines: lines(&|bots, share| bots as f64 / share),
                marks: Vec::new(),
            },
        ],
    )
}

/// With a minus as long as a plus, as in print.
fn minus(number: i32) -> String {
    number.to_string().replace('-', "\u{2212}")
}

fn thousands(number: u32) -> String {
    if number < 1_000 { number.to_string() } else { format!("{},{:03}", number / 1_000, number % 1_000) }
}
