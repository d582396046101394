//! Sends the store's pending webhooks.
//!
//! The ledger in the store is the truth; the queue only says which bot is worth looking at. A message may come twice or
//! late without harm, and a delivery that was made but not recorded is made again with the same id and the same bytes.
//!
//! [`decide`] holds the rules, [`Deliverer::deliver_bot`] is the step, [`Deliverer::run`] the loop.

pub mod decide;
mod hosts;
mod run;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue};
use muster_queue::{JobQueue, QueueError};
use muster_session::event::event_id;
use muster_session::{BotId, Fault, Timestamp};
use muster_store::{Attempt, Delivery, SessionStore, StoreError};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::client::{GuardedClient, Limits, Post, SetupError};
use crate::guard::Policy;
use crate::sign::{ID, SecretError, SigningSecret, TIMESTAMP};
use decide::{Next, Outcome};
use hosts::Hosts;

/// How much of a receiver's answer is kept.
const EXCERPT_BYTES: usize = 512;
/// How much of an answer is read, so that the connection can be used again.
const READ_BYTES: usize = 16 * 1024;
/// First guess at how many deliveries of one bot are pending.
const PAGE: u32 = 256;
/// Pause of a bot whose receiver has all the connections it may have.
const BUSY_PAUSE: Duration = Duration::from_secs(2);

/// How deliveries are made.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What may be reached.
    pub guard: Policy,
    /// `whsec_…`: signs every webhook.
    pub signing_secret: Option<String>,
    /// Longest wait for one receiver's answer.
    pub timeout: Duration,
    /// Bots delivered for at a time. One receiver gets at most a quarter of it.
    pub concurrency: usize,
}

/// Why deliveries stopped. A receiver's failure is not among them: it is in the ledger.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The ledger did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The queue did not answer.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The signing secret is not one.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The client could not be built.
    #[error(transparent)]
    Client(#[from] SetupError),
}

impl Error {
    /// Who can do something about it.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        Fault::Us
    }
}

/// Delivers webhooks. Clones share their limits.
#[derive(Clone)]
pub struct Deliverer(Arc<Inner>);

struct Inner {
    store: Arc<dyn SessionStore>,
    queue: JobQueue,
    client: Arc<dyn Post>,
    jitter: fn() -> f64,
    secret: Option<SigningSecret>,
    clock: Box<dyn Fn() -> Timestamp + Send + Sync>,
    concurrency: usize,
    hosts: Hosts,
    busy: run::Busy,
}

impl fmt::Debug for Deliverer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deliverer").field("concurrency", &self.0.concurrency).finish_non_exhaustive()
    }
}

impl Deliverer {
    /// A deliverer that reaches customers through the guard and tells the time by `clock`.
    pub fn new(
        store: Arc<dyn SessionStore>,
        queue: JobQueue,
        settings: Settings,
        clock: impl Fn() -> Timestamp + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let limits = Limits { total: settings.timeout, max_body_bytes: READ_BYTES, ..Limits::default() };
        let client = Arc::new(GuardedClient::new(settings.guard.clone(), limits)?);
        Self::over(store, queue, client, settings, clock, jitter)
    }

    /// The same over any client, with jitter in `0.0..=1.0` from anywhere. The guard and the timeout are then the client's.
    pub fn over(
        store: Arc<dyn SessionStore>,
        queue: JobQueue,
        client: Arc<dyn Post>,
        settings: Settings,
        clock: impl Fn() -> Timestamp + Send + Sync + 'static,
        jitter: fn() -> f64,
    ) -> Result<Self, Error> {
        let secret = settings.signing_secret.as_deref().map(SigningSecret::parse).transpose()?;
        let concurrency = settings.concurrency.max(1);
        Ok(Self(Arc::new(Inner {
            store,
            queue,
            client,
            jitter,
            secret,
            clock: Box::new(clock),
            concurrency,
            hosts: Hosts::new((concurrency / 4).max(1)),
            busy: run::Busy::default(),
        })))
    }

    /// Makes every delivery of a bot that is due, one after another in order of their sequence, and answers when to
    /// come back: `None` when nothing is pending any more.
    ///
    /// A delivery that was never tried holds back the later ones; one that failed does not, so a single event that its
    /// receiver cannot stand stops nothing. Each attempt is in the ledger before the next begins. Not cancel safe: a
    /// dropped attempt may have arrived and will be made again.
    pub async fn deliver_bot(&self, bot: BotId) -> Result<Option<Timestamp>, Error> {
        self.deliver_until(bot, &CancellationToken::new()).await
    }

    /// As [`deliver_bot`](Self::deliver_bot), but begins no further attempt once `stop` is cancelled.
    async fn deliver_until(&self, bot: BotId, stop: &CancellationToken) -> Result<Option<Timestamp>, Error> {
        loop {
            let pending = self.pending(bot).await?;
            let now = (self.0.clock)();
            let delivery = match decide::next(&pending, now) {
                Next::Nothing => return Ok(None),
                Next::Wait(until) => return Ok(Some(until)),
                Next::Send(delivery) => delivery,
            };
            if stop.is_cancelled() {
                return Ok(Some(now));
            }
            let Some(_permit) = self.0.hosts.enter(&delivery.url) else {
                return Ok(Some(now + BUSY_PAUSE.mul_f64(1.0 + (self.0.jitter)())));
            };
            self.attempt(delivery).await?;
        }
    }

    /// All pending deliveries of a bot. One page is nearly always enough; failed ones at the front must not hide the rest.
    async fn pending(&self, bot: BotId) -> Result<Vec<Delivery>, StoreError> {
        let mut limit = PAGE;
        loop {
            let pending = self.0.store.pending_deliveries(bot, limit).await?;
            if pending.len() < limit as usize || limit == u32::MAX {
                return Ok(pending);
            }
            limit = limit.saturating_mul(8);
        }
    }

    async fn attempt(&self, delivery: &Delivery) -> Result<(), Error> {
        let at = (self.0.clock)();
        let body = body(delivery);
        let headers = self.headers(delivery, at, &body);
        let started = Instant::now();
        let answer = self.0.client.post(&delivery.url, headers, body).await;
        let latency_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let now = (self.0.clock)();
        let (outcome, retry_after, detail) = match answer {
            Ok(answer) => {
                let retry_after = answer.headers.get(RETRY_AFTER).and_then(|value| decide::retry_after(value, now));
                (
                    Outcome::Answered(answer.status.as_u16()),
                    retry_after,
                    String::from_utf8_lossy(&answer.body).into_owned(),
                )
            }
            Err(error) => (Outcome::NoAnswer, None, error.to_string()),
        };
        let status = decide::after_attempt(outcome, delivery.failures, retry_after, now, (self.0.jitter)());
        tracing::debug!(
            bot = %delivery.event.bot, sequence = delivery.event.sequence, event = delivery.event.bot_event,
            ?outcome, ?status, latency_ms, "webhook attempt"
        );
        let attempt = Attempt { at, http_status: outcome.http_status(), latency_ms, detail: excerpt(detail) };
        Ok(self.0.store.record_attempt(delivery.id, attempt, status).await?)
    }

    fn headers(&self, delivery: &Delivery, at: Timestamp, body: &[u8]) -> HeaderMap {
        let id = event_id(delivery.event.bot, delivery.event.sequence);
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(TIMESTAMP, HeaderValue::from(at.as_millis().div_euclid(1000)));
        if let Some(secret) = &self.0.secret {
            secret.sign(&mut headers, &id, at, body);
        }
        headers.insert(ID, HeaderValue::try_from(id).expect("event ids are visible ASCII"));
        headers
    }
}

/// The bytes of a delivery: a function of the stored event alone, so they are the same in every attempt.
fn body(delivery: &Delivery) -> Bytes {
    serde_json::to_vec(&delivery.event.body).expect("a JSON value can always be written").into()
}

/// The first [`EXCERPT_BYTES`] of a text, cut between characters.
fn excerpt(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(EXCERPT_BYTES));
    text
}

/// Uniform in `0.0..1.0`; 0.5 if the system has no randomness to give.
fn jitter() -> f64 {
    getrandom::u32().map_or(0.5, |random| f64::from(random) / (f64::from(u32::MAX) + 1.0))
}
