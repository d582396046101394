//! Our audio path against other people's, on one core, with one input. The last lines are the figures:
//! `bench NAME VALUE`.
//!
//! Usage: muster-bench-audio [report DOCS DATE]
//!
//! `report` also draws the charts into DOCS and writes the figures into DOCS/audio.md.

mod charts;
mod contest;
mod convert;
mod ours;
mod peers;
mod quality;
mod race;
mod report;
mod roofline;
mod scale;
mod signal;
mod svg;
mod table;

use std::path::PathBuf;

use anyhow::{Result, bail};

/// Frames of 20 ms.
const FRAME: usize = 960;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let report = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => None,
        ["report", docs, date] => Some((PathBuf::from(docs), date.to_owned())),
        _ => bail!("usage: muster-bench-audio [report DOCS DATE]"),
    };
    let lab = quality::Lab::new();
    let outcome = contest::hold(&lab)?;
    println!("{}", table::text(&outcome));
    println!("* rejection at least 90 dB (or ours), within 1 dB to 7 kHz\n");
    let figures = report::Figures::measure(&outcome)?;
    if let Some((docs, date)) = report {
        report::write(&docs, &date, &lab, &outcome, &figures)?;
    }
    print!("{}", figures.text());
    Ok(())
}
