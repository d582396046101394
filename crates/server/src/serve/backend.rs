//! Opening what the processes share, or what the only one has.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::Context;
use muster_embedded::Durability;
use muster_queue::embedded::EmbeddedQueue;
use muster_queue::{JobQueue, Queue, RedisQueue};
use muster_store::embedded::EmbeddedStore;
use muster_store::{RedisStore, SessionStore};

use crate::config::{Config, QueueConfig, StoreConfig};

pub(super) async fn open(config: &Config) -> anyhow::Result<(Arc<dyn SessionStore>, JobQueue)> {
    // Both may be on one server, which is then told about once.
    let mut warnings = BTreeSet::new();
    let store = store(config, &mut warnings).await.context("opening the session store")?;
    let queue = queue(config, &mut warnings).await.context("opening the queue")?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    Ok((store, JobQueue::new(queue)))
}

async fn store(config: &Config, warnings: &mut BTreeSet<String>) -> anyhow::Result<Arc<dyn SessionStore>> {
    match &config.store {
        StoreConfig::Embedded => Ok(Arc::new(EmbeddedStore::open(&config.data_dir, durability(config))?)),
        StoreConfig::Redis(settings) => {
            let (store, told) = RedisStore::open(settings).await?;
            warnings.extend(told);
            Ok(Arc::new(store))
        }
    }
}

async fn queue(config: &Config, warnings: &mut BTreeSet<String>) -> anyhow::Result<Arc<dyn Queue>> {
    match &config.queue {
        QueueConfig::Embedded => {
            let queue = EmbeddedQueue::open(&config.data_dir, durability(config))?;
            // Nobody else can have it, so whoever held a lease is gone.
            queue.end_leases().await.context("ending the leases of an earlier run")?;
            Ok(Arc::new(queue))
        }
        QueueConfig::Redis(settings) => {
            let (queue, told) = RedisQueue::open(settings).await?;
            warnings.extend(told);
            Ok(Arc::new(queue))
        }
    }
}

fn durability(config: &Config) -> Durability {
    if config.durable { Durability::Full } else { Durability::Normal }
}
