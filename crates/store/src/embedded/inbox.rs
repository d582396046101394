//! Webhooks that came in.

use muster_session::{TenantId, Timestamp};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params, params_from_iter};

use super::conditions::Conditions;
use crate::codec::{self, Cursor, corrupt, from_json, to_json};
use crate::{InboxCount, InboxEntry, InboxOutcome, InboxPage, InboxQuery, StoreError};

/// False if its key is taken.
pub(super) fn receive(c: &Connection, entry: &InboxEntry) -> Result<bool, StoreError> {
    let sql = "INSERT INTO inbox (key, tenant, source, outcome, received_at, entry) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
               ON CONFLICT (key) DO NOTHING";
    let written = c.prepare_cached(sql)?.execute(params![
        entry.key,
        entry.tenant.as_str(),
        entry.source,
        entry.outcome.as_str(),
        entry.received_at.as_millis(),
        to_json(entry),
    ])?;
    Ok(written > 0)
}

/// As a part of a larger write.
pub(super) fn take(c: &Connection, entry: Option<&InboxEntry>) -> Result<(), StoreError> {
    match entry {
        Some(entry) if !receive(c, entry)? => Err(StoreError::Seen),
        _ => Ok(()),
    }
}

pub(super) fn is_taken(c: &Connection, key: &str) -> Result<bool, StoreError> {
    Ok(c.prepare_cached("SELECT 1 FROM inbox WHERE key = ?1")?.exists([key])?)
}

pub(super) fn by_key(c: &Connection, key: &str) -> Result<Option<InboxEntry>, StoreError> {
    let sql = "SELECT entry FROM inbox WHERE key = ?1";
    let entry = c.prepare_cached(sql)?.query_row([key], |row| row.get::<_, String>(0)).optional()?;
    entry.map(|entry| decode(&entry)).transpose()
}

fn decode(entry: &str) -> Result<InboxEntry, StoreError> {
    from_json("an inbox entry", entry)
}

pub(super) fn page(c: &Connection, tenant: &TenantId, query: &InboxQuery) -> Result<InboxPage, StoreError> {
    let (sql, values) = page_sql(tenant, query)?;
    let mut statement = c.prepare_cached(&sql)?;
    let rows = statement.query_map(params_from_iter(values), |row| {
        Ok((Cursor { created_at: row.get(0)?, seq: row.get(1)? }, row.get::<_, String>(2)?))
    })?;
    let found = rows.map(|row| {
        let (cursor, entry) = row?;
        Ok((cursor, decode(&entry)?))
    });
    let (entries, next) = codec::page(found, query.limit)?;
    Ok(InboxPage { entries, next })
}

/// The statement for a page: newest first, without an end, as the caller stops reading.
pub(super) fn page_sql(tenant: &TenantId, query: &InboxQuery) -> Result<(String, Vec<Value>), StoreError> {
    let mut conditions = Conditions::of(tenant);
    if let Some(source) = &query.source {
        conditions.require("source = #", [source.clone().into()]);
    }
    if let Some(outcome) = query.outcome {
        conditions.require("outcome = #", [outcome.as_str().to_owned().into()]);
    }
    if let Some(from) = query.from {
        conditions.require("received_at >= #", [from.as_millis().into()]);
    }
    if let Some(to) = query.to {
        conditions.require("received_at < #", [to.as_millis().into()]);
    }
    if let Some(cursor) = &query.cursor {
        let cursor = Cursor::read(cursor).ok_or(StoreError::BadCursor)?;
        conditions.require("(received_at, id) < (#, #)", [cursor.created_at.into(), cursor.seq.into()]);
    }
    let Conditions { sql, values } = conditions;
    Ok((format!("SELECT received_at, id, entry FROM inbox WHERE {sql} ORDER BY received_at DESC, id DESC"), values))
}

pub(super) fn counts(c: &Connection, tenant: &TenantId) -> Result<Vec<InboxCount>, StoreError> {
    let sql = "SELECT source, outcome, count(*) FROM inbox WHERE tenant = ?1 GROUP BY source, outcome";
    let mut statement = c.prepare_cached(sql)?;
    let rows = statement.query_map([tenant.as_str()], |row| {
        Ok((row.get(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?.cast_unsigned()))
    })?;
    rows.map(|row| {
        let (source, name, count) = row?;
        let outcome = InboxOutcome::ALL.into_iter().find(|outcome| outcome.as_str() == name);
        Ok(InboxCount { source, outcome: outcome.ok_or_else(|| corrupt("an outcome", &name))?, count })
    })
    .collect()
}

pub(super) fn forget(c: &Connection, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
    let sql = "DELETE FROM inbox WHERE id IN (
                   SELECT id FROM inbox WHERE received_at < ?1 ORDER BY received_at, id LIMIT ?2)";
    Ok(c.prepare_cached(sql)?.execute(params![before.as_millis(), limit])? as u64)
}
