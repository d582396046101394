//! From the create call to the claim by a worker, against other job queues, on this machine. The last lines are the
//! figures: `bench NAME VALUE`.
//!
//! Usage: muster-bench-dispatch [PART...]
//!
//! Parts: throughput, latency, burst, growth; all of these if none is named. growth-redis takes long, and has to be named.

mod burst;
mod growth;
mod http;
mod latency;
mod ours;
mod peers;
mod throughput;

use std::os::unix::process::parent_id;
use std::time::Duration;

use anyhow::Result;
use clap::Parser as _;
use muster_bench_kit::{self as kit, Figure, wait};
use muster_server::cli::{self, Cli};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        // The product, as its own program starts it.
        ["serve", ..] => cli::run(Cli::parse()).map(drop),
        ["run-bot"] => never_ready(),
        ["create", redis, jobs, callers] => wait(ours::create_process(redis, jobs.parse()?, callers.parse()?)),
        ["work", redis, jobs, slots] => wait(ours::work_process(redis, jobs.parse()?, slots.parse()?)),
        ref parts => wait(measure(parts)),
    }
}

/// A bot that takes a worker's place and nothing else. It ends when its worker is gone, which is killed.
fn never_ready() -> Result<()> {
    let worker = parent_id();
    while parent_id() == worker {
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// What is measured, and whether it is if no part is named.
const PARTS: [(&str, bool); 5] =
    [("throughput", true), ("latency", true), ("burst", true), ("growth", true), ("growth-redis", false)];

async fn measure(parts: &[&str]) -> Result<()> {
    let mut figures: Vec<Figure> = Vec::new();
    for part in kit::chosen(&PARTS, parts)? {
        figures.extend(match part {
            "throughput" => throughput::measure().await?,
            "latency" => latency::measure().await?,
            "burst" => burst::measure().await?,
            "growth" => growth::embedded().await?,
            _ => growth::redis().await?,
        });
    }
    kit::print(&figures);
    Ok(())
}
