//! A bot is asked for: it is sent at once, waits in line, or is refused.

use std::time::Duration;

use muster_fleet::fair::eta;
use muster_fleet::learned::Learned;
use muster_session::{NewSession, Session, TenantId};
use muster_store::{Commit, CreateGuard, Created, PlaceChange, StoreError};

use super::line::{InLine, Standing, View};
use super::nudge::News;
use crate::config::{Beyond, Tier, Tiers};

/// The shortest and the longest time after which somebody who is refused is told to try again.
const SOON: Duration = Duration::from_secs(1);
const LATE: Duration = Duration::from_secs(3_600);

/// Why a bot is not there.
#[derive(Debug, thiserror::Error)]
pub enum NotAdmitted {
    /// Its tenant has as many as it may have, with those that wait, and wants no line.
    #[error("{limit} bots run or wait in line, which is as many as may")]
    Concurrency {
        /// How many that are.
        limit: u64,
        /// When it may be worth another try.
        retry_after: Duration,
    },
    /// As many wait in line as may.
    #[error("{limit} bots wait in line, which is as many as may")]
    Waiting {
        /// How many that are.
        limit: u64,
        /// When it may be worth another try.
        retry_after: Duration,
    },
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is known of its tenant when a bot is to set out.
#[derive(Clone, Copy, Debug)]
pub struct Own {
    tier: Tier,
    /// Most places that it may have taken so that one more bot can be sent at once.
    pub at_once: u64,
    held: u64,
    stay: Duration,
    capacity: u64,
}

impl Own {
    /// As the view has it.
    pub async fn ask(view: &View, tenant: &TenantId) -> Result<Self, StoreError> {
        view.ask(|standing, learned| Self::new(tenant, standing, learned, &view.backend().tiers)).await
    }

    fn new(tenant: &TenantId, standing: &Standing, learned: &Learned, tiers: &Tiers) -> Self {
        Self {
            tier: tiers.of(tenant),
            at_once: standing.at_once(tenant, tiers),
            held: standing.own(tenant, tiers).held,
            stay: learned.stay(),
            capacity: standing.line.capacity,
        }
    }

    /// Why another bot may not even wait, now that the store found no place for it beside the `taken` ones: the tenant wants no
    /// line, and has as many as it may have at a time, with those that wait. How many these are may be a second old.
    #[must_use]
    pub fn refusal(&self, taken: u64) -> Option<NotAdmitted> {
        let limit = self.tier.concurrency.filter(|_| self.tier.beyond == Beyond::Refuse)?;
        // So many calls have to end before the one whose place is wanted.
        let ahead = taken.saturating_add(self.held).checked_sub(limit)?;
        Some(NotAdmitted::Concurrency { limit, retry_after: later(ahead, taken, self.stay) })
    }

    fn is_long(&self) -> bool {
        self.held >= self.tier.max_waiting
    }

    fn too_long(&self) -> Option<NotAdmitted> {
        let places = self.tier.concurrency.map_or(self.capacity, |limit| limit.min(self.capacity));
        let wait = NotAdmitted::Waiting { limit: self.tier.max_waiting, retry_after: later(0, places, self.stay) };
        self.is_long().then_some(wait)
    }
}

/// When it may be worth another try.
fn later(ahead: u64, places: u64, stay: Duration) -> Duration {
    eta(ahead, places, stay).clamp(SOON, LATE)
}

/// Takes a place in line for a bot of this tenant, unless it may not even wait.
pub async fn line_up(
    view: &View,
    tenant: &TenantId,
    refusal: impl FnOnce(&Own) -> Option<NotAdmitted>,
) -> Result<InLine, NotAdmitted> {
    let tiers = &view.backend().tiers;
    view.line_up(tenant, |standing, learned| refusal(&Own::new(tenant, standing, learned, tiers))).await
}

/// Makes a session. Nobody has more places than its tenant may, however many ask at once; whether there is one is found by the
/// write itself.
pub async fn create(view: &View, new: NewSession, guard: CreateGuard) -> Result<Created, NotAdmitted> {
    let backend = view.backend();
    let now = backend.clock.now();
    let (session, outcome) = Session::create(new.clone(), now);
    let mut commit = backend.commit_of(false, session, outcome, now).await?;
    if commit.place == PlaceChange::Keep {
        return Ok(make(view, commit, guard).await?);
    }
    let own = Own::ask(view, &new.tenant).await?;
    let mut full = None;
    // Who is going to be refused may have been here before: the store looks for that first.
    if own.at_once > 0 || own.is_long() || own.tier.beyond == Beyond::Refuse {
        commit.place = PlaceChange::Take { limit: Some(own.at_once) };
        match make(view, commit, guard.clone()).await {
            Err(StoreError::Full { taken }) => full = Some(taken),
            made => return Ok(made?),
        }
    }
    // Others that were asked for meanwhile may wait by now.
    let refusal = |own: &Own| full.and_then(|taken| own.refusal(taken)).or_else(|| own.too_long());
    let place = line_up(view, &new.tenant, refusal).await?;
    let (session, outcome) = Session::create_held(new, now);
    let commit = backend.commit_of(false, session, outcome, now).await?;
    let created = make(view, commit, guard).await?;
    if matches!(created, Created::New(_)) {
        place.written();
    }
    Ok(created)
}

async fn make(view: &View, commit: Commit, guard: CreateGuard) -> Result<Created, StoreError> {
    let (news, place) = (News::of(&commit), commit.place);
    let created = view.backend().store.create(commit, guard).await?;
    if let Created::New(session) = &created {
        view.backend().nudge.say(news);
        if place != PlaceChange::Keep {
            view.sent(&session.tenant);
        }
    }
    Ok(created)
}
