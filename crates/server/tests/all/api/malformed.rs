//! Requests that are refused, each with what its message must name.

use axum::http::Method;
use muster_hooks::guard::Policy;
use muster_server::api::router;
use serde_json::{Value, json};

use super::harness::{Api, KEY, MEET};

/// A valid request with one field replaced; `path` with dots, objects are made on the way.
fn with(path: &str, value: Value) -> Value {
    let mut body = json!({"meeting_link": MEET});
    let mut slot = &mut body;
    for key in path.split('.') {
        slot = slot.as_object_mut().unwrap().entry(key).or_insert_with(|| json!({}));
    }
    *slot = value;
    body
}

fn many(count: usize) -> Value {
    (0..count).map(|n| (format!("k{n}"), json!(n))).collect::<serde_json::Map<_, _>>().into()
}

/// (field, wrong value, what the message must also say)
fn wrong_values() -> Vec<(&'static str, Value, &'static str)> {
    let long = |n: usize| json!("x".repeat(n));
    vec![
        ("meeting_link", Value::Null, "required"),
        ("meeting_link", json!(5), "text"),
        ("meeting_link", json!(""), "text"),
        ("meeting_link", json!("   "), "text"),
        ("meeting_link", json!([MEET]), "an array"),
        ("meeting_link", json!("https://meet.google.com/abc\u{0}"), "text"),
        ("meeting_link", long(5_000), "5000 characters"),
        ("bot_name", json!(""), "text"),
        ("bot_name", json!(7), "got 7"),
        ("bot_name", long(201), "200"),
        ("bot_name", json!("a\u{1b}[31mb"), "text"),
        ("callback_url", json!("not a url"), "https://"),
        ("callback_url", json!("ftp://example.com/x"), "https://"),
        ("callback_url", json!("https://"), "https://"),
        ("callback_url", json!(true), "got true"),
        ("callback_url", json!("http://127.0.0.1:9/x"), ""),
        ("callback_url", json!("http://169.254.169.254/latest/meta-data"), ""),
        ("callback_url", json!("http://[::1]/x"), ""),
        ("callback_url", json!("http://10.0.0.8/x"), ""),
        ("join_at", json!("tomorrow"), "time"),
        ("join_at", json!(1_790_000_000), "time"),
        ("join_at", json!("2026-13-01T00:00:00Z"), "time"),
        ("custom_attributes", json!([]), "object"),
        ("custom_attributes", json!("x"), "object"),
        ("custom_attributes", many(65), "64"),
        ("custom_attributes.nested", json!({"a": 1}), "text"),
        ("custom_attributes.list", json!([1]), "text"),
        ("custom_attributes.long", long(4_097), "4096"),
        ("deduplication_key", json!(""), "ASCII"),
        ("deduplication_key", json!("é"), "ASCII"),
        ("deduplication_key", json!("a\nb"), "ASCII"),
        ("deduplication_key", long(2_001), "2000"),
        ("deduplication_key", json!(5), "ASCII"),
        ("automatic_leave", json!(5), "object"),
        ("automatic_leave.waiting_room_timeout", json!("ten"), "an integer from 60 to 600, got \"ten\""),
        ("automatic_leave.waiting_room_timeout", json!(59), "60 to 600"),
        ("automatic_leave.waiting_room_timeout", json!(601), "60 to 600"),
        ("automatic_leave.waiting_room_timeout", json!(60.5), "integer"),
        ("automatic_leave.waiting_room_timeout", json!(-60), "integer"),
        ("automatic_leave.waiting_room_timeout", json!(18_446_744_073_709_551_615_u64), "integer"),
        ("automatic_leave.no_one_joined_timeout", json!(59), "60 to 1800"),
        ("automatic_leave.no_one_joined_timeout", json!(1_801), "60 to 1800"),
        ("automatic_leave.noone_joined_timeout", json!(1_801), "60 to 1800"),
        ("automatic_leave.everyone_left_timeout", json!(59), "60 to 1800"),
        ("automatic_leave.everyone_left_timeout", json!(1_801), "60 to 1800"),
        ("automatic_leave.voice_inactivity_timeout", json!(59), "60 to 1800"),
        ("automatic_leave.voice_inactivity_timeout", json!(1_801), "60 to 1800"),
        ("automatic_leave.in_call_recording_timeout", json!(599), "600 to 18000"),
        ("automatic_leave.in_call_recording_timeout", json!(18_001), "600 to 18000"),
        ("automatic_leave.recording_permission_denied_timeout", json!(59), "60 to 300"),
        ("automatic_leave.recording_permission_denied_timeout", json!(301), "60 to 300"),
        ("automatic_leave.bot_detection", json!([]), "object"),
        ("automatic_leave.bot_detection.using_participant_names", json!({}), "matches"),
        ("automatic_leave.bot_detection.using_participant_names.matches", json!("bot"), "array"),
        ("automatic_leave.bot_detection.using_participant_names.matches", json!(["a", ""]), "matches[1]"),
        ("automatic_leave.bot_detection.using_participant_names.activate_after", json!(59), "60 to 1800"),
        ("automatic_leave.bot_detection.using_participant_names.timeout", json!(4), "5 to 300"),
        ("automatic_leave.bot_detection.using_participant_names.timeout", json!(301), "5 to 300"),
        ("recording_config", json!("x"), "object"),
        ("recording_config.transcript", json!([]), "object"),
        ("recording_config.transcript", json!({}), "provider"),
        ("recording_config.transcript.provider", json!("deepgram"), "object"),
        ("recording_config.transcript.provider", json!({}), "exactly one"),
        ("recording_config.transcript.provider", json!({"deepgram": {}, "sarvam": {}}), "exactly one"),
        ("recording_config.transcript.provider", json!({"whisperer": {}}), "\"whisperer\""),
        ("recording_config.transcript.provider.deepgram", json!(5), "object"),
        ("recording_config.retention", json!(24), "object"),
        ("recording_config.retention", json!({"type": "timed"}), "hours"),
        ("recording_config.retention.hours", json!(0), "1 to 87600"),
        ("recording_config.retention.type", json!("forever"), "timed"),
        ("recording_config.video_layout", json!("mosaic"), "speaker_view"),
        ("recording_config.realtime_endpoints", json!({}), "array"),
        ("recording_config.realtime_endpoints", json!([5]), "realtime_endpoints[0]"),
        ("recording_config.realtime_endpoints", json!([{"type": "webhook"}]), "realtime_endpoints[0].url"),
        ("recording_config.realtime_endpoints", json!([{"type": "rtmp", "url": "https://a.example"}]), "webhook"),
        ("live_audio_required", json!(true), "object"),
        ("live_audio_required", json!({}), "websocket_url"),
        ("live_audio_required.websocket_url", json!("https://example.com/a"), "wss://"),
        ("live_audio_required.websocket_url", json!("wss://192.168.1.1/a"), ""),
        ("live_transcription_required", json!({}), "webhook_url"),
        ("live_transcription_required.webhook_url", json!("https://example.com/w"), "streaming provider"),
        ("live_transcription_required.webhook_url", json!("wss://example.com/w"), "https://"),
        ("live_video_required.websocket_url", json!("wss://example.com/v"), "not supported"),
        ("socket_connection_url.websocket_url", json!("wss://example.com/c"), "not supported"),
        ("agent_config_id", json!("agent-1"), "not supported"),
        ("video_required", json!("yes"), "true or false"),
        ("audio_separate_streams", json!(1), "true or false"),
        ("video_separate_streams", json!({}), "true or false"),
        ("bot_message", json!(5), "text"),
        ("bot_image_url", json!("picture.png"), "https://"),
        ("workflow_config_ids", json!("a"), "array"),
        ("workflow_config_ids", json!([5]), "workflow_config_ids[0]"),
        ("zoom", json!("x"), "object"),
        ("zoom.zak_url", json!("http://example.com/zak"), "https://"),
        ("zoom", json!({"zak_url": "https://a.example/z", "obf_url": "https://a.example/o"}), "exclude each other"),
        ("zoom.use_zoom_obf", json!(true), "zak_url"),
        ("use_zoom_obf", json!(true), "zak_url"),
        ("google_meet.login_required", json!("yes"), "true or false"),
        ("teams.sign_in_email", json!(5), "text"),
    ]
}

#[tokio::test]
async fn every_wrong_value_is_400_and_names_its_field() {
    let api = Api::start().await;
    let cases = wrong_values();
    assert!(cases.len() >= 60);
    for (field, value, says) in cases {
        let body = with(field, value);
        let shown: String = body.to_string().chars().take(200).collect();
        let reply = api.create(&body).await;
        assert_eq!(reply.status, 400, "{shown}: {:?}", reply.bytes);
        let message = reply.refusal(400);
        let named = field.trim_end_matches(".websocket_url").trim_end_matches(".webhook_url");
        assert!(message.contains(named), "{shown}: {message}");
        assert!(message.contains(says), "{shown}: expected {says:?} in {message}");
        assert!(message.len() < 2_000, "{shown}: {} bytes", message.len());
    }
    assert_eq!(api.get("/api/v1/bots").await.expect(200)["bots"], json!([]), "nothing was made");
}

#[tokio::test]
async fn bodies_that_are_no_json_object_are_400() {
    let api = Api::start().await;
    let auth = format!("Token {KEY}");
    for (body, says) in [
        ("", "JSON"),
        ("{", "JSON"),
        ("nul", "JSON"),
        ("{\"meeting_link\":}", "JSON"),
        ("{} {}", "JSON"),
        ("{\"a\": 1e999}", "JSON"),
        ("{\"a\": \"\\ud800\"}", "JSON"),
        ("meeting_link=https%3A%2F%2Fmeet.google.com%2Fabc-defg-hij", "JSON"),
        ("[]", "object"),
        ("\"x\"", "object"),
        ("null", "object"),
        ("5", "object"),
        ("{}", "meeting_link"),
    ] {
        let reply = api.call(Method::POST, "/api/v1/bots/create_bot", &[("authorization", &auth)], body).await;
        let message = reply.refusal(400);
        assert!(message.contains(says), "{body}: {message}");
    }
    let not_utf8 = b"{\"meeting_link\": \"\xff\xfe\"}".to_vec();
    api.call(Method::POST, "/api/v1/bots/create_bot", &[("authorization", &auth)], not_utf8).await.refusal(400);
}

#[tokio::test]
async fn links_that_no_bot_can_follow_are_400() {
    let api = Api::start().await;
    for link in [
        "hello",
        "https://example.com/meeting",
        "https://meet.google.com/",
        "https://meet.google.com/lookup/abc",
        "javascript:alert(1)",
        "file:///etc/passwd",
        "http://127.0.0.1/latest",
        "http://10.0.0.5:8080/sandbox/a",
        "http://169.254.169.254/sandbox/a",
        "http://localhost:8080/sandbox/a",
        "http://rebind.evil.example/sandbox/x",
        "https://muster.example.evil.example/sandbox/x",
        "https://muster.example:8443/sandbox/x",
        "http://muster.example/sandbox/x",
        "http://8.8.8.8/sandbox/x",
        "https://safelinks.protection.outlook.com/?url=http%3A%2F%2Frebind.evil.example%2Fsandbox%2Fx",
        "https://meet.google.com.evil.example/abc-defg-hij",
        "https://evil.example/?u=https://meet.google.com/abc-defg-hij",
        "https://zoom.us/",
        "https://zoom.us/j/12",
        "https://teams.microsoft.com/",
        "%%%",
        "https://",
        "https://[::",
    ] {
        let reply = api.create(&json!({"meeting_link": link})).await;
        assert_eq!(reply.status, 400, "{link}: {:?}", reply.bytes);
        assert!(reply.refusal(400).starts_with("meeting_link: "), "{link}");
    }
}

#[tokio::test]
async fn sandbox_meetings_are_our_own_or_where_the_operator_opened() {
    let mut api = Api::start().await;
    let create = async |api: &Api, link: &str| api.create(&json!({"meeting_link": link})).await;
    create(&api, "https://muster.example/sandbox/x").await.expect(201);
    let message = create(&api, "http://rebind.evil.example/sandbox/x").await.refusal(400);
    let ours = "(https://muster.example/sandbox/ROOM)";
    assert!(message.contains(ours) && message.contains("hooks.allow_private"), "{message}");
    api.state.guard = Policy::new(["10.0.0.0/8", "127.0.0.0/8"]).unwrap();
    api.router = router(api.state.clone());
    for link in ["http://10.0.0.5:8080/sandbox/x", "http://127.0.0.1:9/sandbox/x", "http://localhost:9/sandbox/x"] {
        create(&api, link).await.expect(201);
    }
    for link in ["http://rebind.evil.example/sandbox/x", "http://192.168.0.1/sandbox/x", "http://8.8.8.8/sandbox/x"] {
        create(&api, link).await.refusal(400);
    }
    // What is at a fixed host is not asked where it is.
    create(&api, MEET).await.expect(201);
}

#[tokio::test]
async fn all_problems_are_told_at_once() {
    let api = Api::start().await;
    let body = json!({
        "meeting_link": MEET, "bot_name": 5, "join_at": "soon",
        "automatic_leave": {"waiting_room_timeout": 5, "everyone_left_timeout": "x"},
    });
    let message = api.create(&body).await.refusal(400);
    for field in
        ["bot_name", "join_at", "automatic_leave.waiting_room_timeout", "automatic_leave.everyone_left_timeout"]
    {
        assert!(message.contains(field), "{message}");
    }
}

#[tokio::test]
async fn the_ends_of_every_range_are_accepted() {
    let api = Api::start().await;
    for (field, low, high) in [
        ("waiting_room_timeout", 60, 600),
        ("no_one_joined_timeout", 60, 1_800),
        ("noone_joined_timeout", 60, 1_800),
        ("everyone_left_timeout", 60, 1_800),
        ("voice_inactivity_timeout", 60, 1_800),
        ("in_call_recording_timeout", 600, 18_000),
        ("recording_permission_denied_timeout", 60, 300),
    ] {
        for seconds in [low, high] {
            api.create(&with(&format!("automatic_leave.{field}"), json!(seconds))).await.expect(201);
        }
    }
    for (field, low, high) in [("activate_after", 60, 1_800), ("timeout", 5, 300)] {
        for seconds in [low, high] {
            let names = json!({"matches": ["bot"], field: seconds});
            api.create(&with("automatic_leave.bot_detection.using_participant_names", names)).await.expect(201);
        }
    }
    for length in [1, 2_000] {
        api.create(&with("deduplication_key", json!("k".repeat(length)))).await.expect(201);
    }
    api.create(&with("custom_attributes", many(64))).await.expect(201);
    api.create(&with("custom_attributes.long", json!("x".repeat(4_096)))).await.expect(201);
}

#[tokio::test]
async fn idempotency_keys_are_bounded() {
    let api = Api::start().await;
    let body = json!({"meeting_link": MEET});
    for key in [String::new(), "k".repeat(2_001), "tab\there".to_owned()] {
        let message = api.create_with_key(&key, &body).await.refusal(400);
        assert!(message.contains("Idempotency-Key"), "{message}");
    }
    api.create_with_key(&"k".repeat(2_000), &body).await.expect(201);
    let auth = format!("Token {KEY}");
    let request = axum::http::Request::post("/api/v1/bots/create_bot")
        .header("authorization", auth)
        .header("idempotency-key", axum::http::HeaderValue::from_bytes(b"caf\xe9").unwrap());
    api.send(request.body(body.to_string().into()).unwrap()).await.refusal(400);
}
