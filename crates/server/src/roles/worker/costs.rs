//! What bots were measured to cost, shared by all workers and kept over their ends.

use std::sync::Arc;
use std::time::Duration;

use muster_fleet::cost::CostBook;
use muster_store::{Document, StoreError};

use super::room::Room;
use crate::roles::{Backend, documents};

/// The document in the store.
pub const COSTS: &str = "bot_costs";
/// Between two looks at what others learned, and two writes, at least; with [`SPREAD`] it is a minute on average.
const LEAST: Duration = Duration::from_secs(45);
/// So much longer at most, by chance: workers that started together are not to write together.
const SPREAD: Duration = Duration::from_secs(30);
/// Writers of the document in a row, at most, after which the next minute will do.
const TRIES: u32 = 5;

/// For ever.
pub(super) async fn keep(backend: Backend, room: Arc<Room>) {
    if room.machine().is_none() {
        return std::future::pending().await;
    }
    loop {
        share(&backend, &room).await;
        tokio::time::sleep(LEAST + jitter()).await;
    }
}

/// Adds what was learned here to what all know, and takes that over. What cannot be written is kept for the next time. Cancel
/// safe: then, as after a write that was applied and could not be answered, it may count twice.
pub(super) async fn share(backend: &Backend, room: &Room) {
    if room.machine().is_none() {
        return;
    }
    let fresh = room.take_fresh();
    let mut known = None;
    match written(backend, &fresh.costs, &mut known).await {
        Ok(book) => fresh.written(book),
        Err(error) => {
            tracing::warn!(%error, "learned costs could not be shared; trying again later");
            drop(fresh);
            if let Some(known) = known {
                room.learn(known);
            }
        }
    }
}

fn jitter() -> Duration {
    let mut bytes = [0; 4];
    // Without randomness there is no spread.
    let _ = getrandom::fill(&mut bytes);
    SPREAD / 1_000 * (u32::from_le_bytes(bytes) % 1_000)
}

/// Answers what all know with what is `fresh`; `seen` is what was read, even if that could not be written.
async fn written(backend: &Backend, fresh: &CostBook, seen: &mut Option<CostBook>) -> Result<CostBook, StoreError> {
    if fresh.is_empty() {
        return Ok(backend.store.document(COSTS).await?.map(|known| read(&known)).unwrap_or_default());
    }
    let add = |book: &mut CostBook| {
        *seen = Some(book.clone());
        book.add(fresh);
    };
    documents::amend(&*backend.store, COSTS, TRIES, read, add).await
}

/// What cannot be read is learned anew.
pub fn read(document: &Document) -> CostBook {
    serde_json::from_value(document.body.clone())
        .inspect_err(|error| tracing::warn!(%error, "learned costs cannot be read"))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
