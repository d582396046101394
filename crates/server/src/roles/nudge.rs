//! What a process tells its relay.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use muster_session::BotId;
use muster_store::{Commit, PlaceChange, addresses};
use tokio::sync::Notify;

/// The most bots that are kept in mind. Any more are found by the sweep.
const MOST_BOTS: usize = 65_536;

/// Wakes the relay of this process after a commit, and says what is to be published.
#[derive(Debug, Default)]
pub struct Nudge {
    wake: Notify,
    freed: Notify,
    news: Mutex<News>,
}

/// What was committed since it was last asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct News {
    /// There are jobs in the outbox.
    pub jobs: bool,
    /// Bots that have webhooks to deliver.
    pub bots: BTreeSet<BotId>,
    /// A tenant has a place less. Not kept: who gives places away is told at once.
    pub freed: bool,
}

impl News {
    /// What a commit leaves to be published.
    #[must_use]
    pub fn of(commit: &Commit) -> Self {
        let callback = commit.session.callback_url.as_ref();
        let told = commit.events.iter().any(|event| addresses(event, callback, &commit.endpoints).next().is_some());
        Self {
            jobs: !commit.jobs.is_empty(),
            bots: told.then_some(commit.session.id).into_iter().collect(),
            freed: commit.place == PlaceChange::Free,
        }
    }

    /// That a bot has webhooks to deliver.
    #[must_use]
    pub fn webhooks(bot: BotId) -> Self {
        Self { bots: BTreeSet::from([bot]), ..Self::default() }
    }

    /// True if there is nothing to publish.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.jobs && self.bots.is_empty()
    }
}

impl Nudge {
    /// Says that this was committed. What is committed already may be said; what is not must not.
    pub fn say(&self, news: News) {
        if news.freed {
            self.freed.notify_one();
        }
        if news.is_empty() {
            return;
        }
        {
            let mut known = self.lock();
            known.jobs |= news.jobs;
            if known.bots.len() < MOST_BOTS {
                known.bots.extend(news.bots);
            }
        }
        self.wake.notify_one();
    }

    /// Returns once something was said since the last call. Cancel safe.
    pub async fn said(&self) {
        self.wake.notified().await;
    }

    /// Returns once a place was freed since the last call. Cancel safe.
    pub async fn freed(&self) {
        self.freed.notified().await;
    }

    /// What was said since it was last taken.
    pub fn take(&self) -> News {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[tokio::test]
    async fn what_is_said_is_taken_once() {
        let nudge = Nudge::default();
        let bots = [1, 2].map(|id| BotId::from_uuid(Uuid::from_u128(id)));
        nudge.say(News::webhooks(bots[0]));
        nudge.say(News { jobs: true, ..News::default() });
        nudge.say(News::webhooks(bots[1]));
        nudge.say(News::webhooks(bots[0]));
        nudge.said().await;
        assert_eq!(nudge.take(), News { jobs: true, bots: bots.into(), freed: false });
        assert!(nudge.take().is_empty());
        nudge.say(News::default());
        assert!(futures_util::FutureExt::now_or_never(nudge.said()).is_none(), "there is nothing to hear");
    }
}
