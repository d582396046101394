//! Dispatches per second, ours and theirs in turns.

use anyhow::{Context, Result};
use muster_embedded::Durability;
use muster_redis::{Link, cmd};

use crate::peers::{self, Pool};
use crate::{Figure, ours};
use muster_bench_kit::{Process, Redis};

/// Calls at a time, and places of the worker.
const CONCURRENCY: usize = 64;
const ROUNDS: usize = 3;
const OUR_JOBS: usize = 20_000;
const THEIR_JOBS: usize = 10_000;
/// One that forks, as Celery does by default, and its other two.
const POOLS: [Pool; 3] = [
    Pool { kind: "prefork", concurrency: 2, senders: 1 },
    Pool { kind: "threads", concurrency: CONCURRENCY, senders: 1 },
    Pool { kind: "solo", concurrency: 1, senders: 1 },
];

#[derive(Default)]
struct Rates {
    redis: Vec<f64>,
    embedded: Vec<f64>,
    bullmq: Vec<f64>,
    celery: Vec<f64>,
}

pub async fn measure() -> Result<Vec<Figure>> {
    let mut rates = Rates::default();
    let mut pool = POOLS[0];
    let mut best = 0.0;
    for candidate in POOLS {
        let rate = peers::celery(&fresh().await?, THEIR_JOBS / 4, candidate).await?;
        eprintln!("celery, {candidate:?}: {rate:.0}/s");
        if rate > best {
            (pool, best) = (candidate, rate);
        }
    }
    for round in 1..=ROUNDS {
        rates.redis.push(over_redis().await?);
        rates.bullmq.push(peers::bullmq(&fresh().await?, THEIR_JOBS, CONCURRENCY).await?);
        rates.celery.push(peers::celery(&fresh().await?, THEIR_JOBS, pool).await?);
        rates.embedded.push(embedded().await?);
        let last = |rates: &[f64]| rates.last().copied().unwrap_or_default();
        eprintln!(
            "round {round}: redis {:.0}/s, embedded {:.0}/s, bullmq {:.0}/s, celery {:.0}/s",
            last(&rates.redis),
            last(&rates.embedded),
            last(&rates.bullmq),
            last(&rates.celery)
        );
    }
    let [redis, embedded, bullmq, celery] = [rates.redis, rates.embedded, rates.bullmq, rates.celery].map(middle);
    Ok(vec![
        Figure { name: "dispatch_redis_per_s", value: redis },
        Figure { name: "dispatch_embedded_per_s", value: embedded },
        Figure { name: "dispatch_bullmq_per_s", value: bullmq },
        Figure { name: "dispatch_celery_per_s", value: celery },
        Figure { name: "dispatch_redis_vs_bullmq", value: redis / bullmq },
        Figure { name: "dispatch_redis_vs_celery", value: redis / celery },
        Figure { name: "dispatch_embedded_fsync_vs_redis_everysec", value: embedded / redis },
    ])
}

/// Everybody begins with an empty server.
async fn fresh() -> Result<Redis> {
    Redis::start().await
}

/// Two processes, as `muster serve api` and `muster serve worker` are.
async fn over_redis() -> Result<f64> {
    let redis = fresh().await?;
    let (url, jobs, concurrency) = (redis.url(), OUR_JOBS.to_string(), CONCURRENCY.to_string());
    let mut worker = Process::start("our worker", &mut Process::own(&["work", &url, &jobs, &concurrency])?)?;
    let mut caller = Process::start("our caller", &mut Process::own(&["create", &url, &jobs, &concurrency])?)?;
    worker.says("ready").await?;
    caller.says("ready").await?;
    let begun = std::time::Instant::now();
    caller.go().await?;
    worker.says("done").await?;
    let rate = OUR_JOBS as f64 / begun.elapsed().as_secs_f64();
    if std::env::var_os("BENCH_STATS").is_some() {
        let link = Link::new(&url)?;
        for section in ["commandstats", "cpu"] {
            let stats: String = link.run(cmd("INFO").arg(section)).await.context("the server's statistics")?;
            eprintln!("{stats}");
        }
    }
    Ok(rate)
}

async fn embedded() -> Result<f64> {
    // Beside the program and not in /tmp, which may be memory.
    let dir = tempfile::tempdir_in(disk()?)?;
    let backend = ours::embedded(dir.path(), Durability::Full)?;
    let _relay = ours::relay(&backend);
    let (seconds, _) = ours::dispatch(&backend, OUR_JOBS, CONCURRENCY).await?;
    Ok(OUR_JOBS as f64 / seconds)
}

/// A directory on a disk.
pub fn disk() -> Result<std::path::PathBuf> {
    let program = std::env::current_exe().context("the path of this program")?;
    Ok(program.parent().context("its directory")?.to_owned())
}

/// The middle one.
pub fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
