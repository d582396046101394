//! API keys, and those that were asked for before.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use muster_session::{TenantId, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::{ApiKey, StoreError};

/// Keys that were found. Every request asks for one, and nobody but this process can change them: so this is never behind
/// what was answered.
#[derive(Debug, Default)]
pub(super) struct Known {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    keys: HashMap<String, ApiKey>,
    /// Counts changes: what was read before one is not remembered after it.
    changes: u64,
    /// Changes that go on. Nothing is known meanwhile, and nothing ever again if one is given up: it may still be made.
    going_on: u64,
}

impl Known {
    /// The key, if it is known; otherwise what to [`remember`](Self::remember) it with.
    pub(super) fn find(&self, hash: &str) -> Result<ApiKey, u64> {
        let state = self.lock();
        state.keys.get(hash).cloned().ok_or(state.changes)
    }

    /// A key that was read after [`find`](Self::find) did not know it.
    pub(super) fn remember(&self, key: &ApiKey, changes: u64) {
        let mut state = self.lock();
        if state.changes == changes && state.going_on == 0 {
            state.keys.insert(key.hash.clone(), key.clone());
        }
    }

    /// Makes a change.
    pub(super) async fn change<T>(&self, change: impl Future<Output = T>) -> T {
        {
            let mut state = self.lock();
            state.keys.clear();
            state.going_on += 1;
        }
        let changed = change.await;
        let mut state = self.lock();
        state.changes += 1;
        state.going_on -= 1;
        changed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

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
