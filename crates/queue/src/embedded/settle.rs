//! What becomes of a leased message, and of a dead one.

use std::time::Duration;

use muster_session::job::Topic;
use rusqlite::{Connection, OptionalExtension, ToSql, params};

use super::Shared;
use crate::{QueueError, Receipt};

/// The message that a receipt is for, as long as its lease holds. Parameters 1 to 4 of every statement here.
const HELD: &str = "id = ?1 AND topic = ?2 AND lease = ?3 AND leased AND visible_at > ?4";

struct Held {
    id: i64,
    topic: Topic,
    lease: i64,
    now: i64,
}

impl Held {
    fn new(shared: &Shared, receipt: &Receipt) -> Result<Self, QueueError> {
        // A receipt that this backend never gave out holds nothing.
        let number = |text: &str| text.parse::<i64>().map_err(|_| QueueError::LeaseLost);
        Ok(Self {
            id: number(&receipt.id)?,
            topic: receipt.topic,
            lease: number(&receipt.token)?,
            now: shared.now().as_millis(),
        })
    }

    /// Runs a statement that changes the held message.
    fn change(&self, c: &Connection, statement: &str, more: &[&dyn ToSql]) -> Result<(), QueueError> {
        let topic = self.topic.as_str();
        let mut values: Vec<&dyn ToSql> = vec![&self.id, &topic, &self.lease, &self.now];
        values.extend(more);
        let changed = c.prepare_cached(&format!("{statement} WHERE {HELD}"))?.execute(values.as_slice())?;
        if changed == 0 { Err(QueueError::LeaseLost) } else { Ok(()) }
    }
}

pub(super) async fn extend(shared: &Shared, receipt: &Receipt, lease: Duration) -> Result<(), QueueError> {
    let (held, until) = (Held::new(shared, receipt)?, shared.after(lease).as_millis());
    let work = move |c: &Connection| held.change(c, "UPDATE message SET visible_at = ?5", &[&until]);
    shared.database.write(work).await?;
    // It may be shorter than it was.
    shared.changed(receipt.topic).notify_waiters();
    Ok(())
}

pub(super) async fn ack(shared: &Shared, receipt: &Receipt) -> Result<(), QueueError> {
    let held = Held::new(shared, receipt)?;
    shared.database.write(move |c| held.change(c, "DELETE FROM message", &[])).await
}

pub(super) async fn release(shared: &Shared, receipt: &Receipt, delay: Duration) -> Result<(), QueueError> {
    let (held, visible_at) = (Held::new(shared, receipt)?, shared.after(delay).as_millis());
    let work = move |c: &Connection| held.change(c, "UPDATE message SET leased = 0, visible_at = ?5", &[&visible_at]);
    shared.database.write(work).await?;
    shared.changed(receipt.topic).notify_waiters();
    Ok(())
}

pub(super) async fn dead_letter(shared: &Shared, receipt: &Receipt, reason: String) -> Result<(), QueueError> {
    let held = Held::new(shared, receipt)?;
    let work = move |c: &Connection| {
        let copy = "INSERT INTO dead (topic, payload, reason, died_at) SELECT topic, payload, ?5, ?4 FROM message";
        held.change(c, copy, &[&reason])?;
        // The deduplication key goes with it: a dead letter does not keep its successors out.
        held.change(c, "DELETE FROM message", &[])
    };
    shared.database.write(work).await
}

pub(super) async fn requeue(shared: &Shared, topic: Topic, id: &str) -> Result<bool, QueueError> {
    let Ok(id) = id.parse::<i64>() else { return Ok(false) };
    let now = shared.now().as_millis();
    let work = move |c: &Connection| -> Result<bool, QueueError> {
        let sql = "DELETE FROM dead WHERE id = ?1 AND topic = ?2 RETURNING payload";
        let payload: Option<Vec<u8>> =
            c.prepare_cached(sql)?.query_row(params![id, topic.as_str()], |row| row.get(0)).optional()?;
        let Some(payload) = payload else { return Ok(false) };
        let sql = "INSERT INTO message (topic, payload, visible_at) VALUES (?1, ?2, ?3)";
        c.prepare_cached(sql)?.execute(params![topic.as_str(), payload, now])?;
        Ok(true)
    };
    let found = shared.database.write(work).await?;
    shared.changed(topic).notify_waiters();
    Ok(found)
}
