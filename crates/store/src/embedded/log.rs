use muster_session::{BotId, Timestamp};
use rusqlite::{Connection, params};

use crate::codec::{from_json, to_json};
use crate::{LogEntry, StoreError};

pub(super) fn append(c: &Connection, bot: BotId, fencing: u64, entries: &[LogEntry]) -> Result<(), StoreError> {
    let held = "SELECT 1 FROM session WHERE id = ?1 AND fencing = ?2 AND lease_owner IS NOT NULL";
    if !c.prepare_cached(held)?.exists(params![bot.to_string(), fencing.cast_signed()])? {
        return Err(StoreError::Fenced);
    }
    let sql = "INSERT INTO log (bot, kind, key, at, data) VALUES (?1, ?2, ?3, ?4, ?5)
               ON CONFLICT (bot, kind, key) DO NOTHING";
    let mut insert = c.prepare_cached(sql)?;
    let bot = bot.to_string();
    for entry in entries {
        insert.execute(params![bot, entry.kind, entry.key, entry.at.as_millis(), to_json(&entry.data)])?;
    }
    Ok(())
}

pub(super) fn read(c: &Connection, bot: BotId, kind: &str, limit: u32) -> Result<Vec<LogEntry>, StoreError> {
    let sql = "SELECT key, at, data FROM log WHERE bot = ?1 AND kind = ?2 ORDER BY id LIMIT ?3";
    let mut statement = c.prepare_cached(sql)?;
    let rows = statement.query_map(params![bot.to_string(), kind, limit], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get::<_, String>(2)?))
    })?;
    rows.map(|row| {
        let (key, at, data) = row?;
        Ok(LogEntry {
            kind: kind.to_owned(),
            key,
            at: Timestamp::from_millis(at),
            data: from_json("a log line", &data)?,
        })
    })
    .collect()
}
