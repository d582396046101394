//! The queue in Amazon SQS: one standard queue for each topic, and one for its dead letters.
//!
//! A lease is a visibility timeout. SQS counts in whole seconds, so leases, delays and waits are rounded up to them.
//!
//! # What differs from the contract
//!
//! - **Deduplication** (6): a standard queue has none. A second message with the same key is another message, and
//!   [`Limits::deduplicates`] says so. Consumers have to bear that from any backend: delivery is at least once.
//! - **Depth** (10): the counts are what SQS calls approximate, some seconds old, a message that was released with a delay
//!   counts as leased, and there is no age of the oldest message ([`Limits::exact_depth`]); CloudWatch has it as
//!   `ApproximateAgeOfOldestMessage`.
//! - **Lost leases** (4): SQS may accept a receipt after its visibility timeout. So every lease is also ended here, by the
//!   monotonic clock, counted from before the request that got it. What remains is a request that is on its way when the
//!   lease ends: it may be carried out after somebody else has received the message. A receipt from another process ends
//!   by the wall clock, whether it was settled there or not, and cannot [`dead_letter`](Queue::dead_letter): the payload is
//!   only where it was received.
//! - **Long leases**: SQS lets a message be held for 12 hours in all, extensions included. Beyond, an extension is
//!   [`QueueError::LeaseLost`].
//! - **Retention**: SQS drops what is 14 days old, dead letters too.
//! - What was received 1,000 times without being settled becomes a dead letter by itself (redrive policy).
//!
//! A receive that is given up finishes in the background, and what it gets is put back at once, with one receive counted.

mod claim;
mod dead;
mod error;
mod leases;
mod message;
mod migrate;
mod send;
mod settle;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::QueueAttributeName as Name;
use futures_util::future::try_join_all;
use muster_aws::{AwsSettings, SdkConfig, ServiceClock, SetupError};
use muster_session::job::Topic;
use tokio::time::Instant;

use crate::contract::LONGEST_WAIT;
use crate::{Delivery, Depth, Enqueue, Limits, Queue, QueueError, Receipt};
use leases::Leases;

const LIMITS: Limits = Limits {
    max_delay: Duration::from_secs(15 * 60),
    max_lease: Duration::from_secs(12 * 3_600),
    // SQS takes 1 MiB. What is not text grows by a third on the way, and a dead letter carries its reason too.
    max_payload_bytes: 256 << 10,
    max_receive: 10,
    deduplicates: false,
    exact_depth: false,
};
/// The longest that SQS waits for a message.
const LONGEST_POLL: Duration = Duration::from_secs(20);
/// For the first byte of an answer: a long poll has to fit in.
const ANSWER: Duration = Duration::from_secs(30);

/// Which queues, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqsSettings {
    /// Region, address, credentials.
    pub aws: AwsSettings,
    /// Queues are called `PREFIX-TOPIC` and `PREFIX-TOPIC-dead`. Letters, digits, `-` and `_`, at most 60.
    pub prefix: String,
}

/// A [`Queue`] in Amazon SQS. Clones share it.
#[derive(Clone, Debug)]
pub struct SqsQueue {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    client: Client,
    clock: ServiceClock,
    urls: BTreeMap<Topic, Urls>,
    leases: Leases,
    /// Receives that go on after their receiver, and messages on their way back.
    background: claim::Background,
    /// Dead letters can only be looked at by receiving them: one look at a time, or each sees a part.
    looking: tokio::sync::Mutex<()>,
}

#[derive(Clone, Debug)]
struct Urls {
    live: String,
    dead: String,
}

impl SqsQueue {
    /// Connects and checks that every queue is there with its redrive policy. Changes nothing, and gives up within seconds.
    pub async fn open(settings: &SqsSettings) -> Result<Self, SetupError> {
        let config = settings.aws.load_checked(ANSWER, &migrate::USE).await?;
        let clock = ServiceClock::default();
        let looking = client(&muster_aws::brief(&config), &clock);
        Self::open_with(&looking, client(&config, &clock), clock, settings).await
    }

    /// Makes the queues that are missing and sets right the attributes that differ; a dry run only says what it would do.
    /// Says each step before it is done; none means that there is nothing to do. No message is touched.
    pub async fn migrate(
        settings: &SqsSettings,
        dry_run: bool,
        tell: &mut (dyn FnMut(String) + Send),
    ) -> Result<(), SetupError> {
        let config = settings.aws.load_checked(ANSWER, &migrate::MAKE).await?;
        let client = client(&muster_aws::brief(&config), &ServiceClock::default());
        migrate::migrate(&client, settings, dry_run, tell).await
    }

    /// Milliseconds that this machine's clock is ahead of the service's, negative if it is behind; good to about a second.
    #[must_use]
    pub fn clock_ahead_ms(&self) -> Option<i64> {
        self.shared.clock.ahead_ms()
    }

    /// `looking`: for the checks alone.
    async fn open_with(
        looking: &Client,
        client: Client,
        clock: ServiceClock,
        settings: &SqsSettings,
    ) -> Result<Self, SetupError> {
        let found = Topic::ALL.map(|topic| migrate::verify(looking, settings, topic));
        let urls = Topic::ALL.into_iter().zip(try_join_all(found).await?).collect();
        let shared = Shared {
            client,
            clock,
            urls,
            leases: Leases::default(),
            background: claim::Background::new(),
            looking: tokio::sync::Mutex::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }
}

fn client(config: &SdkConfig, clock: &ServiceClock) -> Client {
    Client::from_conf(aws_sdk_sqs::config::Builder::from(config).interceptor(clock.clone()).build())
}

impl Shared {
    fn urls(&self, topic: Topic) -> &Urls {
        self.urls.get(&topic).expect("every topic was looked for at the start")
    }
}

#[async_trait]
impl Queue for SqsQueue {
    /// The deduplication key is not used: see [the module](self).
    async fn enqueue(&self, topic: Topic, message: Enqueue) -> Result<(), QueueError> {
        LIMITS.check_message(&message)?;
        let send = self.shared.client.send_message().queue_url(&self.shared.urls(topic).live);
        let send = send.message_body(message::encode(&message.payload)).delay_seconds(whole_seconds(message.delay));
        send.send().await.map_err(|error| error::of("sending", &error))?;
        Ok(())
    }

    /// Ten in a request.
    async fn enqueue_all(&self, topic: Topic, messages: Vec<Enqueue>) -> Result<(), QueueError> {
        messages.iter().try_for_each(|message| LIMITS.check_message(message))?;
        send::all(&self.shared, &self.shared.urls(topic).live, &messages).await
    }

    /// Without a `wait` SQS asks only some of its servers, and may miss what is there; with one it does not.
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
            let left = deadline.saturating_duration_since(Instant::now());
            let received = claim::receive(&self.shared, topic, max, lease, left).await?;
            if !received.is_empty() || Instant::now() >= deadline {
                return Ok(received);
            }
        }
    }

    async fn extend(&self, receipt: &Receipt, lease: Duration) -> Result<(), QueueError> {
        LIMITS.check_lease(lease)?;
        settle::extend(&self.shared, receipt, lease).await
    }

    async fn ack(&self, receipt: &Receipt) -> Result<(), QueueError> {
        settle::ack(&self.shared, receipt).await
    }

    async fn release(&self, receipt: &Receipt, delay: Duration) -> Result<(), QueueError> {
        LIMITS.check_delay(delay)?;
        settle::release(&self.shared, receipt, delay).await
    }

    /// A crash in the middle leaves the message in both places: it comes again.
    async fn dead_letter(&self, receipt: &Receipt, reason: &str) -> Result<(), QueueError> {
        settle::dead_letter(&self.shared, receipt, reason).await
    }

    /// Hides the dead letters that it looks at from others for the time it takes. Oldest first only among those it gets:
    /// SQS hands them out roughly in order.
    async fn dead(&self, topic: Topic, limit: u32) -> Result<Vec<(String, Vec<u8>, String)>, QueueError> {
        dead::list(&self.shared, topic, limit).await
    }

    /// Looks through the dead letters until it finds it: there is no other way in SQS. A crash in the middle leaves it in
    /// both places.
    async fn requeue(&self, topic: Topic, id: &str) -> Result<bool, QueueError> {
        dead::requeue(&self.shared, topic, id).await
    }

    async fn depth(&self, topic: Topic) -> Result<Depth, QueueError> {
        let urls = self.shared.urls(topic);
        let (live, dead) =
            tokio::try_join!(counts(&self.shared.client, &urls.live), counts(&self.shared.client, &urls.dead))?;
        Ok(Depth {
            ready: live.visible,
            leased: live.hidden,
            delayed: live.delayed,
            dead: dead.visible + dead.hidden + dead.delayed,
            oldest_ready: Duration::ZERO,
        })
    }

    fn limits(&self) -> Limits {
        LIMITS
    }
}

struct Counts {
    visible: u64,
    hidden: u64,
    delayed: u64,
}

async fn counts(client: &Client, url: &str) -> Result<Counts, QueueError> {
    const VISIBLE: Name = Name::ApproximateNumberOfMessages;
    const HIDDEN: Name = Name::ApproximateNumberOfMessagesNotVisible;
    const DELAYED: Name = Name::ApproximateNumberOfMessagesDelayed;
    let get = client.get_queue_attributes().queue_url(url).set_attribute_names(Some(vec![VISIBLE, HIDDEN, DELAYED]));
    let answer = get.send().await.map_err(|error| error::of("counting", &error))?;
    let number = |name: Name| {
        let text = answer.attributes().and_then(|all| all.get(&name)).map_or("", String::as_str);
        text.parse().map_err(|_| error::unexpected("counting", format!("{name} is {text:?}")))
    };
    Ok(Counts { visible: number(VISIBLE)?, hidden: number(HIDDEN)?, delayed: number(DELAYED)? })
}

/// Rounded up: never early.
fn whole_seconds(span: Duration) -> i32 {
    let up = span.as_secs() + u64::from(span.subsec_nanos() > 0);
    i32::try_from(up).unwrap_or(i32::MAX)
}
