//! The ledger of webhooks. A delivery is one of its bot's items, so that those of a bot are read in order and as they are;
//! a second item says where the delivery with an id is.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use muster_session::event::Event;
use muster_session::{BotId, Session, TenantId, Timestamp};

use super::ids::Ids;
use super::item::{
    DELIVERY, Item, Key, bot_of, corrupt, from_json, maybe_number, n, number, parse, pointer, s, shard, text, time,
    time_key, to_json,
};
use super::list::reached_items;
use super::record::{exists, items_of};
use super::table::Table;
use super::write::Writes;
use crate::{Attempt, Delivery, DeliveryStatus, StoreError};

/// What is settled and should have gone with its record goes by itself so long after the record was to.
const KEPT_AFTER: Duration = Duration::from_secs(30 * 86_400);
/// Deliveries that one write makes pending again.
const REPLAYS: usize = 50;

/// Makes a pending delivery of every event that has an address.
pub(super) fn add(writes: &mut Writes<'_>, ids: &Ids, session: &Session, events: &[Event], now: Timestamp) {
    for event in events {
        let Some(url) = event.to.as_ref().or(session.callback_url.as_ref()) else { continue };
        let id = ids.at(now);
        let mut item = Key::delivery(event.bot, event.sequence, id).into_item();
        let mut set = |name: &str, value: AttributeValue| item.insert(name.to_owned(), value);
        set("did", n(id));
        set("owner_id", s(session.tenant.as_str()));
        set("addr", s(url.as_str()));
        set("event", to_json(event));
        set("st", s("pending"));
        set("next_ms", n(now.as_millis()));
        set("part_h", s(shard(event.bot)));
        set("next_r", s(time_key(now, event.bot)));
        set("fails", n(0));
        set("tries", s("[]"));
        set("rev", n(0));
        set("gone_s", n((session.expires_at + KEPT_AFTER).as_millis() / 1_000));
        writes.put_new(item);
        let mut at = pointer(Key::delivery_id(id), event.bot);
        at.insert("seq".into(), n(event.sequence));
        writes.put_new(at);
    }
}

/// Settled ones are read too, and left out by the table.
pub(super) async fn pending(table: &Table, bot: BotId, limit: u32) -> Result<Vec<Delivery>, StoreError> {
    let mut select = items_of(bot, DELIVERY);
    select.filter = Some("attribute_exists(next_r)".into());
    table.select(&select, limit as usize).await?.iter().map(decode).collect()
}

pub(super) async fn all(table: &Table, bot: BotId) -> Result<Vec<Delivery>, StoreError> {
    table.select(&items_of(bot, DELIVERY), usize::MAX).await?.iter().map(decode).collect()
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

pub(super) async fn replay(
    table: &Table,
    bot: BotId,
    sequence: Option<u64>,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let mut settled = items_of(bot, &sequence.map_or_else(|| DELIVERY.to_owned(), |of| format!("{DELIVERY}{of:020}#")));
    settled.filter = Some("attribute_not_exists(next_r)".into());
    let (mut replayed, mut tries) = (0, 0);
    loop {
        let items = table.select(&settled, REPLAYS).await?;
        if items.is_empty() {
            return Ok(replayed);
        }
        let mut writes = Writes::new(&table.name);
        for item in &items {
            let again = Delivery { status: DeliveryStatus::Pending { next_at: now }, failures: 0, ..decode(item)? };
            update(&mut writes, item, &again)?;
        }
        match table.transact(writes.into_vec()).await? {
            Ok(()) => replayed += items.len() as u64,
            Err(_) => table.wait("replaying", &mut tries).await?,
        }
    }
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

fn decode(item: &Item) -> Result<Delivery, StoreError> {
    let status = match text(item, "st")? {
        "pending" => DeliveryStatus::Pending { next_at: time(item, "next_ms")? },
        "delivered" => DeliveryStatus::Delivered,
        "failed" => DeliveryStatus::Failed,
        status => return Err(corrupt("the status of a delivery", status)),
    };
    Ok(Delivery {
        id: number(item, "did")?,
        tenant: TenantId::new(text(item, "owner_id")?),
        url: parse("the address of a delivery", text(item, "addr")?)?,
        event: from_json("an event", item, "event")?,
        status,
        failures: number(item, "fails")?,
        attempts: from_json("the attempts of a delivery", item, "tries")?,
    })
}
