//! The suite on SQS, as an emulator plays it, and what no emulator plays.

mod model;
mod setup;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use muster_aws::testing::{Script, emulator};
use muster_session::job::Topic;
use tokio::time::Instant;

use super::*;
use crate::conformance::Fixture;

const LONG: Duration = Duration::from_secs(600);

/// Queues of a test's own. They stay, empty or not, until the emulator ends.
struct Queues(SqsSettings);

impl Queues {
    fn new() -> Option<Self> {
        let (aws, prefix) = emulator()?;
        Some(Self(SqsSettings { aws, prefix }))
    }

    async fn queue(&self) -> SqsQueue {
        setup::migrate(&self.0, false).await.unwrap();
        SqsQueue::open(&self.0).await.unwrap()
    }
}

#[async_trait]
impl Fixture for Queues {
    async fn open(&self) -> Arc<dyn Queue> {
        Arc::new(self.queue().await)
    }
}

crate::queue_conformance!(if_there: Queues::new(), in seconds, without deduplication);

#[tokio::test]
async fn a_receive_that_was_given_up_puts_back_what_it_takes() {
    let Some(queues) = Queues::new() else { return };
    let queue = queues.queue().await;
    let began = Instant::now();
    {
        let waiting = queue.receive(Topic::Jobs, 1, LONG, LONG);
        tokio::pin!(waiting);
        // Its request is on the way when it is given up.
        tokio::select! {
            biased;
            _ = &mut waiting => panic!("there is nothing"),
            _ = queue.depth(Topic::Jobs) => {}
        }
    }
    queue.enqueue(Topic::Jobs, Enqueue { payload: b"m".to_vec(), ..Enqueue::default() }).await.unwrap();
    let delivery = queue.receive(Topic::Jobs, 1, LONG, LONG).await.unwrap().remove(0);
    assert_eq!(delivery.payload, b"m");
    assert!(began.elapsed() < LONG / 10, "long before its lease would have been over");
    assert_eq!(delivery.receives, 1, "who is gone did not go down with it");
}

#[tokio::test]
async fn bytes_that_are_no_text_pass_and_can_be_set_aside() {
    let Some(queues) = Queues::new() else { return };
    let queue = queues.queue().await;
    for payload in [vec![0xff; 4_000], Vec::new(), b"\0".to_vec()] {
        queue.enqueue(Topic::Media, Enqueue { payload: payload.clone(), ..Enqueue::default() }).await.unwrap();
        let delivery = queue.receive(Topic::Media, 1, LONG, LONG).await.unwrap().remove(0);
        assert_eq!(delivery.payload, payload);
        queue.dead_letter(&delivery.receipt, "\0").await.unwrap();
        let (id, dead, reason) = queue.dead(Topic::Media, 1).await.unwrap().remove(0);
        assert_eq!((dead, reason.as_str()), (payload, "\u{fffd}"));
        assert!(queue.requeue(Topic::Media, &id).await.unwrap());
        let delivery = queue.receive(Topic::Media, 1, LONG, LONG).await.unwrap().remove(0);
        queue.ack(&delivery.receipt).await.unwrap();
    }
}

#[tokio::test]
async fn what_nobody_settles_is_set_aside_by_the_service() {
    let Some(queues) = Queues::new() else { return };
    let queue = queues.queue().await;
    // As it is after a thousand receives.
    let urls = queue.shared.urls(Topic::Jobs);
    let policy = queue.shared.client.get_queue_attributes().queue_url(&urls.live).attribute_names(Name::RedrivePolicy);
    let policy = policy.send().await.unwrap().attributes.unwrap().remove(&Name::RedrivePolicy).unwrap();
    let policy = policy.replace("1000", "2");
    let set = queue.shared.client.set_queue_attributes().queue_url(&urls.live).attributes(Name::RedrivePolicy, policy);
    set.send().await.unwrap();
    queue.enqueue(Topic::Jobs, Enqueue { payload: b"m".to_vec(), ..Enqueue::default() }).await.unwrap();
    for _ in 0..2 {
        let delivery = queue.receive(Topic::Jobs, 1, LONG, LONG).await.unwrap().remove(0);
        queue.release(&delivery.receipt, Duration::ZERO).await.unwrap();
    }
    assert_eq!(queue.receive(Topic::Jobs, 1, LONG, Duration::from_secs(1)).await.unwrap(), []);
    let dead = queue.dead(Topic::Jobs, 10).await.unwrap();
    assert_eq!((dead.len(), dead[0].1.as_slice()), (1, &b"m"[..]));
    assert!(dead[0].2.starts_with("received "), "{}", dead[0].2);
}

/// A queue whose service says this.
fn scripted(answers: &[(u16, &str)]) -> (Script, SqsQueue) {
    let script = Script::new(answers.iter().copied());
    let client = Client::new(&script.config());
    let url = || "http://script.invalid/1/q".to_owned();
    let urls = Topic::ALL.into_iter().map(|topic| (topic, Urls { live: url(), dead: url() })).collect();
    let shared = Shared {
        client,
        clock: ServiceClock::default(),
        urls,
        leases: Leases::default(),
        background: claim::Background::new(),
        looking: tokio::sync::Mutex::default(),
    };
    (script, SqsQueue { shared: Arc::new(shared) })
}

const ONE: (u16, &str) = (200, r#"{"Messages": [{"MessageId": "i", "ReceiptHandle": "h", "Body": "m"}]}"#);

/// As AWS has it, and no emulator.
#[tokio::test]
async fn a_visibility_that_was_over_is_a_lost_lease() {
    let expired = r#"{"__type": "com.amazonaws.sqs#InvalidParameterValue", "message": "Value h for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired."}"#;
    let not_in_flight = r#"{"__type": "com.amazonaws.sqs#MessageNotInflight", "message": "x"}"#;
    let invalid = r#"{"__type": "com.amazonaws.sqs#ReceiptHandleIsInvalid", "message": "x"}"#;
    for answer in [expired, not_in_flight, invalid] {
        let (_, queue) = scripted(&[ONE, (400, answer), (400, answer)]);
        let delivery = queue.receive(Topic::Jobs, 1, LONG, Duration::ZERO).await.unwrap().remove(0);
        let extended = queue.extend(&delivery.receipt, LONG).await;
        assert!(matches!(extended, Err(QueueError::LeaseLost)), "{extended:?}");
        let released = queue.release(&delivery.receipt, Duration::ZERO).await;
        assert!(matches!(released, Err(QueueError::LeaseLost)), "{released:?}");
        // It was taken out to be settled: nothing is asked any more.
        let acked = queue.ack(&delivery.receipt).await;
        assert!(matches!(acked, Err(QueueError::LeaseLost)), "{acked:?}");
    }
}

#[tokio::test]
async fn a_lease_whose_settling_was_not_answered_still_holds() {
    let throttled = r#"{"__type": "com.amazonaws.sqs#RequestThrottled", "message": "slow down"}"#;
    let denied = r#"{"__type": "com.amazonaws.sqs#AccessDeniedException", "message": "no"}"#;
    let (script, queue) = scripted(&[ONE, (400, denied), (400, throttled), (200, "{}")]);
    let delivery = queue.receive(Topic::Jobs, 1, LONG, Duration::ZERO).await.unwrap().remove(0);
    let refused = queue.ack(&delivery.receipt).await;
    assert!(
        matches!(&refused, Err(QueueError::Unavailable { detail, .. }) if detail.contains("AccessDenied")),
        "{refused:?}"
    );
    queue.ack(&delivery.receipt).await.expect("throttling is waited out, and the lease holds");
    assert_eq!(script.asked().len(), 4);
}

#[tokio::test]
async fn many_go_ten_in_a_request_and_one_refused_is_an_error() {
    let entry = |id: u32| format!(r#"{{"Id": "{id}", "MessageId": "m", "MD5OfMessageBody": "0"}}"#);
    let taken = |count| {
        let entries: Vec<String> = (0..count).map(entry).collect();
        format!(r#"{{"Successful": [{}], "Failed": []}}"#, entries.join(","))
    };
    let (ten, nine) = (taken(10), taken(9));
    let refused =
        r#"{"Successful": [], "Failed": [{"Id": "0", "SenderFault": false, "Code": "Busy", "Message": "later"}]}"#;
    let (script, queue) = scripted(&[(200, &ten), (200, &ten), (200, refused), (200, &nine)]);
    let message = |number: u32| Enqueue { payload: number.to_string().into_bytes(), ..Enqueue::default() };
    let error = queue.enqueue_all(Topic::Jobs, (0..21).map(message).collect()).await.unwrap_err();
    assert!(
        matches!(&error, QueueError::Unavailable { detail, .. } if detail.contains("1 messages were refused") && detail.contains("later")),
        "{error}"
    );
    let unconfirmed = queue.enqueue_all(Topic::Jobs, (0..10).map(message).collect()).await.unwrap_err();
    assert!(unconfirmed.to_string().contains("9 of 10 messages were confirmed"), "{unconfirmed}");
    let asked = script.asked();
    assert_eq!(asked.len(), 4);
    assert!(asked[1].contains(r#""MessageBody":"19""#) && !asked[1].contains(r#""MessageBody":"20""#), "{}", asked[1]);
}

#[tokio::test]
async fn the_longest_lease_is_no_longer_than_the_service_takes() {
    let (script, queue) = scripted(&[ONE, (200, "{}")]);
    let lease = queue.limits().max_lease;
    let received = queue.receive(Topic::Jobs, 1, lease, LONG).await.unwrap();
    assert!(script.asked()[0].contains(r#""VisibilityTimeout":43200"#), "{:?}", script.asked());
    let beyond = queue.extend(&received[0].receipt, lease + Duration::from_millis(1)).await;
    assert!(matches!(beyond, Err(QueueError::OverLimit { .. })), "{beyond:?}");
    queue.extend(&received[0].receipt, lease).await.unwrap();
}
