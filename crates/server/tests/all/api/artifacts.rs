use std::time::Duration;

use muster_session::protocol::Report;
use muster_session::{ArtifactKind, ArtifactState, EndReason, State};
use muster_store::LogEntry;
use serde_json::{Value, json};

use super::harness::{Api, drive_to};

#[tokio::test]
async fn audio_is_202_until_it_is_there() {
    let api = Api::start().await;
    for state in [State::Queued, State::WaitingRoom, State::Recording, State::Processing] {
        let bot = api.bot().await;
        drive_to(&api, bot, state).await;
        for endpoint in ["get_audio", "get_audio_streams", "get_speaker_timeline"] {
            let body = api.get(&format!("/api/v1/bots/{bot}/{endpoint}")).await.expect(202);
            assert_eq!(body["audio_status"], "in_progress");
            assert!(body["message"].is_string());
        }
    }
    let bot = api.recorded(json!({}), b"OggS sound").await;
    let body = api.get(&format!("/api/v1/bots/{bot}/get_audio")).await.expect(200);
    assert_eq!(body.as_object().unwrap().len(), 1);
    let reply = api.call(axum::http::Method::GET, &Api::local(&body["audio_url"]), &[], "").await;
    assert_eq!((reply.status, &reply.bytes[..]), (200, &b"OggS sound"[..]));
    assert_eq!(reply.headers["content-type"], "audio/ogg");
}

#[tokio::test]
async fn audio_that_will_not_come_is_404_with_the_reason() {
    let api = Api::start().await;
    let never_in = api.bot().await;
    api.acquire(never_in).await;
    api.end(never_in, EndReason::JoinDenied).await;
    let message = api.get(&format!("/api/v1/bots/{never_in}/get_audio")).await.refusal(404);
    assert!(message.contains(EndReason::JoinDenied.message()), "{message}");

    let broken = api.bot().await;
    drive_to(&api, broken, State::Processing).await;
    let failed = ArtifactState::Failed { message: "nothing was recorded".into() };
    api.settle(broken, ArtifactKind::Audio, failed).await;
    let message = api.get(&format!("/api/v1/bots/{broken}/get_audio")).await.refusal(404);
    assert!(message.contains("nothing was recorded"), "{message}");
}

#[tokio::test]
async fn there_is_no_video_and_there_are_no_screenshots() {
    let api = Api::start().await;
    let bot = api.recorded(json!({}), b"ogg").await;
    for endpoint in ["get_video", "get_recording_streams"] {
        assert!(api.get(&format!("/api/v1/bots/{bot}/{endpoint}")).await.refusal(404).contains("audio only"));
    }
    let body = api.get(&format!("/api/v1/bots/{bot}/get_screenshots")).await.expect(200);
    assert_eq!(body, json!({"bot_id": bot.to_string(), "screenshots_count": 0, "screenshots": []}));
}

async fn log(api: &Api, bot: muster_session::BotId, kind: &str, data: Value) {
    let entry = LogEntry { kind: kind.into(), key: format!("{}:{data}", api.now()), at: api.now(), data };
    let fencing = api.session(bot).await.fencing;
    api.state.store.append_log(bot, fencing, &[entry]).await.unwrap();
    api.advance(Duration::from_secs(1));
}

#[tokio::test]
async fn participants_are_a_bare_array_made_of_comings_and_goings() {
    let api = Api::start().await;
    let bot = api.bot().await;
    api.record(bot).await;
    let path = format!("/api/v1/bots/{bot}/get_participants");
    assert_eq!(api.get(&path).await.expect(200), json!([]));
    for (id, name, joined) in
        [("d1", "Ada", true), ("d2", "Bob", true), ("d1", "Ada", false), ("d1", "Ada L.", true), ("d2", "", false)]
    {
        log(&api, bot, "participant", json!({"id": id, "name": name, "joined": joined, "at": api.now()})).await;
    }
    let body = api.get(&path).await.expect(200);
    let people = body.as_array().unwrap();
    assert_eq!(people.len(), 2);
    assert_eq!(
        people[0],
        json!({
            "deviceId": "d1", "displayName": "Ada L.", "fullName": "Ada L.", "profilePicture": null, "status": 1,
            "humanized_status": "in_meeting", "streamIds": [], "lastUpdated": "2026-09-21T14:13:23.000Z",
        })
    );
    assert_eq!((&people[1]["displayName"], &people[1]["status"]), (&json!("Bob"), &json!(6)));
    assert_eq!(people[1]["humanized_status"], "left");
    // Once the bot is out nobody is in the call as far as it knows.
    api.end(bot, EndReason::HostEnded).await;
    let body = api.get(&path).await.expect(200);
    assert!(body.as_array().unwrap().iter().all(|person| person["status"] == 6));
}

#[tokio::test]
async fn chats_have_messages_authors_and_figures() {
    let api = Api::start().await;
    let bot = api.bot().await;
    api.record(bot).await;
    for (id, from, name, text) in [("m1", "d1", "Ada", "hello"), ("m2", "d2", "Bob", "hi"), ("m3", "d1", "Ada", "bye")]
    {
        log(&api, bot, "chat", json!({"id": id, "from": from, "name": name, "text": text, "at": api.now()})).await;
    }
    let body = api.get(&format!("/api/v1/bots/{bot}/get_chats")).await.expect(200);
    assert_eq!(body["metadata"]["totalMessages"], 3);
    assert_eq!(body["metadata"]["uniqueSpeakers"], 2);
    assert_eq!(body["metadata"]["botId"], bot.to_string());
    assert_eq!(body["speakers"][0], json!({"deviceId": "d1", "name": "Ada", "displayName": "Ada", "messageCount": 2}));
    let message = &body["chatMessages"][1];
    assert_eq!((&message["messageId"], &message["text"]), (&json!("m2"), &json!("hi")));
    assert_eq!(message["sessionTimestamp"], 1_000);
    assert_eq!(body["messagesBySpeaker"]["d1"].as_array().unwrap().len(), 2);
    assert!(body["serverMetadata"].is_object());
}

#[tokio::test]
async fn deleting_erases_objects_and_leaves_the_record() {
    let api = Api::start().await;
    let bot = api.bot_with(json!({"callback_url": "https://example.com/hook"})).await;
    api.record(bot).await;
    log(&api, bot, "chat", json!({"id": "m", "from": "d", "name": "A", "text": "secret"})).await;
    api.over(bot, b"ogg").await;
    let other = api.recorded(json!({}), b"ogg").await;
    api.put(&format!("recordings/first/{bot}/manifest.json"), "{}").await;
    let link = api.get(&format!("/api/v1/bots/{bot}/get_audio")).await.expect(200)["audio_url"].take();

    let path = format!("/api/v1/bots/{bot}/delete");
    let body = api.delete(&path).await.expect(200);
    assert_eq!((&body["bot_id"], &body["deleted_objects"]), (&json!(bot.to_string()), &json!(2)));
    assert_eq!(api.delete(&path).await.expect(200)["deleted_objects"], 0, "repeating it is harmless");

    assert_eq!(api.get(&format!("/api/v1/bots/{bot}/status")).await.expect(200)["status"], "MediaExpired");
    for endpoint in ["get_audio", "get_audio_streams", "get_participants", "get_chats", "get_speaker_timeline"] {
        api.get(&format!("/api/v1/bots/{bot}/{endpoint}")).await.refusal(410);
    }
    api.call(axum::http::Method::GET, &Api::local(&link), &[], "").await.refusal(410);
    api.get(&format!("/api/v1/bots/{other}/get_audio")).await.expect(200);
    let ledger = api.get(&format!("/api/v1/bots/{bot}/events")).await.expect(200);
    let last = ledger["events"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&last["event"], &last["body"]["deleted_objects"]), (&json!("data_deletion"), &json!(2)));
}

#[tokio::test]
async fn only_what_is_done_can_be_deleted() {
    let api = Api::start().await;
    for state in [State::Queued, State::Recording, State::Leaving, State::Processing] {
        let bot = api.bot().await;
        drive_to(&api, bot, state).await;
        let message = api.delete(&format!("/api/v1/bots/{bot}/delete")).await.refusal(409);
        assert!(message.contains(state.wire_status()), "{message}");
    }
    let never_in = api.bot().await;
    api.acquire(never_in).await;
    api.report(never_in, Report::WaitingRoom { at: api.now() }).await;
    api.end(never_in, EndReason::LobbyTimeout).await;
    assert_eq!(api.delete(&format!("/api/v1/bots/{never_in}/delete")).await.expect(200)["deleted_objects"], 0);
}
