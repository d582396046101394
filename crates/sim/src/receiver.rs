//! The customers' webhook receivers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use muster_hooks::client::{Answer, CallError, Post};
use muster_session::BotId;
use serde_json::Value;
use url::Url;

use crate::world::World;

/// The most that one event is refused: after more the next attempt is in hours.
const MOST_FAILURES: u32 = 2;

/// What the receiver of one bot got.
#[derive(Debug, Default)]
pub struct Received {
    /// By sequence: the bytes.
    pub events: BTreeMap<u64, Bytes>,
    failures: BTreeMap<u64, u32>,
}

/// Receives webhooks, and sometimes does not.
#[derive(Debug)]
pub struct Receiver {
    world: Arc<World>,
}

impl Receiver {
    /// For this world.
    #[must_use]
    pub const fn new(world: Arc<World>) -> Self {
        Self { world }
    }

    /// Takes an event down. Invariant: the same bytes each time.
    fn take(&self, bot: BotId, sequence: u64, body: &Bytes) {
        let known = {
            let mut state = self.world.state();
            let received = state.received.entry(bot).or_default();
            received.events.entry(sequence).or_insert_with(|| body.clone()).clone()
        };
        if known != *body {
            self.world.violate(|| format!("event {sequence} of session {bot} was sent with other bytes"));
        }
    }

    /// Whether this attempt fails, and how.
    fn fails(&self, bot: BotId, sequence: u64) -> Option<u32> {
        let drawn = self.world.dice(|rng| rng.u32(0..1_000));
        if self.world.is_calm() || drawn >= self.world.plot.sick_receivers {
            return None;
        }
        let mut state = self.world.state();
        let failures = state.received.entry(bot).or_default().failures.entry(sequence).or_default();
        *failures += 1;
        (*failures <= MOST_FAILURES).then_some(drawn)
    }
}

#[async_trait]
impl Post for Receiver {
    async fn post(&self, _url: &Url, _headers: HeaderMap, body: Bytes) -> Result<Answer, CallError> {
        let event: Value = serde_json::from_slice(&body).unwrap_or_default();
        let bot = event["bot_id"].as_str().and_then(|id| id.parse().ok());
        let (Some(bot), Some(sequence)) = (bot, event["sequence"].as_u64()) else {
            self.world.violate(|| format!("a webhook without bot_id or sequence: {event}"));
            return Err(CallError::Timeout);
        };
        self.world.tell(|| format!("webhook {sequence} {} of {bot}", event["bot_event"]));
        tokio::time::sleep(self.world.up_to(Duration::from_millis(200))).await;
        let status = match self.fails(bot, sequence).map(|drawn| drawn % 3) {
            // Taken, and nobody hears of it.
            Some(0) => {
                self.take(bot, sequence, &body);
                return Err(CallError::Timeout);
            }
            Some(1) => return Err(CallError::Timeout),
            Some(_) => StatusCode::SERVICE_UNAVAILABLE,
            None => {
                self.take(bot, sequence, &body);
                StatusCode::OK
            }
        };
        Ok(Answer { status, headers: HeaderMap::new(), body: Bytes::new() })
    }
}
