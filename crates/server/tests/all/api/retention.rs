//! What was kept for long enough is removed, whatever is in the way of some of it.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use muster_server::roles::retention::Retention;
use muster_session::{BotId, State};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use serde_json::json;

use super::harness::Api;

/// A storage that refuses to delete what has one of these in its path.
#[derive(Clone, Debug)]
struct Refusing {
    inner: Arc<dyn ObjectStore>,
    refused: Arc<Mutex<Vec<String>>>,
}

impl fmt::Display for Refusing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Refusing({})", self.inner)
    }
}

#[async_trait::async_trait]
impl ObjectStore for Refusing {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (inner, refused) = (Arc::clone(&self.inner), Arc::clone(&self.refused));
        let delete = move |location: Result<Path>| {
            let (inner, refused) = (Arc::clone(&inner), Arc::clone(&refused));
            async move {
                let path = location?;
                if refused.lock().unwrap().iter().any(|part| path.as_ref().contains(part)) {
                    return Err(Error::PermissionDenied { path: path.to_string(), source: "not permitted".into() });
                }
                let mut deleted = inner.delete_stream(stream::iter([Ok(path)]).boxed());
                deleted.next().await.expect("an answer for each path")
            }
        };
        locations.then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

struct Fleet {
    api: Api,
    refused: Arc<Mutex<Vec<String>>>,
    storage: Arc<dyn ObjectStore>,
    retention: Retention,
}

impl Fleet {
    async fn start() -> Self {
        let api = Api::start().await;
        let refused = Arc::default();
        let storage = Refusing { inner: Arc::clone(&api.state.storage), refused: Arc::clone(&refused) };
        Self { api, refused, storage: Arc::new(storage), retention: Retention::default() }
    }

    /// Bots whose media are kept for an hour after their call, each with one file.
    async fn recorded(&self, count: usize) -> Vec<BotId> {
        let mut bots = Vec::new();
        for _ in 0..count {
            let more = json!({"recording_config": {"retention": {"type": "timed", "hours": 1}}});
            bots.push(self.api.recorded(more, b"ogg").await);
        }
        bots
    }

    fn refuse(&self, bots: &[BotId]) {
        *self.refused.lock().unwrap() = bots.iter().map(ToString::to_string).collect();
    }

    async fn pass(&mut self) -> anyhow::Result<bool> {
        self.retention.pass(&self.api.backend, &self.storage).await
    }

    /// Those whose media are there; the record goes with a later pass.
    async fn kept(&self, bots: &[BotId]) -> Vec<BotId> {
        let mut kept = Vec::new();
        for bot in bots {
            let record = self.api.state.store.get(*bot).await.unwrap();
            if record.is_some_and(|session| session.state == State::Done) {
                kept.push(*bot);
            }
        }
        kept
    }
}

#[tokio::test]
async fn one_that_cannot_be_removed_keeps_no_other() {
    let mut fleet = Fleet::start().await;
    let bots = fleet.recorded(20).await;
    assert!(!fleet.pass().await.unwrap());
    assert_eq!(fleet.kept(&bots).await, bots, "their time has not come");
    fleet.api.advance(Duration::from_secs(3_600 + 20 * 90));
    fleet.refuse(&bots[..1]);
    assert!(!fleet.pass().await.unwrap());
    assert_eq!(fleet.kept(&bots).await, &bots[..1]);
    let left = fleet.api.state.storage.list(None).count().await;
    assert_eq!(left, 1, "of the other recordings nothing is left");
    // It is tried again, though not at once.
    fleet.refuse(&[]);
    fleet.pass().await.unwrap();
    assert_eq!(fleet.kept(&bots).await, &bots[..1]);
    fleet.api.advance(Duration::from_secs(601));
    fleet.pass().await.unwrap();
    assert!(fleet.kept(&bots).await.is_empty());
    assert_eq!(fleet.api.state.storage.list(None).count().await, 0);
}

#[tokio::test]
async fn a_storage_that_refuses_everything_is_not_asked_for_everything() {
    let mut fleet = Fleet::start().await;
    let bots = fleet.recorded(40).await;
    fleet.api.advance(Duration::from_secs(3_600 + 40 * 90));
    fleet.refuse(&bots);
    let error = format!("{:#}", fleet.pass().await.unwrap_err());
    assert!(error.contains("not permitted"), "{error}");
    fleet.refuse(&bots[..16]);
    assert!(!fleet.pass().await.unwrap());
    assert_eq!(fleet.kept(&bots).await, &bots[..16], "those that were tried are passed over");
}
