//! `muster plan`

use std::process::ExitCode;

use clap::Args;
use muster_fleet::host::Price;
use muster_fleet::plan::{Bill, PerHost};
use muster_fleet::scaling::Preset;
use muster_fleet::simulate::{self, Contender, Outcome};
use serde::Serialize;

use super::{FleetArgs, ResultArgs, TraceArgs, page, plan_text, progress};

/// `muster plan`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  muster plan --bots 500                                     how many machines for 500 bots at once\n  muster plan --host c5.4xlarge --bots 500 --bot-memory 1.5GB --bot-cpu 1 --json\n  muster plan --measured --host 16cpu,64GiB --bots 500       with what our bots were measured to use\n  muster plan --profile weekday --meetings 20000 --html plan.html\n                                                             a working week: machines over time, waits, cost\n  muster plan --trace meetings.csv --host m6i.4xlarge        your own meetings\n\nFor meetings the predictive policy is simulated (muster simulate compares it with others). What --json has is described in docs/capacity.md."
)]
pub struct PlanArgs {
    /// Bots at once
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["trace", "profile", "meetings"], value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    bots: Option<u64>,
    #[command(flatten)]
    trace: TraceArgs,
    #[command(flatten)]
    fleet: FleetArgs,
    #[command(flatten)]
    result: ResultArgs,
}

/// What was planned.
#[derive(Debug, Serialize)]
pub(super) struct Planned {
    /// What was planned for.
    pub(super) of: String,
    pub(super) host: String,
    pub(super) vcpu: u32,
    pub(super) memory_bytes: u64,
    pub(super) price: Option<Price>,
    pub(super) bot_memory_bytes: u64,
    pub(super) bot_cpu: f64,
    #[serde(flatten)]
    pub(super) per_host: PerHost,
    /// Most bots at once.
    pub(super) bots: u64,
    /// Hosts for that many.
    pub(super) hosts: u64,
    #[serde(flatten)]
    pub(super) bill: Bill,
    /// For meetings: what the predictive policy makes of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fleet: Option<Outcome>,
    /// Days that the meetings stand for, which go on like this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) days: Option<f64>,
    #[serde(skip)]
    pub(super) is_week: bool,
}

/// Plans, and says how.
pub fn run(args: &PlanArgs) -> anyhow::Result<ExitCode> {
    let planned = plan(args)?;
    args.result.write_page(|| page::of_plan(&planned))?;
    if args.result.json {
        println!("{}", serde_json::to_string_pretty(&planned)?);
    } else {
        print!("{}", plan_text::table(&planned));
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn plan(args: &PlanArgs) -> anyhow::Result<Planned> {
    let fleet = &args.fleet;
    let setup = fleet.setup(args.trace.seed)?;
    let per_host = PerHost::of(fleet.host(), setup.cost, fleet.headroom, fleet.slots);
    let price = fleet.price();
    let mut planned = Planned {
        of: String::new(),
        host: fleet.host.name.clone(),
        vcpu: fleet.host.vcpu,
        memory_bytes: fleet.host.memory_bytes,
        price: price.clone(),
        bot_memory_bytes: setup.cost.memory_bytes,
        bot_cpu: setup.cost.cpu_millis as f64 / 1_000.0,
        per_host,
        bots: args.bots.unwrap_or(0),
        hosts: 0,
        bill: Bill::steady(0, 0, None),
        fleet: None,
        days: None,
        is_week: false,
    };
    let usd = price.map(|price| price.usd_per_hour);
    match args.bots.filter(|_| !args.trace.is_given()) {
        Some(bots) => {
            planned.of = format!("{bots} bots at once");
            planned.hosts = planned.per_host.hosts_for(bots).unwrap_or(0);
            planned.bill = Bill::steady(planned.hosts, bots, usd);
        }
        None => {
            let meetings = args.trace.read()?;
            let predictive = Contender::of(Preset::Predictive, setup.slots(), meetings.trace.peak());
            let outcome = simulate::run(&meetings.trace, &setup, &predictive, &mut progress("simulating"));
            planned.bots = meetings.trace.peak();
            planned.hosts = planned.per_host.hosts_for(planned.bots).unwrap_or(0);
            planned.bill = Bill::of(&outcome, meetings.days, usd);
            planned.fleet = Some(outcome);
            planned.days = Some(meetings.days);
            planned.is_week = meetings.is_week;
            planned.of = meetings.name;
        }
    }
    Ok(planned)
}
