//! What a million stored sessions do to the cost of a dispatch, and of the control role's look for sessions that are stuck.

use std::time::{Duration, Instant};

use anyhow::Result;
use muster_embedded::Durability;
use muster_server::roles::Backend;
use muster_session::{EndReason, Input, Session, Timestamp, WorkerId};
use muster_store::{Commit, CreateGuard};
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::throughput::{disk, middle};
use crate::{Figure, ours};
use muster_bench_kit::Redis;

const FEW: usize = 1_000;
const MANY: usize = 1_000_000;
/// Sessions that the look finds, however many there are.
const STUCK: usize = 16;
const CONCURRENCY: usize = 64;
const ROUNDS: usize = 7;
const DISPATCHES: usize = 2_000;
const LOOKS: usize = 500;
/// As many as the control role asks for.
const BATCH: u32 = 256;
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// Seconds of one dispatch, and of one look.
struct Cost {
    dispatch: Vec<f64>,
    look: Vec<f64>,
}

/// In a file.
pub async fn embedded() -> Result<Vec<Figure>> {
    let (few, _few) = filled_file(FEW).await?;
    let (many, _many) = filled_file(MANY).await?;
    Ok(vec![Figure { name: "cost_growth_1k_to_1m", value: growth("embedded", &few, &many).await? }])
}

/// In Redis: it takes 4 GB of memory, and several times as long.
pub async fn redis() -> Result<Vec<Figure>> {
    let (few, many) = (Redis::start().await?, Redis::start().await?);
    let backends = (ours::over_redis(&few.url()).await?, ours::over_redis(&many.url()).await?);
    fill(&backends.0, FEW).await?;
    fill(&backends.1, MANY).await?;
    let value = growth("redis", &backends.0, &backends.1).await?;
    Ok(vec![Figure { name: "cost_growth_1k_to_1m_redis", value }])
}

/// Filled without waiting for the disk, and then opened as it is by default.
async fn filled_file(sessions: usize) -> Result<(Backend, TempDir)> {
    let dir = tempfile::tempdir_in(disk()?)?;
    fill(&ours::embedded(dir.path(), Durability::Normal)?, sessions).await?;
    Ok((ours::embedded(dir.path(), Durability::Full)?, dir))
}

async fn fill(backend: &Backend, sessions: usize) -> Result<()> {
    let begun = Instant::now();
    let now = backend.clock.now();
    let mut tasks = JoinSet::new();
    for part in 0..4 * CONCURRENCY {
        let backend = backend.clone();
        tasks.spawn(async move {
            for number in (part..sessions).step_by(4 * CONCURRENCY) {
                let commit = Commit { jobs: Vec::new(), events: Vec::new(), ..stored(number, now)? };
                backend.store.create(commit, CreateGuard::default()).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    eprintln!("{sessions} sessions stored in {:.0} s", begun.elapsed().as_secs_f64());
    Ok(())
}

/// Of a hundred sessions one is in a call, two are scheduled, and the others are over; a few have waited too long.
fn stored(number: usize, now: Timestamp) -> Result<Commit> {
    let later = now + DAY;
    let mut new = ours::new_session();
    let made = if number < STUCK { Timestamp::from_millis(now.as_millis() - 2 * 3_600_000) } else { later };
    if number % 100 >= 98 {
        new.join_at = Some(later + HOUR);
    }
    let (mut session, mut outcome) = Session::create(new, made);
    if number >= STUCK && number % 100 < 98 {
        let acquire = Input::Acquire { owner: WorkerId::new("worker-other"), ttl: DAY, attempt: 1 };
        outcome = session.apply(acquire, made)?;
        if number % 100 > 0 {
            let gone =
                Input::BotGone { fencing: session.fencing, reason: EndReason::MeetingFull, message: "Full".into() };
            outcome = session.apply(gone, made)?;
        }
    }
    Ok(Commit::new(session, outcome, made))
}

/// How much more it costs with many, of dispatch and look the worse.
async fn growth(name: &str, few: &Backend, many: &Backend) -> Result<f64> {
    let _relays = (ours::relay(few), ours::relay(many));
    let mut costs = [Cost { dispatch: Vec::new(), look: Vec::new() }, Cost { dispatch: Vec::new(), look: Vec::new() }];
    for round in 0..=ROUNDS {
        for (cost, backend) in costs.iter_mut().zip([few, many]) {
            let (seconds, claimed) = ours::dispatch(backend, DISPATCHES, CONCURRENCY).await?;
            let look = look(backend).await?;
            // The first one fills caches.
            if round > 0 {
                cost.dispatch.push(seconds / DISPATCHES as f64);
                cost.look.push(look);
            }
            remove(backend, claimed).await?;
        }
    }
    let [few, many] = costs.map(|cost| [middle(cost.dispatch), middle(cost.look)]);
    eprintln!(
        "{name}: a dispatch {:.1} µs with {FEW} sessions, {:.1} µs with {MANY}; a look {:.1} µs and {:.1} µs",
        few[0] * 1e6,
        many[0] * 1e6,
        few[1] * 1e6,
        many[1] * 1e6
    );
    Ok((many[0] / few[0]).max(many[1] / few[1]))
}

/// The lookups of one pass of the control role; seconds.
async fn look(backend: &Backend) -> Result<f64> {
    let begun = Instant::now();
    for _ in 0..LOOKS {
        let (store, now) = (&backend.store, backend.clock.now());
        let due = store.due(now, BATCH).await?.len();
        let lost = store.lease_expired(now, BATCH).await?.len();
        let overdue = store.overdue(now, BATCH).await?.len();
        let expired = store.expired(now, BATCH).await?.len();
        anyhow::ensure!([due, lost, overdue, expired] == [0, 0, STUCK, 0], "others are stuck than should be");
    }
    Ok(begun.elapsed().as_secs_f64() / LOOKS as f64)
}

async fn remove(backend: &Backend, claimed: Vec<ours::Claimed>) -> Result<()> {
    let mut tasks = JoinSet::new();
    for (bot, _) in claimed {
        let store = backend.store.clone();
        tasks.spawn(async move { store.delete(bot).await });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}
