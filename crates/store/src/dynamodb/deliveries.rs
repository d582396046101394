//! The ledger of webhooks. A delivery is one of its bot's items, so that those of a bot are read in order and as they are;
//! a second item says where the delivery with an id is.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use muster_session::event::Event;
use muster_session::{BotId, EndpointId, Session, TenantId, Timestamp};
use url::Url;

use super::fan::{self, Fan};
use super::ids::Ids;
use super::item::{
    DELIVERY, Item, Key, SHARDS, bot_of, corrupt, from_json, maybe_number, maybe_text, n, number, parse, pointer, s,
    shard, text, time, time_key, timed, to_json,
};
use super::ledger;
use super::list::reached_items;
use super::record::{exists, items_of};
use super::table::Table;
use super::write::{MOST_WRITES, Writes};
use crate::{Attempt, Commit, Delivery, DeliveryStatus, Endpoint, StoreError, addresses};

/// What is settled and should have gone with its record goes by itself so long after the record was to.
const KEPT_AFTER: Duration = Duration::from_secs(30 * 86_400);
/// Deliveries that one write makes pending again.
const RESENDS: usize = 50;
/// Items of a delivery: itself, and where it is.
pub(super) const ITEMS: usize = 2;
/// Changes of single deliveries on their way at once.
const CHANGES: usize = 32;

/// What deliveries of one event have in common.
pub(super) struct Of<'a> {
    pub(super) tenant: &'a TenantId,
    pub(super) event: &'a Event,
    pub(super) made_at: Timestamp,
    /// Unix seconds: when what is settled goes by itself.
    pub(super) gone_s: i64,
}

/// Makes a pending delivery of every event for each of its addresses. What does not fit into the write is folded: answers
/// where that is.
pub(super) fn add(writes: &mut Writes<'_>, ids: &Ids, session: &Session, commit: &Commit) -> Vec<Key> {
    let gone_s = gone_s(session.expires_at);
    let of = |event| Of { tenant: &session.tenant, event, made_at: commit.now, gone_s };
    let to = |event| addresses(event, session.callback_url.as_ref(), &commit.endpoints).collect::<Vec<_>>();
    let deliveries: Vec<_> = commit.events.iter().map(|event| (of(event), to(event))).collect();
    let count: usize = deliveries.iter().map(|(_, to)| to.len()).sum();
    let fits = writes.len() + count * ITEMS <= MOST_WRITES;
    let mut fans = Vec::new();
    for (of, to) in deliveries.into_iter().filter(|(_, to)| !to.is_empty()) {
        if fits {
            for (url, endpoint) in to {
                put(writes, ids, &of, url, endpoint);
            }
        } else {
            fans.push(Fan::new(&of, &to).put(writes, ids));
        }
    }
    fans
}

pub(super) fn put(writes: &mut Writes<'_>, ids: &Ids, of: &Of<'_>, url: &Url, endpoint: Option<EndpointId>) {
    let Of { tenant, event, made_at, gone_s } = *of;
    let id = ids.at(made_at);
    let mut item = Key::delivery(event.bot, event.sequence, id).into_item();
    let mut set = |name: &str, value| item.insert(name.to_owned(), value);
    set("did", n(id));
    set("owner_id", s(tenant.as_str()));
    set("addr", s(url.as_str()));
    set("event", to_json(event));
    set("st", s("pending"));
    set("next_ms", n(made_at.as_millis()));
    set("part_h", s(shard(event.bot)));
    set("next_r", s(time_key(made_at, event.bot)));
    set("fails", n(0));
    set("tries", s("[]"));
    set("rev", n(0));
    set("gone_s", n(gone_s));
    set("made_ms", n(made_at.as_millis()));
    if let Some(endpoint) = endpoint {
        set("endpoint_id", s(endpoint.to_string()));
    }
    let shard = u8::try_from(id % u64::from(SHARDS)).unwrap_or_default();
    set("state_h", s(ledger::partition(shard, tenant)));
    set("list_r", s(timed(made_at, &format!("{id:020}"))));
    writes.put_new(item);
    let mut at = pointer(Key::delivery_id(id), event.bot);
    at.insert("seq".into(), n(event.sequence));
    writes.put_new(at);
}

fn gone_s(expires_at: Timestamp) -> i64 {
    (expires_at + KEPT_AFTER).as_millis() / 1_000
}

/// A part at a time, each whole.
pub(super) async fn notify(
    table: &Table,
    ids: &Ids,
    tenant: &TenantId,
    event: &Event,
    endpoints: &[Endpoint],
    now: Timestamp,
) -> Result<(), StoreError> {
    let of = Of { tenant, event, made_at: now, gone_s: gone_s(now) };
    let takers: Vec<&Endpoint> = endpoints.iter().filter(|endpoint| endpoint.takes(event)).collect();
    for part in takers.chunks(MOST_WRITES / ITEMS) {
        let mut attempt = 0;
        loop {
            let mut writes = Writes::new(&table.name);
            for endpoint in part {
                put(&mut writes, ids, &of, &endpoint.url, Some(endpoint.id));
            }
            match table.transact(writes.into_vec()).await? {
                Ok(()) => break,
                // An id was taken.
                Err(_) => table.wait("notifying", &mut attempt).await?,
            }
        }
    }
    Ok(())
}

/// Settled ones are read too, and left out by the table.
pub(super) async fn pending(table: &Table, ids: &Ids, bot: BotId, limit: u32) -> Result<Vec<Delivery>, StoreError> {
    let mut select = items_of(bot, DELIVERY);
    select.filter = Some("attribute_exists(next_r)".into());
    let items = fan::unfolded(table, ids, &select, limit as usize).await?;
    items.iter().map(decode).collect()
}

pub(super) async fn all(table: &Table, ids: &Ids, bot: BotId) -> Result<Vec<Delivery>, StoreError> {
    fan::unfolded(table, ids, &items_of(bot, DELIVERY), usize::MAX).await?.iter().map(decode).collect()
}

/// The index may name a bot whose delivery was just settled: whoever acts on it reads its deliveries.
pub(super) async fn bots_due(table: &Table, now: Timestamp, limit: u32) -> Result<Vec<BotId>, StoreError> {
    let mut items = reached_items(table, "by_delivery", "next_r", now, limit);
    let mut bots = Vec::new();
    while bots.len() < limit as usize
        && let Some(item) = items.next().await?
    {
        let bot = bot_of(&item)?;
        if !bots.contains(&bot) {
            bots.push(bot);
        }
    }
    Ok(bots)
}

pub(super) async fn record_attempt(
    table: &Table,
    delivery: u64,
    attempt: Attempt,
    status: DeliveryStatus,
) -> Result<(), StoreError> {
    let at = table.get(Key::delivery_id(delivery)).await?.ok_or(StoreError::Missing)?;
    let bot: BotId = parse("the bot of a delivery", text(&at, "bot")?)?;
    let key = Key::delivery(bot, number(&at, "seq")?, delivery);
    let mut tries = 0;
    loop {
        let item = table.get(key.clone()).await?.ok_or(StoreError::Missing)?;
        let mut known = decode(&item)?;
        known.attempts.push(attempt.clone());
        // Two senders may have had it. One of them was heard, and that stands.
        if known.status != DeliveryStatus::Delivered {
            known.failures += u32::from(status != DeliveryStatus::Delivered);
            known.status = status;
        }
        let mut writes = Writes::new(&table.name);
        update(&mut writes, &item, &known)?;
        match table.transact(writes.into_vec()).await? {
            Ok(()) => return remove_if_orphan(table, bot, &key, &known).await,
            Err(_) => table.wait("recording an attempt", &mut tries).await?,
        }
    }
}

/// It may have outlived its record only to be settled. Asked after the write: a record that is deleted meanwhile takes it
/// along.
async fn remove_if_orphan(table: &Table, bot: BotId, key: &Key, settled: &Delivery) -> Result<(), StoreError> {
    if matches!(settled.status, DeliveryStatus::Pending { .. }) || exists(table, bot).await? {
        return Ok(());
    }
    table.delete_many(vec![Key::delivery_id(settled.id), key.clone()]).await
}

/// Those that are settled of these.
pub(super) async fn resend(table: &Table, deliveries: &[u64], now: Timestamp) -> Result<u64, StoreError> {
    let keys: Vec<Key> = places(table, deliveries).await?.into_iter().map(|(_, key)| key).collect();
    let mut resent = 0;
    for part in keys.chunks(RESENDS) {
        let mut tries = 0;
        loop {
            let mut settled = table.get_many(part.to_vec()).await?;
            settled.retain(|item| !item.contains_key("next_r"));
            if settled.is_empty() {
                break;
            }
            if again(table, &settled, now).await? {
                resent += settled.len() as u64;
                break;
            }
            table.wait("sending again", &mut tries).await?;
        }
    }
    Ok(resent)
}

/// Makes settled deliveries pending; false if one of them was changed meanwhile, and then none.
async fn again(table: &Table, settled: &[Item], now: Timestamp) -> Result<bool, StoreError> {
    let mut writes = Writes::new(&table.name);
    for item in settled {
        let again = Delivery { status: DeliveryStatus::Pending { next_at: now }, failures: 0, ..decode(item)? };
        update(&mut writes, item, &again)?;
    }
    Ok(table.transact(writes.into_vec()).await?.is_ok())
}

pub(super) async fn postpone(table: &Table, deliveries: &[u64], until: Timestamp) -> Result<(), StoreError> {
    let places = places(table, deliveries).await?;
    let changes = places.into_iter().map(|(bot, key)| async move {
        let change = "SET next_ms = :next, next_r = :next_r, rev = rev + :one";
        let condition = "attribute_exists(next_r) AND next_ms < :next";
        let next_r = s(time_key(until, bot));
        let values = vec![(":next", n(until.as_millis())), (":next_r", next_r), (":one", n(1))];
        table.update_if(key, change, condition, values).await
    });
    // Collected first: a borrowing stream of futures is not known to be `Send`.
    let changes: Vec<_> = changes.collect();
    stream::iter(changes).buffer_unordered(CHANGES).try_for_each(|_| async { Ok(()) }).await
}

/// Bot and key of those that are there, each once.
async fn places(table: &Table, deliveries: &[u64]) -> Result<Vec<(BotId, Key)>, StoreError> {
    let ids: BTreeSet<u64> = deliveries.iter().copied().collect();
    let pointers = table.get_many(ids.into_iter().map(Key::delivery_id).collect()).await?;
    let place = |at: &Item| {
        let bot = parse("the bot of a delivery", text(at, "bot")?)?;
        let id = text(at, "pk")?.strip_prefix("delivery#").unwrap_or_default();
        Ok((bot, Key::delivery(bot, number(at, "seq")?, parse("the id of a delivery", id)?)))
    };
    pointers.iter().map(place).collect()
}

/// Makes a stored delivery this one, if nobody else has changed it since it was read.
fn update(writes: &mut Writes<'_>, item: &Item, delivery: &Delivery) -> Result<(), StoreError> {
    let rev: u64 = number(item, "rev")?;
    let mut set = "SET rev = :new, st = :st, fails = :fails, tries = :tries".to_owned();
    let mut values = vec![
        (":rev", n(rev)),
        (":new", n(rev + 1)),
        (":fails", n(delivery.failures)),
        (":tries", to_json(&delivery.attempts)),
    ];
    let name = match delivery.status {
        DeliveryStatus::Pending { next_at } => {
            set.push_str(", next_ms = :next, next_r = :next_r REMOVE expires_s");
            values.extend([(":next", n(next_at.as_millis())), (":next_r", s(time_key(next_at, bot_of(item)?)))]);
            "pending"
        }
        status @ (DeliveryStatus::Delivered | DeliveryStatus::Failed) => {
            set.push_str(", expires_s = :gone REMOVE next_ms, next_r");
            values.push((":gone", n(maybe_number::<i64>(item, "gone_s").unwrap_or(i64::MAX))));
            if status == DeliveryStatus::Delivered { "delivered" } else { "failed" }
        }
    };
    values.push((":st", s(name)));
    writes.update(Key::of(item)?, set, "rev = :rev".into(), values);
    Ok(())
}

pub(super) fn decode(item: &Item) -> Result<Delivery, StoreError> {
    let status = match text(item, "st")? {
        "pending" => DeliveryStatus::Pending { next_at: time(item, "next_ms")? },
        "delivered" => DeliveryStatus::Delivered,
        "failed" => DeliveryStatus::Failed,
        status => return Err(corrupt("the status of a delivery", status)),
    };
    let event: Event = from_json("an event", item, "event")?;
    let endpoint = maybe_text(item, "endpoint_id");
    Ok(Delivery {
        id: number(item, "did")?,
        tenant: TenantId::new(text(item, "owner_id")?),
        url: parse("the address of a delivery", text(item, "addr")?)?,
        endpoint: endpoint.map(|endpoint| parse("the endpoint of a delivery", endpoint)).transpose()?,
        // Before there was a ledger of a tenant, this was not noted.
        made_at: maybe_number(item, "made_ms").map_or(event.at, Timestamp::from_millis),
        event,
        status,
        failures: number(item, "fails")?,
        attempts: from_json("the attempts of a delivery", item, "tries")?,
    })
}
