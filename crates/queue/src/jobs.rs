use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use muster_session::job::{Job, Topic};
use tokio::time::Instant;

use crate::{Delivery, Depth, Enqueue, Limits, Queue, QueueError, Receipt};

/// How much of a message that is no job is quoted in the reason it is set aside for.
const QUOTE_CHARS: usize = 80;

/// A queue of [`Job`]s over any backend. Clones share it.
#[derive(Clone, Debug)]
pub struct JobQueue {
    queue: Arc<dyn Queue>,
}

/// A received job. Settle it with its receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobDelivery {
    /// What is to be done.
    pub job: Job,
    /// The right to settle it.
    pub receipt: Receipt,
    /// How often it was received, this time included.
    pub receives: u32,
}

impl JobQueue {
    /// Jobs over this backend.
    #[must_use]
    pub fn new(queue: Arc<dyn Queue>) -> Self {
        Self { queue }
    }

    /// The queue underneath, for messages that are no jobs.
    #[must_use]
    pub fn raw(&self) -> &Arc<dyn Queue> {
        &self.queue
    }

    /// Adds a job to its topic, receivable after `delay`. With a `dedup_key` that is still in the queue it is accepted and
    /// adds nothing. `Ok` means that it survives the death of any process.
    pub async fn send(&self, job: &Job, delay: Duration, dedup_key: Option<String>) -> Result<(), QueueError> {
        self.queue.enqueue(job.topic(), self.message(job, delay, dedup_key)?).await
    }

    /// Adds jobs to their topics, receivable at once, as [`send`](Self::send) does each with its `dedup_key`, for less. After
    /// an error any number of them may be there.
    pub async fn send_all(&self, jobs: Vec<(Job, Option<String>)>) -> Result<(), QueueError> {
        let mut topics: BTreeMap<Topic, Vec<Enqueue>> = BTreeMap::new();
        for (job, dedup_key) in jobs {
            topics.entry(job.topic()).or_default().push(self.message(&job, Duration::ZERO, dedup_key)?);
        }
        for (topic, messages) in topics {
            self.queue.enqueue_all(topic, messages).await?;
        }
        Ok(())
    }

    fn message(&self, job: &Job, delay: Duration, dedup_key: Option<String>) -> Result<Enqueue, QueueError> {
        let message = Enqueue { payload: serde_json::to_vec(job).expect("a job is plain data"), delay, dedup_key };
        self.queue.limits().check_message(&message)?;
        Ok(message)
    }

    /// Takes up to `max` jobs, each under a lease of `lease`; waits up to `wait` for the first.
    ///
    /// A message that is not a job is set aside with a reason and not answered, so it can stop no consumer. Dropping the
    /// future loses nothing.
    pub async fn receive(
        &self,
        topic: Topic,
        max: u32,
        lease: Duration,
        wait: Duration,
    ) -> Result<Vec<JobDelivery>, QueueError> {
        let limits = self.queue.limits();
        if lease > limits.max_lease {
            return Err(QueueError::OverLimit { what: "the lease" });
        }
        let max = max.min(limits.max_receive);
        let began = Instant::now();
        loop {
            let received = self.queue.receive(topic, max, lease, wait.saturating_sub(began.elapsed())).await?;
            let none = received.is_empty();
            let mut jobs = Vec::with_capacity(received.len());
            for delivery in received {
                jobs.extend(self.read(delivery).await);
            }
            // Only poison came: the caller asked to wait for a job.
            if none || !jobs.is_empty() {
                return Ok(jobs);
            }
        }
    }

    /// The job of a message, or none after setting the message aside.
    async fn read(&self, delivery: Delivery) -> Option<JobDelivery> {
        let Delivery { receipt, payload, receives } = delivery;
        let error = match serde_json::from_slice(&payload) {
            Ok(job) => return Some(JobDelivery { job, receipt, receives }),
            Err(error) => error,
        };
        let quote: String = String::from_utf8_lossy(&payload).chars().take(QUOTE_CHARS).collect();
        let reason = format!("not a job: {error}: {quote}");
        tracing::error!(topic = receipt.topic.as_str(), id = receipt.id, reason, "a message was set aside");
        if let Err(error) = self.queue.dead_letter(&receipt, &reason).await {
            tracing::warn!(%error, id = receipt.id, "a message could not be set aside; it will come again");
        }
        None
    }

    /// Holds a job for `lease` from now.
    pub async fn extend(&self, receipt: &Receipt, lease: Duration) -> Result<(), QueueError> {
        self.queue.extend(receipt, lease).await
    }

    /// Holds a job that was just received or extended: extends its lease by `lease` at every third of it. Returns only once the
    /// lease is lost; any other trouble is tried again at the next third. Cancel safe.
    pub async fn hold(&self, receipt: &Receipt, lease: Duration) {
        let every = lease / 3;
        let mut ticks = tokio::time::interval_at(Instant::now() + every, every);
        loop {
            ticks.tick().await;
            match self.extend(receipt, lease).await {
                Ok(()) => {}
                Err(QueueError::LeaseLost) => return,
                Err(error) => tracing::warn!(%error, id = receipt.id, "the lease on a message could not be extended"),
            }
        }
    }

    /// Done: removes it.
    pub async fn ack(&self, receipt: &Receipt) -> Result<(), QueueError> {
        self.queue.ack(receipt).await
    }

    /// Not now: receivable again after `delay`.
    pub async fn release(&self, receipt: &Receipt, delay: Duration) -> Result<(), QueueError> {
        self.queue.release(receipt, delay).await
    }

    /// Never: sets it aside with a reason.
    pub async fn dead_letter(&self, receipt: &Receipt, reason: &str) -> Result<(), QueueError> {
        self.queue.dead_letter(receipt, reason).await
    }

    /// Dead letters of a topic, oldest first: (id, payload, reason). The payload may be no job.
    pub async fn dead(&self, topic: Topic, limit: u32) -> Result<Vec<(String, Vec<u8>, String)>, QueueError> {
        self.queue.dead(topic, limit).await
    }

    /// Puts a dead letter back; true if it was there.
    pub async fn requeue(&self, topic: Topic, id: &str) -> Result<bool, QueueError> {
        self.queue.requeue(topic, id).await
    }

    /// How full a topic is.
    pub async fn depth(&self, topic: Topic) -> Result<Depth, QueueError> {
        self.queue.depth(topic).await
    }

    /// What the backend cannot exceed.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.queue.limits()
    }
}

#[cfg(test)]
mod tests;
