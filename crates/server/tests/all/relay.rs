//! From the outbox to a queue that is in trouble.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use async_trait::async_trait;
use muster_faults::{Fault, Nth};
use muster_queue::memory::MemoryQueue;
use muster_queue::{Delivery, Depth, Enqueue, FaultyQueue, JobQueue, Limits, Queue, QueueError, Receipt};
use muster_server::roles::{Backend, leader, relay};
use muster_server::supervise::Shutdown;
use muster_session::job::{Job, Topic};
use muster_session::{Outcome, Session};
use muster_store::memory::MemoryStore;
use muster_store::{Commit, CreateGuard};

use super::tiers;

fn backend(queue: Arc<dyn Queue>) -> Backend {
    let backend = tiers::backend(Arc::new(MemoryStore::new()), &Arc::new(AtomicI64::new(tiers::START_MS)));
    Backend { queue: JobQueue::new(queue), ..backend }
}

/// Creates a session with one job more than is in its outcome.
async fn create(backend: &Backend, session: Session, outcome: Outcome, more: Option<Job>) {
    let mut commit = Commit::new(session, outcome, backend.clock.now());
    commit.jobs.extend(more.map(|job| (job, Duration::ZERO)));
    backend.store.create(commit, CreateGuard::default()).await.unwrap();
}

#[tokio::test]
async fn a_topic_whose_queue_takes_nothing_keeps_no_other_waiting() {
    // Jobs of workers come first.
    let queue = FaultyQueue::new(Arc::new(MemoryQueue::new()), Arc::new(Nth::new(1, Fault::Refuse)));
    let backend = backend(Arc::new(queue));
    for number in 0..300 {
        let (session, outcome) = Session::create(tiers::new_session("a", None), backend.clock.now());
        let media = (number == 299).then_some(Job::Process { bot: session.id });
        create(&backend, session, outcome, media).await;
    }
    let error = relay::run(backend.clone(), None, Shutdown::default()).await.unwrap_err();
    assert!(format!("{error:#}").starts_with("publishing jobs"), "{error:#}");
    let ready = async |topic| backend.queue.depth(topic).await.unwrap().ready;
    assert_eq!((ready(Topic::Jobs).await, ready(Topic::Media).await), (0, 1));
}

/// A queue that takes a message again that it has.
#[derive(Debug)]
struct Forgetful(MemoryQueue);

#[async_trait]
impl Queue for Forgetful {
    async fn enqueue(&self, topic: Topic, message: Enqueue) -> Result<(), QueueError> {
        self.0.enqueue(topic, Enqueue { dedup_key: None, ..message }).await
    }

    async fn receive(
        &self,
        topic: Topic,
        max: u32,
        lease: Duration,
        wait: Duration,
    ) -> Result<Vec<Delivery>, QueueError> {
        self.0.receive(topic, max, lease, wait).await
    }

    async fn extend(&self, receipt: &Receipt, lease: Duration) -> Result<(), QueueError> {
        self.0.extend(receipt, lease).await
    }

    async fn ack(&self, receipt: &Receipt) -> Result<(), QueueError> {
        self.0.ack(receipt).await
    }

    async fn release(&self, receipt: &Receipt, delay: Duration) -> Result<(), QueueError> {
        self.0.release(receipt, delay).await
    }

    async fn dead_letter(&self, receipt: &Receipt, reason: &str) -> Result<(), QueueError> {
        self.0.dead_letter(receipt, reason).await
    }

    async fn dead(&self, topic: Topic, limit: u32) -> Result<Vec<(String, Vec<u8>, String)>, QueueError> {
        self.0.dead(topic, limit).await
    }

    async fn requeue(&self, topic: Topic, id: &str) -> Result<bool, QueueError> {
        self.0.requeue(topic, id).await
    }

    async fn depth(&self, topic: Topic) -> Result<Depth, QueueError> {
        self.0.depth(topic).await
    }

    fn limits(&self) -> Limits {
        Limits { deduplicates: false, ..self.0.limits() }
    }
}

#[tokio::test(start_paused = true)]
async fn webhooks_that_nobody_delivers_fill_no_queue() {
    let backend = backend(Arc::new(Forgetful(MemoryQueue::new())));
    let now = backend.clock.now();
    let mut new = tiers::new_session("a", Some(now + Duration::from_secs(86_400)));
    new.callback_url = Some("https://example.com/hook".parse().unwrap());
    let (session, outcome) = Session::create(new, now);
    create(&backend, session, outcome, None).await;
    let (seat, leads) = leader::seat(backend.clone(), "a".to_owned(), Duration::from_secs(9));
    let shutdown = Shutdown::default();
    tokio::spawn(seat.keep(shutdown.clone()));
    let relaying = relay::run(backend.clone(), Some(leads), shutdown.clone());
    // Twice a second it finds the same bot.
    let hour = tokio::time::timeout(Duration::from_secs(3_600), relaying).await;
    assert!(hour.is_err(), "{hour:?}");
    let ready = backend.queue.depth(Topic::Deliveries).await.unwrap().ready;
    assert_eq!(ready, 256);
}
