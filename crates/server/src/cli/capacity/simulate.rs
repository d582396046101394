//! `muster simulate`

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use muster_fleet::host::Price;
use muster_fleet::scaling::Preset;
use muster_fleet::simulate::{self, Contender, Outcome};
use serde::Serialize;

use super::{FleetArgs, ResultArgs, TraceArgs, page, progress};
use crate::cli::sources;
use crate::config::{Config, Sources};

/// `muster simulate`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  muster simulate                                   the built-in week of 10,000 meetings, every policy\n  muster simulate --meetings 100000 --html week.html\n  muster simulate --trace meetings.csv --policy guide --policy predictive --json\n  MUSTER_AUTOSCALE__ACTIVE_OUT=60 muster simulate --policy configured\n\nPolicies: guide (the scaling guide's thresholds), idle-slots (the same, and a twentieth of the peak is always free),\npredictive (by need, with the schedule), cpu-only (known to be wrong, for comparison), configured (what [autoscale] says,\nwith as many workers as it asks for). What --json has is described in docs/capacity.md."
)]
pub struct SimulateArgs {
    #[command(flatten)]
    trace: TraceArgs,
    #[command(flatten)]
    fleet: FleetArgs,
    /// Only this policy; may be repeated [default: all of them]
    #[arg(long = "policy", value_name = "NAME", value_parser = names())]
    policies: Vec<String>,
    /// Configuration file whose section `autoscale` is tried, too
    #[arg(long, env = "MUSTER_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    result: ResultArgs,
}

/// What can be tried.
fn names() -> Vec<&'static str> {
    Preset::ALL.map(Preset::as_str).into_iter().chain([Contender::CONFIGURED]).collect()
}

/// What came of each policy.
#[derive(Debug, Serialize)]
pub(super) struct Compared {
    pub(super) of: String,
    pub(super) meetings: u64,
    pub(super) peak_bots: u64,
    pub(super) host: String,
    pub(super) bots_per_host: u32,
    pub(super) price: Option<Price>,
    pub(super) policies: Vec<Outcome>,
    #[serde(skip)]
    pub(super) is_week: bool,
}

/// Simulates each policy, and puts them side by side.
pub fn run(args: &SimulateArgs) -> anyhow::Result<ExitCode> {
    // What is wrong with the configuration is nothing to those who do not try it.
    let sources = if args.wants(Contender::CONFIGURED) { sources(args.config.as_deref())? } else { Sources::default() };
    let compared = compare(args, &sources)?;
    args.result.write_page(|| page::of_comparison(&compared))?;
    if args.result.json {
        println!("{}", serde_json::to_string_pretty(&compared)?);
    } else {
        print!("{}", table(&compared));
    }
    Ok(ExitCode::SUCCESS)
}

impl SimulateArgs {
    fn wants(&self, policy: &str) -> bool {
        self.policies.is_empty() || self.policies.iter().any(|name| name == policy)
    }
}

/// `configuration` is that of the policy that is no preset.
pub(super) fn compare(args: &SimulateArgs, configuration: &Sources) -> anyhow::Result<Compared> {
    let own = Config::load(configuration)?.autoscale.policy;
    let meetings = args.trace.read()?;
    let (trace, setup) = (&meetings.trace, args.fleet.setup(args.trace.seed)?);
    let presets = simulate::contenders(setup.slots(), trace.peak());
    let contenders = presets.into_iter().chain([Contender::configured(own, setup.slots())]);
    let outcome = |contender: Contender| simulate::run(trace, &setup, &contender, &mut progress(contender.name));
    Ok(Compared {
        meetings: trace.meetings.len() as u64,
        peak_bots: trace.peak(),
        host: args.fleet.host.name.clone(),
        bots_per_host: setup.slots(),
        price: args.fleet.price(),
        policies: contenders.filter(|contender| args.wants(contender.name)).map(outcome).collect(),
        is_week: meetings.is_week,
        of: meetings.name,
    })
}

/// A column of the comparison: its name, and what it says of an outcome.
pub(super) type Column = (&'static str, fn(&Outcome) -> String);

pub(super) const COLUMNS: [Column; 12] = [
    ("p50 wait", |outcome| format!("{:.1} s", outcome.wait_p50_s)),
    ("p99 wait", |outcome| format!("{:.1} s", outcome.wait_p99_s)),
    ("scheduled", |outcome| format!("{:.1} s", outcome.scheduled_p99_s)),
    ("ad hoc", |outcome| format!("{:.1} s", outcome.ad_hoc_p99_s)),
    ("longest", |outcome| format!("{:.0} s", outcome.wait_max_s)),
    ("missed", |outcome| outcome.missed.to_string()),
    ("killed", |outcome| outcome.killed.to_string()),
    ("host hours", |outcome| format!("{:.0}", outcome.host_hours)),
    ("peak hosts", |outcome| outcome.peak_hosts.to_string()),
    ("used", |outcome| format!("{:.0} %", outcome.utilisation * 100.0)),
    ("changes", |outcome| outcome.changes.to_string()),
    ("reversals", |outcome| outcome.reversals.to_string()),
];

/// What the columns are.
pub(super) const LEGEND: [&str; 3] = [
    "Waits are from when a bot was to be there until it was in its call, or until that was over if it never was; scheduled and ad hoc: p99.",
    "Missed: later than 5 minutes, or not at all. Killed: calls that ended with their worker.",
    "Reversals: changes of the number of hosts that were changed back within 10 minutes.",
];

/// What the policies were tried with.
pub(super) fn facts(compared: &Compared) -> String {
    let Compared { of, peak_bots, host, bots_per_host, .. } = compared;
    format!("{of}: at most {peak_bots} at once, on {host} with {bots_per_host} bots each")
}

pub(super) fn table(compared: &Compared) -> String {
    let mut text = format!("{}\n\n{:<10}", facts(compared), "policy");
    for (name, _) in COLUMNS {
        let _ = write!(text, "{name:>11}");
    }
    text.push('\n');
    for outcome in &compared.policies {
        let _ = write!(text, "{:<10}", outcome.policy);
        for (_, cell) in COLUMNS {
            let _ = write!(text, "{:>11}", cell(outcome));
        }
        text.push('\n');
    }
    text.push('\n');
    for line in LEGEND {
        let _ = writeln!(text, "{line}");
    }
    text
}
