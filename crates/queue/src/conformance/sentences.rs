//! The numbered sentences.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use muster_session::job::Topic;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Fixture, LONG, NOW, PATIENCE, SHORT};
use crate::{Delivery, Depth, Enqueue, Queue, QueueError, Receipt};

/// What has to be woken for comes much sooner than this.
const AT_ONCE: Duration = Duration::from_secs(20);
/// A lease that holds for a call and its repetitions, and that a test can wait for.
const BRIEF: Duration = Duration::from_secs(1);

fn message(text: &str) -> Enqueue {
    Enqueue { payload: text.into(), ..Enqueue::default() }
}

async fn add(queue: &dyn Queue, topic: Topic, message: Enqueue) {
    queue.enqueue(topic, message).await.expect("enqueue");
}

async fn take(queue: &dyn Queue, max: u32, lease: Duration, wait: Duration) -> Vec<Delivery> {
    queue.receive(Topic::Jobs, max, lease, wait).await.expect("receive")
}

/// The one message that has to come.
async fn take_one(queue: &dyn Queue, lease: Duration) -> Delivery {
    let mut received = take(queue, 1, lease, PATIENCE).await;
    assert_eq!(received.len(), 1, "a message has to come");
    received.remove(0)
}

async fn depth(queue: &dyn Queue) -> Depth {
    queue.depth(Topic::Jobs).await.expect("depth")
}

/// The depth once it is as wanted: at once where the backend can tell, otherwise within the patience of a test.
async fn depth_when(queue: &dyn Queue, topic: Topic, wanted: impl Fn(&Depth) -> bool) -> Depth {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen = queue.depth(topic).await.expect("depth");
        if wanted(&seen) {
            return seen;
        }
        assert!(!queue.limits().exact_depth && Instant::now() < deadline, "unexpected: {seen:?}");
        tokio::task::yield_now().await;
    }
}

#[track_caller]
fn assert_lost(result: Result<(), QueueError>) {
    assert!(matches!(result, Err(QueueError::LeaseLost)), "expected a lost lease, got {result:?}");
}

async fn assert_settles_nothing(queue: &dyn Queue, receipt: &Receipt) {
    assert_lost(queue.ack(receipt).await);
    assert_lost(queue.release(receipt, NOW).await);
    assert_lost(queue.extend(receipt, LONG).await);
    assert_lost(queue.dead_letter(receipt, "x").await);
}

/// 1. An `Ok` from `enqueue` means that the message survives, and one from `enqueue_all` that all of them do.
pub async fn s01_acknowledged_messages_survive(fixture: &dyn Fixture) {
    let queue = fixture.open().await;
    for topic in Topic::ALL {
        add(&*queue, topic, message(topic.as_str())).await;
    }
    let held = take_one(&*queue, LONG).await;
    let together: BTreeSet<Vec<u8>> = (0..25).map(|number| format!("{number}").into_bytes()).collect();
    let messages = together.iter().map(|payload| Enqueue { payload: payload.clone(), ..Enqueue::default() }).collect();
    queue.enqueue_all(Topic::Jobs, messages).await.expect("enqueue all");
    queue.enqueue_all(Topic::Jobs, Vec::new()).await.expect("none is all of none");
    drop(queue);
    let queue = fixture.open().await;
    let mut seen = BTreeSet::new();
    while seen.len() < together.len() {
        for delivery in take(&*queue, 10, LONG, PATIENCE).await {
            queue.ack(&delivery.receipt).await.expect("the lease holds");
            assert!(seen.insert(delivery.payload), "each once");
        }
    }
    assert_eq!(seen, together);
    // The lease survives too.
    depth_when(&*queue, Topic::Jobs, |depth| depth.leased == 1).await;
    queue.ack(&held.receipt).await.expect("the lease holds");
    for topic in [Topic::Media, Topic::Deliveries] {
        let received = queue.receive(topic, 10, LONG, PATIENCE).await.expect("receive");
        assert_eq!(received.len(), 1);
        assert_eq!(received[0].payload, topic.as_str().as_bytes());
    }
}

/// 2. A message is delivered, and while its lease holds to nobody else.
pub async fn s02_a_leased_message_is_nobody_elses(fixture: &dyn Fixture) {
    const MESSAGES: usize = 60;
    let queue = fixture.open().await;
    for i in 0..MESSAGES {
        add(&*queue, Topic::Jobs, message(&i.to_string())).await;
    }
    let mut receivers = JoinSet::new();
    for _ in 0..6 {
        let queue = Arc::clone(&queue);
        receivers.spawn(async move {
            let mut seen = Vec::new();
            loop {
                let received = take(&*queue, 3, LONG, NOW).await;
                if received.is_empty() {
                    return seen;
                }
                assert!(received.iter().all(|delivery| delivery.receives == 1));
                seen.extend(received.into_iter().map(|delivery| delivery.payload));
            }
        });
    }
    let mut seen = Vec::new();
    while let Some(one) = receivers.join_next().await {
        seen.extend(one.expect("a receiver failed"));
    }
    assert_eq!(seen.len(), MESSAGES, "each once");
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>().len(), MESSAGES, "all of them");
}

/// 3. A lease that runs out makes the message receivable again, with one more receive counted.
pub async fn s03_a_lease_that_runs_out_makes_it_receivable_again(fixture: &dyn Fixture) {
    let queue = fixture.open().await;
    add(&*queue, Topic::Jobs, message("m")).await;
    for receives in 1..=3 {
        let began = Instant::now();
        let delivery = take_one(&*queue, SHORT).await;
        assert_eq!((delivery.payload.as_slice(), delivery.receives), (&b"m"[..], receives));
        assert!(began.elapsed() < AT_ONCE, "it has to wake when the lease runs out");
    }
}

/// 4. Settling with a lost lease answers so and changes nothing.
pub async fn s04_a_lost_lease_settles_nothing(fixture: &dyn Fixture) {
    let queue = fixture.open().await;
    add(&*queue, Topic::Jobs, message("m")).await;
    let first = take_one(&*queue, SHORT).await;
    let second = take_one(&*queue, LONG).await;
    assert_settles_nothing(&*queue, &first.receipt).await;
    // The second has it still.
    depth_when(&*queue, Topic::Jobs, |depth| depth.leased == 1).await;
    // Extending counts from now, so this cuts it short.
    queue.extend(&second.receipt, SHORT).await.expect("the lease holds");
    let third = take_one(&*queue, LONG).await;
    assert_eq!(third.receives, 3);
    assert_settles_nothing(&*queue, &second.receipt).await;
    queue.release(&third.receipt, NOW).await.expect("the lease holds");
    assert_settles_nothing(&*queue, &third.receipt).await;
    let fourth = take_one(&*queue, LONG).await;
    queue.ack(&fourth.receipt).await.expect("the lease holds");
    assert_settles_nothing(&*queue, &fourth.receipt).await;
    depth_when(&*queue, Topic::Jobs, |depth| *depth == Depth::default()).await;
    let foreign = Receipt { topic: Topic::Jobs, id: "no such".into(), token: "thing".into() };
    assert_settles_nothing(&*queue, &foreign).await;
}

/// 5. A delayed message is not received before its time.
pub async fn s05_a_delayed_message_does_not_come_early(fixture: &dyn Fixture) {
    let queue = fixture.open().await;
    add(&*queue, Topic::Jobs, Enqueue { delay: LONG, ..message("late") }).await;
    assert_eq!(take(&*queue, 1, LONG, NOW).await, []);
    let began = Instant::now();
    add(&*queue, Topic::Jobs, Enqueue { delay: SHORT, ..message("soon") }).await;
    let delivery = take_one(&*queue, LONG).await;
    assert!(began.elapsed() >= SHORT, "early");
    assert!(began.elapsed() < AT_ONCE, "it has to wake when the time comes");
    assert_eq!(delivery.payload, b"soon");
    let began = Instant::now();
    queue.release(&delivery.receipt, SHORT).await.expect("the lease holds");
    assert_eq!(take_one(&*queue, LONG).await.payload, b"soon");
    assert!(began.elapsed() >= SHORT, "early after a release");
    depth_when(&*queue, Topic::Jobs, |depth| depth.delayed == 1).await;
}

/// 6. A second enqueue with a key that is still in the queue is accepted and adds nothing.
pub async fn s06_a_key_is_in_the_queue_once(fixture: &dyn Fixture) {
    let queue = fixture.open().await;
    let keyed = |text| Enqueue { dedup_key: Some("key".into()), ..message(text) };
    add(&*queue, Topic::Jobs, keyed("first")).await;
    add(&*queue, Topic::Jobs, keyed("second")).await;
    if !queue.limits().deduplicates {
        // Then the second is a message like any other: neither is lost, and neither is in the way of the other.
        let mut seen = BTreeSet::new();
        while seen.len() < 2 {
            let delivery = take_one(&*queue, LONG).await;
            queue.ack(&delivery.receipt).await.expect("the lease holds");
            assert!(seen.insert(delivery.payload), "each once");
        }
        assert_eq!(seen, BTreeSet::from([b"first".to_vec(), b"second".to_vec()]));
        assert_eq!(take(&*queue, 10, LONG, SHORT).await, []);
        return;
    }
    add(&*queue, Topic::Media, keyed("another topic")).await;
    let delivery = take_one(&*queue, LONG).await;
    assert_eq!(delivery.payload, b"first");
    // A leased or delayed one is in the queue.
    add(&*queue, Topic::Jobs, keyed("third")).await;
    assert_eq!(take(&*queue, 10, LONG, NOW).await, []);
    queue.release(&delivery.receipt, SHORT).await.expect("the lease holds");
    add(&*queue, Topic::Jobs, keyed("fourth")).await;
    let delivery = take_one(&*queue, LONG).await;
    assert_eq!(delivery.payload, b"first");
    // And an acknowledged one is not.
    queue.ack(&delivery.receipt).await.expect("the lease holds");
    let together = vec![keyed("fifth"), keyed("sixth"), message("without")];
    queue.enqueue_all(Topic::Jobs, together).await.expect("enqueue all");
    let both = BTreeSet::from([take_one(&*queue, LONG).await.payload, take_one(&*queue, LONG).await.payload]);
    assert_eq!(both, BTreeSet::from([b"fifth".to_vec(), b"without".to_vec()]));
    assert_eq!(take(&*queue, 10, LONG, NOW).await, []);
    assert_eq!(queue.depth(Topic::Media).await.expect("depth").ready, 1);
}

/// 7. `receive` answers at once, or when something arrives, or empty when the wait is over; dropping it loses nothing.
pub async fn s07_receive_answers_at_once_or_when_something_comes(fixture: &dyn Fixture) {
    let queue = fixture.open().await;
    assert_eq!(take(&*queue, 10, LONG, NOW).await, []);
    let began = Instant::now();
    assert_eq!(take(&*queue, 10, LONG, SHORT).await, []);
    assert!(began.elapsed() >= SHORT, "it has to wait");
    // What comes while somebody waits, directly, by a release, or from among the dead.
    let began = Instant::now();
    let (delivery, ()) = tokio::join!(take_one(&*queue, LONG), add(&*queue, Topic::Jobs, message("m")));
    let (again, released) = tokio::join!(take_one(&*queue, LONG), queue.release(&delivery.receipt, NOW));
    released.expect("the lease holds");
    assert_eq!(again.payload, b"m");
    queue.dead_letter(&again.receipt, "for a while").await.expect("the lease holds");
    let id = queue.dead(Topic::Jobs, 1).await.expect("dead")[0].0.clone();
    let (again, found) = tokio::join!(take_one(&*queue, LONG), queue.requeue(Topic::Jobs, &id));
    assert!(found.expect("requeue"));
    queue.ack(&again.receipt).await.expect("the lease holds");
    assert!(began.elapsed() < AT_ONCE, "it has to wake at once");
    for i in 0..5 {
        add(&*queue, Topic::Jobs, message(&i.to_string())).await;
    }
    assert_eq!(take(&*queue, 3, LONG, PATIENCE).await.len(), 3, "at most max, and what is there");
    assert_eq!(take(&*queue, 3, LONG, PATIENCE).await.len(), 2, "without waiting for more");
    assert!(began.elapsed() < AT_ONCE);
    // Given up after so many turns, that is, in one place or another.
    for turns in 0..20 {
        add(&*queue, Topic::Jobs, message("dropped")).await;
        let given_up = tokio::select! {
            biased;
            received = take(&*queue, 1, BRIEF, PATIENCE) => received,
            () = turns_of_others(turns) => Vec::new(),
        };
        let delivery = match given_up.into_iter().next() {
            Some(delivery) => delivery,
            None => take_one(&*queue, LONG).await,
        };
        assert_eq!(delivery.payload, b"dropped");
        if queue.ack(&delivery.receipt).await.is_err() {
            // Its short lease ran out under a slow test.
            let delivery = take_one(&*queue, LONG).await;
            queue.ack(&delivery.receipt).await.expect("the lease holds");
        }
    }
    depth_when(&*queue, Topic::Jobs, |depth| depth.ready == 0).await;
}

async fn turns_of_others(turns: u32) {
    for _ in 0..turns {
        tokio::task::yield_now().await;
    }
}

/// 8. Messages of equal readiness come roughly in order.
pub async fn s08_order_is_roughly_kept(fixture: &dyn Fixture) {
    const MESSAGES: usize = 100;
    let queue = fixture.open().await;
    for i in 0..MESSAGES {
        add(&*queue, Topic::Jobs, message(&i.to_string())).await;
    }
    let mut order: Vec<usize> = Vec::new();
    while order.len() < MESSAGES {
        let number = |d: Delivery| String::from_utf8_lossy(&d.payload).parse::<usize>().expect("a number");
        order.extend(take(&*queue, 10, LONG, PATIENCE).await.into_iter().map(number));
    }
    let displaced: usize = order.iter().enumerate().map(|(at, number)| at.abs_diff(*number)).sum();
    // Random order would be a third of the length for each.
    assert!(displaced / MESSAGES < MESSAGES / 10, "{order:?}");
}

/// 9. Dead letters keep payload and reason, are not received, and can be put back with their count at zero.
pub async fn s09_dead_letters_are_kept_and_put_back(fixture: &dyn Fixture) {
    let queue = fixture.open().await;
    for text in ["a", "b", "c"] {
        add(&*queue, Topic::Jobs, message(text)).await;
        let delivery = take_one(&*queue, LONG).await;
        queue.dead_letter(&delivery.receipt, &format!("why {text}")).await.expect("the lease holds");
        assert_settles_nothing(&*queue, &delivery.receipt).await;
    }
    assert_eq!(take(&*queue, 10, LONG, NOW).await, []);
    drop(queue);
    let queue = fixture.open().await;
    let dead = queue.dead(Topic::Jobs, 2).await.expect("dead");
    let want = [(b"a".to_vec(), "why a".to_owned()), (b"b".to_vec(), "why b".to_owned())];
    assert_eq!(dead.iter().map(|(_, payload, reason)| (payload.clone(), reason.clone())).collect::<Vec<_>>(), want);
    assert_eq!(queue.dead(Topic::Media, 10).await.expect("dead"), []);
    let id = dead[1].0.as_str();
    assert!(!queue.requeue(Topic::Media, id).await.expect("requeue"), "another topic's");
    assert!(queue.requeue(Topic::Jobs, id).await.expect("requeue"));
    assert!(!queue.requeue(Topic::Jobs, id).await.expect("requeue"), "only once");
    let delivery = take_one(&*queue, LONG).await;
    assert_eq!((delivery.payload.as_slice(), delivery.receives), (&b"b"[..], 1));
    depth_when(&*queue, Topic::Jobs, |depth| depth.dead == 2).await;
}

/// 10. `depth` counts ready, leased, delayed and dead messages and the age of the oldest ready one.
pub async fn s10_depth_counts(fixture: &dyn Fixture) {
    let queue = fixture.open().await;
    assert_eq!(depth(&*queue).await, Depth::default());
    for _ in 0..6 {
        add(&*queue, Topic::Jobs, message("m")).await;
    }
    for _ in 0..2 {
        add(&*queue, Topic::Jobs, Enqueue { delay: LONG, ..message("m") }).await;
    }
    let mut held = take(&*queue, 3, LONG, PATIENCE).await;
    while held.len() < 3 {
        held.extend(take(&*queue, 1, LONG, PATIENCE).await);
    }
    queue.dead_letter(&held[0].receipt, "x").await.expect("the lease holds");
    let counted = |depth: &Depth| (depth.ready, depth.leased, depth.delayed, depth.dead) == (3, 2, 2, 1);
    let seen = depth_when(&*queue, Topic::Jobs, counted).await;
    // Time passes while a topic with nothing in it is waited on.
    assert_eq!(queue.receive(Topic::Media, 1, LONG, SHORT).await.expect("receive"), []);
    let later = depth(&*queue).await.oldest_ready;
    if queue.limits().exact_depth {
        assert!(later > seen.oldest_ready && later < PATIENCE, "{later:?} after {:?}", seen.oldest_ready);
    } else {
        assert_eq!((later, seen.oldest_ready), (Duration::ZERO, Duration::ZERO), "it does not pretend");
    }
    assert_eq!(queue.depth(Topic::Media).await.expect("depth"), Depth::default());
}

/// What is beyond [`Queue::limits`] is refused and changes nothing.
pub async fn limits_are_enforced(fixture: &dyn Fixture) {
    let queue = fixture.open().await;
    let limits = queue.limits();
    let over = |result: Result<(), QueueError>| {
        assert!(matches!(result, Err(QueueError::OverLimit { .. })), "{result:?}");
    };
    let beyond = Duration::from_secs(1);
    let large = Enqueue { payload: vec![b'x'; limits.max_payload_bytes + 1], ..Enqueue::default() };
    over(queue.enqueue(Topic::Jobs, large).await);
    let late = Enqueue { delay: limits.max_delay + beyond, ..message("m") };
    over(queue.enqueue(Topic::Jobs, late).await);
    let largest = Enqueue { payload: vec![b'x'; limits.max_payload_bytes], ..Enqueue::default() };
    add(&*queue, Topic::Jobs, largest).await;
    over(queue.receive(Topic::Jobs, 1, limits.max_lease + beyond, NOW).await.map(drop));
    assert_eq!(take(&*queue, 0, LONG, PATIENCE).await, [], "nothing was asked for");
    let delivery = take_one(&*queue, limits.max_lease).await;
    assert_eq!((delivery.payload.len(), delivery.receives), (limits.max_payload_bytes, 1));
    over(queue.extend(&delivery.receipt, limits.max_lease + beyond).await);
    over(queue.release(&delivery.receipt, limits.max_delay + beyond).await);
    queue.ack(&delivery.receipt).await.expect("the lease holds");
}
