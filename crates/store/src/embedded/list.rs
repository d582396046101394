//! Many records: pages, lookups by time, counts.

use muster_session::{Session, State, TenantId, Timestamp};
use rusqlite::types::Value as SqlValue;
use rusqlite::{Connection, params, params_from_iter};

use super::conditions::Conditions;
use super::record::{COLUMNS, Raw};
use crate::codec::{Cursor, PAGE_MAX, corrupt, has_attributes};
use crate::{ListQuery, Page, StoreError};

/// Columns of [`reached`].
pub(super) const DUE: &str = "due_at";
pub(super) const LEASE_EXPIRED: &str = "lease_until";
pub(super) const OVERDUE: &str = "deadline";
pub(super) const EXPIRED: &str = "retire_at";

pub(super) const COUNT_DUE: &str = "SELECT count(*) FROM session WHERE due_at <= ?1";

/// Sessions whose time in this column has come, oldest first.
pub(super) fn reached(c: &Connection, column: &str, now: Timestamp, limit: u32) -> Result<Vec<Session>, StoreError> {
    let mut statement = c.prepare_cached(&reached_sql(column))?;
    let rows = statement.query_map(params![now.as_millis(), limit], Raw::read)?;
    rows.map(|raw| raw?.decode()).collect()
}

pub(super) fn reached_sql(column: &str) -> String {
    format!("SELECT {COLUMNS} FROM session WHERE {column} <= ?1 ORDER BY {column}, seq LIMIT ?2")
}

pub(super) fn count_due(c: &Connection, before: Timestamp) -> Result<u64, StoreError> {
    let mut count = c.prepare_cached(COUNT_DUE)?;
    Ok(count.query_row([before.as_millis()], |row| row.get::<_, i64>(0))?.cast_unsigned())
}

pub(super) fn count_by_state(c: &Connection, tenant: Option<&TenantId>) -> Result<Vec<(State, u64)>, StoreError> {
    let mut counts = State::ALL.map(|state| (state, 0));
    let condition = if tenant.is_some() { "WHERE tenant = ?1" } else { "" };
    let mut statement = c.prepare_cached(&format!("SELECT state, count(*) FROM session {condition} GROUP BY state"))?;
    let mut rows = statement.query(params_from_iter(tenant.map(TenantId::as_str)))?;
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        let count = counts.iter_mut().find(|(state, _)| state.as_str() == name);
        count.ok_or_else(|| corrupt("a state", &name))?.1 = row.get::<_, i64>(1)?.cast_unsigned();
    }
    Ok(counts.to_vec())
}

pub(super) fn page(c: &Connection, tenant: &TenantId, query: &ListQuery) -> Result<Page, StoreError> {
    let (sql, parameters) = page_sql(tenant, query)?;
    let limit = query.limit.clamp(1, PAGE_MAX) as usize;
    let mut statement = c.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(parameters))?;
    let (mut sessions, mut last, mut more) = (Vec::new(), None, false);
    while let Some(row) = rows.next()? {
        let raw = Raw::read(row)?;
        if !has_attributes(raw.json(), &query.attributes)? {
            continue;
        }
        // One too many: that is how it is known that there is a next page.
        if sessions.len() == limit {
            more = true;
            break;
        }
        last = Some(Cursor { created_at: row.get("created_at")?, seq: row.get("seq")? });
        sessions.push(raw.decode()?);
    }
    Ok(Page { sessions, next: last.filter(|_| more).map(|cursor| cursor.write()) })
}

/// The statement for a page: newest first, without an end, as the caller stops reading.
///
/// Several states are so many ordered selections, which SQLite merges; a single one with `IN` would be sorted whole.
pub(super) fn page_sql(tenant: &TenantId, query: &ListQuery) -> Result<(String, Vec<SqlValue>), StoreError> {
    let mut conditions = Conditions::of(tenant);
    if let Some(from) = query.from {
        conditions.require("created_at >= #", [from.as_millis().into()]);
    }
    if let Some(to) = query.to {
        conditions.require("created_at < #", [to.as_millis().into()]);
    }
    if let Some(platform) = &query.platform {
        conditions.require("platform = #", [platform.to_lowercase().into()]);
    }
    if let Some(cursor) = &query.cursor {
        let cursor = Cursor::read(cursor).ok_or(StoreError::BadCursor)?;
        conditions.require("(created_at, seq) < (#, #)", [cursor.created_at.into(), cursor.seq.into()]);
    }
    let mut states = query.states.clone();
    states.sort_unstable();
    states.dedup();
    let select = format!("SELECT {COLUMNS}, created_at, seq FROM session WHERE {}", conditions.sql);
    let selections: Vec<String> = match states.as_slice() {
        [] => vec![select],
        states => states.iter().map(|state| format!("{select} AND state = '{}'", state.as_str())).collect(),
    };
    Ok((format!("{} ORDER BY created_at DESC, seq DESC", selections.join(" UNION ALL ")), conditions.values))
}
