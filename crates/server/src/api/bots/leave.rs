//! `automatic_leave`: how long a bot bears what.

use std::ops::RangeInclusive;

use muster_session::leave::{BotDetection, LeavePolicy};

use super::super::fields::{Fields, Problems};

const DETECTION_MATCHES_MAX: usize = 50;
const DETECTION_MATCH_CHARS_MAX: usize = 200;

/// Accepted seconds for each rule.
#[derive(Clone, Debug)]
struct Ranges {
    waiting_room: RangeInclusive<u32>,
    /// Empty call, emptied call, silence.
    presence: RangeInclusive<u32>,
    in_call_recording: RangeInclusive<u32>,
    permission_denied: RangeInclusive<u32>,
    detection_timeout: RangeInclusive<u32>,
}

impl Ranges {
    /// MeetStream's ranges. The waiting room's upper end depends on the platform; platforms it does not know get the
    /// widest. Sandbox meetings take any value from one second, so that tests are quick.
    fn of(label: Option<&str>) -> Self {
        let longest_wait = match label {
            Some("GMeet") => 600,
            Some("Zoom") => 1_200,
            _ => 1_800,
        };
        let mut ranges = Self {
            waiting_room: 60..=longest_wait,
            presence: 60..=1_800,
            in_call_recording: 600..=18_000,
            permission_denied: 60..=300,
            detection_timeout: 5..=300,
        };
        if label == Some("Sandbox") {
            for range in [
                &mut ranges.waiting_room,
                &mut ranges.presence,
                &mut ranges.in_call_recording,
                &mut ranges.permission_denied,
                &mut ranges.detection_timeout,
            ] {
                *range = 1..=*range.end();
            }
        }
        ranges
    }
}

/// The policy that a request asks for, with MeetStream's defaults; `label` is the platform's, if the link was
/// understood.
pub(super) fn read(request: &Fields<'_>, label: Option<&str>, problems: &mut Problems) -> LeavePolicy {
    let mut policy = LeavePolicy::default();
    let Some(fields) = request.object("automatic_leave", problems) else { return policy };
    let ranges = Ranges::of(label);
    let mut set = |slot: &mut u32, key: &str, range: &RangeInclusive<u32>| {
        if let Some(seconds) = fields.integer(key, range, problems) {
            *slot = seconds;
        }
    };
    set(&mut policy.waiting_room_timeout, "waiting_room_timeout", &ranges.waiting_room);
    // The older spelling first: where both are given the newer one counts.
    set(&mut policy.no_one_joined_timeout, "noone_joined_timeout", &ranges.presence);
    set(&mut policy.no_one_joined_timeout, "no_one_joined_timeout", &ranges.presence);
    set(&mut policy.everyone_left_timeout, "everyone_left_timeout", &ranges.presence);
    set(&mut policy.voice_inactivity_timeout, "voice_inactivity_timeout", &ranges.presence);
    set(&mut policy.in_call_recording_timeout, "in_call_recording_timeout", &ranges.in_call_recording);
    set(
        &mut policy.recording_permission_denied_timeout,
        "recording_permission_denied_timeout",
        &ranges.permission_denied,
    );
    policy.bot_detection = detection(&fields, &ranges, problems);
    policy
}

fn detection(leave: &Fields<'_>, ranges: &Ranges, problems: &mut Problems) -> Option<BotDetection> {
    let names = leave.object("bot_detection", problems)?.object("using_participant_names", problems)?;
    names.require("matches", "an array of parts of names", problems);
    let activate_after = names.integer("activate_after", &ranges.presence, problems).unwrap_or(300);
    let timeout = names.integer("timeout", &ranges.detection_timeout, problems).unwrap_or(5);
    let mut matches = Vec::new();
    for (index, entry) in names.array("matches", DETECTION_MATCHES_MAX, problems)?.iter().enumerate() {
        let part =
            entry.as_str().filter(|part| !part.trim().is_empty() && part.chars().count() <= DETECTION_MATCH_CHARS_MAX);
        match part {
            Some(part) => matches.push(part.to_owned()),
            None => problems.add(
                &names.path(&format!("matches[{index}]")),
                format_args!("expected a text of 1 to {DETECTION_MATCH_CHARS_MAX} characters"),
            ),
        }
    }
    Some(BotDetection { matches, activate_after, timeout })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// (field, lowest, highest) of the rules that are the same on every platform but the sandbox.
    const SAME: [(&str, u32, u32); 6] = [
        ("no_one_joined_timeout", 60, 1_800),
        ("noone_joined_timeout", 60, 1_800),
        ("everyone_left_timeout", 60, 1_800),
        ("voice_inactivity_timeout", 60, 1_800),
        ("in_call_recording_timeout", 600, 18_000),
        ("recording_permission_denied_timeout", 60, 300),
    ];

    fn accepted(label: &str, field: &str, seconds: u32) -> bool {
        let body = json!({"automatic_leave": {field: seconds}});
        let mut problems = Problems::default();
        let request = Fields::root(&body, &mut problems).unwrap();
        read(&request, Some(label), &mut problems);
        problems == Problems::default()
    }

    fn assert_range(label: &str, field: &str, low: u32, high: u32) {
        for (seconds, fits) in [(low - 1, false), (low, true), (high, true), (high + 1, false)] {
            assert_eq!(accepted(label, field, seconds), fits, "{label} {field} {seconds}");
        }
    }

    #[test]
    fn every_range_holds_on_every_platform() {
        for (label, longest_wait) in [("GMeet", 600), ("Zoom", 1_200), ("Teams", 1_800), ("Jitsi", 1_800)] {
            assert_range(label, "waiting_room_timeout", 60, longest_wait);
            for (field, low, high) in SAME {
                assert_range(label, field, low, high);
            }
        }
    }

    #[test]
    fn a_sandbox_meeting_takes_any_value_from_one_second() {
        assert_range("Sandbox", "waiting_room_timeout", 1, 1_800);
        for (field, _, high) in SAME {
            assert_range("Sandbox", field, 1, high);
        }
    }

    #[test]
    fn a_request_that_says_nothing_gets_the_defaults() {
        let body = json!({});
        let mut problems = Problems::default();
        let request = Fields::root(&body, &mut problems).unwrap();
        assert_eq!(read(&request, None, &mut problems), LeavePolicy::default());
    }
}
