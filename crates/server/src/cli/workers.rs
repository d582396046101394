//! `muster workers`: the workers of a running fleet.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use jiff::tz::TimeZone;
use serde_json::Value;

use super::bots::Connection;
use super::bots::client::segment;
use super::bots::text::{date_time, print_answer, print_line, short, table};

const HOST_CHARS: usize = 30;
/// It does not say.
const NOTHING: &str = "-";

/// Arguments of `muster workers`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  muster workers list\n  muster workers costs\n  muster workers drain worker-5d1f0c6e2b8a4f73\n\nThe API key is read from MUSTER_API_KEY; it has to be one of the tenant `default`."
)]
pub struct WorkersArgs {
    #[command(flatten)]
    to: Connection,
    #[command(subcommand)]
    command: WorkersCommand,
}

#[derive(Debug, Subcommand)]
enum WorkersCommand {
    /// Every worker: where it is, how many bots it has, for how many more it has room and by what limit, how busy it is, and
    /// when it was heard of.
    List,
    /// What bots cost by platform and mode, as they were measured (the 95th percentile), and from how many that is known.
    Costs,
    /// Make a worker take no more bots. Its calls go on for `worker.drain_deadline` at most, and the process stays until it
    /// is stopped.
    Drain {
        /// The worker's id, as `list` says it.
        #[arg(value_name = "ID", value_parser = worker_id)]
        worker: String,
    },
}

fn worker_id(text: &str) -> Result<String, String> {
    segment(text, "a worker's id has letters, digits, - and _; `muster workers list` shows them")
}

/// Runs a command and answers the exit code.
///
/// # Errors
///
/// Whatever kept the server from doing it, with the way to mend it.
pub async fn run(args: WorkersArgs) -> anyhow::Result<ExitCode> {
    let json = args.to.json;
    let client = args.to.client()?;
    match args.command {
        WorkersCommand::List => {
            let (_, answer) = client.get("workers", &[]).await?;
            match json {
                true => print_line(&answer["workers"].to_string()),
                false => lines(&answer, &TimeZone::system()).iter().for_each(|line| print_line(line)),
            }
        }
        WorkersCommand::Costs => {
            let (_, answer) = client.get("workers/costs", &[]).await?;
            match json {
                true => print_line(&answer["costs"].to_string()),
                false => costs(&answer).iter().for_each(|line| print_line(line)),
            }
        }
        WorkersCommand::Drain { worker } => {
            let (_, answer) = client.post(&format!("workers/{worker}/drain"), &Value::Null, None).await?;
            print_answer(&answer, json, "The worker will take no more bots");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// How many it has and can have; simulated ones are called so.
fn bots(worker: &Value) -> String {
    let simulated = if worker["simulated"] == true { " simulated" } else { "" };
    format!("{}/{}{simulated}", worker["running"], worker["capacity"])
}

fn percent(value: &Value) -> String {
    value.as_u64().map_or_else(|| NOTHING.to_owned(), |value| format!("{value} %"))
}

fn costs(answer: &Value) -> Vec<String> {
    let costs = answer["costs"].as_array().map(Vec::as_slice).unwrap_or_default();
    if costs.is_empty() {
        return vec!["Nothing was learned yet: worker.bot_memory and worker.bot_cpu are held for each bot.".to_owned()];
    }
    let mut rows = vec![["KIND", "MEMORY", "CORES", "BOTS"].map(str::to_owned).to_vec()];
    rows.extend(costs.iter().map(|cost| {
        let number = |key: &str| cost[key].as_u64().unwrap_or_default();
        let millis = number("cpu_millis");
        vec![
            short(cost["kind"].as_str().unwrap_or_default(), HOST_CHARS),
            format!("{} MB", number("memory_bytes").div_ceil(1_000_000)),
            format!("{}.{:03}", millis / 1_000, millis % 1_000),
            number("bots").to_string(),
        ]
    }));
    table(&rows)
}

fn lines(answer: &Value, zone: &TimeZone) -> Vec<String> {
    let workers = answer["workers"].as_array().map(Vec::as_slice).unwrap_or_default();
    if workers.is_empty() {
        return vec!["No workers.".to_owned()];
    }
    let header = ["ID", "STATUS", "BOTS", "ROOM", "LIMIT", "CPU", "MEMORY", "HOST", "VERSION", "SEEN"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    rows.extend(workers.iter().map(|worker| {
        let text = |key: &str| worker[key].as_str().unwrap_or_default();
        vec![
            text("worker_id").to_owned(),
            text("status").to_owned(),
            bots(worker),
            worker["room"].to_string(),
            short(worker["limit"].as_str().unwrap_or(NOTHING), HOST_CHARS),
            percent(&worker["cpu_percent"]),
            percent(&worker["memory_percent"]),
            short(text("host"), HOST_CHARS),
            text("version").to_owned(),
            date_time(text("seen_at"), zone),
        ]
    }));
    table(&rows)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_worker_is_a_line() {
        let worker = json!({"worker_id": "w", "status": "active", "running": 2, "capacity": 8, "host": "h", "room": 3,
            "limit": "cpu", "cpu_percent": 40, "memory_percent": 55, "version": "1", "seen_at": "2026-01-31T09:00:00.000Z"});
        let want = [
            "ID  STATUS  BOTS  ROOM  LIMIT  CPU   MEMORY  HOST  VERSION  SEEN",
            "w   active  2/8   3     cpu    40 %  55 %    h     1        2026-01-31 09:00:00",
        ];
        assert_eq!(lines(&json!({"workers": [worker]}), &TimeZone::UTC), want);
        let simulated = json!({"workers": [{"running": 2, "capacity": 8, "simulated": true}]});
        assert!(lines(&simulated, &TimeZone::UTC)[1].contains("2/8 simulated"), "called what it is");
        assert_eq!(lines(&json!({"workers": []}), &TimeZone::UTC), ["No workers."]);
    }

    #[test]
    fn a_kind_is_a_line() {
        let cost = json!({"kind": "zoom/live", "memory_bytes": 350_000_001, "cpu_millis": 1_050, "bots": 40});
        let want = ["KIND       MEMORY  CORES  BOTS", "zoom/live  351 MB  1.050  40"];
        assert_eq!(costs(&json!({"costs": [cost]})), want);
        assert!(costs(&json!({"costs": []}))[0].starts_with("Nothing was learned yet"));
    }

    #[test]
    fn an_id_stays_in_its_segment() {
        assert!(worker_id("worker-1_a").is_ok());
        for bad in ["", "../bots", "a b", "a?b"] {
            assert!(worker_id(bad).is_err(), "{bad}");
        }
    }
}
