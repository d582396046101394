use muster_embedded::Durability;
use muster_session::BotId;
use uuid::Uuid;

use super::*;
use crate::embedded::EmbeddedQueue;

const LONG: Duration = Duration::from_secs(600);

fn open(dir: &tempfile::TempDir) -> (Arc<dyn Queue>, JobQueue) {
    let queue: Arc<dyn Queue> = Arc::new(EmbeddedQueue::open(dir.path(), Durability::Normal).unwrap());
    (Arc::clone(&queue), JobQueue::new(queue))
}

fn poison(text: &str) -> Enqueue {
    Enqueue { payload: text.into(), ..Enqueue::default() }
}

#[tokio::test]
async fn jobs_come_out_as_they_went_in() {
    let dir = tempfile::tempdir().unwrap();
    let (_, queue) = open(&dir);
    let bot = BotId::from_uuid(Uuid::new_v4());
    let transcript = muster_session::TranscriptId::from_uuid(Uuid::new_v4());
    let jobs =
        [Job::Run { bot, attempt: 2 }, Job::Process { bot }, Job::Transcribe { bot, transcript }, Job::Deliver { bot }];
    for job in &jobs {
        queue.send(job, Duration::ZERO, Some("key".into())).await.unwrap();
    }
    // The same key: in the same topic it is swallowed.
    let want = [(Topic::Jobs, vec![&jobs[0]]), (Topic::Media, vec![&jobs[1]]), (Topic::Deliveries, vec![&jobs[3]])];
    for (topic, want) in want {
        let received = queue.receive(topic, 10, LONG, LONG).await.unwrap();
        assert_eq!(received.iter().map(|d| &d.job).collect::<Vec<_>>(), want);
        for delivery in received {
            assert_eq!(delivery.receives, 1);
            queue.ack(&delivery.receipt).await.unwrap();
        }
        assert_eq!(queue.depth(topic).await.unwrap(), Depth::default());
    }
}

#[tokio::test]
async fn poison_is_set_aside_with_a_reason_and_stops_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let (raw, queue) = open(&dir);
    let bot = BotId::from_uuid(Uuid::new_v4());
    for text in ["", "not JSON", r#"{"kind":"from_the_future"}"#, "\u{fffd}"] {
        raw.enqueue(Topic::Jobs, poison(text)).await.unwrap();
    }
    raw.enqueue(Topic::Jobs, Enqueue { payload: vec![0xff; 4_000], ..Enqueue::default() }).await.unwrap();
    // Nothing but poison comes first; the wait goes on until the job comes.
    let job = Job::Run { bot, attempt: 1 };
    let late = async {
        while raw.depth(Topic::Jobs).await.unwrap().dead < 5 {
            tokio::task::yield_now().await;
        }
        queue.send(&job, Duration::ZERO, None).await.unwrap();
    };
    let (received, ()) = tokio::join!(queue.receive(Topic::Jobs, 10, LONG, LONG), late);
    assert_eq!(received.unwrap()[0].job, job);
    let dead = queue.dead(Topic::Jobs, 10).await.unwrap();
    assert_eq!(dead.len(), 5);
    for (_, _, reason) in &dead {
        assert!(reason.starts_with("not a job: ") && reason.len() < 600, "{reason}");
    }
    assert!(dead[2].2.contains("from_the_future"), "{}", dead[2].2);
    assert!(queue.requeue(Topic::Jobs, &dead[0].0).await.unwrap());
    assert_eq!(queue.receive(Topic::Jobs, 10, LONG, Duration::ZERO).await.unwrap(), []);
}

#[tokio::test]
async fn what_the_backend_cannot_do_is_refused_before_it_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    let (_, queue) = open(&dir);
    let job = Job::Deliver { bot: BotId::from_uuid(Uuid::new_v4()) };
    let beyond = Duration::from_secs(1);
    let sent = queue.send(&job, queue.limits().max_delay + beyond, None).await;
    assert!(matches!(sent, Err(QueueError::OverLimit { .. })), "{sent:?}");
    let received = queue.receive(Topic::Jobs, 1, queue.limits().max_lease + beyond, Duration::ZERO).await;
    assert!(matches!(received, Err(QueueError::OverLimit { .. })), "{received:?}");
    // More than the backend gives at once is not a mistake: at most that much comes.
    assert_eq!(queue.receive(Topic::Jobs, u32::MAX, LONG, Duration::ZERO).await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn a_job_is_held_until_its_lease_is_lost() {
    const LEASE: Duration = Duration::from_secs(9);
    let queue = JobQueue::new(Arc::new(crate::memory::MemoryQueue::new()));
    let job = Job::Deliver { bot: BotId::from_uuid(Uuid::from_u128(1)) };
    queue.send(&job, Duration::ZERO, None).await.unwrap();
    let held = queue.receive(Topic::Deliveries, 1, LEASE, Duration::ZERO).await.unwrap().remove(0);
    let elsewhere = async {
        assert_eq!(queue.receive(Topic::Deliveries, 1, LEASE, 10 * LEASE).await.unwrap(), [], "for many leases");
        queue.ack(&held.receipt).await.unwrap();
    };
    let (began, hold) = (Instant::now(), queue.hold(&held.receipt, LEASE));
    tokio::join!(hold, elsewhere);
    assert!(began.elapsed() < 11 * LEASE, "it ends with the lease: {:?}", began.elapsed());
}
