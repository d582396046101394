//! What bots were measured to cost, shared by all workers and kept over their ends.

use std::sync::Arc;
use std::time::Duration;

use muster_fleet::cost::CostBook;
use muster_store::{Document, StoreError};

use super::room::Room;
use crate::roles::Backend;

/// The document in the store.
pub const COSTS: &str = "costs";
/// Between two looks at what others learned, and two writes, at least; with [`SPREAD`] it is a minute on average.
const LEAST: Duration = Duration::from_secs(45);
/// So much longer at most, by chance: workers that started together are not to write together.
const SPREAD: Duration = Duration::from_secs(30);
/// Writers of the document in a row, at most, after which the next minute will do.
const TRIES: u32 = 4;

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

/// Adds what was learned here to what all know, and takes that over. What cannot be written is kept for the next time.
pub(super) async fn share(backend: &Backend, room: &Room) {
    if room.machine().is_none() {
        return;
    }
    let fresh = room.take_fresh();
    let mut known = None;
    match written(backend, &fresh, &mut known).await {
        Ok(book) => room.learn(book),
        Err(error) => {
            tracing::warn!(%error, "learned costs could not be shared; trying again later");
            room.unlearned(&fresh);
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
    let mut tries = 0;
    loop {
        let known = backend.store.document(COSTS).await?;
        let version = known.as_ref().map_or(0, |known| known.version);
        let mut book = known.map(|known| read(&known)).unwrap_or_default();
        if fresh.is_empty() {
            return Ok(book);
        }
        *seen = Some(book.clone());
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

#[cfg(test)]
mod tests;
