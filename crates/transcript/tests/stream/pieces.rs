//! Whole pieces over the vendors' HTTP interfaces.

use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::routing::{get, post};
use axum::{Json, Router};
use muster_session::protocol::SpeechSpec;
use muster_transcript::speech::{self, Error};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use url::Url;

use super::KEY;

/// What a server saw: path and query, authorization, content type, length of the body.
type Seen = Arc<Mutex<Vec<(String, String, String, usize)>>>;

async fn serve(app: Router<Seen>) -> (Url, Seen, JoinSet<()>) {
    let seen = Seen::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap()).parse().unwrap();
    let app = app.with_state(Arc::clone(&seen));
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { axum::serve(listener, app).await.unwrap() });
    (url, seen, tasks)
}

fn note(seen: &Seen, uri: &Uri, headers: &HeaderMap, length: usize) {
    let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
    seen.lock().unwrap().push((uri.to_string(), header("authorization"), header("content-type"), length));
}

#[tokio::test]
async fn deepgram_takes_a_piece_in_one_request() {
    let listen = async |State(seen): State<Seen>, uri: Uri, headers: HeaderMap, body: Bytes| {
        note(&seen, &uri, &headers, body.len());
        let words = json!([{"word": "hi", "punctuated_word": "Hi.", "start": 0.1, "end": 0.4, "confidence": 0.9}]);
        Json(json!({"results": {"channels": [{"alternatives": [{"transcript": "Hi.", "words": words}]}]}}))
    };
    let (url, seen, _tasks) = serve(Router::new().route("/v1/listen", post(listen))).await;
    let options = json!({"model": "nova-2", "endpointing": 300, "keywords": ["a", "b"]});
    let speech = speech::open(&SpeechSpec::Deepgram { url, api_key: KEY.into(), options }).unwrap();
    let heard = speech.transcribe(&[0; 16_000], Some("de")).await.unwrap();
    assert_eq!((heard.text().as_str(), heard.words().next().unwrap().start_ms), ("Hi.", 100));
    assert_eq!(speech.transcribe(&[], None).await.unwrap().segments, []);
    let path = "/v1/listen?punctuate=true&language=de&keywords=a&keywords=b&model=nova-2";
    assert_eq!(*seen.lock().unwrap(), [(path.into(), format!("Token {KEY}"), "audio/wav".into(), 32_044)]);
}

#[tokio::test]
async fn assemblyai_takes_a_piece_in_three_steps() {
    let upload = async |State(seen): State<Seen>, uri: Uri, headers: HeaderMap, body: Bytes| {
        note(&seen, &uri, &headers, body.len());
        Json(json!({"upload_url": "https://cdn.example.com/u1"}))
    };
    let create = async |State(seen): State<Seen>, uri: Uri, headers: HeaderMap, Json(order): Json<Value>| {
        note(&seen, &uri, &headers, 0);
        let want = json!({
            "audio_url": "https://cdn.example.com/u1", "speech_models": ["universal-2"], "language_code": "de",
            "filter_profanity": true,
        });
        assert_eq!(order, want);
        Json(json!({"id": "t1", "status": "queued"}))
    };
    let poll = async |State(seen): State<Seen>, uri: Uri, headers: HeaderMap, Path(id): Path<String>| {
        note(&seen, &uri, &headers, 0);
        let words = json!([{"text": "Hi.", "start": 100, "end": 400, "confidence": 0.9}]);
        Json(json!({"id": id, "status": "completed", "text": "Hi.", "words": words, "language_code": "de"}))
    };
    let app = Router::new()
        .route("/v2/upload", post(upload))
        .route("/v2/transcript", post(create))
        .route("/v2/transcript/{id}", get(poll));
    let (url, seen, _tasks) = serve(app).await;
    let options = json!({"format_turns": true, "filter_profanity": true});
    let speech = speech::open(&SpeechSpec::Assemblyai { url, api_key: KEY.into(), options }).unwrap();
    let heard = speech.transcribe(&[0; 16_000], Some("de")).await.unwrap();
    assert_eq!((heard.text().as_str(), heard.language.as_deref()), ("Hi.", Some("de")));
    let row = |path: &str, kind: &str, length| (path.to_owned(), KEY.to_owned(), kind.to_owned(), length);
    let want = [
        row("/v2/upload", "application/octet-stream", 32_044),
        row("/v2/transcript", "application/json", 0),
        row("/v2/transcript/t1", "", 0),
    ];
    assert_eq!(*seen.lock().unwrap(), want);
}

#[tokio::test]
async fn a_transcript_that_assemblyai_gives_up_is_ordered_once_more() {
    let upload = async || Json(json!({"upload_url": "https://cdn.example.com/u1"}));
    let create = async |State(seen): State<Seen>, uri: Uri, headers: HeaderMap| {
        note(&seen, &uri, &headers, 0);
        Json(json!({"id": "t1", "status": "error", "error": "internal trouble"}))
    };
    let app = Router::new().route("/v2/upload", post(upload)).route("/v2/transcript", post(create));
    let (url, seen, _tasks) = serve(app).await;
    let spec = SpeechSpec::Assemblyai { url, api_key: KEY.into(), options: json!({}) };
    let error = speech::open(&spec).unwrap().transcribe(&[0; 16_000], None).await.unwrap_err();
    assert!(matches!(&error, Error::BadAnswer { detail } if detail == "internal trouble"), "{error}");
    assert_eq!(seen.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_refused_key_is_no_trouble_that_passes() {
    let refuse = async |State(seen): State<Seen>, uri: Uri, headers: HeaderMap, body: Bytes| {
        note(&seen, &uri, &headers, body.len());
        (StatusCode::UNAUTHORIZED, format!("no such key: {KEY}"))
    };
    let app = Router::new().route("/v1/listen", post(refuse)).route("/v2/upload", post(refuse));
    let (url, seen, _tasks) = serve(app).await;
    let specs = [
        SpeechSpec::Deepgram { url: url.clone(), api_key: KEY.into(), options: json!({}) },
        SpeechSpec::Assemblyai { url, api_key: KEY.into(), options: json!({}) },
    ];
    for spec in specs {
        let error = speech::open(&spec).unwrap().transcribe(&[0; 16_000], None).await.unwrap_err();
        assert!(matches!(&error, Error::Rejected { status: 401, .. }) && !error.to_string().contains(KEY), "{error}");
    }
    assert_eq!(seen.lock().unwrap().len(), 2);
}
