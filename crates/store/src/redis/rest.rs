//! Outbox, logs, API keys and documents.

use muster_redis::cmd;
use muster_session::{BotId, Timestamp};

use super::sessions::padded_number;
use super::{RedisStore, arguments, scripts};
use crate::codec::{corrupt, from_json, parse, to_json};
use crate::{ApiKey, Document, LogEntry, OutboxJob, StoreError};

pub(super) async fn outbox(store: &RedisStore, now: Timestamp, limit: u32) -> Result<Vec<OutboxJob>, StoreError> {
    let fill = arguments(|script| script.arg(now.as_millis()).arg(limit));
    let found: Vec<(u64, i64, String)> = store.script(&scripts::OUTBOX, fill).await?;
    let decode = |(id, due, job): (_, _, String)| {
        Ok(OutboxJob { id, job: from_json("a job", &job)?, due: Timestamp::from_millis(due) })
    };
    found.into_iter().map(decode).collect()
}

pub(super) async fn outbox_done(store: &RedisStore, ids: &[u64]) -> Result<(), StoreError> {
    let fill = arguments(|script| {
        for id in ids {
            script.arg(padded_number(*id));
        }
        script
    });
    store.script(&scripts::OUTBOX_DONE, fill).await
}

pub(super) async fn append_log(
    store: &RedisStore,
    bot: BotId,
    fencing: u64,
    entries: &[LogEntry],
) -> Result<(), StoreError> {
    let fill = arguments(|script| {
        script.arg(bot.to_string()).arg(fencing.cast_signed());
        for entry in entries {
            script.arg(&entry.kind).arg(&entry.key).arg(to_json(entry));
        }
        script
    });
    let held: bool = store.script(&scripts::APPEND_LOG, fill).await?;
    if held { Ok(()) } else { Err(StoreError::Fenced) }
}

pub(super) async fn log(store: &RedisStore, bot: BotId, kind: &str, limit: u32) -> Result<Vec<LogEntry>, StoreError> {
    let mut range = cmd("LRANGE");
    // Up to none is up to the one before the first.
    range.arg(store.key(&format!(":log:{bot}:{kind}"))).arg(0).arg(i64::from(limit) - 1);
    if limit == 0 {
        return Ok(Vec::new());
    }
    let lines: Vec<String> = store.link.run(&range).await?;
    lines.iter().map(|line| from_json("a log line", line)).collect()
}

pub(super) async fn put_key(store: &RedisStore, key: &ApiKey) -> Result<(), StoreError> {
    let fill = arguments(|script| script.arg(&key.hash).arg(key.created_at.as_millis()).arg(to_json(key)));
    store.script(&scripts::PUT_KEY, fill).await
}

pub(super) async fn key_by_hash(store: &RedisStore, hash: &str) -> Result<Option<ApiKey>, StoreError> {
    let found: Option<String> = store.link.run(cmd("HGET").arg(store.key(":keys")).arg(hash)).await?;
    found.map(|key| from_json("an API key", &key)).transpose()
}

pub(super) async fn keys(store: &RedisStore) -> Result<Vec<ApiKey>, StoreError> {
    let found: Vec<String> = store.script(&scripts::KEYS, arguments(|script| script)).await?;
    found.iter().map(|key| from_json("an API key", key)).collect()
}

pub(super) async fn delete_key(store: &RedisStore, hash: &str) -> Result<bool, StoreError> {
    store.script(&scripts::DELETE_KEY, arguments(|script| script.arg(hash))).await
}

pub(super) async fn document(store: &RedisStore, name: &str) -> Result<Option<Document>, StoreError> {
    const WHAT: &str = "a document";
    let found: Option<String> = store.link.run(cmd("HGET").arg(store.key(":documents")).arg(name)).await?;
    let Some(stored) = found else { return Ok(None) };
    let (version, body) = stored.split_once(':').ok_or_else(|| corrupt(WHAT, "it has no version"))?;
    Ok(Some(Document { name: name.to_owned(), version: parse(WHAT, version)?, body: from_json(WHAT, body)? }))
}

pub(super) async fn put_document(store: &RedisStore, mut document: Document) -> Result<Document, StoreError> {
    let read = document.version;
    document.version += 1;
    let fill =
        arguments(|script| script.arg(&document.name).arg(read).arg(document.version).arg(to_json(&document.body)));
    let written: bool = store.script(&scripts::PUT_DOCUMENT, fill).await?;
    if written { Ok(document) } else { Err(StoreError::Conflict) }
}
