//! `kill -9` in the middle of thousands of webhooks: each arrives at least once, under one id and with the same bytes.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path, State};
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

/// What is told of a bot that is scheduled and called off, in order of the sequence.
const EVENTS: [&str; 4] = ["bot.scheduled", "bot.leaving", "bot.stopped", "bot.done"];
/// Each event goes to so many: the bot's own address, and endpoints.
const ADDRESSES: usize = 5;
const OF_A_BOT: usize = EVENTS.len() * ADDRESSES;

/// Counts webhooks by address and id. Once as many have come as there are to be before the kill, it answers no more until then.
struct Counter {
    port: u16,
    shelf: Arc<Shelf>,
    _server: AbortOnDropHandle<()>,
}

struct Shelf {
    seen: Mutex<HashMap<(usize, String), Vec<Bytes>>>,
    hits: watch::Sender<usize>,
    middle: usize,
    killed: watch::Sender<bool>,
}

/// A bot, and how many of its events are of acknowledged writes.
struct Made {
    bot: String,
    events: usize,
}

impl Made {
    fn id(&self, sequence: usize) -> String {
        format!("evt_{}_{sequence}", self.bot.replace('-', ""))
    }

    /// All that has to arrive.
    fn webhooks(&self) -> impl Iterator<Item = (usize, String)> {
        let ids = (1..=self.events).map(|sequence| self.id(sequence));
        ids.flat_map(|id| (0..ADDRESSES).map(move |address| (address, id.clone())))
    }
}

impl Counter {
    async fn open(middle: usize) -> Self {
        let (hits, killed) = (watch::Sender::new(0), watch::Sender::new(false));
        let shelf = Arc::new(Shelf { seen: Mutex::default(), hits, middle, killed });
        let app = Router::new().route("/{address}", post(take)).with_state(Arc::clone(&shelf));
        let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { port, shelf, _server: AbortOnDropHandle::new(server) }
    }

    /// Each is a host of its own.
    fn url(&self, address: usize) -> String {
        format!("http://127.0.1.{address}:{}/{address}", self.port)
    }

    /// All addresses but that of the bots become endpoints.
    async fn register(&self, server: &Server) {
        for address in 1..ADDRESSES {
            let endpoint = json!({ "url": self.url(address) });
            let (status, answer) = server.call("POST", "/api/v1/webhook_endpoints", Some(endpoint)).await;
            assert_eq!(status, 201, "{answer}");
        }
    }

    /// Kills when so many have come; answers what had come by then.
    async fn kill_in_the_middle(&self, server: &mut Server) -> HashSet<(usize, String)> {
        let mut hits = self.shelf.hits.subscribe();
        let middle = self.shelf.middle;
        tokio::time::timeout(PATIENCE, hits.wait_for(|hits| *hits >= middle)).await.unwrap().unwrap();
        server.kill_9();
        let seen = self.shelf.seen.lock().unwrap().keys().cloned().collect();
        self.shelf.killed.send_replace(true);
        seen
    }

    /// Waits for every webhook of these, and looks at all that came.
    async fn has_all_of(&self, made: &[Made]) {
        let mut missing: Vec<(usize, String)> = made.iter().flat_map(Made::webhooks).collect();
        let wanted = missing.len();
        let missing = Mutex::new(&mut missing);
        eventually("every webhook", || {
            let seen = self.shelf.seen.lock().unwrap();
            let mut missing = missing.lock().unwrap();
            missing.retain(|webhook| !seen.contains_key(webhook));
            missing.is_empty()
        })
        .await;
        let seen = self.shelf.seen.lock().unwrap().clone();
        let mut bodies: HashMap<&str, &Bytes> = HashMap::new();
        for ((_, id), all) in &seen {
            let first = *bodies.entry(id).or_insert(&all[0]);
            assert!(all.iter().all(|body| body == first), "{id}: {first:?} {all:?}");
        }
        let mut told: HashMap<(String, &str), &str> = HashMap::new();
        for (id, body) in bodies {
            let body: Value = serde_json::from_slice(body).unwrap();
            let sequence: usize = id.rsplit('_').next().unwrap().parse().unwrap();
            assert_eq!((&body["event_id"], &body["event"]), (&json!(id), &json!(EVENTS[sequence - 1])));
            let of = (body["bot_id"].as_str().unwrap().to_owned(), EVENTS[sequence - 1]);
            assert_eq!(told.insert(of, id), None, "one event, two ids");
        }
        let hits: usize = seen.values().map(Vec::len).sum();
        println!("{wanted} of acknowledged writes, {} webhooks, {} repetitions", seen.len(), hits - seen.len());
    }
}

async fn take(State(shelf): State<Arc<Shelf>>, Path(address): Path<usize>, headers: HeaderMap, body: Bytes) {
    let id = headers["webhook-id"].to_str().unwrap().to_owned();
    shelf.seen.lock().unwrap().entry((address, id)).or_default().push(body);
    let mut hits = 0;
    shelf.hits.send_modify(|all| {
        *all += 1;
        hits = *all;
    });
    if hits >= shelf.middle {
        shelf.killed.subscribe().wait_for(|killed| *killed).await.unwrap();
    }
}

/// Schedules bots and calls them off, all at once; answers what was acknowledged once every call is over.
fn make(server: &Server, hook: String, bots: usize) -> AbortOnDropHandle<Vec<Made>> {
    let mut calls = JoinSet::new();
    for i in 0..bots {
        let (http, url, hook) = (server.http.clone(), server.url.clone(), hook.clone());
        calls.spawn(async move {
            let call = |path: String, body: Value| {
                let request = http.post(format!("{url}/api/v1/bots/{path}"));
                let request = request.header("Authorization", format!("Token {KEY}")).timeout(PATIENCE).json(&body);
                async move {
                    let answer = request.send().await.ok()?.error_for_status().ok()?;
                    answer.json::<Value>().await.ok()
                }
            };
            // Far in the future, so that this is all that happens.
            let body = json!({
                "meeting_link": format!("{url}/sandbox/room-{i}"), "join_at": "2099-01-01T00:00:00Z", "callback_url": hook,
            });
            let bot = call("create_bot".to_owned(), body).await?["bot_id"].as_str()?.to_owned();
            let called_off = call(format!("{bot}/remove_bot"), json!({})).await.is_some();
            Some(Made { bot, events: if called_off { EVENTS.len() } else { 1 } })
        });
    }
    AbortOnDropHandle::new(tokio::spawn(async move { calls.join_all().await.into_iter().flatten().collect() }))
}

/// That the kill came among the webhooks of these bots, and of some of them within what goes to one address.
fn assert_middle(before: &HashSet<(usize, String)>, made: &[Made]) {
    let acknowledged = made.iter().flat_map(Made::webhooks).count();
    let lanes = made.iter().flat_map(|made| (0..ADDRESSES).map(move |address| (made, address)));
    let arrived = |(made, address): (&Made, usize)| {
        (1..=EVENTS.len()).filter(|sequence| before.contains(&(address, made.id(*sequence)))).count()
    };
    let begun = lanes.map(arrived).filter(|arrived| (1..EVENTS.len()).contains(arrived)).count();
    println!("{} webhooks before the kill, of {acknowledged} at least; {begun} lanes had begun", before.len());
    assert!(before.len() < acknowledged && begun > 0);
}

/// Invariant: no webhook of an acknowledged write is lost.
#[tokio::test]
async fn a_server_killed_among_thousands_of_webhooks_sends_every_one() {
    const BOTS: usize = 1_000;
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let counter = Counter::open(BOTS * OF_A_BOT / 4).await;
    let mut server = Server::start_in(&data, "max_concurrent_bots = 1");
    counter.register(&server).await;
    let calls = make(&server, counter.url(0), BOTS);
    let before = counter.kill_in_the_middle(&mut server).await;
    let mut made = calls.await.unwrap();
    drop(server);
    assert_middle(&before, &made);
    let server = Server::start_in(&data, "max_concurrent_bots = 1");
    // Those that the kill kept from being made.
    let acknowledged = made.iter().filter(|made| made.events == EVENTS.len()).count();
    made.extend(make(&server, counter.url(0), BOTS - acknowledged).await.unwrap());
    assert!(made.iter().flat_map(Made::webhooks).count() >= BOTS * OF_A_BOT);
    counter.has_all_of(&made).await;
}

/// Invariant: no webhook is lost with the process that was sending it.
#[tokio::test]
async fn a_hooks_process_killed_among_thousands_of_webhooks_loses_none() {
    const BOTS: usize = 200;
    let Some(shared) = Shared::redis() else { return };
    let counter = Counter::open(BOTS * OF_A_BOT / 4).await;
    let (api, _control) = (shared.process("api", "api"), shared.process("control", "control"));
    let mut hooks = shared.process("hooks", "hooks-1");
    counter.register(&api).await;
    let calls = make(&api, counter.url(0), BOTS);
    let before = counter.kill_in_the_middle(&mut hooks).await;
    let _hooks = shared.process("hooks", "hooks-2");
    let made = calls.await.unwrap();
    assert_middle(&before, &made);
    assert_eq!(made.iter().flat_map(Made::webhooks).count(), BOTS * OF_A_BOT);
    counter.has_all_of(&made).await;
}
