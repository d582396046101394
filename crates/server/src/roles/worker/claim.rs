//! From a message to a session that is this worker's.

use std::time::Duration;

use muster_fleet::cost::Cost;
use muster_queue::{JobDelivery, QueueError};
use muster_session::job::Job;
use muster_session::{BotId, Input, Session, State};
use muster_store::StoreError;

use super::room::Seat;
use super::{MESSAGE_LEASE, STORE_RETRY, Worker};
use crate::roles::{ApplyError, Backend};

/// A job that comes more often than this ends whoever takes it.
const MAX_RECEIVES: u32 = 5;
/// Before a job that does not fit here comes again, to anybody.
const NO_ROOM: Duration = Duration::from_millis(250);
/// The same for one that will never fit here.
const TOO_SMALL: Duration = Duration::from_secs(2);

/// What became of a job.
pub(super) enum Claimed {
    /// Its session is this worker's now, and there is room for its bot.
    Session(Box<Session>, Seat),
    /// Its session is not there to be had.
    Stale,
    /// Trying again does not help.
    Poison(String),
    /// Its bot would cost this, for which there is no room. It was not acquired.
    NoRoom(Cost),
    /// Somebody else's to do.
    NotNow,
    /// Its lease was lost: it comes again, to anybody.
    Elsewhere,
}

/// What became of one try to acquire a session.
enum Acquired {
    Session(Box<Session>),
    Missing,
    NoRoom(Cost),
}

/// A job that comes again after its session was acquired is stale by its attempt, so a failure here costs nothing.
pub(super) async fn acknowledge(backend: &Backend, delivery: &JobDelivery) {
    if let Err(error) = backend.queue.ack(&delivery.receipt).await {
        tracing::warn!(%error, "a job could not be acknowledged; it will come again, and be stale");
    }
}

pub(super) async fn set_aside(backend: &Backend, delivery: &JobDelivery, reason: &str) {
    tracing::error!(bot = %delivery.job.bot(), reason, "a job is set aside; see `muster dlq list`");
    if let Err(error) = backend.queue.dead_letter(&delivery.receipt, reason).await {
        tracing::warn!(%error, "a job could not be set aside; it will come again");
    }
}

pub(super) async fn release(backend: &Backend, delivery: &JobDelivery) {
    if let Err(error) = backend.queue.release(&delivery.receipt, Duration::ZERO).await {
        tracing::warn!(%error, "could not release a job; its lease will run out");
    }
}

/// Puts a job back that does not fit here, as a new message: how often it was received says how often its worker ended, and
/// here none did. One that is there twice for a moment is stale once.
pub(super) async fn put_back(worker: &Worker, delivery: &JobDelivery, cost: Cost) {
    let delay = if worker.room.is_too_small_for(cost) { TOO_SMALL } else { NO_ROOM };
    match worker.backend.queue.send(&delivery.job, delay, None).await {
        Ok(()) => acknowledge(&worker.backend, delivery).await,
        Err(error) => tracing::warn!(%error, "could not put a job back; its lease will run out"),
    }
}

/// Acquires the session of a job, if there is room for its bot: a seat is taken before.
///
/// A store that is out of reach is waited for with the job in hand: it is no fault of the job, and must not count as one of
/// the few times that it may come. Only that wait ends when the worker is `stopped`.
pub(super) async fn claim(worker: &Worker, delivery: &JobDelivery, stopped: impl Future<Output = ()>) -> Claimed {
    let mut stopped = std::pin::pin!(stopped);
    let backend = &worker.backend;
    let Job::Run { bot, attempt } = delivery.job else {
        tracing::warn!(job = ?delivery.job, "a job that is not for workers was dropped");
        return Claimed::Stale;
    };
    if delivery.receives > MAX_RECEIVES {
        return Claimed::Poison(format!(
            "received {MAX_RECEIVES} times, and each time the worker ended before it could start it"
        ));
    }
    let mut seat = None;
    // An answer that was lost may have been a yes.
    let mut unsure = false;
    loop {
        // A store may take longer than the message is held to say that it is out of reach.
        let asked = async {
            let mut acquiring = std::pin::pin!(acquire(worker, bot, attempt, &mut seat));
            tokio::select! {
                biased;
                asked = &mut acquiring => asked,
                () = backend.queue.hold(&delivery.receipt, MESSAGE_LEASE) => acquiring.await,
            }
        };
        match (asked.await, seat.take()) {
            (Ok(Acquired::Session(session)), Some(seat)) => return Claimed::Session(session, seat),
            (Ok(Acquired::NoRoom(cost)), _) => return Claimed::NoRoom(cost),
            (Ok(_) | Err(ApplyError::Missing), _) => return Claimed::Stale,
            (Err(ApplyError::Rejected(_)), Some(taken)) if unsure => match backend.store.get(bot).await {
                Ok(Some(session)) if is_own(worker, &session, attempt) => {
                    return Claimed::Session(Box::new(session), taken);
                }
                Ok(_) => return Claimed::Stale,
                Err(error) => {
                    tracing::warn!(%bot, %error, "a session cannot be read; trying again");
                    seat = Some(taken);
                }
            },
            (Err(ApplyError::Rejected(_)), _) => return Claimed::Stale,
            // No number of tries mends it.
            (Err(ApplyError::Store(error @ (StoreError::Corrupt { .. } | StoreError::TooLarge { .. }))), _) => {
                return Claimed::Poison(error.to_string());
            }
            (Err(error), taken) => {
                unsure |= taken.is_some();
                seat = taken;
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

/// Reads the session, takes a seat for its bot unless there is one, and acquires it.
async fn acquire(worker: &Worker, bot: BotId, attempt: u32, seat: &mut Option<Seat>) -> Result<Acquired, ApplyError> {
    let backend = &worker.backend;
    let Some(session) = backend.store.get(bot).await.map_err(ApplyError::Store)? else {
        return Ok(Acquired::Missing);
    };
    if seat.is_none() {
        match worker.room.reserve(&session) {
            Ok(taken) => *seat = Some(taken),
            // Nobody is to wait for room for one that is over.
            Err(_) if !waits(&session, attempt) => return Ok(Acquired::Missing),
            Err(cost) => return Ok(Acquired::NoRoom(cost)),
        }
    }
    let input = Input::Acquire { owner: worker.setup.id.clone(), ttl: worker.setup.config.lease, attempt };
    match backend.apply_to(session, input.clone()).await {
        // Somebody wrote in between.
        Err(ApplyError::Store(StoreError::Conflict)) => backend.apply(bot, input).await,
        acquired => acquired,
    }
    .map(|session| Acquired::Session(Box::new(session)))
}

/// True if this attempt of a session is still to begin, here or at another worker.
fn waits(session: &Session, attempt: u32) -> bool {
    session.state == State::Queued && !session.held && session.remote.is_none() && attempt == session.attempt + 1
}

/// True if this worker acquired the session for `attempt`, nobody heard of it, and nothing happened since.
fn is_own(worker: &Worker, session: &Session, attempt: u32) -> bool {
    session.state == State::Joining
        && session.attempt == attempt
        && session.lease.as_ref().is_some_and(|lease| lease.owner == worker.setup.id)
        && !worker.leases.holds(session.id, session.fencing)
}
