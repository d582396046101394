//! From an event to its receiver, with 10,000 receivers of which some are sick, over the same with all healthy.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::extract::State;
use axum::routing::post;
use muster_embedded::Durability;
use muster_hooks::deliver::{Deliverer, Settings};
use muster_hooks::guard::Policy;
use muster_queue::JobQueue;
use muster_queue::embedded::EmbeddedQueue;
use muster_server::clock::Clock;
use muster_server::config::{Config, Sources};
use muster_server::roles::{Backend, relay};
use muster_server::supervise::Shutdown;
use muster_session::leave::LeavePolicy;
use muster_session::{
    BotId, Input, MediaPlan, Meeting, NewSession, Observation, Remote, Session, TenantId, TranscriptId,
};
use muster_store::embedded::EmbeddedStore;
use muster_store::{Commit, CreateGuard};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use uuid::Uuid;

use crate::ingest::disk;
use crate::serve::SECRET;
use crate::{Figure, at, middle};

const RECEIVERS: usize = 10_000;
/// So many of them hang, and as many are not there.
const SICK: usize = RECEIVERS / 100;
/// Below what is possible, so that nobody waits without a reason.
const EVENTS_PER_SECOND: u32 = 300;
const ROUNDS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(60);
const TENANTS: usize = 20;

pub async fn measure() -> Result<Vec<Figure>> {
    let (mut healthy, mut sick) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        healthy.push(run(false).await?);
        sick.push(run(true).await?);
        let last = |values: &[f64]| values.last().copied().unwrap_or_default();
        eprintln!(
            "round {round}: p99 from event to receiver {:.1} ms with all healthy, {:.1} ms with {} sick",
            last(&healthy),
            last(&sick),
            2 * SICK
        );
    }
    let [healthy, sick] = [healthy, sick].map(middle);
    Ok(vec![
        Figure { name: "delivery_p99_with_sick_endpoints_ratio", value: sick / healthy },
        Figure { name: "delivery_p99_ms", value: healthy },
    ])
}

/// When each bot's webhook came.
#[derive(Clone, Default)]
struct Received {
    at: Arc<Mutex<HashMap<String, Instant>>>,
    more: Arc<Notify>,
}

impl Received {
    fn count(&self) -> usize {
        self.at.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// The p99 of one run, in milliseconds, at the receivers that are healthy.
async fn run(with_sick: bool) -> Result<f64> {
    let dir = disk()?;
    let received = Received::default();
    let mut tasks = JoinSet::new();
    let ports = receivers(&received, &mut tasks).await?;
    let backend = Backend::new(
        Arc::new(EmbeddedStore::open(dir.path(), Durability::Full)?),
        JobQueue::new(Arc::new(EmbeddedQueue::open(dir.path(), Durability::Full)?)),
        Clock::system(),
    );
    let bots = bots(&backend, ports, with_sick).await?;
    let shutdown = Shutdown::default();
    tasks.spawn({
        let (backend, shutdown) = (backend.clone(), shutdown.clone());
        async move { relay::run(backend, None, shutdown).await }
    });
    let (deliverer, token) = (deliverer(&backend)?, shutdown.ending_token());
    tasks.spawn(async move { deliverer.run(token).await.context("delivering") });

    let healthy: Vec<BotId> = bots.iter().filter(|(_, healthy)| *healthy).map(|(bot, _)| *bot).collect();
    let begun = emit(&backend, bots).await?;
    let all = async {
        loop {
            let more = received.more.notified();
            if received.count() >= healthy.len() {
                return;
            }
            more.await;
        }
    };
    let waited = timeout(PATIENCE, all).await;
    ensure!(waited.is_ok(), "only {} of {} were received", received.count(), healthy.len());
    let at_receiver = received.at.lock().unwrap_or_else(PoisonError::into_inner);
    let mut millis = Vec::with_capacity(healthy.len());
    for bot in &healthy {
        let (began, came) = (begun[bot], at_receiver.get(&bot.to_string()).context("a webhook of this bot")?);
        millis.push(came.duration_since(began).as_secs_f64() * 1e3);
    }
    tasks.abort_all();
    millis.sort_by(f64::total_cmp);
    Ok(at(&millis, 0.99))
}

/// Where healthy receivers, those that hang, and those that are not there are.
async fn receivers(received: &Received, tasks: &mut JoinSet<Result<()>>) -> Result<[u16; 3]> {
    let take = |State(received): State<Received>, axum::Json(body): axum::Json<serde_json::Value>| async move {
        let bot = body["bot_id"].as_str().unwrap_or_default().to_owned();
        received.at.lock().unwrap_or_else(PoisonError::into_inner).entry(bot).or_insert_with(Instant::now);
        received.more.notify_waiters();
    };
    let router = Router::new().route("/hook", post(take)).with_state(received.clone());
    let listener = TcpListener::bind("0.0.0.0:0").await?;
    let healthy = listener.local_addr()?.port();
    tasks.spawn(async move { axum::serve(listener, router).await.context("receiving") });
    let listener = TcpListener::bind("0.0.0.0:0").await?;
    let hanging = listener.local_addr()?.port();
    tasks.spawn(async move {
        // What is accepted is kept, and never answered.
        let mut kept = Vec::new();
        loop {
            kept.push(listener.accept().await?);
        }
    });
    let gone = TcpListener::bind("0.0.0.0:0").await?.local_addr()?.port();
    Ok([healthy, hanging, gone])
}

/// Sessions whose webhooks go to receivers on hosts of their own; with each whether its receiver is healthy.
async fn bots(backend: &Backend, [healthy, hanging, gone]: [u16; 3], with_sick: bool) -> Result<Vec<(BotId, bool)>> {
    let mut creates: JoinSet<Result<(BotId, bool)>> = JoinSet::new();
    for number in 0..RECEIVERS {
        let (port, well) = match number {
            n if with_sick && n < SICK => (hanging, false),
            n if with_sick && n < 2 * SICK => (gone, false),
            _ => (healthy, true),
        };
        let host = format!("127.{}.{}.1", 1 + number / 250, 1 + number % 250);
        let new = new_session(number, format!("http://{host}:{port}/hook").parse()?)?;
        let backend = backend.clone();
        creates.spawn(async move {
            let now = backend.clock.now();
            let (session, outcome) = Session::create(new, now);
            let bot = session.id;
            backend.store.create(Commit::new(session, outcome, now), CreateGuard::default()).await?;
            Ok((bot, well))
        });
    }
    let mut bots = Vec::with_capacity(RECEIVERS);
    while let Some(created) = creates.join_next().await {
        bots.push(created??);
    }
    fastrand::Rng::with_seed(7).shuffle(&mut bots);
    Ok(bots)
}

fn new_session(number: usize, callback_url: url::Url) -> Result<NewSession> {
    Ok(NewSession {
        id: BotId::from_uuid(Uuid::now_v7()),
        tenant: TenantId::new(format!("tenant-{}", number % TENANTS)),
        request: serde_json::json!({}),
        meeting: Meeting {
            link: "https://meet.example/a".into(),
            platform: "sandbox".into(),
            label: "Sandbox".into(),
            join_url: "https://meet.example/a".parse()?,
            key: "a".into(),
        },
        bot_name: "Notes".into(),
        callback_url: Some(callback_url),
        custom_attributes: serde_json::Map::new(),
        leave: LeavePolicy::default(),
        media: MediaPlan::default(),
        deduplication_key: None,
        rejoin: false,
        remote: Some(Remote::theirs("bench", Some(number.to_string()))),
        overflow: None,
        join_at: None,
        transcript_id: TranscriptId::from_uuid(Uuid::new_v4()),
        retention: Duration::from_secs(86_400),
    })
}

fn deliverer(backend: &Backend) -> Result<Deliverer> {
    let config = Config::load(&Sources::default())?;
    let settings = Settings {
        guard: Policy::new(["127.0.0.0/8"])?,
        signing_secret: Some(SECRET.to_owned()),
        tenant_secrets: std::collections::BTreeMap::new(),
        timeout: Duration::from_secs(30),
        concurrency: config.hooks.concurrency as usize,
        disable_after: config.hooks.disable_after,
    };
    let clock = backend.clock.clone();
    Ok(Deliverer::new(Arc::clone(&backend.store), backend.queue.clone(), settings, move || clock.now())?)
}

/// One event for each bot, at an even pace, whether or not earlier ones are written; when each began.
async fn emit(backend: &Backend, bots: Vec<(BotId, bool)>) -> Result<HashMap<BotId, Instant>> {
    let mut turn = interval(Duration::from_secs(1) / EVENTS_PER_SECOND);
    turn.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut writes: JoinSet<Result<()>> = JoinSet::new();
    let mut begun = HashMap::with_capacity(bots.len());
    for (bot, _) in bots {
        turn.tick().await;
        begun.insert(bot, Instant::now());
        let backend = backend.clone();
        writes.spawn(async move {
            let input = Input::Observe { observation: Observation::Joining, at: backend.clock.now() };
            backend.apply(bot, input).await?;
            Ok(())
        });
        while writes.try_join_next().is_some() {}
    }
    while let Some(written) = writes.join_next().await {
        written??;
    }
    Ok(begun)
}
