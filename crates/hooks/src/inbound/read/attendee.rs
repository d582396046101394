//! Attendee's bodies: `{idempotency_key, bot_id, bot_metadata, trigger, data}`.

use muster_session::{ArtifactKind, EndReason, Observation};

use super::{Fields, Meaning, Said};
use crate::inbound::cause;

pub(super) fn read(fields: Fields<'_>) -> Said {
    let trigger = fields.text("/trigger").unwrap_or_default();
    let step = fields.text("/data/event_type").filter(|_| trigger == "bot.state_change");
    Said {
        id: fields.id("/idempotency_key"),
        event: step.map_or_else(|| trigger.to_owned(), |step| format!("{trigger}/{step}")),
        at: fields.time("/data/created_at"),
        ours: fields.bot("/bot_metadata/muster_bot_id"),
        theirs: fields.id("/bot_id"),
        meaning: match (trigger, step) {
            ("bot.state_change", Some(step)) => state(step, fields),
            ("async_transcription.state_change", _) => transcription(fields),
            _ => Meaning::Nothing,
        },
    }
}

fn state(step: &str, fields: Fields<'_>) -> Meaning {
    let why = fields.text("/data/event_sub_type");
    let ended = |otherwise| Meaning::ended(why.and_then(cause::attendee).unwrap_or(otherwise), why.unwrap_or(step));
    Meaning::Observed(match step {
        "join_requested" => Observation::Joining,
        "put_in_waiting_room" => Observation::WaitingRoom,
        "joined_meeting" => Observation::InMeeting,
        "recording_permission_granted" | "recording_resumed" => Observation::Recording,
        "leave_requested" => Observation::Leaving { why: why.and_then(cause::attendee) },
        "left_meeting" => return ended(EndReason::CallEnded),
        "meeting_ended" => return ended(EndReason::HostEnded),
        "could_not_join_meeting" | "fatal_error" => return ended(EndReason::Internal),
        "post_processing_completed" => Observation::Done,
        _ => return Meaning::Nothing,
    })
}

fn transcription(fields: Fields<'_>) -> Meaning {
    let failure = match fields.text("/data/state") {
        Some("complete") => None,
        Some("failed") => Some(fields.text("/data/failure_data/reason").unwrap_or("failed").to_owned()),
        _ => return Meaning::Nothing,
    };
    Meaning::Observed(Observation::Artifact { kind: ArtifactKind::Transcript, failure })
}
