use clap::Parser;
use serde_json::{Value, json};

use super::plan::{self, PlanArgs};
use super::simulate::{self, SimulateArgs};
use super::*;
use crate::config::Sources;

#[derive(Debug, Parser)]
struct Plan {
    #[command(flatten)]
    args: PlanArgs,
}

#[derive(Debug, Parser)]
struct Simulate {
    #[command(flatten)]
    args: SimulateArgs,
}

fn plan(flags: &[&str]) -> anyhow::Result<plan::Planned> {
    plan::plan(&Plan::try_parse_from([&["plan"], flags].concat())?.args)
}

fn table(flags: &[&str]) -> String {
    plan_text::table(&plan(flags).unwrap())
}

#[test]
fn the_guide_s_own_question() {
    let flags = "--host c5.4xlarge --bots 500 --bot-memory 1.5GB --bot-cpu 1 --json";
    let planned = plan(&flags.split(' ').collect::<Vec<_>>()).unwrap();
    let answer: Value = serde_json::to_value(&planned).unwrap();
    let bots = answer["bots_per_host"].as_u64().unwrap();
    assert!((15..=20).contains(&bots), "{answer}");
    assert_eq!(answer["hosts"], 500_u64.div_ceil(bots));
    assert_eq!(answer["binding"], "cpu");
    insta::assert_snapshot!(plan_text::table(&planned), @r"
    Planned for         500 bots at once
    Host                c5.4xlarge: 16 vCPU, 32 GiB
    A bot               1.50 GB, 1 cores
    Bots per host       16, by cpu
      by slots          does not matter
      by memory         19
      by cpu            16
      by descriptors    62468
      by shared_memory  268
    Memory for bots     29.21 GB of a host
    Most bots at once   500
    Hosts for them      32
    A host              0.68 USD per hour (on demand, us-east-1, 2025-01; --price says another)
    Cost                522 USD a day, 3656 a week, 15667 in 30 days
                        0.0435 USD per bot and hour
    ");
}

#[test]
fn a_size_without_a_price_and_limits_of_one_s_own() {
    insta::assert_snapshot!(table(&["--host", "8cpu,16GiB", "--bots", "50", "--bot-memory", "250MB", "--bot-cpu", "0.25", "--slots", "24"]), @r"
    Planned for         50 bots at once
    Host                8cpu,16GiB: 8 vCPU, 16 GiB
    A bot               250 MB, 0.25 cores
    Bots per host       24, by slots
      by slots          24
      by memory         58
      by cpu            32
      by descriptors    62468
      by shared_memory  134
    Memory for bots     14.60 GB of a host
    Most bots at once   50
    Hosts for them      3
    Cost                not known: say --price USD for an hour of a host
    ");
    let shm = plan(&["--bots", "1", "--shm", "64MiB", "--bot-shm", "8MiB"]).unwrap();
    assert_eq!((shm.per_host.bots_per_host, shm.per_host.binding.as_str()), (8, "shared_memory"));
    let files = plan(&["--bots", "1", "--descriptors", "624", "--price", "2"]).unwrap();
    assert_eq!((files.per_host.bots_per_host, files.per_host.binding.as_str()), (7, "descriptors"));
    assert_eq!(files.bill.usd_per_week, Some(336.0));
}

#[test]
fn a_week_is_planned_and_compared() {
    insta::assert_snapshot!(table(&["--profile", "weekday", "--meetings", "2000"]), @r"
    Planned for         the built-in working week of 2000 meetings (seed 1)
    Host                c5.4xlarge: 16 vCPU, 32 GiB
    A bot               1.50 GB, 1 cores
    Bots per host       16, by cpu
      by slots          does not matter
      by memory         19
      by cpu            16
      by descriptors    62468
      by shared_memory  268
    Memory for bots     29.21 GB of a host
    Most bots at once   56
    Hosts for them      4
    Hosts at the peak   5, with the room that is kept free
    Host hours          287, 29 % of their slots used
    Wait to join        p50 0.0 s, p99 9.6 s, longest 10.0 s
    Meetings missed     0 of 2000
    A host              0.68 USD per hour (on demand, us-east-1, 2025-01; --price says another)
    Cost                28 USD a day, 195 a week, 837 in 30 days
                        if every 7 days are like these (--days says another number for a file)
                        0.1456 USD per bot and hour
    ");
    let args = Simulate::parse_from([
        "simulate",
        "--meetings",
        "2000",
        "--policy",
        "guide",
        "--policy",
        "predictive",
        "--policy",
        "configured",
    ])
    .args;
    let compared = simulate::compare(&args, &Sources::default()).unwrap();
    insta::assert_snapshot!(simulate::table(&compared), @r"
    the built-in working week of 2000 meetings (seed 1): at most 56 at once, on c5.4xlarge with 16 bots each

    policy       p50 wait   p99 wait  scheduled     ad hoc    longest     missed     killed host hours peak hosts       used    changes  reversals
    guide           0.0 s    238.8 s    237.4 s    239.7 s      240 s          0          0        277          5       30 %         83         12
    predictive      0.0 s      9.6 s      0.0 s     10.0 s       10 s          0          0        287          5       29 %         40          0
    configured      0.0 s      9.7 s      0.0 s    115.0 s      119 s          0          0        276          5       30 %         77         11

    Waits are from when a bot was to be there until it was in its call, or until that was over if it never was; scheduled and ad hoc: p99.
    Missed: later than 5 minutes, or not at all. Killed: calls that ended with their worker.
    Reversals: changes of the number of hosts that were changed back within 10 minutes.
    ");
    let answer: Value = serde_json::to_value(&compared).unwrap();
    assert_eq!(answer["policies"][1]["policy"], "predictive");
    assert_eq!(answer["policies"][0]["wait_by_percent_s"].as_array().map(Vec::len), Some(101));
}

#[test]
fn what_is_configured_is_tried() {
    let flags = ["simulate", "--meetings", "300", "--policy", "predictive", "--policy", "configured"];
    let args = Simulate::parse_from(flags).args;
    let compare = |text: &str| {
        let sources = Sources { file: Some(("muster.toml".into(), text.to_owned())), ..Sources::default() };
        simulate::compare(&args, &sources)
    };
    let answer = compare("[autoscale]\npolicy = \"predictive\"\nslots_per_worker = 16\nmax_workers = 1\n").unwrap();
    let answer = serde_json::to_value(answer).unwrap();
    let [preset, own] = [0, 1].map(|place| &answer["policies"][place]);
    assert_eq!(
        (&own["policy"], &own["host_hours"]),
        (&json!("configured"), &preset["host_hours"]),
        "without its most workers"
    );
    let error = format!("{:#}", compare("[autoscale]\nactive_out = 101\n").unwrap_err());
    assert!(error.contains("autoscale.active_out: expected an integer from 0 to 100"), "{error}");
}

#[test]
fn a_file_stands_for_whole_days_and_weeks() {
    let hours = |hours: u64| stands_for(Duration::from_secs(hours * 3_600));
    assert_eq!([1, 24, 25, 96, 97, 105, 168, 169].map(hours), [1.0, 1.0, 2.0, 4.0, 7.0, 7.0, 7.0, 14.0]);
}

#[test]
fn bad_input_names_the_flag_and_what_was_expected() {
    for (flags, wanted) in [
        (&["--host", "c5.huge"][..], "c5.4xlarge"),
        (&["--bot-memory", "1.5"], "a size such as 1.5GB"),
        (&["--bot-cpu", "none"], "a number of cores such as 1 or 0.25"),
        (&["--bots", "0"], "1..=10000000"),
        (&["--bots", "1", "--meetings", "2"], "cannot be used with"),
        (&["--measured", "--bot-cpu", "1"], "cannot be used with"),
        (&["--headroom", "91"], "0..=90"),
        (&["--profile", "holiday"], "weekday"),
        (&["--days", "3"], "--trace"),
        (&["--price", "much"], "USD per hour"),
        (&["--host", "1cpu,1GiB", "--bots", "1"], "--host: not one such bot fits on 1cpu,1GiB (memory)"),
    ] {
        let error = format!("{:#}", plan(flags).unwrap_err());
        assert!(error.contains(wanted), "{flags:?}: {error}");
    }
    assert!(Simulate::try_parse_from(["simulate", "--policy", "magic"]).is_err());
}

#[test]
fn pages_have_plots_and_no_scripts() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name).display().to_string();
    let plan = Plan::parse_from(["plan", "--meetings", "300", "--json", "--html", &file("plan.html")]);
    plan::run(&plan.args).unwrap();
    let simulate = Simulate::parse_from(["simulate", "--meetings", "300"]);
    let compared = simulate::compare(&simulate.args, &Sources::default()).unwrap();
    std::fs::write(file("week.html"), page::of_comparison(&compared).unwrap()).unwrap();
    for (name, plots) in [("plan.html", 3), ("week.html", 8)] {
        let page = std::fs::read_to_string(file(name)).unwrap();
        assert_eq!(page.matches("<svg").count(), plots, "{name}");
        assert!(!page.contains("<script") && !page.contains("src=") && page.contains("predictive"), "{name}");
        for colour in [chart::COLOURS[0], chart::GRID] {
            assert!(page.contains(&format!(" stroke=\"{colour}\" ")), "{name}: plots have what the page recolours");
        }
    }
}

#[test]
fn a_trace_that_cannot_be_read_says_where() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("meetings.csv");
    let read = |text: &str, more: &[&str]| {
        std::fs::write(&path, text).unwrap();
        plan(&[&["--trace", path.to_str().unwrap()], more].concat())
    };
    let error = format!("{:#}", read("start,duration_s\n0,sixty\n", &[]).unwrap_err());
    assert!(error.contains("--trace: ") && error.contains("meetings.csv: line 2: duration_s"), "{error}");
    let error = format!("{:#}", read("start,duration_s\n", &[]).unwrap_err());
    assert!(error.contains("has no meetings"), "{error}");
    let once = read("start,duration_s\n0,3600\n90000,3600\n", &[]).unwrap();
    let rarely = read("start,duration_s\n0,3600\n90000,3600\n", &["--days", "4"]).unwrap();
    assert_eq!(once.bill.usd_per_day, rarely.bill.usd_per_day.map(|usd| usd * 2.0), "two days, or four");
    let missing = format!("{:#}", plan(&["--trace", "/nowhere.csv"]).unwrap_err());
    assert!(missing.contains("--trace: /nowhere.csv"), "{missing}");
}

#[test]
fn costs_are_those_that_were_learned() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("costs.json");
    let with = |text: &str| {
        std::fs::write(&path, text).unwrap();
        plan(&["--bots", "10", "--costs", path.to_str().unwrap()])
    };
    let planned = with(
        r#"[{"kind": "zoom/live", "memory_bytes": 300000000, "cpu_millis": 100, "bots": 40},
            {"kind": "meet/live", "memory_bytes": 200000000, "cpu_millis": 400, "bots": 30}]"#,
    );
    let planned = planned.unwrap();
    assert_eq!((planned.bot_memory_bytes, planned.bot_cpu), (300_000_000, 0.4), "the most of each");
    for (text, wanted) in [("[]", "nothing was learned yet"), ("{}", "muster workers costs --json")] {
        let error = format!("{:#}", with(text).unwrap_err());
        assert!(error.contains(wanted) && error.contains("--costs: "), "{error}");
    }
}
