//! What a server without memory left refuses, and what it does not: what is there is done.

use std::time::Duration;

use muster_redis::cmd;
use muster_redis::testing::Server;
use muster_session::job::Topic;

use super::{LONG, RedisQueue, message};
use crate::{Queue, QueueError};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_server_takes_nothing_new_and_gives_what_it_has() {
    let Some(server) = Server::start() else { return };
    let (queue, _) = RedisQueue::open(&server.settings()).await.unwrap();
    for text in ["first", "second", "third"] {
        queue.enqueue(Topic::Jobs, message(text)).await.unwrap();
    }
    let set_memory = |most: u64| {
        let mut command = cmd("CONFIG");
        tokio::task::block_in_place(|| command.arg("SET").arg("maxmemory").arg(most).exec(&mut server.connection()))
            .unwrap();
    };
    set_memory(1);
    let refused = queue.enqueue(Topic::Jobs, message("fourth")).await;
    assert!(matches!(refused, Err(QueueError::Unavailable { .. })), "{refused:?}");
    let [first, second, third] = &queue.receive(Topic::Jobs, 3, LONG, LONG).await.unwrap()[..] else { panic!("three") };
    queue.extend(&first.receipt, LONG * 2).await.unwrap();
    queue.ack(&first.receipt).await.unwrap();
    queue.dead_letter(&second.receipt, "of no use").await.unwrap();
    queue.release(&third.receipt, Duration::ZERO).await.unwrap();
    assert_eq!(queue.receive(Topic::Jobs, 1, LONG, LONG).await.unwrap()[0].payload, b"third");
    set_memory(0);
    queue.enqueue(Topic::Jobs, message("fourth")).await.unwrap();
}
