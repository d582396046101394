//! The backends that the configuration names: opened by `muster serve`, prepared by `muster migrate`, looked at by
//! `muster doctor`. Nothing else names a concrete one.

#[cfg(feature = "aws")]
mod aws;
pub(crate) mod clock;
mod embedded;
mod redis;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use muster_queue::embedded::EmbeddedQueue;
use muster_queue::{JobQueue, Queue, RedisQueue};
use muster_store::embedded::EmbeddedStore;
use muster_store::{RedisStore, SessionStore};

use crate::config::{Config, QueueConfig, StoreConfig};

/// An open backend, and what its operator should know.
struct Opened<T: ?Sized> {
    backend: Arc<T>,
    /// In words for a log.
    warnings: Vec<String>,
    /// Milliseconds that this machine's clock is ahead of the backend's, if it has one of its own and says it.
    ahead_ms: Option<i64>,
}

/// What was seen of a backend that can be used.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// What it is and how it is set up, in words for people.
    pub(crate) detail: String,
    /// What its operator should know.
    pub(crate) warnings: Vec<String>,
    /// What ends all of these.
    pub(crate) remedy: &'static str,
    /// One question and its answer; none where nobody is asked over a network.
    pub(crate) round_trip: Option<Duration>,
    /// As of [`Opened`].
    pub(crate) ahead_ms: Option<i64>,
}

/// Why a backend cannot be used, and what to do about it.
#[derive(Clone, Debug)]
pub(crate) struct Complaint {
    pub(crate) error: String,
    pub(crate) fix: String,
}

/// One of the two backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Queue,
    Store,
}

/// Opens both. What is not there or not as it has to be is an error, and then nothing was changed.
pub(crate) async fn open(config: &Config) -> anyhow::Result<(Arc<dyn SessionStore>, JobQueue)> {
    let store = open_store(config).await.context("opening the session store")?;
    // Leases of sessions go by the clocks of the machines. Those of the queue go by the queue's own.
    let skew = store.ahead_ms.map(|ahead| clock::judge(ahead, config.worker.lease)).transpose();
    let skew = skew.context("store.kind")?.flatten();
    let queue = open_queue(config).await.context("opening the queue")?;
    // Both may be on one server, which is then told about once.
    for warning in store.warnings.into_iter().chain(queue.warnings).chain(skew).collect::<BTreeSet<_>>() {
        tracing::warn!("{warning}");
    }
    Ok((store.backend, JobQueue::new(queue.backend)))
}

async fn open_store(config: &Config) -> anyhow::Result<Opened<dyn SessionStore>> {
    match &config.store {
        StoreConfig::Embedded => embedded::open_store(config),
        StoreConfig::Redis(settings) => redis::open_store(settings).await,
        #[cfg(feature = "aws")]
        StoreConfig::Dynamodb(settings) => aws::open_store(settings).await,
    }
}

async fn open_queue(config: &Config) -> anyhow::Result<Opened<dyn Queue>> {
    match &config.queue {
        QueueConfig::Embedded => embedded::open_queue(config).await,
        QueueConfig::Redis(settings) => redis::open_queue(settings).await,
        #[cfg(feature = "aws")]
        QueueConfig::Sqs(settings) => aws::open_queue(settings).await,
    }
}

/// What the configuration names, in words for people.
pub(crate) fn name(config: &Config, part: Part) -> String {
    match part {
        Part::Queue => match &config.queue {
            QueueConfig::Embedded => format!("queue: embedded, in {}", config.data_dir.display()),
            QueueConfig::Redis(settings) => format!("queue: redis, prefix {}", settings.prefix),
            #[cfg(feature = "aws")]
            QueueConfig::Sqs(settings) => format!("queue: sqs, queues {}-*", settings.prefix),
        },
        Part::Store => match &config.store {
            StoreConfig::Embedded => format!("store: embedded, in {}", config.data_dir.display()),
            StoreConfig::Redis(settings) => format!("store: redis, prefix {}", settings.prefix),
            #[cfg(feature = "aws")]
            StoreConfig::Dynamodb(settings) => format!("store: dynamodb, table {}", settings.table),
        },
    }
}

/// Looks at a backend, and leaves nothing behind.
pub(crate) async fn inspect(config: &Config, part: Part) -> Result<Seen, Complaint> {
    match part {
        Part::Queue => match &config.queue {
            QueueConfig::Embedded => embedded::seen(EmbeddedQueue::inspect(&config.data_dir)),
            QueueConfig::Redis(settings) => redis::seen(RedisQueue::inspect(settings).await),
            #[cfg(feature = "aws")]
            QueueConfig::Sqs(settings) => aws::inspect_queue(settings).await,
        },
        Part::Store => match &config.store {
            StoreConfig::Embedded => embedded::seen(EmbeddedStore::inspect(&config.data_dir)),
            StoreConfig::Redis(settings) => redis::seen(RedisStore::inspect(settings).await),
            #[cfg(feature = "aws")]
            StoreConfig::Dynamodb(settings) => aws::inspect_store(settings).await,
        },
    }
}

/// Makes what has to be there before a start, or only says what that would be. `tell` hears of each step before it is done;
/// of a backend that needs none, nothing.
pub(crate) async fn migrate(
    config: &Config,
    part: Part,
    dry_run: bool,
    tell: &mut (dyn FnMut(String) + Send),
) -> Result<(), Complaint> {
    #[cfg(feature = "aws")]
    match (part, &config.queue, &config.store) {
        (Part::Queue, QueueConfig::Sqs(settings), _) => return aws::migrate_queue(settings, dry_run, tell).await,
        (Part::Store, _, StoreConfig::Dynamodb(settings)) => return aws::migrate_store(settings, dry_run, tell).await,
        _ => {}
    }
    #[cfg(not(feature = "aws"))]
    let _ = (dry_run, tell);
    // The others make what they need as they go.
    inspect(config, part).await.map(drop)
}
