//! Schedules, the line for places, stuck sessions, deadlines.
//!
//! Every decision is the session machine's; this role only finds the sessions, by index, and hands them the input. A
//! session that changed in between refuses the input, which is harmless. Of several processes the one that leads does it.

mod places;
mod schedule;

use std::time::Duration;

use anyhow::Context;
use muster_session::{Input, Session};
use muster_store::StoreError;

use super::leader::Leadership;
use super::{ApplyError, Backend};
use crate::backends::clock;
use crate::supervise::Shutdown;

pub use self::schedule::Schedule;

const TICK: Duration = Duration::from_millis(500);
const BATCH: u32 = 256;
/// Writes that are made together.
const AT_A_TIME: usize = 16;

/// A pass this long after the last good one means that the machine stood still or the store was away: workers get time to
/// renew first.
const STALL: Duration = Duration::from_secs(5);

/// Leases are by the clocks of workers, which may be behind by this before anybody is told: so long a lease is left alone
/// after its end, as a bot that was not told of a renewal may still be on its way out.
const CLOCKS_DIFFER: Duration = clock::NOTICED;

/// A worker that was not heard of for so long is forgotten.
const FORGET_WORKERS: Duration = Duration::from_secs(3_600);
/// How often that is looked at.
const LOOK_AT_WORKERS: Duration = Duration::from_secs(60);

/// Runs until shutdown.
pub async fn run(backend: Backend, leadership: Leadership, shutdown: Shutdown) -> anyhow::Result<()> {
    let mut last = backend.clock.now();
    let mut looked = last;
    let mut schedule = Schedule::default();
    loop {
        let now = backend.clock.now();
        if now.since(last) > STALL {
            tracing::warn!(seconds = now.since(last).as_secs(), "time was lost; leases are looked at after a pause");
            tokio::time::sleep(STALL).await;
        }
        let mut passed = Ok(());
        if leadership.holds() {
            passed = step(&backend, &mut schedule).await;
            if passed.is_ok() && now.since(looked) >= LOOK_AT_WORKERS {
                passed = forget_workers(&backend).await;
                looked = now;
            }
        }
        match passed {
            Ok(()) => last = backend.clock.now(),
            // Time that the store was away is lost as well: workers could not renew either.
            Err(error) => tracing::warn!(error = format!("{error:#}"), "sessions could not be looked at; trying again"),
        }
        let mut tick = std::pin::pin!(tokio::time::sleep(TICK));
        loop {
            tokio::select! {
                biased;
                () = &mut tick => break,
                () = shutdown.ended() => return Ok(()),
                () = backend.nudge.freed(), if leadership.holds() => {
                    match give_places(&backend).await {
                        Ok(()) => last = backend.clock.now(),
                        Err(error) => {
                            tracing::warn!(error = format!("{error:#}"), "places could not be given; trying again");
                        }
                    }
                }
            }
        }
    }
}

async fn give_places(backend: &Backend) -> anyhow::Result<()> {
    let loads = backend.store.loads().await.context("looking at the line")?;
    places::give(backend, &loads).await
}

/// One pass over everything that time alone changes.
pub async fn step(backend: &Backend, schedule: &mut Schedule) -> anyhow::Result<()> {
    // Who waits in line was there before those that set out now. What is in the way of one part is not in that of the others.
    let given = give_places(backend).await;
    let set_out = schedule.set_out(backend).await;
    look_after(backend).await.and(given).and(set_out)
}

/// Sessions that nobody else ends.
async fn look_after(backend: &Backend) -> anyhow::Result<()> {
    let now = backend.clock.now();
    for session in backend.store.lease_expired(now - CLOCKS_DIFFER, BATCH).await.context("looking for lost sessions")? {
        let owner = session.lease.as_ref().map(|lease| lease.owner.to_string()).unwrap_or_default();
        // Read again: a worker may have renewed it since, and then the machine refuses.
        let (bot, state) = (session.id, session.state);
        match backend.apply(bot, Input::LeaseExpired).await {
            Ok(_) => tracing::warn!(%bot, worker = owner, state = state.as_str(), "lease ran out"),
            Err(ApplyError::Missing | ApplyError::Rejected(_) | ApplyError::Store(StoreError::Conflict)) => {}
            Err(error) => tracing::warn!(%bot, %error, "a lost lease could not be ended; trying again"),
        }
    }
    for session in backend.store.overdue(now, BATCH).await.context("looking for overdue sessions")? {
        tracing::warn!(bot = %session.id, state = session.state.as_str(), since = %session.since, "state lasted too long");
        let bot = session.id;
        if let Err(error) = hand(backend, session, Input::DeadlinePassed).await {
            tracing::warn!(%bot, error = format!("{error:#}"), "an overdue session could not be ended; trying again");
        }
    }
    Ok(())
}

/// A worker that ends says so; this is for those that could not.
pub async fn forget_workers(backend: &Backend) -> anyhow::Result<()> {
    let now = backend.clock.now();
    for worker in backend.store.workers().await.context("looking for workers")? {
        if now.since(worker.record.seen_at) >= FORGET_WORKERS {
            tracing::warn!(worker = %worker.record.id, host = worker.record.host, "not heard of for long; forgotten");
            backend.store.forget_worker(&worker.record.id).await.context("forgetting a worker")?;
        }
    }
    Ok(())
}

/// Gives a session an input. One that changed since it was read refuses it, which is as good.
pub(super) async fn hand(backend: &Backend, session: Session, input: Input) -> anyhow::Result<()> {
    match backend.apply_to(session, input).await {
        Ok(_) | Err(ApplyError::Missing | ApplyError::Rejected(_) | ApplyError::Store(StoreError::Conflict)) => Ok(()),
        Err(error) => Err(error).context("moving a session on"),
    }
}
