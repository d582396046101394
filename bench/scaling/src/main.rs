//! How the fleet sizes itself: policies in virtual time, and a Monday morning for real. The last lines are the figures:
//! `bench NAME VALUE`.
//!
//! Usage: muster-bench-scaling [PART...]
//!
//! Parts: week, monday-200, monday-10000; all of these if none is named. `cost` says what one bot uses, and has to be named.

mod cost;
mod monday;
mod week;

use anyhow::Result;
use clap::Parser as _;
use muster_bench_kit::{self as kit, Figure, wait};
use muster_server::cli::{self, Cli};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        // The product, as its own program starts it.
        ["serve", ..] | ["run-bot"] => {
            let _ = cli::run(Cli::parse())?;
            Ok(())
        }
        ref parts => wait(measure(parts)),
    }
}

/// What is measured, and whether it is if no part is named.
const PARTS: [(&str, bool); 4] = [("week", true), ("monday-200", true), ("monday-10000", true), ("cost", false)];

async fn measure(parts: &[&str]) -> Result<()> {
    let mut figures: Vec<Figure> = Vec::new();
    for part in kit::chosen(&PARTS, parts)? {
        figures.extend(match part {
            "week" => week::measure(),
            "monday-200" => monday::two_hundred().await?,
            "monday-10000" => monday::ten_thousand().await?,
            _ => cost::measure().await?,
        });
    }
    kit::print(&figures);
    Ok(())
}
