//! MeetStream's own Python SDK runs against us, unchanged but for its base URL.

use std::path::Path;

use serde_json::json;
use tokio::process::Command;

use crate::harness::{KEY, Server};

#[tokio::test]
async fn the_official_sdk_runs_unchanged() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("../../.tools/venv/bin/python");
    assert!(python.exists(), "{} is missing: run `make test`, which installs it", python.display());
    let whisper = std::env::var("MUSTER_TEST_WHISPER_URL")
        .expect("MUSTER_TEST_WHISPER_URL names a speech-to-text server: run `make test`, which starts one");
    let server = Server::start(&format!("[transcription]\nurl = {whisper:?}\n"));
    for client in ["sync", "async"] {
        let scenario = json!({
            "participants": [
                {"id": "ada", "name": "Ada", "speaks": [{"at": 1.0, "tone_hz": 440, "ms": 1500}]},
                {"id": "grace", "name": "Grace", "speaks": [{"at": 3.0, "tone_hz": 880, "ms": 1500}]},
            ],
            "timeline": [{"at": 2.0, "do": "chat", "from": "ada", "text": "Hello"}, {"at": 5.0, "do": "end"}],
        });
        server.room(&format!("sdk-{client}"), scenario).await;
    }
    let said = Command::new(python)
        .arg(root.join("tests/sdk/walk.py"))
        .arg(format!("{}/sandbox/sdk", server.url))
        .env("MEETSTREAM_API_URL", format!("{}/api/v1", server.url))
        .env("MEETSTREAM_API_KEY", KEY)
        .env("NO_PROXY", "127.0.0.1")
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let stdout = String::from_utf8_lossy(&said.stdout);
    assert!(said.status.success(), "{stdout}{}", String::from_utf8_lossy(&said.stderr));
    assert!(stdout.contains("the SDK's calls hold"));
}
