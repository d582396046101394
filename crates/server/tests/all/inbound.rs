//! Webhooks that come in: taken at once, for good, and once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::task::JoinSet;

use crate::harness::{Alike, PATIENCE, Receiver, Server, assert_lawful, eventually, first_deliveries, names};

const SECRET: &str = "a secret of the sender's";
const CONFIG: &str = "[sources.cloud]\nkind = \"meetstream\"\nsecrets = \"old-secret a-secret\"\n";

fn hex_mac(secret: &str, parts: &[&[u8]]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a MeetStream cloud sends, signed.
async fn send(server: &Alike, source: &str, secret: &str, body: &Value) -> u16 {
    let body = body.to_string();
    let signature = format!("sha256={}", hex_mac(secret, &[body.as_bytes()]));
    let request = server
        .http
        .post(format!("{}/webhooks/{source}", server.url))
        .header("x-meetstream-signature", signature)
        .timeout(PATIENCE)
        .body(body);
    // A server that was killed answers nothing.
    request.send().await.map_or(0, |answer| answer.status().as_u16())
}

fn event(bot: &str, sequence: u64, name: &str, status: &str) -> Value {
    let generic = if matches!(name, "bot.kicked" | "bot.denied" | "bot.notallowed" | "bot.failed") {
        "bot.stopped"
    } else {
        name
    };
    let at = started() + jiff::SignedDuration::from_secs(i64::try_from(sequence).unwrap());
    json!({
        "bot_id": format!("remote-{bot}"), "event": generic, "bot_event": name, "bot_status": status, "message": name,
        "status_code": 200, "timestamp": at.to_string(), "custom_attributes": {"muster_bot_id": bot},
        "event_id": format!("evt_{bot}_{sequence}"), "sequence": sequence,
    })
}

/// When the calls of this test began, by the other service.
fn started() -> jiff::Timestamp {
    static STARTED: std::sync::OnceLock<jiff::Timestamp> = std::sync::OnceLock::new();
    *STARTED.get_or_init(jiff::Timestamp::now)
}

/// A session whose bot its caller has elsewhere.
async fn elsewhere(server: &Server, hook: &Receiver) -> String {
    let link = format!("{}/sandbox/elsewhere", server.url);
    server.create(json!({"meeting_link": link, "callback_url": hook.url, "runtime": "cloud", "custom_attributes": {"case": "e2e"}})).await
}

const CALL: [(&str, &str); 8] = [
    ("bot.joining", "Joining"),
    ("bot.in_waiting_room", "InWaitingRoom"),
    ("bot.inmeeting", "InMeeting"),
    ("bot.recording", "Recording"),
    ("bot.leaving", "Leaving"),
    ("bot.kicked", "Stopped"),
    ("audio.processed", "MediaProcessing"),
    ("bot.done", "Done"),
];

/// How many entries the inbox has, by outcome.
async fn outcomes(server: &Server) -> BTreeMap<String, u64> {
    let answer = server.get("/api/v1/inbox?limit=1").await;
    let counts = answer["counts"].as_array().unwrap().iter();
    counts.map(|count| (count["outcome"].as_str().unwrap().to_owned(), count["count"].as_u64().unwrap())).collect()
}

/// Waits until the inbox has so many entries.
async fn until_outcomes(server: &Server, entries: u64) -> BTreeMap<String, u64> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    loop {
        let found = outcomes(server).await;
        if found.values().sum::<u64>() >= entries {
            return found;
        }
        assert!(tokio::time::Instant::now() < deadline, "waited {PATIENCE:?} for {entries} entries: {found:?}");
        ticks.tick().await;
    }
}

#[tokio::test]
async fn a_bot_that_its_caller_has_elsewhere_is_told_of_as_if_it_were_ours() {
    let (server, hook) = (Server::start(CONFIG), Receiver::start().await);
    let bot = elsewhere(&server, &hook).await;
    for (sequence, (name, status)) in (1..).zip(CALL) {
        let body = event(&bot, sequence, name, status);
        assert_eq!(send(&server.alike(), "cloud", "a-secret", &body).await, 200);
        // Twice, and with the secret that is on its way out.
        assert_eq!(send(&server.alike(), "cloud", "old-secret", &body).await, 200);
    }
    let seen = hook.done(&bot).await;
    assert_lawful(&seen);
    assert_eq!(names(&seen), CALL.map(|(name, _)| name));
    assert!(
        seen.iter()
            .all(|body| body["bot_id"] == bot.as_str() && body["custom_attributes"].get("muster_bot_id").is_none())
    );
    assert_eq!(seen[5]["event"], "bot.stopped");
    // Late, unknown, about nobody, and not signed.
    assert_eq!(send(&server.alike(), "cloud", "a-secret", &event(&bot, 99, "bot.inmeeting", "InMeeting")).await, 200);
    assert_eq!(send(&server.alike(), "cloud", "a-secret", &event(&bot, 100, "bot.yawned", "InMeeting")).await, 200);
    let nobody = uuid::Uuid::now_v7().to_string();
    assert_eq!(send(&server.alike(), "cloud", "a-secret", &event(&nobody, 1, "bot.inmeeting", "InMeeting")).await, 200);
    assert_eq!(send(&server.alike(), "cloud", SECRET, &event(&bot, 101, "bot.done", "Done")).await, 401);
    assert_eq!(send(&server.alike(), "nobody", "a-secret", &json!({})).await, 404);
    let found = until_outcomes(&server, 11).await;
    // With its recording there was nothing more to wait for: that the service is done was no news.
    let want = [("applied", 7), ("late", 2), ("no_session", 1), ("unknown", 1)];
    assert_eq!(found, want.map(|(name, count)| (name.to_owned(), count)).into());
}

#[tokio::test]
async fn what_cannot_be_read_is_set_aside_and_can_be_tried_again() {
    let server = Server::start(CONFIG);
    let body = "not JSON";
    let signature = format!("sha256={}", hex_mac("a-secret", &[body.as_bytes()]));
    let request =
        server.http.post(format!("{}/webhooks/cloud", server.url)).header("x-meetstream-signature", signature);
    assert_eq!(request.body(body).send().await.unwrap().status(), 200);
    let mut letters = Value::Null;
    while letters["dead_letters"].as_array().is_none_or(Vec::is_empty) {
        letters = server.get("/api/v1/dead_letters").await;
        tokio::task::yield_now().await;
    }
    let letter = &letters["dead_letters"][0];
    assert_eq!(letter["topic"], "inbound");
    assert_eq!((&letter["job"]["source"], &letter["job"]["body"]), (&json!("cloud"), &json!(body)));
    let id = letter["id"].as_str().unwrap().to_owned();
    let (status, _) = server.call("POST", &format!("/api/v1/dead_letters/inbound/{id}/requeue"), None).await;
    assert_eq!(status, 200);
    // It is no better the second time, and set aside again, as another letter.
    let again =
        |letters: &Value| letters["dead_letters"].as_array().is_some_and(|all| all.iter().any(|one| one["id"] != *id));
    while !again(&letters) {
        letters = server.get("/api/v1/dead_letters").await;
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn zooms_challenge_is_answered_with_its_proof() {
    let server = Server::start("[sources.zoom]\nkind = \"zoom\"\nsecrets = \"zoom-secret\"\n");
    let body =
        json!({"event": "endpoint.url_validation", "payload": {"plainToken": "qgg8vlvZRS6UYooatFL8Aw"}}).to_string();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs().to_string();
    let signature = format!("v0={}", hex_mac("zoom-secret", &[b"v0:", now.as_bytes(), b":", body.as_bytes()]));
    let request = server.http.post(format!("{}/webhooks/zoom", server.url));
    let request = request.header("x-zm-signature", signature).header("x-zm-request-timestamp", now);
    let answer: Value = request.body(body).send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["plainToken"], "qgg8vlvZRS6UYooatFL8Aw");
    assert_eq!(answer["encryptedToken"], hex_mac("zoom-secret", &[b"qgg8vlvZRS6UYooatFL8Aw"]));
}

/// Invariant: no acknowledged inbound webhook is lost, and each takes effect once.
#[tokio::test]
async fn killing_the_server_amid_twenty_thousand_webhooks_loses_and_doubles_none() {
    const BOTS: usize = 100;
    const WEBHOOKS: usize = 20_000;
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let hook = Receiver::start().await;
    let mut server = Server::start_in(&data, CONFIG);
    let mut bots = Vec::new();
    for _ in 0..BOTS {
        bots.push(elsewhere(&server, &hook).await);
    }
    // Some of them move sessions on, most say what means nothing; all in whatever order they come.
    let webhooks: Vec<Value> = (0..WEBHOOKS)
        .map(|number| {
            let bot = &bots[number % BOTS];
            let sequence = (number / BOTS) as u64 + 1;
            let known = CALL.get(number / BOTS);
            let (name, status) = known.copied().unwrap_or(("bot.yawned", "Done"));
            event(bot, sequence, name, status)
        })
        .collect();
    let webhooks = Arc::new(webhooks);
    let taken: Arc<Vec<AtomicUsize>> = Arc::new((0..WEBHOOKS).map(|_| AtomicUsize::new(0)).collect());
    let (next, count) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let senders = |server: &Server| {
        let mut senders = JoinSet::new();
        for _ in 0..64 {
            let (webhooks, taken, next, count) = (webhooks.clone(), taken.clone(), next.clone(), count.clone());
            let server = server.alike();
            senders.spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    let Some(body) = webhooks.get(number) else { return };
                    // What is not answered with 200 is the sender's to send again.
                    match send(&server, "cloud", "a-secret", body).await {
                        200 => {
                            taken[number].store(1, Ordering::SeqCst);
                            count.fetch_add(1, Ordering::SeqCst);
                        }
                        0 => return,
                        503 => tokio::time::sleep(Duration::from_millis(20)).await,
                        status => panic!("{status}"),
                    }
                }
            });
        }
        senders
    };
    let mut first = senders(&server);
    eventually("half of the answers", || count.load(Ordering::SeqCst) >= WEBHOOKS / 2).await;
    server.kill_9();
    while first.join_next().await.is_some() {}
    let before = count.load(Ordering::SeqCst);
    let server = Server::start_in(&data, CONFIG);
    // The rest, and everything that was not answered.
    let mut rest = senders(&server);
    while rest.join_next().await.is_some() {}
    for (number, body) in webhooks.iter().enumerate() {
        while taken[number].load(Ordering::SeqCst) == 0 {
            if send(&server.alike(), "cloud", "a-secret", body).await == 200 {
                taken[number].store(1, Ordering::SeqCst);
            }
        }
    }
    println!("{before} of {WEBHOOKS} were acknowledged before the kill");
    assert!((WEBHOOKS / 2..WEBHOOKS).contains(&before), "the kill came in the middle");
    // Every one is in the inbox, once: its key is its own.
    let outcomes_now = until_outcomes(&server, WEBHOOKS as u64).await;
    assert_eq!(outcomes_now.values().sum::<u64>(), WEBHOOKS as u64, "{outcomes_now:?}");
    assert_eq!(outcomes_now["unknown"], (WEBHOOKS - CALL.len() * BOTS) as u64);
    assert_eq!(outcomes_now.get("no_session"), None);
    for bot in &bots {
        // In another order there may be less to tell, never twice, and always to the end.
        let seen = first_deliveries(hook.done(bot).await);
        assert_lawful(&seen);
        let mut once = names(&seen);
        once.sort();
        once.dedup();
        assert_eq!(once.len(), seen.len(), "{:?}", names(&seen));
    }
    let effects = outcomes_now["applied"] + outcomes_now.get("late").copied().unwrap_or_default();
    assert_eq!(effects, (CALL.len() * BOTS) as u64);
}
