use std::collections::HashSet;

use futures_util::{StreamExt, TryStreamExt, stream};
use muster_session::BotId;

use super::ids::Ids;
use super::item::{self, Item, Key, from_json, log_prefix, n, number, s, text, time, to_json};
use super::record::{exists, items_of};
use super::table::{Table, failed};
use super::write::check_item;
use crate::{LogEntry, StoreError};

/// Lines on their way at once.
const WRITES: usize = 16;

/// Each line is an item, so a log has no end. The items are written side by side; their places keep the order.
pub(super) async fn append(table: &Table, ids: &Ids, bot: BotId, entries: &[LogEntry]) -> Result<(), StoreError> {
    if !exists(table, bot).await? {
        return Err(StoreError::Missing);
    }
    let mut seen = HashSet::new();
    let mut lines = Vec::new();
    for entry in entries.iter().filter(|entry| seen.insert((&entry.kind, &entry.key))) {
        let mut line = Key::log(bot, &entry.kind, &entry.key).into_item();
        line.insert("ord".into(), n(ids.place()));
        line.insert("log_key".into(), s(&entry.key));
        line.insert("at_ms".into(), n(entry.at.as_millis()));
        line.insert("line".into(), to_json(&entry.data));
        check_item(&line, item::bytes(&line))?;
        lines.push(line);
    }
    let writes: Vec<_> = lines.into_iter().map(|line| put_new(table, line)).collect();
    stream::iter(writes).buffer_unordered(WRITES).try_collect().await
}

async fn put_new(table: &Table, line: Item) -> Result<(), StoreError> {
    let put = table.client.put_item().table_name(&table.name).set_item(Some(line));
    let Err(error) = put.condition_expression("attribute_not_exists(pk)").send().await else { return Ok(()) };
    let there = error.as_service_error().is_some_and(|error| error.is_conditional_check_failed_exception());
    if there { Ok(()) } else { Err(failed("appending to a log", &error)) }
}

/// Reads every line of the kind: they are kept by their identity, not by their place.
pub(super) async fn read(table: &Table, bot: BotId, kind: &str, limit: u32) -> Result<Vec<LogEntry>, StoreError> {
    let mut lines = Vec::new();
    for line in table.select(&items_of(bot, &log_prefix(kind)), usize::MAX).await? {
        let entry = LogEntry {
            kind: kind.to_owned(),
            key: text(&line, "log_key")?.to_owned(),
            at: time(&line, "at_ms")?,
            data: from_json("a log line", &line, "line")?,
        };
        lines.push((number::<u64>(&line, "ord")?, entry));
    }
    lines.sort_by_key(|(place, _)| *place);
    Ok(lines.into_iter().take(limit as usize).map(|(_, entry)| entry).collect())
}
