//! What `kill -9` may cost: nothing that was acknowledged, and at most one segment of a recording.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use tokio::task::JoinSet;

use crate::harness::{KEY, PATIENCE, Receiver, Server, assert_lawful, eventually, first_deliveries, names};

/// Invariant: no acknowledged create is lost.
#[tokio::test]
async fn killing_the_server_during_a_thousand_creates_loses_none_that_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut server = Server::start_in(&data, "max_concurrent_bots = 1");
    let acknowledged = Arc::new(std::sync::Mutex::new(Vec::new()));
    let count = Arc::new(AtomicUsize::new(0));
    let mut calls = JoinSet::new();
    for i in 0..1_000 {
        let (http, url) = (server.http.clone(), server.url.clone());
        let (acknowledged, count) = (Arc::clone(&acknowledged), Arc::clone(&count));
        calls.spawn(async move {
            // Far in the future, so that the creates are all that happens.
            let body = json!({"meeting_link": format!("{url}/sandbox/room-{i}"), "join_at": "2099-01-01T00:00:00Z"});
            let request = http
                .post(format!("{url}/api/v1/bots/create_bot"))
                .header("Authorization", format!("Token {KEY}"))
                .timeout(PATIENCE)
                .json(&body);
            let Ok(response) = request.send().await else { return };
            if response.status() != 201 {
                return;
            }
            let Ok(answer) = response.json::<serde_json::Value>().await else { return };
            acknowledged.lock().unwrap().push(answer["bot_id"].as_str().unwrap().to_owned());
            count.fetch_add(1, Ordering::SeqCst);
        });
    }
    eventually("the first hundred answers", || count.load(Ordering::SeqCst) >= 100).await;
    server.kill_9();
    while calls.join_next().await.is_some() {}
    drop(server);

    let server = Server::start_in(&data, "max_concurrent_bots = 1");
    let acknowledged = acknowledged.lock().unwrap().clone();
    assert!(acknowledged.len() >= 100);
    for bot in &acknowledged {
        let (status, answer) = server.call("GET", &format!("/api/v1/bots/{bot}/status"), None).await;
        assert_eq!(
            (status, &answer["status"]),
            (200, &json!("Scheduled")),
            "{bot} was acknowledged and is lost: {answer}"
        );
    }
    println!("{} of 1000 creates were acknowledged before the kill; none was lost", acknowledged.len());
}

/// Invariant: a killed bot loses at most one segment, and comes back to its call once.
#[tokio::test]
async fn a_bot_killed_in_its_call_comes_back_and_the_recording_has_a_gap() {
    let (server, hook) = (Server::start(""), Receiver::start().await);
    let bot = killed_in_its_call(&server, &hook).await;
    let again = |all: &[serde_json::Value]| all.iter().filter(|b| b["bot_event"] == "bot.recording").count() > 1;
    hook.until(&bot, "second recording", again).await;
    let segments = server.data.join(format!("media/recordings/default/{bot}/a2/mixed"));
    stored(&segments, 3).await;
    server.act("killed", json!({"do": "end"})).await;
    let seen = hook.done(&bot).await;
    assert_lawful(&seen);
    let want = [
        ["bot.joining", "bot.inmeeting", "bot.recording"].as_slice(),
        &["bot.joining", "bot.inmeeting", "bot.recording", "bot.leaving"],
        &["bot.stopped", "manifest.completed", "audio.processed", "bot.done"],
    ];
    assert_eq!(names(&seen), want.concat());
    assert_eq!(seen[7]["reason"], "host_ended");
    let attempts: Vec<u64> = seen.iter().map(|b| b["attempt"].as_u64().unwrap()).collect();
    assert_eq!(attempts, [1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2]);
    // What was between is silence, and said to be.
    let manifest = server.manifest(&bot);
    let gaps = manifest["gaps"].as_array().unwrap();
    assert!(!gaps.is_empty(), "{manifest}");
    let audio = server.recording(&bot).await;
    assert!(audio.len() >= 7 * 48_000 - 4_800, "{} samples", audio.len());
    for part in [&audio[48_000..3 * 48_000], &audio[audio.len() - 2 * 48_000..audio.len() - 48_000]] {
        let hz = muster_audio::probe::dominant_frequency(part, 48_000);
        assert!((hz - 440.0).abs() < 5.0, "{hz} Hz");
    }
}

/// Invariant: a killed bot loses at most one segment, and its session still ends properly.
#[tokio::test]
async fn killing_a_bot_in_its_call_still_yields_terminal_done_and_a_playable_recording() {
    let (server, hook) = (Server::start("rejoin = false"), Receiver::start().await);
    let bot = killed_in_its_call(&server, &hook).await;
    let seen = hook.done(&bot).await;
    assert_lawful(&seen);
    let want = [
        "bot.joining",
        "bot.inmeeting",
        "bot.recording",
        "bot.failed",
        "manifest.completed",
        "audio.processed",
        "bot.done",
    ];
    assert_eq!(names(&seen), want);
    assert_eq!(seen[3]["reason"], "bot_crashed");
    let audio = server.recording(&bot).await;
    // Four segments of one second were stored.
    assert!(audio.len() >= 4 * 48_000 - 4_800, "{} samples", audio.len());
    let hz = muster_audio::probe::dominant_frequency(&audio[48_000..], 48_000);
    assert!((hz - 440.0).abs() < 5.0, "{hz} Hz");
}

/// A bot in a call with a tone, killed with everything of it once four segments are stored.
async fn killed_in_its_call(server: &Server, hook: &Receiver) -> String {
    let people = json!([{"id": "ada", "name": "Ada", "joins_at": 0, "speaks": [{"at": 0.2, "tone_hz": 440, "ms": 120000, "level": 0.5}]}]);
    let link = server.room("killed", json!({"participants": people})).await;
    let body = json!({"meeting_link": link, "callback_url": hook.url, "custom_attributes": {"case": "e2e"}});
    let bot = server.create(body).await;
    hook.event(&bot, "bot.recording").await;
    stored(&server.data.join(format!("media/recordings/default/{bot}/a1/mixed")), 4).await;
    for pid in server.bot_processes() {
        let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
    bot
}

/// Waits until a directory holds so many segments.
async fn stored(segments: &Path, wanted: usize) {
    eventually("stored segments", || {
        std::fs::read_dir(segments)
            .is_ok_and(|d| d.flatten().filter(|e| e.path().extension().is_some_and(|x| x == "ogg")).count() >= wanted)
    })
    .await;
}

/// Invariant: at most one live bot per session, and every session ends, also when the whole server is killed.
#[tokio::test]
async fn a_server_killed_with_a_bot_in_the_call_ends_the_session_after_its_return() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let hook = Receiver::start().await;
    let mut server = Server::start_in(&data, "lease = \"3s\"\nrejoin = false");
    let people =
        json!([{"id": "ada", "name": "Ada", "joins_at": 0, "speaks": [{"at": 0.2, "tone_hz": 440, "ms": 120000}]}]);
    let link = server.room("orphan", json!({"participants": people})).await;
    let body = json!({"meeting_link": link, "callback_url": hook.url, "custom_attributes": {"case": "e2e"}});
    let bot = server.create(body).await;
    hook.event(&bot, "bot.recording").await;
    let below = server.bot_processes();
    assert!(!below.is_empty());
    server.kill_9();
    drop(server);
    let _server = Server::start_in(&data, "lease = \"3s\"\nrejoin = false");
    let seen = first_deliveries(hook.done(&bot).await);
    assert_lawful(&seen);
    assert_eq!(seen.iter().find(|b| b["event"] == "bot.stopped").unwrap()["reason"], "worker_lost");
    eventually("the orphaned bot to end", || {
        below.iter().all(|pid| !std::path::Path::new(&format!("/proc/{pid}")).exists())
    })
    .await;
}
