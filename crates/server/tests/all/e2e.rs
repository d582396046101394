//! One bot, one real Chromium, one sandbox meeting, for every way a call can go. Each test asserts the exact webhooks and,
//! where there is a recording, examines it.

use muster_audio::probe;
use serde_json::{Value, json};

use crate::harness::{Receiver, Server, assert_lawful, names};

/// Tones are placed by RTP; what moves them is jitter buffering on the way, bounded by the mixer's own delay.
const TONE_TOLERANCE_MS: i64 = 100;

fn request(link: &str, hook: &Receiver, more: Value) -> Value {
    let mut body = json!({
        "meeting_link": link,
        "bot_name": "Notes",
        "callback_url": hook.url,
        "custom_attributes": {"case": "e2e"},
        "video_required": false,
    });
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

/// Ada plays 440 Hz, then Grace 880 Hz, then Ada again.
fn two_tones() -> Value {
    json!([
        {"id": "ada", "name": "Ada", "joins_at": 0, "speaks": [
            {"at": 3.0, "tone_hz": 440, "ms": 1000, "level": 0.5}, {"at": 7.0, "tone_hz": 440, "ms": 1000, "level": 0.5}]},
        {"id": "grace", "name": "Grace", "joins_at": 0, "speaks": [{"at": 5.0, "tone_hz": 880, "ms": 1000, "level": 0.5}]},
    ])
}

const RECORDED: [&str; 3] = ["manifest.completed", "audio.processed", "bot.done"];

fn assert_names(bodies: &[Value], before: &[&str], after: &[&str]) {
    let want: Vec<String> = before.iter().chain(after).map(|n| (*n).to_owned()).collect();
    assert_eq!(names(bodies), want);
}

fn terminal(bodies: &[Value]) -> &Value {
    bodies.iter().find(|b| b["event"] == "bot.stopped").unwrap()
}

#[tokio::test]
async fn normal_call_until_the_host_ends_it() {
    normal_call(&Server::start("")).await;
}

/// A whole call, with everything that is to come of it.
pub(crate) async fn normal_call(server: &Server) {
    let hook = Receiver::start().await;
    let link = server
        .room(
            "normal",
            json!({"clock": "first_guest", "participants": two_tones(), "timeline": [{"at": 9.0, "do": "end"}]}),
        )
        .await;
    let bot = server.create(request(&link, &hook, json!({"audio_separate_streams": true}))).await;
    let seen = hook.done(&bot).await;
    assert_lawful(&seen);
    assert_names(&seen, &["bot.joining", "bot.inmeeting", "bot.recording", "bot.leaving", "bot.stopped"], &RECORDED);
    let end = terminal(&seen);
    assert_eq!(
        (&end["reason"], &end["fault"], &end["status_code"]),
        (&json!("host_ended"), &json!("host"), &json!(200))
    );

    // What was heard: right tones, right times, right people.
    assert_heard(server, &bot, "normal", &[("ada", 440.0, 2), ("grace", 880.0, 1)]).await;
    let spans = server.get(&format!("/api/v1/bots/{bot}/get_speaker_timeline")).await;
    let order: Vec<&str> =
        spans["chunks"].as_array().unwrap().iter().map(|c| c["speakerName"].as_str().unwrap()).collect();
    assert_eq!(order, ["Ada", "Grace", "Ada"], "{spans}");
    let participants = server.get(&format!("/api/v1/bots/{bot}/get_participants")).await;
    let people: Vec<&str> = participants.as_array().unwrap().iter().map(|p| p["fullName"].as_str().unwrap()).collect();
    assert!(people.contains(&"Ada") && people.contains(&"Grace"), "{people:?}");
    let streams = server.get(&format!("/api/v1/bots/{bot}/get_audio_streams")).await;
    assert_eq!(streams["summary"]["total_participants"], 2, "{streams}");
}

/// Examines the recording: the first so many speeches of each participant are there, with their frequency, at the time and
/// for the length that the sandbox's own log says.
async fn assert_heard(server: &Server, bot: &str, room: &str, speakers: &[(&str, f32, usize)]) {
    let log = server.room_log(room).await;
    let started = server.manifest(bot)["started_at"].as_i64().unwrap();
    let audio = server.recording(bot).await;
    for (speaker, hz, count) in speakers {
        let said: Vec<&Value> =
            log.iter().filter(|entry| entry["event"] == "speech_started" && entry["id"] == *speaker).collect();
        let heard = probe::onsets(&audio, 48_000, *hz);
        assert!(said.len() >= *count && heard.len() >= *count, "{speaker}: said {said:?}, heard {heard:?}");
        for (said, (from, to)) in said.iter().zip(&heard).take(*count) {
            let late = started + i64::from(*from) - said["at_ms"].as_i64().unwrap();
            println!("{speaker}: recorded {late} ms after it was sent");
            assert!(late.abs() <= TONE_TOLERANCE_MS, "{speaker}: recorded {late} ms after it was sent");
            let length = i64::from(to - from);
            assert!((length - said["ms"].as_i64().unwrap()).abs() <= TONE_TOLERANCE_MS, "{speaker}: {length} ms long");
        }
    }
}

/// Grace begins to speak: what Ada said before her is recorded by then.
async fn grace_speaks(server: &Server, room: &str) {
    server.logged(room, "Grace", |entry| entry["event"] == "speech_started" && entry["id"] == "grace").await;
}

#[tokio::test]
async fn lobby_then_admitted_then_removed_by_api() {
    let (server, hook) = (Server::start(""), Receiver::start().await);
    let link = server.room("lobby", json!({"lobby": {"mode": "hold"}, "participants": two_tones()})).await;
    let bot = server.create(request(&link, &hook, json!({}))).await;
    hook.event(&bot, "bot.in_waiting_room").await;
    assert_eq!(server.get(&format!("/api/v1/bots/{bot}/status")).await["status"], "InWaitingRoom");
    server.act("lobby", json!({"do": "admit"})).await;
    hook.event(&bot, "bot.recording").await;
    grace_speaks(&server, "lobby").await;
    server.get(&format!("/api/v1/bots/{bot}/remove_bot")).await;
    let seen = hook.done(&bot).await;
    assert_lawful(&seen);
    let before = ["bot.joining", "bot.in_waiting_room", "bot.inmeeting", "bot.recording", "bot.leaving", "bot.stopped"];
    assert_names(&seen, &before, &RECORDED);
    assert_eq!(terminal(&seen)["reason"], "leave_requested");
    assert_heard(&server, &bot, "lobby", &[("ada", 440.0, 1)]).await;
}

#[tokio::test]
async fn denied_from_the_lobby() {
    let (server, hook) = (Server::start(""), Receiver::start().await);
    let link = server.room("denied", json!({"lobby": {"mode": "hold"}})).await;
    let bot = server.create(request(&link, &hook, json!({}))).await;
    hook.event(&bot, "bot.in_waiting_room").await;
    server.act("denied", json!({"do": "deny"})).await;
    let seen = hook.done(&bot).await;
    assert_lawful(&seen);
    assert_names(&seen, &["bot.joining", "bot.in_waiting_room", "bot.leaving", "bot.denied"], &["bot.done"]);
    let end = terminal(&seen);
    assert_eq!(
        (&end["bot_status"], &end["status_code"], &end["reason"]),
        (&json!("Denied"), &json!(500), &json!("join_denied"))
    );
}

#[tokio::test]
async fn nobody_opens_the_lobby() {
    let (server, hook) = (Server::start(""), Receiver::start().await);
    let link = server.room("closed", json!({"lobby": {"mode": "hold"}})).await;
    let bot = server.create(request(&link, &hook, json!({"automatic_leave": {"waiting_room_timeout": 3}}))).await;
    let seen = hook.done(&bot).await;
    assert_lawful(&seen);
    assert_names(&seen, &["bot.joining", "bot.in_waiting_room", "bot.leaving", "bot.notallowed"], &["bot.done"]);
    assert_eq!(terminal(&seen)["reason"], "lobby_timeout");
}

#[tokio::test]
async fn kicked_by_a_participant() {
    let (server, hook) = (Server::start(""), Receiver::start().await);
    let link = server.room("kicked", json!({"participants": two_tones()})).await;
    let bot = server.create(request(&link, &hook, json!({}))).await;
    grace_speaks(&server, "kicked").await;
    server.act("kicked", json!({"do": "kick"})).await;
    let seen = hook.done(&bot).await;
    assert_lawful(&seen);
    assert_names(&seen, &["bot.joining", "bot.inmeeting", "bot.recording", "bot.leaving", "bot.kicked"], &RECORDED);
    assert_eq!((&terminal(&seen)["event"], &terminal(&seen)["reason"]), (&json!("bot.stopped"), &json!("kicked")));
    assert_heard(&server, &bot, "kicked", &[("ada", 440.0, 1)]).await;
}

#[tokio::test]
async fn left_alone() {
    let (server, hook) = (Server::start(""), Receiver::start().await);
    let people = json!([{"id": "ada", "name": "Ada", "joins_at": 0, "leaves_at": 3.0, "speaks": [{"at": 1.0, "tone_hz": 440, "ms": 500}]}]);
    let link = server.room("alone", json!({"participants": people})).await;
    let people = Receiver::start().await;
    let told = json!([{"type": "webhook", "url": people.url, "events": ["participant_events.join", "participant_events.leave"]}]);
    let more = json!({
        "automatic_leave": {"everyone_left_timeout": 3, "voice_inactivity_timeout": 600},
        "recording_config": {"realtime_endpoints": told},
    });
    let bot = server.create(request(&link, &hook, more)).await;
    let seen = hook.done(&bot).await;
    let came_and_went: Vec<Value> = people.until(&bot, "Ada's going", |all| all.len() >= 2).await;
    let who = |b: &Value| (b["event"].clone(), b["data"]["data"]["participant"]["name"].clone());
    let names: Vec<_> = came_and_went.iter().map(who).collect();
    assert_eq!(
        names,
        [(json!("participant_events.join"), json!("Ada")), (json!("participant_events.leave"), json!("Ada"))]
    );
    assert_lawful(&seen);
    assert_names(&seen, &["bot.joining", "bot.inmeeting", "bot.recording", "bot.leaving", "bot.stopped"], &RECORDED);
    assert_eq!(terminal(&seen)["reason"], "everyone_left");
    assert_heard(&server, &bot, "alone", &[("ada", 440.0, 1)]).await;
}

#[tokio::test]
async fn a_short_network_drop_is_survived_and_a_long_one_is_named() {
    let (server, hook) = (Server::start("rejoin = false"), Receiver::start().await);
    let people =
        json!([{"id": "ada", "name": "Ada", "joins_at": 0, "speaks": [{"at": 1.0, "tone_hz": 440, "ms": 1000}]}]);
    let link = server.room("net", json!({"participants": people})).await;
    let bot = server.create(request(&link, &hook, json!({}))).await;
    server.logged("net", "the first tone", |entry| entry["event"] == "speech_ended").await;
    server.act("net", json!({"do": "network_drop"})).await;
    server.act("net", json!({"do": "network_return"})).await;
    server.logged("net", "the way back", |entry| entry["event"] == "guest_resumed").await;
    server.logged("net", "media", |entry| entry["event"] == "media_connected" && entry["session"] == 2).await;
    server.act("net", json!({"do": "speak", "target": "ada", "tone_hz": 880, "ms": 1000})).await;
    server.act("net", json!({"do": "speak", "target": "ada", "tone_hz": 660, "ms": 500})).await;
    server
        .logged("net", "the end of the tone after it", |entry| {
            entry["event"] == "speech_ended" && entry["item"].is_null()
        })
        .await;
    assert_eq!(server.get(&format!("/api/v1/bots/{bot}/status")).await["status"], "Recording");
    server.act("net", json!({"do": "network_drop"})).await;
    let seen = hook.done(&bot).await;
    assert_lawful(&seen);
    assert_names(&seen, &["bot.joining", "bot.inmeeting", "bot.recording", "bot.leaving", "bot.failed"], &RECORDED);
    let end = terminal(&seen);
    assert_eq!((&end["reason"], &end["fault"]), (&json!("connection_lost"), &json!("platform")));
    // What was said before the drop, and after the return.
    assert_heard(&server, &bot, "net", &[("ada", 440.0, 1)]).await;
    let after = probe::onsets(&server.recording(&bot).await, 48_000, 880.0);
    assert!(after.iter().any(|(from, to)| to - from >= 800), "the tone after the return: {after:?}");
}

#[tokio::test]
async fn a_scheduled_bot_is_there_at_its_time() {
    let (server, hook) = (Server::start(""), Receiver::start().await);
    let link = server.room("later", json!({"participants": two_tones(), "timeline": [{"at": 2.0, "do": "end"}]})).await;
    // Before anything is learned, bots set out 15 to 25 s before their time.
    let join_at = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(28);
    let bot = server.create(request(&link, &hook, json!({"join_at": join_at.to_string()}))).await;
    let (_, listed) = server.call("GET", "/api/v1/calendar/scheduled_bots", None).await;
    assert_eq!(listed["scheduled_bots"][0]["bot_id"], bot.as_str(), "{listed}");
    let seen = hook.done(&bot).await;
    assert_lawful(&seen);
    assert_eq!(names(&seen)[..3], ["bot.scheduled", "bot.joining", "bot.inmeeting"]);
    let at = |event: &Value| event["timestamp"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let early = join_at - at(&seen[1]).min(join_at);
    assert!(early.get_seconds() <= 26, "it sets out only when it has to: {} and {join_at}", at(&seen[1]));
    assert!(at(&seen[2]) <= join_at, "in the call at {}, not after {join_at}", at(&seen[2]));
}

#[tokio::test]
async fn live_audio_reaches_the_customer_with_speaker_labels() {
    let (server, hook) = (Server::start(""), Receiver::start().await);
    let live = crate::live::AudioServer::start().await;
    let link = server.room("live", json!({"participants": two_tones(), "timeline": [{"at": 9.0, "do": "end"}]})).await;
    let more = json!({"live_audio_required": {"websocket_url": live.url}});
    let bot = server.create(request(&link, &hook, more)).await;
    hook.done(&bot).await;
    let heard = live.finished().await;
    assert_eq!(heard.ready["bot_id"], bot.as_str());
    assert_eq!(heard.close_code, Some(1000));
    for (name, hz, count) in [("Ada", 440.0, 2), ("Grace", 880.0, 1)] {
        let tones = probe::onsets(&heard.pcm, 48_000, hz);
        assert_eq!(tones.len(), count, "{name}: {tones:?}");
        for (from, to) in tones {
            let middle = usize::try_from(from + (to - from) / 2).unwrap() * 48;
            assert_eq!(heard.speaker_at(middle), name);
        }
    }
}

#[tokio::test]
async fn nothing_of_a_bot_is_left_behind() {
    let (server, hook) = (Server::start(""), Receiver::start().await);
    let link = server.room("tidy", json!({"participants": two_tones(), "timeline": [{"at": 2.0, "do": "end"}]})).await;
    let bot = server.create(request(&link, &hook, json!({}))).await;
    hook.event(&bot, "bot.recording").await;
    assert!(!server.bot_processes().is_empty());
    hook.done(&bot).await;
    crate::harness::eventually("all bot processes to end", || server.bot_processes().is_empty()).await;
    let left: Vec<_> = std::fs::read_dir(server.data.join("bots")).unwrap().flatten().map(|e| e.path()).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Invariant: drain never kills a call.
#[tokio::test]
async fn a_server_that_drains_waits_for_the_call_and_loses_nothing_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let (mut server, hook) = (Server::start_in(&data, ""), Receiver::start().await);
    let link = server.room("drain", json!({"participants": two_tones()})).await;
    let bot = server.create(request(&link, &hook, json!({}))).await;
    hook.event(&bot, "bot.recording").await;
    server.terminate();
    crate::harness::until_answer(&server, "/readyz", 503).await;
    assert_eq!(server.get(&format!("/api/v1/bots/{bot}/status")).await["status"], "Recording");
    server.act("drain", json!({"do": "end"})).await;
    let status = tokio::task::spawn_blocking(move || server.wait_exit()).await.unwrap();
    assert!(status.success(), "{status}");
    // What the ending server had no time for is done by the next one.
    let _next = Server::start_in(&data, "");
    let seen = hook.done(&bot).await;
    assert_names(&seen, &["bot.joining", "bot.inmeeting", "bot.recording", "bot.leaving", "bot.stopped"], &RECORDED);
    assert_eq!(terminal(&seen)["reason"], "host_ended");
}
