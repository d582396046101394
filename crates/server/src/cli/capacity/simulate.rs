//! `muster simulate`

use std::process::ExitCode;

use clap::Args;
use muster_fleet::simulate::{self, Contender, Outcome};
use serde::Serialize;

use super::{FleetArgs, ResultArgs, TraceArgs, page, progress};

/// `muster simulate`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  muster simulate                                   the built-in week of 10,000 meetings, every policy\n  muster simulate --meetings 100000 --html week.html\n  muster simulate --trace meetings.csv --policy guide --policy predictive --json\n\nPolicies: guide (the scaling guide's thresholds), idle-slots (the same, and some slots always free), predictive (by\nneed, with the schedule), cpu-only (known to be wrong, for comparison)."
)]
pub struct SimulateArgs {
    #[command(flatten)]
    trace: TraceArgs,
    #[command(flatten)]
    fleet: FleetArgs,
    /// Only this policy; may be repeated [default: all of them]
    #[arg(long = "policy", value_name = "NAME", value_parser = ["guide", "idle-slots", "predictive", "cpu-only"])]
    policies: Vec<String>,
    #[command(flatten)]
    result: ResultArgs,
}

/// What came of each policy.
#[derive(Debug, Serialize)]
pub(super) struct Compared {
    pub(super) of: String,
    pub(super) meetings: u64,
    pub(super) peak_bots: u64,
    pub(super) host: String,
    pub(super) bots_per_host: u32,
    pub(super) usd_per_host_hour: Option<f64>,
    pub(super) policies: Vec<Outcome>,
}

/// Simulates each policy, and puts them side by side.
pub fn run(args: &SimulateArgs) -> anyhow::Result<ExitCode> {
    let (trace, of) = args.trace.read(10_000)?;
    let setup = args.fleet.setup(args.trace.seed)?;
    let wanted =
        |contender: &Contender| args.policies.is_empty() || args.policies.iter().any(|name| name == contender.name);
    let policies = simulate::contenders(setup.slots(), trace.peak())
        .iter()
        .filter(|contender| wanted(contender))
        .map(|contender| simulate::run(&trace, &setup, contender, &mut progress(contender.name)))
        .collect();
    let compared = Compared {
        of,
        meetings: trace.meetings.len() as u64,
        peak_bots: trace.peak(),
        host: args.fleet.host.name.clone(),
        bots_per_host: setup.slots(),
        usd_per_host_hour: args.fleet.price(),
        policies,
    };
    args.result.write_page(|| page::of_comparison(&compared))?;
    if args.result.json {
        println!("{}", serde_json::to_string_pretty(&compared)?);
    } else {
        print!("{}", table(&compared));
    }
    Ok(ExitCode::SUCCESS)
}

/// A column of the comparison: its name, and what it says of an outcome.
pub(super) type Column = (&'static str, fn(&Outcome) -> String);

pub(super) const COLUMNS: [Column; 10] = [
    ("p50 wait", |outcome| format!("{:.1} s", outcome.wait_p50_s)),
    ("p99 wait", |outcome| format!("{:.1} s", outcome.wait_p99_s)),
    ("longest", |outcome| format!("{:.0} s", outcome.wait_max_s)),
    ("missed", |outcome| outcome.missed.to_string()),
    ("killed", |outcome| outcome.killed.to_string()),
    ("host hours", |outcome| format!("{:.0}", outcome.host_hours)),
    ("peak hosts", |outcome| outcome.peak_hosts.to_string()),
    ("used", |outcome| format!("{:.0} %", outcome.utilisation * 100.0)),
    ("changes", |outcome| outcome.changes.to_string()),
    ("reversals", |outcome| outcome.reversals.to_string()),
];

fn table(compared: &Compared) -> String {
    use std::fmt::Write as _;
    let mut text = format!(
        "{}: at most {} at once, on {} with {} bots each\n\n{:<12}",
        compared.of, compared.peak_bots, compared.host, compared.bots_per_host, "policy"
    );
    for (name, _) in COLUMNS {
        let _ = write!(text, "{name:>12}");
    }
    text.push('\n');
    for outcome in &compared.policies {
        let _ = write!(text, "{:<12}", outcome.policy);
        for (_, cell) in COLUMNS {
            let _ = write!(text, "{:>12}", cell(outcome));
        }
        text.push('\n');
    }
    text.push_str(
        "\nWaits are from when a bot was to be there until it was in its call. Missed: later than 5 minutes, or not at all.\n\
         Killed: calls that ended with their worker. Reversals: changes back within 10 minutes.\n",
    );
    text
}
