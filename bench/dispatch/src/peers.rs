//! Other people's queues, each at its best: what does one run of so many jobs take?

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use muster_redis::{Link, cmd};
use tokio::process::Command;

use crate::ours;
use muster_bench_kit::{Process, Redis};

/// How Celery's worker runs tasks.
#[derive(Clone, Copy, Debug)]
pub struct Pool {
    pub kind: &'static str,
    pub concurrency: usize,
    pub senders: usize,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Jobs per second from the first `add` to the last that is completed.
pub async fn bullmq(redis: &Redis, jobs: usize, concurrency: usize) -> Result<f64> {
    let start = |part: &str| {
        let mut command = Command::new("node");
        // Modules are looked for beside the script, so it is copied there by the set-up.
        command.arg(root().join(".tools/bullmq").join(part));
        command.args([usize::from(redis.port), jobs, concurrency].map(|number| number.to_string()));
        command.env("PAYLOAD", ours::request().to_string()).env("NODE_ENV", "production");
        Process::start(&format!("bullmq's {part}"), &mut command)
    };
    let (mut worker, mut caller) = (start("work.mjs")?, start("create.mjs")?);
    worker.says("ready").await?;
    caller.says("ready").await?;
    let begun = Instant::now();
    caller.go().await?;
    worker.says("done").await?;
    Ok(jobs as f64 / begun.elapsed().as_secs_f64())
}

/// Tasks per second from the first that is sent to the last that is acknowledged.
pub async fn celery(redis: &Redis, tasks: usize, pool: Pool) -> Result<f64> {
    let python = root().join(".tools/venv-celery/bin/python");
    let command = |arguments: &[&str]| {
        let mut command = Command::new(&python);
        command.args(arguments).current_dir(root().join("bench/dispatch/peers/celery"));
        command.env("DISPATCH_PORT", redis.port.to_string()).env("PAYLOAD", ours::request().to_string());
        command.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONUNBUFFERED", "1");
        command
    };
    let concurrency = pool.concurrency.to_string();
    let mut work = command(&["-m", "celery", "-A", "dispatch", "worker", "-P", pool.kind, "-c", &concurrency]);
    work.args(["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "WARNING"]);
    work.stderr(std::process::Stdio::null());
    let _worker = Process::start("celery's worker", &mut work)?;
    let mut send = command(&["dispatch.py", &tasks.to_string(), &pool.senders.to_string()]);
    let mut caller = Process::start("celery's caller", &mut send)?;
    caller.says("ready").await?;
    let link = Link::new(&redis.url())?;
    // One task shows that the worker is there.
    caller.go().await?;
    caller.says("warm").await?;
    until_idle(&link).await?;
    let begun = Instant::now();
    caller.go().await?;
    caller.says("done").await?;
    until_idle(&link).await?;
    Ok(tasks as f64 / begun.elapsed().as_secs_f64())
}

/// Until nothing waits and everything that was taken is acknowledged.
async fn until_idle(link: &Link) -> Result<()> {
    let begun = Instant::now();
    loop {
        let waiting: usize = link.run(cmd("LLEN").arg("celery")).await.context("asking Celery's broker")?;
        let taken: usize = link.run(cmd("HLEN").arg("unacked")).await.context("asking Celery's broker")?;
        if waiting + taken == 0 {
            return Ok(());
        }
        ensure!(begun.elapsed() < Duration::from_secs(300), "celery does not get done: {waiting} wait, {taken} taken");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
