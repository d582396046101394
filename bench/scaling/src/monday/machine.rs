//! 200 bots in one second on one machine: `muster serve`, real Chromium, and as many places as admission finds.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use muster_runtime::machine::Machine;
use muster_runtime::measure;
use serde_json::json;
use tokio_util::task::AbortOnDropHandle;

use super::crowd::{self, Crowd};
use super::inbox::Inbox;
use crate::Figure;
use muster_bench_kit as kit;

const BOTS: usize = 200;
/// The first meetings are long enough for what a bot costs to be measured, in seconds; until it is, each is given what is declared.
const LONG: (usize, u32) = (12, 60);
/// The others, in seconds.
const SHORT: u32 = 5;
/// In percent of the memory of the machine or its control group: what `worker.memory_headroom` leaves by default.
const HEADROOM: u64 = 15;

pub async fn two_hundred() -> Result<Vec<Figure>> {
    let dir = tempfile::tempdir()?;
    // Slots are not to be what binds.
    let settings = [("MUSTER_WORKER__MAX_CONCURRENT_BOTS", "200"), ("MUSTER_HOOKS__ALLOW_PRIVATE", "127.0.0.0/8")];
    let (process, address) = kit::muster("all", dir.path(), &settings).await?;
    let http = crowd::client()?;
    let mut inbox = Inbox::open().await?;
    let mut requests = Vec::with_capacity(BOTS);
    for number in 0..BOTS {
        let url = format!("http://{address}/sandbox/api/rooms/standup-{number}");
        let seconds = if number < LONG.0 { LONG.1 } else { SHORT };
        let scenario = json!({
            "participants": [{"id": "ada", "name": "Ada", "speaks": [{"at": 1, "tone_hz": 440, "ms": 2000}]}],
            "timeline": [{"at": seconds, "do": "end"}],
        });
        let answer = http.put(url).json(&scenario).send().await?;
        ensure!(answer.status().is_success(), "a room answered {}", answer.status());
        let link = format!("http://{address}/sandbox/standup-{number}");
        requests.push(json!({"meeting_link": link, "bot_name": format!("Notes {number}"), "callback_url": inbox.url}));
    }
    let peak = Peak::watch(i32::try_from(process.id().context("the server has no process")?)?);
    let crowd = Crowd::create(&http, &address, requests, 200).await?;
    let last = crowd.bots.last().context("no bots")?.clone();
    let position = crowd::detail(&http, &address, &last).await?["queue"].clone();
    eprintln!("the last one is told: {position}");
    ensure!(position["position"].as_u64().is_some_and(|place| place > 1), "no position: {position}");
    crowd.until_done(&mut inbox).await?;
    let completed = crowd.completed(&inbox, "host_ended");
    let (bytes, bots) = peak.end();
    let workers = crowd::get(&http, &format!("http://{address}/api/v1/workers")).await?;
    eprintln!("the worker at the end: {}", workers["workers"][0]);
    process.kill().await?;
    let budget = Machine::here().size().memory_bytes / 100 * (100 - HEADROOM);
    eprintln!("at most {} MB in {bots} processes, of {} MB for bots", bytes / 1_000_000, budget / 1_000_000);
    let share = bytes as f64 / budget as f64;
    Ok(vec![
        Figure { name: "monday_200_completed", value: completed as f64 },
        Figure { name: "monday_200_peak_memory_share", value: share },
    ])
}

/// Looks twice a second at what everything below a process uses.
struct Peak {
    highest: tokio::sync::watch::Receiver<(u64, u32)>,
    _task: AbortOnDropHandle<()>,
}

impl Peak {
    fn watch(root: i32) -> Self {
        let (sender, highest) = tokio::sync::watch::channel((0, 0));
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_millis(500));
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let Ok(usage) = tokio::task::spawn_blocking(move || measure::usage(below(root))).await else { return };
                sender.send_modify(|(bytes, processes)| {
                    *bytes = usage.pss_bytes.max(*bytes);
                    *processes = usage.processes.max(*processes);
                });
            }
        });
        Self { highest, _task: AbortOnDropHandle::new(task) }
    }

    fn end(self) -> (u64, u32) {
        *self.highest.borrow()
    }
}

/// Every descendant of a process.
fn below(root: i32) -> Vec<i32> {
    let parents: Vec<(i32, i32)> = std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let pid: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            // The name in parentheses may hold anything.
            let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
            Some((pid, parent))
        })
        .collect();
    let mut found = vec![root];
    let mut next = 0;
    while next < found.len() {
        let parent = found[next];
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    found.remove(0);
    found
}
