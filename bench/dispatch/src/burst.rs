//! 10,000 create calls at once over 200 connections, to one process with the embedded backend, every write on disk.

use std::time::Instant;

use anyhow::Result;
use tokio::task::JoinSet;

use crate::Figure;
use crate::http::Client;
use crate::latency::at;
use crate::throughput;
use muster_bench_kit as kit;

const CALLS: usize = 10_000;
const CONNECTIONS: usize = 200;

pub async fn measure() -> Result<Vec<Figure>> {
    let dir = tempfile::tempdir_in(throughput::disk()?)?;
    // The worker's one place is soon taken by a bot that never gets ready; everything else goes on as always.
    let settings = [("MUSTER_WORKER__MAX_CONCURRENT_BOTS", "1"), ("MUSTER_WORKER__LAUNCH_DEADLINE", "5m")];
    let (process, address) = kit::muster("all", dir.path(), &settings).await?;
    let mut clients = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        clients.push(Client::connect(&address).await?);
    }
    let begun = Instant::now();
    let mut tasks: JoinSet<Result<Vec<f64>>> = JoinSet::new();
    for mut client in clients {
        tasks.spawn(async move {
            let mut millis = Vec::with_capacity(CALLS / CONNECTIONS);
            for _ in 0..CALLS / CONNECTIONS {
                let asked = Instant::now();
                client.create().await?;
                millis.push(asked.elapsed().as_secs_f64() * 1e3);
            }
            Ok(millis)
        });
    }
    let mut millis = Vec::with_capacity(CALLS);
    while let Some(done) = tasks.join_next().await {
        millis.extend(done??);
    }
    let seconds = begun.elapsed().as_secs_f64();
    process.kill().await?;
    millis.sort_by(f64::total_cmp);
    eprintln!(
        "{CALLS} creates over {CONNECTIONS} connections: {:.0}/s, median {:.1} ms, p99 {:.1} ms",
        CALLS as f64 / seconds,
        at(&millis, 0.5),
        at(&millis, 0.99)
    );
    Ok(vec![Figure { name: "create_p99_ms_burst_10000", value: at(&millis, 0.99) }])
}
