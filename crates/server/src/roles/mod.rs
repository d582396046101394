//! What a server process does. Each role is a loop that waits and a step that works; they share nothing but the store,
//! the queue and the recordings.
//!
//! - [`relay`]: outbox → queue, at once after a commit and by sweep.
//! - [`worker`]: claims bots it has room for and supervises them.
//! - [`media`]: finalises recordings and makes transcripts.
//! - [`control`]: schedules, stuck sessions, deadlines, retention.
//!
//! Webhook delivery is `muster_hooks::deliver`.

pub mod control;
pub mod media;
pub mod relay;
pub mod worker;

use std::sync::Arc;

use muster_queue::JobQueue;
use muster_session::{BotId, Input, Rejected, Session};
use muster_store::{Commit, SessionStore, StoreError};
use tokio::sync::Notify;

use crate::clock::Clock;

/// What every role works with.
#[derive(Clone, Debug)]
pub struct Backend {
    /// Sessions.
    pub store: Arc<dyn SessionStore>,
    /// Jobs.
    pub queue: JobQueue,
    /// The time.
    pub clock: Clock,
    /// Wakes the relay after a commit with jobs or events.
    pub nudge: Arc<Notify>,
}

/// Why an input did not change a session.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// There is no such session (any more).
    #[error("there is no such session")]
    Missing,
    /// The machine refused it.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// The store did not answer.
    #[error(transparent)]
    Store(StoreError),
}

/// Races between writers of one record are rare and short; more than this many in a row is something else.
const CONFLICT_RETRIES: u32 = 32;

impl Backend {
    /// Reads the session, applies `input`, commits; again from the start when somebody else wrote in between.
    pub async fn apply(&self, bot: BotId, input: Input) -> Result<Session, ApplyError> {
        for _ in 0..CONFLICT_RETRIES {
            let session = self.store.get(bot).await.map_err(ApplyError::Store)?.ok_or(ApplyError::Missing)?;
            match self.apply_to(session, input.clone()).await {
                Err(ApplyError::Store(StoreError::Conflict)) => {}
                other => return other,
            }
        }
        Err(ApplyError::Store(StoreError::Conflict))
    }

    /// Applies `input` to a record as it was read; a conflict is the caller's to handle.
    pub async fn apply_to(&self, mut session: Session, input: Input) -> Result<Session, ApplyError> {
        let now = self.clock.now();
        let expired = matches!(input, Input::LeaseExpired);
        let lease_seen = session.lease.as_ref().filter(|_| expired).map(|lease| lease.until);
        let outcome = session.apply(input, now)?;
        let wake = !outcome.jobs.is_empty() || !outcome.events.is_empty();
        let commit = Commit { lease_seen, ..Commit::new(session, outcome, now) };
        let session = self.store.commit(commit).await.map_err(|error| match error {
            StoreError::Missing => ApplyError::Missing,
            error => ApplyError::Store(error),
        })?;
        if wake {
            self.nudge.notify_one();
        }
        Ok(session)
    }
}
