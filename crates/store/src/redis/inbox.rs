//! Webhooks that came in.

use std::collections::HashMap;

use muster_redis::{ScriptInvocation, cmd};
use muster_session::{TenantId, Timestamp};

use super::filling::Filling;
use super::list::oldest_end;
use super::sessions::{padded_time, unpadded_time};
use super::{RedisStore, arguments, scripts};
use crate::codec::{corrupt, from_json, to_json};
use crate::{InboxCount, InboxEntry, InboxOutcome, InboxPage, InboxQuery, StoreError};

/// Entries that one script removes.
const CHUNK: u32 = 500;

/// An entry, or none, as the scripts take it.
pub(super) fn argument<'a, 'b>(
    script: &'b mut ScriptInvocation<'a>,
    entry: Option<&InboxEntry>,
) -> &'b mut ScriptInvocation<'a> {
    let Some(entry) = entry else { return script.arg(0) };
    let at = entry.received_at.as_millis();
    script.arg(1).arg(&entry.key).arg(entry.tenant.as_str()).arg(&entry.source).arg(entry.outcome.as_str());
    script.arg(at).arg(padded_time(at)).arg(to_json(entry))
}

pub(super) async fn receive(store: &RedisStore, entry: &InboxEntry) -> Result<bool, StoreError> {
    store.script(&scripts::RECEIVE, arguments(|script| argument(script, Some(entry)))).await
}

pub(super) async fn by_key(store: &RedisStore, key: &str) -> Result<Option<InboxEntry>, StoreError> {
    let found: Option<String> = store.link.run(cmd("HGET").arg(store.key(&format!(":i:{key}"))).arg("j")).await?;
    found.map(|entry| decode(&entry)).transpose()
}

fn decode(entry: &str) -> Result<InboxEntry, StoreError> {
    from_json("an inbox entry", entry)
}

pub(super) async fn page(store: &RedisStore, tenant: &TenantId, query: &InboxQuery) -> Result<InboxPage, StoreError> {
    let filtered = query.source.is_some() || query.outcome.is_some();
    let mut filling = Filling::new(query.limit, filtered, newest_end(query)?);
    let oldest = oldest_end(query.from);
    while let Some((look, newest)) = filling.next_look() {
        let fill = arguments(|script| {
            script.arg(tenant.as_str()).arg(look).arg(newest).arg(&oldest);
            script.arg(u8::from(query.source.is_some())).arg(query.source.as_deref().unwrap_or_default());
            script.arg(query.outcome.map_or("", InboxOutcome::as_str))
        });
        let (seen, rows): (String, Vec<(String, String)>) = store.script(&scripts::INBOX, fill).await?;
        for (place, entry) in rows {
            filling.add(place, decode(&entry)?);
        }
        filling.looked(&seen);
    }
    let (entries, last) = filling.into_page();
    Ok(InboxPage { entries, next: last.map(|place| cursor(&place)).transpose()? })
}

fn newest_end(query: &InboxQuery) -> Result<String, StoreError> {
    let to = query.to.map(|to| padded_time(to.as_millis()));
    let last = query.cursor.as_deref().map(|text| place(text).ok_or(StoreError::BadCursor)).transpose()?;
    // Below the lower of them: what is there begins with its time, and so is not below its own.
    Ok(to.into_iter().chain(last).min().map_or_else(|| "+".to_owned(), |end| format!("({end}")))
}

/// Time and key, as a page says where it ended.
fn cursor(place: &str) -> Result<String, StoreError> {
    let (time, key) = place.split_once(':').ok_or_else(|| corrupt("a place", place))?;
    Ok(format!("{}:{key}", unpadded_time(time)?))
}

/// Only of what [`cursor`] makes.
fn place(text: &str) -> Option<String> {
    let (time, key) = text.split_once(':')?;
    let millis: i64 = time.parse().ok()?;
    let known = Timestamp::from_millis(millis).as_millis() == millis && millis.to_string() == time;
    known.then(|| format!("{}:{key}", padded_time(millis)))
}

pub(super) async fn counts(store: &RedisStore, tenant: &TenantId) -> Result<Vec<InboxCount>, StoreError> {
    let counts = cmd("HGETALL").arg(store.key(&format!(":inbox_count:{tenant}"))).to_owned();
    let counts: HashMap<String, u64> = store.link.run(&counts).await?;
    let count = |(name, count): (String, u64)| {
        let known = name.split_once(':').and_then(|(outcome, source)| {
            let outcome = InboxOutcome::ALL.into_iter().find(|known| known.as_str() == outcome)?;
            Some(InboxCount { source: source.to_owned(), outcome, count })
        });
        known.ok_or_else(|| corrupt("an outcome", name))
    };
    let mut counts = counts.into_iter().map(count).collect::<Result<Vec<_>, _>>()?;
    counts.sort_by(|one, other| (&one.source, one.outcome).cmp(&(&other.source, other.outcome)));
    Ok(counts)
}

pub(super) async fn forget(store: &RedisStore, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
    let mut left = limit;
    while left > 0 {
        let chunk = left.min(CHUNK);
        let fill = arguments(|script| script.arg(before.as_millis()).arg(chunk));
        let forgotten: u32 = store.script(&scripts::FORGET_RECEIVED, fill).await?;
        left -= forgotten.min(left);
        if forgotten < chunk {
            break;
        }
    }
    Ok(u64::from(limit - left))
}
