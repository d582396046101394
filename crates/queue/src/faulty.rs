//! Planned faults before any backend.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use muster_faults::Plan;
use muster_session::job::Topic;

use crate::{Delivery, Depth, Enqueue, Limits, Queue, QueueError, Receipt};

/// A [`Queue`] whose calls meet the faults of a plan; the operation is the name of the method. Clones share both. What it
/// says of its own is [`QueueError::Unavailable`] without a source.
///
/// What a [`receive`](Queue::receive) took and nobody heard of is leased all the same, and comes again when that lease runs
/// out, with one more receive counted. So it is with a lost answer, with the first of two calls (which also wait twice), and
/// with a receive that is given up between the two; one that is given up at any other time loses nothing.
#[derive(Clone, Debug)]
pub struct FaultyQueue {
    queue: Arc<dyn Queue>,
    plan: Arc<dyn Plan>,
}

impl FaultyQueue {
    /// This queue, under this plan.
    #[must_use]
    pub fn new(queue: Arc<dyn Queue>, plan: Arc<dyn Plan>) -> Self {
        Self { queue, plan }
    }

    async fn call<T, F>(&self, operation: &'static str, make: impl FnMut() -> F + Send) -> Result<T, QueueError>
    where
        T: Send,
        F: Future<Output = Result<T, QueueError>> + Send,
    {
        muster_faults::call(&*self.plan, operation, unavailable, make).await
    }
}

fn unavailable(detail: &'static str) -> QueueError {
    QueueError::Unavailable { detail: detail.into(), source: None }
}

#[async_trait]
impl Queue for FaultyQueue {
    async fn enqueue(&self, topic: Topic, message: Enqueue) -> Result<(), QueueError> {
        self.call("enqueue", || self.queue.enqueue(topic, message.clone())).await
    }

    async fn enqueue_all(&self, topic: Topic, messages: Vec<Enqueue>) -> Result<(), QueueError> {
        self.call("enqueue_all", || self.queue.enqueue_all(topic, messages.clone())).await
    }

    async fn receive(
        &self,
        topic: Topic,
        max: u32,
        lease: Duration,
        wait: Duration,
    ) -> Result<Vec<Delivery>, QueueError> {
        self.call("receive", || self.queue.receive(topic, max, lease, wait)).await
    }

    async fn extend(&self, receipt: &Receipt, lease: Duration) -> Result<(), QueueError> {
        self.call("extend", || self.queue.extend(receipt, lease)).await
    }

    async fn ack(&self, receipt: &Receipt) -> Result<(), QueueError> {
        self.call("ack", || self.queue.ack(receipt)).await
    }

    async fn release(&self, receipt: &Receipt, delay: Duration) -> Result<(), QueueError> {
        self.call("release", || self.queue.release(receipt, delay)).await
    }

    async fn dead_letter(&self, receipt: &Receipt, reason: &str) -> Result<(), QueueError> {
        self.call("dead_letter", || self.queue.dead_letter(receipt, reason)).await
    }

    async fn dead(&self, topic: Topic, limit: u32) -> Result<Vec<(String, Vec<u8>, String)>, QueueError> {
        self.call("dead", || self.queue.dead(topic, limit)).await
    }

    async fn requeue(&self, topic: Topic, id: &str) -> Result<bool, QueueError> {
        self.call("requeue", || self.queue.requeue(topic, id)).await
    }

    async fn depth(&self, topic: Topic) -> Result<Depth, QueueError> {
        self.call("depth", || self.queue.depth(topic)).await
    }

    fn limits(&self) -> Limits {
        self.queue.limits()
    }
}
