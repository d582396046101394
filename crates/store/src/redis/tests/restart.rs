//! What `kill -9` of the server costs: nothing that was acknowledged, and nobody has to be told.

use muster_redis::testing::Server;

use super::{RedisStore, until_ok, written};
use crate::conformance::samples::{acquire, at, queued, step};
use crate::{CreateGuard, Created, SessionStore, StoreError};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_and_the_client_comes_back() {
    let Some(mut server) = Server::start() else { return };
    let (store, warnings) = RedisStore::open(&server.settings()).await.unwrap();
    assert_eq!(warnings, [""; 0], "it writes before it acknowledges");
    let store = std::sync::Arc::new(store);
    let (written_one, mut progress) = tokio::sync::mpsc::unbounded_channel();
    let writing = tokio::spawn({
        let store = std::sync::Arc::clone(&store);
        async move {
            let mut acknowledged = Vec::new();
            loop {
                let commit = queued("t", at(acknowledged.len() as u64));
                match store.create(commit.clone(), CreateGuard::default()).await {
                    Ok(Created::New(session)) => {
                        assert_eq!(session, written(&commit));
                        acknowledged.push(session);
                    }
                    Ok(other) => panic!("{other:?}"),
                    Err(_) => return acknowledged,
                }
                written_one.send(()).ok();
            }
        }
    });
    for _ in 0..100 {
        progress.recv().await.unwrap();
    }
    server.kill();
    let acknowledged = writing.await.unwrap();
    assert!(acknowledged.len() >= 100);
    let refused = store.ping().await;
    assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "{refused:?}");
    tokio::task::block_in_place(|| server.restart());

    until_ok(|| store.ping()).await;
    let jobs = store.outbox(at(1_000_000), 1_000_000).await.unwrap();
    for session in &acknowledged {
        assert_eq!(store.get(session.id).await.unwrap().as_ref(), Some(session));
        assert!(jobs.iter().any(|entry| entry.job.bot() == session.id), "its job is there too");
    }
    // The scripts are gone from the server's memory, and come back as they are needed.
    let moved_on = step(&*store, &acknowledged[0], acquire("w", &acknowledged[0]), at(1)).await;
    assert_eq!(store.get(moved_on.id).await.unwrap(), Some(moved_on));
}
