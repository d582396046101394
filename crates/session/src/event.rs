//! Webhook events: the vocabulary, and the body that goes out.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use url::Url;

use crate::{BotId, EndReason, Timestamp};

/// Every `event` and `bot_event` of a bot. What receivers choose from.
pub const NAMES: [&str; 18] = [
    "bot.scheduled",
    "bot.joining",
    "bot.in_waiting_room",
    "bot.inmeeting",
    "bot.recording",
    "bot.leaving",
    "bot.stopped",
    "bot.kicked",
    "bot.notallowed",
    "bot.denied",
    "bot.failed",
    "manifest.completed",
    "manifest.skipped",
    "audio.processed",
    "transcription.processed",
    "transcription.failed",
    "bot.done",
    "data_deletion",
];

/// Events of people who come and go have their own receivers and are numbered from here on, so that the others have no gaps.
pub const ASIDE: u64 = 1 << 32;

/// One webhook, made in the same write as the transition that caused it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Event {
    /// The session.
    pub bot: BotId,
    /// Counts the events of a bot from 1, without gaps; receivers sort by it. Those beside the others count from [`ASIDE`] on.
    pub sequence: u64,
    /// When it happened. Never earlier than the event before it.
    pub at: Timestamp,
    /// The generic name; `bot.stopped` for every terminal event.
    pub event: String,
    /// The specific name.
    pub bot_event: String,
    /// Goes to this address instead of the bot's `callback_url`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Url>,
    /// The complete body. Fixed here, so that every delivery attempt sends the same bytes.
    pub body: Value,
}

/// The parts of a body that differ between events.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) event: &'static str,
    pub(crate) bot_event: &'static str,
    pub(crate) status: Option<&'static str>,
    pub(crate) code: u16,
    pub(crate) message: String,
    pub(crate) reason: Option<EndReason>,
    pub(crate) extra: Map<String, Value>,
    pub(crate) with_attributes: bool,
}

impl Draft {
    pub(crate) fn new(event: &'static str, status: Option<&'static str>, message: impl Into<String>) -> Self {
        Self {
            event,
            bot_event: event,
            status,
            code: 200,
            message: message.into(),
            reason: None,
            extra: Map::new(),
            with_attributes: true,
        }
    }

    pub(crate) fn code(mut self, code: u16) -> Self {
        self.code = code;
        self
    }

    pub(crate) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.extra.insert(key.to_owned(), value.into());
        self
    }

    /// Builds the event. `event_id` is derived from bot and sequence, so it is the same on every redelivery and in
    /// every attempt to write it.
    pub(crate) fn build(
        self,
        bot: BotId,
        sequence: u64,
        attempt: u32,
        at: Timestamp,
        custom_attributes: &Map<String, Value>,
    ) -> Event {
        debug_assert!(NAMES.contains(&self.event) && NAMES.contains(&self.bot_event), "{self:?} is in NAMES");
        let mut body = Map::new();
        body.insert("bot_id".into(), json!(bot));
        body.insert("event".into(), json!(self.event));
        body.insert("bot_event".into(), json!(self.bot_event));
        if let Some(status) = self.status {
            body.insert("bot_status".into(), json!(status));
        }
        body.insert("message".into(), json!(self.message));
        body.insert("status_code".into(), json!(self.code));
        body.insert("timestamp".into(), json!(at.to_rfc3339()));
        if self.with_attributes {
            body.insert("custom_attributes".into(), Value::Object(custom_attributes.clone()));
        }
        body.insert("event_id".into(), json!(event_id(bot, sequence)));
        body.insert("sequence".into(), json!(sequence));
        body.insert("attempt".into(), json!(attempt));
        if let Some(reason) = self.reason {
            body.insert("reason".into(), json!(reason));
            body.insert("fault".into(), json!(reason.fault()));
        }
        body.extend(self.extra);
        Event {
            bot,
            sequence,
            at,
            event: self.event.to_owned(),
            bot_event: self.bot_event.to_owned(),
            to: None,
            body: Value::Object(body),
        }
    }
}

/// The stable id of an event, used as `event_id` and `webhook-id`.
#[must_use]
pub fn event_id(bot: BotId, sequence: u64) -> String {
    format!("evt_{}_{sequence}", bot.as_uuid().as_simple())
}

/// The bot and the sequence that an [`event_id`] was made of.
#[must_use]
pub fn read_event_id(id: &str) -> Option<(BotId, u64)> {
    let (bot, sequence) = id.strip_prefix("evt_")?.split_once('_')?;
    let (bot, sequence) = (bot.parse().ok()?, sequence.parse().ok()?);
    (event_id(bot, sequence) == id).then_some((bot, sequence))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn an_id_can_be_read_and_nothing_else_is_one() {
        let bot = BotId::from_uuid(Uuid::from_u128(7));
        assert_eq!(read_event_id(&event_id(bot, 12)), Some((bot, 12)));
        let hyphened = format!("evt_{bot}_1");
        for wrong in ["", "evt_", "evt__1", "evt_x_1", "evt_00000000000000000000000000000007_+1", &hyphened] {
            assert_eq!(read_event_id(wrong), None, "{wrong}");
        }
    }
}
