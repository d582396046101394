//! Schedules, stuck sessions, deadlines, retention.
//!
//! Every decision is the session machine's; this role only finds the sessions, by index, and hands them the input. A
//! session that changed in between refuses the input, which is harmless.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use muster_session::{Input, Session, State};
use muster_store::StoreError;
use object_store::ObjectStore;

use super::{ApplyError, Backend};
use crate::supervise::Shutdown;

const TICK: Duration = Duration::from_millis(500);
const BATCH: u32 = 256;

/// Runs until shutdown.
pub async fn run(backend: Backend, storage: Arc<dyn ObjectStore>, shutdown: Shutdown) -> anyhow::Result<()> {
    loop {
        step(&backend, &storage).await?;
        tokio::select! {
            () = tokio::time::sleep(TICK) => {}
            () = shutdown.ended() => return Ok(()),
        }
    }
}

/// One pass over everything that time alone changes.
pub async fn step(backend: &Backend, storage: &Arc<dyn ObjectStore>) -> anyhow::Result<()> {
    let now = backend.clock.now();
    for session in backend.store.due(now, BATCH).await.context("looking for due sessions")? {
        hand(backend, session, Input::Due).await?;
    }
    for session in backend.store.lease_expired(now, BATCH).await.context("looking for lost sessions")? {
        let owner = session.lease.as_ref().map(|lease| lease.owner.to_string()).unwrap_or_default();
        tracing::warn!(bot = %session.id, worker = owner, state = session.state.as_str(), "lease ran out");
        hand(backend, session, Input::LeaseExpired).await?;
    }
    for session in backend.store.overdue(now, BATCH).await.context("looking for overdue sessions")? {
        tracing::warn!(bot = %session.id, state = session.state.as_str(), since = %session.since, "state lasted too long");
        hand(backend, session, Input::DeadlinePassed).await?;
    }
    for session in backend.store.expired(now, BATCH).await.context("looking for expired sessions")? {
        expire(backend, storage, session).await?;
    }
    Ok(())
}

async fn hand(backend: &Backend, session: Session, input: Input) -> anyhow::Result<()> {
    match backend.apply_to(session, input).await {
        Ok(_) | Err(ApplyError::Missing | ApplyError::Rejected(_) | ApplyError::Store(StoreError::Conflict)) => Ok(()),
        Err(error) => Err(error).context("moving a session on"),
    }
}

/// Media first, then the notice, then the record: a crash in between repeats the step and loses nothing.
async fn expire(backend: &Backend, storage: &Arc<dyn ObjectStore>, session: Session) -> anyhow::Result<()> {
    let bot = session.id;
    if session.state == State::Done {
        let prefix = crate::recordings::prefix(&session.tenant, bot);
        let objects = muster_recording::delete_all(storage, &prefix).await.context("deleting expired media")?;
        hand(backend, session, Input::MediaDeleted { objects }).await?;
        return Ok(());
    }
    backend.store.delete(bot).await.context("deleting an expired record")?;
    Ok(())
}
