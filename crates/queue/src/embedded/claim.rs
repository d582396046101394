//! Taking messages under a lease.

use std::sync::{Arc, Weak};
use std::time::Duration;

use muster_session::Timestamp;
use muster_session::job::Topic;
use rusqlite::{Connection, OptionalExtension, params};

use super::Shared;
use crate::{Delivery, QueueError, Receipt};

/// What a look at a topic found.
pub(super) enum Found {
    /// Messages, leased.
    Messages(Claim),
    /// Nothing that can be received now.
    Nothing {
        /// When the next message can be, if one is known.
        next_in: Option<Duration>,
    },
}

/// Messages that were leased and not yet handed to the receiver. A receiver that gave up meanwhile drops it, and then
/// they are put back as they were.
pub(super) struct Claim {
    shared: Weak<Shared>,
    topic: Topic,
    taken: Vec<Taken>,
}

struct Taken {
    id: i64,
    lease: i64,
    visible_at: i64,
    receives: u32,
    payload: Vec<u8>,
}

/// Leases up to `max` receivable messages.
pub(super) async fn claim(shared: &Arc<Shared>, topic: Topic, max: u32, lease: Duration) -> Result<Found, QueueError> {
    let weak = Arc::downgrade(shared);
    let (now, until) = (shared.now(), shared.after(lease));
    let work = move |c: &Connection| -> Result<Found, QueueError> {
        let taken = take(c, topic, max, now, until)?;
        if taken.is_empty() {
            return Ok(Found::Nothing { next_in: next_in(c, topic, now)? });
        }
        Ok(Found::Messages(Claim { shared: weak, topic, taken }))
    };
    shared.database.write(work).await
}

fn take(
    c: &Connection,
    topic: Topic,
    max: u32,
    now: Timestamp,
    until: Timestamp,
) -> Result<Vec<Taken>, rusqlite::Error> {
    let sql = "SELECT id, lease + 1, visible_at, receives + 1, payload FROM message
               WHERE topic = ?1 AND visible_at <= ?2 ORDER BY visible_at, id LIMIT ?3";
    let taken = c
        .prepare_cached(sql)?
        .query_map(params![topic.as_str(), now.as_millis(), max], |row| {
            Ok(Taken {
                id: row.get(0)?,
                lease: row.get(1)?,
                visible_at: row.get(2)?,
                receives: row.get(3)?,
                payload: row.get(4)?,
            })
        })?
        .collect::<Result<Vec<_>, _>>()?;
    let sql = "UPDATE message SET leased = 1, lease = ?2, visible_at = ?3, receives = ?4 WHERE id = ?1";
    let mut update = c.prepare_cached(sql)?;
    for message in &taken {
        update.execute(params![message.id, message.lease, until.as_millis(), message.receives])?;
    }
    Ok(taken)
}

fn next_in(c: &Connection, topic: Topic, now: Timestamp) -> Result<Option<Duration>, rusqlite::Error> {
    let sql = "SELECT visible_at FROM message WHERE topic = ?1 ORDER BY visible_at LIMIT 1";
    let next: Option<i64> = c.prepare_cached(sql)?.query_row([topic.as_str()], |row| row.get(0)).optional()?;
    Ok(next.map(|at| Timestamp::from_millis(at).since(now)))
}

impl Claim {
    /// They are the receiver's now.
    pub(super) fn keep(mut self) -> Vec<Delivery> {
        let topic = self.topic;
        std::mem::take(&mut self.taken)
            .into_iter()
            .map(|message| Delivery {
                receipt: Receipt { topic, id: message.id.to_string(), token: message.lease.to_string() },
                payload: message.payload,
                receives: message.receives,
            })
            .collect()
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let taken = std::mem::take(&mut self.taken);
        if taken.is_empty() {
            return;
        }
        // Without the queue there is nobody to hand them to; their leases run out.
        let Some(shared) = self.shared.upgrade() else { return };
        shared.database.submit(move |c| {
            let sql = "UPDATE message SET leased = 0, visible_at = ?3, receives = receives - 1
                       WHERE id = ?1 AND lease = ?2 AND leased";
            let mut update = c.prepare_cached(sql)?;
            for message in &taken {
                update.execute(params![message.id, message.lease, message.visible_at])?;
            }
            Ok(())
        });
        // Whoever is woken looks after the write above: the writer keeps the order.
        shared.changed(self.topic).notify_waiters();
    }
}
