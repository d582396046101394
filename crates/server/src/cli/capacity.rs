//! `muster plan` and `muster simulate`: how many machines it takes, and what becomes of meetings under each policy.

mod chart;
mod page;
pub mod plan;
mod plan_text;
pub mod simulate;

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use muster_fleet::admission::Host;
use muster_fleet::cost::{BROWSER_SHM_BYTES, Cost};
use muster_fleet::host::{HostType, Price};
use muster_fleet::simulate::Setup;
use muster_fleet::trace::Trace;
use muster_platform::browser::SMALL_SHM_BYTES;
use serde::Deserialize;

use crate::config::{parse_cores, parse_size};

/// Largest file of meetings or costs, in bytes.
const LARGEST_FILE: u64 = 512 << 20;
/// Days that the built-in week stands for.
const WEEK_DAYS: f64 = 7.0;
/// Meetings of so many days are a working week.
const WORKING_DAYS: f64 = 5.0;
const DAY_S: f64 = 86_400.0;

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
    #[arg(long, conflicts_with_all = ["bot_memory", "bot_cpu", "costs"])]
    measured: bool,
    /// Plan with what your bots were measured to use: what `muster workers costs --json` prints, the most of all kinds
    #[arg(long, value_name = "FILE", conflicts_with_all = ["bot_memory", "bot_cpu"])]
    costs: Option<PathBuf>,
    /// Of /dev/shm, what a bot uses [default: 64MB, or nothing where /dev/shm is below 512MiB]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    bot_shm: Option<u64>,
    /// Size of /dev/shm [default: half of the memory]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    shm: Option<u64>,
    /// Most open files of a worker (ulimit -n)
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    descriptors: u64,
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
    /// Meetings as a file has them: lines of start,duration_s,tenant,booked_s under these names; the last two may be missing
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Days that the meetings of a file stand for, when they go on like this [default: until the last is over, in whole days, and from five days on in whole weeks]
    #[arg(long, value_name = "DAYS", requires = "trace", value_parser = clap::value_parser!(u32).range(1..=366))]
    days: Option<u32>,
    /// Meetings as they are made: a working week with Monday 9:00 above all
    #[arg(long, value_name = "NAME", value_parser = ["weekday"], conflicts_with = "trace")]
    profile: Option<String>,
    /// How many meetings are made [default: 10000]
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

/// Meetings, and what is said of them.
struct Meetings {
    trace: Trace,
    /// What they are called.
    name: String,
    /// Days that they stand for.
    days: f64,
    /// They begin on a Monday at 0:00.
    is_week: bool,
}

impl FleetArgs {
    fn price(&self) -> Option<Price> {
        self.price.map(Price::said).or_else(|| self.host.price.clone())
    }

    fn cost(&self) -> anyhow::Result<Cost> {
        let base = match (&self.costs, self.measured) {
            (Some(file), _) => costs(file).with_context(|| format!("--costs: {}", file.display()))?,
            (None, true) => Cost::MEASURED,
            (None, false) => Cost::PLANNED,
        };
        Ok(Cost {
            memory_bytes: self.bot_memory.unwrap_or(base.memory_bytes),
            cpu_millis: self.bot_cpu.unwrap_or(base.cpu_millis),
            shm_bytes: self.bot_shm.unwrap_or_else(|| self.browser_shm()),
            ..base
        })
    }

    /// As a worker on this host has it.
    fn browser_shm(&self) -> u64 {
        if self.host().shm_bytes < SMALL_SHM_BYTES { 0 } else { BROWSER_SHM_BYTES }
    }

    fn host(&self) -> Host {
        let host = self.host.host();
        Host { descriptors: self.descriptors, shm_bytes: self.shm.unwrap_or(host.shm_bytes), ..host }
    }

    fn setup(&self, seed: u64) -> anyhow::Result<Setup> {
        let mut setup = Setup::new(self.host(), self.cost()?, self.headroom);
        setup.budget.slots = self.slots.unwrap_or(setup.budget.slots);
        setup.launch = Duration::from_secs(self.launch);
        setup.seed = seed;
        let (slots, limit) = setup.budget.fits(setup.cost);
        ensure!(slots > 0, "--host: not one such bot fits on {} ({limit}); take a larger one", self.host.name);
        Ok(setup)
    }
}

impl TraceArgs {
    fn is_given(&self) -> bool {
        self.trace.is_some() || self.profile.is_some() || self.meetings.is_some()
    }

    fn read(&self) -> anyhow::Result<Meetings> {
        let Some(path) = &self.trace else {
            let meetings = self.meetings.unwrap_or(10_000);
            let name = format!("the built-in working week of {meetings} meetings (seed {})", self.seed);
            let trace = Trace::weekday(meetings as usize, self.seed);
            return Ok(Meetings { trace, name, days: WEEK_DAYS, is_week: true });
        };
        let trace = read(path).and_then(|text| Ok(Trace::read(&text)?));
        let trace = trace.with_context(|| format!("--trace: {}", path.display()))?;
        ensure!(!trace.meetings.is_empty(), "--trace: {} has no meetings", path.display());
        let name = format!("{} with {} meetings", path.display(), trace.meetings.len());
        let days = self.days.map_or_else(|| stands_for(trace.length()), f64::from);
        Ok(Meetings { trace, name, days, is_week: false })
    }
}

/// Days that meetings of this length stand for, when they go on like this: whole days, as what follows is another night, and from
/// five on whole weeks, as it is the weekend.
fn stands_for(length: Duration) -> f64 {
    let days = (length.as_secs_f64() / DAY_S).ceil().max(1.0);
    if days < WORKING_DAYS { days } else { (days / WEEK_DAYS).ceil() * WEEK_DAYS }
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

fn read(path: &Path) -> anyhow::Result<String> {
    let bytes = std::fs::metadata(path)?.len();
    ensure!(bytes <= LARGEST_FILE, "{bytes} bytes are more than {LARGEST_FILE}");
    Ok(std::fs::read_to_string(path)?)
}

/// What bots of one kind were measured to use.
#[derive(Deserialize)]
struct KindCost {
    memory_bytes: u64,
    cpu_millis: u64,
}

/// The most of each, of all kinds of a file.
fn costs(path: &Path) -> anyhow::Result<Cost> {
    let kinds: Vec<KindCost> =
        serde_json::from_str(&read(path)?).context("expected what `muster workers costs --json` prints")?;
    let used = |kind: KindCost| Cost { memory_bytes: kind.memory_bytes, cpu_millis: kind.cpu_millis, ..Cost::PLANNED };
    let most = kinds.into_iter().map(used).reduce(Cost::max).context("nothing was learned yet")?;
    ensure!(most.memory_bytes > 0 && most.cpu_millis > 0, "a bot that uses nothing");
    Ok(most)
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
    let cores = parse_cores(text).filter(|cores| *cores > 0);
    cores.ok_or_else(|| "expected a number of cores such as 1 or 0.25".to_owned())
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
