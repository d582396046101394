//! MeetStream's bodies, of all three generations, and Muster's own.
//!
//! The oldest has `event` alone and ends every bot with `bot.stopped`, the cause in `bot_status`; the next has `bot_event`
//! alone and a name for each cause; the newest has both. Others who write like MeetStream may wrap it as Standard Webhooks
//! advises: `{type, timestamp, data}`.

use muster_session::{ArtifactKind, EndReason, Observation};

use super::{Fields, Meaning, Said, hash};

pub(super) fn read(fields: Fields<'_>) -> Said {
    let of = |key: &str| [format!("/{key}"), format!("/data/{key}")];
    let text = |key: &str| of(key).iter().find_map(|at| fields.text(at));
    let event = text("bot_event").or_else(|| text("event")).or_else(|| fields.text("/type")).unwrap_or_default();
    let theirs = of("bot_id").iter().find_map(|at| fields.id(at));
    let ours = of("custom_attributes/muster_bot_id").iter().find_map(|at| fields.bot(at));
    let time = of("timestamp").iter().find_map(|at| fields.id(at));
    let id = text("event_id").map(str::to_owned).or_else(|| match (&theirs, event) {
        (None, _) | (_, "") => None,
        // What MeetStream tells its receivers to tell events apart by.
        (Some(bot), event) => Some(hash(&[bot.as_bytes(), event.as_bytes(), time.unwrap_or_default().as_bytes()])),
    });
    let words = event.is_empty() && (fields.get("/transcript").is_some() || fields.get("/words").is_some());
    Said {
        id,
        event: event.to_owned(),
        at: of("timestamp").iter().find_map(|at| fields.time(at)),
        ours: ours.or_else(|| fields.bot("/data/bot/metadata/muster_bot_id")),
        theirs: theirs.or_else(|| fields.id("/data/bot/id")),
        meaning: if words { Meaning::Words } else { meaning(event, &text) },
    }
}

fn meaning<'a>(event: &str, text: &impl Fn(&str) -> Option<&'a str>) -> Meaning {
    let message = || text("message").unwrap_or(event).to_owned();
    let failed =
        |status: &str| text(status).is_some_and(|status| matches!(&*status.to_lowercase(), "failed" | "error"));
    let artifact = |kind, failed: bool| Observation::Artifact { kind, failure: failed.then(message) };
    Meaning::Observed(match event {
        "bot.joining" => Observation::Joining,
        "bot.in_waiting_room" => Observation::WaitingRoom,
        "bot.inmeeting" => Observation::InMeeting,
        "bot.recording" => Observation::Recording,
        "bot.leaving" => Observation::Leaving { why: None },
        "bot.done" => Observation::Done,
        "participant_events.join" | "participant_events.leave" => match person(event, text) {
            Some(person) => person,
            None => return Meaning::Nothing,
        },
        "manifest.completed" => artifact(ArtifactKind::Manifest, failed("manifest_status") || failed("status")),
        "manifest.skipped" => artifact(ArtifactKind::Manifest, true),
        "audio.processed" => artifact(ArtifactKind::Audio, failed("audio_status") || failed("status")),
        "transcription.processed" => {
            artifact(ArtifactKind::Transcript, failed("transcript_status") || failed("status"))
        }
        "bot.transcriptionready" => artifact(ArtifactKind::Transcript, false),
        "transcription.failed" => artifact(ArtifactKind::Transcript, true),
        _ => match ended(event, text) {
            Some(reason) => Observation::Ended { reason, message: message() },
            None => return Meaning::Nothing,
        },
    })
}

/// Who came or went. The shape is that of no other event, and has no status.
fn person<'a>(event: &str, text: &impl Fn(&str) -> Option<&'a str>) -> Option<Observation> {
    let of = |key: &str| text(&format!("data/participant/{key}"));
    let name = of("full_name").or_else(|| of("name"))?.to_owned();
    Some(Observation::Person { joined: event.ends_with(".join"), id: of("id").unwrap_or(&name).to_owned(), name })
}

/// Why it ended, if this says that it did.
fn ended<'a>(event: &str, text: &impl Fn(&str) -> Option<&'a str>) -> Option<EndReason> {
    let by_name = match event {
        "bot.stopped" => None,
        "bot.kicked" => Some(EndReason::Kicked),
        "bot.notallowed" => Some(EndReason::LobbyTimeout),
        "bot.denied" => Some(EndReason::JoinDenied),
        "bot.failed" => Some(EndReason::Internal),
        _ if text("event") == Some("bot.stopped") => None,
        _ => return None,
    };
    let by_status = || match &*text("bot_status").unwrap_or_default().to_lowercase() {
        "notallowed" => EndReason::LobbyTimeout,
        "denied" => EndReason::JoinDenied,
        "error" | "failed" => EndReason::Internal,
        _ => EndReason::CallEnded,
    };
    let ours = text("reason").and_then(|name| EndReason::ALL.iter().copied().find(|reason| reason.as_str() == name));
    Some(ours.or(by_name).unwrap_or_else(by_status))
}
