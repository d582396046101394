//! Zoom's bodies: `{event, event_ts, payload: {object: {id, participant: {customer_key, …}}}}`.
//!
//! Zoom tells of everybody in a meeting. A bot is the participant that joined with our id as its customer key; what
//! happens to others means nothing. Only the end of the meeting is for all bots in it.

use muster_session::{EndReason, Observation};

use super::{Fields, Meaning, Said};
use crate::inbound::cause;

pub(super) fn read(fields: Fields<'_>) -> Said {
    let event = fields.text("/event").unwrap_or_default();
    let ours = fields.bot("/payload/object/participant/customer_key");
    let what = event.strip_prefix("meeting.").or_else(|| event.strip_prefix("webinar.")).unwrap_or_default();
    Said {
        // `x-zm-request-id` is not signed. The body is, and is the same when it is sent again.
        id: None,
        event: event.to_owned(),
        at: fields.time("/event_ts"),
        ours,
        theirs: fields.id("/payload/object/id"),
        meaning: match (what, ours) {
            ("ended", _) => Meaning::ended(EndReason::HostEnded, event),
            (what, Some(_)) => participant(what, fields),
            _ => Meaning::Nothing,
        },
    }
}

fn participant(what: &str, fields: Fields<'_>) -> Meaning {
    Meaning::Observed(match what {
        "participant_jbh_waiting" | "participant_joined_waiting_room" | "participant_put_in_waiting_room" => {
            Observation::WaitingRoom
        }
        "participant_admitted" | "participant_joined" | "participant_jbh_joined" => Observation::InMeeting,
        "participant_left" => {
            let why = fields.text("/payload/object/participant/leave_reason").unwrap_or_default();
            return Meaning::ended(cause::zoom(why), if why.is_empty() { what } else { why });
        }
        _ => return Meaning::Nothing,
    })
}
