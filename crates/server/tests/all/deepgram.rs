//! Live words of a vendor, and the transcript that is made of them: the tenant's key, the vendor's wire, the same words.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use serde_json::{Value, json};

use crate::harness::{Receiver, Server, names};

const COMMON_KEY: &str = "common-key-4f1b7c";
const TENANT_KEY: &str = "tenant-key-91d2e0";
/// 16 kHz, 16 bits, mono.
const BYTES_PER_SECOND: usize = 32_000;

/// A fake of Deepgram's live endpoint: it takes the audio of one voice and speaks Deepgram's protocol, but recognises
/// nothing. For every second of audio it has heard it sends one scripted word, named after the connection and the second.
struct FakeDeepgram {
    url: String,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    /// Query and `Authorization` of each connection.
    connections: Vec<(String, String)>,
    /// Every word that was sent.
    words: Vec<String>,
}

impl FakeDeepgram {
    async fn start() -> Self {
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let app = Router::new().route("/v1/listen", any(connect)).with_state(Arc::clone(&seen));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, seen }
    }
}

async fn connect(
    State(seen): State<Arc<Mutex<Seen>>>,
    uri: Uri,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let authorization = headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
    let authorization = authorization.unwrap_or_default();
    let number = {
        let mut seen = seen.lock().unwrap();
        seen.connections.push((uri.query().unwrap_or_default().to_owned(), authorization.clone()));
        seen.connections.len()
    };
    if authorization != format!("Token {TENANT_KEY}") {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    upgrade.on_upgrade(move |socket| listen(socket, number, seen))
}

async fn listen(mut socket: WebSocket, number: usize, seen: Arc<Mutex<Seen>>) {
    // What was heard, and how much of it was answered.
    let (mut heard, mut answered, mut word) = (0, 0, 0);
    while let Some(Ok(message)) = socket.recv().await {
        match message {
            Message::Binary(audio) => {
                heard += audio.len();
                while heard - answered >= BYTES_PER_SECOND {
                    let name = format!("voice{number}word{word}");
                    let results = results(&name, answered, BYTES_PER_SECOND, false);
                    (answered, word) = (answered + BYTES_PER_SECOND, word + 1);
                    seen.lock().unwrap().words.push(name);
                    if socket.send(results).await.is_err() {
                        return;
                    }
                }
            }
            Message::Text(text) => match serde_json::from_str::<Value>(&text).unwrap()["type"].as_str().unwrap() {
                "CloseStream" => {
                    let metadata = json!({
                        "type": "Metadata", "request_id": "r", "duration": seconds(heard), "channels": 1,
                    });
                    let _ = socket.send(results("", answered, heard - answered, false)).await;
                    let _ = socket.send(Message::Text(metadata.to_string().into())).await;
                    let _ = socket.send(Message::Close(None)).await;
                    return;
                }
                "Finalize" => {
                    if socket.send(results("", answered, heard - answered, true)).await.is_err() {
                        return;
                    }
                    answered = heard;
                }
                "KeepAlive" => {}
                other => panic!("Deepgram knows no {other}"),
            },
            Message::Close(_) => return,
            _ => {}
        }
    }
}

fn seconds(bytes: usize) -> f64 {
    bytes as f64 / BYTES_PER_SECOND as f64
}

/// The final result for so many bytes from `start` on.
fn results(word: &str, start: usize, bytes: usize, from_finalize: bool) -> Message {
    let (start, duration) = (seconds(start), seconds(bytes));
    let written = format!("{word}.");
    let words = match word {
        "" => json!([]),
        word => json!([{
            "word": word, "start": start + 0.2, "end": start + 0.8, "confidence": 0.9, "punctuated_word": written,
        }]),
    };
    let transcript = if word.is_empty() { "" } else { &written };
    let results = json!({
        "type": "Results", "channel_index": [0, 1], "start": start, "duration": duration,
        "is_final": true, "speech_final": true, "from_finalize": from_finalize,
        "channel": {"alternatives": [{"transcript": transcript, "confidence": 0.9, "words": words}]},
        "metadata": {"request_id": "r", "model_uuid": "m", "model_info": {"name": "fake", "version": "1", "arch": "fake"}},
    });
    Message::Text(results.to_string().into())
}

fn sorted(mut words: Vec<String>) -> Vec<String> {
    words.sort();
    words
}

#[tokio::test]
async fn live_words_and_the_transcript_are_the_same_and_the_tenants_key_is_used_and_never_told() {
    let deepgram = FakeDeepgram::start().await;
    let (server, log) = Server::start_logging(&format!(
        "[transcription]\nlanguage = \"en\"\n\
         [transcription.deepgram]\nurl = {:?}\napi_key = \"{COMMON_KEY}\"\n\
         [tenants.default.transcription]\ndeepgram_api_key = \"{TENANT_KEY}\"\n",
        deepgram.url
    ));
    let (hook, posts) = (Receiver::start().await, Receiver::start().await);
    let people = json!([
        {"id": "ada", "name": "Ada", "speaks": [{"at": 1.0, "tone_hz": 440, "ms": 4000}]},
        {"id": "grace", "name": "Grace", "speaks": [{"at": 3.0, "tone_hz": 620, "ms": 4000}]},
    ]);
    let link = server.room("deepgram", json!({"participants": people})).await;
    let request = json!({
        "meeting_link": link,
        "callback_url": hook.url,
        "live_transcription_required": {"webhook_url": posts.url},
        "recording_config": {"transcript": {"provider": {"deepgram_streaming": {"model": "nova-3"}}}},
    });
    let (status, created) = server.call("POST", "/api/v1/bots/create_bot", Some(request)).await;
    assert_eq!((status, &created["transcript_id"]), (201, &Value::Null), "{created}");
    let bot = created["bot_id"].as_str().unwrap();
    // Both are heard while the call goes on.
    let heard =
        |posts: &[Value], speaker: &str| posts.iter().filter(|post| post["speakerName"] == speaker).count() >= 2;
    posts.until(bot, "words of both", |posts| heard(posts, "Ada") && heard(posts, "Grace")).await;
    server.act("deepgram", json!({"do": "end"})).await;

    let events = names(&hook.done(bot).await);
    assert_eq!(events[events.len() - 2..], ["transcription.processed", "bot.done"], "{events:?}");
    let listed = server.get(&format!("/api/v1/bots/{bot}/transcriptions")).await;
    let id = listed["transcriptions"][0]["transcript_id"].as_str().unwrap();
    let transcript = server.get(&format!("/api/v1/transcript/{id}/get_transcript")).await;
    let raw = server.get(&format!("/api/v1/transcript/{id}/get_transcript?raw=true")).await;
    assert_eq!((&raw["engine"], &raw["provider"]), (&json!("deepgram"), &json!("deepgram_streaming")));

    let words_of = |list: &Value, key: &str| -> Vec<String> {
        list.as_array().unwrap().iter().map(|word| word[key].as_str().unwrap().to_owned()).collect()
    };
    let of_all =
        |list: &[Value]| sorted(list.iter().flat_map(|one| words_of(&one["words"], "punctuated_word")).collect());
    let (posted, written) = (of_all(&posts.of(bot)), of_all(transcript.as_array().unwrap()));
    assert_eq!(posted, written, "what was posted live is what is in the transcript");
    assert_eq!(sorted(words_of(&raw["words"], "text")), written);
    let (connections, sent) = {
        let seen = deepgram.seen.lock().unwrap();
        (seen.connections.clone(), sorted(seen.words.iter().map(|word| format!("{word}.")).collect()))
    };
    assert_eq!(written, sent, "and that is all that the recogniser sent");

    for speaker in ["Ada", "Grace"] {
        assert!(transcript.as_array().unwrap().iter().any(|segment| segment["speaker"] == speaker), "{transcript}");
    }
    let token = format!("Token {TENANT_KEY}");
    assert!(connections.iter().all(|(_, authorization)| *authorization == token), "{connections:?}");
    let query = &connections[0].0;
    assert!(query.contains("model=nova-3") && query.contains("language=en"), "{query}");
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("\"engine\":\"deepgram\""), "the log names the engine");
    let leak = log.lines().find(|line| line.contains(TENANT_KEY) || line.contains(COMMON_KEY));
    assert_eq!(leak, None, "a key is in the log");
}
