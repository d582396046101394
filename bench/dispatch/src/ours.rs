//! The path that is measured, made of the product's own parts: create, relay, receive, acquire, acknowledge.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use muster_embedded::Durability;
use muster_queue::embedded::EmbeddedQueue;
use muster_queue::{JobDelivery, JobQueue, RedisQueue};
use muster_redis::Settings;
use muster_server::clock::Clock;
use muster_server::roles::nudge::News;
use muster_server::roles::{ApplyError, Backend, relay};
use muster_server::supervise::Shutdown;
use muster_session::job::{Job, Topic};
use muster_session::leave::LeavePolicy;
use muster_session::{BotId, Input, MediaPlan, Meeting, NewSession, Session, TenantId, TranscriptId, WorkerId};
use muster_store::embedded::EmbeddedStore;
use muster_store::{Commit, CreateGuard, Created, Ending, PlaceChange, RedisStore, SessionStore, WorkerRecord};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use uuid::Uuid;

/// Nobody here takes so long.
const MESSAGE_LEASE: Duration = Duration::from_secs(60);
const SESSION_LEASE: Duration = Duration::from_secs(30);
const WAIT: Duration = Duration::from_secs(20);

/// The create request; also what the peers' jobs carry.
pub fn request() -> serde_json::Value {
    json!({
        "meeting_link": "https://meet.google.com/abc-defg-hij", "bot_name": "Notes",
        "custom_attributes": {"team": "sales", "case": 17},
    })
}

/// A session as the API makes one of [`request`].
pub fn new_session() -> NewSession {
    let request = request();
    let link = "https://meet.google.com/abc-defg-hij";
    NewSession {
        id: BotId::from_uuid(Uuid::now_v7()),
        tenant: TenantId::new("default"),
        meeting: Meeting {
            link: link.into(),
            platform: "meet".into(),
            label: "GMeet".into(),
            join_url: link.parse().expect("a URL"),
            key: "meet:abc-defg-hij".into(),
        },
        bot_name: "Notes".into(),
        callback_url: None,
        custom_attributes: request["custom_attributes"].as_object().cloned().unwrap_or_default(),
        request,
        leave: LeavePolicy::default(),
        media: MediaPlan::default(),
        deduplication_key: None,
        rejoin: true,
        remote: None,
        overflow: None,
        join_at: None,
        transcript_id: TranscriptId::from_uuid(Uuid::new_v4()),
        retention: Duration::from_secs(7 * 86_400),
    }
}

fn backend(store: Arc<dyn SessionStore>, queue: JobQueue) -> Backend {
    Backend::new(store, queue, Clock::system())
}

pub async fn over_redis(url: &str) -> Result<Backend> {
    let settings = Settings { url: url.to_owned(), prefix: "muster".into(), allow_volatile: false };
    let (store, _) = RedisStore::open(&settings).await?;
    let (queue, _) = RedisQueue::open(&settings).await?;
    Ok(backend(Arc::new(store), JobQueue::new(Arc::new(queue))))
}

pub fn embedded(dir: &Path, durability: Durability) -> Result<Backend> {
    let queue = EmbeddedQueue::open(dir, durability)?;
    Ok(backend(Arc::new(EmbeddedStore::open(dir, durability)?), JobQueue::new(Arc::new(queue))))
}

/// One create call, without HTTP.
pub async fn create_one(backend: &Backend) -> Result<Session> {
    let now = backend.clock.now();
    let (session, outcome) = Session::create(new_session(), now);
    let place = PlaceChange::Take { limit: Some(u64::MAX) };
    let commit = Commit { place, ..Commit::new(session, outcome, now) };
    let news = News::of(&commit);
    let created = backend.store.create(commit, CreateGuard::default()).await?;
    backend.nudge.say(news);
    match created {
        Created::New(session) => Ok(session),
        other => anyhow::bail!("not a new session: {other:?}"),
    }
}

/// So many create calls, `callers` of them at a time.
pub async fn create(backend: &Backend, jobs: usize, callers: usize) -> Result<()> {
    let begun = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..callers {
        let (backend, begun) = (backend.clone(), Arc::clone(&begun));
        tasks.spawn(async move {
            while begun.fetch_add(1, Ordering::Relaxed) < jobs {
                create_one(&backend).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

/// A claim: whose, and when, in nanoseconds since the epoch.
pub type Claimed = (BotId, u128);

/// Claims so many sessions as so many workers with one place each would, each place free again once its message is
/// acknowledged: one worker of the product takes one job after the other, so that a burst spreads over all of them.
pub async fn work(backend: &Backend, jobs: usize, slots: usize) -> Result<Vec<Claimed>> {
    let places = Arc::new(Semaphore::new(slots));
    let mut tasks: JoinSet<Result<Option<Claimed>>> = JoinSet::new();
    let mut claimed = Vec::with_capacity(jobs);
    while claimed.len() < jobs {
        // All that is missing is on its way to be claimed.
        if claimed.len() + tasks.len() >= jobs {
            claimed.extend(tasks.join_next().await.context("a claim")???);
            continue;
        }
        let mut permits = Arc::clone(&places).acquire_owned().await?;
        let more = u32::try_from(places.available_permits())?;
        if let Ok(more) = Arc::clone(&places).try_acquire_many_owned(more) {
            permits.merge(more);
        }
        let most = u32::try_from(permits.num_permits())?;
        for delivery in backend.queue.receive(Topic::Jobs, most, MESSAGE_LEASE, WAIT).await? {
            let place = permits.split(1).context("received more than was asked for")?;
            let backend = backend.clone();
            tasks.spawn(async move {
                let _place = place;
                claim(&backend, delivery).await
            });
        }
        while let Some(done) = tasks.try_join_next() {
            claimed.extend(done??);
        }
    }
    ensure!(claimed.len() == jobs, "more sessions were claimed than were made");
    Ok(claimed)
}

async fn claim(backend: &Backend, delivery: JobDelivery) -> Result<Option<Claimed>> {
    let Job::Run { bot, attempt } = delivery.job else { anyhow::bail!("not a job for workers: {:?}", delivery.job) };
    let input = Input::Acquire { owner: WorkerId::new("worker-bench"), ttl: SESSION_LEASE, attempt };
    let claimed = match backend.apply(bot, input).await {
        Ok(_) => Some((bot, SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos())),
        // Published twice, which may be.
        Err(ApplyError::Missing | ApplyError::Rejected(_)) => None,
        Err(error) => return Err(error).context("acquiring a session"),
    };
    backend.queue.ack(&delivery.receipt).await?;
    Ok(claimed)
}

/// The relay of a process, until this is dropped.
pub fn relay(backend: &Backend) -> JoinSet<Result<()>> {
    let mut task = JoinSet::new();
    task.spawn(relay::run(backend.clone(), None, Shutdown::default()));
    task
}

/// A worker with a place for every session, so that none has to wait in line for one.
fn with_room(jobs: usize) -> Result<WorkerRecord> {
    let (room, now) = (u32::try_from(jobs)?, Clock::system().now());
    Ok(WorkerRecord {
        id: WorkerId::new("worker-bench"),
        host: "bench".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        capacity: room,
        running: 0,
        room: Some(room),
        cpu_percent: None,
        memory_percent: None,
        launch_ms: None,
        idle_since: None,
        bots: serde_json::Value::Null,
        simulated: true,
        started_at: now,
        seen_at: now,
        beat_ms: None,
        ending: Ending::Stays,
    })
}

/// The process of the callers.
pub async fn create_process(redis: &str, jobs: usize, callers: usize) -> Result<()> {
    let backend = over_redis(redis).await?;
    let _relay = relay(&backend);
    muster_bench_kit::ready().await?;
    create(&backend, jobs, callers).await?;
    println!("done");
    // The relay has to publish the last ones, so it stays until it is killed.
    std::future::pending().await
}

/// The process of the worker. Says when all are claimed and acknowledged, and then when each was claimed.
pub async fn work_process(redis: &str, jobs: usize, slots: usize) -> Result<()> {
    let backend = over_redis(redis).await?;
    let _relay = relay(&backend);
    backend.store.beat(&with_room(jobs)?).await?;
    // Processes of the API look once a second how much room there is.
    tokio::time::sleep(Duration::from_secs(2)).await;
    println!("ready");
    let claimed = work(&backend, jobs, slots).await?;
    println!("done");
    for (bot, at) in claimed {
        println!("{bot} {at}");
    }
    Ok(())
}

/// So many dispatches in this process; seconds.
pub async fn dispatch(backend: &Backend, jobs: usize, concurrency: usize) -> Result<(f64, Vec<Claimed>)> {
    let begun = std::time::Instant::now();
    let working = {
        let backend = backend.clone();
        tokio::spawn(async move { work(&backend, jobs, concurrency).await })
    };
    create(backend, jobs, concurrency).await?;
    let claimed = working.await??;
    Ok((begun.elapsed().as_secs_f64(), claimed))
}
