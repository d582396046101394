//! The suite on the embedded queue, and what only it promises.

mod crash;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use muster_embedded::{Durability, OpenError};
use muster_session::job::Topic;

use super::{Clock, EmbeddedQueue, claim};
use crate::conformance::Fixture;
use crate::model::{self, Backend};
use crate::{Enqueue, Queue, QueueError};

const LONG: Duration = Duration::from_secs(600);

struct Directory {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

impl Directory {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { path: dir.path().join("data"), _dir: dir }
    }
}

#[async_trait]
impl Fixture for Directory {
    async fn open(&self) -> Arc<dyn Queue> {
        Arc::new(EmbeddedQueue::open(&self.path, Durability::Normal).unwrap())
    }
}

crate::queue_conformance!(Directory::new());

#[async_trait]
impl Backend for Directory {
    const IN_ORDER: bool = true;
    const CASES: u32 = 60;

    fn new() -> Self {
        Self::new()
    }

    async fn open(&self, clock: Clock) -> Arc<dyn Queue> {
        Arc::new(EmbeddedQueue::open_with_clock(&self.path, Durability::Normal, clock).unwrap())
    }
}

#[test]
fn it_behaves_as_a_list_does() {
    model::behaves_as_a_list_does::<Directory>();
}

#[tokio::test]
async fn a_receive_that_was_given_up_puts_back_what_it_took() {
    let dir = Directory::new();
    let queue = Fixture::open(&dir).await;
    for turns in 0..40 {
        queue.enqueue(Topic::Jobs, Enqueue { payload: vec![turns], ..Enqueue::default() }).await.unwrap();
        let given_up = tokio::select! {
            biased;
            received = queue.receive(Topic::Jobs, 1, LONG, LONG) => received.unwrap(),
            () = async { for _ in 0..turns { tokio::task::yield_now().await; } } => Vec::new(),
        };
        let delivery = match given_up.into_iter().next() {
            Some(delivery) => delivery,
            None => queue.receive(Topic::Jobs, 1, LONG, LONG).await.unwrap().remove(0),
        };
        assert_eq!((delivery.payload.as_slice(), delivery.receives), (&[turns][..], 1), "at once, as if never taken");
        queue.ack(&delivery.receipt).await.unwrap();
    }
}

#[tokio::test]
async fn what_was_taken_for_a_receiver_that_is_gone_is_put_back_at_once() {
    let dir = Directory::new();
    let queue = EmbeddedQueue::open(&dir.path, Durability::Normal).unwrap();
    queue.enqueue(Topic::Jobs, Enqueue { payload: b"m".to_vec(), ..Enqueue::default() }).await.unwrap();
    let claim::Found::Messages(taken) = claim::claim(&queue.shared, Topic::Jobs, 1, LONG).await.unwrap() else {
        panic!("there is a message");
    };
    assert_eq!(queue.depth(Topic::Jobs).await.unwrap().leased, 1);
    let waiting = queue.receive(Topic::Jobs, 1, LONG, LONG);
    let (received, ()) = tokio::join!(biased; waiting, async { drop(taken) });
    assert_eq!(received.unwrap()[0].receives, 1, "as if never taken");
}

#[tokio::test]
async fn leases_of_an_earlier_process_can_be_ended_at_once() {
    let dir = Directory::new();
    let queue = EmbeddedQueue::open(&dir.path, Durability::Normal).unwrap();
    queue.enqueue(Topic::Jobs, Enqueue { payload: b"m".to_vec(), ..Enqueue::default() }).await.unwrap();
    let taken = queue.receive(Topic::Jobs, 1, LONG, LONG).await.unwrap().remove(0);
    drop(queue);
    let queue = EmbeddedQueue::open(&dir.path, Durability::Normal).unwrap();
    queue.end_leases().await.unwrap();
    let again = queue.receive(Topic::Jobs, 1, LONG, LONG).await.unwrap().remove(0);
    assert_eq!((again.payload.as_slice(), again.receives), (&b"m"[..], 2));
    assert!(matches!(queue.ack(&taken.receipt).await, Err(QueueError::LeaseLost)), "its old holder has lost it");
}

#[tokio::test]
async fn one_process_at_a_time() {
    let dir = Directory::new();
    let _queue = Fixture::open(&dir).await;
    let refused = EmbeddedQueue::open(&dir.path, Durability::Normal).unwrap_err();
    assert!(matches!(refused, OpenError::InUse { .. }), "{refused}");
}
