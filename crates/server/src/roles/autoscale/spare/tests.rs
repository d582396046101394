use std::sync::Arc;

use muster_queue::{JobQueue, MemoryQueue};
use muster_session::Timestamp;
use muster_store::memory::MemoryStore;
use muster_store::{Document, WorkerRecord};
use serde_json::json;

use super::*;
use crate::clock::Clock;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1_000)
}

/// Heard of now, with so many bots.
fn worker(id: &str, running: u32, ending: Ending, started_at: i64) -> WorkerRecord {
    WorkerRecord {
        id: WorkerId::new(id),
        host: "h".into(),
        version: "1".into(),
        capacity: 8,
        running,
        room: Some(8 - running),
        cpu_percent: None,
        memory_percent: None,
        launch_ms: None,
        idle_since: None,
        bots: serde_json::Value::Null,
        simulated: true,
        ending,
        started_at: at(started_at),
        seen_at: at(1_000),
        beat_ms: Some(2_000),
    }
}

fn alive(workers: &[WorkerRecord]) -> Vec<KnownWorker> {
    workers.iter().map(|record| KnownWorker { record: record.clone(), draining: false }).collect()
}

fn ids(workers: &[WorkerId]) -> Vec<&str> {
    workers.iter().map(WorkerId::as_str).collect()
}

#[test]
fn as_many_are_spare_as_the_change_takes_away() {
    let mut kept = Kept::default();
    let mut noted = |from, to, alive| {
        note(&mut kept, from, to, alive);
        kept.spare
    };
    assert_eq!(noted(8, 6, Some(8)), 2);
    assert_eq!(noted(6, 5, Some(8)), 3, "nobody has gone yet");
    assert_eq!(noted(5, 6, Some(8)), 0, "they are wanted again");
    assert_eq!(noted(6, 4, Some(12)), 2, "a service that is deployed anew");
    assert_eq!(noted(4, 3, Some(2)), 0, "those that were asked for have not come");
    assert_eq!(noted(3, 2, None), 0);
}

#[test]
fn the_least_busy_of_those_that_end_go_and_no_more_than_are_spare() {
    let mut fleet = alive(&[
        worker("stays", 0, Ending::Stays, 0),
        worker("young", 1, Ending::Ends, 9),
        worker("old", 1, Ending::Ends, 3),
        worker("busy", 4, Ending::Ends, 1),
        worker("task", 0, Ending::Replaced, 1),
    ]);
    let chosen = |spare, desired, fleet: &[KnownWorker]| {
        let (going, left) = choose(spare, desired, Fewer::Drained, fleet);
        (ids(&going).join(" "), left)
    };
    assert_eq!(chosen(2, 3, &fleet), ("old young".into(), 0));
    assert_eq!(chosen(2, 4, &fleet), ("old".into(), 0), "one has gone since");
    assert_eq!(chosen(0, 2, &fleet), (String::new(), 0), "a service that is deployed anew has twice as many");
    assert_eq!(chosen(5, 0, &fleet), ("old young busy".into(), 2));
    fleet[2].draining = true;
    assert_eq!(chosen(2, 3, &fleet), ("young".into(), 0), "what drains is neither told again nor counted");
    assert_eq!(choose(3, 1, Fewer::Nobody, &fleet).0, [], "a dry run");
}

#[test]
fn whoever_ends_idle_workers_is_left_them() {
    let tasks = |bots: &[u32]| {
        let task = |(id, bots): (usize, &u32)| worker(&format!("w{id}"), *bots, Ending::Replaced, 0);
        alive(&bots.iter().enumerate().map(task).collect::<Vec<_>>())
    };
    let chosen = |spare, fleet: &[KnownWorker]| {
        let (going, left) = choose(spare, 3, Fewer::IdleFirst, fleet);
        (ids(&going).join(" "), left)
    };
    assert_eq!(chosen(2, &tasks(&[0, 3, 1, 0, 2])), (String::new(), 2), "these two");
    assert_eq!(chosen(2, &tasks(&[0, 3, 1, 4, 2])), ("w2".into(), 1), "and one beyond the one it ends");
    assert_eq!(chosen(1, &tasks(&[1, 3, 1, 4])), ("w0".into(), 0), "the last has got a bot before it was ended");
    assert_eq!(chosen(1, &tasks(&[1, 3, 1])), (String::new(), 0), "it was ended");
}

/// A store in which these workers are known, and it was decided that there are to be so many.
async fn fleet(workers: &[&str], desired: Option<u32>) -> Backend {
    let queue = JobQueue::new(Arc::new(MemoryQueue::new()));
    let backend = Backend::new(Arc::new(MemoryStore::new()), queue, Clock::new(|| at(1_000)));
    for id in workers {
        backend.store.beat(&worker(id, 0, Ending::Ends, 0)).await.unwrap();
    }
    if desired.is_some() {
        let mut kept = Kept::default();
        kept.memory.desired = desired;
        assert!(kept.save(&*backend.store).await.unwrap());
    }
    backend
}

async fn draining(backend: &Backend) -> Vec<String> {
    let known = backend.store.workers().await.unwrap();
    known.iter().filter(|worker| worker.draining).map(|worker| worker.record.id.to_string()).collect()
}

#[tokio::test]
async fn of_two_idle_workers_one_ends_if_one_is_spare() {
    let backend = fleet(&["a", "b", "c"], Some(2)).await;
    let [a, b] = ["a", "b"].map(WorkerId::new);
    let (first, second) = tokio::join!(leave(&backend, &a), leave(&backend, &b));
    assert_eq!([first.unwrap(), second.unwrap()].iter().filter(|left| **left).count(), 1);
    let gone = draining(&backend).await;
    assert_eq!(gone.len(), 1);
    for id in ["a", "b", "c"].into_iter().filter(|id| *id != gone[0]) {
        assert!(!leave(&backend, &WorkerId::new(id)).await.unwrap(), "two are to stay");
    }
}

#[tokio::test]
async fn who_counts_keeps_others_from_it() {
    let backend = fleet(&["a", "b", "c"], Some(1)).await;
    let (a, b) = (WorkerId::new("a"), WorkerId::new("b"));
    let counting = Counting::start(&backend, "control").await.unwrap().unwrap();
    assert!(!leave(&backend, &a).await.unwrap());
    let mut kept = Kept { spare: 1, ..Kept::load(&*backend.store).await.unwrap() };
    kept.memory.desired = Some(2);
    let seen = backend.store.workers().await.unwrap();
    counting.end().await;
    let other = Counting::start(&backend, "b").await.unwrap().unwrap();
    drain(&backend, &mut kept, Fewer::Drained, Some(&seen)).await.unwrap();
    assert_eq!((draining(&backend).await.len(), kept.spare), (0, 1), "the next step does it");
    other.end().await;
    // Whoever left since it was seen is not counted.
    assert!(leave(&backend, &b).await.unwrap());
    drain(&backend, &mut kept, Fewer::Drained, Some(&seen)).await.unwrap();
    assert_eq!((draining(&backend).await, kept.spare), (vec!["b".to_owned()], 0));
}

#[tokio::test]
async fn a_decision_that_was_overtaken_drains_nobody() {
    let backend = fleet(&["a", "b", "c"], Some(3)).await;
    let mut kept = Kept { spare: 2, ..Kept::load(&*backend.store).await.unwrap() };
    kept.memory.desired = Some(1);
    assert!(kept.clone().save(&*backend.store).await.unwrap(), "by the next leader");
    let seen = backend.store.workers().await.unwrap();
    assert_eq!(drain(&backend, &mut kept, Fewer::Drained, Some(&seen)).await.unwrap(), None);
    assert_eq!(draining(&backend).await.len(), 0);
}

#[tokio::test]
async fn without_a_decision_an_idle_worker_ends_and_one_that_cannot_be_read_keeps_it() {
    let a = WorkerId::new("a");
    assert!(leave(&fleet(&["a"], None).await, &a).await.unwrap(), "no control has ever decided");
    let backend = fleet(&["a", "b"], None).await;
    let body = json!({"memory": "of another version"});
    backend.store.put_document(Document { name: "autoscale".into(), version: 0, body }).await.unwrap();
    assert!(!leave(&backend, &a).await.unwrap());
}
