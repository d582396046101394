use std::collections::HashSet;

use muster_session::BotId;

use super::ids::Ids;
use super::item::{self, Item, Key, from_json, log_prefix, n, number, s, text, time, to_json};
use super::record::items_of;
use super::table::Table;
use super::write::{LARGEST_BYTES, MOST_WRITES, Writes, check_item};
use crate::{LogEntry, StoreError};

/// Each line is an item, so a log has no end; their places keep the order. Lines that are there already are left out: that
/// is known once a write with them was refused.
pub(super) async fn append(
    table: &Table,
    ids: &Ids,
    bot: BotId,
    fencing: u64,
    entries: &[LogEntry],
) -> Result<(), StoreError> {
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
    let mut left = lines.into_iter().peekable();
    while left.peek().is_some() {
        let mut bytes = 0;
        let part = std::iter::from_fn(|| {
            bytes += left.peek().map_or(0, item::bytes);
            left.next_if(|_| bytes <= LARGEST_BYTES)
        });
        // With the lease beside them.
        let part = part.take(MOST_WRITES - 1).collect();
        put_new(table, bot, fencing, part).await?;
    }
    Ok(())
}

/// Together, and only while the lease has this token. A session that is in nobody's hands has no lease.
async fn put_new(table: &Table, bot: BotId, fencing: u64, mut lines: Vec<Item>) -> Result<(), StoreError> {
    let mut attempt = 0;
    loop {
        let mut writes = Writes::new(&table.name);
        let lease = writes.require(Key::lease(bot), "fence = :fence", vec![(":fence", n(fencing))]);
        let puts: Vec<usize> = lines.iter().map(|line| writes.put_new(line.clone())).collect();
        let Err(refusal) = table.transact(writes.into_vec()).await? else { return Ok(()) };
        if refusal.of(lease).is_some() {
            return Err(StoreError::Fenced);
        }
        let mut there = puts.iter().map(|put| refusal.of(*put).is_some());
        lines.retain(|_| !there.next().unwrap_or_default());
        if lines.is_empty() {
            return Ok(());
        }
        table.wait("appending to a log", &mut attempt).await?;
    }
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
