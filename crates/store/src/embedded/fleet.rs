//! Who leads, and which workers there are.

use muster_session::{Timestamp, WorkerId};
use rusqlite::{Connection, params};

use crate::codec::{from_json, to_json};
use crate::{KnownWorker, StoreError, WorkerRecord};

pub(super) fn lead(
    c: &Connection,
    name: &str,
    owner: &str,
    now: Timestamp,
    until: Timestamp,
) -> Result<bool, StoreError> {
    let sql = "INSERT INTO lead (name, owner, until) VALUES (?1, ?2, ?4)
               ON CONFLICT (name) DO UPDATE SET owner = ?2, until = ?4 WHERE owner = ?2 OR until <= ?3";
    let written = c.prepare_cached(sql)?.execute(params![name, owner, now.as_millis(), until.as_millis()])?;
    Ok(written > 0)
}

pub(super) fn beat(c: &Connection, worker: &WorkerRecord) -> Result<bool, StoreError> {
    let sql = "INSERT INTO worker (id, record) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET record = ?2
               RETURNING draining";
    Ok(c.prepare_cached(sql)?.query_row(params![worker.id.as_str(), to_json(worker)], |row| row.get(0))?)
}

pub(super) fn workers(c: &Connection) -> Result<Vec<KnownWorker>, StoreError> {
    let mut select = c.prepare_cached("SELECT record, draining FROM worker ORDER BY id")?;
    let rows = select.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
    rows.map(|row| {
        let (record, draining) = row?;
        Ok(KnownWorker { record: from_json("a worker", &record)?, draining })
    })
    .collect()
}

pub(super) fn drain(c: &Connection, worker: &WorkerId) -> Result<bool, StoreError> {
    Ok(c.prepare_cached("UPDATE worker SET draining = 1 WHERE id = ?1")?.execute([worker.as_str()])? > 0)
}

pub(super) fn forget(c: &Connection, worker: &WorkerId) -> Result<bool, StoreError> {
    Ok(c.prepare_cached("DELETE FROM worker WHERE id = ?1")?.execute([worker.as_str()])? > 0)
}
