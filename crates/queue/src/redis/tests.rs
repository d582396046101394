//! The suite on Redis, and what only it promises.

mod full;
mod restart;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use muster_redis::testing::Prefix;
use muster_redis::{OpenError, cmd};
use muster_session::job::Topic;

use super::{Clock, RedisQueue, claim};
use crate::conformance::Fixture;
use crate::model::{self, Backend};
use crate::{Enqueue, Queue, QueueError};

const LONG: Duration = Duration::from_secs(600);
const SHORT: Duration = Duration::from_millis(40);

#[async_trait]
impl Fixture for Prefix {
    async fn open(&self) -> Arc<dyn Queue> {
        Arc::new(open(self).await)
    }
}

async fn open(prefix: &Prefix) -> RedisQueue {
    RedisQueue::open(prefix.settings()).await.unwrap().0
}

fn message(text: &str) -> Enqueue {
    Enqueue { payload: text.into(), ..Enqueue::default() }
}

crate::queue_conformance!(if_there: Prefix::new());

#[async_trait]
impl Backend for Prefix {
    const IN_ORDER: bool = false;
    const CASES: u32 = 60;

    fn new() -> Self {
        Self::new().unwrap()
    }

    async fn open(&self, clock: Clock) -> Arc<dyn Queue> {
        Arc::new(RedisQueue::open_with(self.settings(), Some(clock), LONG).await.unwrap().0)
    }
}

#[test]
fn it_behaves_as_a_list_does() {
    if Prefix::new().is_some() {
        model::behaves_as_a_list_does::<Prefix>();
    }
}

#[tokio::test]
async fn what_was_taken_for_a_receiver_that_is_gone_is_put_back_at_once() {
    let Some(prefix) = Prefix::new() else { return };
    let queue = open(&prefix).await;
    queue.enqueue(Topic::Jobs, message("m")).await.unwrap();
    let claim::Found::Messages(taken) = claim::claim(&queue.shared, Topic::Jobs, 1, LONG).await.unwrap() else {
        panic!("there is a message");
    };
    assert_eq!(queue.depth(Topic::Jobs).await.unwrap().leased, 1);
    let waiting = queue.receive(Topic::Jobs, 1, LONG, LONG);
    let (received, ()) = tokio::join!(biased; waiting, async { drop(taken) });
    assert_eq!(received.unwrap()[0].receives, 1, "as if never taken");
}

/// Another process: its messages, delays and releases are heard here. Nothing is found by looking again.
#[tokio::test]
async fn a_wait_hears_of_what_others_do() {
    let Some(prefix) = Prefix::new() else { return };
    let patient = async || RedisQueue::open_with(prefix.settings(), None, LONG).await.unwrap().0;
    let (here, there) = (patient().await, patient().await);
    for round in 0..3 {
        let waiting = here.receive(Topic::Jobs, 1, LONG, LONG);
        let sent = there.enqueue(Topic::Jobs, Enqueue { delay: SHORT * round, ..message("m") });
        let (received, sent) = tokio::join!(biased; waiting, sent);
        sent.unwrap();
        let delivery = received.unwrap().remove(0);
        let waiting = there.receive(Topic::Jobs, 1, LONG, LONG);
        let (received, released) = tokio::join!(biased; waiting, here.release(&delivery.receipt, SHORT * round));
        released.unwrap();
        there.ack(&received.unwrap()[0].receipt).await.unwrap();
    }
}

/// What KEDA's `redis-streams` reads: messages that nobody has taken, also those whose delay or lease has ended.
#[tokio::test]
async fn the_lag_of_the_group_is_what_nobody_has_taken() {
    let Some(prefix) = Prefix::new() else { return };
    let queue = open(&prefix).await;
    let tag = queue.shared.tag(Topic::Jobs);
    let lag = || {
        let mut connection = prefix.connection();
        let groups: Vec<std::collections::HashMap<String, muster_redis::Value>> =
            cmd("XINFO").arg("GROUPS").arg(format!("{tag}:ready")).query(&mut connection).unwrap();
        let lag: Option<u64> = muster_redis::from_redis_value(groups[0]["lag"].clone()).unwrap();
        lag
    };
    for i in 0..5 {
        queue.enqueue(Topic::Jobs, message(&i.to_string())).await.unwrap();
    }
    let mut held = queue.receive(Topic::Jobs, 3, LONG, LONG).await.unwrap();
    assert_eq!(lag(), Some(2));
    queue.ack(&held.remove(0).receipt).await.unwrap();
    queue.release(&held.remove(0).receipt, Duration::ZERO).await.unwrap();
    assert_eq!(lag(), Some(3));
    held.extend(queue.receive(Topic::Jobs, 10, LONG, LONG).await.unwrap());
    assert_eq!(lag(), Some(0));
    for delivery in held {
        queue.ack(&delivery.receipt).await.unwrap();
    }
    queue.enqueue(Topic::Jobs, message("m")).await.unwrap();
    assert_eq!(lag(), Some(1));
}

#[tokio::test]
async fn a_dead_letter_keeps_how_its_leases_ended() {
    let Some(prefix) = Prefix::new() else { return };
    let queue = open(&prefix).await;
    queue.enqueue(Topic::Jobs, message("m")).await.unwrap();
    let first = queue.receive(Topic::Jobs, 1, LONG, LONG).await.unwrap().remove(0);
    queue.release(&first.receipt, Duration::ZERO).await.unwrap();
    queue.receive(Topic::Jobs, 1, SHORT, LONG).await.unwrap();
    let last = queue.receive(Topic::Jobs, 1, LONG, LONG).await.unwrap().remove(0);
    queue.dead_letter(&last.receipt, "why").await.unwrap();
    let mut connection = prefix.connection();
    let range = format!("{}:dead", queue.shared.tag(Topic::Jobs));
    let letters: Vec<(String, std::collections::HashMap<String, String>)> =
        cmd("XRANGE").arg(range).arg("-").arg("+").query(&mut connection).unwrap();
    let attempts: Vec<serde_json::Value> = serde_json::from_str(&letters[0].1["attempts"]).unwrap();
    assert_eq!(attempts.iter().map(|one| &one["end"]).collect::<Vec<_>>(), ["released", "expired", "dead"]);
    assert!(attempts.iter().all(|one| one["from"].as_i64() <= one["to"].as_i64()), "{attempts:?}");
    assert_eq!(letters[0].1["receives"], "3");
}

#[tokio::test]
async fn a_server_that_was_emptied_goes_on() {
    let Some(prefix) = Prefix::new() else { return };
    let queue = open(&prefix).await;
    let keyed = |text: &str| Enqueue { dedup_key: Some("k".into()), ..message(text) };
    queue.enqueue(Topic::Jobs, keyed("lost")).await.unwrap();
    let before = queue.receive(Topic::Jobs, 1, LONG, LONG).await.unwrap().remove(0);
    let tag = queue.shared.tag(Topic::Jobs);
    let mut connection = prefix.connection();
    // All but the keys that keep duplicates out; numbers begin anew.
    for key in prefix.keys().iter().filter(|key| key.starts_with(&tag) && !key.ends_with(":keys")) {
        cmd("UNLINK").arg(key).exec(&mut connection).unwrap();
    }
    queue.enqueue(Topic::Jobs, keyed("m")).await.unwrap();
    let after = queue.receive(Topic::Jobs, 1, LONG, LONG).await.unwrap().remove(0);
    assert_eq!((after.payload.as_slice(), &after.receipt.id), (&b"m"[..], &before.receipt.id));
    // Whoever held the old message has no right to the new one of the same number.
    assert!(matches!(queue.ack(&before.receipt).await, Err(QueueError::LeaseLost)));
    queue.ack(&after.receipt).await.unwrap();
}

#[tokio::test]
async fn data_of_another_release_is_refused_and_not_touched() {
    let Some(prefix) = Prefix::new() else { return };
    let key = format!("{{{}:queue}}:schema", prefix.settings().prefix);
    let mut connection = prefix.connection();
    cmd("SET").arg(&key).arg(99).exec(&mut connection).unwrap();
    let refused = RedisQueue::open(prefix.settings()).await.unwrap_err();
    assert!(matches!(&refused, OpenError::Schema { found, .. } if found == "99"), "{refused}");
    assert!(refused.to_string().contains("queue.prefix"), "{refused}");
    assert_eq!(prefix.keys(), [key]);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_said_to_be_unavailable() {
    let settings = muster_redis::Settings {
        url: "redis://:secret@127.0.0.1:1/".into(),
        prefix: "muster".into(),
        allow_volatile: false,
    };
    let refused = RedisQueue::open(&settings).await.unwrap_err();
    assert!(matches!(refused, OpenError::Unreachable { .. }), "{refused}");
    assert!(!format!("{refused:?} {refused} {settings:?}").contains("secret"));
}

/// For the restart below: what was not carried out for certain may have been.
async fn until_ok<T, F: Future<Output = Result<T, QueueError>>>(mut attempt: impl FnMut() -> F) -> T {
    loop {
        match attempt().await {
            Ok(value) => return value,
            Err(QueueError::Unavailable { .. }) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}
