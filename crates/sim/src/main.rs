//! `muster-sim`: runs seeds, and prints what went wrong.

use std::collections::BTreeMap;
use std::ops::Range;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, ValueEnum as _};
use muster_sim::{Ending, Plant, run};

/// The whole fleet in one thread and virtual time, with faults by a seed.
///
/// Without arguments it runs the seeds that the tests run. A seed that fails is printed with the command that runs it again.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:
  cargo run -p muster-sim                                    seeds 0 to 2,999
  cargo run -p muster-sim -- --seed 17                       one seed, with everything that happens
  cargo run -p muster-sim -- --first 5000 --count 100000     many more
  cargo run -p muster-sim -- --plant no-fencing --count 50   with a bug put in")]
struct Cli {
    /// Run this seed and print its journal
    #[arg(long)]
    seed: Option<u64>,
    /// The first seed of many
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// How many seeds
    #[arg(long, default_value_t = 3_000)]
    count: u64,
    /// Put a bug in
    #[arg(long, value_enum)]
    plant: Option<Plant>,
    /// Print what the product logs, too
    #[arg(long)]
    log: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if cli.log {
        tracing_subscriber::fmt().without_time().with_max_level(tracing::Level::DEBUG).init();
    }
    match cli.seed {
        Some(seed) => one(seed, cli.plant),
        None => many(cli.first..cli.first.saturating_add(cli.count), cli.plant),
    }
}

fn one(seed: u64, plant: Option<Plant>) -> ExitCode {
    let ending = run(seed, plant, true);
    let Ending { hash, lines, took, counts, .. } = &ending;
    println!("seed {seed}: {lines} lines, hash {hash:016x}, {:.1} s of virtual time, {counts:?}", took.as_secs_f64());
    verdict(seed, plant, &ending)
}

fn many(seeds: Range<u64>, plant: Option<Plant>) -> ExitCode {
    let (began, total) = (Instant::now(), seeds.end - seeds.start);
    let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
    for (done, seed) in (1..=total).zip(seeds) {
        let ending = run(seed, plant, false);
        if ending.violation.is_some() {
            return verdict(seed, plant, &ending);
        }
        for (what, count) in ending.counts {
            *counts.entry(what).or_default() += count;
        }
        if done % 100 == 0 {
            eprintln!("{done} of {total} seeds hold, {:.0} s", began.elapsed().as_secs_f64());
        }
    }
    println!("{total} seeds hold: {counts:?}");
    ExitCode::SUCCESS
}

fn verdict(seed: u64, plant: Option<Plant>, ending: &Ending) -> ExitCode {
    match &ending.violation {
        None => ExitCode::SUCCESS,
        Some(what) => {
            let plant = plant.and_then(|plant| plant.to_possible_value());
            let plant = plant.map(|plant| format!(" --plant {}", plant.get_name())).unwrap_or_default();
            println!("seed {seed}: {what}");
            println!("again, with everything that happens: cargo run -p muster-sim -- --seed {seed}{plant}");
            ExitCode::FAILURE
        }
    }
}
