//! Two servers: one sends a bot to the other, as it would to a MeetStream cloud.

use muster_transcript::accuracy::wer;
use serde_json::{Value, json};

use crate::harness::{KEY, Receiver, Server, assert_lawful, names};
use crate::words::{ADA, say, text};

/// A server that can send bots to another one. The first lines of `more` belong to `[worker]`.
fn first(second: &Server, more: &str) -> String {
    format!("{more}\n[meetstream]\nurl = \"{}\"\napi_key = \"{KEY}\"\n", second.url)
}

/// A bot made on the first runs on the second, and webhooks, audio and transcript come from the first.
#[tokio::test]
async fn a_bot_runs_in_the_other_cloud_and_its_caller_sees_one_api() {
    let whisper = std::env::var("MUSTER_TEST_WHISPER_URL")
        .expect("MUSTER_TEST_WHISPER_URL names a speech-to-text server: run `make test`, which starts one");
    let second = Server::start(&format!("[transcription]\nurl = {whisper:?}\nlanguage = \"en\"\n"));
    let server = Server::start(&first(&second, ""));
    let (hook, words, people) = (Receiver::start().await, Receiver::start().await, Receiver::start().await);
    let ada = json!([{"id": "ada", "name": "Ada", "speaks": [{"at": 1.0, "wav_base64": say("en-us", ADA)}]}]);
    let link = second.room("hybrid", json!({"participants": ada})).await;
    let request = json!({
        "meeting_link": link, "callback_url": hook.url, "custom_attributes": {"case": "e2e"}, "runtime": "meetstream",
        "live_transcription_required": {"webhook_url": words.url},
        "recording_config": {
            "transcript": {"provider": {"meetstream_streaming": {}}},
            "realtime_endpoints": [{"type": "webhook", "url": people.url}],
        },
    });
    let bot = server.create(request).await;
    // Live words pass through the first, too.
    let posts = words.until(&bot, "live words", |posts| text(posts, "Ada").split_whitespace().count() >= 6).await;
    assert!(posts.iter().all(|post| post["custom_attributes"] == json!({"case": "e2e"})), "{posts:?}");
    let came = people.until(&bot, "Ada's coming", |all| !all.is_empty()).await;
    assert_eq!(came[0]["data"]["data"]["participant"]["name"], "Ada");
    assert_eq!((&came[0]["custom_attributes"], came.len()), (&json!({"case": "e2e"}), 1), "{came:?}");
    second.act("hybrid", json!({"do": "end"})).await;
    let seen = hook.done(&bot).await;
    assert_lawful(&seen);
    let want = [
        "bot.joining",
        "bot.inmeeting",
        "bot.recording",
        "bot.leaving",
        "bot.stopped",
        "audio.processed",
        "transcription.processed",
        "bot.done",
    ];
    assert_eq!(names(&seen), want);
    assert_eq!(seen[4]["reason"], "host_ended", "as the other one says it");
    assert!(seen.iter().all(|body| body["bot_id"] == bot.as_str()));

    // It did run there, under another id.
    let there = second.get("/api/v1/bots").await;
    let there = &there["bots"][0];
    assert_eq!(there["custom_attributes"]["muster_bot_id"], bot.as_str(), "{there}");
    assert!(server.bot_processes().is_empty());

    // The recording and the transcript are the first one's own by now.
    let detail = &server.get(&format!("/api/v1/bots/{bot}/detail")).await["bot_details"];
    assert_eq!((&detail["AudioStatus"], &detail["TranscriptStatus"]), (&json!("Success"), &json!("Success")));
    let transcript = detail["transcript_id"].as_str().unwrap().to_owned();
    drop(second);
    let audio = server.recording(&bot).await;
    assert!(audio.len() > 4 * 48_000 && audio.iter().any(|sample| sample.unsigned_abs() > 1_000), "{}", audio.len());
    let segments = server.get(&format!("/api/v1/transcript/{transcript}/get_transcript")).await;
    let said: Vec<&str> = segments.as_array().unwrap().iter().map(|s| s["transcript"].as_str().unwrap()).collect();
    assert!(wer(ADA, &said.join(" ")) <= 0.25, "{segments}");
}

/// A bot that no worker takes in time runs in the other cloud; stopping it and deleting it reach it there.
#[tokio::test]
async fn a_full_fleet_overflows_into_the_other_cloud() {
    let second = Server::start("");
    let config = first(&second, "max_concurrent_bots = 1") + "overflow_after = \"1s\"\n";
    let server = Server::start(&config);
    let hook = Receiver::start().await;
    let people = json!([{"id": "ada", "name": "Ada", "joins_at": 0, "speaks": []}]);
    let (here, there) = (
        server.room("here", json!({"participants": people})).await,
        second.room("there", json!({"participants": people})).await,
    );
    let request =
        |link: &str| json!({"meeting_link": link, "callback_url": hook.url, "custom_attributes": {"case": "e2e"}});
    let ours = server.create(request(&here)).await;
    hook.event(&ours, "bot.recording").await;
    let other = server.create(request(&there)).await;
    hook.event(&other, "bot.recording").await;
    let listed = second.get("/api/v1/bots").await;
    let remote = listed["bots"][0]["bot_id"].as_str().unwrap().to_owned();
    assert_eq!(listed["bots"][0]["custom_attributes"]["muster_bot_id"], other.as_str());
    server.get(&format!("/api/v1/bots/{other}/remove_bot")).await;
    let seen = hook.done(&other).await;
    assert_lawful(&seen);
    let end = seen.iter().find(|body| body["event"] == "bot.stopped").unwrap();
    assert_eq!(end["reason"], "leave_requested");
    assert_eq!(server.get(&format!("/api/v1/bots/{ours}/status")).await["status"], "Recording");
    let (status, _) = server.call("DELETE", &format!("/api/v1/bots/{other}/delete"), None).await;
    assert_eq!(status, 200);
    let mut there = Value::Null;
    while there["status"] != "MediaExpired" {
        there = second.get(&format!("/api/v1/bots/{remote}/status")).await;
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_cloud_that_refuses_ends_the_bot_with_its_words() {
    let second = Server::start("");
    let config = format!("[meetstream]\nurl = \"{}\"\napi_key = \"wrong-key-0123456\"\n", second.url);
    let (server, hook) = (Server::start(&config), Receiver::start().await);
    let link = second.room("refused", json!({"participants": []})).await;
    let body = json!({"meeting_link": link, "callback_url": hook.url, "custom_attributes": {"case": "e2e"}, "runtime": "meetstream"});
    let bot = server.create(body).await;
    let seen = hook.done(&bot).await;
    assert_lawful(&seen);
    assert_eq!(names(&seen), ["bot.failed", "bot.done"]);
    assert_eq!(seen[0]["reason"], "remote_failed");
    assert!(seen[0]["message"].as_str().unwrap().contains("API key is not valid"), "{}", seen[0]);
}
