//! Many records: pages, lookups by time, counts.

use muster_session::{Session, State, TenantId, Timestamp};

use super::sessions::Sessions;
use crate::codec::Cursor;
use crate::{ListQuery, Page, StoreError};

/// Largest page.
const PAGE_MAX: u32 = 1_000;

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

    pub(super) fn count_by_state(&self, tenant: Option<&TenantId>) -> Vec<(State, u64)> {
        let counts: Vec<_> = match tenant {
            Some(tenant) => self.counts.get(tenant).into_iter().collect(),
            None => self.counts.values().collect(),
        };
        let count = |state| counts.iter().filter_map(|counts| counts.get(&state)).sum();
        State::ALL.map(|state| (state, count(state))).to_vec()
    }

    pub(super) fn page(&self, tenant: &TenantId, query: &ListQuery) -> Result<Page, StoreError> {
        let end = end(query)?;
        let limit = query.limit.clamp(1, PAGE_MAX) as usize;
        let (mut sessions, mut last) = (Vec::new(), None);
        let Some(places) = self.of_tenant.get(tenant) else { return Ok(Page { sessions, next: None }) };
        for (place, bot) in places.range(..end).rev() {
            if query.from.is_some_and(|from| place.0 < from) {
                break;
            }
            let Some(session) = self.get(*bot).filter(|session| is_wanted(session, query)) else { continue };
            // One too many: that is how it is known that there is a next page.
            if sessions.len() == limit {
                return Ok(Page { sessions, next: last.map(|cursor: Cursor| cursor.write()) });
            }
            sessions.push(session.clone());
            last = Some(Cursor { created_at: place.0.as_millis(), seq: place.1.cast_signed() });
        }
        Ok(Page { sessions, next: None })
    }
}

/// The place before which the newest record of the page is.
fn end(query: &ListQuery) -> Result<(Timestamp, u64), StoreError> {
    const AFTER_ALL: (Timestamp, u64) = (Timestamp::from_millis(i64::MAX), u64::MAX);
    let before = query.to.map_or(AFTER_ALL, |to| (to, 0));
    let Some(text) = &query.cursor else { return Ok(before) };
    let Cursor { created_at, seq } = Cursor::read(text).ok_or(StoreError::BadCursor)?;
    let seq = u64::try_from(seq).map_err(|_| StoreError::BadCursor)?;
    Ok(before.min((Timestamp::from_millis(created_at), seq)))
}

fn is_wanted(session: &Session, query: &ListQuery) -> bool {
    let on = |platform: &String| session.meeting.label.to_lowercase() == platform.to_lowercase();
    (query.states.is_empty() || query.states.contains(&session.state))
        && query.platform.as_ref().is_none_or(on)
        && query.attributes.iter().all(|(key, value)| session.custom_attributes.get(key) == Some(value))
}
