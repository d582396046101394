//! From an event to its receiver, with 10,000 receivers of which some are sick, over the same with all healthy.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
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
use muster_session::event::event_id;
use muster_session::leave::LeavePolicy;
use muster_session::{
    BotId, Input, MediaPlan, Meeting, NewSession, Observation, Remote, Session, TenantId, TranscriptId,
};
use muster_store::embedded::EmbeddedStore;
use muster_store::{Commit, CreateGuard};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};
use uuid::Uuid;

use crate::ingest::disk;
use crate::serve::SECRET;
use crate::{Figure, at, middle};
use muster_bench_kit::Process;

const RECEIVERS: usize = 10_000;
/// So many of them hang, and as many are not there.
const SICK: usize = RECEIVERS / 100;
/// Below what is possible, so that nobody waits without a reason.
const EVENTS_PER_SECOND: u32 = 300;
/// So many first ones warm up.
const UNCOUNTED: usize = 2_000;
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

/// The p99 of one run, in milliseconds, at the receivers that are healthy.
async fn run(with_sick: bool) -> Result<f64> {
    let dir = disk()?;
    let mut receivers = Process::start("the receivers", &mut Process::own(&["receivers"])?)?;
    let ports = receivers.line(|line| Some(line.strip_prefix("listening on ")?.to_owned())).await?;
    let ports: Vec<u16> = ports.split(' ').map(str::parse).collect::<Result<_, _>>().context("their ports")?;
    let [healthy, hanging, gone] = ports[..] else { bail!("three ports were expected") };
    let backend = Backend::new(
        Arc::new(EmbeddedStore::open(dir.path(), Durability::Full)?),
        JobQueue::new(Arc::new(EmbeddedQueue::open(dir.path(), Durability::Full)?)),
        Clock::system(),
    );
    let bots = bots(&backend, [healthy, hanging, gone], with_sick).await?;
    let shutdown = Shutdown::default();
    let mut tasks = JoinSet::new();
    tasks.spawn({
        let (backend, shutdown) = (backend.clone(), shutdown.clone());
        async move { relay::run(backend, None, shutdown).await.map(drop) }
    });
    let (deliverer, token) = (deliverer(&backend)?, shutdown.ending_token());
    tasks.spawn(async move {
        deliverer.run(token).await;
        Ok(())
    });
    let begun = emit(&backend, &bots).await?;
    let wanted = begun.len();
    // The last ones are on their way.
    let deadline = Instant::now() + PATIENCE;
    let mut came = HashMap::new();
    while came.len() < wanted {
        ensure!(Instant::now() < deadline, "only {} of {wanted} were received", came.len());
        tokio::time::sleep(Duration::from_millis(200)).await;
        receivers.go().await?;
        loop {
            let line = receivers.line(|line| Some(line.to_owned())).await?;
            let Some((id, at)) = line.split_once(' ') else { break };
            came.entry(id.to_owned()).or_insert(at.parse::<u128>()?);
        }
    }
    tasks.abort_all();
    let mut millis = Vec::with_capacity(wanted);
    for (id, began) in &begun {
        millis.push(came.get(id).context("a webhook that was not sent")?.saturating_sub(*began) as f64 / 1e6);
    }
    receivers.kill().await?;
    millis.sort_by(f64::total_cmp);
    Ok(at(&millis, 0.99))
}

/// The receivers, in a process of their own: those that are healthy, and those that hang. Says where they are, and then, each time
/// it is told to go on, what came since: the id of the event, and when.
pub async fn receivers() -> Result<()> {
    let came: Arc<Mutex<Vec<(String, u128)>>> = Arc::default();
    let listener = TcpListener::bind("0.0.0.0:0").await?;
    let healthy = listener.local_addr()?.port();
    let take = |State(came): State<Arc<Mutex<Vec<(String, u128)>>>>, headers: HeaderMap| async move {
        let id = headers.get("webhook-id").and_then(|id| id.to_str().ok()).unwrap_or_default().to_owned();
        came.lock().unwrap_or_else(PoisonError::into_inner).push((id, now_ns()));
    };
    let router = Router::new().route("/hook", post(take)).with_state(Arc::clone(&came));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let listener = TcpListener::bind("0.0.0.0:0").await?;
    let hanging = listener.local_addr()?.port();
    tokio::spawn(async move {
        // What is accepted is kept, and never answered.
        let mut kept = Vec::new();
        while let Ok(connection) = listener.accept().await {
            kept.push(connection);
        }
    });
    let gone = TcpListener::bind("0.0.0.0:0").await?.local_addr()?.port();
    println!("listening on {healthy} {hanging} {gone}");
    let mut words = BufReader::new(tokio::io::stdin()).lines();
    while words.next_line().await?.is_some() {
        let news = std::mem::take(&mut *came.lock().unwrap_or_else(PoisonError::into_inner));
        let mut lines: String = news.into_iter().map(|(id, at)| format!("{id} {at}\n")).collect();
        lines.push_str("all\n");
        print!("{lines}");
        std::io::stdout().flush()?;
    }
    Ok(())
}

fn now_ns() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos()
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

/// Events of all bots in turn, at an even pace, whether or not earlier ones are written. Answers, of those that healthy receivers
/// are to get after the first seconds, the id and when it began.
async fn emit(backend: &Backend, bots: &[(BotId, bool)]) -> Result<HashMap<String, u128>> {
    let mut turn = interval(Duration::from_secs(1) / EVENTS_PER_SECOND);
    turn.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut writes: JoinSet<Result<()>> = JoinSet::new();
    let mut begun = HashMap::with_capacity(bots.len() * 2);
    // In the lobby, let in: each is an event.
    let steps = [Observation::WaitingRoom, Observation::InMeeting];
    for (step, observation) in steps.into_iter().enumerate() {
        for (number, (bot, healthy)) in bots.iter().enumerate() {
            turn.tick().await;
            // The first event of a bot comes with that of its joining, which was not heard of.
            let sequence = step as u64 + 2;
            if *healthy && (step > 0 || number >= UNCOUNTED) {
                begun.insert(event_id(*bot, sequence), now_ns());
            }
            let (backend, bot, observation) = (backend.clone(), *bot, observation.clone());
            writes.spawn(async move {
                let input = Input::Observe { observation, at: backend.clock.now() };
                backend.apply(bot, input).await?;
                Ok(())
            });
            while writes.try_join_next().is_some() {}
        }
    }
    while let Some(written) = writes.join_next().await {
        written??;
    }
    Ok(begun)
}
