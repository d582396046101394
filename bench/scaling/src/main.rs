//! How the fleet sizes itself: policies in virtual time, and a Monday morning for real. The last lines are the figures:
//! `bench NAME VALUE`.
//!
//! Usage: muster-bench-scaling [PART...]
//!
//! Parts: week, monday-200, monday-10000; all of these if none is named. `cost` says what one bot uses, and has to be named.

mod cost;
mod monday;
#[expect(dead_code, reason = "the bench of dispatch needs more of it")]
#[path = "../../dispatch/src/process.rs"]
mod process;
#[path = "../../dispatch/src/server.rs"]
mod server;
mod week;

use anyhow::{Context, Result, bail};
use clap::Parser as _;
use muster_server::cli::{self, Cli};

/// One line of the result.
pub struct Figure {
    pub name: &'static str,
    pub value: f64,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        // The product, as its own program starts it.
        ["serve", ..] | ["run-bot"] => {
            let _ = cli::run(Cli::parse())?;
            Ok(())
        }
        ref parts => tokio::runtime::Runtime::new().context("the async runtime")?.block_on(measure(parts)),
    }
}

/// What is measured, and whether it is if no part is named.
const PARTS: [(&str, bool); 4] = [("week", true), ("monday-200", true), ("monday-10000", true), ("cost", false)];

async fn measure(parts: &[&str]) -> Result<()> {
    if let Some(unknown) = parts.iter().find(|part| PARTS.iter().all(|(known, _)| known != *part)) {
        bail!("no such part: {unknown}; there are {}", PARTS.map(|(name, _)| name).join(", "));
    }
    let mut figures = Vec::new();
    for (part, _) in PARTS.iter().filter(|(part, always)| (parts.is_empty() && *always) || parts.contains(part)) {
        figures.extend(match *part {
            "week" => week::measure(),
            "monday-200" => monday::two_hundred().await?,
            "monday-10000" => monday::ten_thousand().await?,
            _ => cost::measure().await?,
        });
    }
    println!();
    for Figure { name, value } in figures {
        println!("bench {name} {value:.4}");
    }
    Ok(())
}
