//! MeetStream's official SDK, from PyPI and unchanged, against this server: `tests/sdk/walk.py` has the calls.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use axum::Json;
use axum::routing::post;
use serde_json::json;

use crate::harness::{KEY, SECRET, Server};

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
