//! Who leads, and which workers there are.

use muster_session::{Timestamp, WorkerId};

use super::{RedisStore, arguments, scripts};
use crate::codec::{from_json, to_json};
use crate::{KnownWorker, StoreError, WorkerRecord};

pub(super) async fn lead(
    store: &RedisStore,
    name: &str,
    owner: &str,
    now: Timestamp,
    until: Timestamp,
) -> Result<bool, StoreError> {
    let fill = arguments(|script| script.arg(name).arg(owner).arg(now.as_millis()).arg(until.as_millis()));
    store.script(&scripts::LEAD, fill).await
}

pub(super) async fn beat(store: &RedisStore, worker: &WorkerRecord) -> Result<bool, StoreError> {
    store.script(&scripts::BEAT, arguments(|script| script.arg(worker.id.as_str()).arg(to_json(worker)))).await
}

pub(super) async fn workers(store: &RedisStore) -> Result<Vec<KnownWorker>, StoreError> {
    let found: Vec<(String, bool)> = store.script(&scripts::WORKERS, arguments(|script| script)).await?;
    found
        .into_iter()
        .map(|(record, draining)| Ok(KnownWorker { record: from_json("a worker", &record)?, draining }))
        .collect()
}

pub(super) async fn drain(store: &RedisStore, worker: &WorkerId) -> Result<bool, StoreError> {
    store.script(&scripts::DRAIN, arguments(|script| script.arg(worker.as_str()))).await
}

pub(super) async fn forget(store: &RedisStore, worker: &WorkerId) -> Result<bool, StoreError> {
    store.script(&scripts::FORGET, arguments(|script| script.arg(worker.as_str()))).await
}
