use std::time::Duration;

use async_trait::async_trait;
use muster_session::Fault;
use muster_session::job::Topic;

/// A queue of small messages by topic.
///
/// # Contract
///
/// 1. An `Ok` from [`enqueue`](Self::enqueue) means that the message survives the death of any process right after. An `Ok`
///    from [`enqueue_all`](Self::enqueue_all) means that of every one of its messages.
/// 2. A message is delivered at least once, and while its lease holds to nobody else.
/// 3. A lease that runs out without a word makes the message receivable again, with one more receive counted.
/// 4. [`ack`](Self::ack), [`release`](Self::release), [`extend`](Self::extend) and [`dead_letter`](Self::dead_letter) with a receipt whose
///    lease was lost answer [`QueueError::LeaseLost`] and change nothing.
/// 5. A delayed message is not received before its time.
/// 6. A second enqueue with a deduplication key that is still in the queue is accepted and adds nothing, if the backend
///    [can tell](Limits::deduplicates); otherwise it is accepted and adds another message.
/// 7. [`receive`](Self::receive) answers at once when something is there, at most `max` of it, and otherwise when something
///    arrives or `wait` is over, with an empty list. Dropping the future loses nothing.
/// 8. Messages of equal readiness come roughly in the order they were enqueued; order is not promised.
/// 9. Dead letters keep payload and reason, are not received, and can be put back with their receive count at zero.
/// 10. [`depth`](Self::depth) counts ready, leased, delayed and dead messages and the age of the oldest ready one, if the
///     backend [can tell](Limits::exact_depth); otherwise the counts become right some time after the last change, and the
///     age is zero.
#[async_trait]
pub trait Queue: Send + Sync + std::fmt::Debug + 'static {
    /// Adds a message.
    async fn enqueue(&self, topic: Topic, message: Enqueue) -> Result<(), QueueError>;

    /// Adds messages as so many calls of [`enqueue`](Self::enqueue) do one after the other, for less where the backend can.
    /// After an error any number of them may be there.
    async fn enqueue_all(&self, topic: Topic, messages: Vec<Enqueue>) -> Result<(), QueueError> {
        for message in messages {
            self.enqueue(topic, message).await?;
        }
        Ok(())
    }

    /// Takes up to `max` messages, each under a lease of `lease`. Waits up to `wait` for the first. Cancel safe.
    async fn receive(
        &self,
        topic: Topic,
        max: u32,
        lease: Duration,
        wait: Duration,
    ) -> Result<Vec<Delivery>, QueueError>;

    /// Holds a message for `lease` from now.
    async fn extend(&self, receipt: &Receipt, lease: Duration) -> Result<(), QueueError>;

    /// Done: removes it.
    async fn ack(&self, receipt: &Receipt) -> Result<(), QueueError>;

    /// Not now: receivable again after `delay`.
    async fn release(&self, receipt: &Receipt, delay: Duration) -> Result<(), QueueError>;

    /// Never: sets it aside with a reason.
    async fn dead_letter(&self, receipt: &Receipt, reason: &str) -> Result<(), QueueError>;

    /// Dead letters of a topic, oldest first: (id, payload, reason).
    async fn dead(&self, topic: Topic, limit: u32) -> Result<Vec<(String, Vec<u8>, String)>, QueueError>;

    /// Puts a dead letter back; true if it was there.
    async fn requeue(&self, topic: Topic, id: &str) -> Result<bool, QueueError>;

    /// How full a topic is.
    async fn depth(&self, topic: Topic) -> Result<Depth, QueueError>;

    /// What this backend cannot exceed.
    fn limits(&self) -> Limits;
}

/// A message to add.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Enqueue {
    /// The message; at most [`Limits::max_payload_bytes`].
    pub payload: Vec<u8>,
    /// Not to be received before this has passed.
    pub delay: Duration,
    /// At most one message with this key is in the queue.
    pub dedup_key: Option<String>,
}

/// A received message. Settle it with its receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The right to settle it.
    pub receipt: Receipt,
    /// The message.
    pub payload: Vec<u8>,
    /// How often it was received, this time included.
    pub receives: u32,
}

/// The right to settle one delivery, as long as its lease holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Where it came from.
    pub topic: Topic,
    /// The backend's name for the message.
    pub id: String,
    /// The backend's name for this lease of it.
    pub token: String,
}

/// How full a topic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Depth {
    /// Receivable now.
    pub ready: u64,
    /// Under a lease.
    pub leased: u64,
    /// Waiting for their time.
    pub delayed: u64,
    /// Set aside.
    pub dead: u64,
    /// Age of the oldest ready message.
    pub oldest_ready: Duration,
}

/// What a backend cannot exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest delay.
    pub max_delay: Duration,
    /// Longest lease.
    pub max_lease: Duration,
    /// Largest payload.
    pub max_payload_bytes: usize,
    /// Most messages in one receive.
    pub max_receive: u32,
    /// Deduplication keys are looked at (contract 6).
    pub deduplicates: bool,
    /// Depth is exact at the moment it is asked for (contract 10).
    pub exact_depth: bool,
}

impl Limits {
    /// [`QueueError::OverLimit`] if a message cannot be added.
    pub(crate) fn check_message(&self, message: &Enqueue) -> Result<(), QueueError> {
        within(message.payload.len() <= self.max_payload_bytes, "the payload")?;
        self.check_delay(message.delay)
    }

    /// [`QueueError::OverLimit`] if a message cannot be delayed for so long.
    pub(crate) fn check_delay(&self, delay: Duration) -> Result<(), QueueError> {
        within(delay <= self.max_delay, "the delay")
    }

    /// [`QueueError::OverLimit`] if a message cannot be leased for so long.
    pub(crate) fn check_lease(&self, lease: Duration) -> Result<(), QueueError> {
        within(lease <= self.max_lease, "the lease")
    }
}

fn within(fits: bool, what: &'static str) -> Result<(), QueueError> {
    if fits { Ok(()) } else { Err(QueueError::OverLimit { what }) }
}

/// Stands for "for ever" where a wait would overflow.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(366 * 86_400);

/// Why a queue did not do it. Variants are what the caller does next.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// Somebody else may have it by now: drop the work.
    #[error("the lease on the message was lost")]
    LeaseLost,
    /// Beyond [`Limits`].
    #[error("{what} is over the queue's limit")]
    OverLimit {
        /// What.
        what: &'static str,
    },
    /// Out of reach or overloaded: try again later.
    #[error("the queue is unavailable: {detail}")]
    Unavailable {
        /// What it said.
        detail: String,
        /// The backend's error.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}

impl QueueError {
    /// Who can do something about it.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        Fault::Us
    }
}
