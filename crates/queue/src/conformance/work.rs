//! What is left of the contract when any call may be lost or made twice, `receive` too.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use muster_session::job::Topic;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Fixture, NOW, PATIENCE, SHORT};
use crate::{Delivery, Enqueue, Queue, QueueError, Receipt};

const MESSAGES: u8 = 24;
const WORKERS: usize = 3;
/// What nobody heard of comes again when this is over.
const LEASE: Duration = Duration::from_millis(250);

/// What the workers of a test know together.
#[derive(Debug)]
struct Ledger {
    /// When each message may be received.
    due: BTreeMap<u8, Instant>,
    not_done: BTreeSet<u8>,
    /// By message: the lease under which somebody works on it, and how long that holds for certain.
    held: BTreeMap<String, (String, Instant)>,
}

impl Ledger {
    fn begin(&mut self, delivery: &Delivery, until: Instant) {
        let (number, now) = (delivery.payload[0], Instant::now());
        assert!(now >= self.due[&number], "{number} came early");
        assert!(delivery.receives >= 1, "{delivery:?}");
        let Receipt { id, token, .. } = &delivery.receipt;
        let other = self.held.insert(id.clone(), (token.clone(), until));
        assert!(other.is_none_or(|(_, until)| until <= now), "two hold {number} at once");
    }

    /// To be said before it is settled: it may be another's before we hear that it was.
    fn end(&mut self, delivery: &Delivery, done: bool) {
        let Receipt { id, token, .. } = &delivery.receipt;
        if self.held.get(id).is_some_and(|(held, _)| held == token) {
            self.held.remove(id);
        }
        if done {
            self.not_done.remove(&delivery.payload[0]);
        }
    }
}

#[derive(Clone, Debug)]
struct Worker {
    queue: Arc<dyn Queue>,
    ledger: Arc<Mutex<Ledger>>,
}

impl Worker {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works until everything was done and nothing is left.
    async fn run(self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let asked = Instant::now();
            let received = self.queue.receive(Topic::Jobs, 2, LEASE, SHORT).await.expect("receive");
            let none = received.is_empty();
            received.iter().for_each(|delivery| self.ledger().begin(delivery, asked + LEASE));
            for delivery in received {
                self.work(&delivery).await;
            }
            if none && self.ledger().not_done.is_empty() && self.is_empty().await {
                return;
            }
            assert!(Instant::now() < deadline, "lost: {:?}", self.ledger().not_done);
        }
    }

    async fn is_empty(&self) -> bool {
        let depth = self.queue.depth(Topic::Jobs).await.expect("depth");
        depth.ready + depth.leased + depth.delayed == 0
    }

    async fn work(&self, delivery: &Delivery) {
        let (number, receipt) = (delivery.payload[0], &delivery.receipt);
        tokio::task::yield_now().await;
        let later = delivery.receives == 1 && number % 3 == 0;
        self.ledger().end(delivery, !later);
        let settled = match number {
            _ if later => self.queue.release(receipt, NOW).await,
            _ if is_bad(number) => self.queue.dead_letter(receipt, "bad").await,
            _ => self.queue.ack(receipt).await,
        };
        // If it took too long it comes again.
        assert!(matches!(settled, Ok(()) | Err(QueueError::LeaseLost)), "{settled:?}");
    }
}

fn is_bad(number: u8) -> bool {
    number % 8 == 5
}

/// Every message is worked on at least once, by one at a time, not before its time, and then it is gone or set aside.
pub async fn work_is_done_at_least_once_by_one_at_a_time(fixture: &dyn Fixture) {
    let queue = fixture.open().await;
    let mut due = BTreeMap::new();
    for number in 0..MESSAGES {
        let delay = if number % 4 == 0 { SHORT } else { NOW };
        due.insert(number, Instant::now() + delay);
        let message = Enqueue { payload: vec![number], delay, dedup_key: Some(format!("work {number}")) };
        queue.enqueue(Topic::Jobs, message).await.expect("enqueue");
    }
    let ledger = Ledger { not_done: due.keys().copied().collect(), due, held: BTreeMap::new() };
    let worker = Worker { queue: Arc::clone(&queue), ledger: Arc::new(Mutex::new(ledger)) };
    let mut workers: JoinSet<()> = (0..WORKERS).map(|_| worker.clone().run()).collect();
    while let Some(worker) = workers.join_next().await {
        worker.expect("a worker failed");
    }
    let dead = queue.dead(Topic::Jobs, 100).await.expect("dead");
    let dead: BTreeSet<u8> = dead.iter().map(|(_, payload, _)| payload[0]).collect();
    assert_eq!(dead, (0..MESSAGES).filter(|number| is_bad(*number)).collect());
}
