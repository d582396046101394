//! Many records: pages, lookups by time, counts.

use muster_redis::cmd;
use muster_session::{Session, State, TenantId, Timestamp};

use super::filling::Filling;
use super::sessions::{Raw, decode, padded_number, padded_time, unpadded_time};
use super::{RedisStore, arguments, scripts};
use crate::codec::{Cursor, corrupt, has_attributes, parse};
use crate::{ListQuery, Page, StoreError};

/// Names of times for [`reached`].
pub(super) const DUE: &str = "due";
pub(super) const LEASE_EXPIRED: &str = "lease";
pub(super) const OVERDUE: &str = "deadline";
pub(super) const EXPIRED: &str = "retire";

/// Sessions whose time of this name has come, oldest first.
pub(super) async fn reached(
    store: &RedisStore,
    name: &'static str,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<Session>, StoreError> {
    let fill = arguments(|script| script.arg(name).arg(now.as_millis()).arg(limit));
    let found: Vec<Raw> = store.script(&scripts::REACHED, fill).await?;
    found.into_iter().filter_map(|raw| decode(raw).transpose()).collect()
}

pub(super) async fn count_due(store: &RedisStore, before: Timestamp) -> Result<u64, StoreError> {
    let mut count = cmd("ZCOUNT");
    count.arg(store.key(&format!(":at:{DUE}"))).arg("-inf").arg(before.as_millis());
    Ok(store.link.run(&count).await?)
}

pub(super) async fn count_by_state(
    store: &RedisStore,
    tenant: Option<&TenantId>,
) -> Result<Vec<(State, u64)>, StoreError> {
    let fill = arguments(|script| {
        script.arg(u8::from(tenant.is_some())).arg(tenant.map_or("", TenantId::as_str));
        for state in State::ALL {
            script.arg(state.as_str());
        }
        script
    });
    let counts: Vec<u64> = store.script(&scripts::COUNT, fill).await?;
    Ok(State::ALL.into_iter().zip(counts).collect())
}

/// Where to look on, and of each record its place and what is stored.
type Looked = (String, Vec<(String, Raw)>);

pub(super) async fn page(store: &RedisStore, tenant: &TenantId, query: &ListQuery) -> Result<Page, StoreError> {
    let filtered = query.platform.is_some() || !query.attributes.is_empty();
    let last = query.cursor.as_deref().map(|text| Cursor::read(text).ok_or(StoreError::BadCursor)).transpose()?;
    let mut filling = Filling::new(query.limit, filtered, newest_end(query.to, last)?);
    let oldest = oldest_end(query.from);
    while let Some((look, newest)) = filling.next_look() {
        let fill = arguments(|script| {
            script.arg(tenant.as_str()).arg(look).arg(newest).arg(&oldest);
            script.arg(query.platform.as_deref().unwrap_or_default().to_lowercase());
            for state in states(query) {
                script.arg(state);
            }
            script
        });
        let (seen, rows): Looked = store.script(&scripts::PAGE, fill).await?;
        for (place, raw) in rows {
            let wanted = match raw.first() {
                Some(Some(record)) => has_attributes(record, &query.attributes)?,
                _ => false,
            };
            if let Some(session) = if wanted { decode(raw)? } else { None } {
                filling.add(place, session);
            }
        }
        filling.looked(&seen);
    }
    let (sessions, last) = filling.into_page();
    let next = last.map(|place| cursor(&place)).transpose()?.map(|cursor| cursor.write());
    Ok(Page { sessions, next })
}

/// The lists to read; the one of all states if none is asked for.
fn states(query: &ListQuery) -> Vec<&'static str> {
    let mut states: Vec<&str> = query.states.iter().map(|state| state.as_str()).collect();
    states.sort_unstable();
    states.dedup();
    if states.is_empty() { vec![""] } else { states }
}

/// The newest end of a page: below a time, and below where the page before ended.
pub(super) fn newest_end(to: Option<Timestamp>, last: Option<Cursor>) -> Result<String, StoreError> {
    let mut ends = Vec::new();
    if let Some(to) = to {
        ends.push(padded_time(to.as_millis()));
    }
    if let Some(Cursor { created_at, seq }) = last {
        let seq = u64::try_from(seq).map_err(|_| StoreError::BadCursor)?;
        ends.push(format!("{}:{}", padded_time(created_at), padded_number(seq)));
    }
    // Below the lower of them: what is there begins with its time and number, and so is not below its own.
    Ok(ends.into_iter().min().map_or_else(|| "+".to_owned(), |end| format!("({end}")))
}

/// The oldest end of a page.
pub(super) fn oldest_end(from: Option<Timestamp>) -> String {
    from.map_or_else(|| "-".to_owned(), |from| format!("[{}", padded_time(from.as_millis())))
}

/// Of a place, which begins with a padded time and a number.
pub(super) fn cursor(place: &str) -> Result<Cursor, StoreError> {
    let mut parts = place.split(':');
    let (Some(time), Some(seq)) = (parts.next(), parts.next()) else { return Err(corrupt("a place", place)) };
    Ok(Cursor { created_at: unpadded_time(time)?, seq: parse("a place", seq)? })
}
