//! A bot is asked for: it is sent at once, waits in line, or is refused.

use std::time::Duration;

use muster_fleet::fair::eta;
use muster_session::{NewSession, Session};
use muster_store::{Commit, CreateGuard, Created, PlaceChange, StoreError};

use super::line::View;
use super::nudge::News;
use crate::config::Beyond;

/// The shortest and the longest time after which somebody who is refused is told to try again.
const SOON: Duration = Duration::from_secs(1);
const LATE: Duration = Duration::from_secs(3_600);

/// Why a bot is not there.
#[derive(Debug, thiserror::Error)]
pub enum NotAdmitted {
    /// Its tenant has as many as it may have, and wants no line.
    #[error("all {limit} bots that may run at a time do")]
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

/// What is known of its tenant when a bot is asked for.
struct Own {
    at_once: u64,
    held: u64,
    stay: Duration,
    capacity: u64,
}

/// Makes a session. Nobody has more places than its tenant may, however many ask at once; whether there is one is found by the
/// write itself.
pub async fn create(view: &View, new: NewSession, guard: CreateGuard) -> Result<Created, NotAdmitted> {
    let backend = view.backend();
    let (now, tier) = (backend.clock.now(), backend.tiers.of(&new.tenant));
    let tenant = new.tenant.clone();
    let (session, outcome) = Session::create(new.clone(), now);
    let mut commit = backend.commit_of(false, session, outcome, now).await?;
    if commit.place == PlaceChange::Keep {
        return Ok(make(view, commit, guard).await?);
    }
    let own = view
        .ask(|standing, learned| Own {
            at_once: standing.at_once(&tenant, &backend.tiers),
            held: standing.own(&tenant, &backend.tiers).held,
            stay: learned.stay(),
            capacity: standing.line.capacity,
        })
        .await?;
    let is_long = own.held >= tier.max_waiting;
    // Who is going to be refused may have been here before: the store looks for that first.
    if own.at_once > 0 || is_long || tier.beyond == Beyond::Refuse {
        commit.place = PlaceChange::Take { limit: Some(own.at_once) };
        match make(view, commit, guard.clone()).await {
            Err(StoreError::Full { taken }) => {
                let limit = tier.concurrency.filter(|limit| tier.beyond == Beyond::Refuse && taken >= *limit);
                if let Some(limit) = limit {
                    let retry_after = eta(own.held, limit, own.stay).clamp(SOON, LATE);
                    return Err(NotAdmitted::Concurrency { limit, retry_after });
                }
            }
            made => return Ok(made?),
        }
    }
    if is_long {
        let retry_after =
            eta(0, tier.concurrency.map_or(own.capacity, |limit| limit.min(own.capacity)), own.stay).clamp(SOON, LATE);
        return Err(NotAdmitted::Waiting { limit: tier.max_waiting, retry_after });
    }
    let (session, outcome) = Session::create_held(new, now);
    let commit = backend.commit_of(false, session, outcome, now).await?;
    Ok(make(view, commit, guard).await?)
}

async fn make(view: &View, commit: Commit, guard: CreateGuard) -> Result<Created, StoreError> {
    let (news, held, place) = (News::of(&commit), commit.session.held, commit.place);
    let created = view.backend().store.create(commit, guard).await?;
    if let Created::New(session) = &created {
        view.backend().nudge.say(news);
        if held || place != PlaceChange::Keep {
            view.add(&session.tenant, !held);
        }
    }
    Ok(created)
}
