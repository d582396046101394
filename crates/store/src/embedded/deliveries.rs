//! The ledger of webhooks.

use muster_session::event::Event;
use muster_session::{BotId, TenantId, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};
use url::Url;

use crate::codec::{corrupt, from_json, parse, to_json};
use crate::{Attempt, Delivery, DeliveryStatus, Endpoint, StoreError, addresses};

/// What [`Raw::read`] needs to be selected, in this order.
pub(super) const COLUMNS: &str = "id, tenant, url, endpoint, made_at, event, status, next_at, failures, attempts";

/// Makes a pending delivery of an event for each of its addresses.
pub(super) fn add(
    c: &Connection,
    tenant: &TenantId,
    event: &Event,
    (callback_url, endpoints): (Option<&Url>, &[Endpoint]),
    now: Timestamp,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO delivery (bot, tenant, sequence, url, status, next_at, event, endpoint, made_at)
               VALUES (?1, ?2, ?3, ?4, 'pending', ?5, ?6, ?7, ?5)";
    let mut insert = c.prepare_cached(sql)?;
    for (url, endpoint) in addresses(event, callback_url, endpoints) {
        insert.execute(params![
            event.bot.to_string(),
            tenant.as_str(),
            event.sequence.cast_signed(),
            url.as_str(),
            now.as_millis(),
            to_json(event),
            endpoint.map(|id| id.to_string()),
        ])?;
    }
    Ok(())
}

pub(super) fn pending(c: &Connection, bot: BotId, limit: u32) -> Result<Vec<Delivery>, StoreError> {
    select(c, "bot = ?1 AND next_at IS NOT NULL ORDER BY sequence, id LIMIT ?2", &[&bot.to_string(), &limit])
}

pub(super) fn all(c: &Connection, bot: BotId) -> Result<Vec<Delivery>, StoreError> {
    select(c, "bot = ?1 ORDER BY sequence, id", &[&bot.to_string()])
}

fn select(c: &Connection, condition: &str, parameters: &[&dyn ToSql]) -> Result<Vec<Delivery>, StoreError> {
    let mut statement = c.prepare_cached(&format!("SELECT {COLUMNS} FROM delivery WHERE {condition}"))?;
    let rows = statement.query_map(parameters, Raw::read)?;
    rows.map(|raw| raw?.decode()).collect()
}

pub(super) fn bots_due(c: &Connection, now: Timestamp, limit: u32) -> Result<Vec<BotId>, StoreError> {
    let sql = "SELECT bot FROM delivery WHERE next_at <= ?1 GROUP BY bot ORDER BY min(next_at), bot LIMIT ?2";
    let mut statement = c.prepare_cached(sql)?;
    let rows = statement.query_map(params![now.as_millis(), limit], |row| row.get::<_, String>(0))?;
    rows.map(|bot| parse("the bot of a delivery", &bot?)).collect()
}

pub(super) fn record_attempt(
    c: &Connection,
    delivery: u64,
    attempt: Attempt,
    status: DeliveryStatus,
) -> Result<(), StoreError> {
    let id = delivery.cast_signed();
    let sql = format!("SELECT {COLUMNS} FROM delivery WHERE id = ?1");
    let raw = c.prepare_cached(&sql)?.query_row([id], Raw::read).optional()?;
    let mut known = raw.ok_or(StoreError::Missing)?.decode()?;
    known.attempts.push(attempt);
    // Two senders may have had it. One of them was heard, and that stands.
    if known.status != DeliveryStatus::Delivered {
        known.failures += u32::from(status != DeliveryStatus::Delivered);
        known.status = status;
    }
    let (name, next_at) = columns(known.status);
    let sql = "UPDATE delivery SET status = ?2, next_at = ?3, failures = ?4, attempts = ?5 WHERE id = ?1";
    c.prepare_cached(sql)?.execute(params![id, name, next_at, known.failures, to_json(&known.attempts)])?;
    // It outlived its record only to be settled.
    let sql = "DELETE FROM delivery WHERE id = ?1 AND next_at IS NULL
               AND NOT EXISTS (SELECT 1 FROM session WHERE session.id = delivery.bot)";
    c.prepare_cached(sql)?.execute([id])?;
    Ok(())
}

pub(super) fn resend(c: &Connection, deliveries: &[u64], now: Timestamp) -> Result<u64, StoreError> {
    let sql = "UPDATE delivery SET status = 'pending', next_at = ?2, failures = 0 WHERE id = ?1 AND next_at IS NULL";
    let mut update = c.prepare_cached(sql)?;
    let mut resent = 0;
    for id in deliveries {
        resent += update.execute([id.cast_signed(), now.as_millis()])?;
    }
    Ok(resent as u64)
}

pub(super) fn postpone(c: &Connection, deliveries: &[u64], until: Timestamp) -> Result<(), StoreError> {
    let mut update = c.prepare_cached("UPDATE delivery SET next_at = ?2 WHERE id = ?1 AND next_at < ?2")?;
    for id in deliveries {
        update.execute([id.cast_signed(), until.as_millis()])?;
    }
    Ok(())
}

fn columns(status: DeliveryStatus) -> (&'static str, Option<i64>) {
    match status {
        DeliveryStatus::Pending { next_at } => ("pending", Some(next_at.as_millis())),
        DeliveryStatus::Delivered => ("delivered", None),
        DeliveryStatus::Failed => ("failed", None),
    }
}

/// A delivery as it is stored.
pub(super) struct Raw {
    id: i64,
    tenant: String,
    url: String,
    endpoint: Option<String>,
    made_at: i64,
    event: String,
    status: String,
    next_at: Option<i64>,
    failures: u32,
    attempts: String,
}

impl Raw {
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            tenant: row.get(1)?,
            url: row.get(2)?,
            endpoint: row.get(3)?,
            made_at: row.get(4)?,
            event: row.get(5)?,
            status: row.get(6)?,
            next_at: row.get(7)?,
            failures: row.get(8)?,
            attempts: row.get(9)?,
        })
    }

    pub(super) fn decode(self) -> Result<Delivery, StoreError> {
        let status = match (self.status.as_str(), self.next_at) {
            ("pending", Some(at)) => DeliveryStatus::Pending { next_at: Timestamp::from_millis(at) },
            ("delivered", None) => DeliveryStatus::Delivered,
            ("failed", None) => DeliveryStatus::Failed,
            (status, _) => return Err(corrupt("the status of a delivery", status)),
        };
        Ok(Delivery {
            id: self.id.cast_unsigned(),
            tenant: TenantId::new(self.tenant),
            url: parse("the address of a delivery", &self.url)?,
            endpoint: self.endpoint.map(|id| parse("the endpoint of a delivery", &id)).transpose()?,
            made_at: Timestamp::from_millis(self.made_at),
            event: from_json("an event", &self.event)?,
            status,
            failures: self.failures,
            attempts: from_json("the attempts of a delivery", &self.attempts)?,
        })
    }
}
