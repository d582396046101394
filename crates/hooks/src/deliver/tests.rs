//! Deliveries from a real store to real receivers, by a clock that the tests turn.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use http::StatusCode;
use muster_embedded::Durability;
use muster_queue::embedded::EmbeddedQueue;
use muster_queue::{JobQueue, Queue};
use muster_session::event::Event;
use muster_session::job::{Job, Topic};
use muster_session::leave::LeavePolicy;
use muster_session::{
    BotId, EndpointId, MediaPlan, Meeting, NewSession, Outcome, Session, TenantId, Timestamp, TranscriptId,
};
use muster_store::embedded::EmbeddedStore;
use muster_store::{Commit, CreateGuard, DeliveryStatus, Endpoint, EndpointSecret, SessionStore};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use url::Url;
use uuid::Uuid;

use super::{Deliverer, Error, Sender, Settings};
use crate::guard::Policy;
use crate::sign::SigningSecret;

mod attempts;
mod crowds;
mod endpoints;
mod loops;
mod parking;

const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const NEW_SECRET: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
const START: i64 = 1_790_000_000_000;
const PATIENCE: Duration = Duration::from_secs(30);

/// A request as a receiver saw it.
#[derive(Clone, Debug, PartialEq)]
struct Hit {
    headers: HeaderMap,
    body: Bytes,
}

impl Hit {
    fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// 0 for an event that is about no bot.
    fn sequence(&self) -> u64 {
        self.json()["sequence"].as_u64().unwrap_or_default()
    }

    fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }
}

/// A webhook receiver: answers each sequence number as told, 200 otherwise, once its gate lets it.
#[derive(Clone)]
struct Receiver {
    url: Url,
    answers: Arc<Mutex<HashMap<u64, VecDeque<Response>>>>,
    hits: Arc<Mutex<Vec<Hit>>>,
    seen: mpsc::UnboundedSender<u64>,
    gate: Arc<Semaphore>,
}

impl Receiver {
    async fn start(tasks: &mut JoinSet<()>, open: bool) -> (Self, mpsc::UnboundedReceiver<u64>) {
        Self::start_at("127.0.0.1:0", tasks, open).await
    }

    async fn start_at(address: &str, tasks: &mut JoinSet<()>, open: bool) -> (Self, mpsc::UnboundedReceiver<u64>) {
        let listener = TcpListener::bind(address).await.unwrap();
        let (seen, arrivals) = mpsc::unbounded_channel();
        let receiver = Self {
            url: Url::parse(&format!("http://{}/hook", listener.local_addr().unwrap())).unwrap(),
            answers: Arc::default(),
            hits: Arc::default(),
            seen,
            gate: Arc::new(Semaphore::new(if open { Semaphore::MAX_PERMITS } else { 0 })),
        };
        let app = Router::new().route("/hook", post(receive)).with_state(receiver.clone());
        tasks.spawn(async move { axum::serve(listener, app).await.unwrap() });
        (receiver, arrivals)
    }

    /// The same receiver by another address of this machine, which is another host to the sender.
    fn at(&self, address: [u8; 4]) -> Url {
        let mut url = self.url.clone();
        url.set_ip_host(std::net::IpAddr::from(address)).unwrap();
        url
    }

    fn answer<const N: usize>(&self, sequence: u64, answers: [Response; N]) {
        self.answers.lock().unwrap().entry(sequence).or_default().extend(answers);
    }

    fn hits(&self) -> Vec<Hit> {
        self.hits.lock().unwrap().clone()
    }

    fn sequences(&self) -> Vec<u64> {
        self.hits().iter().map(Hit::sequence).collect()
    }
}

async fn receive(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> Response {
    let hit = Hit { headers, body };
    let sequence = hit.sequence();
    receiver.hits.lock().unwrap().push(hit);
    let _ = receiver.seen.send(sequence);
    receiver.gate.acquire().await.unwrap().forget();
    let answer = receiver.answers.lock().unwrap().get_mut(&sequence).and_then(VecDeque::pop_front);
    answer.unwrap_or_else(|| StatusCode::OK.into_response())
}

struct Setup {
    _dir: tempfile::TempDir,
    store: Arc<dyn SessionStore>,
    raw_queue: Arc<dyn Queue>,
    clock: Arc<AtomicI64>,
    tasks: JoinSet<()>,
}

impl Setup {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(dir.path(), Durability::Normal).unwrap();
        let queue = EmbeddedQueue::open(dir.path(), Durability::Normal).unwrap();
        Self {
            _dir: dir,
            store: Arc::new(store),
            raw_queue: Arc::new(queue),
            clock: Arc::new(AtomicI64::new(START)),
            tasks: JoinSet::new(),
        }
    }

    fn queue(&self) -> JobQueue {
        JobQueue::new(Arc::clone(&self.raw_queue))
    }

    fn deliverer(&self, settings: Settings) -> Deliverer {
        let clock = Arc::clone(&self.clock);
        let now = move || Timestamp::from_millis(clock.load(Ordering::SeqCst));
        Deliverer::new(Arc::clone(&self.store), self.queue(), settings, now).unwrap()
    }

    /// One whose passes postpone what they have in hand after this.
    fn deliverer_that_parks_after(&self, park_after: Duration, settings: Settings) -> Deliverer {
        let mut deliverer = self.deliverer(settings);
        Arc::get_mut(&mut deliverer.0).unwrap().park_after = park_after;
        deliverer
    }

    /// Waits until nothing is due in the store.
    async fn nothing_is_due(&self) {
        let looking = async {
            while !self.store.bots_with_due_deliveries(self.now(), 10).await.unwrap().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, looking).await.unwrap();
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.clock.load(Ordering::SeqCst))
    }

    fn turn_to(&self, at: Timestamp) {
        self.clock.store(at.as_millis(), Ordering::SeqCst);
    }

    /// A bot with `events` webhooks to deliver.
    async fn bot(&self, callback: &Url, events: u64) -> BotId {
        self.bot_of("t", Some(callback), &[], events).await
    }

    async fn bot_of(&self, tenant: &str, callback: Option<&Url>, endpoints: &[Endpoint], events: u64) -> BotId {
        let id = BotId::from_uuid(Uuid::new_v4());
        let now = self.now();
        let (mut session, _) = Session::create(new_session(id, tenant, callback), now);
        session.sequence = events;
        let events = (1..=events).map(|sequence| event(id, sequence, now)).collect();
        let commit = Commit::new(session, Outcome { events, jobs: Vec::new() }, now);
        let commit = Commit { endpoints: endpoints.into(), ..commit };
        self.store.create(commit, CreateGuard::default()).await.unwrap();
        id
    }

    /// One more event of a bot.
    async fn one_more(&self, bot: BotId, endpoints: &[Endpoint]) {
        let mut session = self.store.get(bot).await.unwrap().unwrap();
        session.sequence += 1;
        let events = vec![event(bot, session.sequence, self.now())];
        let commit = Commit::new(session, Outcome { events, jobs: Vec::new() }, self.now());
        self.store.commit(Commit { endpoints: endpoints.into(), ..commit }).await.unwrap();
    }

    /// An endpoint that takes everything, as it is stored.
    async fn endpoint(&self, id: u128, url: &Url) -> Endpoint {
        self.put(Endpoint {
            id: EndpointId::from_uuid(Uuid::from_u128(id)),
            tenant: TenantId::new("t"),
            version: 0,
            url: url.clone(),
            description: String::new(),
            events: Vec::new(),
            secrets: vec![EndpointSecret { secret: NEW_SECRET.into(), until: None }],
            created_at: self.now(),
            failing_since: None,
            disabled: None,
        })
        .await
    }

    async fn put(&self, endpoint: Endpoint) -> Endpoint {
        self.store.put_endpoint(endpoint).await.unwrap()
    }

    async fn stored(&self, endpoint: &Endpoint) -> Endpoint {
        self.store.endpoint(endpoint.id).await.unwrap().unwrap()
    }

    async fn wake(&self, bot: BotId) {
        self.queue().send(&Job::Deliver { bot }, Duration::ZERO, None).await.unwrap();
    }

    /// Waits until the queue of deliveries is as wanted.
    async fn queued(&self, wanted: impl Fn(&muster_queue::Depth) -> bool) {
        let looking = async {
            while !wanted(&self.raw_queue.depth(Topic::Deliveries).await.unwrap()) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, looking).await.unwrap();
    }

    /// The ledger: status and HTTP statuses of the attempts for each delivery.
    async fn ledger(&self, bot: BotId) -> Vec<(DeliveryStatus, Vec<Option<u16>>)> {
        let deliveries = self.store.deliveries(bot).await.unwrap();
        let line = |d: &muster_store::Delivery| (d.status, d.attempts.iter().map(|a| a.http_status).collect());
        deliveries.iter().map(line).collect()
    }
}

/// Runs until it is dropped.
fn running(deliverer: Deliverer) -> AbortOnDropHandle<()> {
    let run = async move { deliverer.run(CancellationToken::new()).await };
    AbortOnDropHandle::new(tokio::spawn(run))
}

async fn arrives<T>(seen: &mut mpsc::UnboundedReceiver<T>) -> T {
    tokio::time::timeout(PATIENCE, seen.recv()).await.unwrap().unwrap()
}

fn new_session(id: BotId, tenant: &str, callback: Option<&Url>) -> NewSession {
    NewSession {
        id,
        tenant: TenantId::new(tenant),
        request: json!({}),
        meeting: Meeting {
            link: "https://meet.example/a".into(),
            platform: "sandbox".into(),
            label: "Sandbox".into(),
            join_url: "https://meet.example/a".parse().unwrap(),
            key: id.to_string(),
        },
        bot_name: "Muster".into(),
        callback_url: callback.cloned(),
        custom_attributes: serde_json::Map::new(),
        leave: LeavePolicy::default(),
        media: MediaPlan::default(),
        deduplication_key: None,
        rejoin: false,
        remote: None,
        overflow: None,
        join_at: None,
        transcript_id: TranscriptId::from_uuid(Uuid::new_v4()),
        retention: Duration::from_secs(3600),
    }
}

fn event(bot: BotId, sequence: u64, at: Timestamp) -> Event {
    // Key order, floats and characters that a careless round trip would change.
    let body = json!({ "zeta": 0.1, "alpha": "é\u{2028}/", "sequence": sequence, "nested": {"b": 1e300, "a": [null]} });
    Event { bot, sequence, at, event: "bot.joining".into(), bot_event: "bot.joining".into(), to: None, body }
}

fn settings() -> Settings {
    Settings {
        guard: Policy::new(["127.0.0.0/8"]).unwrap(),
        signing_secret: Some(SECRET.into()),
        timeout: Duration::from_secs(10),
        tenant_secrets: BTreeMap::new(),
        concurrency: 8,
        disable_after: Duration::from_secs(5 * 86_400),
    }
}

fn status(code: u16) -> Response {
    StatusCode::from_u16(code).unwrap().into_response()
}
