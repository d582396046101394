//! From the outbox to the queue.
//!
//! A commit leaves its jobs and webhooks in the store; the relay of the process that committed is told and publishes them.
//! The relay of the process that leads also sweeps: for what waits for its time, and for what a crash between commit and
//! publication left behind. Two may publish the same; the queue takes it once, or whoever receives it finds it stale.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use muster_session::BotId;
use muster_session::job::{Job, Topic};
use muster_store::OutboxJob;
use tokio::time::MissedTickBehavior;

use super::Backend;
use super::leader::Leadership;
use crate::supervise::Shutdown;

/// How often the one that leads looks without being told.
const SWEEP: Duration = Duration::from_millis(500);
const BATCH: u32 = 256;
/// So far it is looked past jobs whose queue takes none.
const FURTHEST: u32 = 16 * BATCH;

/// Runs until shutdown.
pub async fn run(backend: Backend, leadership: Option<Leadership>, shutdown: Shutdown) -> anyhow::Result<()> {
    let mut ticks = tokio::time::interval(SWEEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // What an earlier run of this may have left behind.
    let mut more = true;
    loop {
        tokio::select! {
            biased;
            _ = ticks.tick(), if leadership.is_some() => {
                if leadership.as_ref().is_some_and(Leadership::holds) {
                    more = sweep(&backend).await?;
                }
            }
            () = backend.nudge.said() => more |= pass_on(&backend).await?,
            () = std::future::ready(()), if more => more = publish_jobs(&backend).await?,
            () = shutdown.ended() => return Ok(()),
        }
    }
}

/// Publishes what this process told of; true if there may be more in the outbox.
async fn pass_on(backend: &Backend) -> anyhow::Result<bool> {
    let news = backend.nudge.take();
    let (more, delivered) = tokio::join!(
        async { if news.jobs { publish_jobs(backend).await } else { Ok(false) } },
        publish_bots(backend, news.bots),
    );
    delivered.and(more)
}

/// Publishes everything that is due; true if there may be more in the outbox.
async fn sweep(backend: &Backend) -> anyhow::Result<bool> {
    let webhooks = async {
        let bots = backend.store.bots_with_due_deliveries(backend.clock.now(), BATCH).await;
        let bots = bots.context("reading due deliveries")?;
        if bots.is_empty() || is_told_enough(backend).await? {
            return Ok(());
        }
        publish_bots(backend, bots).await
    };
    let (more, delivered) = tokio::join!(publish_jobs(backend), webhooks);
    delivered.and(more)
}

/// True where the queue does not know a message that it has already, and has many of these: what nobody receives would be added
/// to twice a second. They are looked for again.
async fn is_told_enough(backend: &Backend) -> anyhow::Result<bool> {
    if backend.queue.limits().deduplicates {
        return Ok(false);
    }
    let depth = backend.queue.depth(Topic::Deliveries).await.context("looking how many deliveries wait")?;
    Ok(depth.ready >= u64::from(BATCH))
}

/// Publishes a batch of what is due in the outbox; true if there may be more.
async fn publish_jobs(backend: &Backend) -> anyhow::Result<bool> {
    // A topic whose queue is in trouble keeps no other waiting, however many of its jobs are before theirs.
    let mut failed: BTreeMap<Topic, anyhow::Error> = BTreeMap::new();
    let mut limit = BATCH;
    loop {
        let jobs = backend.store.outbox(backend.clock.now(), limit).await.context("reading the outbox")?;
        let more = jobs.len() >= limit as usize;
        let mut topics: BTreeMap<Topic, Vec<OutboxJob>> = BTreeMap::new();
        for entry in jobs {
            topics.entry(entry.job.topic()).or_default().push(entry);
        }
        for (topic, jobs) in topics {
            if failed.contains_key(&topic) {
                continue;
            }
            if let Err(error) = publish(backend, jobs).await.with_context(|| format!("publishing {}", topic.as_str())) {
                failed.insert(topic, error);
            }
        }
        if !more || failed.is_empty() || limit >= FURTHEST {
            return failed.into_values().next().map_or(Ok(more), Err);
        }
        limit *= 4;
    }
}

async fn publish_bots(backend: &Backend, bots: impl IntoIterator<Item = BotId>) -> anyhow::Result<()> {
    let deliver = |bot| (Job::Deliver { bot }, Some(format!("deliver:{bot}")));
    let jobs: Vec<_> = bots.into_iter().map(deliver).collect();
    match jobs.is_empty() {
        true => Ok(()),
        false => backend.queue.send_all(jobs).await.context("publishing deliveries"),
    }
}

/// Jobs of one topic, which are in its queue before they are out of the outbox.
async fn publish(backend: &Backend, jobs: Vec<OutboxJob>) -> anyhow::Result<()> {
    let ids: Vec<u64> = jobs.iter().map(|entry| entry.id).collect();
    backend.queue.send_all(jobs.into_iter().map(keyed).collect()).await?;
    Ok(backend.store.outbox_done(&ids).await?)
}

/// Not the id alone: a store that was restored from a copy counts on from before, and the queue is not part of it.
fn keyed(entry: OutboxJob) -> (Job, Option<String>) {
    let key = format!("outbox:{}:{}:{}", entry.id, entry.due.as_millis(), entry.job.bot());
    (entry.job, Some(key))
}
