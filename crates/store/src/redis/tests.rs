//! The suite on Redis, and what only it promises.

mod full;
mod restart;
mod webhooks;

use std::sync::Arc;

use async_trait::async_trait;
use muster_redis::testing::Prefix;
use muster_redis::{OpenError, cmd};
use muster_session::{Session, TenantId};

use super::RedisStore;
use crate::conformance::Fixture;
use crate::conformance::samples::{at, create, creation, done, joining, new_session, queued};
use crate::model::{self, Backend};
use crate::{
    Commit, CreateGuard, DeliveryStatus, ListQuery, LogEntry, PlaceChange, SessionStore, StoreError, TenantLoad,
};

#[async_trait]
impl Fixture for Prefix {
    async fn open(&self) -> Arc<dyn SessionStore> {
        Arc::new(open(self).await)
    }
}

async fn open(prefix: &Prefix) -> RedisStore {
    RedisStore::open(prefix.settings()).await.unwrap().0
}

crate::store_conformance!(if_there: Prefix::new());

impl Backend for Prefix {
    const CASES: u32 = 15;
    const COUNTS: bool = false;

    fn new() -> Self {
        Self::new().unwrap()
    }
}

#[test]
fn it_behaves_as_lists_do() {
    if Prefix::new().is_some() {
        model::behaves_as_lists_do::<Prefix>();
    }
}

/// Everything that a session leaves in the keys goes with it: what stays is the version of the layout, and counters.
#[tokio::test]
async fn what_is_deleted_leaves_no_key_behind() {
    let Some(prefix) = Prefix::new() else { return };
    let store = open(&prefix).await;
    let mut new = new_session("t");
    new.deduplication_key = Some("booking".into());
    let guard = CreateGuard { idempotency_key: Some("key".into()) };
    store.create(creation(new, at(0)), guard).await.unwrap();
    done(&store, at(0)).await;
    let held = joining(&store, "w", at(0)).await;
    create(&store, Commit { place: PlaceChange::Take { limit: None }, ..queued("t", at(0)) }).await;
    let (waits, outcome) = Session::create_held(new_session("t"), at(0));
    create(&store, Commit::new(waits, outcome, at(0))).await;
    assert_eq!(store.loads().await.unwrap(), [TenantLoad { tenant: TenantId::new("t"), taken: 1, held: 1 }]);
    let line = LogEntry { kind: "chat".into(), key: "1".into(), at: at(1), data: serde_json::json!(1) };
    store.append_log(held.id, held.fencing, &[line]).await.unwrap();
    let sessions =
        store.list(&TenantId::new("t"), &ListQuery { limit: 10, ..ListQuery::default() }).await.unwrap().sessions;
    assert_eq!(sessions.len(), 5);
    for session in sessions {
        assert!(store.delete(session.id).await.unwrap());
        for delivery in store.deliveries(session.id).await.unwrap() {
            let attempt =
                crate::Attempt { at: at(1), http_status: None, latency_ms: 1, detail: String::new(), url: None };
            store.record_attempt(delivery.id, attempt, DeliveryStatus::Failed).await.unwrap();
        }
    }
    let jobs: Vec<u64> = store.outbox(at(100), 10).await.unwrap().into_iter().map(|job| job.id).collect();
    store.outbox_done(&jobs).await.unwrap();
    let mut left = prefix.keys();
    left.sort();
    let counters = [":count", ":schema", ":seq:delivery", ":seq:job", ":seq:session"];
    assert_eq!(left, counters.map(|name| store.key(name)));
}

/// What a server forgets when it fails over or loses power: the last writes, and the numbers in them. Others know them.
#[tokio::test]
async fn a_number_that_was_forgotten_is_not_given_again() {
    let Some(prefix) = Prefix::new() else { return };
    let store = open(&prefix).await;
    create(&store, queued("t", at(0))).await;
    let counter = store.key(":seq:job");
    let before: String = cmd("GET").arg(&counter).query(&mut prefix.connection()).unwrap();
    create(&store, queued("t", at(1))).await;
    let known = store.outbox(at(9), 10).await.unwrap();
    let forgotten = known[1].id;
    store.outbox_done(&[forgotten]).await.unwrap();
    cmd("SET").arg(&counter).arg(before).exec(&mut prefix.connection()).unwrap();
    create(&store, queued("t", at(2))).await;
    // Whoever had seen the one that was forgotten says that it is done.
    store.outbox_done(&[forgotten]).await.unwrap();
    let left = store.outbox(at(9), 10).await.unwrap();
    assert_eq!(left.iter().map(|entry| entry.due).collect::<Vec<_>>(), [at(0), at(2)]);
    assert!(known.iter().map(|entry| entry.id).all(|id| id < left[1].id), "and later ones are greater");
}

/// A filter that few records pass is followed through all of them, a part at a time.
#[tokio::test]
async fn a_filter_looks_through_many() {
    let Some(prefix) = Prefix::new() else { return };
    let store = open(&prefix).await;
    let mut wanted = Vec::new();
    for i in 0..450 {
        let mut new = new_session("t");
        if i % 150 == 0 {
            new.meeting.label = "Zoom".into();
        }
        let session = create(&store, creation(new, at(i / 7))).await;
        if i % 150 == 0 {
            wanted.insert(0, session.id);
        }
    }
    let mut query = ListQuery { limit: 2, platform: Some("zoom".into()), ..ListQuery::default() };
    let first = store.list(&TenantId::new("t"), &query).await.unwrap();
    query.cursor = first.next;
    let second = store.list(&TenantId::new("t"), &query).await.unwrap();
    let seen: Vec<_> = first.sessions.into_iter().chain(second.sessions).map(|session| session.id).collect();
    assert_eq!((seen, second.next), (wanted, None));
}

#[tokio::test]
async fn a_value_that_cannot_be_read_is_said_to_be_corrupt() {
    let Some(prefix) = Prefix::new() else { return };
    let store = open(&prefix).await;
    let session = create(&store, queued("t", at(0))).await;
    let key = store.key(&format!(":s:{}", session.id));
    cmd("HSET").arg(key).arg("j").arg("{}").exec(&mut prefix.connection()).unwrap();
    let read = store.get(session.id).await;
    assert!(matches!(&read, Err(StoreError::Corrupt { detail }) if detail.contains("a session")), "{read:?}");
}

#[tokio::test]
async fn data_of_another_release_is_refused_and_not_touched() {
    let Some(prefix) = Prefix::new() else { return };
    let key = format!("{{{}}}:schema", prefix.settings().prefix);
    cmd("SET").arg(&key).arg(99).exec(&mut prefix.connection()).unwrap();
    let refused = RedisStore::open(prefix.settings()).await.unwrap_err();
    assert!(matches!(&refused, OpenError::Schema { found, .. } if found == "99"), "{refused}");
    assert!(refused.to_string().contains("store.prefix"), "{refused}");
    assert_eq!(prefix.keys(), [key]);
}

/// For the restart: what was not carried out for certain may have been.
async fn until_ok<T, F: Future<Output = Result<T, StoreError>>>(mut attempt: impl FnMut() -> F) -> T {
    loop {
        match attempt().await {
            Ok(value) => return value,
            Err(StoreError::Unavailable { .. }) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}

/// A creation and the record that it makes.
fn written(commit: &Commit) -> muster_session::Session {
    muster_session::Session { version: 1, ..commit.session.clone() }
}
