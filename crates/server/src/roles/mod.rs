//! What a server process does. Each part is a loop that waits and a step that works; they share nothing but the store,
//! the queue and the recordings.
//!
//! - [`relay`]: outbox → queue, at once after a commit, of which [`nudge`] tells it, and by sweep.
//! - [`worker`]: claims bots it has room for and supervises them.
//! - [`media`]: finalises recordings and makes transcripts.
//! - [`inbound`]: what webhooks that came in mean and cause.
//! - [`remote`]: bots that run in somebody else's cloud.
//! - [`admit`]: whether a bot is sent at once, waits in line, or is refused; [`line`](mod@line): who has how many places.
//! - [`autoscale`]: how many workers there are to be, in the process that leads.
//! - [`lessons`]: what is measured of bots.
//! - [`control`]: schedules, the line, stuck sessions, deadlines; [`retention`]: what was kept for long enough; [`leader`]: both in
//!   one process at a time.
//!
//! Webhook delivery is `muster_hooks::deliver`. A [`Role`] is what one process has of these. Media goes with webhooks: both
//! take jobs from the queue, so any number of processes can share the work, which what [`control`] does must not be.

pub mod admit;
pub mod autoscale;
pub mod control;
mod documents;
pub mod inbound;
mod jobs;
pub mod leader;
pub mod lessons;
pub mod line;
pub mod media;
pub mod nudge;
pub mod relay;
pub mod remote;
pub mod retention;
pub mod worker;

use std::fmt;
use std::sync::Arc;

use muster_queue::JobQueue;
use muster_session::{BotId, Input, Outcome, Rejected, Session, Timestamp};
use muster_store::{Commit, InboxEntry, PlaceChange, SessionStore, StoreError};

use self::lessons::{Before, Lessons};
use self::nudge::{News, Nudge};
use crate::clock::Clock;
use crate::config::Tiers;
use crate::endpoints::Endpoints;

/// What a process of the fleet does. The command line says which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// Everything in this process.
    All,
    /// The HTTP API, media links and sandbox meetings.
    Api,
    /// Bots. The only one that needs Chromium.
    Worker,
    /// Webhooks, recordings and transcripts.
    Hooks,
    /// Schedules, lost bots, deadlines, retention. One leads at a time, the others stand by.
    Control,
}

impl Role {
    /// True if this process does what `part` does.
    #[must_use]
    pub fn does(self, part: Self) -> bool {
        self == Self::All || self == part
    }

    /// As the command line has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Api => "api",
            Self::Worker => "worker",
            Self::Hooks => "hooks",
            Self::Control => "control",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What every role works with.
#[derive(Clone, Debug)]
pub struct Backend {
    /// Sessions.
    pub store: Arc<dyn SessionStore>,
    /// Jobs.
    pub queue: JobQueue,
    /// The time.
    pub clock: Clock,
    /// Tells the relay of commits with jobs or webhooks.
    pub nudge: Arc<Nudge>,
    /// Who is told of what happens, beside each bot's own address.
    pub endpoints: Endpoints,
    /// What each tenant may have.
    pub tiers: Tiers,
    /// What this process measures of bots.
    pub lessons: Arc<Lessons>,
}

/// What became of a webhook that came in.
#[derive(Debug)]
pub enum Observed {
    /// It changed its session.
    Applied,
    /// Its session refused it.
    Late(Rejected),
    /// It took effect before.
    Seen,
    /// There is no such session.
    Missing,
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
    /// Over these. Clones share the rest, too.
    #[must_use]
    pub fn new(store: Arc<dyn SessionStore>, queue: JobQueue, clock: Clock) -> Self {
        let (nudge, endpoints, tiers, lessons) = Default::default();
        Self { store, queue, clock, nudge, endpoints, tiers, lessons }
    }

    /// What is to be written, with everybody who is to be told of it, and with the place that it takes or frees: the session
    /// `had_place` when it was read. It takes none beyond what its tenant may have at a time.
    pub async fn commit_of(
        &self,
        had_place: bool,
        session: Session,
        outcome: Outcome,
        now: Timestamp,
    ) -> Result<Commit, StoreError> {
        let limit = self.tiers.of(&session.tenant).concurrency;
        let place = PlaceChange::between(had_place, &session, limit);
        let endpoints = match outcome.events.is_empty() {
            true => Arc::default(),
            false => self.endpoints.of(&*self.store, &session.tenant).await?,
        };
        Ok(Commit { endpoints, place, ..Commit::new(session, outcome, now) })
    }

    /// Applies what a webhook says to its session, all of it or nothing, and notes it in the inbox in the same write; again from
    /// the start when somebody else wrote in between.
    pub async fn observe(&self, bot: BotId, inputs: &[Input], entry: InboxEntry) -> Result<Observed, StoreError> {
        for _ in 0..CONFLICT_RETRIES {
            let Some(mut session) = self.store.get(bot).await? else { return Ok(Observed::Missing) };
            let (now, before) = (self.clock.now(), Before::of(&session));
            let mut outcome = Outcome::default();
            for (place, input) in inputs.iter().enumerate() {
                match session.apply(input.clone(), now) {
                    Ok(more) => {
                        outcome.events.extend(more.events);
                        outcome.jobs.extend(more.jobs);
                    }
                    // The first is what it says; the others only follow from it.
                    Err(rejected) if place == 0 => return Ok(Observed::Late(rejected)),
                    Err(_) => {}
                }
            }
            let commit = self.commit_of(before.had_place, session, outcome, now).await?;
            let news = News::of(&commit);
            match self.store.commit(Commit { inbox: Some(entry.clone()), ..commit }).await {
                Ok(_) => {
                    self.nudge.say(news);
                    return Ok(Observed::Applied);
                }
                Err(StoreError::Conflict) => {}
                Err(StoreError::Seen) => return Ok(Observed::Seen),
                Err(StoreError::Missing) => return Ok(Observed::Missing),
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Conflict)
    }

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
    pub async fn apply_to(&self, session: Session, input: Input) -> Result<Session, ApplyError> {
        let limit = self.tiers.of(&session.tenant).concurrency;
        self.apply_within(session, input, limit).await
    }

    /// The same where a place is taken only if fewer than `limit` are: [`StoreError::Full`] otherwise.
    pub async fn apply_within(
        &self,
        mut session: Session,
        input: Input,
        limit: Option<u64>,
    ) -> Result<Session, ApplyError> {
        let (now, before) = (self.clock.now(), Before::of(&session));
        let expired = matches!(input, Input::LeaseExpired);
        let lease_seen = session.lease.as_ref().filter(|_| expired).map(|lease| lease.until);
        let outcome = session.apply(input, now)?;
        let commit = self.commit_of(before.had_place, session, outcome, now).await.map_err(ApplyError::Store)?;
        let place = PlaceChange::between(before.had_place, &commit.session, limit);
        let commit = Commit { lease_seen, place, ..commit };
        let news = News::of(&commit);
        let session = self.store.commit(commit).await.map_err(|error| match error {
            StoreError::Missing => ApplyError::Missing,
            error => ApplyError::Store(error),
        })?;
        self.nudge.say(news);
        self.lessons.heed(before, &session);
        Ok(session)
    }
}
