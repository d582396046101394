//! A tenant's deliveries, page by page.

use muster_session::TenantId;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::conditions::Conditions;
use super::deliveries::{COLUMNS, Raw};
use crate::codec::{self, Cursor};
use crate::{LedgerPage, LedgerQuery, StoreError};

pub(super) fn page(c: &Connection, tenant: &TenantId, query: &LedgerQuery) -> Result<LedgerPage, StoreError> {
    let (sql, values) = page_sql(tenant, query)?;
    let mut statement = c.prepare_cached(&sql)?;
    let rows = statement.query_map(params_from_iter(values), Raw::read)?;
    let found = rows.map(|raw| {
        let delivery = raw?.decode()?;
        let cursor = Cursor { created_at: delivery.made_at.as_millis(), seq: delivery.id.cast_signed() };
        Ok((cursor, delivery))
    });
    let (deliveries, next) = codec::page(found, query.limit)?;
    Ok(LedgerPage { deliveries, next })
}

/// The statement for a page: newest first, without an end, as the caller stops reading.
pub(super) fn page_sql(tenant: &TenantId, query: &LedgerQuery) -> Result<(String, Vec<Value>), StoreError> {
    let mut conditions = Conditions::of(tenant);
    if let Some(state) = query.state {
        // Not a parameter: those that failed have an index of their own, and it has to be seen that it will do.
        conditions.require(&format!("status = '{}'", state.as_str()), []);
    }
    if let Some(endpoint) = query.endpoint {
        conditions.require("endpoint = #", [endpoint.to_string().into()]);
    }
    if let Some(event) = &query.event {
        conditions.require("# IN (event ->> '$.event', event ->> '$.bot_event')", [event.clone().into()]);
    }
    if let Some(from) = query.from {
        conditions.require("made_at >= #", [from.as_millis().into()]);
    }
    if let Some(to) = query.to {
        conditions.require("made_at < #", [to.as_millis().into()]);
    }
    if let Some(cursor) = &query.cursor {
        let cursor = Cursor::read(cursor).ok_or(StoreError::BadCursor)?;
        conditions.require("(made_at, id) < (#, #)", [cursor.created_at.into(), cursor.seq.into()]);
    }
    let Conditions { sql, values } = conditions;
    Ok((format!("SELECT {COLUMNS} FROM delivery WHERE {sql} ORDER BY made_at DESC, id DESC"), values))
}
