//! One attempt at one webhook.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue};
use muster_session::event::{Event, event_id};
use muster_session::{BotId, Timestamp};
use muster_store::Endpoint;
use serde_json::json;
use tokio::time::Instant;
use url::Url;

use super::decide::{self, Outcome};
use crate::client::{CallError, GuardedClient, Limits, Post, SetupError};
use crate::guard::Policy;
use crate::resolve::NoTurn;
use crate::sign::{ID, Signer, TIMESTAMP};

/// How much of a receiver's answer is kept.
pub(super) const EXCERPT_BYTES: usize = 512;
/// How much of an answer is read, so that the connection can be used again.
const READ_BYTES: usize = 16 * 1024;
/// The name of the event that tests an endpoint.
const TEST: &str = "webhook.test";

/// Sends webhooks, each once: signs, guards and calls. Deliveries and tests of endpoints go through it alike. Clones share its
/// connections.
#[derive(Clone)]
pub struct Sender(Arc<dyn Post>);

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sender").field(&self.0).finish()
    }
}

/// How a test of an endpoint ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestResult {
    /// The answer's HTTP status; none if there was no answer.
    pub http_status: Option<u16>,
    /// Milliseconds until the answer or the failure.
    pub latency_ms: u64,
    /// First part of the answer's body, or what went wrong.
    pub detail: String,
}

/// How an attempt ended.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) outcome: Outcome,
    pub(super) retry_after: Option<Duration>,
    pub(super) latency_ms: u64,
    pub(super) detail: String,
}

impl Reply {
    pub(super) fn without(outcome: Outcome, started: Instant, detail: impl fmt::Display) -> Self {
        Self { outcome, retry_after: None, latency_ms: millis_since(started), detail: excerpt(detail.to_string()) }
    }
}

impl Sender {
    /// Reaches what `guard` lets through, and waits for an answer for `timeout` at most.
    pub fn new(guard: Policy, timeout: Duration) -> Result<Self, SetupError> {
        let limits = Limits { total: timeout, max_body_bytes: READ_BYTES, ..Limits::default() };
        Ok(Self::over(Arc::new(GuardedClient::new(guard, limits)?)))
    }

    /// Over any client. The guard and the timeout are then the client's.
    #[must_use]
    pub fn over(client: Arc<dyn Post>) -> Self {
        Self(client)
    }

    /// Sends an endpoint the event `webhook.test`, once, whatever events it takes and whether or not it is disabled. Nothing is
    /// written. Dropping the future gives the call up.
    pub async fn test(&self, endpoint: &Endpoint, now: Timestamp) -> TestResult {
        let event = test_event(endpoint, now);
        let reply = match Signer::of(endpoint.secrets_at(now)) {
            Ok(signer) => {
                let started = Instant::now();
                let sent = self.send(&event, &endpoint.url, &signer, now).await;
                sent.unwrap_or_else(|busy| Reply::without(Outcome::NoAnswer, started, busy))
            }
            Err(error) => Reply::without(Outcome::Refused, Instant::now(), error),
        };
        TestResult { http_status: reply.outcome.http_status(), latency_ms: reply.latency_ms, detail: reply.detail }
    }

    /// The attempt that begins at `at`; an error if it did not begin, through no fault of the receiver's.
    pub(super) async fn send(&self, event: &Event, url: &Url, signer: &Signer, at: Timestamp) -> Result<Reply, NoTurn> {
        let body = body(event);
        let headers = headers(event, signer, at, &body);
        let started = Instant::now();
        Ok(match self.0.post(url, headers, body).await {
            Ok(answer) => {
                let latency_ms = millis_since(started);
                let heard = at + started.elapsed();
                let retry_after = answer.headers.get(RETRY_AFTER).and_then(|value| decide::retry_after(value, heard));
                let detail = excerpt(String::from_utf8_lossy(&answer.body).into_owned());
                Reply { outcome: Outcome::Answered(answer.status.as_u16()), retry_after, latency_ms, detail }
            }
            Err(error @ CallError::Refused(_)) => Reply::without(Outcome::Refused, started, error),
            Err(CallError::Busy(busy)) => return Err(busy),
            Err(error) => Reply::without(Outcome::NoAnswer, started, error),
        })
    }
}

fn headers(event: &Event, signer: &Signer, at: Timestamp, body: &[u8]) -> HeaderMap {
    let id = event_id(event.bot, event.sequence);
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(TIMESTAMP, HeaderValue::from(at.as_millis().div_euclid(1000)));
    signer.sign(&mut headers, &id, at, body);
    headers.insert(ID, HeaderValue::try_from(id).expect("event ids are visible ASCII"));
    headers
}

/// A function of the stored event alone, so the bytes are the same in every attempt.
fn body(event: &Event) -> Bytes {
    serde_json::to_vec(&event.body).expect("a JSON value can always be written").into()
}

/// Each test is another event.
fn test_event(endpoint: &Endpoint, now: Timestamp) -> Event {
    let about = about(endpoint, now);
    let body = json!({
        "event": TEST,
        "bot_event": TEST,
        "message": "This is a test of the endpoint. It is about no bot.",
        "status_code": 200,
        "timestamp": now.to_rfc3339(),
        "event_id": event_id(about.0, about.1),
        "endpoint_id": endpoint.id,
    });
    own_event(about, TEST, now, body)
}

/// What identifies an event about an endpoint: its id in place of a bot's, and a time in place of a sequence number.
pub(super) fn about(endpoint: &Endpoint, time: Timestamp) -> (BotId, u64) {
    (BotId::from_uuid(endpoint.id.as_uuid()), time.as_millis().unsigned_abs())
}

/// An event about an endpoint.
pub(super) fn own_event((bot, sequence): (BotId, u64), name: &str, at: Timestamp, body: serde_json::Value) -> Event {
    Event { bot, sequence, at, event: name.to_owned(), bot_event: name.to_owned(), to: None, body }
}

fn millis_since(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// The first [`EXCERPT_BYTES`] of a text, cut between characters.
fn excerpt(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(EXCERPT_BYTES));
    text
}
