//! From the outbox to the queue.
//!
//! A commit leaves its jobs and webhooks in the store; the relay of the process that committed is woken and publishes them.
//! The relay of the process that leads also sweeps: for what waits for its time, and for what a crash between commit and
//! publication left behind. Two may publish the same; the queue takes it once, or whoever receives it finds it stale.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use muster_session::job::{Job, Topic};
use muster_store::OutboxJob;

use super::Backend;
use super::leader::Leadership;
use crate::supervise::Shutdown;

/// How often the one that leads looks without being woken.
const SWEEP: Duration = Duration::from_millis(500);
const BATCH: u32 = 256;

/// Runs until shutdown.
pub async fn run(backend: Backend, leadership: Option<Leadership>, shutdown: Shutdown) -> anyhow::Result<()> {
    loop {
        let woken = backend.nudge.notified();
        let moved = step(&backend).await?;
        if moved >= BATCH as usize {
            continue;
        }
        tokio::select! {
            biased;
            () = woken => {}
            () = time_to_sweep(leadership.as_ref()) => {}
            () = shutdown.ended() => return Ok(()),
        }
    }
}

async fn time_to_sweep(leadership: Option<&Leadership>) {
    let Some(leadership) = leadership else { return std::future::pending().await };
    loop {
        tokio::time::sleep(SWEEP).await;
        if leadership.holds() {
            return;
        }
    }
}

/// Publishes what is due; answers how much.
pub async fn step(backend: &Backend) -> anyhow::Result<usize> {
    let mut moved = 0;
    let now = backend.clock.now();
    let (jobs, bots) =
        tokio::join!(backend.store.outbox(now, BATCH), backend.store.bots_with_due_deliveries(now, BATCH));
    // A topic whose queue is in trouble keeps no other waiting.
    let mut failed = None;
    let mut topics: BTreeMap<Topic, Vec<OutboxJob>> = BTreeMap::new();
    for entry in jobs.context("reading the outbox")? {
        topics.entry(entry.job.topic()).or_default().push(entry);
    }
    for (topic, jobs) in topics {
        match publish(backend, jobs).await.with_context(|| format!("publishing {}", topic.as_str())) {
            Ok(published) => moved += published,
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    let bots = bots.context("reading due deliveries")?;
    if !bots.is_empty() {
        let deliver = |bot| (Job::Deliver { bot }, Some(format!("deliver:{bot}")));
        backend.queue.send_all(bots.into_iter().map(deliver).collect()).await.context("publishing deliveries")?;
    }
    failed.map_or(Ok(moved), Err)
}

/// Jobs of one topic, which are in its queue before they are out of the outbox.
async fn publish(backend: &Backend, jobs: Vec<OutboxJob>) -> anyhow::Result<usize> {
    let ids: Vec<u64> = jobs.iter().map(|entry| entry.id).collect();
    backend.queue.send_all(jobs.into_iter().map(keyed).collect()).await?;
    backend.store.outbox_done(&ids).await?;
    Ok(ids.len())
}

/// Not the id alone: a store that was restored from a copy counts on from before, and the queue is not part of it.
fn keyed(entry: OutboxJob) -> (Job, Option<String>) {
    let key = format!("outbox:{}:{}:{}", entry.id, entry.due.as_millis(), entry.job.bot());
    (entry.job, Some(key))
}
