//! What `kill -9` of the server costs: nothing that was acknowledged, and nobody has to be told.

use std::collections::BTreeSet;
use std::time::Duration;

use muster_redis::testing::Server;
use muster_session::job::Topic;

use super::{LONG, RedisQueue, message, until_ok};
use crate::{Enqueue, Queue, QueueError};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_and_the_client_comes_back() {
    let Some(mut server) = Server::start() else { return };
    let (queue, warnings) = RedisQueue::open(&server.settings()).await.unwrap();
    assert_eq!(warnings, [""; 0], "it writes before it acknowledges");
    let delayed = Enqueue { delay: LONG, dedup_key: Some("key".into()), ..message("delayed") };
    queue.enqueue(Topic::Media, delayed.clone()).await.unwrap();
    queue.enqueue(Topic::Media, message("held")).await.unwrap();
    let held = queue.receive(Topic::Media, 1, LONG, LONG).await.unwrap().remove(0);

    // Somebody waits through it all, and a writer writes until the server is gone.
    let waiting = tokio::spawn({
        let queue = queue.clone();
        async move { until_ok(|| queue.receive(Topic::Deliveries, 1, LONG, LONG)).await }
    });
    let writing = tokio::spawn({
        let queue = queue.clone();
        async move {
            let mut acknowledged = 0u32;
            while queue.enqueue(Topic::Jobs, message(&acknowledged.to_string())).await.is_ok() {
                acknowledged += 1;
            }
            acknowledged
        }
    });
    while queue.depth(Topic::Jobs).await.unwrap().ready < 200 {}
    server.kill();
    let acknowledged = writing.await.unwrap();
    assert!(acknowledged >= 200);
    let refused = queue.depth(Topic::Jobs).await;
    assert!(matches!(refused, Err(QueueError::Unavailable { .. })), "{refused:?}");
    tokio::task::block_in_place(|| server.restart());

    until_ok(|| queue.enqueue(Topic::Deliveries, message("woken"))).await;
    assert_eq!(waiting.await.unwrap()[0].payload, b"woken");
    let mut found = BTreeSet::new();
    loop {
        let received = until_ok(|| queue.receive(Topic::Jobs, 100, LONG, Duration::ZERO)).await;
        if received.is_empty() {
            break;
        }
        found.extend(received.iter().map(|d| String::from_utf8_lossy(&d.payload).parse::<u32>().unwrap()));
    }
    assert!((0..acknowledged).all(|i| found.contains(&i)), "{} of {acknowledged} found", found.len());
    // Leases, delays and keys are as they were.
    queue.enqueue(Topic::Media, delayed).await.unwrap();
    let depth = queue.depth(Topic::Media).await.unwrap();
    assert_eq!((depth.leased, depth.delayed, depth.ready), (1, 1, 0));
    queue.ack(&held.receipt).await.unwrap();
}
