//! Deliveries from a real store to real receivers, by a clock that the tests turn.

use std::collections::{HashMap, VecDeque};
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
use muster_session::{BotId, MediaPlan, Meeting, NewSession, Outcome, Session, TenantId, Timestamp, TranscriptId};
use muster_store::embedded::EmbeddedStore;
use muster_store::{Commit, CreateGuard, DeliveryStatus, SessionStore};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use url::Url;
use uuid::Uuid;

use super::{Deliverer, Error, Settings};
use crate::guard::Policy;
use crate::sign::SigningSecret;

const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const START: i64 = 1_790_000_000_000;
const PATIENCE: Duration = Duration::from_secs(30);

/// A request as a receiver saw it.
#[derive(Clone, Debug, PartialEq)]
struct Hit {
    headers: HeaderMap,
    body: Bytes,
}

impl Hit {
    fn sequence(&self) -> u64 {
        serde_json::from_slice::<serde_json::Value>(&self.body).unwrap()["sequence"].as_u64().unwrap()
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
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
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

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.clock.load(Ordering::SeqCst))
    }

    fn turn_to(&self, at: Timestamp) {
        self.clock.store(at.as_millis(), Ordering::SeqCst);
    }

    /// A bot with `events` webhooks to deliver.
    async fn bot(&self, callback: &Url, events: u64) -> BotId {
        let id = BotId::from_uuid(Uuid::new_v4());
        let now = self.now();
        let (mut session, _) = Session::create(new_session(id, callback), now);
        session.sequence = events;
        let events = (1..=events).map(|sequence| event(id, sequence, now)).collect();
        let commit = Commit::new(session, Outcome { events, jobs: Vec::new() }, now);
        self.store.create(commit, CreateGuard::default()).await.unwrap();
        id
    }

    /// The ledger: status and HTTP statuses of the attempts for each delivery.
    async fn ledger(&self, bot: BotId) -> Vec<(DeliveryStatus, Vec<Option<u16>>)> {
        let deliveries = self.store.deliveries(bot).await.unwrap();
        let line = |d: &muster_store::Delivery| (d.status, d.attempts.iter().map(|a| a.http_status).collect());
        deliveries.iter().map(line).collect()
    }
}

fn new_session(id: BotId, callback: &Url) -> NewSession {
    NewSession {
        id,
        tenant: TenantId::new("t"),
        request: json!({}),
        meeting: Meeting {
            link: "https://meet.example/a".into(),
            platform: "sandbox".into(),
            label: "Sandbox".into(),
            join_url: "https://meet.example/a".parse().unwrap(),
            key: id.to_string(),
        },
        bot_name: "Muster".into(),
        callback_url: Some(callback.clone()),
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
        concurrency: 8,
    }
}

fn status(code: u16) -> Response {
    StatusCode::from_u16(code).unwrap().into_response()
}

#[tokio::test]
async fn deliveries_of_a_bot_come_in_order_signed_and_once() {
    let mut setup = Setup::new();
    let (receiver, _seen) = Receiver::start(&mut setup.tasks, true).await;
    let bot = setup.bot(&receiver.url, 5).await;
    let deliverer = setup.deliverer(settings());
    assert_eq!(deliverer.deliver_bot(bot).await.unwrap(), None);
    assert_eq!(deliverer.deliver_bot(bot).await.unwrap(), None);
    assert_eq!(receiver.sequences(), [1, 2, 3, 4, 5]);
    let secret = SigningSecret::parse(SECRET).unwrap();
    for hit in receiver.hits() {
        assert_eq!(secret.verify(&hit.headers, &hit.body, setup.now()), Ok(()));
        assert_eq!(secret.verify_meetstream(hit.header("x-meetstream-signature"), &hit.body), Ok(()));
        assert_eq!(hit.header("x-meetstream-timestamp"), setup.now().to_rfc3339());
        assert_eq!(hit.header("webhook-id"), muster_session::event::event_id(bot, hit.sequence()));
        assert_eq!(hit.header("content-type"), "application/json");
        assert_eq!(hit.header("user-agent"), crate::client::USER_AGENT);
    }
    assert!(setup.ledger(bot).await.iter().all(|line| *line == (DeliveryStatus::Delivered, vec![Some(200)])));
}

#[tokio::test]
async fn every_attempt_sends_the_same_bytes_on_the_schedule_until_it_is_given_up() {
    let mut setup = Setup::new();
    let (receiver, _seen) = Receiver::start(&mut setup.tasks, true).await;
    receiver.answer(
        1,
        [status(500), status(503), status(302), status(404), status(429), status(500), status(500), status(500)],
    );
    let bot = setup.bot(&receiver.url, 1).await;
    let deliverer = setup.deliverer(settings());
    let mut pauses = Vec::new();
    while let Some(at) = deliverer.deliver_bot(bot).await.unwrap() {
        pauses.push(at.since(setup.now()).as_secs());
        // Too early by a millisecond: nothing happens.
        setup.turn_to(at - Duration::from_millis(1));
        assert_eq!(deliverer.deliver_bot(bot).await.unwrap(), Some(at));
        setup.turn_to(at);
    }
    let hits = receiver.hits();
    assert_eq!(hits.len(), 8);
    for hit in &hits {
        assert_eq!((&hit.body, hit.header("webhook-id")), (&hits[0].body, hits[0].header("webhook-id")));
    }
    assert_ne!(hits[0].header("webhook-timestamp"), hits[1].header("webhook-timestamp"));
    for (pause, want) in pauses.iter().zip([5u64, 300, 1_800, 7_200, 18_000, 36_000, 36_000]) {
        assert!((want * 8 / 10..=want * 12 / 10).contains(pause), "{pauses:?}");
    }
    assert_eq!(pauses.len(), 7);
    let ledger = setup.ledger(bot).await;
    assert_eq!(ledger[0].0, DeliveryStatus::Failed);
    assert_eq!(ledger[0].1, [500, 503, 302, 404, 429, 500, 500, 500].map(Some));
}

#[tokio::test]
async fn gone_means_gone_and_a_replay_sends_again() {
    let mut setup = Setup::new();
    let (receiver, _seen) = Receiver::start(&mut setup.tasks, true).await;
    receiver.answer(1, [status(410)]);
    let bot = setup.bot(&receiver.url, 1).await;
    let deliverer = setup.deliverer(settings());
    assert_eq!(deliverer.deliver_bot(bot).await.unwrap(), None);
    assert_eq!(setup.ledger(bot).await, [(DeliveryStatus::Failed, vec![Some(410)])]);
    let [gone] = &setup.store.deliveries(bot).await.unwrap()[..] else { panic!("one webhook") };
    assert_eq!(setup.store.resend(&[gone.id], setup.now()).await.unwrap(), 1);
    assert_eq!(deliverer.deliver_bot(bot).await.unwrap(), None);
    assert_eq!(setup.ledger(bot).await, [(DeliveryStatus::Delivered, vec![Some(410), Some(200)])]);
    assert_eq!(receiver.hits()[0].body, receiver.hits()[1].body);
}

#[tokio::test]
async fn one_bad_event_does_not_hold_the_rest() {
    let mut setup = Setup::new();
    let (receiver, _seen) = Receiver::start(&mut setup.tasks, true).await;
    receiver.answer(2, [(StatusCode::INTERNAL_SERVER_ERROR, "x".repeat(2000)).into_response()]);
    let bot = setup.bot(&receiver.url, 4).await;
    let deliverer = setup.deliverer(settings());
    let at = deliverer.deliver_bot(bot).await.unwrap().unwrap();
    assert_eq!(receiver.sequences(), [1, 2, 3, 4]);
    setup.turn_to(at);
    assert_eq!(deliverer.deliver_bot(bot).await.unwrap(), None);
    assert_eq!(receiver.sequences(), [1, 2, 3, 4, 2]);
    let attempts = &setup.store.deliveries(bot).await.unwrap()[1].attempts;
    assert_eq!(attempts[0].detail.len(), super::EXCERPT_BYTES);
}

#[tokio::test]
async fn a_receivers_wish_for_a_longer_pause_is_granted() {
    let mut setup = Setup::new();
    let (receiver, _seen) = Receiver::start(&mut setup.tasks, true).await;
    receiver.answer(1, [(StatusCode::TOO_MANY_REQUESTS, [("retry-after", "77")]).into_response()]);
    let bot = setup.bot(&receiver.url, 1).await;
    let at = setup.deliverer(settings()).deliver_bot(bot).await.unwrap();
    assert_eq!(at, Some(setup.now() + Duration::from_secs(77)));
}

#[tokio::test]
async fn private_addresses_are_refused_by_default_and_the_ledger_says_so() {
    let mut setup = Setup::new();
    let (receiver, _seen) = Receiver::start(&mut setup.tasks, true).await;
    let bot = setup.bot(&receiver.url, 1).await;
    let deliverer = setup.deliverer(Settings { guard: Policy::default(), ..settings() });
    assert!(deliverer.deliver_bot(bot).await.unwrap().is_some());
    assert_eq!(receiver.hits(), []);
    let delivery = &setup.store.deliveries(bot).await.unwrap()[0];
    assert!(delivery.attempts[0].detail.contains("loopback"), "{:?}", delivery.attempts);
    assert_eq!(delivery.attempts[0].http_status, None);
}

#[tokio::test]
async fn silence_is_a_failed_attempt() {
    let mut setup = Setup::new();
    let (receiver, _seen) = Receiver::start(&mut setup.tasks, false).await;
    let bot = setup.bot(&receiver.url, 1).await;
    let deliverer = setup.deliverer(Settings { timeout: Duration::from_millis(50), ..settings() });
    assert!(deliverer.deliver_bot(bot).await.unwrap().is_some());
    let delivery = &setup.store.deliveries(bot).await.unwrap()[0];
    assert_eq!((delivery.failures, delivery.attempts[0].http_status), (1, None));
    assert!(delivery.attempts[0].detail.contains("time limit"), "{:?}", delivery.attempts);
}

#[tokio::test]
async fn without_a_secret_nothing_is_signed_and_a_bad_one_is_refused() {
    let mut setup = Setup::new();
    let (receiver, _seen) = Receiver::start(&mut setup.tasks, true).await;
    let bot = setup.bot(&receiver.url, 1).await;
    setup.deliverer(Settings { signing_secret: None, ..settings() }).deliver_bot(bot).await.unwrap();
    let headers = &receiver.hits()[0].headers;
    assert!(headers.contains_key("webhook-id") && !headers.contains_key("webhook-signature"));
    assert!(!headers.contains_key("x-meetstream-signature"));
    let bad = Settings { signing_secret: Some("secret".into()), ..settings() };
    let made = Deliverer::new(Arc::clone(&setup.store), setup.queue(), bad, Timestamp::default);
    assert!(matches!(made, Err(Error::Secret(_))));
}

#[tokio::test]
async fn a_sick_receiver_holds_up_only_its_own() {
    let mut setup = Setup::new();
    let (sick, mut sick_seen) = Receiver::start(&mut setup.tasks, false).await;
    let (healthy, mut healthy_seen) = Receiver::start(&mut setup.tasks, true).await;
    let queue = setup.queue();
    for url in [&sick.url, &sick.url, &sick.url, &sick.url, &sick.url, &healthy.url, &healthy.url] {
        let bot = setup.bot(url, 2).await;
        queue.send(&Job::Deliver { bot }, Duration::ZERO, None).await.unwrap();
    }
    // One connection for each receiver, and no answer within the test.
    let deliverer = setup.deliverer(Settings { concurrency: 4, timeout: PATIENCE * 2, ..settings() });
    let shutdown = CancellationToken::new();
    let running = tokio::spawn({
        let shutdown = shutdown.clone();
        async move { deliverer.run(shutdown).await }
    });
    tokio::time::timeout(PATIENCE, sick_seen.recv()).await.unwrap().unwrap();
    for _ in 0..4 {
        tokio::time::timeout(PATIENCE, healthy_seen.recv()).await.unwrap().unwrap();
    }
    assert_eq!(sick.hits().len(), 1);
    // Shutdown finishes what is under way and begins nothing more.
    shutdown.cancel();
    sick.gate.add_permits(100);
    tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap().unwrap();
    assert_eq!(sick.hits().len(), 1);
    let depth = setup.raw_queue.depth(Topic::Deliveries).await.unwrap();
    assert_eq!((depth.leased, depth.dead), (0, 0));
    assert!(depth.ready + depth.delayed >= 5, "{depth:?}");
}

#[tokio::test]
async fn two_wake_ups_of_one_bot_deliver_once() {
    let mut setup = Setup::new();
    let (receiver, mut seen) = Receiver::start(&mut setup.tasks, false).await;
    let bot = setup.bot(&receiver.url, 3).await;
    let queue = setup.queue();
    queue.send(&Job::Deliver { bot }, Duration::ZERO, None).await.unwrap();
    let deliverer = setup.deliverer(settings());
    let shutdown = CancellationToken::new();
    let running = tokio::spawn({
        let shutdown = shutdown.clone();
        async move { deliverer.run(shutdown).await }
    });
    tokio::time::timeout(PATIENCE, seen.recv()).await.unwrap().unwrap();
    queue.send(&Job::Deliver { bot }, Duration::ZERO, None).await.unwrap();
    // The second message is settled while the first is still being worked on.
    let settled = async {
        loop {
            let depth = setup.raw_queue.depth(Topic::Deliveries).await.unwrap();
            if depth.ready == 0 && depth.leased == 1 {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, settled).await.unwrap();
    receiver.gate.add_permits(100);
    for _ in 0..2 {
        tokio::time::timeout(PATIENCE, seen.recv()).await.unwrap().unwrap();
    }
    shutdown.cancel();
    tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap().unwrap();
    assert_eq!(receiver.sequences(), [1, 2, 3]);
}

#[tokio::test]
async fn a_failed_attempt_leaves_a_wake_up_behind() {
    let mut setup = Setup::new();
    let (receiver, mut seen) = Receiver::start(&mut setup.tasks, true).await;
    receiver.answer(1, [status(500)]);
    let bot = setup.bot(&receiver.url, 1).await;
    setup.queue().send(&Job::Deliver { bot }, Duration::ZERO, Some(format!("deliver:{bot}"))).await.unwrap();
    let deliverer = setup.deliverer(settings());
    let shutdown = CancellationToken::new();
    let running = tokio::spawn({
        let shutdown = shutdown.clone();
        async move { deliverer.run(shutdown).await }
    });
    tokio::time::timeout(PATIENCE, seen.recv()).await.unwrap().unwrap();
    shutdown.cancel();
    tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap().unwrap();
    let depth = setup.raw_queue.depth(Topic::Deliveries).await.unwrap();
    assert_eq!((depth.ready, depth.leased, depth.delayed), (0, 0, 1));
    // The key of "look now" is free for the next event.
    setup.queue().send(&Job::Deliver { bot }, Duration::ZERO, Some(format!("deliver:{bot}"))).await.unwrap();
    assert_eq!(setup.raw_queue.depth(Topic::Deliveries).await.unwrap().ready, 1);
}
