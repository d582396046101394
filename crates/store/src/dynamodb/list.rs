//! Many records: pages, lookups by time, counts.
//!
//! An index follows the table by some milliseconds. So it only says which records to look at: they are read from the table,
//! and those that are no longer what the index said are left out.

use std::collections::HashSet;

use futures_util::future::try_join_all;
use muster_session::{BotId, Session, State, TenantId, Timestamp};
use uuid::Uuid;

use super::item::{Item, SHARDS, bot_of, corrupt, s, text, time_end, time_key, time_prefix};
use super::merge::Merge;
use super::outbox::page as page_size;
use super::record::{self, state_key, tenant_key};
use super::table::{Select, Table, failed};
use crate::codec::PAGE_MAX;
use crate::{ListQuery, Page, StoreError};

/// An index of records by a time.
pub(super) struct ByTime {
    pub(super) index: &'static str,
    pub(super) sort: &'static str,
    /// The time that the record itself says.
    time: fn(&Session) -> Option<Timestamp>,
}

pub(super) const DUE: ByTime = ByTime {
    index: "by_due",
    sort: "due_r",
    time: |session| session.join_at.filter(|_| session.state == State::Scheduled),
};
pub(super) const LEASE_EXPIRED: ByTime = ByTime { index: "by_lease", sort: "lease_r", time: Session::lease_until };
pub(super) const OVERDUE: ByTime = ByTime { index: "by_deadline", sort: "deadline_r", time: Session::deadline };
pub(super) const EXPIRED: ByTime = ByTime {
    index: "by_retirement",
    sort: "retire_r",
    time: |session| Some(session.expires_at).filter(|_| session.state.is_terminal()),
};

/// Everything in an index by time up to `now`, oldest first.
pub(super) fn reached_items<'a>(
    table: &'a Table,
    index: &'static str,
    sort: &'static str,
    now: Timestamp,
    limit: u32,
) -> Merge<'a> {
    let of_shard = |shard: u8| Select { page: Some(page_size(limit)), ..reached_of(index, sort, now, shard) };
    Merge::new(table, sort, false, (0..SHARDS).map(of_shard))
}

fn reached_of(index: &'static str, sort: &'static str, now: Timestamp, shard: u8) -> Select {
    Select {
        index: Some(index),
        condition: format!("part_h = :shard AND {sort} <= :end"),
        values: [(":shard".to_owned(), s(shard.to_string())), (":end".to_owned(), s(time_end(now)))].into(),
        ..Select::default()
    }
}

/// How many sessions' time has come, by the index alone.
pub(super) async fn count(table: &Table, by: &ByTime, now: Timestamp) -> Result<u64, StoreError> {
    let of_shard = |shard: u8| async move { table.count(&reached_of(by.index, by.sort, now, shard)).await };
    Ok(try_join_all((0..SHARDS).map(of_shard)).await?.into_iter().sum())
}

/// Sessions whose time has come, oldest first.
pub(super) async fn reached(
    table: &Table,
    by: &ByTime,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<Session>, StoreError> {
    let limit_items = limit as usize;
    let mut items = reached_items(table, by.index, by.sort, now, limit);
    let mut found = Vec::new();
    while found.len() < limit_items {
        let batch = bots(&items.take(limit_items - found.len()).await?)?;
        if batch.is_empty() {
            break;
        }
        let sessions = record::read_many(table, &batch).await?;
        found.extend(sessions.into_iter().filter(|session| (by.time)(session).is_some_and(|at| at <= now)));
    }
    Ok(found)
}

fn bots(items: &[Item]) -> Result<Vec<BotId>, StoreError> {
    items.iter().map(bot_of).collect()
}

pub(super) async fn page(table: &Table, tenant: &TenantId, query: &ListQuery) -> Result<Page, StoreError> {
    let limit = query.limit.clamp(1, PAGE_MAX) as usize;
    let cursor = query.cursor.as_deref().map(|text| Cursor::read(text).ok_or(StoreError::BadCursor)).transpose()?;
    let last = cursor.as_ref().map(|cursor| time_key(cursor.created_at, cursor.bot));
    let Some(selects) = selections(tenant, query, last.as_deref()) else {
        return Ok(Page { sessions: Vec::new(), next: None });
    };
    let mut items = Merge::new(table, "list_r", true, selects);
    let (mut sessions, mut seen) = (Vec::new(), HashSet::new());
    // One too many: that is how it is known that there is a next page.
    while sessions.len() <= limit {
        let batch = items.take(limit + 1 - sessions.len()).await?;
        if batch.is_empty() {
            break;
        }
        let fresh: Vec<BotId> = bots(&batch)?.into_iter().filter(|bot| seen.insert(*bot)).collect();
        let fresh = record::read_many(table, &fresh).await?;
        sessions.extend(fresh.into_iter().filter(|session| {
            // The place of the page before is in the range too.
            last.as_deref() != Some(time_key(session.created_at, session.id).as_str()) && matches(session, query)
        }));
    }
    let more = sessions.len() > limit;
    sessions.truncate(limit);
    let next = sessions.last().filter(|_| more).map(Cursor::of).map(|cursor| cursor.write());
    Ok(Page { sessions, next })
}

/// What the index may not know yet, and what it does not know at all.
fn matches(session: &Session, query: &ListQuery) -> bool {
    let attribute = |(key, value): &(String, serde_json::Value)| session.custom_attributes.get(key) == Some(value);
    (query.states.is_empty() || query.states.contains(&session.state)) && query.attributes.iter().all(attribute)
}

/// A selection for each shard, and for each state if some are asked for. None if no time can be in the range.
fn selections(tenant: &TenantId, query: &ListQuery, last: Option<&str>) -> Option<Vec<Select>> {
    let range = Range::new(query.from, query.to, last)?;
    let platform = query.platform.as_ref().map(|platform| platform.to_lowercase());
    let select = |index, hash: &str, key: String| {
        let mut select = range.select(index, hash, key, query.limit);
        if let Some(platform) = &platform {
            select.filter = Some("plat = :plat".into());
            select.values.insert(":plat".to_owned(), s(platform));
        }
        select
    };
    let mut states = query.states.clone();
    states.sort_unstable();
    states.dedup();
    let shards = || (0..SHARDS).map(|shard| shard.to_string());
    if states.is_empty() {
        return Some(
            shards().map(|shard| select("by_tenant", "list_h", tenant_key(&shard, tenant.as_str()))).collect(),
        );
    }
    let of_shard = |shard: String| states.iter().map(move |state| (shard.clone(), *state));
    let keys = shards().flat_map(of_shard).map(|(shard, state)| state_key(&shard, state, tenant.as_str()));
    Some(keys.map(|key| select("by_state", "state_h", key)).collect())
}

/// Keys of an index by time, both ends included.
pub(super) struct Range {
    first: String,
    end: String,
}

impl Range {
    /// Of times, down from where the page before ended. None if no time can be in it.
    pub(super) fn new(from: Option<Timestamp>, to: Option<Timestamp>, last: Option<&str>) -> Option<Self> {
        let first = from.map_or_else(|| "0".to_owned(), time_prefix);
        let mut end = to.map_or_else(|| "~".to_owned(), time_prefix);
        if let Some(last) = last.filter(|last| *last < end.as_str()) {
            end = last.to_owned();
        }
        (first <= end).then_some(Self { first, end })
    }

    /// What is in the range of a partition of an index, newest first, read in parts that suit a page of so many.
    pub(super) fn select(&self, index: &'static str, hash: &str, key: String, limit: u32) -> Select {
        let values = [(":key", s(key)), (":first", s(&self.first)), (":end", s(&self.end))];
        Select {
            index: Some(index),
            condition: format!("{hash} = :key AND list_r BETWEEN :first AND :end"),
            values: values.map(|(name, value)| (name.to_owned(), value)).into(),
            descending: true,
            page: Some(page_size(limit.saturating_add(1))),
            ..Select::default()
        }
    }
}

/// Reads every entry of the index, so it costs what there is: of one tenant, or of all.
pub(super) async fn count_by_state(table: &Table, tenant: Option<&TenantId>) -> Result<Vec<(State, u64)>, StoreError> {
    let shards = (0..SHARDS).map(|shard| async move {
        let (mut states, mut from) = (Vec::new(), None);
        loop {
            let (items, next) = match tenant {
                Some(tenant) => table.page(&of_tenant(shard, tenant), from).await?,
                None => scan(table, shard, from).await?,
            };
            for item in &items {
                states.push(text(item, "st")?.to_owned());
            }
            if next.is_none() {
                return Ok::<_, StoreError>(states);
            }
            from = next;
        }
    });
    let mut counts = State::ALL.map(|state| (state, 0));
    for name in try_join_all(shards).await?.concat() {
        let count = counts.iter_mut().find(|(state, _)| state.as_str() == name);
        count.ok_or_else(|| corrupt("a state", &name))?.1 += 1;
    }
    Ok(counts.to_vec())
}

fn of_tenant(shard: u8, tenant: &TenantId) -> Select {
    Select {
        index: Some("by_tenant"),
        condition: "list_h = :key".into(),
        values: [(":key".to_owned(), s(tenant_key(&shard.to_string(), tenant.as_str())))].into(),
        ..Select::default()
    }
}

/// A page of one of [`SHARDS`] parts of the whole index.
async fn scan(table: &Table, part: u8, from: Option<Item>) -> Result<(Vec<Item>, Option<Item>), StoreError> {
    let scan = table.client.scan().table_name(&table.name).index_name("by_tenant").set_exclusive_start_key(from);
    let scan = scan.segment(i32::from(part)).total_segments(i32::from(SHARDS)).send().await;
    let answer = scan.map_err(|error| failed("counting", &error))?;
    Ok((answer.items.unwrap_or_default(), answer.last_evaluated_key.filter(|key| !key.is_empty())))
}

/// Where a page ended: the place of its last record.
struct Cursor {
    created_at: Timestamp,
    bot: BotId,
}

impl Cursor {
    fn of(session: &Session) -> Self {
        Self { created_at: session.created_at, bot: session.id }
    }

    fn write(&self) -> String {
        format!("{}-{}", self.created_at.as_millis(), self.bot.as_uuid().simple())
    }

    /// Only what [`write`](Self::write) makes.
    fn read(text: &str) -> Option<Self> {
        // A time before 1970 has a minus of its own.
        let (created_at, bot) = text.rsplit_once('-')?;
        let created_at = Timestamp::from_millis(created_at.parse().ok()?);
        let cursor = Self { created_at, bot: BotId::from_uuid(Uuid::try_parse(bot).ok()?) };
        (cursor.write() == text).then_some(cursor)
    }
}
