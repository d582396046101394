use muster_session::{TenantId, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::{ApiKey, StoreError};

pub(super) fn put(c: &Connection, key: &ApiKey) -> Result<(), StoreError> {
    let sql = "INSERT INTO api_key (hash, tenant, name, prefix, created_at) VALUES (?1, ?2, ?3, ?4, ?5)
               ON CONFLICT (hash) DO UPDATE SET tenant = ?2, name = ?3, prefix = ?4, created_at = ?5";
    let created_at = key.created_at.as_millis();
    c.prepare_cached(sql)?.execute(params![key.hash, key.tenant.as_str(), key.name, key.prefix, created_at])?;
    Ok(())
}

pub(super) fn by_hash(c: &Connection, hash: &str) -> Result<Option<ApiKey>, StoreError> {
    let sql = "SELECT hash, tenant, name, prefix, created_at FROM api_key WHERE hash = ?1";
    Ok(c.prepare_cached(sql)?.query_row([hash], read).optional()?)
}

pub(super) fn all(c: &Connection) -> Result<Vec<ApiKey>, StoreError> {
    let sql = "SELECT hash, tenant, name, prefix, created_at FROM api_key ORDER BY created_at, rowid";
    Ok(c.prepare_cached(sql)?.query_map([], read)?.collect::<Result<_, _>>()?)
}

pub(super) fn delete(c: &Connection, hash: &str) -> Result<bool, StoreError> {
    Ok(c.prepare_cached("DELETE FROM api_key WHERE hash = ?1")?.execute([hash])? > 0)
}

fn read(row: &Row<'_>) -> rusqlite::Result<ApiKey> {
    Ok(ApiKey {
        hash: row.get(0)?,
        tenant: TenantId::new(row.get::<_, String>(1)?),
        name: row.get(2)?,
        prefix: row.get(3)?,
        created_at: Timestamp::from_millis(row.get(4)?),
    })
}
