//! Webhooks both ways on this machine: how fast they are taken, and what sick receivers cost healthy ones. The last lines are
//! the figures: `bench NAME VALUE`.
//!
//! Usage: muster-bench-webhooks [PART...]
//!
//! Parts: ingest, delivery; both if none is named.

mod delivery;
mod ingest;
mod load;
#[expect(dead_code, reason = "the bench of dispatch needs more of it")]
#[path = "../../dispatch/src/process.rs"]
mod process;
mod serve;
#[expect(dead_code, reason = "the bench of dispatch needs more of it")]
#[path = "../../dispatch/src/server.rs"]
mod server;

use anyhow::{Context, Result, bail};

/// One line of the result.
pub struct Figure {
    pub name: &'static str,
    pub value: f64,
}

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

fn wait(work: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::runtime::Runtime::new().context("the async runtime")?.block_on(work)
}

async fn measure(parts: &[&str]) -> Result<()> {
    if let Some(unknown) = parts.iter().find(|part| !["ingest", "delivery"].contains(part)) {
        bail!("no such part: {unknown}; there are ingest and delivery");
    }
    let wanted = |part| parts.is_empty() || parts.contains(&part);
    let mut figures = Vec::new();
    if wanted("ingest") {
        figures.extend(ingest::measure().await?);
    }
    if wanted("delivery") {
        figures.extend(delivery::measure().await?);
    }
    println!();
    for Figure { name, value } in figures {
        println!("bench {name} {value:.4}");
    }
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
