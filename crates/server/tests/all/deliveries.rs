//! `kill -9` in the middle of thousands of webhooks: each arrives at least once, under one id and with the same bytes.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use crate::fleet::Shared;
use crate::harness::{KEY, PATIENCE, Server, eventually};

/// Each has one webhook, `bot.scheduled`, and nothing else to do.
const BOTS: usize = 3_000;
/// So many have arrived when the process is killed.
const MIDDLE: usize = 1_000;
/// A receiver that takes so long has most of them wait.
const ANSWERS_AFTER: Duration = Duration::from_millis(150);

/// Counts webhooks by their id.
struct Counter {
    url: String,
    shelf: Arc<Shelf>,
    _server: AbortOnDropHandle<()>,
}

#[derive(Default)]
struct Shelf {
    seen: Mutex<HashMap<String, Vec<Bytes>>>,
    hits: watch::Sender<usize>,
}

impl Counter {
    async fn open() -> Self {
        let shelf = Arc::new(Shelf::default());
        let app = Router::new().route("/hook", post(take)).with_state(Arc::clone(&shelf));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, shelf, _server: AbortOnDropHandle::new(server) }
    }

    async fn until_the_middle(&self) {
        let mut hits = self.shelf.hits.subscribe();
        tokio::time::timeout(PATIENCE, hits.wait_for(|hits| *hits >= MIDDLE)).await.unwrap().unwrap();
    }

    /// Waits for the webhook of each of these, and looks at all that came.
    async fn has_all_of(&self, bots: &[String]) {
        assert!(bots.len() > MIDDLE, "{} bots are too few to be in the middle of", bots.len());
        let ids: HashSet<String> = bots.iter().map(|bot| format!("evt_{}_1", bot.replace('-', ""))).collect();
        eventually("every webhook", || {
            let seen = self.shelf.seen.lock().unwrap();
            ids.iter().all(|id| seen.contains_key(id))
        })
        .await;
        let seen = self.shelf.seen.lock().unwrap().clone();
        let mut told: HashMap<String, &str> = HashMap::new();
        for (id, bodies) in &seen {
            assert!(bodies.iter().all(|body| body == &bodies[0]), "{id}: {bodies:?}");
            let body: Value = serde_json::from_slice(&bodies[0]).unwrap();
            assert_eq!((&body["event_id"], &body["event"]), (&json!(id), &json!("bot.scheduled")));
            let other = told.insert(body["bot_id"].as_str().unwrap().to_owned(), id);
            assert_eq!(other, None, "one event, two ids");
        }
        let hits: usize = seen.values().map(Vec::len).sum();
        println!("{} bots acknowledged, {} webhooks, {} repetitions", bots.len(), seen.len(), hits - seen.len());
    }
}

async fn take(State(shelf): State<Arc<Shelf>>, headers: HeaderMap, body: Bytes) {
    let id = headers["webhook-id"].to_str().unwrap().to_owned();
    shelf.seen.lock().unwrap().entry(id).or_default().push(body);
    shelf.hits.send_modify(|hits| *hits += 1);
    tokio::time::sleep(ANSWERS_AFTER).await;
}

/// Creates all bots at once, and answers those that were acknowledged once every call is over.
fn create_all(server: &Server, hook: &str) -> AbortOnDropHandle<Vec<String>> {
    let mut calls = JoinSet::new();
    for i in 0..BOTS {
        let (http, url, hook) = (server.http.clone(), server.url.clone(), hook.to_owned());
        calls.spawn(async move {
            // Far in the future, so that this is all that happens.
            let body = json!({
                "meeting_link": format!("{url}/sandbox/room-{i}"), "join_at": "2099-01-01T00:00:00Z", "callback_url": hook,
            });
            let request = http
                .post(format!("{url}/api/v1/bots/create_bot"))
                .header("Authorization", format!("Token {KEY}"))
                .timeout(PATIENCE)
                .json(&body);
            let response = request.send().await.ok().filter(|response| response.status() == 201)?;
            let answer: Value = response.json().await.ok()?;
            Some(answer["bot_id"].as_str()?.to_owned())
        });
    }
    AbortOnDropHandle::new(tokio::spawn(async move { calls.join_all().await.into_iter().flatten().collect() }))
}

/// Invariant: no webhook of an acknowledged write is lost.
#[tokio::test]
async fn a_server_killed_among_thousands_of_webhooks_sends_every_one() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let counter = Counter::open().await;
    let mut server = Server::start_in(&data, "max_concurrent_bots = 1");
    let created = create_all(&server, &counter.url);
    counter.until_the_middle().await;
    server.kill_9();
    let bots = created.await.unwrap();
    drop(server);
    let _server = Server::start_in(&data, "max_concurrent_bots = 1");
    counter.has_all_of(&bots).await;
}

/// Invariant: no webhook is lost with the process that was sending it.
#[tokio::test]
async fn a_hooks_process_killed_among_thousands_of_webhooks_loses_none() {
    let Some(shared) = Shared::redis() else { return };
    let counter = Counter::open().await;
    let (api, _control) = (shared.process("api", "api"), shared.process("control", "control"));
    let mut hooks = shared.process("hooks", "hooks-1");
    let created = create_all(&api, &counter.url);
    counter.until_the_middle().await;
    hooks.kill_9();
    let _hooks = shared.process("hooks", "hooks-2");
    let bots = created.await.unwrap();
    assert_eq!(bots.len(), BOTS);
    counter.has_all_of(&bots).await;
}
