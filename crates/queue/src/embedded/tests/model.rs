//! Random operations on the queue and on a plain list, compared after each, by a clock that the test turns.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use muster_embedded::Durability;
use muster_session::Timestamp;
use muster_session::job::Topic;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};

use crate::embedded::EmbeddedQueue;
use crate::{Depth, Enqueue, Queue, QueueError, Receipt};

#[derive(Clone, Debug)]
enum Op {
    Enqueue {
        topic: usize,
        delay: u64,
        key: Option<u8>,
    },
    Receive {
        topic: usize,
        max: u32,
        lease: u64,
    },
    /// The rest settle a receipt that was given out before, whether it still holds or not.
    Ack(usize),
    Release(usize, u64),
    Extend(usize, u64),
    DeadLetter(usize),
    Requeue(u64),
    Advance(i64),
    Reopen,
}

fn op() -> impl Strategy<Value = Op> {
    let (topic, span, receipt) = (0..2usize, 0..50u64, 0..12usize);
    prop_oneof![
        6 => (topic.clone(), prop_oneof![Just(0), span.clone()], proptest::option::of(0..4u8))
            .prop_map(|(topic, delay, key)| Op::Enqueue { topic, delay, key }),
        6 => (topic, 0..4u32, span.clone()).prop_map(|(topic, max, lease)| Op::Receive { topic, max, lease }),
        3 => receipt.clone().prop_map(Op::Ack),
        3 => (receipt.clone(), span.clone()).prop_map(|(r, delay)| Op::Release(r, delay)),
        2 => (receipt.clone(), span).prop_map(|(r, lease)| Op::Extend(r, lease)),
        2 => receipt.prop_map(Op::DeadLetter),
        1 => (1..6u64).prop_map(Op::Requeue),
        4 => (0..60i64).prop_map(Op::Advance),
        1 => Just(Op::Reopen),
    ]
}

#[derive(Clone, Debug)]
struct Message {
    topic: Topic,
    payload: Vec<u8>,
    key: Option<String>,
    visible_at: i64,
    /// The receipt that holds it.
    receipt: Option<Receipt>,
    receives: u32,
}

/// What the queue should be: messages in order of their making.
#[derive(Debug, Default)]
struct Model {
    now: i64,
    messages: Vec<Message>,
    dead: Vec<(u64, Topic, Vec<u8>)>,
    died: u64,
    made: u32,
}

impl Model {
    fn after(&self, pause: u64) -> i64 {
        self.now + i64::try_from(pause).unwrap() + i64::from(pause > 0)
    }

    fn holder(&mut self, receipt: &Receipt) -> Option<usize> {
        let now = self.now;
        self.messages.iter().position(|m| m.receipt.as_ref() == Some(receipt) && m.visible_at > now)
    }

    fn depth(&self, topic: Topic) -> Depth {
        let of_topic = || self.messages.iter().filter(|m| m.topic == topic);
        let count = |wanted: &dyn Fn(&Message) -> bool| of_topic().filter(|m| wanted(m)).count() as u64;
        let oldest = of_topic().map(|m| m.visible_at).min().unwrap_or(self.now);
        Depth {
            ready: count(&|m| m.visible_at <= self.now),
            leased: count(&|m| m.visible_at > self.now && m.receipt.is_some()),
            delayed: count(&|m| m.visible_at > self.now && m.receipt.is_none()),
            dead: self.dead.iter().filter(|(_, of, _)| *of == topic).count() as u64,
            oldest_ready: Duration::from_millis(u64::try_from(self.now - oldest).unwrap_or(0)),
        }
    }
}

struct Run {
    dir: tempfile::TempDir,
    clock: Arc<AtomicI64>,
    queue: Option<EmbeddedQueue>,
    model: Model,
    receipts: Vec<Receipt>,
}

impl Run {
    fn new() -> Self {
        let mut run = Self {
            dir: tempfile::tempdir().unwrap(),
            clock: Arc::default(),
            queue: None,
            model: Model::default(),
            receipts: Vec::new(),
        };
        run.open();
        run
    }

    fn open(&mut self) {
        self.queue = None;
        let clock = Arc::clone(&self.clock);
        let clock = move || Timestamp::from_millis(clock.load(Ordering::SeqCst));
        self.queue =
            Some(EmbeddedQueue::open_with_clock(self.dir.path(), Durability::Normal, Box::new(clock)).unwrap());
    }

    async fn step(&mut self, op: Op) {
        let queue = self.queue.clone().unwrap();
        match op {
            Op::Enqueue { topic, delay, key } => self.enqueue(&queue, Topic::ALL[topic], delay, key).await,
            Op::Receive { topic, max, lease } => self.receive(&queue, Topic::ALL[topic], max, lease).await,
            Op::Advance(by) => {
                self.model.now += by;
                self.clock.store(self.model.now, Ordering::SeqCst);
            }
            Op::Reopen => {
                drop(queue);
                self.open();
            }
            Op::Requeue(id) => {
                let found = self.model.dead.iter().position(|(of, topic, _)| *of == id && *topic == Topic::Jobs);
                assert_eq!(queue.requeue(Topic::Jobs, &id.to_string()).await.unwrap(), found.is_some());
                if let Some(at) = found {
                    let (_, topic, payload) = self.model.dead.remove(at);
                    let visible_at = self.model.now;
                    let message = Message { topic, payload, key: None, visible_at, receipt: None, receives: 0 };
                    self.model.messages.push(message);
                }
            }
            Op::Ack(r) | Op::Release(r, _) | Op::Extend(r, _) | Op::DeadLetter(r) => {
                // Recent ones, so that many of them still hold.
                let Some(receipt) = self.receipts.iter().rev().nth(r).cloned() else { return };
                self.settle(&queue, op, &receipt).await;
            }
        }
        let queue = self.queue.clone().unwrap();
        for topic in [Topic::Jobs, Topic::Media] {
            assert_eq!(queue.depth(topic).await.unwrap(), self.model.depth(topic));
            let dead = self.model.dead.iter().filter(|(_, of, _)| *of == topic);
            let dead: Vec<_> =
                dead.map(|(id, _, payload)| (id.to_string(), payload.clone(), format!("why {id}"))).collect();
            assert_eq!(queue.dead(topic, 100).await.unwrap(), dead);
        }
    }

    async fn enqueue(&mut self, queue: &EmbeddedQueue, topic: Topic, delay: u64, key: Option<u8>) {
        self.model.made += 1;
        let payload = self.model.made.to_string().into_bytes();
        let key = key.map(|key| format!("key {key}"));
        let delay_for = Duration::from_millis(delay);
        let message = Enqueue { payload: payload.clone(), delay: delay_for, dedup_key: key.clone() };
        queue.enqueue(topic, message).await.unwrap();
        if key.is_some() && self.model.messages.iter().any(|m| m.topic == topic && m.key == key) {
            return;
        }
        let visible_at = self.model.after(delay);
        self.model.messages.push(Message { topic, payload, key, visible_at, receipt: None, receives: 0 });
    }

    async fn receive(&mut self, queue: &EmbeddedQueue, topic: Topic, max: u32, lease: u64) {
        let received = queue.receive(topic, max, Duration::from_millis(lease), Duration::ZERO).await.unwrap();
        let (now, until) = (self.model.now, self.model.after(lease));
        let mut ready: Vec<&mut Message> =
            self.model.messages.iter_mut().filter(|m| m.topic == topic && m.visible_at <= now).collect();
        // Stable, so that equal ones stay in the order of their making.
        ready.sort_by_key(|m| m.visible_at);
        ready.truncate(max as usize);
        assert_eq!(received.len(), ready.len(), "{received:?}, expected {ready:?}");
        for (delivery, message) in received.into_iter().zip(ready) {
            message.receives += 1;
            assert_eq!((delivery.payload, delivery.receives), (message.payload.clone(), message.receives));
            message.visible_at = until;
            message.receipt = Some(delivery.receipt.clone());
            assert!(!self.receipts.contains(&delivery.receipt), "a receipt is given out once");
            self.receipts.push(delivery.receipt);
        }
    }

    async fn settle(&mut self, queue: &EmbeddedQueue, op: Op, receipt: &Receipt) {
        let held = self.model.holder(receipt);
        let result = match op {
            Op::Ack(_) => queue.ack(receipt).await,
            Op::Release(_, delay) => queue.release(receipt, Duration::from_millis(delay)).await,
            Op::Extend(_, lease) => queue.extend(receipt, Duration::from_millis(lease)).await,
            Op::DeadLetter(_) => queue.dead_letter(receipt, &format!("why {}", self.model.died + 1)).await,
            other => unreachable!("{other:?} settles nothing"),
        };
        let Some(at) = held else {
            assert!(matches!(result, Err(QueueError::LeaseLost)), "{result:?}");
            return;
        };
        result.unwrap();
        match op {
            Op::Release(_, pause) | Op::Extend(_, pause) => {
                self.model.messages[at].visible_at = self.model.after(pause);
                if matches!(op, Op::Release(..)) {
                    self.model.messages[at].receipt = None;
                }
            }
            _ => {
                let message = self.model.messages.remove(at);
                if matches!(op, Op::DeadLetter(_)) {
                    self.model.died += 1;
                    self.model.dead.push((self.model.died, message.topic, message.payload));
                }
            }
        }
    }
}

#[test]
fn it_behaves_as_a_list_does() {
    let mut config = Config { cases: 60, failure_persistence: None, ..Config::default() };
    if config.rng_seed == RngSeed::Random {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        config.rng_seed = RngSeed::Fixed(u64::from(since.subsec_nanos()));
    }
    println!("to run this again: PROPTEST_RNG_SEED={}", config.rng_seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let tested = TestRunner::new(config).run(&proptest::collection::vec(op(), 1..80), |ops| {
        runtime.block_on(async {
            let mut run = Run::new();
            for op in ops {
                run.step(op).await;
            }
        });
        Ok(())
    });
    if let Err(error) = tested {
        panic!("{error}");
    }
}
