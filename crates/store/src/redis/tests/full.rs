//! What a server without memory left refuses, and what it does not: calls go on and end, and room is made.

use muster_redis::cmd;
use muster_redis::testing::Server;

use super::RedisStore;
use crate::conformance::samples::{LEASE, at, create, done, joining, queued, renamed};
use crate::{
    Attempt, CreateGuard, DeliveryStatus, Document, LeaseRenewal, Renewed, SessionStore, StoreError, WorkerRecord,
};

/// Bytes that the server may have; none for as many as it likes.
fn set_memory(server: &Server, most: u64) {
    cmd("CONFIG").arg("SET").arg("maxmemory").arg(most).exec(&mut server.connection()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_server_takes_nothing_new_and_ends_nothing() {
    let Some(server) = Server::start() else { return };
    let (store, _) = RedisStore::open(&server.settings()).await.unwrap();
    let running = joining(&store, "w", at(0)).await;
    let over = done(&store, at(0)).await;
    let worker: WorkerRecord = serde_json::from_str(
        r#"{"id": "w", "host": "", "version": "", "capacity": 1, "running": 0, "started_at": 0, "seen_at": 0}"#,
    )
    .unwrap();
    tokio::task::block_in_place(|| set_memory(&server, 1));

    let refused = store.create(queued("t", at(1)), CreateGuard::default()).await;
    assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "{refused:?}");
    let renewal = LeaseRenewal { bot: running.id, fencing: running.fencing };
    let owner = &running.lease.as_ref().unwrap().owner;
    let renewed = store.renew(owner, &[renewal], at(1) + LEASE).await.unwrap();
    assert_eq!(renewed, [Renewed::Held { stop_requested: false }]);
    let moved = store.commit(renamed(&running, "Goes on", at(2))).await.unwrap();
    assert_eq!(store.get(running.id).await.unwrap(), Some(moved));
    assert!(store.lead("control", "a", at(2), at(9)).await.unwrap());
    assert!(!store.beat(&worker).await.unwrap() && store.drain_worker(&worker.id).await.unwrap());
    let document = Document { name: "scaling".to_owned(), version: 0, body: serde_json::json!({"desired": 3}) };
    assert_eq!(store.put_document(document).await.unwrap().version, 1);
    let pending = store.pending_deliveries(over.id, 100).await.unwrap();
    store.postpone(&[pending[0].id], at(3)).await.unwrap();
    let attempt = Attempt { at: at(3), http_status: Some(200), latency_ms: 5, detail: String::new(), url: None };
    for delivery in pending {
        store.record_attempt(delivery.id, attempt.clone(), DeliveryStatus::Delivered).await.unwrap();
    }
    assert!(store.delete(over.id).await.unwrap());
    assert_eq!(store.get(over.id).await.unwrap(), None);

    tokio::task::block_in_place(|| set_memory(&server, 0));
    create(&store, queued("t", at(4))).await;
}
