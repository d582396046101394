//! A client that behaves as our callers do.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use muster_session::job::Topic;
use tokio::time::Instant;

use super::PATIENCE;
use crate::{Delivery, Depth, Enqueue, FaultyQueue, Limits, Queue, QueueError, Receipt};

/// Tries again while the queue is unavailable by a planned fault, and draws from what it knows the conclusion that any
/// client may draw: if its lease holds by its own clock, nobody else has settled it, so a lease that the queue calls lost
/// was settled by a call of its own whose answer it did not hear. Concludes so only if a fault came meanwhile, so that it
/// covers up nothing else.
#[derive(Debug)]
pub(super) struct Insistent {
    queue: FaultyQueue,
    /// How many calls met a fault.
    met: Arc<AtomicU64>,
    known: Arc<Mutex<Known>>,
}

/// What a client has been told.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Not settled, each with the time from which the lease may be over: counted from before it was asked for.
    held: Vec<(Receipt, Instant)>,
    /// Seen in the list of dead letters, and not put back.
    dead: BTreeSet<(Topic, String)>,
    /// Deduplication keys made.
    keys: u64,
}

impl Insistent {
    pub(super) fn new(queue: FaultyQueue, met: Arc<AtomicU64>, known: Arc<Mutex<Known>>) -> Self {
        Self { queue, met, known }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn insist<T, F>(&self, mut attempt: impl FnMut() -> F + Send) -> Result<T, QueueError>
    where
        T: Send,
        F: Future<Output = Result<T, QueueError>> + Send,
    {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match attempt().await {
                // A backend that really is out of reach has a source to tell of, and may have kept what it was asked for.
                Err(QueueError::Unavailable { source: None, .. }) if Instant::now() < deadline => {
                    tokio::task::yield_now().await;
                }
                answer => return answer,
            }
        }
    }

    /// For what ends or moves a lease.
    async fn settle<F>(&self, receipt: &Receipt, attempt: impl FnMut() -> F + Send) -> Result<(), QueueError>
    where
        F: Future<Output = Result<(), QueueError>> + Send,
    {
        let began = Instant::now();
        let holds = self.known().held.iter().any(|(held, until)| held == receipt && began < *until);
        let met = self.met.load(Ordering::SeqCst);
        match self.insist(attempt).await {
            Err(QueueError::LeaseLost) if holds && self.met.load(Ordering::SeqCst) > met => Ok(()),
            answer => answer,
        }
    }

    fn forget(&self, receipt: &Receipt) {
        self.known().held.retain(|(held, _)| held != receipt);
    }

    fn hold(&self, receipt: &Receipt, until: Instant) {
        self.known().held.push((receipt.clone(), until));
    }
}

#[async_trait]
impl Queue for Insistent {
    /// Every message has a key, or trying again would make two of it.
    async fn enqueue(&self, topic: Topic, mut message: Enqueue) -> Result<(), QueueError> {
        if message.dedup_key.is_none() {
            let mut known = self.known();
            known.keys += 1;
            message.dedup_key = Some(format!("insistent {}", known.keys));
        }
        self.insist(|| self.queue.enqueue(topic, message.clone())).await
    }

    async fn receive(
        &self,
        topic: Topic,
        max: u32,
        lease: Duration,
        wait: Duration,
    ) -> Result<Vec<Delivery>, QueueError> {
        let (began, mut asked) = (Instant::now(), Instant::now());
        let attempt = || {
            asked = Instant::now();
            self.queue.receive(topic, max, lease, wait.saturating_sub(began.elapsed()))
        };
        let received = self.insist(attempt).await?;
        received.iter().for_each(|delivery| self.hold(&delivery.receipt, asked + lease));
        Ok(received)
    }

    async fn extend(&self, receipt: &Receipt, lease: Duration) -> Result<(), QueueError> {
        let began = Instant::now();
        self.settle(receipt, || self.queue.extend(receipt, lease)).await?;
        self.forget(receipt);
        self.hold(receipt, began + lease);
        Ok(())
    }

    async fn ack(&self, receipt: &Receipt) -> Result<(), QueueError> {
        self.settle(receipt, || self.queue.ack(receipt)).await?;
        self.forget(receipt);
        Ok(())
    }

    async fn release(&self, receipt: &Receipt, delay: Duration) -> Result<(), QueueError> {
        self.settle(receipt, || self.queue.release(receipt, delay)).await?;
        self.forget(receipt);
        Ok(())
    }

    async fn dead_letter(&self, receipt: &Receipt, reason: &str) -> Result<(), QueueError> {
        self.settle(receipt, || self.queue.dead_letter(receipt, reason)).await?;
        self.forget(receipt);
        Ok(())
    }

    async fn dead(&self, topic: Topic, limit: u32) -> Result<Vec<(String, Vec<u8>, String)>, QueueError> {
        let dead = self.insist(|| self.queue.dead(topic, limit)).await?;
        self.known().dead.extend(dead.iter().map(|(id, ..)| (topic, id.clone())));
        Ok(dead)
    }

    /// One that it saw among the dead, and that is not there any more after a fault, was put back by itself.
    async fn requeue(&self, topic: Topic, id: &str) -> Result<bool, QueueError> {
        let met = self.met.load(Ordering::SeqCst);
        let found = self.insist(|| self.queue.requeue(topic, id)).await?;
        let seen = self.known().dead.remove(&(topic, id.to_owned()));
        Ok(found || (seen && self.met.load(Ordering::SeqCst) > met))
    }

    async fn depth(&self, topic: Topic) -> Result<Depth, QueueError> {
        self.insist(|| self.queue.depth(topic)).await
    }

    fn limits(&self) -> Limits {
        self.queue.limits()
    }
}
