//! A store and a queue of their own for each case.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use muster_embedded::Durability;
use muster_queue::embedded::EmbeddedQueue;
use muster_queue::memory::MemoryQueue;
use muster_queue::{Queue, RedisQueue};
use muster_redis::testing::Prefix;
use muster_store::embedded::EmbeddedStore;
use muster_store::memory::MemoryStore;
use muster_store::{RedisStore, SessionStore};

/// A pair of backends.
#[async_trait]
pub(crate) trait Pair: Send + Sync + 'static {
    /// None if its server is not there, which has been said.
    async fn new() -> Option<Self>
    where
        Self: Sized;

    /// Another empty store with its queue.
    async fn open(&self) -> (Arc<dyn SessionStore>, Arc<dyn Queue>);
}

pub(crate) struct Memory;

#[async_trait]
impl Pair for Memory {
    async fn new() -> Option<Self> {
        Some(Self)
    }

    async fn open(&self) -> (Arc<dyn SessionStore>, Arc<dyn Queue>) {
        (Arc::new(MemoryStore::new()), Arc::new(MemoryQueue::new()))
    }
}

/// Each in a directory below this one.
pub(crate) struct Embedded(tempfile::TempDir);

#[async_trait]
impl Pair for Embedded {
    async fn new() -> Option<Self> {
        Some(Self(tempfile::tempdir().unwrap()))
    }

    async fn open(&self) -> (Arc<dyn SessionStore>, Arc<dyn Queue>) {
        let dir = self.0.path().join(uuid::Uuid::new_v4().to_string());
        std::fs::create_dir(&dir).unwrap();
        let store = EmbeddedStore::open(&dir, Durability::Normal).unwrap();
        let queue = EmbeddedQueue::open(&dir, Durability::Normal).unwrap();
        (Arc::new(store), Arc::new(queue))
    }
}

/// Each of another name.
#[cfg(feature = "aws")]
pub(crate) struct Aws(muster_aws::AwsSettings);

#[cfg(feature = "aws")]
#[async_trait]
impl Pair for Aws {
    async fn new() -> Option<Self> {
        muster_aws::testing::emulator().map(|(aws, _)| Self(aws))
    }

    async fn open(&self) -> (Arc<dyn SessionStore>, Arc<dyn Queue>) {
        use muster_queue::{SqsQueue, SqsSettings};
        use muster_store::{DynamoSettings, DynamoStore};

        let name = format!("test-{}", uuid::Uuid::new_v4().simple());
        let store = DynamoSettings { aws: self.0.clone(), table: name.clone() };
        let queue = SqsSettings { aws: self.0.clone(), prefix: name };
        DynamoStore::migrate(&store, false, &mut |_| {}).await.unwrap();
        SqsQueue::migrate(&queue, false, &mut |_| {}).await.unwrap();
        let queue = SqsQueue::open(&queue).await.unwrap();
        (Arc::new(DynamoStore::open(&store).await.unwrap()), Arc::new(queue))
    }
}

/// Each under a prefix below this one.
pub(crate) struct Redis(Prefix, AtomicU32);

#[async_trait]
impl Pair for Redis {
    async fn new() -> Option<Self> {
        Prefix::new().map(|prefix| Self(prefix, AtomicU32::new(0)))
    }

    async fn open(&self) -> (Arc<dyn SessionStore>, Arc<dyn Queue>) {
        let mut settings = self.0.settings().clone();
        settings.prefix = format!("{}-{}", settings.prefix, self.1.fetch_add(1, Ordering::SeqCst));
        let store = RedisStore::open(&settings).await.unwrap().0;
        let queue = RedisQueue::open(&settings).await.unwrap().0;
        (Arc::new(store), Arc::new(queue))
    }
}
