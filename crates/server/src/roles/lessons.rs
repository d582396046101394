//! What this process sees of how long bots take to join and how long they keep their places, and where the fleet keeps it.
//!
//! Whoever writes a session's steps measures: nobody else has to look for them. What was measured goes into a document of the
//! store from time to time. A process that dies takes some of it along, which costs nothing.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use muster_fleet::learned::Learned;
use muster_session::{BotId, Session, State, Timestamp};
use muster_store::{Document, SessionStore, StoreError};

use super::{Backend, documents};
use crate::supervise::Shutdown;

/// The document.
const NAME: &str = "learned";
/// How often what was measured is written down.
const EVERY: Duration = Duration::from_secs(10);
/// Measurements that wait for that, at most.
const MOST: usize = 1_024;
/// Whose worker took it later than this waited, though not in line: for a place, which setting out sooner does not mend.
const PICKED_UP: Duration = Duration::from_secs(10);
/// Tries to write while others do.
const TRIES: u32 = 4;

/// Of one process.
#[derive(Debug, Default)]
pub struct Lessons(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    /// Bots that this process took.
    with_us: BTreeMap<BotId, Taken>,
    leads: Vec<Duration>,
    stays: Vec<Duration>,
}

#[derive(Clone, Copy, Debug)]
struct Taken {
    at: Timestamp,
    /// When it was sent, unless that says nothing of how long it takes, or is told already.
    sent: Option<Timestamp>,
}

/// What is to be known of a session as it was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    pub(super) had_place: bool,
    state: State,
    since: Timestamp,
    /// It never waited in line, and this would be its first attempt.
    straight: bool,
}

impl Before {
    pub(super) fn of(session: &Session) -> Self {
        let waited = session.timeline.iter().any(|entry| entry.name == "Queued");
        let straight = session.attempt == 0 && !waited;
        Self { had_place: session.has_place(), state: session.state, since: session.since, straight }
    }
}

impl Lessons {
    /// A write was made.
    pub(super) fn heed(&self, before: Before, session: &Session) {
        let mut seen = self.lock();
        let bot = session.id;
        if !session.has_place() {
            if let (true, Some(taken)) = (before.had_place, seen.with_us.remove(&bot)) {
                keep(&mut seen.stays, session.since.since(taken.at));
            }
        } else if before.state == State::Queued && session.state == State::Joining {
            let at = session.since;
            let sent = (before.straight && at.since(before.since) <= PICKED_UP).then_some(before.since);
            // The first attempt took the place.
            let at = seen.with_us.get(&bot).map_or(at, |taken| taken.at);
            seen.with_us.insert(bot, Taken { at, sent });
        } else if before.state == State::Joining {
            let sent = seen.with_us.get_mut(&bot).and_then(|taken| taken.sent.take());
            let there = matches!(session.state, State::WaitingRoom | State::InMeeting);
            if let Some(sent) = sent.filter(|_| there) {
                keep(&mut seen.leads, session.since.since(sent));
            } else if session.state == State::Joining
                && let Some(taken) = seen.with_us.get_mut(&bot)
            {
                taken.sent = sent;
            }
        }
    }

    /// Bots of this process that are over without its doing: their places are another's to tell of.
    fn forget_old(&self, before: Timestamp) {
        self.lock().with_us.retain(|_, taken| taken.at > before);
    }

    fn take(&self) -> (Vec<Duration>, Vec<Duration>) {
        let mut seen = self.lock();
        (std::mem::take(&mut seen.leads), std::mem::take(&mut seen.stays))
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn keep(samples: &mut Vec<Duration>, sample: Duration) {
    if samples.len() < MOST {
        samples.push(sample);
    }
}

/// What the fleet has learned. One that cannot be read is begun again.
pub async fn learned(store: &dyn SessionStore) -> Result<Learned, StoreError> {
    Ok(store.document(NAME).await?.map(|document| read(&document)).unwrap_or_default())
}

fn read(document: &Document) -> Learned {
    serde_json::from_value(document.body.clone()).unwrap_or_else(|error| {
        tracing::warn!(%error, "what was learned of bots cannot be read; it is learned again");
        Learned::default()
    })
}

/// Writes down what was measured, until shutdown.
pub async fn keep_learning(backend: Backend, shutdown: Shutdown) -> anyhow::Result<()> {
    /// Longer than any call.
    const GONE: Duration = Duration::from_secs(86_400);
    loop {
        let ended = tokio::select! {
            biased;
            () = shutdown.ended() => true,
            () = tokio::time::sleep(EVERY) => false,
        };
        backend.lessons.forget_old(backend.clock.now() - GONE);
        if let Err(error) = write_down(&backend).await {
            tracing::debug!(%error, "what was learned of bots could not be written down; it is lost");
        }
        if ended {
            return Ok(());
        }
    }
}

/// Writes down what was measured since it was last asked to, if anything was.
pub async fn write_down(backend: &Backend) -> Result<(), StoreError> {
    let (leads, stays) = backend.lessons.take();
    if leads.is_empty() && stays.is_empty() {
        return Ok(());
    }
    let add = |learned: &mut Learned| {
        leads.iter().for_each(|lead| learned.record_lead(*lead));
        stays.iter().for_each(|stay| learned.record_stay(*stay));
    };
    documents::amend(&*backend.store, NAME, TRIES, read, add).await.map(drop)
}
