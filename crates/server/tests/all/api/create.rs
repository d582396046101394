use serde_json::{Value, json};

use super::harness::{Api, MEET};

#[tokio::test]
async fn a_new_bot_is_201_active() {
    let api = Api::start().await;
    let body = api.create(&json!({"meeting_link": MEET, "bot_name": "Notes"})).await.expect(201);
    let keys: Vec<&String> = body.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["bot_id", "meeting_url", "status", "transcript_id"]);
    assert_eq!(body["status"], "Active");
    assert_eq!(body["meeting_url"], MEET);
    assert_eq!(body["transcript_id"], Value::Null);
    let session = api.session(body["bot_id"].as_str().unwrap().parse().unwrap()).await;
    assert_eq!(session.bot_name, "Notes");
    assert_eq!(session.meeting.label, "GMeet");
    assert_eq!(session.tenant.as_str(), "first");
}

#[tokio::test]
async fn a_create_is_in_the_outbox_when_it_is_answered() {
    let api = Api::start().await;
    let bot = api.bot().await;
    let jobs = api.state.store.outbox(api.now(), 10).await.unwrap();
    assert_eq!(jobs.len(), 1);
    assert_eq!(jobs[0].job.bot(), bot);
}

#[tokio::test]
async fn a_request_without_a_name_gets_one() {
    let api = Api::start().await;
    let bot = api.bot().await;
    assert_eq!(api.session(bot).await.bot_name, "Muster Notetaker");
    let bot = api.bot_with(json!({"bot_name": null})).await;
    assert_eq!(api.session(bot).await.bot_name, "Muster Notetaker");
}

#[tokio::test]
async fn unknown_fields_are_kept_with_the_bot() {
    let api = Api::start().await;
    let bot = api.bot_with(json!({"tomorrow": {"a": [1, null]}, "video_required": false})).await;
    let detail = api.get(&format!("/api/v1/bots/{bot}/detail")).await.expect(200);
    let payload = &detail["bot_details"]["RequestPayload"];
    assert_eq!(payload["tomorrow"], json!({"a": [1, null]}));
    assert_eq!(payload["video_required"], false);
}

#[tokio::test]
async fn attributes_of_every_scalar_kind_come_back_as_they_were() {
    let api = Api::start().await;
    let attributes = json!({"team": "sales", "n": 5, "x": 0.5, "yes": true, "none": null});
    let bot = api.bot_with(json!({"custom_attributes": attributes})).await;
    let status = api.get(&format!("/api/v1/bots/{bot}/status")).await.expect(200);
    assert_eq!(status, json!({"bot_id": bot.to_string(), "status": "Joining", "custom_attributes": attributes}));
}

#[tokio::test]
async fn a_future_join_at_schedules_and_a_past_one_does_not() {
    let api = Api::start().await;
    for (join_at, status) in [
        ("2026-09-21T15:00:00Z", "Scheduled"),
        ("2026-09-21T17:00:00+02:00", "Scheduled"),
        ("2026-09-21T14:13:20Z", "Joining"),
        ("2020-01-01T00:00:00", "Joining"),
    ] {
        let body = api.create(&json!({"meeting_link": MEET, "join_at": join_at})).await.expect(201);
        assert_eq!(body["status"], "Active", "{join_at}");
        let path = format!("/api/v1/bots/{}/status", body["bot_id"].as_str().unwrap());
        assert_eq!(api.get(&path).await.expect(200)["status"], status, "{join_at}");
    }
}

#[tokio::test]
async fn a_transcript_id_is_given_for_a_post_call_provider_only() {
    let api = Api::start().await;
    let ask =
        |provider: Value| json!({"meeting_link": MEET, "recording_config": {"transcript": {"provider": provider}}});
    for provider in ["deepgram", "assemblyai", "sarvam", "jigsawstack", "meetstream"] {
        let body = api.create(&ask(json!({provider: {"language": "en"}}))).await.expect(201);
        assert!(body["transcript_id"].is_string(), "{provider}");
    }
    for provider in ["deepgram_streaming", "assemblyai_streaming", "meetstream_streaming", "meeting_captions"] {
        let body = api.create(&ask(json!({provider: {}}))).await.expect(201);
        assert_eq!(body["transcript_id"], Value::Null, "{provider}");
    }
}

#[tokio::test]
async fn the_plan_is_what_was_asked_for() {
    let api = Api::start().await;
    let bot = api
        .bot_with(json!({
            "callback_url": "https://example.com/hook",
            "live_audio_required": {"websocket_url": "wss://example.com/audio"},
            "live_transcription_required": {"webhook_url": "https://example.com/words"},
            "audio_separate_streams": true,
            "recording_config": {
                "transcript": {"provider": {"deepgram_streaming": {"language": "de"}}},
                "retention": {"type": "timed", "hours": 48},
                "realtime_endpoints": [
                    {"type": "webhook", "url": "https://example.com/p", "events": ["participant_events.join"]}
                ],
                "video_layout": "grid_view",
            },
            "automatic_leave": {
                "waiting_room_timeout": 120, "noone_joined_timeout": 61, "everyone_left_timeout": 62,
                "voice_inactivity_timeout": 63, "in_call_recording_timeout": 601,
                "recording_permission_denied_timeout": 64,
                "bot_detection": {"using_participant_names": {"matches": ["notetaker"], "timeout": 30}},
            },
            "zoom": {"zak_url": "https://example.com/zak"},
            "google_meet": {"login_required": false},
        }))
        .await;
    let session = api.session(bot).await;
    assert_eq!(session.callback_url.unwrap().as_str(), "https://example.com/hook");
    assert_eq!(session.media.live_audio.unwrap().as_str(), "wss://example.com/audio");
    assert_eq!(session.media.live_transcription.unwrap().as_str(), "https://example.com/words");
    assert_eq!(session.media.transcript, None);
    let streaming = session.media.streaming.unwrap();
    assert_eq!((streaming.provider.as_str(), &streaming.options), ("deepgram_streaming", &json!({"language": "de"})));
    let leave = session.leave;
    assert_eq!(leave.waiting_room_timeout, 120);
    assert_eq!(leave.no_one_joined_timeout, 61);
    assert_eq!(leave.everyone_left_timeout, 62);
    assert_eq!(leave.voice_inactivity_timeout, 63);
    assert_eq!(leave.in_call_recording_timeout, 601);
    assert_eq!(leave.recording_permission_denied_timeout, 64);
    let detection = leave.bot_detection.unwrap();
    assert_eq!((detection.activate_after, detection.timeout), (300, 30));
    assert_eq!(session.expires_at.since(session.created_at).as_secs(), 48 * 3_600);
}

#[tokio::test]
async fn the_newer_spelling_of_no_one_joined_wins() {
    let api = Api::start().await;
    let leave = json!({"no_one_joined_timeout": 90, "noone_joined_timeout": 120});
    let bot = api.bot_with(json!({"automatic_leave": leave})).await;
    assert_eq!(api.session(bot).await.leave.no_one_joined_timeout, 90);
}

#[tokio::test]
async fn a_replayed_key_is_507_with_the_first_bot() {
    let api = Api::start().await;
    let plan = json!({"meeting_link": MEET, "recording_config": {"transcript": {"provider": {"deepgram": {}}}}});
    let first = api.create_with_key("key-1", &plan).await.expect(201);
    assert!(first["transcript_id"].is_string());
    let bot = first["bot_id"].as_str().unwrap().parse().unwrap();
    api.record(bot).await;

    let changed = json!({"meeting_link": "https://meet.google.com/zzz-zzzz-zzz", "bot_name": "Other"});
    let again = api.create_with_key("key-1", &changed).await.expect(507);
    assert_eq!(again["bot_id"], first["bot_id"]);
    assert_eq!(again["meeting_url"], MEET);
    assert_eq!(again["transcript_id"], Value::Null);
    assert_eq!(again["status"], "Recording", "the present status");
    assert_eq!(api.get("/api/v1/bots").await.expect(200)["bots"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn an_idempotency_key_belongs_to_its_tenant() {
    let api = Api::start().await;
    let body = json!({"meeting_link": MEET});
    let first = api.create_with_key("key-1", &body).await.expect(201);
    let headers = [("authorization", "Token mst_key-of-the-other-tenant"), ("idempotency-key", "key-1")];
    let path = "/api/v1/bots/create_bot";
    let other = api.call(axum::http::Method::POST, path, &headers, body.to_string()).await.expect(201);
    assert_ne!(first["bot_id"], other["bot_id"]);
}

#[tokio::test]
async fn a_deduplication_key_binds_to_the_meeting() {
    let api = Api::start().await;
    let ask = |link: &str| json!({"meeting_link": link, "deduplication_key": "event-1"});
    let first = api.create(&ask(MEET)).await.expect(201);
    let again = api.create(&ask(&format!("{MEET}?authuser=0"))).await.expect(200);
    assert_eq!(again["bot_id"], first["bot_id"], "another spelling of one meeting");
    let refused = api.create(&ask("https://meet.google.com/zzz-zzzz-zzz")).await.refusal(409);
    assert!(refused.contains("deduplication_key") && refused.contains(first["bot_id"].as_str().unwrap()), "{refused}");
}

#[tokio::test]
async fn where_both_keys_are_given_the_header_decides() {
    let api = Api::start().await;
    let ask = |link: &str| json!({"meeting_link": link, "deduplication_key": "event-1"});
    let first = api.create_with_key("key-1", &ask(MEET)).await.expect(201);
    let other_meeting = ask("https://meet.google.com/zzz-zzzz-zzz");
    let replay = api.create_with_key("key-1", &other_meeting).await.expect(507);
    assert_eq!(replay["bot_id"], first["bot_id"], "507 and not 409");
    // They compose: a fresh key for each attempt, a stable one for the booking.
    let duplicate = api.create_with_key("key-2", &ask(MEET)).await.expect(200);
    assert_eq!(duplicate["bot_id"], first["bot_id"]);
    api.create_with_key("key-3", &other_meeting).await.refusal(409);
}

#[tokio::test]
async fn without_keys_every_call_makes_a_bot() {
    let api = Api::start().await;
    assert_ne!(api.bot().await, api.bot().await);
}

#[tokio::test]
async fn live_words_need_speech_to_text_on_the_server() {
    let api = Api::start_with(false).await;
    let body = json!({
        "meeting_link": MEET,
        "live_transcription_required": {"webhook_url": "https://example.com/words"},
        "recording_config": {"transcript": {"provider": {"deepgram_streaming": {}}}},
    });
    let refused = api.create(&body).await.refusal(400);
    assert!(refused.contains("live_transcription_required") && refused.contains("transcription.url"), "{refused}");
    // After the call, the failure is told by an event; the recording is worth having without it.
    let post_call = json!({"meeting_link": MEET, "recording_config": {"transcript": {"provider": {"deepgram": {}}}}});
    api.create(&post_call).await.expect(201);
}

#[tokio::test]
async fn the_end_of_time_is_a_time_like_any_other() {
    let api = Api::start().await;
    let bot = api.bot_with(json!({"join_at": "9999-12-30T21:59:59Z"})).await;
    let detail = api.get(&format!("/api/v1/bots/{bot}/detail")).await.expect(200);
    assert_eq!(detail["bot_details"]["join_at"], "9999-12-30T21:59:59.000Z");
    for beyond in ["9999-12-31T23:59:59Z", "10000-01-01T00:00:00Z", "-000001-01-01T00:00:00Z"] {
        let reply = api.create(&json!({"meeting_link": MEET, "join_at": beyond})).await;
        assert!([201, 400].contains(&reply.status), "{beyond}: {}", reply.status);
    }
}

#[tokio::test]
async fn a_runtime_that_is_not_there_is_refused_with_those_that_are() {
    let api = Api::start().await;
    let refused = api.create(&json!({"meeting_link": MEET, "runtime": "moon"})).await.refusal(400);
    assert!(refused.contains("runtime: expected one of fleet"), "{refused}");
    let refused = api.create(&json!({"meeting_link": MEET, "runtime_bot_id": "r-1"})).await.refusal(400);
    assert!(refused.contains("runtime_bot_id"), "{refused}");
    api.create(&json!({"meeting_link": MEET, "runtime": "fleet"})).await.expect(201);
}
