use std::time::Duration;

use muster_session::Timestamp;
use muster_session::job::Job;
use rusqlite::{Connection, params};

use crate::codec::{from_json, to_json};
use crate::{OutboxJob, StoreError};

pub(super) fn add(c: &Connection, jobs: &[(Job, Duration)], now: Timestamp) -> Result<(), StoreError> {
    let mut insert = c.prepare_cached("INSERT INTO outbox (due, job) VALUES (?1, ?2)")?;
    for (job, pause) in jobs {
        insert.execute(params![(now + *pause).as_millis(), to_json(job)])?;
    }
    Ok(())
}

pub(super) fn due(c: &Connection, now: Timestamp, limit: u32) -> Result<Vec<OutboxJob>, StoreError> {
    let sql = "SELECT id, due, job FROM outbox WHERE due <= ?1 ORDER BY due, id LIMIT ?2";
    let mut statement = c.prepare_cached(sql)?;
    let rows = statement.query_map(params![now.as_millis(), limit], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, String>(2)?))
    })?;
    rows.map(|row| {
        let (id, due, job) = row?;
        Ok(OutboxJob { id: id.cast_unsigned(), job: from_json("a job", &job)?, due: Timestamp::from_millis(due) })
    })
    .collect()
}

pub(super) fn done(c: &Connection, ids: &[u64]) -> Result<(), StoreError> {
    let mut delete = c.prepare_cached("DELETE FROM outbox WHERE id = ?1")?;
    for id in ids {
        delete.execute([id.cast_signed()])?;
    }
    Ok(())
}
