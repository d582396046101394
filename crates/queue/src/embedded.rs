//! The queue of one machine, in an SQLite file.
//!
//! A message is one row with the time from which it can be received (`visible_at`): its due time at first, the end of
//! its lease while somebody has it. A lease is over exactly when that time has come, whether anybody took the message
//! since or not. Every lease has a number of its own, which is the token of its receipts.

mod claim;
mod settle;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use muster_embedded::{Database, Durability, Migrations, OpenError, SchemaVersion};
use muster_session::Timestamp;
use muster_session::job::Topic;
use rusqlite::params;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::contract::LONGEST_WAIT;
use crate::{Delivery, Depth, Enqueue, Limits, Queue, QueueError, Receipt};

/// The file in the data directory.
const FILE: &str = "queue.db";
const SCHEMA: Migrations = &["
    CREATE TABLE message (
        id         INTEGER PRIMARY KEY AUTOINCREMENT,
        topic      TEXT NOT NULL,
        payload    BLOB NOT NULL,
        dedup_key  TEXT,
        visible_at INTEGER NOT NULL, -- milliseconds since the epoch
        leased     INTEGER NOT NULL DEFAULT 0,
        lease      INTEGER NOT NULL DEFAULT 0, -- leases ever given
        receives   INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE INDEX message_by_time ON message (topic, visible_at, id, leased);
    CREATE UNIQUE INDEX message_by_key ON message (topic, dedup_key) WHERE dedup_key IS NOT NULL;
    CREATE TABLE dead (
        id      INTEGER PRIMARY KEY AUTOINCREMENT,
        topic   TEXT NOT NULL,
        payload BLOB NOT NULL,
        reason  TEXT NOT NULL,
        died_at INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX dead_by_topic ON dead (topic, id);
"];

const LIMITS: Limits = Limits {
    max_delay: Duration::from_secs(366 * 86_400),
    max_lease: Duration::from_secs(7 * 86_400),
    max_payload_bytes: 1 << 20,
    max_receive: 512,
    deduplicates: true,
    exact_depth: true,
};
/// A waiting receiver looks at the clock this often, in case somebody set it.
const RECHECK: Duration = Duration::from_secs(5);

/// A [`Queue`] in `queue.db` in a data directory. Clones share it.
#[derive(Clone, Debug)]
pub struct EmbeddedQueue {
    shared: Arc<Shared>,
}

/// Tells the time.
pub(crate) type Clock = Box<dyn Fn() -> Timestamp + Send + Sync>;

struct Shared {
    database: Database,
    clock: Clock,
    /// By topic: something may have become receivable, or will sooner than was known.
    changed: [Notify; Topic::ALL.len()],
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("database", &self.database).finish_non_exhaustive()
    }
}

impl EmbeddedQueue {
    /// Opens the queue in this data directory, makes it if it is not there. Blocks shortly.
    ///
    /// One process at a time can have it; another is told so by [`OpenError::InUse`].
    pub fn open(dir: &Path, durability: Durability) -> Result<Self, OpenError> {
        Self::open_with_clock(dir, durability, Box::new(system_time))
    }

    /// Looks at the queue in `dir`, which may be in use, and changes nothing; none if there is none.
    pub fn inspect(dir: &Path) -> Result<Option<SchemaVersion>, OpenError> {
        muster_embedded::schema_version(&dir.join(FILE), SCHEMA)
    }

    /// Ends every lease. For the start of a process: whoever held one is gone, because one process at a time has the queue,
    /// so its messages need not wait for the end of their leases.
    pub async fn end_leases(&self) -> Result<(), QueueError> {
        let now = self.shared.now().as_millis();
        let end = move |c: &rusqlite::Connection| -> Result<(), QueueError> {
            c.execute("UPDATE message SET visible_at = ?1 WHERE leased AND visible_at > ?1", params![now])?;
            Ok(())
        };
        self.shared.database.write(end).await?;
        Topic::ALL.iter().for_each(|topic| self.shared.changed(*topic).notify_waiters());
        Ok(())
    }

    pub(crate) fn open_with_clock(dir: &Path, durability: Durability, clock: Clock) -> Result<Self, OpenError> {
        let database = Database::open(&dir.join(FILE), durability, SCHEMA)?;
        Ok(Self { shared: Arc::new(Shared { database, clock, changed: Default::default() }) })
    }
}

impl Shared {
    fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// The time `pause` from now. Never early: the clock counts whole milliseconds, so its last one is not over yet.
    fn after(&self, pause: Duration) -> Timestamp {
        let cut_off = if pause.is_zero() { Duration::ZERO } else { Duration::from_millis(1) };
        self.now() + pause + cut_off
    }

    fn changed(&self, topic: Topic) -> &Notify {
        let index = Topic::ALL.iter().position(|known| *known == topic).expect("ALL has every topic");
        &self.changed[index]
    }
}

#[async_trait]
impl Queue for EmbeddedQueue {
    async fn enqueue(&self, topic: Topic, message: Enqueue) -> Result<(), QueueError> {
        self.enqueue_all(topic, vec![message]).await
    }

    /// In one transaction: all or none.
    async fn enqueue_all(&self, topic: Topic, messages: Vec<Enqueue>) -> Result<(), QueueError> {
        messages.iter().try_for_each(|message| LIMITS.check_message(message))?;
        let rows: Vec<_> =
            messages.into_iter().map(|message| (self.shared.after(message.delay).as_millis(), message)).collect();
        let insert = move |c: &rusqlite::Connection| -> Result<(), QueueError> {
            let sql = "INSERT INTO message (topic, payload, dedup_key, visible_at) VALUES (?1, ?2, ?3, ?4)
                       ON CONFLICT (topic, dedup_key) WHERE dedup_key IS NOT NULL DO NOTHING";
            let mut insert = c.prepare_cached(sql)?;
            for (visible_at, message) in &rows {
                insert.execute(params![topic.as_str(), message.payload, message.dedup_key, visible_at])?;
            }
            Ok(())
        };
        self.shared.database.write(insert).await?;
        self.shared.changed(topic).notify_waiters();
        Ok(())
    }

    async fn receive(
        &self,
        topic: Topic,
        max: u32,
        lease: Duration,
        wait: Duration,
    ) -> Result<Vec<Delivery>, QueueError> {
        LIMITS.check_lease(lease)?;
        let max = max.min(LIMITS.max_receive);
        if max == 0 {
            return Ok(Vec::new());
        }
        let deadline = Instant::now() + wait.min(LONGEST_WAIT);
        loop {
            // Listen first, look then: what comes in between is heard.
            let change = self.shared.changed(topic).notified();
            tokio::pin!(change);
            change.as_mut().enable();
            let pause = match claim::claim(&self.shared, topic, max, lease).await? {
                claim::Found::Messages(claim) => return Ok(claim.keep()),
                claim::Found::Nothing { next_in } => next_in.unwrap_or(RECHECK).min(RECHECK),
            };
            let now = Instant::now();
            if now >= deadline {
                return Ok(Vec::new());
            }
            tokio::select! {
                () = change => {}
                () = tokio::time::sleep_until(deadline.min(now + pause)) => {}
            }
        }
    }

    async fn extend(&self, receipt: &Receipt, lease: Duration) -> Result<(), QueueError> {
        LIMITS.check_lease(lease)?;
        settle::extend(&self.shared, receipt, lease).await
    }

    async fn ack(&self, receipt: &Receipt) -> Result<(), QueueError> {
        settle::ack(&self.shared, receipt).await
    }

    async fn release(&self, receipt: &Receipt, delay: Duration) -> Result<(), QueueError> {
        LIMITS.check_delay(delay)?;
        settle::release(&self.shared, receipt, delay).await
    }

    async fn dead_letter(&self, receipt: &Receipt, reason: &str) -> Result<(), QueueError> {
        settle::dead_letter(&self.shared, receipt, reason.to_owned()).await
    }

    async fn dead(&self, topic: Topic, limit: u32) -> Result<Vec<(String, Vec<u8>, String)>, QueueError> {
        let select = move |c: &rusqlite::Connection| -> Result<_, QueueError> {
            let sql = "SELECT id, payload, reason FROM dead WHERE topic = ?1 ORDER BY id LIMIT ?2";
            let mut statement = c.prepare_cached(sql)?;
            let rows = statement.query_map(params![topic.as_str(), limit], |row| {
                Ok((row.get::<_, i64>(0)?.to_string(), row.get(1)?, row.get(2)?))
            })?;
            Ok(rows.collect::<Result<Vec<_>, _>>()?)
        };
        self.shared.database.read(select).await
    }

    async fn requeue(&self, topic: Topic, id: &str) -> Result<bool, QueueError> {
        settle::requeue(&self.shared, topic, id).await
    }

    /// The age of the oldest ready message counts from when it became receivable.
    async fn depth(&self, topic: Topic) -> Result<Depth, QueueError> {
        let now = self.shared.now();
        let count = move |c: &rusqlite::Connection| -> Result<Depth, QueueError> {
            let sql = "SELECT count(*) FILTER (WHERE visible_at <= ?2),
                              count(*) FILTER (WHERE visible_at > ?2 AND leased),
                              count(*) FILTER (WHERE visible_at > ?2 AND NOT leased),
                              (SELECT count(*) FROM dead WHERE topic = ?1),
                              min(visible_at)
                       FROM message WHERE topic = ?1";
            let depth = c.prepare_cached(sql)?.query_row(params![topic.as_str(), now.as_millis()], |row| {
                let number = |index| row.get::<_, i64>(index).map(i64::cast_unsigned);
                let oldest = row.get::<_, Option<i64>>(4)?.map(Timestamp::from_millis);
                Ok(Depth {
                    ready: number(0)?,
                    leased: number(1)?,
                    delayed: number(2)?,
                    dead: number(3)?,
                    oldest_ready: oldest.map(|at| now.since(at)).unwrap_or_default(),
                })
            })?;
            Ok(depth)
        };
        self.shared.database.read(count).await
    }

    fn limits(&self) -> Limits {
        LIMITS
    }
}

/// The wall clock: leases and delays have to hold over a restart.
fn system_time() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::default() + since
}

impl From<muster_embedded::Error> for QueueError {
    fn from(error: muster_embedded::Error) -> Self {
        Self::Unavailable { detail: error.to_string(), source: Some(Box::new(error)) }
    }
}

impl From<rusqlite::Error> for QueueError {
    fn from(error: rusqlite::Error) -> Self {
        muster_embedded::Error::from(error).into()
    }
}
