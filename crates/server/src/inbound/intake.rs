use std::sync::Arc;

use muster_queue::{Enqueue, Queue, QueueError};
use muster_session::job::Topic;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

/// Webhooks in one write to the queue, at most.
const BATCH: usize = 256;
/// Writes under way at a time. One fills while the others are on their way.
const WRITES: usize = 2;
/// Webhooks in one message, and bytes of one with several, at most. A message is worked on by one process.
const MESSAGE_WEBHOOKS: usize = 64;
const MESSAGE_BYTES: usize = 96 * 1024;

/// Takes webhooks into the queue, many in one message: under load one `fsync`, or one round trip, pays for many. Clones share it.
#[derive(Clone, Debug)]
pub struct Intake {
    waiting: mpsc::Sender<Waiting>,
    max_bytes: usize,
    _writer: Arc<AbortOnDropHandle<()>>,
}

#[derive(Debug)]
struct Waiting {
    payload: Vec<u8>,
    taken: oneshot::Sender<Result<(), QueueError>>,
}

/// As many as may wait do: come back later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("as many webhooks as may wait to be written are waiting")]
pub struct Full;

impl Intake {
    /// Into `queue`, with at most `most` waiting at a time.
    #[must_use]
    pub fn new(queue: Arc<dyn Queue>, most: usize) -> Self {
        let (waiting, webhooks) = mpsc::channel(most.max(1));
        let max_bytes = queue.limits().max_payload_bytes;
        let writer = AbortOnDropHandle::new(tokio::spawn(write(queue, webhooks)));
        Self { waiting, max_bytes, _writer: Arc::new(writer) }
    }

    /// Takes an [encoded](super::Envelope::encode) one. `Ok(Ok(()))` means that it survives the death of any process. Dropping the
    /// future does not take it back.
    pub async fn take(&self, payload: Vec<u8>) -> Result<Result<(), QueueError>, Full> {
        if payload.len() > self.max_bytes {
            return Ok(Err(QueueError::OverLimit { what: "the webhook" }));
        }
        let (taken, answer) = oneshot::channel();
        self.waiting.try_send(Waiting { payload, taken }).map_err(|_| Full)?;
        Ok(answer.await.unwrap_or_else(|_| Err(ended())))
    }
}

async fn write(queue: Arc<dyn Queue>, mut webhooks: mpsc::Receiver<Waiting>) {
    let mut writes = JoinSet::new();
    let mut batch = Vec::with_capacity(BATCH);
    while webhooks.recv_many(&mut batch, BATCH).await > 0 {
        if writes.len() >= WRITES {
            writes.join_next().await;
        }
        let (queue, batch) = (Arc::clone(&queue), std::mem::replace(&mut batch, Vec::with_capacity(BATCH)));
        writes.spawn(async move { write_batch(&*queue, batch).await });
        while writes.try_join_next().is_some() {}
    }
    while writes.join_next().await.is_some() {}
}

async fn write_batch(queue: &dyn Queue, batch: Vec<Waiting>) {
    let (payloads, answers): (Vec<_>, Vec<_>) = batch.into_iter().map(|one| (one.payload, one.taken)).unzip();
    let result = queue.enqueue_all(Topic::Inbound, together(payloads)).await;
    for taken in answers {
        // A sender that went away is not waited for.
        let _ = taken.send(match &result {
            Ok(()) => Ok(()),
            Err(error) => Err(QueueError::Unavailable { detail: error.to_string(), source: None }),
        });
    }
}

/// Webhooks as messages, in their order.
fn together(payloads: Vec<Vec<u8>>) -> Vec<Enqueue> {
    let mut messages: Vec<Enqueue> = Vec::new();
    let mut in_last = 0;
    for payload in payloads {
        match messages.last_mut() {
            Some(last) if in_last < MESSAGE_WEBHOOKS && last.payload.len() + payload.len() <= MESSAGE_BYTES => {
                last.payload.extend_from_slice(&payload);
                in_last += 1;
            }
            _ => {
                messages.push(Enqueue { payload, ..Enqueue::default() });
                in_last = 1;
            }
        }
    }
    messages
}

fn ended() -> QueueError {
    QueueError::Unavailable { detail: "the server is ending".to_owned(), source: None }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Writes when it is told to.
    #[derive(Debug)]
    struct Gated {
        queue: muster_queue::memory::MemoryQueue,
        gate: tokio::sync::Semaphore,
    }

    #[async_trait::async_trait]
    impl Queue for Gated {
        async fn enqueue(&self, topic: Topic, message: Enqueue) -> Result<(), QueueError> {
            self.enqueue_all(topic, vec![message]).await
        }

        async fn enqueue_all(&self, topic: Topic, messages: Vec<Enqueue>) -> Result<(), QueueError> {
            self.gate.acquire().await.expect("not closed").forget();
            self.queue.enqueue_all(topic, messages).await
        }

        async fn receive(
            &self,
            topic: Topic,
            max: u32,
            lease: Duration,
            wait: Duration,
        ) -> Result<Vec<muster_queue::Delivery>, QueueError> {
            self.queue.receive(topic, max, lease, wait).await
        }

        async fn extend(&self, receipt: &muster_queue::Receipt, lease: Duration) -> Result<(), QueueError> {
            self.queue.extend(receipt, lease).await
        }

        async fn ack(&self, receipt: &muster_queue::Receipt) -> Result<(), QueueError> {
            self.queue.ack(receipt).await
        }

        async fn release(&self, receipt: &muster_queue::Receipt, delay: Duration) -> Result<(), QueueError> {
            self.queue.release(receipt, delay).await
        }

        async fn dead_letter(&self, receipt: &muster_queue::Receipt, reason: &str) -> Result<(), QueueError> {
            self.queue.dead_letter(receipt, reason).await
        }

        async fn dead(&self, topic: Topic, limit: u32) -> Result<Vec<(String, Vec<u8>, String)>, QueueError> {
            self.queue.dead(topic, limit).await
        }

        async fn requeue(&self, topic: Topic, id: &str) -> Result<bool, QueueError> {
            self.queue.requeue(topic, id).await
        }

        async fn depth(&self, topic: Topic) -> Result<muster_queue::Depth, QueueError> {
            self.queue.depth(topic).await
        }

        fn limits(&self) -> muster_queue::Limits {
            self.queue.limits()
        }
    }

    #[tokio::test]
    async fn many_go_in_one_write_and_more_than_may_wait_are_told() {
        let queue =
            Arc::new(Gated { queue: muster_queue::memory::MemoryQueue::new(), gate: tokio::sync::Semaphore::new(0) });
        let intake = Intake::new(queue.clone(), 4);
        let mut takes = JoinSet::new();
        let mut full = 0;
        // The writer takes what waits into writes that are not let go on; then four more wait, and nobody else may.
        for number in 0..5 * BATCH {
            let intake = intake.clone();
            takes.spawn(async move { intake.take(vec![u8::try_from(number % 256).unwrap_or_default()]).await });
            tokio::task::yield_now().await;
            while let Some(Ok(done)) = takes.try_join_next() {
                assert!(matches!(done, Err(Full)));
                full += 1;
            }
        }
        assert!(full > 0);
        let taken = takes.len();
        queue.gate.add_permits(taken);
        while let Some(done) = takes.join_next().await {
            assert!(matches!(done.expect("it ends"), Ok(Ok(()))));
        }
        let writes = taken - queue.gate.available_permits();
        assert!(writes < taken, "{writes} writes for {taken}");
        let lease = Duration::from_secs(60);
        let messages = queue.receive(Topic::Inbound, u32::MAX, lease, Duration::ZERO).await.expect("receive");
        assert_eq!(messages.iter().map(|message| message.payload.len()).sum::<usize>(), taken, "one byte each");
    }

    #[test]
    fn a_message_has_so_many_webhooks_and_so_many_bytes_and_keeps_their_order() {
        let sizes = |payloads: Vec<Vec<u8>>| together(payloads).iter().map(|one| one.payload.len()).collect::<Vec<_>>();
        assert_eq!(sizes(vec![vec![0]; 130]), [64, 64, 2]);
        assert_eq!(sizes(vec![vec![0; 50_000]; 3]), [50_000; 3]);
        assert_eq!(sizes(vec![vec![0; 500_000], vec![0]]), [500_000, 1], "a large one alone");
        let payloads = (0..10).map(|number| vec![number]).collect();
        assert_eq!(together(payloads)[0].payload, (0..10).collect::<Vec<u8>>());
    }
}
