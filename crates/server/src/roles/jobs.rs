//! Jobs of a topic: received as there is room, held while they are worked on, settled after.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use muster_queue::{JobDelivery, QueueError};
use muster_session::Timestamp;
use muster_session::job::{Job, Topic};
use muster_store::StoreError;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{ApplyError, Backend};
use crate::supervise::Shutdown;

/// The job is held for this long at a time while the work goes on. So long it waits when the process that has it is killed.
const LEASE: Duration = Duration::from_secs(30);
const WAIT: Duration = Duration::from_secs(20);
/// Pause after trouble with the queue.
const QUEUE_RETRY: Duration = Duration::from_secs(1);
/// Pause before another try at what failed.
const RETRY: Duration = Duration::from_secs(5);
/// After this many receives a failure is final.
const TRIES: u32 = 4;
/// More receives mean that whoever has it dies of it. Not all of them need have been a try: an answer may be lost on its way.
const MAX_RECEIVES: u32 = 10;

/// What is done with the jobs of a topic. Idempotent: a job may come again after it was done.
#[async_trait]
pub(super) trait Work: Clone + Send + Sync + 'static {
    /// Of which jobs it is.
    const TOPIC: Topic;

    /// Jobs at a time.
    fn concurrency(&self) -> usize;

    /// The work of one job. On its `last` try nobody tries again after a failure. Dropped when the job is lost.
    async fn step(&self, backend: &Backend, job: &Job, last: bool) -> anyhow::Result<()>;

    /// A job that never came back from its last try, because the process ended each time, is set aside for this reason.
    async fn give_up(&self, backend: &Backend, job: &Job, reason: &str);
}

/// Runs until shutdown; running jobs are finished first.
pub(super) async fn run<W: Work>(backend: Backend, work: W, shutdown: Shutdown) -> anyhow::Result<()> {
    let slots = Arc::new(Semaphore::new(work.concurrency()));
    let mut jobs = JoinSet::new();
    loop {
        let permit = tokio::select! {
            biased;
            permit = slots.clone().acquire_owned() => permit.context("the slots are never closed")?,
            () = shutdown.ended() => break,
        };
        while jobs.try_join_next().is_some() {}
        let received = tokio::select! {
            biased;
            received = backend.queue.receive(W::TOPIC, 1, LEASE, WAIT) => received,
            () = shutdown.ended() => break,
        };
        // Trouble with the queue is waited out: the jobs that run go on.
        let received = match received {
            Ok(received) => received,
            Err(error) => {
                tracing::warn!(%error, topic = W::TOPIC.as_str(), "jobs cannot be received; trying again");
                tokio::time::sleep(QUEUE_RETRY).await;
                continue;
            }
        };
        let Some(delivery) = received.into_iter().next() else { continue };
        let (backend, work, shutdown) = (backend.clone(), work.clone(), shutdown.clone());
        jobs.spawn(async move {
            settle(&backend, &work, delivery, &shutdown).await;
            drop(permit);
        });
    }
    while jobs.join_next().await.is_some() {}
    Ok(())
}

/// Has a job come again after about `pause`, at most twice that: as a message of its own, so it is no failed try of this one.
/// However many ask for it, it comes once where the queue deduplicates: the key is `name` and the moment.
pub(super) async fn come_back(backend: &Backend, job: &Job, name: &str, pause: Duration) -> Result<(), QueueError> {
    let step = i64::try_from(pause.as_millis()).unwrap_or(i64::MAX).max(1);
    let now = backend.clock.now();
    let at = Timestamp::from_millis(((now + pause).as_millis() / step).saturating_add(1).saturating_mul(step));
    backend.queue.send(job, at.since(now), Some(format!("{name}@{}", at.as_millis()))).await
}

/// Does one job while keeping its message, then settles the message.
async fn settle<W: Work>(backend: &Backend, work: &W, delivery: JobDelivery, shutdown: &Shutdown) {
    let bot = delivery.job.bot();
    if delivery.receives > MAX_RECEIVES {
        let reason = "the process ended each time this was tried";
        work.give_up(backend, &delivery.job, reason).await;
        if let Err(error) = backend.queue.dead_letter(&delivery.receipt, reason).await {
            tracing::warn!(%bot, %error, "a job could not be set aside; it will come again");
        }
        return;
    }
    let last = delivery.receives >= TRIES;
    let working = through_outages(backend, work, &delivery.job, last, shutdown);
    let result = tokio::select! {
        biased;
        result = working => result,
        () = backend.queue.hold(&delivery.receipt, LEASE) => {
            tracing::warn!(%bot, topic = W::TOPIC.as_str(), "a job is somebody else's by now");
            return;
        }
    };
    let topic = W::TOPIC.as_str();
    let settled = match result {
        Ok(()) => backend.queue.ack(&delivery.receipt).await,
        Err(error) if last && !is_outage(&error) => {
            tracing::error!(%bot, topic, error = format!("{error:#}"), "a job failed for good");
            backend.queue.dead_letter(&delivery.receipt, &format!("{error:#}")).await
        }
        Err(error) => {
            tracing::warn!(%bot, topic, error = format!("{error:#}"), "a job failed; it will be tried again");
            backend.queue.release(&delivery.receipt, RETRY).await
        }
    };
    if let Err(error) = settled {
        tracing::warn!(%bot, topic, %error, "a job could not be settled; it will come again");
    }
}

/// The work of one job, again while store or queue are out of reach, until shutdown: that is nobody's failure, and does not count as
/// a try.
async fn through_outages<W: Work>(
    backend: &Backend,
    work: &W,
    job: &Job,
    last: bool,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    loop {
        match work.step(backend, job, last).await {
            Err(error) if is_outage(&error) => {
                tracing::warn!(bot = %job.bot(), error = format!("{error:#}"), "a backend does not answer; trying again");
                tokio::select! {
                    biased;
                    () = shutdown.ended() => return Err(error),
                    () = tokio::time::sleep(RETRY) => {}
                }
            }
            result => return result,
        }
    }
}

fn is_outage(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let store = cause.downcast_ref::<StoreError>().or_else(|| match cause.downcast_ref()? {
            ApplyError::Store(error) => Some(error),
            _ => None,
        });
        let queue = cause.downcast_ref::<QueueError>();
        matches!(store, Some(StoreError::Unavailable { .. })) || matches!(queue, Some(QueueError::Unavailable { .. }))
    })
}
