//! From the answer of the create call to the claim by a worker in another process, over Redis.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::Figure;
use crate::http::Client;
use muster_bench_kit::{self as kit, Process, Redis};

const PER_SECOND: u32 = 50;
const CALLS: usize = 1_500;
/// So many first ones warm up.
const UNCOUNTED: usize = 100;
const CONNECTIONS: usize = 8;
const SLOTS: usize = 64;

pub async fn measure() -> Result<Vec<Figure>> {
    let redis = Redis::start().await?;
    let dir = tempfile::tempdir()?;
    let (url, media) = (redis.url(), format!("file://{}", dir.path().join("media").display()));
    std::fs::create_dir(dir.path().join("media"))?;
    let settings = [
        ("MUSTER_STORE__KIND", "redis"),
        ("MUSTER_QUEUE__KIND", "redis"),
        ("MUSTER_STORE__URL", &url),
        ("MUSTER_QUEUE__URL", &url),
        ("MUSTER_STORAGE__URL", &media),
    ];
    let (api, address) = kit::muster("api", dir.path(), &settings).await?;
    let (jobs, slots) = (CALLS.to_string(), SLOTS.to_string());
    let mut worker = Process::start("our worker", &mut Process::own(&["work", &url, &jobs, &slots])?)?;
    worker.says("ready").await?;
    let answered = calls(&address).await?;
    worker.says("done").await?;
    let mut millis = Vec::with_capacity(CALLS);
    for line in worker.rest().await? {
        let (bot, at) = line.split_once(' ').context("a claim")?;
        let (call, answered) = answered.get(bot).context("a claim of nobody's")?;
        if *call >= UNCOUNTED {
            millis.push((at.parse::<i128>()? - answered) as f64 / 1e6);
        }
    }
    api.kill().await?;
    ensure!(millis.len() == CALLS - UNCOUNTED, "only {} were claimed", millis.len());
    millis.sort_by(f64::total_cmp);
    eprintln!("answer to claim: median {:.2} ms, p99 {:.2} ms", at(&millis, 0.5), at(&millis, 0.99));
    Ok(vec![
        Figure { name: "dispatch_latency_p50_ms", value: at(&millis, 0.5) },
        Figure { name: "dispatch_latency_p99_ms", value: at(&millis, 0.99) },
    ])
}

/// Calls at an even pace, whether or not earlier ones were answered; of each bot its number and when it was answered.
async fn calls(address: &str) -> Result<HashMap<String, (usize, i128)>> {
    let (idle, mut waiting) = tokio::sync::mpsc::unbounded_channel();
    for _ in 0..CONNECTIONS {
        idle.send(Client::connect(address).await?)?;
    }
    let mut turn = interval(Duration::from_secs(1) / PER_SECOND);
    turn.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut tasks: JoinSet<Result<(String, (usize, i128))>> = JoinSet::new();
    let begun = Instant::now();
    for call in 0..CALLS {
        turn.tick().await;
        let mut client = waiting.recv().await.context("a connection")?;
        let idle = idle.clone();
        tasks.spawn(async move {
            let bot = client.create().await?;
            let answered = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
            idle.send(client)?;
            Ok((bot, (call, i128::try_from(answered)?)))
        });
    }
    let mut answered = HashMap::new();
    while let Some(done) = tasks.join_next().await {
        answered.extend([done??]);
    }
    eprintln!("{:.1} creates/s", CALLS as f64 / begun.elapsed().as_secs_f64());
    Ok(answered)
}

/// The value that so large a part of the sorted ones is not above.
pub fn at(sorted: &[f64], part: f64) -> f64 {
    let rank = (sorted.len() as f64 * part).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}
