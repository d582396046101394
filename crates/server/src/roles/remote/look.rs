//! What the service says of a bot when asked.

use std::time::Duration;

use muster_session::{EndReason, Input, Looked, Observation, Session, Timestamp};
use serde_json::Value;

use super::client::Trouble;
use super::{LOOK, RemoteSetup, applied};
use crate::roles::Backend;

impl RemoteSetup {
    /// Compares the session with what the service says, and passes an order to leave on.
    pub(super) async fn look(
        &self,
        backend: &Backend,
        session: &Session,
        there: &str,
    ) -> anyhow::Result<Option<Duration>> {
        if session.stop_requested.is_some()
            && let Err(trouble) = self.client.remove(there).await
        {
            tracing::warn!(bot = %session.id, source = self.source, %trouble, "an order to leave did not get through; trying again");
            return self.in_vain(backend, session, trouble, super::RETRY[0]).await;
        }
        let details = match self.client.details(there).await {
            Ok(details) => details,
            Err(trouble) => {
                tracing::warn!(bot = %session.id, source = self.source, %trouble, "the service does not say how a bot fares");
                return self.in_vain(backend, session, trouble, LOOK).await;
            }
        };
        if session.remote.as_ref().is_some_and(|remote| remote.unheard.is_some()) {
            applied(backend.apply(session.id, Input::RemoteLooked(Looked::Heard)).await)?;
        }
        let now = backend.clock.now();
        let Some(seen) = seen(&details, now) else { return Ok(Some(LOOK)) };
        match seen {
            Seen::Way(observation, at) => {
                applied(backend.apply(session.id, Input::Observe { observation, at }).await)?;
                Ok(Some(LOOK))
            }
            Seen::Over { admitted, reason, message, at } => {
                let input = Input::RemoteEnded { admitted, reason, message, at };
                applied(backend.apply(session.id, input).await)?;
                // What it brings is for the job that this caused.
                Ok(None)
            }
        }
    }

    /// Notes that the service did not answer. A service that refuses often enough has disowned the bot, and the session ends.
    async fn in_vain(
        &self,
        backend: &Backend,
        session: &Session,
        trouble: Trouble,
        pause: Duration,
    ) -> anyhow::Result<Option<Duration>> {
        let looked = match trouble {
            Trouble::Refused(why) => Looked::Refused(why),
            Trouble::Later { .. } => Looked::Away,
        };
        let next = applied(backend.apply(session.id, Input::RemoteLooked(looked)).await)?;
        // What one that was given up may have brought is for the job that its end caused.
        Ok(next.is_none_or(|session| session.state.is_live()).then_some(pause))
    }
}

/// How a bot fares.
#[derive(Debug, PartialEq)]
pub(super) enum Seen {
    /// It is on its way in, in its call, or on its way out.
    Way(Observation, Timestamp),
    /// It is out.
    Over { admitted: bool, reason: EndReason, message: String, at: Timestamp },
}

/// Reads `bot_details`; none if there is nothing to learn from it.
pub(super) fn seen(details: &Value, now: Timestamp) -> Option<Seen> {
    let step = |name: &str| Step::of(details, name);
    let at = |name: &str| step(name).and_then(|step| step.at).unwrap_or(now);
    let status = details["Status"].as_str()?;
    Some(match status.to_ascii_lowercase().as_str() {
        "inwaitingroom" => Seen::Way(Observation::WaitingRoom, at("WaitingRoom")),
        "inmeeting" => Seen::Way(Observation::InMeeting, at("InMeeting")),
        "recording" => Seen::Way(Observation::Recording, at("Recording")),
        "leaving" => Seen::Way(Observation::Leaving { why: None }, at("Leaving")),
        "stopped" | "notallowed" | "denied" | "error" | "failed" | "mediaprocessing" | "done" | "mediaexpired" => {
            let ends = [
                ("BotNotAllowed", EndReason::LobbyTimeout),
                ("BotRejected", EndReason::JoinDenied),
                ("Error", EndReason::Internal),
                ("Stopped", EndReason::CallEnded),
            ];
            let (step, kind) = ends
                .into_iter()
                .find_map(|(name, reason)| Some((step(name)?, reason)))
                .unwrap_or((Step::default(), EndReason::CallEnded));
            let told = details["end_reason"].as_str();
            let told = EndReason::ALL.iter().copied().find(|reason| Some(reason.as_str()) == told);
            let reason = told.unwrap_or(kind);
            let message = step.message.unwrap_or_else(|| reason.message().to_owned());
            let admitted = Step::of(details, "InMeeting").is_some();
            Seen::Over { admitted, reason, message, at: step.at.unwrap_or(now) }
        }
        _ => return None,
    })
}

/// A step of the timeline that was taken.
#[derive(Default)]
struct Step {
    message: Option<String>,
    at: Option<Timestamp>,
}

impl Step {
    fn of(details: &Value, name: &str) -> Option<Self> {
        let step = &details["StatusTimeline"][name];
        let text = |key: &str| step[key].as_str();
        (step["status"] == true).then(|| Self {
            message: text("message").filter(|message| !message.is_empty()).map(str::to_owned),
            at: text("timestamp").and_then(Timestamp::parse),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

    fn details(status: &str, steps: &[&str]) -> Value {
        let mut timeline = serde_json::Map::new();
        for name in ["InMeeting", "Stopped", "Error", "BotRejected"] {
            let step = json!({"status": steps.contains(&name), "message": name, "timestamp": "2026-09-21T14:13:19Z"});
            timeline.insert(name.to_owned(), step);
        }
        json!({"Status": status, "StatusTimeline": timeline})
    }

    #[test]
    fn every_status_says_how_far_it_is() {
        let at = NOW - Duration::from_secs(1);
        assert_eq!(seen(&details("InMeeting", &["InMeeting"]), NOW), Some(Seen::Way(Observation::InMeeting, at)));
        assert_eq!(seen(&details("InWaitingRoom", &[]), NOW), Some(Seen::Way(Observation::WaitingRoom, NOW)));
        for nothing in ["Joining", "Scheduled", "Active", ""] {
            assert_eq!(seen(&details(nothing, &[]), NOW), None, "{nothing}");
        }
        assert_eq!(seen(&Value::Null, NOW), None);
        let over = |status, steps: &[&str]| match seen(&details(status, steps), NOW) {
            Some(Seen::Over { admitted, reason, message, .. }) => (admitted, reason, message),
            other => panic!("{other:?}"),
        };
        assert_eq!(over("MediaProcessing", &["InMeeting", "Stopped"]), (true, EndReason::CallEnded, "Stopped".into()));
        assert_eq!(over("Denied", &["BotRejected"]), (false, EndReason::JoinDenied, "BotRejected".into()));
        assert_eq!(over("FAILED", &["InMeeting", "Error"]), (true, EndReason::Internal, "Error".into()));
        let mut own = details("Done", &["InMeeting", "Stopped"]);
        own["end_reason"] = "everyone_left".into();
        let Some(Seen::Over { reason, .. }) = seen(&own, NOW) else { panic!("it is over") };
        assert_eq!(reason, EndReason::EveryoneLeft);
    }
}
