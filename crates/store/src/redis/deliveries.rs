//! The ledger of webhooks.

use muster_redis::{ScriptInvocation, cmd};
use muster_session::event::Event;
use muster_session::{BotId, EndpointId, TenantId, Timestamp};
use url::Url;

use super::filling::Filling;
use super::list::{cursor, newest_end, oldest_end};
use super::sessions::{padded_number, padded_sequence, padded_time, unpadded_time};
use super::{RedisStore, arguments, scripts};
use crate::codec::{Cursor, corrupt, from_json, parse, to_json};
use crate::{Attempt, Delivery, DeliveryState, DeliveryStatus, Endpoint, LedgerPage, LedgerQuery, StoreError};

/// Ids that one script takes.
const CHUNK: usize = 500;

/// Id, then tenant, address, event, status, next attempt, failures, attempts, endpoint, padded time of making. The last two
/// are not there in what was stored before there were endpoints.
type Raw = (u64, (String, String, String, String, String, u32, String, Option<String>, Option<String>));

/// An event and where it goes.
pub(super) type Addressed<'a> = (&'a Event, Vec<(&'a Url, Option<EndpointId>)>);

/// Deliveries, as the scripts take them.
pub(super) fn argument(script: &mut ScriptInvocation<'_>, events: &[Addressed<'_>], now: Timestamp) {
    let count: usize = events.iter().map(|(_, addresses)| addresses.len()).sum();
    script.arg(count);
    if count == 0 {
        return;
    }
    script.arg(now.as_millis()).arg(padded_time(now.as_millis()));
    for (event, addresses) in events.iter().filter(|(_, addresses)| !addresses.is_empty()) {
        script.arg(padded_sequence(event.sequence)).arg(to_json(event)).arg(addresses.len());
        for (url, endpoint) in addresses {
            script.arg(url.as_str()).arg(endpoint.map_or_else(String::new, |id| id.to_string()));
        }
    }
}

pub(super) async fn notify(
    store: &RedisStore,
    tenant: &TenantId,
    event: &Event,
    endpoints: &[Endpoint],
    now: Timestamp,
) -> Result<(), StoreError> {
    let takers = endpoints.iter().filter(|endpoint| endpoint.takes(event));
    let events = [(event, takers.map(|endpoint| (&endpoint.url, Some(endpoint.id))).collect())];
    let fill = arguments(|script| {
        script.arg(event.bot.to_string()).arg(tenant.as_str());
        argument(script, &events, now);
        script
    });
    store.script(&scripts::NOTIFY, fill).await
}

pub(super) async fn read(
    store: &RedisStore,
    bot: BotId,
    pending: bool,
    limit: u32,
) -> Result<Vec<Delivery>, StoreError> {
    let fill = arguments(|script| script.arg(bot.to_string()).arg(u8::from(pending)).arg(limit));
    let found: Vec<Raw> = store.script(&scripts::LEDGER, fill).await?;
    found.into_iter().map(decode).collect()
}

fn decode(raw: Raw) -> Result<Delivery, StoreError> {
    let (id, (tenant, url, event, status, next_at, failures, attempts, endpoint, made_at)) = raw;
    let status = match status.as_str() {
        "pending" => {
            DeliveryStatus::Pending { next_at: Timestamp::from_millis(parse("the time of a delivery", &next_at)?) }
        }
        "delivered" => DeliveryStatus::Delivered,
        "failed" => DeliveryStatus::Failed,
        status => return Err(corrupt("the status of a delivery", status)),
    };
    let event: Event = from_json("an event", &event)?;
    let endpoint = endpoint.filter(|endpoint| !endpoint.is_empty());
    let made_at = made_at.map(|made_at| unpadded_time(&made_at).map(Timestamp::from_millis)).transpose()?;
    Ok(Delivery {
        id,
        tenant: TenantId::new(tenant),
        url: parse("the address of a delivery", &url)?,
        endpoint: endpoint.map(|endpoint| parse("the endpoint of a delivery", &endpoint)).transpose()?,
        made_at: made_at.unwrap_or(event.at),
        event,
        status,
        failures,
        attempts: from_json("the attempts of a delivery", &attempts)?,
    })
}

pub(super) async fn bots_due(store: &RedisStore, now: Timestamp, limit: u32) -> Result<Vec<BotId>, StoreError> {
    let mut range = cmd("ZRANGEBYSCORE");
    range.arg(store.key(":hooks")).arg("-inf").arg(now.as_millis()).arg("LIMIT").arg(0).arg(limit);
    let bots: Vec<String> = store.link.run(&range).await?;
    bots.iter().map(|bot| parse("the bot of a delivery", bot)).collect()
}

pub(super) async fn record_attempt(
    store: &RedisStore,
    delivery: u64,
    attempt: &Attempt,
    status: DeliveryStatus,
) -> Result<(), StoreError> {
    let (name, next_at) = match status {
        DeliveryStatus::Pending { next_at } => ("pending", next_at.as_millis().to_string()),
        DeliveryStatus::Delivered => ("delivered", String::new()),
        DeliveryStatus::Failed => ("failed", String::new()),
    };
    let fill = arguments(|script| script.arg(padded_number(delivery)).arg(to_json(attempt)).arg(name).arg(next_at));
    let found: bool = store.script(&scripts::ATTEMPT, fill).await?;
    if found { Ok(()) } else { Err(StoreError::Missing) }
}

pub(super) async fn resend(store: &RedisStore, deliveries: &[u64], now: Timestamp) -> Result<u64, StoreError> {
    let mut resent = 0;
    for ids in deliveries.chunks(CHUNK) {
        let fill = arguments(|script| ids_argument(script.arg(now.as_millis()), ids));
        resent += store.script::<u64>(&scripts::RESEND, fill).await?;
    }
    Ok(resent)
}

pub(super) async fn postpone(store: &RedisStore, deliveries: &[u64], until: Timestamp) -> Result<(), StoreError> {
    for ids in deliveries.chunks(CHUNK) {
        let fill = arguments(|script| ids_argument(script.arg(until.as_millis()), ids));
        store.script::<()>(&scripts::POSTPONE, fill).await?;
    }
    Ok(())
}

fn ids_argument<'a, 'b>(script: &'b mut ScriptInvocation<'a>, ids: &[u64]) -> &'b mut ScriptInvocation<'a> {
    for id in ids {
        script.arg(padded_number(*id));
    }
    script
}

/// Where to look on, and of each delivery its place and what is stored.
type Looked = (String, Vec<(String, Raw)>);

pub(super) async fn page(store: &RedisStore, tenant: &TenantId, query: &LedgerQuery) -> Result<LedgerPage, StoreError> {
    let filtered = query.state.is_some() || query.endpoint.is_some() || query.event.is_some();
    let last = query.cursor.as_deref().map(|text| Cursor::read(text).ok_or(StoreError::BadCursor)).transpose()?;
    let mut filling = Filling::new(query.limit, filtered, newest_end(query.to, last)?);
    let oldest = oldest_end(query.from);
    while let Some((look, newest)) = filling.next_look() {
        let fill = arguments(|script| {
            script.arg(tenant.as_str()).arg(look).arg(newest).arg(&oldest);
            script.arg(query.state.map_or("", DeliveryState::as_str));
            script.arg(query.endpoint.map_or_else(String::new, |id| id.to_string()))
        });
        let (seen, rows): Looked = store.script(&scripts::TENANT_LEDGER, fill).await?;
        for (place, raw) in rows {
            let delivery = decode(raw)?;
            if query.event.as_ref().is_none_or(|name| is_named(&delivery.event, name)) {
                filling.add(place, delivery);
            }
        }
        filling.looked(&seen);
    }
    let (deliveries, last) = filling.into_page();
    let next = last.map(|place| cursor(&place)).transpose()?.map(|cursor| cursor.write());
    Ok(LedgerPage { deliveries, next })
}

fn is_named(event: &Event, name: &str) -> bool {
    event.event == name || event.bot_event == name
}
