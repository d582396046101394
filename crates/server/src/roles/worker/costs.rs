//! What bots were measured to cost, shared by all workers and kept over their ends.

use std::sync::Arc;
use std::time::Duration;

use muster_fleet::cost::CostBook;
use muster_store::{Document, StoreError};
use tokio::time::MissedTickBehavior;

use super::room::Room;
use crate::roles::Backend;

/// The document in the store.
pub const COSTS: &str = "costs";
/// Between two looks at what others learned, and two writes.
const EVERY: Duration = Duration::from_secs(60);
/// Writers of the document in a row, at most, after which the next minute will do.
const TRIES: u32 = 4;

/// For ever.
pub(super) async fn keep(backend: Backend, room: Arc<Room>) {
    if room.machine().is_none() {
        return std::future::pending().await;
    }
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        share(&backend, &room).await;
    }
}

/// Adds what was learned here to what all know, and takes that over. What cannot be written is kept for the next time.
pub(super) async fn share(backend: &Backend, room: &Room) {
    if room.machine().is_none() {
        return;
    }
    let fresh = room.take_fresh();
    match written(backend, &fresh).await {
        Ok(book) => room.learn(book),
        Err(error) => {
            tracing::warn!(%error, "learned costs could not be shared; trying again later");
            room.unlearned(&fresh);
        }
    }
}

async fn written(backend: &Backend, fresh: &CostBook) -> Result<CostBook, StoreError> {
    let mut tries = 0;
    loop {
        let known = backend.store.document(COSTS).await?;
        let version = known.as_ref().map_or(0, |known| known.version);
        let mut book = known.map(|known| read(&known)).unwrap_or_default();
        if fresh.is_empty() {
            return Ok(book);
        }
        book.add(fresh);
        let body = serde_json::to_value(&book).unwrap_or_default();
        match backend.store.put_document(Document { name: COSTS.to_owned(), version, body }).await {
            Err(StoreError::Conflict) if tries < TRIES => tries += 1,
            written => return written.map(|_| book),
        }
    }
}

/// What cannot be read is learned anew.
pub fn read(document: &Document) -> CostBook {
    serde_json::from_value(document.body.clone())
        .inspect_err(|error| tracing::warn!(%error, "learned costs cannot be read"))
        .unwrap_or_default()
}
