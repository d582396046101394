//! People who come and go, for those who want to be told at once.

use serde_json::json;

use super::Outcome;
use crate::event::{ASIDE, Event, event_id};
use crate::{Session, Timestamp};

/// Somebody who came or went.
pub(super) struct Person {
    pub(super) joined: bool,
    pub(super) id: String,
    pub(super) name: String,
}

impl Session {
    /// One event for each address that wants to know. Its shape is its own: there is no `bot_id` at the top.
    pub(super) fn tell_of(&mut self, person: &Person, out: &mut Outcome, at: Timestamp) {
        let Person { joined, id, name } = person;
        let action = if *joined { "join" } else { "leave" };
        let event = format!("participant_events.{action}");
        let start = self.admitted_at.unwrap_or(self.since);
        for hook in &self.media.participants {
            if !(if *joined { hook.joins } else { hook.leaves }) {
                continue;
            }
            self.asides += 1;
            let sequence = ASIDE + self.asides;
            let participant = json!({"id": id, "name": name, "full_name": name, "platform": self.meeting.platform});
            let body = json!({
                "event": event,
                "timestamp": at.to_rfc3339(),
                "data": {
                    "data": {
                        "action": action,
                        "participant": participant,
                        "timestamp": {"relative": at.since(start).as_secs_f64(), "absolute": at.to_rfc3339()},
                    },
                    "bot": {"id": self.id, "metadata": self.custom_attributes},
                },
                "custom_attributes": self.custom_attributes,
                "event_id": event_id(self.id, sequence),
            });
            out.events.push(Event {
                bot: self.id,
                sequence,
                at,
                event: event.clone(),
                bot_event: event.clone(),
                to: Some(hook.url.clone()),
                body,
            });
        }
    }
}
