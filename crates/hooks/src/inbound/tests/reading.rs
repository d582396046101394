//! What each vendor's words mean.

use muster_session::{ArtifactKind, BotId, EndReason, Observation};

use super::*;

const OURS: &str = "0190aaaa-bbbb-7ccc-8ddd-eeeeffff0000";

fn read(name: &str, body: &Value) -> Reading {
    source(kind(name), &[ANY]).read(&HeaderMap::new(), body.to_string().as_bytes()).unwrap()
}

fn ours() -> Option<BotId> {
    Some(OURS.parse().unwrap())
}

fn ended(reason: EndReason, message: &str) -> Meaning {
    Meaning::Observed(Observation::Ended { reason, message: message.into() })
}

fn artifact(kind: ArtifactKind, failure: Option<&str>) -> Meaning {
    Meaning::Observed(Observation::Artifact { kind, failure: failure.map(str::to_owned) })
}

const fn seen(observation: Observation) -> Meaning {
    Meaning::Observed(observation)
}

#[test]
fn meetstream_in_three_generations() {
    use ArtifactKind::{Audio, Manifest, Transcript};
    use EndReason::{CallEnded, Internal, JoinDenied, Kicked, LobbyTimeout};

    for (body, want) in [
        (json!({"event": "bot.scheduled"}), Meaning::Nothing),
        (json!({"event": "bot.joining"}), seen(Observation::Joining)),
        (json!({"bot_event": "bot.in_waiting_room"}), seen(Observation::WaitingRoom)),
        (json!({"event": "bot.inmeeting", "bot_event": "bot.inmeeting"}), seen(Observation::InMeeting)),
        (json!({"event": "bot.recording_permission_denied"}), Meaning::Nothing),
        (json!({"event": "bot.recording"}), seen(Observation::Recording)),
        (json!({"event": "bot.leaving"}), seen(Observation::Leaving { why: None })),
        (json!({"event": "bot.error", "bot_status": "InMeeting"}), Meaning::Nothing),
        // a: one name, the cause in bot_status.
        (json!({"event": "bot.stopped", "bot_status": "Stopped", "message": "m"}), ended(CallEnded, "m")),
        (json!({"event": "bot.stopped", "bot_status": "NotAllowed"}), ended(LobbyTimeout, "bot.stopped")),
        (json!({"event": "bot.stopped", "bot_status": "Denied"}), ended(JoinDenied, "bot.stopped")),
        (json!({"event": "bot.stopped", "bot_status": "Error"}), ended(Internal, "bot.stopped")),
        (json!({"event": "bot.stopped", "bot_status": "FAILED"}), ended(Internal, "bot.stopped")),
        (json!({"event": "bot.stopped"}), ended(CallEnded, "bot.stopped")),
        // b: a name for each cause.
        (json!({"bot_event": "bot.kicked"}), ended(Kicked, "bot.kicked")),
        (json!({"bot_event": "bot.notallowed"}), ended(LobbyTimeout, "bot.notallowed")),
        (json!({"bot_event": "bot.denied"}), ended(JoinDenied, "bot.denied")),
        (json!({"bot_event": "bot.failed", "message": "m"}), ended(Internal, "m")),
        (json!({"bot_event": "bot.stopped"}), ended(CallEnded, "bot.stopped")),
        // c: both.
        (
            json!({"event": "bot.stopped", "bot_event": "bot.denied", "bot_status": "Denied"}),
            ended(JoinDenied, "bot.denied"),
        ),
        (json!({"event": "bot.stopped", "bot_event": "bot.new", "bot_status": "Denied"}), ended(JoinDenied, "bot.new")),
        // Ours.
        (
            json!({"event": "bot.stopped", "bot_event": "bot.failed", "reason": "worker_lost", "message": "m"}),
            ended(EndReason::WorkerLost, "m"),
        ),
        (json!({"event": "bot.stopped", "reason": "unheard of"}), ended(CallEnded, "bot.stopped")),
        (json!({"event": "manifest.completed", "manifest_status": "Success"}), artifact(Manifest, None)),
        (json!({"event": "manifest.skipped", "message": "m"}), artifact(Manifest, Some("m"))),
        (json!({"event": "audio.processed", "audio_status": "Success"}), artifact(Audio, None)),
        (json!({"event": "audio.processed", "audio_status": "Failed"}), artifact(Audio, Some("audio.processed"))),
        (json!({"event": "audio.processed", "status": "error", "message": "m"}), artifact(Audio, Some("m"))),
        (json!({"event": "transcription.processed", "transcript_status": "Success"}), artifact(Transcript, None)),
        (json!({"event": "transcription.failed", "message": "m"}), artifact(Transcript, Some("m"))),
        (json!({"event": "bot.transcriptionready"}), artifact(Transcript, None)),
        (json!({"event": "video.processed"}), Meaning::Nothing),
        (json!({"event": "bot.uploading"}), Meaning::Nothing),
        (json!({"event": "bot.done", "bot_status": "Done"}), seen(Observation::Done)),
        (json!({"event": "data_deletion"}), Meaning::Nothing),
        (json!({"event": "participant_events.join"}), Meaning::Nothing),
        (
            json!({"event": "participant_events.leave", "data": {"data": {"participant": {"id": "a", "full_name": "Ada"}}}}),
            seen(Observation::Person { joined: false, id: "a".into(), name: "Ada".into() }),
        ),
        (json!({"transcript": "hello", "words": []}), Meaning::Words),
        (json!({"words": []}), Meaning::Words),
        (json!({}), Meaning::Nothing),
        (json!({"event": 7, "bot_event": null}), Meaning::Nothing),
        (json!({"type": "bot.joining", "data": {"bot_id": "b"}}), seen(Observation::Joining)),
    ] {
        assert_eq!(read("meetstream", &body).meaning, want, "{body}");
        assert_eq!(read("standard", &body).meaning, want, "{body}");
    }
}

#[test]
fn meetstream_names_bot_and_time() {
    let body = json!({
        "bot_id": "their-1", "event": "bot.stopped", "bot_event": "bot.kicked", "timestamp": "2026-09-21T14:13:20.5Z",
        "custom_attributes": {"muster_bot_id": OURS},
    });
    let reading = read("meetstream", &body);
    assert_eq!((reading.event.as_str(), reading.theirs.as_deref()), ("bot.kicked", Some("their-1")));
    assert_eq!((reading.at, reading.ours), (Timestamp::parse("2026-09-21T14:13:20.5Z"), ours()));
    // The same event is the same, whatever else is in it; another one is another.
    let with = |key: &str, value: Value| {
        let mut other = body.clone();
        other[key] = value;
        read("meetstream", &other).id
    };
    assert!(reading.id.starts_with("sha256:"));
    assert_eq!(with("message", json!("again")), reading.id);
    for (key, value) in [("bot_id", "their-2"), ("bot_event", "bot.done"), ("timestamp", "2026-09-21T14:13:21Z")] {
        assert_ne!(with(key, json!(value)), reading.id, "{key}");
    }
    assert_eq!(with("event_id", json!("evt_1")), "evt_1");
    assert!(with("event_id", json!("e".repeat(300))).starts_with("sha256:"));
    let person =
        json!({"event": "participant_events.join", "data": {"bot": {"id": "b", "metadata": {"muster_bot_id": OURS}}}});
    let reading = read("meetstream", &person);
    assert_eq!((reading.theirs.as_deref(), reading.ours), (Some("b"), ours()));
    let [one, two] =
        [1, 2].map(|number| read("meetstream", &json!({"bot_id": "b", "words": [], "transcript": number})).id);
    assert_ne!(one, two, "words have no name, so they differ by what they are");
    let enveloped = json!({"type": "bot.joining", "timestamp": "2026-09-21T14:13:20Z", "data": {
        "bot_id": "b", "custom_attributes": {"muster_bot_id": OURS}}});
    let reading = read("svix", &enveloped);
    assert_eq!((reading.theirs.as_deref(), reading.ours, reading.at), (Some("b"), ours(), Some(NOW)));
}

#[test]
fn recall_new_and_old() {
    use EndReason as R;

    let state = |code: &str, sub_code: Value| {
        json!({"event": format!("bot.{code}"), "data": {
            "data": {"code": code, "sub_code": sub_code, "updated_at": "2026-09-21T14:13:20Z"},
            "bot": {"id": "r1", "metadata": {"muster_bot_id": OURS}},
        }})
    };
    for (code, want) in [
        ("ready", Meaning::Nothing),
        ("joining_call", seen(Observation::Joining)),
        ("in_waiting_room", seen(Observation::WaitingRoom)),
        ("participant_in_waiting_room", Meaning::Nothing),
        ("in_call_not_recording", seen(Observation::InMeeting)),
        ("recording_permission_allowed", Meaning::Nothing),
        ("recording_permission_denied", Meaning::Nothing),
        ("in_call_recording", seen(Observation::Recording)),
        ("recording_done", Meaning::Nothing),
        ("call_ended", ended(R::CallEnded, "call_ended")),
        ("fatal", ended(R::Internal, "fatal")),
        ("done", seen(Observation::Done)),
        ("analysis_done", artifact(ArtifactKind::Transcript, None)),
        ("analysis_failed", artifact(ArtifactKind::Transcript, Some("analysis_failed"))),
        ("media_expired", Meaning::Nothing),
        ("log", Meaning::Nothing),
    ] {
        let reading = read("recall", &state(code, Value::Null));
        assert_eq!(reading.meaning, want, "{code}");
        assert_eq!((reading.ours, reading.theirs.as_deref(), reading.at), (ours(), Some("r1"), Some(NOW)), "{code}");
        let old =
            json!({"event": "bot.status_change", "data": {"bot_id": "r1", "status": {"code": code, "sub_code": null}}});
        assert_eq!(read("recall", &old).meaning, want, "{code}");
        assert_eq!(read("recall", &old).theirs.as_deref(), Some("r1"));
    }
    for (code, sub_code, reason) in [
        ("call_ended", "bot_received_leave_call", R::LeaveRequested),
        ("call_ended", "call_ended_by_platform_idle", R::HostEnded),
        ("call_ended", "timeout_exceeded_everyone_left", R::EveryoneLeft),
        ("call_ended", "timeout_exceeded_noone_joined", R::NoOneJoined),
        ("call_ended", "timeout_exceeded_silence_detected", R::Silence),
        ("call_ended", "timeout_exceeded_only_bots_detected_using_participant_events", R::OnlyBotsLeft),
        ("call_ended", "timeout_exceeded_in_call_recording", R::MaxDuration),
        ("call_ended", "timeout_exceeded_waiting_room", R::LobbyTimeout),
        ("call_ended", "bot_kicked_from_call", R::Kicked),
        ("call_ended", "bot_kicked_from_waiting_room", R::JoinDenied),
        ("call_ended", "something_new", R::CallEnded),
        ("fatal", "meeting_not_found", R::MeetingNotFound),
        ("fatal", "meeting_locked", R::MeetingFull),
        ("fatal", "meeting_ended", R::MeetingOver),
        ("fatal", "meeting_password_incorrect", R::PasswordWrong),
        ("fatal", "microsoft_teams_2fa_required", R::SignInRequired),
        ("fatal", "microsoft_teams_captcha_error", R::Captcha),
        ("fatal", "zoom_web_disallowed", R::PlatformBlocked),
        ("fatal", "zoom_join_timeout", R::ConnectionLost),
        ("fatal", "google_meet_internal_error", R::UiChanged),
        ("fatal", "failed_to_launch_in_time", R::LaunchTimeout),
        ("fatal", "something_new", R::Internal),
    ] {
        assert_eq!(read("recall", &state(code, json!(sub_code))).meaning, ended(reason, sub_code), "{sub_code}");
    }
    for (event, want) in [
        ("recording.done", artifact(ArtifactKind::Audio, None)),
        ("audio_mixed.failed", artifact(ArtifactKind::Audio, Some("audio_mixed.failed"))),
        ("transcript.done", artifact(ArtifactKind::Transcript, None)),
        ("transcript.processing", Meaning::Nothing),
        ("video_mixed.done", Meaning::Nothing),
        ("calendar.update", Meaning::Nothing),
        ("", Meaning::Nothing),
    ] {
        assert_eq!(read("recall", &json!({"event": event, "data": {"bot": {"id": "r1"}}})).meaning, want, "{event}");
    }
    let of = headers(&[("webhook-id", "msg_1")]);
    assert_eq!(source(Kind::Recall, &[ANY]).read(&of, b"{}").unwrap().id, "msg_1");
}

#[test]
fn attendee_steps() {
    use EndReason as R;

    let step = |step: &str, sub: Value| {
        json!({"idempotency_key": "k1", "bot_id": "bot_1", "bot_metadata": {"muster_bot_id": OURS}, "trigger": "bot.state_change",
            "data": {"event_type": step, "event_sub_type": sub, "created_at": "2026-09-21T14:13:20.000000Z"}})
    };
    for (name, sub, want) in [
        ("staged", "", Meaning::Nothing),
        ("join_requested", "", seen(Observation::Joining)),
        ("put_in_waiting_room", "", seen(Observation::WaitingRoom)),
        ("joined_meeting", "", seen(Observation::InMeeting)),
        ("recording_permission_granted", "", seen(Observation::Recording)),
        ("recording_permission_denied", "host_denied_permission", Meaning::Nothing),
        ("recording_paused", "", Meaning::Nothing),
        ("recording_resumed", "", seen(Observation::Recording)),
        ("began_joining_breakout_room", "", Meaning::Nothing),
        ("leave_requested", "auto_leave_silence", seen(Observation::Leaving { why: Some(R::Silence) })),
        ("left_meeting", "", ended(R::CallEnded, "left_meeting")),
        ("left_meeting", "auto_leave_silence", ended(R::Silence, "auto_leave_silence")),
        ("meeting_ended", "", ended(R::HostEnded, "meeting_ended")),
        ("could_not_join_meeting", "request_to_join_denied", ended(R::JoinDenied, "request_to_join_denied")),
        (
            "could_not_join_meeting",
            "waiting_room_timeout_exceeded",
            ended(R::LobbyTimeout, "waiting_room_timeout_exceeded"),
        ),
        ("could_not_join_meeting", "blocked_by_captcha", ended(R::Captcha, "blocked_by_captcha")),
        ("could_not_join_meeting", "something_new", ended(R::Internal, "something_new")),
        ("fatal_error", "heartbeat_timeout", ended(R::WorkerLost, "heartbeat_timeout")),
        ("fatal_error", "process_terminated", ended(R::BotCrashed, "process_terminated")),
        ("fatal_error", "", ended(R::Internal, "fatal_error")),
        ("post_processing_completed", "", seen(Observation::Done)),
        ("data_deleted", "", Meaning::Nothing),
    ] {
        let reading = read("attendee", &step(name, json!(sub)));
        assert_eq!(reading.meaning, want, "{name} {sub}");
        assert_eq!(reading.event, format!("bot.state_change/{name}"));
        assert_eq!((&*reading.id, reading.ours, reading.theirs.as_deref()), ("k1", ours(), Some("bot_1")));
        assert_eq!(reading.at, Some(NOW));
    }
    let other = |trigger: &str, data: Value| read("attendee", &json!({"trigger": trigger, "data": data})).meaning;
    assert_eq!(other("transcript.update", json!({})), Meaning::Nothing);
    let async_state = "async_transcription.state_change";
    assert_eq!(other(async_state, json!({"state": "complete"})), artifact(ArtifactKind::Transcript, None));
    assert_eq!(other(async_state, json!({"state": "failed"})), artifact(ArtifactKind::Transcript, Some("failed")));
    assert_eq!(other(async_state, json!({"state": "in_progress"})), Meaning::Nothing);
    assert_eq!(other("bot.state_change", json!({})), Meaning::Nothing);
}

#[test]
fn vexa_statuses() {
    use EndReason as R;

    let change = |to: &str| {
        json!({"event_id": "evt_1", "event_type": "meeting.status_change", "data": {
        "meeting": {"id": 16}, "status_change": {"to": to, "timestamp": "2026-09-21T14:13:20Z"}}})
    };
    for (to, want) in [
        ("requested", Meaning::Nothing),
        ("joining", seen(Observation::Joining)),
        ("awaiting_admission", seen(Observation::WaitingRoom)),
        ("needs_help", Meaning::Nothing),
        ("active", seen(Observation::Recording)),
        ("stopping", seen(Observation::Leaving { why: None })),
        ("completed", ended(R::CallEnded, "completed")),
        ("failed", ended(R::Internal, "failed")),
    ] {
        let reading = read("vexa", &change(to));
        assert_eq!((reading.meaning, reading.theirs.as_deref(), reading.at), (want, Some("16"), Some(NOW)), "{to}");
        assert_eq!(reading.id, "evt_1");
    }
    let event = |name: &str, data: Value| read("vexa", &json!({"event_type": name, "data": data})).meaning;
    assert_eq!(event("meeting.started", json!({})), seen(Observation::InMeeting));
    assert_eq!(event("recording.ready", json!({})), artifact(ArtifactKind::Audio, None));
    assert_eq!(event("transcription.ready", json!({})), artifact(ArtifactKind::Transcript, None));
    assert_eq!(event("something.new", json!({})), Meaning::Nothing);
    for (why, reason) in [
        ("stopped", R::LeaveRequested),
        ("left_alone", R::EveryoneLeft),
        ("startup_alone", R::NoOneJoined),
        ("evicted", R::Kicked),
        ("awaiting_admission_timeout", R::LobbyTimeout),
        ("awaiting_admission_rejected", R::JoinDenied),
        ("join_failure", R::ConnectionLost),
        ("auth_session_missing", R::SignInRequired),
        ("validation_error", R::MeetingNotFound),
        ("max_bot_time_exceeded", R::MaxDuration),
        ("something_new", R::CallEnded),
    ] {
        let got = event("meeting.completed", json!({"meeting": {"data": {"completion_reason": why}}}));
        assert_eq!(got, ended(reason, why), "{why}");
    }
    assert_eq!(event("bot.failed", json!({"status_change": {"reason": "boom"}})), ended(R::Internal, "boom"));
    let old = json!({"event_type": "meeting.status_change", "meeting": {"id": 1, "status": "joining"}});
    assert_eq!(read("vexa", &old).meaning, seen(Observation::Joining));
}

#[test]
fn zoom_tells_of_everybody_but_only_our_bots_count() {
    use EndReason as R;

    let event = |name: &str, key: Value, reason: Value| {
        json!({"event": name, "event_ts": 1_790_000_000_000_i64, "payload": {"object": {"id": 123, "participant": {
            "customer_key": key, "leave_reason": reason}}}})
    };
    for (name, want) in [
        ("meeting.participant_jbh_waiting", seen(Observation::WaitingRoom)),
        ("meeting.participant_joined_waiting_room", seen(Observation::WaitingRoom)),
        ("meeting.participant_put_in_waiting_room", seen(Observation::WaitingRoom)),
        ("meeting.participant_left_waiting_room", Meaning::Nothing),
        ("meeting.participant_admitted", seen(Observation::InMeeting)),
        ("meeting.participant_joined", seen(Observation::InMeeting)),
        ("webinar.participant_joined", seen(Observation::InMeeting)),
        ("meeting.participant_left", ended(R::CallEnded, "participant_left")),
        ("meeting.started", Meaning::Nothing),
        ("recording.completed", Meaning::Nothing),
    ] {
        let reading = read("zoom", &event(name, json!(OURS.replace('-', "")), Value::Null));
        assert_eq!((reading.meaning, reading.ours, reading.at), (want, ours(), Some(NOW)), "{name}");
        assert_eq!(reading.theirs.as_deref(), Some("123"));
        for somebody in [Value::Null, json!("customer 7")] {
            let reading = read("zoom", &event(name, somebody, Value::Null));
            assert_eq!((reading.meaning, reading.ours), (Meaning::Nothing, None), "{name}");
        }
    }
    let over = read("zoom", &json!({"event": "meeting.ended", "payload": {"object": {"id": "123"}}}));
    assert_eq!((over.meaning, over.theirs.as_deref()), (ended(R::HostEnded, "meeting.ended"), Some("123")));
    for (why, reason) in [
        ("Muster left the meeting. Reason: Host ended the meeting.", R::HostEnded),
        ("Muster left the meeting.<br>Reason: Removed by host.", R::Kicked),
        ("Muster got disconnected from the meeting. Reason: Network connection error. ", R::ConnectionLost),
        ("Muster left the meeting. Reason: Exceeded free meeting minutes limit.", R::HostEnded),
        ("left the meeting", R::CallEnded),
        ("Muster left the meeting. Reason: left the meeting.", R::CallEnded),
        ("Reason: Spontaneous combustion.", R::Internal),
    ] {
        let got = read("zoom", &event("meeting.participant_left", json!(OURS), json!(why))).meaning;
        assert_eq!(got, ended(reason, why), "{why}");
    }
}

#[test]
fn what_cannot_be_read_says_why() {
    let source = source(Kind::Vexa, &[ANY]);
    let read = |body: &[u8]| source.read(&HeaderMap::new(), body).unwrap_err();
    assert_eq!(read(b"{\"a\":}"), Unreadable::NotJson { line: 1, column: 6 });
    assert_eq!(read(b""), Unreadable::NotJson { line: 1, column: 0 });
    assert_eq!(read(b"[]"), Unreadable::NotAnObject);
    let nested = "[".repeat(1_000);
    assert!(matches!(read(nested.as_bytes()), Unreadable::NotJson { .. }));
}

#[test]
fn every_documented_cause_is_known() {
    for sub_code in include_str!("causes/recall.txt").split_whitespace() {
        assert!(cause::recall(sub_code).is_some(), "{sub_code}");
    }
    for sub_type in include_str!("causes/attendee.txt").split_whitespace() {
        assert!(cause::attendee(sub_type).is_some(), "{sub_type}");
    }
    for reason in include_str!("causes/vexa.txt").split_whitespace() {
        assert!(cause::vexa(reason).is_some(), "{reason}");
    }
}
