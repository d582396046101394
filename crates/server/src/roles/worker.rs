//! Claims bots it has room for and supervises them.
//!
//! The order is what makes a bot neither lost nor doubled: receive → acquire in the store (lease and fencing token) →
//! acknowledge the message → launch. A worker that dies after the acknowledgement leaves a lease that runs out.

mod attend;
mod bots;
mod leases;
mod registry;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use muster_hooks::guard::is_loopback;
use muster_platform::pack::Packs;
use muster_queue::{JobDelivery, QueueError};
use muster_session::job::{Job, Topic};
use muster_session::leave::LeavePolicy;
use muster_session::protocol::{BotSpec, SpeechSpec};
use muster_session::{Input, Session, State, WorkerId};
use muster_store::StoreError;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{ApplyError, Backend};
use crate::config::{BrowserConfig, WorkerConfig};
use crate::engines::Engines;
use crate::supervise::Shutdown;
pub use bots::{Bot, Bots};
use leases::Leases;

/// How long a message is held at a time while its session is acquired: what a worker that dies meanwhile costs.
const MESSAGE_LEASE: Duration = Duration::from_secs(15);
/// Pause after trouble with the queue.
const QUEUE_RETRY: Duration = Duration::from_secs(1);
/// Pause between tries to write to a store that is out of reach.
const STORE_RETRY: Duration = Duration::from_millis(500);
/// A job that comes more often than this ends whoever takes it.
const MAX_RECEIVES: u32 = 5;
/// Long poll.
const WAIT: Duration = Duration::from_secs(20);

/// Everything a worker needs besides the backend.
#[derive(Clone, Debug)]
pub struct WorkerSetup {
    /// This run of this worker.
    pub id: WorkerId,
    /// `[worker]`
    pub config: WorkerConfig,
    /// `[browser]`
    pub browser: BrowserConfig,
    /// Starts bots.
    pub bots: Arc<dyn Bots>,
    /// What the platform of a session looks like.
    pub packs: Arc<Packs>,
    /// Where recordings go.
    pub storage: Url,
    /// Speech to text for live words, as far as it is configured.
    pub engines: Arc<Engines>,
    /// Private ranges that customer URLs may reach.
    pub allow_private: Vec<String>,
    /// Browser profiles are made here.
    pub profile_root: PathBuf,
    /// Other workers can have the same sessions: a bot must not outstay its lease.
    pub shared: bool,
}

/// Runs until it is drained and its last bot ended.
pub async fn run(backend: Backend, setup: WorkerSetup, shutdown: Shutdown) -> anyhow::Result<()> {
    let slots = Arc::new(Semaphore::new(setup.config.max_concurrent_bots as usize));
    let leases = Leases::new(setup.id.clone(), setup.config.lease);
    let asked = CancellationToken::new();
    tracing::info!(worker = %setup.id, simulated = setup.config.simulated, "this worker takes bots");
    let renewing = async {
        let renewing = leases.clone().keep(backend.clone(), setup.config.heartbeat);
        tokio::join!(renewing, registry::keep(&backend, &setup, &leases, asked.clone()))
    };
    tokio::pin!(renewing);
    let mut bots = JoinSet::new();
    let receiving = async {
        receive(&backend, &setup, &leases, &slots, &mut bots, &shutdown, &asked).await?;
        // Asked to take no more: it stays, with the calls it has, until it is stopped.
        shutdown.drained().await;
        anyhow::Ok(())
    };
    tokio::select! {
        biased;
        result = receiving => result?,
        _ = &mut renewing => {}
    }
    if !bots.is_empty() {
        tracing::info!(calls = bots.len(), "draining: waiting for running calls; a second signal ends them now");
    }
    let deadline = tokio::time::sleep(setup.config.drain_deadline);
    tokio::pin!(deadline);
    let mut told = false;
    loop {
        tokio::select! {
            biased;
            bot = bots.join_next() => if bot.is_none() { break },
            _ = &mut renewing => {}
            () = shutdown.hurried(), if !told => { told = true; leases.stop_all(); }
            () = &mut deadline, if !told => { told = true; leases.stop_all(); }
        }
    }
    registry::leave(&backend, &setup).await;
    Ok(())
}

async fn receive(
    backend: &Backend,
    setup: &WorkerSetup,
    leases: &Leases,
    slots: &Arc<Semaphore>,
    bots: &mut JoinSet<()>,
    shutdown: &Shutdown,
    asked: &CancellationToken,
) -> anyhow::Result<()> {
    loop {
        // The permit comes first: what is received is what fits.
        let permit = tokio::select! {
            biased;
            () = shutdown.drained() => return Ok(()),
            () = asked.cancelled() => return Ok(()),
            permit = slots.clone().acquire_owned() => permit.context("the slots are never closed")?,
        };
        while bots.try_join_next().is_some() {}
        let received = tokio::select! {
            biased;
            () = shutdown.drained() => return Ok(()),
            () = asked.cancelled() => return Ok(()),
            received = backend.queue.receive(Topic::Jobs, 1, MESSAGE_LEASE, WAIT) => received,
        };
        // Trouble with the queue is waited out: the calls that run have nothing to do with it.
        let received = match received {
            Ok(received) => received,
            Err(error) => {
                tracing::warn!(%error, "jobs cannot be received; trying again");
                tokio::time::sleep(QUEUE_RETRY).await;
                continue;
            }
        };
        let Some(delivery) = received.into_iter().next() else { continue };
        let stopped = async {
            tokio::select! {
                biased;
                () = shutdown.drained() => {}
                () = asked.cancelled() => {}
            }
        };
        match claim(backend, setup, leases, &delivery, stopped).await {
            Claimed::Session(session) => {
                // Held before the task runs, so that an order to everybody reaches this bot too.
                let holding = leases.hold(session.id, session.fencing, session.lease_until());
                acknowledge(backend, &delivery).await;
                let (backend, setup) = (backend.clone(), setup.clone());
                bots.spawn(async move {
                    attend::bot(&backend, &setup, holding, *session).await;
                    drop(permit);
                });
            }
            Claimed::Stale => acknowledge(backend, &delivery).await,
            Claimed::Poison(reason) => set_aside(backend, &delivery, &reason).await,
            Claimed::NotNow => release(backend, &delivery).await,
            Claimed::Elsewhere => {}
        }
    }
}

/// What became of a job.
enum Claimed {
    /// Its session is this worker's now.
    Session(Box<Session>),
    /// Its session is not there to be had.
    Stale,
    /// Trying again does not help.
    Poison(String),
    /// Somebody else's to do.
    NotNow,
    /// Its lease was lost: it comes again, to anybody.
    Elsewhere,
}

/// A job that comes again after its session was acquired is stale by its attempt, so a failure here costs nothing.
async fn acknowledge(backend: &Backend, delivery: &JobDelivery) {
    if let Err(error) = backend.queue.ack(&delivery.receipt).await {
        tracing::warn!(%error, "a job could not be acknowledged; it will come again, and be stale");
    }
}

async fn set_aside(backend: &Backend, delivery: &JobDelivery, reason: &str) {
    tracing::error!(bot = %delivery.job.bot(), reason, "a job is set aside; see `muster dlq list`");
    if let Err(error) = backend.queue.dead_letter(&delivery.receipt, reason).await {
        tracing::warn!(%error, "a job could not be set aside; it will come again");
    }
}

async fn release(backend: &Backend, delivery: &JobDelivery) {
    if let Err(error) = backend.queue.release(&delivery.receipt, Duration::ZERO).await {
        tracing::warn!(%error, "could not release a job; its lease will run out");
    }
}

/// Acquires the session of a job.
///
/// A store that is out of reach is waited for with the job in hand: it is no fault of the job, and must not count as one of
/// the few times that it may come. Only that wait ends when the worker is `stopped`.
async fn claim(
    backend: &Backend,
    setup: &WorkerSetup,
    leases: &Leases,
    delivery: &JobDelivery,
    stopped: impl Future<Output = ()>,
) -> Claimed {
    let mut stopped = std::pin::pin!(stopped);
    let Job::Run { bot, attempt } = delivery.job else {
        tracing::warn!(job = ?delivery.job, "a job that is not for workers was dropped");
        return Claimed::Stale;
    };
    if delivery.receives > MAX_RECEIVES {
        return Claimed::Poison(format!(
            "received {MAX_RECEIVES} times, and each time the worker ended before it could start it"
        ));
    }
    let input = Input::Acquire { owner: setup.id.clone(), ttl: setup.config.lease, attempt };
    // An answer that was lost may have been a yes.
    let mut unsure = false;
    loop {
        // A store may take longer than the message is held to say that it is out of reach.
        let asked = async {
            let mut apply = std::pin::pin!(backend.apply(bot, input.clone()));
            tokio::select! {
                biased;
                asked = &mut apply => asked,
                () = backend.queue.hold(&delivery.receipt, MESSAGE_LEASE) => apply.await,
            }
        };
        match asked.await {
            Ok(session) => return Claimed::Session(Box::new(session)),
            Err(ApplyError::Missing) => return Claimed::Stale,
            Err(ApplyError::Rejected(_)) if !unsure => return Claimed::Stale,
            Err(ApplyError::Rejected(_)) => match backend.store.get(bot).await {
                Ok(Some(session)) if is_own(&session, setup, leases, attempt) => {
                    return Claimed::Session(Box::new(session));
                }
                Ok(_) => return Claimed::Stale,
                Err(error) => tracing::warn!(%bot, %error, "a session cannot be read; trying again"),
            },
            // No number of tries mends it.
            Err(ApplyError::Store(error @ StoreError::Corrupt { .. })) => return Claimed::Poison(error.to_string()),
            Err(error) => {
                unsure = true;
                tracing::warn!(%bot, %error, "a session cannot be acquired; trying again");
            }
        }
        tokio::select! {
            biased;
            () = &mut stopped => return Claimed::NotNow,
            () = tokio::time::sleep(STORE_RETRY) => {}
        }
        if matches!(backend.queue.extend(&delivery.receipt, MESSAGE_LEASE).await, Err(QueueError::LeaseLost)) {
            return Claimed::Elsewhere;
        }
    }
}

/// True if this worker acquired the session for `attempt`, nobody heard of it, and nothing happened since.
fn is_own(session: &Session, setup: &WorkerSetup, leases: &Leases, attempt: u32) -> bool {
    session.state == State::Joining
        && session.attempt == attempt
        && session.lease.as_ref().is_some_and(|lease| lease.owner == setup.id)
        && !leases.holds(session.id, session.fencing)
}

/// What the bot process is told.
fn spec(setup: &WorkerSetup, session: &Session) -> Option<BotSpec> {
    let pack = setup.packs.source(&session.meeting.platform)?.to_owned();
    let loopback = is_loopback(&session.meeting.join_url);
    let streaming = session.media.streaming.as_ref();
    let speech = streaming.and_then(|plan| setup.engines.choose(&session.tenant, plan));
    if let Some(plan) = streaming {
        let engine = speech.as_ref().map_or("none", SpeechSpec::name);
        tracing::info!(bot = %session.id, provider = plan.provider, engine, "live words");
    }
    Some(BotSpec {
        bot: session.id,
        tenant: session.tenant.clone(),
        attempt: session.attempt,
        meeting: session.meeting.clone(),
        bot_name: session.bot_name.clone(),
        leave: what_is_left(session),
        media: session.media.clone(),
        custom_attributes: session.custom_attributes.clone(),
        pack,
        storage: setup.storage.clone(),
        segment_seconds: u32::try_from(setup.config.segment.as_secs()).unwrap_or(5).max(1),
        browser: muster_session::protocol::BrowserSpec {
            executable: setup.browser.executable.clone(),
            extra_args: setup.browser.extra_args.clone(),
            allow_loopback: loopback,
            profile_root: Some(setup.profile_root.clone()),
        },
        speech,
        allow_private: setup.allow_private.clone(),
        join_timeout_ms: u64::try_from(setup.config.join_timeout.as_millis()).unwrap_or(u64::MAX),
        capture_timeout_ms: u64::try_from(setup.config.capture_timeout.as_millis()).unwrap_or(u64::MAX),
        held_until: session.lease_until().filter(|_| setup.shared),
        simulated: setup.config.simulated,
    })
}

/// The leave rules, with the longest stay less by what a bot that comes back has used of it.
fn what_is_left(session: &Session) -> LeavePolicy {
    let mut leave = session.leave.clone();
    if let Some(admitted) = session.admitted_at {
        let used = u32::try_from(session.since.since(admitted).as_secs()).unwrap_or(u32::MAX);
        leave.in_call_recording_timeout = leave.in_call_recording_timeout.saturating_sub(used).max(1);
    }
    leave
}
