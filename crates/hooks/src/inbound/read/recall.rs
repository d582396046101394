//! Recall.ai's bodies: `{event, data: {data: {code, sub_code, updated_at}, bot: {id, metadata}}}`, and the older
//! `{event: "bot.status_change", data: {bot_id, status: {code, sub_code, message, created_at}}}`.

use muster_session::{ArtifactKind, EndReason, Observation};

use super::{Fields, Meaning, Said};
use crate::inbound::cause;

pub(super) fn read(fields: Fields<'_>) -> Said {
    let event = fields.text("/event").unwrap_or_default();
    let status = fields.text("/data/status/code").filter(|_| event == "bot.status_change");
    Said {
        id: None,
        event: event.to_owned(),
        at: ["/data/data/updated_at", "/data/status/created_at"].iter().find_map(|at| fields.time(at)),
        ours: fields.bot("/data/bot/metadata/muster_bot_id"),
        theirs: fields.id("/data/bot/id").or_else(|| fields.id("/data/bot_id")),
        meaning: match status.or_else(|| event.strip_prefix("bot.")) {
            Some(code) => state(code, fields),
            None => artifact(event, fields),
        },
    }
}

fn state(code: &str, fields: Fields<'_>) -> Meaning {
    let transcript = |failure| Observation::Artifact { kind: ArtifactKind::Transcript, failure };
    Meaning::Observed(match code {
        "joining_call" => Observation::Joining,
        "in_waiting_room" => Observation::WaitingRoom,
        "in_call_not_recording" => Observation::InMeeting,
        "in_call_recording" => Observation::Recording,
        "call_ended" => return ended(EndReason::CallEnded, code, fields),
        "fatal" => return ended(EndReason::Internal, code, fields),
        "done" => Observation::Done,
        "analysis_done" => transcript(None),
        "analysis_failed" => transcript(Some(why(code, fields).to_owned())),
        _ => return Meaning::Nothing,
    })
}

fn ended(otherwise: EndReason, code: &str, fields: Fields<'_>) -> Meaning {
    let reason = sub_code(fields).and_then(cause::recall).unwrap_or(otherwise);
    Meaning::ended(reason, why(code, fields))
}

fn artifact(event: &str, fields: Fields<'_>) -> Meaning {
    let Some((name, state)) = event.split_once('.') else { return Meaning::Nothing };
    let kind = match name {
        "recording" | "audio_mixed" => ArtifactKind::Audio,
        "transcript" => ArtifactKind::Transcript,
        _ => return Meaning::Nothing,
    };
    let failure = match state {
        "done" => None,
        "failed" => Some(why(event, fields).to_owned()),
        _ => return Meaning::Nothing,
    };
    Meaning::Observed(Observation::Artifact { kind, failure })
}

fn sub_code(fields: Fields<'_>) -> Option<&str> {
    fields.first(&["/data/data/sub_code", "/data/status/sub_code"])
}

fn why<'a>(code: &'a str, fields: Fields<'a>) -> &'a str {
    sub_code(fields).or_else(|| fields.text("/data/status/message")).unwrap_or(code)
}
