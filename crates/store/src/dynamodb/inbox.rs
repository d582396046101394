//! Webhooks that came in. Each is an item by its key, so that it is taken once; a tenant's are listed and counted by the index
//! by state, and those to be forgotten are found by the index by retirement.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::try_join_all;
use futures_util::{StreamExt, TryStreamExt, stream};
use muster_session::{TenantId, Timestamp};

use super::item::{Item, Key, SHARDS, corrupt, from_json, n, s, shard_of, text, time_prefix, timed, to_json};
use super::ledger::{self, Wanted};
use super::merge::Merge;
use super::outbox::page as page_size;
use super::table::{Select, Table};
use super::write::Writes;
use crate::{InboxCount, InboxEntry, InboxOutcome, InboxPage, InboxQuery, StoreError};

/// What nobody asked to forget goes by itself after this time.
const KEPT: Duration = Duration::from_secs(400 * 86_400);
/// Removals on their way at once.
const REMOVALS: usize = 32;

/// The item of an entry.
pub(super) fn item(entry: &InboxEntry) -> Item {
    let shard = shard_of(&entry.key);
    let place = timed(entry.received_at, &entry.key);
    let mut item = Key::received(&entry.key).into_item();
    let mut set = |name: &str, value| item.insert(name.to_owned(), value);
    set("doc", to_json(entry));
    set("state_h", s(partition(shard, &entry.tenant)));
    set("list_r", s(&place));
    set("plat", s(kind(entry.outcome, &entry.source)));
    set("part_h", s(by_age(shard)));
    set("retire_r", s(place));
    set("expires_s", n((entry.received_at + KEPT).as_millis() / 1_000));
    item
}

/// Where a tenant's entries are in the index by state.
fn partition(shard: u8, tenant: &TenantId) -> String {
    format!("inbox#{shard}#{tenant}")
}

/// Where entries are in the index by retirement.
fn by_age(shard: u8) -> String {
    format!("inbox#{shard}")
}

/// What the index says of an entry.
fn kind(outcome: InboxOutcome, source: &str) -> String {
    format!("{}#{source}", outcome.as_str())
}

fn read_kind(item: &Item) -> Result<(InboxOutcome, &str), StoreError> {
    let kind = text(item, "plat")?;
    let known = kind.split_once('#').and_then(|(name, source)| {
        let outcome = InboxOutcome::ALL.into_iter().find(|outcome| outcome.as_str() == name)?;
        Some((outcome, source))
    });
    known.ok_or_else(|| corrupt("an outcome", kind))
}

pub(super) async fn receive(table: &Table, entry: &InboxEntry) -> Result<bool, StoreError> {
    // A transaction, for its token: one that is sent twice is not refused for what it did itself.
    let mut writes = Writes::new(&table.name);
    writes.put_new(item(entry));
    Ok(table.transact(writes.into_vec()).await?.is_ok())
}

pub(super) async fn by_key(table: &Table, key: &str) -> Result<Option<InboxEntry>, StoreError> {
    table.get(Key::received(key)).await?.as_ref().map(decode).transpose()
}

fn decode(item: &Item) -> Result<InboxEntry, StoreError> {
    from_json("an inbox entry", item, "doc")
}

pub(super) async fn page(table: &Table, tenant: &TenantId, query: &InboxQuery) -> Result<InboxPage, StoreError> {
    let wanted = Wanted {
        of: |shard| partition(shard, tenant),
        from: query.from,
        to: query.to,
        last: query.cursor.as_deref().map(|text| ledger::cursor(text).ok_or(StoreError::BadCursor)).transpose()?,
        limit: query.limit,
        filtered: query.source.is_some() || query.outcome.is_some(),
    };
    let may_be = |item: &Item| {
        read_kind(item).is_ok_and(|(outcome, source)| {
            query.outcome.is_none_or(|wanted| outcome == wanted)
                && query.source.as_ref().is_none_or(|wanted| source == wanted)
        })
    };
    let (entries, next) = ledger::newest(table, wanted, may_be, |item| decode(item).map(Some)).await?;
    Ok(InboxPage { entries, next })
}

/// Reads an entry of the index for each.
pub(super) async fn counts(table: &Table, tenant: &TenantId) -> Result<Vec<InboxCount>, StoreError> {
    let shards = (0..SHARDS).map(|shard| async move {
        let select = Select {
            index: Some("by_state"),
            condition: "state_h = :key".into(),
            values: [(":key".to_owned(), s(partition(shard, tenant)))].into(),
            ..Select::default()
        };
        let (mut counts, mut from) = (BTreeMap::<(String, InboxOutcome), u64>::new(), None);
        loop {
            let (items, next) = table.page(&select, from).await?;
            for item in &items {
                let (outcome, source) = read_kind(item)?;
                *counts.entry((source.to_owned(), outcome)).or_default() += 1;
            }
            if next.is_none() {
                return Ok::<_, StoreError>(counts);
            }
            from = next;
        }
    });
    let mut sums = BTreeMap::<_, u64>::new();
    for (kind, count) in try_join_all(shards).await?.into_iter().flatten() {
        *sums.entry(kind).or_default() += count;
    }
    Ok(sums.into_iter().map(|((source, outcome), count)| InboxCount { source, outcome, count }).collect())
}

/// The oldest first.
pub(super) async fn forget(table: &Table, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
    let of_shard = |shard| Select {
        index: Some("by_retirement"),
        condition: "part_h = :part AND retire_r < :end".into(),
        values: [(":part".to_owned(), s(by_age(shard))), (":end".to_owned(), s(time_prefix(before)))].into(),
        page: Some(page_size(limit)),
        ..Select::default()
    };
    let mut old = Merge::new(table, "retire_r", false, (0..SHARDS).map(of_shard));
    let mut forgotten = 0;
    while forgotten < u64::from(limit) {
        let left = usize::try_from(u64::from(limit) - forgotten).unwrap_or(usize::MAX);
        let batch = old.take(left.min(REMOVALS * 8)).await?;
        if batch.is_empty() {
            break;
        }
        let removals: Vec<_> = batch.iter().map(|item| remove(table, item)).collect();
        let removals = stream::iter(removals).buffer_unordered(REMOVALS);
        forgotten += removals.try_fold(0, async |sum, gone| Ok(sum + u64::from(gone))).await?;
    }
    Ok(forgotten)
}

/// Unless it is gone, and another came in under its key since the index was read.
pub(super) async fn remove(table: &Table, item: &Item) -> Result<bool, StoreError> {
    let place = vec![(":place", s(text(item, "retire_r")?))];
    table.delete_if(Key::of(item)?, "retire_r = :place", place).await
}
