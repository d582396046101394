//! The queue of a test or a simulation, in memory.
//!
//! It goes by the clock of the tokio runtime, so leases and delays pass in virtual time where that clock is paused. The same
//! calls in the same order have the same answers: there are no threads, random numbers or hashes in it, and waiting
//! receivers are woken in the order in which they began to wait.

mod lane;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use muster_session::Timestamp;
use muster_session::job::Topic;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::contract::LONGEST_WAIT;
use crate::{Delivery, Depth, Enqueue, Limits, Queue, QueueError, Receipt};
use lane::{Lane, Look};

/// Those of the embedded queue.
const LIMITS: Limits = Limits {
    max_delay: Duration::from_secs(366 * 86_400),
    max_lease: Duration::from_secs(7 * 86_400),
    max_payload_bytes: 1 << 20,
    max_receive: 512,
    deduplicates: true,
    exact_depth: true,
};

/// A [`Queue`] in memory. Clones share it: a clone that outlives a simulated process is what that process left behind.
#[derive(Clone, Debug)]
pub struct MemoryQueue {
    shared: Arc<Shared>,
}

/// Tells the time.
type Clock = Box<dyn Fn() -> Timestamp + Send + Sync>;

struct Shared {
    clock: Clock,
    state: Mutex<State>,
    /// By topic: something may have become receivable, or will sooner than was known.
    changed: BTreeMap<Topic, Notify>,
}

#[derive(Debug, Default)]
struct State {
    lanes: BTreeMap<Topic, Lane>,
    /// Messages and dead letters ever made, in all topics.
    last_id: u64,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("state", &self.state).finish_non_exhaustive()
    }
}

impl Default for MemoryQueue {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryQueue {
    /// An empty queue. Where the clock is paused, to be made on its runtime: time counts from here.
    #[must_use]
    pub fn new() -> Self {
        let began = Instant::now();
        Self::with_clock(Box::new(move || Timestamp::default() + began.elapsed()))
    }

    /// What is in a topic, ready, leased or delayed, and not set aside; oldest first.
    #[must_use]
    pub fn payloads(&self, topic: Topic) -> Vec<Vec<u8>> {
        self.shared.with(topic, |lane, _| lane.payloads())
    }

    fn with_clock(clock: Clock) -> Self {
        let changed = Topic::ALL.into_iter().map(|topic| (topic, Notify::new())).collect();
        Self { shared: Arc::new(Shared { clock, state: Mutex::default(), changed }) }
    }
}

impl Shared {
    fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// The time `pause` from now. Never early: the clock counts whole milliseconds, so its last one is not over yet.
    fn after(&self, pause: Duration) -> Timestamp {
        if pause.is_zero() {
            return self.now();
        }
        let up = pause.as_nanos().div_ceil(1_000_000).saturating_add(1);
        self.now() + Duration::from_millis(u64::try_from(up).unwrap_or(u64::MAX))
    }

    /// Does something with the messages of a topic. The second argument makes the next id.
    fn with<T>(&self, topic: Topic, work: impl FnOnce(&mut Lane, &mut dyn FnMut() -> u64) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { lanes, last_id } = &mut *state;
        let mut next_id = || {
            *last_id += 1;
            *last_id
        };
        work(lanes.entry(topic).or_default(), &mut next_id)
    }

    fn changed(&self, topic: Topic) -> &Notify {
        self.changed.get(&topic).expect("every topic has one")
    }
}

#[async_trait]
impl Queue for MemoryQueue {
    async fn enqueue(&self, topic: Topic, message: Enqueue) -> Result<(), QueueError> {
        LIMITS.check_message(&message)?;
        let visible_at = self.shared.after(message.delay);
        self.shared.with(topic, |lane, next_id| lane.add(next_id, message, visible_at));
        self.shared.changed(topic).notify_waiters();
        Ok(())
    }

    async fn receive(
        &self,
        topic: Topic,
        max: u32,
        lease: Duration,
        wait: Duration,
    ) -> Result<Vec<Delivery>, QueueError> {
        LIMITS.check_lease(lease)?;
        let max = max.min(LIMITS.max_receive);
        if max == 0 {
            return Ok(Vec::new());
        }
        let deadline = Instant::now() + wait.min(LONGEST_WAIT);
        loop {
            // Nobody can come between the look and the waiting but another thread: listen first, all the same.
            let change = self.shared.changed(topic).notified();
            tokio::pin!(change);
            change.as_mut().enable();
            let (now, until) = (self.shared.now(), self.shared.after(lease));
            let next_in = match self.shared.with(topic, |lane, _| lane.take(topic, max, now, until)) {
                // Nothing is awaited from here to the receiver, so nothing is taken for one that is gone.
                Look::Messages(deliveries) => return Ok(deliveries),
                Look::Nothing { next_in } => next_in.unwrap_or(LONGEST_WAIT),
            };
            let now = Instant::now();
            if now >= deadline {
                return Ok(Vec::new());
            }
            tokio::select! {
                biased;
                () = change => {}
                () = tokio::time::sleep_until(deadline.min(now + next_in)) => {}
            }
        }
    }

    async fn extend(&self, receipt: &Receipt, lease: Duration) -> Result<(), QueueError> {
        LIMITS.check_lease(lease)?;
        let (now, until) = (self.shared.now(), self.shared.after(lease));
        self.shared.with(receipt.topic, |lane, _| lane.extend(receipt, now, until))?;
        // It may be shorter than it was.
        self.shared.changed(receipt.topic).notify_waiters();
        Ok(())
    }

    async fn ack(&self, receipt: &Receipt) -> Result<(), QueueError> {
        let now = self.shared.now();
        self.shared.with(receipt.topic, |lane, _| lane.remove(receipt, now)).map(drop)
    }

    async fn release(&self, receipt: &Receipt, delay: Duration) -> Result<(), QueueError> {
        LIMITS.check_delay(delay)?;
        let (now, visible_at) = (self.shared.now(), self.shared.after(delay));
        self.shared.with(receipt.topic, |lane, _| lane.release(receipt, now, visible_at))?;
        self.shared.changed(receipt.topic).notify_waiters();
        Ok(())
    }

    async fn dead_letter(&self, receipt: &Receipt, reason: &str) -> Result<(), QueueError> {
        let now = self.shared.now();
        self.shared.with(receipt.topic, |lane, next_id| lane.set_aside(next_id, receipt, now, reason))
    }

    async fn dead(&self, topic: Topic, limit: u32) -> Result<Vec<(String, Vec<u8>, String)>, QueueError> {
        Ok(self.shared.with(topic, |lane, _| lane.dead(limit)))
    }

    async fn requeue(&self, topic: Topic, id: &str) -> Result<bool, QueueError> {
        let now = self.shared.now();
        let found = self.shared.with(topic, |lane, next_id| lane.put_back(next_id, id, now));
        self.shared.changed(topic).notify_waiters();
        Ok(found)
    }

    /// The age of the oldest ready message counts from when it became receivable.
    async fn depth(&self, topic: Topic) -> Result<Depth, QueueError> {
        let now = self.shared.now();
        Ok(self.shared.with(topic, |lane, _| lane.depth(now)))
    }

    fn limits(&self) -> Limits {
        LIMITS
    }
}
