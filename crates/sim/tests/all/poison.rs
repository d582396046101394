//! A job that ends whoever takes it is set aside; one that only waits for the store is not.

use std::time::Duration;

use muster_faults::Fault;
use muster_queue::Enqueue;
use muster_session::Timestamp;
use muster_session::job::{Job, Topic};

use crate::steps::{Case, Memory, Step};

/// Workers that died with it in hand.
const DEATHS: u32 = 5;

async fn received(deaths: u32) -> (Case, usize) {
    let case = Case::new(&Memory, Step::new(0, Fault::Refuse)).await;
    let bot = case.create().await;
    // The job of the create is not to come into the way.
    let jobs = case.store.outbox(Timestamp::from_millis(i64::MAX), 10).await.unwrap();
    case.store.outbox_done(&jobs.iter().map(|job| job.id).collect::<Vec<_>>()).await.unwrap();
    let payload = serde_json::to_vec(&Job::Run { bot, attempt: 1 }).unwrap();
    case.queue.enqueue(Topic::Jobs, Enqueue { payload, ..Enqueue::default() }).await.unwrap();
    for receives in 1..=deaths {
        let lease = Duration::from_secs(1);
        let taken = case.queue.receive(Topic::Jobs, 1, lease, Duration::from_secs(60)).await.unwrap();
        assert_eq!(taken[0].receives, receives);
    }
    let _process = case.start();
    let settled = async {
        loop {
            let dead = case.queue.dead(Topic::Jobs, 10).await.unwrap();
            if case.bots.most() > 0 || !dead.is_empty() {
                return dead;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    let dead = tokio::time::timeout(Duration::from_secs(600), settled).await.unwrap();
    assert!(dead.iter().all(|(_, _, reason)| reason.contains("received 5 times")), "{dead:?}");
    let dead = dead.len();
    (case, dead)
}

#[tokio::test(start_paused = true)]
async fn a_job_that_ended_five_workers_is_set_aside_and_can_be_put_back() {
    let (case, dead) = received(DEATHS).await;
    assert_eq!((dead, case.bots.most()), (1, 0));
    let id = case.queue.dead(Topic::Jobs, 1).await.unwrap()[0].0.clone();
    assert!(case.queue.requeue(Topic::Jobs, &id).await.unwrap());
    let _process = case.start();
    case.done().await;
    assert_eq!(case.bots.most(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_ended_four_is_not() {
    let (case, dead) = received(DEATHS - 1).await;
    assert_eq!((dead, case.bots.most()), (0, 1));
}
