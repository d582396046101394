//! Webhooks both ways on this machine: how fast they are taken, and what sick receivers cost healthy ones. The last lines are
//! the figures: `bench NAME VALUE`.
//!
//! Usage: muster-bench-webhooks [PART...]
//!
//! Parts: ingest, delivery; both if none is named.

mod delivery;
mod ingest;
mod load;
mod serve;

use anyhow::Result;
use muster_bench_kit::{self as kit, Figure, wait};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["taker", backend, place] => wait(serve::taker(backend, place)),
        ["load", address, connections, seconds, rate] => {
            wait(load::process(address, connections.parse()?, seconds.parse()?, rate.parse()?))
        }
        ["receivers"] => wait(delivery::receivers()),
        ref parts => wait(measure(parts)),
    }
}

/// What is measured, and whether it is if no part is named.
const PARTS: [(&str, bool); 2] = [("ingest", true), ("delivery", true)];

async fn measure(parts: &[&str]) -> Result<()> {
    let mut figures: Vec<Figure> = Vec::new();
    for part in kit::chosen(&PARTS, parts)? {
        figures.extend(match part {
            "ingest" => ingest::measure().await?,
            _ => delivery::measure().await?,
        });
    }
    kit::print(&figures);
    Ok(())
}

/// The value that so large a part of the sorted ones is not above.
fn at(sorted: &[f64], part: f64) -> f64 {
    let rank = (sorted.len() as f64 * part).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

fn middle(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or(f64::NAN)
}
