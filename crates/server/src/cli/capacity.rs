//! `muster plan` and `muster simulate`: how many machines it takes, and what becomes of meetings under each policy.

mod chart;
mod page;
pub mod plan;
pub mod simulate;

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use muster_fleet::admission::Host;
use muster_fleet::cost::Cost;
use muster_fleet::host::HostType;
use muster_fleet::simulate::Setup;
use muster_fleet::trace::Trace;

use crate::config::{parse_cores, parse_size};

/// What bots and machines are.
#[derive(Debug, Args)]
pub struct FleetArgs {
    /// Machine of a worker: a name such as c5.4xlarge, or a size such as 16cpu,32GiB
    #[arg(long, value_name = "TYPE", default_value = "c5.4xlarge", value_parser = HostType::read)]
    host: HostType,
    /// Price of a machine, in USD per hour [default: that of the table, if it is in it]
    #[arg(long, value_name = "USD", value_parser = price)]
    price: Option<f64>,
    /// Memory of a bot, such as 1.5GB or 200MiB [default: 1.5GB, to plan with before anything was measured]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    bot_memory: Option<u64>,
    /// Cores of a bot, such as 1 or 0.25 [default: 1]
    #[arg(long, value_name = "CORES", value_parser = cores)]
    bot_cpu: Option<u64>,
    /// Plan with what bots of ours were measured to use, instead of what is safe for any browser (docs/capacity.md)
    #[arg(long, conflicts_with_all = ["bot_memory", "bot_cpu"])]
    measured: bool,
    /// Memory that stays free, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 15, value_parser = clap::value_parser!(u8).range(0..=90))]
    headroom: u8,
    /// Most bots of a worker (worker.max_concurrent_bots) [default: as many as fit]
    #[arg(long, value_name = "BOTS", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    slots: Option<u32>,
    /// From asking for a machine until it takes bots, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    launch: u64,
}

/// Meetings.
#[derive(Debug, Args)]
pub struct TraceArgs {
    /// Meetings as a file has them: lines of start,duration_s,tenant,booked_s under these names
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Meetings in the built-in working week
    #[arg(long, value_name = "NUMBER", conflicts_with = "trace", value_parser = clap::value_parser!(u32).range(1..=2_000_000))]
    meetings: Option<u32>,
    /// Makes the same week again
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
}

/// Where results go.
#[derive(Debug, Args)]
pub struct ResultArgs {
    /// Machine-readable, on standard output
    #[arg(long)]
    json: bool,
    /// A page with plots
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

impl FleetArgs {
    fn price(&self) -> Option<f64> {
        self.price.or(self.host.price)
    }

    fn cost(&self) -> Cost {
        let base = if self.measured { Cost::MEASURED } else { Cost::PLANNED };
        Cost {
            memory_bytes: self.bot_memory.unwrap_or(base.memory_bytes),
            cpu_millis: self.bot_cpu.unwrap_or(base.cpu_millis),
            ..base
        }
    }

    fn host(&self) -> Host {
        self.host.host()
    }

    fn setup(&self, seed: u64) -> anyhow::Result<Setup> {
        let mut setup = Setup::new(self.host(), self.cost(), self.headroom);
        setup.budget.slots = self.slots.unwrap_or(setup.budget.slots);
        setup.launch = Duration::from_secs(self.launch);
        setup.seed = seed;
        let (slots, limit) = setup.budget.fits(setup.cost);
        anyhow::ensure!(slots > 0, "--host: not one such bot fits on {} ({limit}); take a larger one", self.host.name);
        Ok(setup)
    }
}

impl TraceArgs {
    fn is_given(&self) -> bool {
        self.trace.is_some() || self.meetings.is_some()
    }

    /// The meetings, and what they are called. Without a file it is the built-in week with `otherwise` meetings.
    fn read(&self, otherwise: u32) -> anyhow::Result<(Trace, String)> {
        let Some(path) = &self.trace else {
            let meetings = self.meetings.unwrap_or(otherwise);
            let name = format!("the built-in working week of {meetings} meetings (seed {})", self.seed);
            return Ok((Trace::weekday(meetings as usize, self.seed), name));
        };
        let text = std::fs::read_to_string(path).with_context(|| format!("--trace: {}", path.display()))?;
        let trace = Trace::read(&text).with_context(|| format!("--trace: {}", path.display()))?;
        anyhow::ensure!(!trace.meetings.is_empty(), "--trace: {} has no meetings", path.display());
        let name = format!("{} with {} meetings", path.display(), trace.meetings.len());
        Ok((trace, name))
    }
}

impl ResultArgs {
    fn write_page(&self, page: impl FnOnce() -> anyhow::Result<String>) -> anyhow::Result<()> {
        if let Some(path) = &self.html {
            std::fs::write(path, page()?).with_context(|| format!("--html: {}", path.display()))?;
            eprintln!("The page is at {}", path.display());
        }
        Ok(())
    }
}

/// Tells a terminal how far a simulation is.
fn progress(what: &str) -> impl FnMut(f64) {
    let terminal = std::io::stderr().is_terminal();
    let what = what.to_owned();
    move |share| {
        if terminal {
            let _ = write!(std::io::stderr(), "\r{what}: {:.0} % ", share * 100.0);
            if share >= 1.0 {
                let _ = write!(std::io::stderr(), "\r{:60}\r", "");
            }
        }
    }
}

fn size(text: &str) -> Result<u64, String> {
    parse_size(text).filter(|bytes| *bytes > 0).ok_or_else(|| "expected a size such as 1.5GB or 200MiB".to_owned())
}

fn cores(text: &str) -> Result<u64, String> {
    parse_cores(text)
        .filter(|cores| *cores > 0)
        .ok_or_else(|| "expected a number of cores such as 1 or 0.25".to_owned())
}

fn price(text: &str) -> Result<f64, String> {
    let price = text.parse().ok().filter(|price: &f64| price.is_finite() && *price >= 0.0);
    price.ok_or_else(|| "expected USD per hour such as 0.68".to_owned())
}

fn megabytes(bytes: u64) -> String {
    match bytes {
        1_000_000_000.. => format!("{:.2} GB", bytes as f64 / 1e9),
        _ => format!("{} MB", bytes / 1_000_000),
    }
}

#[cfg(test)]
mod tests;
