//! Addresses that a tenant's webhooks go to.

use muster_session::{EndpointId, TenantId};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::codec::{from_json, to_json};
use crate::{Endpoint, StoreError};

pub(super) fn put(c: &Connection, mut endpoint: Endpoint) -> Result<Endpoint, StoreError> {
    let seen = endpoint.version.cast_signed();
    endpoint.version += 1;
    let (id, tenant, record) = (endpoint.id.to_string(), endpoint.tenant.as_str(), to_json(&endpoint));
    let written = if seen == 0 {
        let sql = "INSERT INTO endpoint (id, tenant, version, created_at, record) VALUES (?1, ?2, 1, ?3, ?4)
                   ON CONFLICT (id) DO NOTHING";
        c.prepare_cached(sql)?.execute(params![id, tenant, endpoint.created_at.as_millis(), record])?
    } else {
        let sql = "UPDATE endpoint SET version = version + 1, created_at = ?4, record = ?5
                   WHERE id = ?1 AND tenant = ?2 AND version = ?3";
        c.prepare_cached(sql)?.execute(params![id, tenant, seen, endpoint.created_at.as_millis(), record])?
    };
    if written > 0 { Ok(endpoint) } else { Err(StoreError::Conflict) }
}

pub(super) fn get(c: &Connection, id: EndpointId) -> Result<Option<Endpoint>, StoreError> {
    let sql = "SELECT record, version FROM endpoint WHERE id = ?1";
    let raw = c.prepare_cached(sql)?.query_row([id.to_string()], read).optional()?;
    raw.map(decode).transpose()
}

pub(super) fn of_tenant(c: &Connection, tenant: &TenantId) -> Result<Vec<Endpoint>, StoreError> {
    let sql = "SELECT record, version FROM endpoint WHERE tenant = ?1 ORDER BY created_at, rowid";
    let mut statement = c.prepare_cached(sql)?;
    let rows = statement.query_map([tenant.as_str()], read)?;
    rows.map(|raw| decode(raw?)).collect()
}

pub(super) fn delete(c: &Connection, tenant: &TenantId, id: EndpointId) -> Result<bool, StoreError> {
    let sql = "DELETE FROM endpoint WHERE id = ?1 AND tenant = ?2";
    Ok(c.prepare_cached(sql)?.execute(params![id.to_string(), tenant.as_str()])? > 0)
}

fn read(row: &Row<'_>) -> rusqlite::Result<(String, i64)> {
    Ok((row.get(0)?, row.get(1)?))
}

fn decode((record, version): (String, i64)) -> Result<Endpoint, StoreError> {
    let mut endpoint: Endpoint = from_json("an endpoint", &record)?;
    endpoint.version = version.cast_unsigned();
    Ok(endpoint)
}
