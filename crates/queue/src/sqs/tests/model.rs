//! Random operations on the queue and on a plain list, compared after each. Time stands still: every lease and delay is
//! longer than a test.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::model::each;

#[derive(Clone, Debug)]
enum Op {
    Enqueue {
        topic: usize,
        delayed: bool,
    },
    Receive {
        topic: usize,
        max: u32,
    },
    /// The rest settle a receipt that was given out before, whether it still holds or not.
    Ack(usize),
    Release {
        which: usize,
        delayed: bool,
    },
    Extend(usize),
    DeadLetter(usize),
    Requeue(usize),
    Reopen,
}

fn op() -> impl Strategy<Value = Op> {
    let (topic, which) = (0..2usize, 0..8usize);
    let delayed = || prop::bool::weighted(0.2);
    prop_oneof![
        6 => (topic.clone(), delayed()).prop_map(|(topic, delayed)| Op::Enqueue { topic, delayed }),
        6 => (topic, 1..4u32).prop_map(|(topic, max)| Op::Receive { topic, max }),
        3 => which.clone().prop_map(Op::Ack),
        3 => (which.clone(), delayed()).prop_map(|(which, delayed)| Op::Release { which, delayed }),
        2 => which.clone().prop_map(Op::Extend),
        2 => which.clone().prop_map(Op::DeadLetter),
        1 => which.prop_map(Op::Requeue),
        1 => Just(Op::Reopen),
    ]
}

#[derive(Clone, Debug, PartialEq)]
enum Place {
    Ready,
    Leased(Receipt),
    Delayed,
    /// Released with a delay: SQS counts it as leased.
    Paused,
    Dead,
    Gone,
}

#[derive(Clone, Debug)]
struct Message {
    topic: Topic,
    place: Place,
    receives: u32,
}

struct Run {
    queues: Queues,
    queue: SqsQueue,
    /// By payload.
    messages: BTreeMap<Vec<u8>, Message>,
    receipts: Vec<Receipt>,
    /// From before the queue was opened again: another process's, as far as it knows.
    foreign: Vec<Receipt>,
}

impl Run {
    fn of_topic(&self, topic: Topic, wanted: impl Fn(&Place) -> bool) -> u64 {
        self.messages.values().filter(|m| m.topic == topic && wanted(&m.place)).count() as u64
    }

    async fn step(&mut self, op: Op) {
        match op {
            Op::Enqueue { topic, delayed } => {
                let payload = format!("m{}", self.messages.len()).into_bytes();
                let delay = if delayed { LONG } else { Duration::ZERO };
                let message = Enqueue { payload: payload.clone(), delay, dedup_key: None };
                self.queue.enqueue(Topic::ALL[topic], message).await.unwrap();
                let place = if delayed { Place::Delayed } else { Place::Ready };
                self.messages.insert(payload, Message { topic: Topic::ALL[topic], place, receives: 0 });
            }
            Op::Receive { topic, max } => self.receive(Topic::ALL[topic], max).await,
            Op::Requeue(which) => {
                let dead = self.queue.dead(Topic::Jobs, 10).await.unwrap();
                let Some((id, payload, _)) = dead.get(which) else { return };
                assert!(self.queue.requeue(Topic::Jobs, id).await.unwrap());
                assert!(!self.queue.requeue(Topic::Jobs, id).await.unwrap());
                let message = self.messages.get_mut(payload).unwrap();
                (message.place, message.receives) = (Place::Ready, 0);
            }
            Op::Reopen => {
                self.queue = SqsQueue::open(&self.queues.0).await.unwrap();
                // What was settled is known to the process that did it, and to no other.
                let messages = &self.messages;
                let holds = |receipt: &Receipt| messages.values().any(|m| m.place == Place::Leased(receipt.clone()));
                self.foreign.extend(std::mem::take(&mut self.receipts).into_iter().filter(holds));
            }
            Op::Ack(which) | Op::Release { which, .. } | Op::Extend(which) | Op::DeadLetter(which) => {
                self.settle(op, which).await;
            }
        }
        for topic in [Topic::Jobs, Topic::Media] {
            let depth = self.queue.depth(topic).await.unwrap();
            assert_eq!(depth.ready, self.of_topic(topic, |place| *place == Place::Ready));
            assert_eq!(depth.leased, self.of_topic(topic, |p| matches!(p, Place::Leased(_) | Place::Paused)));
            assert_eq!(depth.delayed, self.of_topic(topic, |place| *place == Place::Delayed));
            assert_eq!(depth.dead, self.of_topic(topic, |place| *place == Place::Dead));
        }
    }

    async fn receive(&mut self, topic: Topic, max: u32) {
        let received = self.queue.receive(topic, max, LONG, Duration::ZERO).await.unwrap();
        let ready = self.of_topic(topic, |place| *place == Place::Ready);
        assert_eq!(received.len() as u64, ready.min(u64::from(max)));
        for delivery in received {
            let message = self.messages.get_mut(&delivery.payload).unwrap();
            assert_eq!((message.topic, &message.place), (topic, &Place::Ready));
            message.receives += 1;
            assert_eq!(delivery.receives, message.receives);
            message.place = Place::Leased(delivery.receipt.clone());
            self.receipts.push(delivery.receipt);
        }
    }

    async fn settle(&mut self, op: Op, which: usize) {
        // Recent ones, so that many of them still hold.
        let foreign = which >= self.receipts.len();
        let known = self.receipts.iter().rev().chain(self.foreign.iter().rev()).nth(which);
        let Some(receipt) = known.cloned() else { return };
        let (delay, place) = match op {
            Op::Release { delayed: true, .. } => (LONG, Place::Paused),
            Op::Release { delayed: false, .. } => (Duration::ZERO, Place::Ready),
            Op::Ack(_) => (Duration::ZERO, Place::Gone),
            Op::DeadLetter(_) => (Duration::ZERO, Place::Dead),
            _ => (Duration::ZERO, Place::Leased(receipt.clone())),
        };
        let result = match op {
            Op::Ack(_) => self.queue.ack(&receipt).await,
            Op::Release { .. } => self.queue.release(&receipt, delay).await,
            Op::Extend(_) => self.queue.extend(&receipt, LONG).await,
            Op::DeadLetter(_) => self.queue.dead_letter(&receipt, "why").await,
            other => unreachable!("{other:?} settles nothing"),
        };
        let holder = self.messages.values_mut().find(|m| m.place == Place::Leased(receipt.clone()));
        match (result, holder) {
            (Ok(()), Some(message)) => message.place = place,
            // What another process received cannot be set aside.
            (Err(QueueError::LeaseLost), Some(_)) if foreign && matches!(op, Op::DeadLetter(_)) => {}
            (Err(QueueError::LeaseLost), None) => {}
            (result, holder) => panic!("{result:?} of {holder:?}"),
        }
        if foreign {
            self.foreign.retain(|known| *known != receipt || matches!(op, Op::Extend(_) | Op::DeadLetter(_)));
        }
    }
}

#[test]
fn it_behaves_as_a_list_does() {
    if Queues::new().is_none() {
        return;
    }
    each(8, proptest::collection::vec(op(), 1..50), async |ops| {
        let queues = Queues::new().unwrap();
        let queue = queues.queue().await;
        let (messages, receipts, foreign) = (BTreeMap::new(), Vec::new(), Vec::new());
        let mut run = Run { queues, queue, messages, receipts, foreign };
        for op in ops {
            run.step(op).await;
        }
    });
}
