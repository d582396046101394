//! What has been kept for long enough is removed: media, records, and webhooks that came in.
//!
//! A loop of its own, as a storage that is slow or away is to keep nobody waiting for a place or a worker. Of several processes the
//! one that leads does it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use futures_util::future::join_all;
use muster_session::{BotId, Input, Session, State, Timestamp};
use object_store::ObjectStore;
use tokio::time::{sleep, timeout};

use super::leader::Leadership;
use super::{Backend, control};
use crate::supervise::Shutdown;

/// Between two looks when nothing is left to do.
const TICK: Duration = Duration::from_secs(1);
/// After a look that came to nothing.
const PAUSE: Duration = Duration::from_secs(30);
const BATCH: usize = 256;
/// Sessions that are removed together.
const AT_A_TIME: usize = 16;
/// Longest removal of one; what is gone by then stays gone.
const PATIENCE: Duration = Duration::from_secs(60);
/// One that could not be removed is passed over for so long: those behind it are not to wait for it.
const AGAIN: Duration = Duration::from_secs(600);
/// So many are passed over at the most.
const MOST_PASSED: usize = 4_096;
/// How often it is looked which webhooks were kept for long enough.
const LOOK_AT_RECEIVED: Duration = Duration::from_secs(60);

/// Runs until shutdown. Webhooks that came in are kept for `keep_received`.
pub async fn run(
    backend: Backend,
    storage: Arc<dyn ObjectStore>,
    leadership: Leadership,
    keep_received: Duration,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let mut retention = Retention::default();
    let mut looked = backend.clock.now();
    loop {
        let mut pause = TICK;
        if leadership.holds() {
            let now = backend.clock.now();
            let received = now.since(looked) >= LOOK_AT_RECEIVED;
            let pass = async {
                if received {
                    forget_received(&backend, keep_received).await?;
                }
                retention.pass(&backend, &storage).await
            };
            let passed = tokio::select! {
                biased;
                () = shutdown.ended() => break,
                passed = pass => passed,
            };
            match passed {
                Ok(more) => {
                    pause = if more { Duration::ZERO } else { TICK };
                    looked = if received { now } else { looked };
                }
                Err(error) => {
                    tracing::warn!(
                        error = format!("{error:#}"),
                        "what was kept for long enough is still there; trying again"
                    );
                    pause = PAUSE;
                }
            }
        }
        tokio::select! {
            biased;
            () = shutdown.ended() => break,
            () = sleep(pause) => {}
        }
    }
    Ok(())
}

/// What the leader remembers of sessions that could not be removed.
#[derive(Debug, Default)]
pub struct Retention {
    /// Each is passed over until then.
    passed: HashMap<BotId, Timestamp>,
}

impl Retention {
    /// Removes the oldest of those whose time has come; true if there may be more. A crash in between repeats a step and loses
    /// nothing.
    ///
    /// # Errors
    ///
    /// If the store does not answer, or none of some that were tried together could be removed: then it is the storage, and
    /// the others are not tried now.
    pub async fn pass(&mut self, backend: &Backend, storage: &Arc<dyn ObjectStore>) -> anyhow::Result<bool> {
        let now = backend.clock.now();
        self.passed.retain(|_, until| *until > now);
        let limit = u32::try_from(BATCH + self.passed.len()).unwrap_or(u32::MAX);
        let mut expired = backend.store.expired(now, limit).await.context("looking for expired sessions")?;
        let more = expired.len() >= limit as usize;
        expired.retain(|session| !self.passed.contains_key(&session.id));
        let mut expired = expired.into_iter();
        loop {
            let together: Vec<Session> = expired.by_ref().take(AT_A_TIME).collect();
            if together.is_empty() {
                return Ok(more);
            }
            let tried = together.len();
            let removed = together.into_iter().map(|session| async {
                let bot = session.id;
                let removed = timeout(PATIENCE, remove(backend, storage, session)).await;
                (bot, removed.unwrap_or_else(|_| bail!("no answer within {PATIENCE:?}")))
            });
            let mut last = None;
            let mut failed = 0;
            for (bot, removed) in join_all(removed).await {
                let Err(error) = removed else { continue };
                tracing::warn!(%bot, error = format!("{error:#}"), "an expired session could not be removed; trying again later");
                if self.passed.len() < MOST_PASSED {
                    self.passed.insert(bot, now + AGAIN);
                }
                failed += 1;
                last = Some(error);
            }
            if let Some(error) = last.filter(|_| failed == tried) {
                return Err(error);
            }
        }
    }
}

/// Media first, then the notice, then the record.
async fn remove(backend: &Backend, storage: &Arc<dyn ObjectStore>, session: Session) -> anyhow::Result<()> {
    let bot = session.id;
    if session.state != State::Done {
        backend.store.delete(bot).await.context("deleting an expired record")?;
        return Ok(());
    }
    let prefix = crate::recordings::prefix(&session.tenant, bot);
    let objects = muster_recording::delete_all(storage, &prefix).await.context("deleting expired media")?;
    control::hand(backend, session, Input::MediaDeleted { objects }).await.context("saying that the media are gone")
}

/// Forgets webhooks that came in longer than `keep` ago.
///
/// # Errors
///
/// If the store does not answer.
pub async fn forget_received(backend: &Backend, keep: Duration) -> anyhow::Result<()> {
    let before = backend.clock.now() - keep;
    let batch = u32::try_from(BATCH).unwrap_or(u32::MAX);
    while backend.store.forget_received(before, batch).await.context("forgetting received webhooks")?
        >= u64::from(batch)
    {}
    Ok(())
}
