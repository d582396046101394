//! The ledger of webhooks.

use muster_redis::cmd;
use muster_session::{BotId, TenantId, Timestamp};

use super::sessions::{padded_number, padded_sequence};
use super::{RedisStore, arguments, scripts};
use crate::codec::{corrupt, from_json, parse, to_json};
use crate::{Attempt, Delivery, DeliveryStatus, StoreError};

/// Id, then tenant, address, event, status, next attempt, failures, attempts.
type Raw = (u64, (String, String, String, String, String, u32, String));

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

fn decode((id, (tenant, url, event, status, next_at, failures, attempts)): Raw) -> Result<Delivery, StoreError> {
    let status = match status.as_str() {
        "pending" => {
            DeliveryStatus::Pending { next_at: Timestamp::from_millis(parse("the time of a delivery", &next_at)?) }
        }
        "delivered" => DeliveryStatus::Delivered,
        "failed" => DeliveryStatus::Failed,
        status => return Err(corrupt("the status of a delivery", status)),
    };
    Ok(Delivery {
        id,
        tenant: TenantId::new(tenant),
        url: parse("the address of a delivery", &url)?,
        event: from_json("an event", &event)?,
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

pub(super) async fn replay(
    store: &RedisStore,
    bot: BotId,
    sequence: Option<u64>,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let sequence = sequence.map_or_else(String::new, padded_sequence);
    let fill = arguments(|script| script.arg(bot.to_string()).arg(sequence).arg(now.as_millis()));
    store.script(&scripts::REPLAY, fill).await
}
