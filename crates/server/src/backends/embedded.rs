//! SQLite in the data directory.

use std::sync::Arc;

use anyhow::Context;
use muster_embedded::{Durability, OpenError, SchemaVersion};
use muster_queue::Queue;
use muster_queue::embedded::EmbeddedQueue;
use muster_store::SessionStore;
use muster_store::embedded::EmbeddedStore;

use super::{Complaint, Opened, Seen};
use crate::chain::chain;
use crate::config::Config;

pub(super) fn open_store(config: &Config) -> anyhow::Result<Opened<dyn SessionStore>> {
    let store = EmbeddedStore::open(&config.data_dir, durability(config)).context("data_dir")?;
    Ok(alone(Arc::new(store)))
}

pub(super) async fn open_queue(config: &Config) -> anyhow::Result<Opened<dyn Queue>> {
    let queue = EmbeddedQueue::open(&config.data_dir, durability(config)).context("data_dir")?;
    // Nobody else can have it, so whoever held a lease is gone.
    queue.end_leases().await.context("ending the leases of an earlier run")?;
    Ok(alone(Arc::new(queue)))
}

fn alone<T: ?Sized>(backend: Arc<T>) -> Opened<T> {
    Opened { backend, warnings: Vec::new(), ahead_ms: None }
}

fn durability(config: &Config) -> Durability {
    if config.durable { Durability::Full } else { Durability::Normal }
}

pub(super) fn seen(found: Result<Option<SchemaVersion>, OpenError>) -> Result<Seen, Complaint> {
    let detail = match found {
        Ok(None) => "embedded, made at the first start".to_owned(),
        Ok(Some(SchemaVersion { found, known })) if found < known => {
            format!("embedded, schema {found}: the next start brings it to {known}")
        }
        Ok(Some(SchemaVersion { found, .. })) => format!("embedded, schema {found}"),
        Err(error) => {
            let error = format!("data_dir: {}", chain(&error));
            let fix = "use the release that wrote it, or set data_dir (--data-dir) to another directory".to_owned();
            return Err(Complaint { error, fix });
        }
    };
    Ok(Seen { detail, warnings: Vec::new(), remedy: "", round_trip: None, ahead_ms: None })
}
