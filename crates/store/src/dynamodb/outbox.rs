//! Committed jobs that wait to be enqueued. Their ids sort by when they are due, so they need no index.

use std::time::Duration;

use muster_session::Timestamp;
use muster_session::job::Job;

use super::ids::{Ids, last_at};
use super::item::{Key, SHARDS, from_json, n, outbox_partition, parse, s, text, time, to_json};
use super::merge::Merge;
use super::table::{Select, Table};
use super::write::Writes;
use crate::{OutboxJob, StoreError};

pub(super) fn add(writes: &mut Writes<'_>, ids: &Ids, jobs: &[(Job, Duration)], now: Timestamp) {
    for (job, pause) in jobs {
        let due = now + *pause;
        let mut item = Key::outbox(ids.at(due)).into_item();
        item.insert("due_ms".into(), n(due.as_millis()));
        item.insert("job".into(), to_json(job));
        writes.put_new(item);
    }
}

pub(super) async fn due(table: &Table, now: Timestamp, limit: u32) -> Result<Vec<OutboxJob>, StoreError> {
    let of_shard = |shard| Select {
        condition: "pk = :pk AND sk <= :last".into(),
        values: [
            (":pk".to_owned(), s(outbox_partition(shard))),
            (":last".to_owned(), s(format!("{:020}", last_at(now)))),
        ]
        .into(),
        page: Some(page(limit)),
        ..Select::default()
    };
    let mut found = Merge::new(table, "sk", false, (0..SHARDS).map(of_shard));
    let mut jobs = Vec::new();
    while jobs.len() < limit as usize
        && let Some(item) = found.next().await?
    {
        let due = time(&item, "due_ms")?;
        if due <= now {
            jobs.push(OutboxJob {
                id: parse("an id", text(&item, "sk")?)?,
                job: from_json("a job", &item, "job")?,
                due,
            });
        }
    }
    Ok(jobs)
}

/// As many as may be wanted of one shard, and no more than is reasonable to carry.
pub(super) fn page(limit: u32) -> i32 {
    i32::try_from(limit.clamp(1, 256)).unwrap_or(256)
}

pub(super) async fn done(table: &Table, ids: &[u64]) -> Result<(), StoreError> {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    ids.dedup();
    table.delete_many(ids.into_iter().map(Key::outbox).collect()).await
}
