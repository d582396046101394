use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, Request};
use muster_hooks::deliver::Sender;
use muster_hooks::guard::Policy;
use muster_platform::pack::Packs;
use muster_queue::JobQueue;
use muster_queue::embedded::EmbeddedQueue;
use muster_server::api::{self, ApiState};
use muster_server::clock::Clock;
use muster_server::config::{Config, Sources, Tiers};
use muster_server::engines::Engines;
use muster_server::inbound;
use muster_server::keys;
use muster_server::roles::Backend;
use muster_server::roles::autoscale::Scaling;
use muster_server::roles::line::View;
use muster_server::supervise::Shutdown;
use muster_session::protocol::Report;
use muster_session::{
    ArtifactKind, ArtifactState, BotId, EndReason, Input, Session, State, TenantId, Timestamp, WorkerId,
};
use muster_store::SessionStore;
use muster_store::embedded::EmbeddedStore;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use serde_json::{Value, json};
use tower::ServiceExt as _;

pub(super) const KEY: &str = "mst_key-of-the-first-tenant";
/// Of the tenant `default`.
pub(super) const OPERATOR_KEY: &str = "mst_key-of-the-operator";
pub(super) const OTHER_KEY: &str = "mst_key-of-the-other-tenant";
/// 2026-09-21T14:13:20Z
pub(super) const START_MS: i64 = 1_790_000_000_000;
pub(super) const MEET: &str = "https://meet.google.com/abc-defg-hij";

/// A server of its own: store in a temporary directory, a clock that only tests move.
pub(super) struct Api {
    pub(super) router: Router,
    pub(super) state: ApiState,
    pub(super) backend: Backend,
    now: Arc<AtomicI64>,
    _dir: tempfile::TempDir,
}

#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) bytes: Bytes,
}

impl Reply {
    #[track_caller]
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|error| panic!("{error}: {:?}", self.bytes))
    }

    /// The body, if the status is this.
    #[track_caller]
    pub(super) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{:?}", self.bytes);
        self.json()
    }

    /// The message of an error, which is all that its body has.
    #[track_caller]
    pub(super) fn refusal(self, status: u16) -> String {
        let body = self.expect(status);
        assert_eq!(body.as_object().unwrap().len(), 1, "an error body has one key: {body}");
        body["message"].as_str().unwrap().to_owned()
    }
}

/// One recogniser for every provider, or none; nothing asks it.
fn engines(any: bool) -> Engines {
    let file = if any { "[transcription]\nurl = \"http://127.0.0.1:9\"" } else { "" };
    let sources = Sources { file: Some(("muster.toml".into(), file.to_owned())), ..Sources::default() };
    Engines::new(Config::load(&sources).unwrap().transcription)
}

/// The keys of three tenants.
pub(super) async fn add_keys(store: &dyn SessionStore) {
    let now = Timestamp::from_millis(START_MS);
    for (key, tenant) in [(KEY, "first"), (OTHER_KEY, "other"), (OPERATOR_KEY, keys::DEFAULT_TENANT)] {
        store.put_key(&keys::record(key, TenantId::new(tenant), "test", now)).await.unwrap();
    }
}

/// What the API works with over this backend.
pub(super) fn state(backend: Backend, packs: Arc<Packs>, speech_available: bool) -> ApiState {
    ApiState {
        store: Arc::clone(&backend.store),
        queue: backend.queue.clone(),
        packs,
        storage: Arc::new(InMemory::new()),
        clock: backend.clock.clone(),
        public_url: "https://muster.example/base".parse().unwrap(),
        guard: Policy::new(std::iter::empty::<&str>()).unwrap(),
        sender: Sender::new(Policy::new(["127.0.0.0/8"]).unwrap(), Duration::from_secs(5)).unwrap(),
        link_secret: Arc::from(&b"0123456789abcdef0123456789abcdef"[..]),
        retention: Duration::from_secs(7 * 86_400),
        rejoin: true,
        scaling: Scaling::new(backend.clone(), muster_fleet::scaling::Policy::default(), "none"),
        engines: Arc::new(engines(speech_available)),
        rates: Arc::new(api::Rates::told_by(backend.tiers.clone(), {
            let clock = backend.clock.clone();
            move || Duration::from_millis(clock.now().as_millis().unsigned_abs())
        })),
        door: Arc::new(inbound::Door {
            sources: inbound::Sources::default(),
            intake: inbound::Intake::new(Arc::clone(backend.queue.raw()), 16),
            max_body: 4_096,
            link_secret: Arc::from(&b"0123456789abcdef0123456789abcdef"[..]),
            clock: backend.clock.clone(),
        }),
        runtimes: muster_server::config::Runtimes::default(),
        shutdown: Shutdown::default(),
        line: View::new(backend),
    }
}

impl Api {
    pub(super) async fn start() -> Self {
        Self::start_with(true).await
    }

    pub(super) async fn start_with(speech_available: bool) -> Self {
        Self::start_limited(speech_available, Tiers::default()).await
    }

    pub(super) async fn start_limited(speech_available: bool, tiers: Tiers) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let durability = muster_embedded::Durability::Normal;
        let store: Arc<dyn SessionStore> = Arc::new(EmbeddedStore::open(dir.path(), durability).unwrap());
        let queue = JobQueue::new(Arc::new(EmbeddedQueue::open(dir.path(), durability).unwrap()));
        let now = Arc::new(AtomicI64::new(START_MS));
        let told = Arc::clone(&now);
        let clock = Clock::new(move || Timestamp::from_millis(told.load(Ordering::SeqCst)));
        add_keys(&*store).await;
        let backend = Backend { tiers, ..Backend::new(store, queue, clock) };
        let state = state(backend.clone(), Arc::new(Packs::builtin()), speech_available);
        Self { router: api::router(state.clone()), state, backend, now, _dir: dir }
    }

    pub(super) fn advance(&self, by: Duration) {
        self.now.fetch_add(i64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }

    pub(super) fn now(&self) -> Timestamp {
        self.backend.clock.now()
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Reply {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 64 << 20).await.unwrap();
        assert!(parts.headers.contains_key("x-request-id"), "every answer carries an id");
        Reply { status: parts.status.as_u16(), headers: parts.headers, bytes }
    }

    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Reply {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(body.into()).unwrap()).await
    }

    pub(super) async fn get(&self, path: &str) -> Reply {
        self.call(Method::GET, path, &[("authorization", &format!("Token {KEY}"))], "").await
    }

    pub(super) async fn get_as_other(&self, path: &str) -> Reply {
        self.call(Method::GET, path, &[("authorization", &format!("Token {OTHER_KEY}"))], "").await
    }

    pub(super) async fn with_body(&self, method: Method, path: &str, body: &Value) -> Reply {
        self.call(method, path, &[("authorization", &format!("Token {KEY}"))], body.to_string()).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Reply {
        self.with_body(Method::POST, path, body).await
    }

    pub(super) async fn delete(&self, path: &str) -> Reply {
        self.call(Method::DELETE, path, &[("authorization", &format!("Token {KEY}"))], "").await
    }

    pub(super) async fn create(&self, body: &Value) -> Reply {
        self.post("/api/v1/bots/create_bot", body).await
    }

    pub(super) async fn create_with_key(&self, key: &str, body: &Value) -> Reply {
        let auth = format!("Token {KEY}");
        let headers = [("authorization", auth.as_str()), ("Idempotency-Key", key)];
        self.call(Method::POST, "/api/v1/bots/create_bot", &headers, body.to_string()).await
    }

    /// A new bot in a Meet call.
    pub(super) async fn bot(&self) -> BotId {
        self.bot_with(json!({})).await
    }

    /// A new bot in a Meet call, with more in its request.
    pub(super) async fn bot_with(&self, more: Value) -> BotId {
        let mut body = json!({"meeting_link": MEET});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let reply = self.create(&body).await.expect(201);
        reply["bot_id"].as_str().unwrap().parse().unwrap()
    }

    pub(super) async fn session(&self, bot: BotId) -> Session {
        self.state.store.get(bot).await.unwrap().unwrap()
    }

    pub(super) async fn apply(&self, bot: BotId, input: Input) -> Session {
        self.backend.apply(bot, input).await.unwrap()
    }

    /// A worker takes the bot.
    pub(super) async fn acquire(&self, bot: BotId) {
        let attempt = self.session(bot).await.attempt + 1;
        let input = Input::Acquire { owner: WorkerId::new("w1"), ttl: Duration::from_secs(60), attempt };
        self.apply(bot, input).await;
        self.report(bot, Report::Joining { at: self.now(), simulated: false }).await;
    }

    pub(super) async fn report(&self, bot: BotId, report: Report) {
        let fencing = self.session(bot).await.fencing;
        self.apply(bot, Input::Report { fencing, report }).await;
    }

    pub(super) async fn record(&self, bot: BotId) {
        self.acquire(bot).await;
        self.report(bot, Report::Admitted { at: self.now() }).await;
        self.report(bot, Report::Recording { at: self.now() }).await;
    }

    pub(super) async fn end(&self, bot: BotId, reason: EndReason) {
        let message = reason.message().to_owned();
        self.report(bot, Report::Ended { at: self.now(), reason, message, recorded_ms: 1_000 }).await;
    }

    pub(super) async fn settle(&self, bot: BotId, kind: ArtifactKind, state: ArtifactState) {
        self.apply(bot, Input::Settle { kind, state }).await;
    }

    /// A bot whose call is over and recorded: `audio` is its recording.
    pub(super) async fn recorded(&self, more: Value, audio: &'static [u8]) -> BotId {
        let bot = self.bot_with(more).await;
        self.record(bot).await;
        self.over(bot, audio).await;
        bot
    }

    /// The call of a bot that records ends: `audio` is its recording.
    pub(super) async fn over(&self, bot: BotId, audio: &'static [u8]) {
        self.advance(Duration::from_secs(90));
        self.end(bot, EndReason::HostEnded).await;
        self.put(&format!("recordings/first/{bot}/audio.ogg"), audio).await;
        for kind in [ArtifactKind::Manifest, ArtifactKind::Audio] {
            self.settle(bot, kind, ArtifactState::Ready).await;
        }
    }

    pub(super) async fn put(&self, path: &str, bytes: impl Into<Bytes>) {
        let payload = PutPayload::from_bytes(bytes.into());
        self.state.storage.put(&Path::from(path), payload).await.unwrap();
    }

    /// A path as a link gives it, below the server's public address.
    #[track_caller]
    pub(super) fn local(url: &Value) -> String {
        url.as_str().unwrap().strip_prefix("https://muster.example/base").unwrap().to_owned()
    }
}

/// Every state before the end, with the steps that lead there.
pub(super) async fn drive_to(api: &Api, bot: BotId, state: State) {
    match state {
        State::Queued => {}
        State::Joining => api.acquire(bot).await,
        State::WaitingRoom => {
            api.acquire(bot).await;
            api.report(bot, Report::WaitingRoom { at: api.now() }).await;
        }
        State::InMeeting => {
            api.acquire(bot).await;
            api.report(bot, Report::Admitted { at: api.now() }).await;
        }
        State::Recording => api.record(bot).await,
        State::Leaving => {
            api.record(bot).await;
            let (reason, message) = (EndReason::HostEnded, "The host ended the meeting".to_owned());
            api.report(bot, Report::Leaving { at: api.now(), reason, message }).await;
        }
        State::Processing => {
            api.record(bot).await;
            api.end(bot, EndReason::HostEnded).await;
        }
        other => panic!("no way to {other:?}"),
    }
    assert_eq!(api.session(bot).await.state, state);
}
