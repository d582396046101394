//! Many records: pages, lookups by time, counts.

use muster_session::{Session, State, TenantId, Timestamp};

use super::sessions::Sessions;
use super::{cursor, end};
use crate::codec;
use crate::{ListQuery, Page, StoreError};

/// Times that are looked for: positions in [`times`].
pub(super) const DUE: usize = 0;
pub(super) const LEASE_EXPIRED: usize = 1;
pub(super) const OVERDUE: usize = 2;
pub(super) const EXPIRED: usize = 3;
pub(super) const TIMES: usize = 4;

/// When a session is to be found, for each of the reasons.
pub(super) fn times(session: &Session) -> [Option<Timestamp>; TIMES] {
    [
        session.join_at.filter(|_| session.state == State::Scheduled),
        session.lease_until(),
        session.deadline(),
        session.state.is_terminal().then_some(session.expires_at),
    ]
}

impl Sessions {
    /// Sessions whose time has come, oldest first.
    pub(super) fn reached(&self, time: usize, now: Timestamp, limit: u32) -> Vec<Session> {
        let reached = self.by_time[time].iter().take_while(|(at, ..)| *at <= now).take(limit as usize);
        reached.filter_map(|(.., bot)| self.get(*bot).cloned()).collect()
    }

    pub(super) fn count_due(&self, before: Timestamp) -> u64 {
        self.by_time[DUE].iter().take_while(|(at, ..)| *at <= before).count() as u64
    }

    pub(super) fn count_by_state(&self, tenant: Option<&TenantId>) -> Vec<(State, u64)> {
        let counts: Vec<_> = match tenant {
            Some(tenant) => self.counts.get(tenant).into_iter().collect(),
            None => self.counts.values().collect(),
        };
        let count = |state| counts.iter().filter_map(|counts| counts.get(&state)).sum();
        State::ALL.map(|state| (state, count(state))).to_vec()
    }

    pub(super) fn page(&self, tenant: &TenantId, query: &ListQuery) -> Result<Page, StoreError> {
        let end = end(query.to, query.cursor.as_deref())?;
        let Some(places) = self.of_tenant.get(tenant) else { return Ok(Page { sessions: Vec::new(), next: None }) };
        let newest_first = places.range(..end).rev();
        let newest_first = newest_first.take_while(|(place, _)| query.from.is_none_or(|from| place.0 >= from));
        let found = newest_first.filter_map(|(place, bot)| {
            let session = self.get(*bot).filter(|session| is_wanted(session, query))?;
            Some(Ok((cursor(*place), session.clone())))
        });
        let (sessions, next) = codec::page(found, query.limit)?;
        Ok(Page { sessions, next })
    }
}

fn is_wanted(session: &Session, query: &ListQuery) -> bool {
    let on = |platform: &String| session.meeting.label.to_lowercase() == platform.to_lowercase();
    (query.states.is_empty() || query.states.contains(&session.state))
        && query.platform.as_ref().is_none_or(on)
        && query.attributes.iter().all(|(key, value)| session.custom_attributes.get(key) == Some(value))
}
