//! Webhooks taken a second, over those of an empty handler, and how long their senders wait.

use std::path::Path;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::load::Measured;
use crate::{Figure, middle};
use muster_bench_kit::{Process, Redis};

const ROUNDS: usize = 3;
const SECONDS: f64 = 4.0;
/// Each sends its next one when the last was answered.
const CONNECTIONS: usize = 256;

pub async fn measure() -> Result<Vec<Figure>> {
    let (mut empty, mut redis, mut embedded, mut full) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        let ceiling = run("empty", "-", 0.0).await?;
        let server = Redis::start().await?;
        let over_redis = run("redis", &server.url(), 0.0).await?;
        drop(server);
        let over_embedded = on_disk(0.0).await?;
        eprintln!(
            "round {round}: empty {:.0}/s, redis {:.0}/s (p99 {:.1} ms), embedded {:.0}/s (p99 {:.1} ms)",
            ceiling.per_second,
            over_redis.per_second,
            over_redis.p99_ms,
            over_embedded.per_second,
            over_embedded.p99_ms
        );
        empty.push(ceiling.per_second);
        redis.push(over_redis.per_second);
        embedded.push(over_embedded.per_second);
        full.push(over_embedded.p99_ms);
    }
    let [empty, redis, embedded, full] = [empty, redis, embedded, full].map(middle);
    let mut half = Vec::new();
    for _ in 0..ROUNDS {
        let measured = on_disk(embedded / 2.0).await?;
        eprintln!(
            "half load: {:.0}/s, median {:.2} ms, p99 {:.2} ms",
            measured.per_second, measured.p50_ms, measured.p99_ms
        );
        half.push(measured.p99_ms);
    }
    Ok(vec![
        Figure { name: "ingest_redis_vs_ceiling", value: redis / empty },
        Figure { name: "ingest_embedded_vs_ceiling", value: embedded / empty },
        Figure { name: "ingest_p99_ms_half_load", value: middle(half) },
        Figure { name: "ingest_p99_ms_full_load", value: full },
        Figure { name: "ingest_redis_per_s", value: redis },
        Figure { name: "ingest_embedded_per_s", value: embedded },
    ])
}

async fn on_disk(rate: f64) -> Result<Measured> {
    let dir = disk()?;
    run("embedded", &dir.path().display().to_string(), rate).await
}

/// A directory that is on a disk, which /tmp may not be.
pub fn disk() -> Result<TempDir> {
    let beside = std::env::current_exe()?;
    let dir = beside.parent().unwrap_or(Path::new("."));
    tempfile::tempdir_in(dir).context("a directory on disk")
}

async fn run(backend: &str, place: &str, rate: f64) -> Result<Measured> {
    let mut taker = Process::start(backend, &mut Process::own(&["taker", backend, place])?)?;
    let address = taker.line(|line| Some(line.strip_prefix("listening on ")?.to_owned())).await?;
    // The first second warms up.
    load(&address, 1.0, rate).await?;
    let measured = load(&address, SECONDS, rate).await?;
    taker.kill().await?;
    Ok(measured)
}

async fn load(address: &str, seconds: f64, rate: f64) -> Result<Measured> {
    let arguments =
        ["load", address, &CONNECTIONS.to_string(), &seconds.to_string(), &rate.to_string()].map(str::to_owned);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let lines = Process::start("the load", &mut Process::own(&arguments)?)?.rest().await?;
    let numbers = lines.last().context("the load says nothing")?;
    let numbers: Vec<f64> =
        numbers.split(' ').map(str::parse).collect::<Result<_, _>>().context("what was measured")?;
    let [per_second, p50_ms, p99_ms] = numbers[..] else { anyhow::bail!("three numbers were expected") };
    Ok(Measured { per_second, p50_ms, p99_ms })
}
