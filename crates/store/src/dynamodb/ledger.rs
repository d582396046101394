//! What a tenant has of deliveries, and of webhooks that came in, by time. Both are in the index by state, in partitions that no
//! state has.

use muster_session::event::Event;
use muster_session::{TenantId, Timestamp};

use super::deliveries;
use super::item::{Item, Key, SHARDS, text};
use super::list::Range;
use super::merge::Merge;
use super::table::Table;
use crate::codec::PAGE_MAX;
use crate::{Delivery, LedgerPage, LedgerQuery, StoreError};

/// How many entries are looked at together where most of them may not be wanted.
const LOOK: usize = 100;

/// Where a tenant's deliveries are in the index.
pub(super) fn partition(shard: u8, tenant: &TenantId) -> String {
    format!("ledger#{shard}#{tenant}")
}

pub(super) async fn page(table: &Table, tenant: &TenantId, query: &LedgerQuery) -> Result<LedgerPage, StoreError> {
    let wanted = Wanted {
        of: |shard| partition(shard, tenant),
        from: query.from,
        to: query.to,
        last: query.cursor.as_deref().map(|text| cursor_of_delivery(text).ok_or(StoreError::BadCursor)).transpose()?,
        limit: query.limit,
        filtered: query.state.is_some() || query.endpoint.is_some() || query.event.is_some(),
    };
    let decode = |item: &Item| Ok(Some(deliveries::decode(item)?).filter(|delivery| matches(delivery, query)));
    let (deliveries, next) = newest(table, wanted, |_| true, decode).await?;
    Ok(LedgerPage { deliveries, next })
}

fn matches(delivery: &Delivery, query: &LedgerQuery) -> bool {
    let is_named = |event: &Event, name: &String| event.event == *name || event.bot_event == *name;
    query.state.is_none_or(|state| delivery.status.state() == state)
        && query.endpoint.is_none_or(|endpoint| delivery.endpoint == Some(endpoint))
        && query.event.as_ref().is_none_or(|name| is_named(&delivery.event, name))
}

/// What to page through.
pub(super) struct Wanted<F> {
    /// The partition of each shard.
    pub(super) of: F,
    pub(super) from: Option<Timestamp>,
    pub(super) to: Option<Timestamp>,
    /// Where the page before ended.
    pub(super) last: Option<String>,
    pub(super) limit: u32,
    /// Most of it may not be wanted.
    pub(super) filtered: bool,
}

/// A page, newest first, and where the next one begins. `may_be` leaves out by what the index says; `decode` reads what is in
/// the table, and leaves out what is not wanted.
pub(super) async fn newest<T>(
    table: &Table,
    wanted: Wanted<impl Fn(u8) -> String>,
    may_be: impl Fn(&Item) -> bool,
    decode: impl Fn(&Item) -> Result<Option<T>, StoreError>,
) -> Result<(Vec<T>, Option<String>), StoreError> {
    let limit = wanted.limit.clamp(1, PAGE_MAX);
    let (limit_items, mut found) = (limit as usize, Vec::new());
    let Some(range) = Range::new(wanted.from, wanted.to, wanted.last.as_deref()) else {
        return Ok((Vec::new(), None));
    };
    let page = if wanted.filtered { limit.max(LOOK as u32) } else { limit };
    let selects = (0..SHARDS).map(|shard| range.select("by_state", "state_h", (wanted.of)(shard), page));
    let mut items = Merge::new(table, "list_r", true, selects);
    // One too many: that is how it is known that there is a next page.
    while found.len() <= limit_items {
        let missing = limit_items + 1 - found.len();
        let batch = items.take(if wanted.filtered { missing.max(LOOK) } else { missing }).await?;
        if batch.is_empty() {
            break;
        }
        // The place of the page before is in the range too.
        let fresh = batch.iter().filter(|item| place(item) != wanted.last.as_deref().unwrap_or_default());
        let keys = fresh.filter(|item| may_be(item)).map(Key::of).collect::<Result<Vec<_>, _>>()?;
        let mut stored = table.get_many(keys).await?;
        stored.sort_by(|one, other| place(other).cmp(place(one)));
        for item in &stored {
            if let Some(entry) = decode(item)? {
                found.push((text(item, "list_r")?.to_owned(), entry));
            }
        }
    }
    let more = found.len() > limit_items;
    found.truncate(limit_items);
    let next = found.last().filter(|_| more).map(|(place, _)| place.replacen('#', "-", 1));
    Ok((found.into_iter().map(|(_, entry)| entry).collect(), next))
}

fn place(item: &Item) -> &str {
    text(item, "list_r").unwrap_or_default()
}

/// The place that a page said it ended at.
pub(super) fn cursor(text: &str) -> Option<String> {
    let (time, rest) = text.split_once('-')?;
    let known = time.len() == 15 && time.bytes().all(|byte| byte.is_ascii_digit()) && !rest.is_empty();
    known.then(|| format!("{time}#{rest}"))
}

fn cursor_of_delivery(text: &str) -> Option<String> {
    let (_, id) = text.split_once('-')?;
    cursor(text).filter(|_| id.len() == 20 && id.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_those_that_pages_end_with() {
        let time = super::super::item::time_prefix(Timestamp::from_millis(1_790_000_000_000));
        let of_delivery = format!("{time}-{:020}", 7);
        assert_eq!(cursor_of_delivery(&of_delivery), Some(format!("{time}#{:020}", 7)));
        assert_eq!(cursor(&format!("{time}-a-b#c")), Some(format!("{time}#a-b#c")));
        for bad in ["", "x", "1", "1-", "-", "1-2-x", "é", &time, &format!("{time}-"), &format!("x{time}-a")] {
            assert_eq!(cursor(bad), None, "{bad}");
        }
        assert_eq!(cursor_of_delivery(&format!("{time}-7")), None);
    }
}
