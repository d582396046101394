//! Libraries of others, from PyPI and unchanged, against this server: `tests/sdk/walk.py` has the calls of MeetStream's SDK,
//! `tests/sdk/verify.py` what receivers of webhooks verify with.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use axum::Json;
use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;

use crate::harness::{KEY, PATIENCE, SECRET, Server};

/// `MUSTER_TEST_SDK_PYTHON`, or the one that `make test` prepares.
fn python() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let given = std::env::var_os("MUSTER_TEST_SDK_PYTHON").filter(|path| !path.is_empty());
    let python = given.map_or_else(|| root.join(".tools/venv/bin/python"), PathBuf::from);
    assert!(python.exists(), "{} is missing: run `make test`, which installs it", python.display());
    python
}

/// Hears the same words in everything. What a real recogniser hears is the matter of other tests.
async fn recogniser() -> String {
    let answer =
        || async { Json(json!({"text": "a tone", "segments": [{"start": 0.0, "end": 0.5, "text": "a tone"}]})) };
    let app = axum::Router::new().route("/v1/audio/transcriptions", post(answer));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    url
}

async fn walk(client: &str) {
    let python = python();
    let url = recogniser().await;
    let server = Server::start(&format!("[transcription]\nurl = \"{url}\"\n"));
    let scenario = json!({
        "participants": [{"id": "ada", "name": "Ada", "joins_at": 0,
            "speaks": [{"at": 1.0, "every": 2.0, "tone_hz": 440, "ms": 1000, "level": 0.5}]}],
        "timeline": [{"at": 1.0, "do": "chat", "from": "ada", "text": "hello"}],
    });
    let link = server.room("sdk", scenario).await;
    let run = tokio::process::Command::new(python)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk/walk.py"))
        .arg(client)
        .env("MEETSTREAM_API_URL", format!("{}/api/v1", server.url))
        .env("MEETSTREAM_API_KEY", KEY)
        .env("NO_PROXY", "127.0.0.1")
        .env("SDK_TEST_LINK", link)
        .env("SDK_TEST_SECRET", SECRET)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let (said, complained) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{}\n{said}\n{complained}", run.status);
}

#[tokio::test]
async fn the_synchronous_client_runs_unchanged() {
    walk("sync").await;
}

#[tokio::test]
async fn the_asynchronous_client_runs_unchanged() {
    walk("async").await;
}

/// A receiver that keeps what came as it came.
async fn raw_receiver() -> (String, mpsc::UnboundedReceiver<Value>) {
    let (sender, received) = mpsc::unbounded_channel();
    let take = move |headers: HeaderMap, body: Bytes| {
        let text = |value: &axum::http::HeaderValue| value.to_str().unwrap_or_default().to_owned();
        let headers: serde_json::Map<String, Value> =
            headers.iter().map(|(name, value)| (name.to_string(), text(value).into())).collect();
        let _ = sender.send(json!({"headers": headers, "body": STANDARD.encode(&body)}));
        async {}
    };
    let app = axum::Router::new().route("/hook", post(take));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    (url, received)
}

#[tokio::test]
async fn three_libraries_verify_the_same_deliveries() {
    let server = Server::start("");
    let ((bots_own, mut to_bot), (everything, mut to_endpoint)) = (raw_receiver().await, raw_receiver().await);
    let (status, endpoint) = server.call("POST", "/api/v1/webhook_endpoints", Some(json!({"url": everything}))).await;
    assert_eq!(status, 201, "{endpoint}");
    let id = endpoint["endpoint_id"].as_str().unwrap();
    let old = endpoint["secret"].as_str().unwrap().to_owned();
    let (status, rotated) =
        server.call("POST", &format!("/api/v1/webhook_endpoints/{id}/rotate_secret"), Some(json!({}))).await;
    assert_eq!(status, 200, "{rotated}");
    let new = rotated["secret"].as_str().unwrap().to_owned();
    // Stopped before it joins: a short life, with a terminal event and `bot.done`.
    let link = format!("{}/sandbox/verified", server.url);
    let body = json!({"meeting_link": link, "callback_url": bots_own, "join_at": "2099-01-01T00:00:00Z"});
    let bot = server.create(body).await;
    server.get(&format!("/api/v1/bots/{bot}/remove_bot")).await;
    let mut messages = Vec::new();
    for (received, secrets) in [(&mut to_bot, json!([SECRET])), (&mut to_endpoint, json!([new, old]))] {
        for _ in 0..4 {
            let mut message = tokio::time::timeout(PATIENCE, received.recv()).await.unwrap().unwrap();
            message["secrets"] = secrets.clone();
            messages.push(message);
        }
    }
    let mut run = tokio::process::Command::new(python())
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk/verify.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut input = run.stdin.take().unwrap();
    input.write_all(Value::Array(messages).to_string().as_bytes()).await.unwrap();
    drop(input);
    let output = run.wait_with_output().await.unwrap();
    assert!(output.status.success(), "what the libraries said is above");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "8");
}
