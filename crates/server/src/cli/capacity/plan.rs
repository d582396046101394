//! `muster plan`

use std::process::ExitCode;

use clap::Args;
use muster_fleet::host::PRICES;
use muster_fleet::plan::{Bill, PerHost};
use muster_fleet::simulate::{self, Outcome};
use muster_fleet::trace::Trace;
use serde::Serialize;
use serde_json::json;

use super::{FleetArgs, ResultArgs, TraceArgs, megabytes, page, progress};

/// `muster plan`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  muster plan --bots 500                                     how many machines for 500 bots at once\n  muster plan --host c5.4xlarge --bots 500 --bot-memory 1.5GB --bot-cpu 1 --json\n  muster plan --measured --host 16cpu,64GiB --bots 500       with what our bots were measured to use\n  muster plan --meetings 20000 --html plan.html              a working week: machines over time, waits, cost\n  muster plan --trace meetings.csv --host m6i.4xlarge        your own meetings"
)]
pub struct PlanArgs {
    /// Bots at once
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["trace", "meetings"], value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
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
    pub(super) host: String,
    pub(super) vcpu: u32,
    pub(super) memory_bytes: u64,
    pub(super) usd_per_host_hour: Option<f64>,
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
    /// What was planned for.
    pub(super) of: String,
    pub(super) prices: &'static str,
}

/// Plans, and says how.
pub fn run(args: &PlanArgs) -> anyhow::Result<ExitCode> {
    let planned = plan(args)?;
    args.result.write_page(|| page::of_plan(&planned))?;
    if args.result.json {
        println!("{}", serde_json::to_string_pretty(&planned)?);
    } else {
        print!("{}", table(&planned));
    }
    Ok(ExitCode::SUCCESS)
}

fn plan(args: &PlanArgs) -> anyhow::Result<Planned> {
    let fleet = &args.fleet;
    let setup = fleet.setup(args.trace.seed)?;
    let per_host = PerHost::of(&fleet.host, setup.cost, fleet.headroom, fleet.slots);
    let price = fleet.price();
    let (bots, bill, outcome, of) = match args.bots.filter(|_| !args.trace.is_given()) {
        Some(bots) => (
            bots,
            Bill::steady(per_host.hosts_for(bots).unwrap_or(0), bots, price),
            None,
            format!("{bots} bots at once"),
        ),
        None => {
            let (trace, name) = args.trace.read(DEFAULT_MEETINGS)?;
            let outcome = with_policy(&trace, &setup);
            let bill = Bill::of(&outcome, setup.slots(), price, trace.length().as_secs_f64() / 3_600.0);
            (trace.peak(), bill, Some(outcome), name)
        }
    };
    Ok(Planned {
        host: fleet.host.name.clone(),
        vcpu: fleet.host.vcpu,
        memory_bytes: fleet.host.memory_bytes,
        usd_per_host_hour: price,
        bot_memory_bytes: setup.cost.memory_bytes,
        bot_cpu: setup.cost.cpu_millis as f64 / 1_000.0,
        hosts: per_host.hosts_for(bots).unwrap_or(0),
        per_host,
        bots,
        bill,
        fleet: outcome,
        of,
        prices: PRICES,
    })
}

const DEFAULT_MEETINGS: u32 = 10_000;

fn with_policy(trace: &Trace, setup: &simulate::Setup) -> Outcome {
    let [_, _, predictive, _] = simulate::contenders(setup.slots(), trace.peak());
    simulate::run(trace, setup, &predictive, &mut progress("simulating"))
}

fn table(planned: &Planned) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<22}{value}");
    };
    let PerHost { bots_per_host, binding, by_limit, budget } = &planned.per_host;
    line("Planned for", planned.of.clone());
    line("Host", format!("{}: {} vCPU, {} GiB", planned.host, planned.vcpu, planned.memory_bytes >> 30));
    line("A bot", format!("{}, {} cores", megabytes(planned.bot_memory_bytes), planned.bot_cpu));
    line("Bots per host", format!("{bots_per_host}, by {binding}"));
    for limit in by_limit {
        let bots = limit.bots.map_or_else(|| "does not matter".to_owned(), |bots| bots.to_string());
        line(&format!("  by {}", limit.limit), bots);
    }
    line("Memory for bots", format!("{} of a host", megabytes(budget.memory_bytes)));
    line("Most bots at once", planned.bots.to_string());
    line("Hosts for them", planned.hosts.to_string());
    if let Some(fleet) = &planned.fleet {
        line("Hosts at the peak", format!("{} (they come two minutes after they are asked for)", fleet.peak_hosts));
        line("Host hours", format!("{:.0}, {:.0} % of their slots used", fleet.host_hours, fleet.utilisation * 100.0));
        line(
            "Wait to join",
            format!("p50 {:.1} s, p99 {:.1} s, longest {:.1} s", fleet.wait_p50_s, fleet.wait_p99_s, fleet.wait_max_s),
        );
        line("Meetings missed", format!("{} of {}", fleet.missed, fleet.meetings));
    }
    match (planned.usd_per_host_hour, planned.bill.usd_per_month) {
        (Some(hour), Some(month)) => {
            line("Cost", format!("{month:.0} USD in 30 days, at {hour} USD per host and hour"));
            if let Some(bot) = planned.bill.usd_per_bot_hour {
                line("", format!("{bot:.4} USD per bot and hour"));
            }
            line("", planned.prices.to_owned());
        }
        _ => line("Cost", "not known: say --price USD for an hour of a host".to_owned()),
    }
    text
}

/// For the page.
pub(super) fn as_json(planned: &Planned) -> serde_json::Value {
    json!(planned)
}
