//! Vexa's bodies: `{event_id, event_type, created_at, data: {meeting, status_change}}`. A bot has no id of its own there: its
//! meeting has.

use muster_session::{ArtifactKind, EndReason, Observation};

use super::{Fields, Meaning, Said};
use crate::inbound::cause;

pub(super) fn read(fields: Fields<'_>) -> Said {
    let event = fields.text("/event_type").unwrap_or_default();
    Said {
        id: fields.id("/event_id"),
        event: event.to_owned(),
        at: ["/data/status_change/timestamp", "/created_at"].iter().find_map(|at| fields.time(at)),
        ours: None,
        theirs: ["/data/meeting/id", "/meeting/id"].iter().find_map(|at| fields.id(at)),
        meaning: meaning(event, fields),
    }
}

fn meaning(event: &str, fields: Fields<'_>) -> Meaning {
    let artifact = |kind| Meaning::Observed(Observation::Artifact { kind, failure: None });
    match event {
        "meeting.started" => Meaning::Observed(Observation::InMeeting),
        "meeting.status_change" => fields
            .first(&["/data/status_change/to", "/data/meeting/status", "/meeting/status"])
            .map_or(Meaning::Nothing, |to| status(to, fields)),
        "meeting.completed" => ended(EndReason::CallEnded, "completed", fields),
        "bot.failed" => ended(EndReason::Internal, "failed", fields),
        "recording.ready" => artifact(ArtifactKind::Audio),
        "transcription.ready" => artifact(ArtifactKind::Transcript),
        _ => Meaning::Nothing,
    }
}

fn status(to: &str, fields: Fields<'_>) -> Meaning {
    Meaning::Observed(match to {
        "joining" => Observation::Joining,
        "awaiting_admission" => Observation::WaitingRoom,
        // It records from the moment it is let in.
        "active" => Observation::Recording,
        "stopping" => Observation::Leaving { why: None },
        "completed" => return ended(EndReason::CallEnded, to, fields),
        "failed" => return ended(EndReason::Internal, to, fields),
        _ => return Meaning::Nothing,
    })
}

fn ended(otherwise: EndReason, status: &str, fields: Fields<'_>) -> Meaning {
    let why = fields.first(&[
        "/data/meeting/completion_reason",
        "/data/meeting/data/completion_reason",
        "/meeting/completion_reason",
        "/meeting/data/completion_reason",
        "/data/status_change/reason",
    ]);
    Meaning::ended(why.and_then(cause::vexa).unwrap_or(otherwise), why.unwrap_or(status))
}
