//! Random operations on a queue and on a plain list, compared after each, by a clock that the test turns.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use muster_session::Timestamp;
use muster_session::job::Topic;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};

use crate::{Depth, Enqueue, Queue, QueueError, Receipt};

/// Makes queues for the test, each empty at first.
#[async_trait]
pub(crate) trait Backend {
    /// Whether what is ready comes exactly by its time, and then in the order of its making. Otherwise any of it may come,
    /// and the age of the oldest may be too small.
    const IN_ORDER: bool;
    /// How many sequences of operations are tried.
    const CASES: u32;

    fn new() -> Self;

    /// Opens the queue by this clock; again after it was closed.
    async fn open(&self, clock: Box<dyn Fn() -> Timestamp + Send + Sync>) -> Arc<dyn Queue>;
}

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
    Requeue(usize),
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
        1 => (0..6usize).prop_map(Op::Requeue),
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
    dead: Vec<(String, Topic, Vec<u8>, String)>,
    died: u32,
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
            dead: self.dead.iter().filter(|(_, of, ..)| *of == topic).count() as u64,
            oldest_ready: Duration::from_millis(u64::try_from(self.now - oldest).unwrap_or(0)),
        }
    }
}

struct Run<B> {
    backend: B,
    clock: Arc<AtomicI64>,
    queue: Arc<dyn Queue>,
    model: Model,
    receipts: Vec<Receipt>,
    /// Every dead letter there ever was.
    died: Vec<String>,
}

fn clock(time: &Arc<AtomicI64>) -> Box<dyn Fn() -> Timestamp + Send + Sync> {
    let time = Arc::clone(time);
    Box::new(move || Timestamp::from_millis(time.load(Ordering::SeqCst)))
}

impl<B: Backend> Run<B> {
    async fn new() -> Self {
        let (backend, time) = (B::new(), Arc::default());
        let queue = backend.open(clock(&time)).await;
        Self { backend, clock: time, queue, model: Model::default(), receipts: Vec::new(), died: Vec::new() }
    }

    /// Takes the run apart: the queue is closed before it is opened again.
    async fn reopen(self) -> Self {
        let Self { backend, clock: time, queue, model, receipts, died } = self;
        drop(queue);
        let queue = backend.open(clock(&time)).await;
        Self { backend, clock: time, queue, model, receipts, died }
    }

    async fn step(mut self, op: Op) -> Self {
        match op {
            Op::Enqueue { topic, delay, key } => self.enqueue(Topic::ALL[topic], delay, key).await,
            Op::Receive { topic, max, lease } => self.receive(Topic::ALL[topic], max, lease).await,
            Op::Advance(by) => {
                self.model.now += by;
                self.clock.store(self.model.now, Ordering::SeqCst);
            }
            Op::Reopen => self = self.reopen().await,
            Op::Requeue(which) => self.requeue(which).await,
            Op::Ack(r) | Op::Release(r, _) | Op::Extend(r, _) | Op::DeadLetter(r) => {
                // Recent ones, so that many of them still hold.
                if let Some(receipt) = self.receipts.iter().rev().nth(r).cloned() {
                    self.settle(op, &receipt).await;
                }
            }
        }
        self.compare().await;
        self
    }

    async fn compare(&self) {
        for topic in [Topic::Jobs, Topic::Media] {
            let (mut found, wanted) = (self.queue.depth(topic).await.unwrap(), self.model.depth(topic));
            if !B::IN_ORDER {
                assert!(found.oldest_ready <= wanted.oldest_ready, "{found:?}, expected {wanted:?}");
                found.oldest_ready = wanted.oldest_ready;
            }
            assert_eq!(found, wanted);
            let dead = self.model.dead.iter().filter(|(_, of, ..)| *of == topic);
            let dead: Vec<_> =
                dead.map(|(id, _, payload, reason)| (id.clone(), payload.clone(), reason.clone())).collect();
            assert_eq!(self.queue.dead(topic, 100).await.unwrap(), dead);
        }
    }

    async fn requeue(&mut self, which: usize) {
        let id = self.died.get(which).cloned().unwrap_or_else(|| "no such".into());
        let found = self.model.dead.iter().position(|(of, topic, ..)| *of == id && *topic == Topic::Jobs);
        assert_eq!(self.queue.requeue(Topic::Jobs, &id).await.unwrap(), found.is_some());
        if let Some(at) = found {
            let (_, topic, payload, _) = self.model.dead.remove(at);
            let visible_at = self.model.now;
            self.model.messages.push(Message { topic, payload, key: None, visible_at, receipt: None, receives: 0 });
        }
    }

    async fn enqueue(&mut self, topic: Topic, delay: u64, key: Option<u8>) {
        self.model.made += 1;
        let payload = self.model.made.to_string().into_bytes();
        let key = key.map(|key| format!("key {key}"));
        let delay_for = Duration::from_millis(delay);
        let message = Enqueue { payload: payload.clone(), delay: delay_for, dedup_key: key.clone() };
        self.queue.enqueue(topic, message).await.unwrap();
        if key.is_some() && self.model.messages.iter().any(|m| m.topic == topic && m.key == key) {
            return;
        }
        let visible_at = self.model.after(delay);
        self.model.messages.push(Message { topic, payload, key, visible_at, receipt: None, receives: 0 });
    }

    async fn receive(&mut self, topic: Topic, max: u32, lease: u64) {
        let received = self.queue.receive(topic, max, Duration::from_millis(lease), Duration::ZERO).await.unwrap();
        let (now, until) = (self.model.now, self.model.after(lease));
        let mut ready: Vec<&mut Message> =
            self.model.messages.iter_mut().filter(|m| m.topic == topic && m.visible_at <= now).collect();
        // Stable, so that equal ones stay in the order of their making.
        ready.sort_by_key(|m| m.visible_at);
        assert_eq!(received.len(), ready.len().min(max as usize), "{received:?}, expected of {ready:?}");
        for delivery in received {
            let at = if B::IN_ORDER { Some(0) } else { ready.iter().position(|m| m.payload == delivery.payload) };
            let message = ready.remove(at.expect("it was ready"));
            message.receives += 1;
            assert_eq!((delivery.payload, delivery.receives), (message.payload.clone(), message.receives));
            message.visible_at = until;
            message.receipt = Some(delivery.receipt.clone());
            assert!(!self.receipts.contains(&delivery.receipt), "a receipt is given out once");
            self.receipts.push(delivery.receipt);
        }
    }

    async fn settle(&mut self, op: Op, receipt: &Receipt) {
        let held = self.model.holder(receipt);
        let (queue, reason) = (&self.queue, format!("why {}", self.model.died + 1));
        let result = match op {
            Op::Ack(_) => queue.ack(receipt).await,
            Op::Release(_, delay) => queue.release(receipt, Duration::from_millis(delay)).await,
            Op::Extend(_, lease) => queue.extend(receipt, Duration::from_millis(lease)).await,
            Op::DeadLetter(_) => queue.dead_letter(receipt, &reason).await,
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
                    let id = self.queue.dead(message.topic, 100).await.unwrap().pop().expect("it is the last").0;
                    self.died.push(id.clone());
                    self.model.dead.push((id, message.topic, message.payload, reason));
                }
            }
        }
    }
}

/// The test.
pub(crate) fn behaves_as_a_list_does<B: Backend>() {
    each(B::CASES, proptest::collection::vec(op(), 1..80), async |ops| {
        let mut run = Run::<B>::new().await;
        for op in ops {
            run = run.step(op).await;
        }
    });
}

/// Tries `cases` of what may happen. Prints the seed first.
pub(crate) fn each<S: Strategy>(cases: u32, happenings: S, test: impl AsyncFn(S::Value)) {
    let mut config = Config { cases, failure_persistence: None, ..Config::default() };
    if config.rng_seed == RngSeed::Random {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        config.rng_seed = RngSeed::Fixed(u64::from(since.subsec_nanos()));
    }
    println!("to run this again: PROPTEST_RNG_SEED={}", config.rng_seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let tested = TestRunner::new(config).run(&happenings, |these| {
        runtime.block_on(test(these));
        Ok(())
    });
    if let Err(error) = tested {
        panic!("{error}");
    }
}
