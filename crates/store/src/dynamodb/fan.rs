//! Deliveries of an event with more addresses than fit into the transaction that it belongs to: they are written as one item,
//! which is made the deliveries that it says right after, or by whoever next looks at the deliveries of its bot.
//!
//! It stands among the pending deliveries of its bot, and in their index. A part of it at a time becomes deliveries, in a
//! transaction that also moves on how far it is, so that each is made once, whoever does it and however many do.

use muster_session::event::Event;
use muster_session::{EndpointId, TenantId, Timestamp};
use serde::{Deserialize, Serialize};
use url::Url;

use super::deliveries::{self, ITEMS, Of};
use super::ids::Ids;
use super::item::{Item, Key, from_json, n, number, s, shard, time_key, to_json};
use super::table::{Select, Table};
use super::write::{MOST_WRITES, Writes};
use crate::StoreError;

/// Deliveries that one write makes, beside the item itself.
const PART: usize = (MOST_WRITES - 1) / ITEMS;

/// What is stored of them.
#[derive(Serialize, Deserialize)]
pub(super) struct Fan {
    tenant: TenantId,
    made_at: Timestamp,
    gone_s: i64,
    event: Event,
    to: Vec<(Url, Option<EndpointId>)>,
}

impl Fan {
    pub(super) fn new(of: &Of<'_>, to: &[(&Url, Option<EndpointId>)]) -> Self {
        Self {
            tenant: of.tenant.clone(),
            made_at: of.made_at,
            gone_s: of.gone_s,
            event: of.event.clone(),
            to: to.iter().map(|(url, endpoint)| ((*url).clone(), *endpoint)).collect(),
        }
    }

    /// Answers where it is.
    pub(super) fn put(&self, writes: &mut Writes<'_>, ids: &Ids) -> Key {
        let bot = self.event.bot;
        let key = Key::fan(bot, self.event.sequence, ids.at(self.made_at));
        let mut item = key.clone().into_item();
        item.insert("fan".into(), to_json(self));
        item.insert("unfolded".into(), n(0));
        item.insert("part_h".into(), s(shard(bot)));
        item.insert("next_r".into(), s(time_key(self.made_at, bot)));
        writes.put_new(item);
        key
    }
}

/// After the write. Whatever fails is left to whoever looks next: it is written.
pub(super) async fn unfold_now(table: &Table, ids: &Ids, fans: Vec<Key>) {
    for key in fans {
        if let Ok(Some(item)) = table.get(key).await {
            unfold(table, ids, &item).await.ok();
        }
    }
}

/// Deliveries as they are once everything of them is unfolded.
pub(super) async fn unfolded(table: &Table, ids: &Ids, select: &Select, limit: usize) -> Result<Vec<Item>, StoreError> {
    loop {
        let items = table.select(select, limit).await?;
        // They come first.
        let fans: Vec<&Item> = items.iter().take_while(|item| item.contains_key("fan")).collect();
        if fans.is_empty() {
            return Ok(items);
        }
        for fan in fans {
            unfold(table, ids, fan).await?;
        }
    }
}

async fn unfold(table: &Table, ids: &Ids, item: &Item) -> Result<(), StoreError> {
    let fan: Fan = from_json("deliveries to be made", item, "fan")?;
    let of = Of { tenant: &fan.tenant, event: &fan.event, made_at: fan.made_at, gone_s: fan.gone_s };
    let key = Key::of(item)?;
    let mut done: usize = number(item, "unfolded")?;
    let mut attempt = 0;
    while done < fan.to.len() {
        let end = fan.to.len().min(done + PART);
        let mut writes = Writes::new(&table.name);
        let as_read = (":done", n(done));
        if end == fan.to.len() {
            writes.delete(key.clone(), Some(("unfolded = :done", vec![as_read])));
        } else {
            let values = vec![as_read, (":end", n(end))];
            writes.update(key.clone(), "SET unfolded = :end".into(), "unfolded = :done".into(), values);
        }
        for (url, endpoint) in &fan.to[done..end] {
            deliveries::put(&mut writes, ids, &of, url, *endpoint);
        }
        if table.transact(writes.into_vec()).await?.is_ok() {
            done = end;
            continue;
        }
        // Somebody else is at it, or an id was taken.
        table.wait("making deliveries", &mut attempt).await?;
        let Some(now) = table.get(key.clone()).await? else { return Ok(()) };
        done = number(&now, "unfolded")?;
    }
    Ok(())
}
