//! 10,000 bots at once over a fleet of processes with simulated bots, over Redis.

use anyhow::{Context, Result};
use serde_json::json;

use super::crowd::{self, Crowd};
use super::inbox::Inbox;
use crate::Figure;
use muster_bench_kit::{self as kit, Redis};

const BOTS: usize = 10_000;
const WORKERS: usize = 3;
/// Bots of a worker at a time.
const SLOTS: &str = "32";
/// Meetings: each has as many bots as come.
const ROOMS: usize = 400;

pub async fn ten_thousand() -> Result<Vec<Figure>> {
    let redis = Redis::start().await?;
    let dir = tempfile::tempdir()?;
    let (url, storage) = (redis.url(), format!("file://{}", dir.path().join("media").display()));
    let settings = [
        ("MUSTER_QUEUE__KIND", "redis"),
        ("MUSTER_QUEUE__URL", url.as_str()),
        ("MUSTER_STORE__KIND", "redis"),
        ("MUSTER_STORE__URL", url.as_str()),
        ("MUSTER_STORAGE__URL", storage.as_str()),
        ("MUSTER_SANDBOX__ENABLED", "true"),
        ("MUSTER_HOOKS__ALLOW_PRIVATE", "127.0.0.0/8"),
        ("MUSTER_WORKER__SIMULATED", "true"),
        ("MUSTER_WORKER__MAX_CONCURRENT_BOTS", SLOTS),
        // The queue of bots is what is tried, and not how many requests a tenant may make.
        ("MUSTER_LIMITS__REQUESTS_PER_MINUTE", "0"),
        ("MUSTER_LIMITS__MAX_WAITING", "20000"),
    ];
    std::fs::create_dir_all(dir.path().join("media"))?;
    let mut processes = Vec::new();
    let mut start = async |role: &str, name: String| -> Result<String> {
        let data = dir.path().join(name);
        std::fs::create_dir_all(&data)?;
        let (process, address) = kit::muster(role, &data, &settings).await?;
        processes.push(process);
        Ok(address)
    };
    let address = start("api", "api".into()).await?;
    start("control", "control".into()).await?;
    start("hooks", "hooks".into()).await?;
    for number in 0..WORKERS {
        start("worker", format!("worker-{number}")).await?;
    }
    let http = crowd::client()?;
    let mut inbox = Inbox::open().await?;
    let requests = (0..BOTS)
        .map(|number| {
            json!({
                "meeting_link": format!("http://{address}/sandbox/monday-{}", number % ROOMS),
                "bot_name": format!("Notes {number}"),
                "callback_url": inbox.url,
                "automatic_leave": {"in_call_recording_timeout": 2},
            })
        })
        .collect();
    let crowd = Crowd::create(&http, &address, requests, 10_000).await?;
    let last = crowd.bots.last().context("no bots")?.clone();
    eprintln!("the last one is told: {}", crowd::detail(&http, &address, &last).await?["queue"]);
    crowd.until_done(&mut inbox).await?;
    let completed = crowd.completed(&inbox, "max_duration");
    drop(processes);
    Ok(vec![Figure { name: "monday_10000_lost", value: (BOTS - completed) as f64 }])
}
