//! A sandbox behind a real port.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use muster_sandbox::{Sandbox, SandboxConfig};
use serde_json::Value;
use tower::ServiceExt;

/// The longest that anything here may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct World {
    pub(crate) addr: SocketAddr,
    sandbox: Sandbox,
    _dir: tempfile::TempDir,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::with(|_| ()).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut SandboxConfig)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = SandboxConfig { scenario_dir: Some(dir.path().to_owned()), ..SandboxConfig::default() };
        change(&mut config);
        let sandbox = Sandbox::start(config).await.unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let router = sandbox.router();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { addr, sandbox, _dir: dir }
    }

    /// One request, past the port; JSON or text comes back as JSON.
    pub(crate) async fn request(&self, request: Request<Body>) -> (StatusCode, Value) {
        let response = self.sandbox.router().oneshot(request).await.unwrap();
        let status = response.status();
        let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    pub(crate) async fn call(&self, method: &str, path: &str, body: Value) -> (StatusCode, Value) {
        let request = Request::builder().method(method).uri(format!("/sandbox/api/rooms{path}"));
        let request = request.header(header::CONTENT_TYPE, "application/json");
        self.request(request.body(Body::from(if body.is_null() { String::new() } else { body.to_string() })).unwrap())
            .await
    }

    pub(crate) async fn put(&self, room: &str, scenario: Value) {
        let (status, answer) = self.call("PUT", &format!("/{room}"), scenario).await;
        assert!(status.is_success(), "{status} {answer}");
    }

    pub(crate) async fn act(&self, room: &str, action: Value) {
        let (status, answer) = self.call("POST", &format!("/{room}/actions"), action).await;
        assert!(status.is_success(), "{status} {answer}");
    }

    /// Waits until the room's log has an entry like this, and answers it.
    pub(crate) async fn logged(&self, room: &str, event: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut after = 0;
        let search = async {
            loop {
                let path = format!("/{room}/log?after={after}&wait=20");
                let (status, answer) = self.call("GET", &path, Value::Null).await;
                assert_eq!(status, 200, "{answer}");
                for entry in answer["entries"].as_array().unwrap() {
                    after = entry["seq"].as_u64().unwrap();
                    if entry["event"] == event && wanted(entry) {
                        return entry.clone();
                    }
                }
            }
        };
        match tokio::time::timeout(PATIENCE, search).await {
            Ok(entry) => entry,
            Err(_) => panic!("no {event} in {}", self.call("GET", &format!("/{room}/log"), Value::Null).await.1),
        }
    }

    pub(crate) async fn stop(self) {
        self.sandbox.shutdown().await;
    }
}
