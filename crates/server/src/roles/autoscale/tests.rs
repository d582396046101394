#[cfg(feature = "aws")]
mod aws;
mod fewer;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use async_trait::async_trait;
use muster_faults::{Fault, Plan};
use muster_queue::faulty::FaultyQueue;
use muster_queue::{JobQueue, MemoryQueue};
use muster_session::job::{Job, Topic};
use muster_session::{BotId, WorkerId};
use muster_store::memory::MemoryStore;
use muster_store::{Ending, WorkerRecord};
use uuid::Uuid;

use super::actuators::Fewer;
use super::*;
use crate::clock::Clock;

const HEARTBEAT: Duration = Duration::from_secs(2);
const MINUTE: Duration = Duration::from_secs(60);

/// Workers of somebody else's, as a service of a cloud keeps them.
#[derive(Clone, Debug, Default)]
struct Cloud {
    workers: Arc<Mutex<u32>>,
    asked: Arc<Mutex<Vec<u32>>>,
    refuses: Arc<AtomicBool>,
}

#[async_trait]
impl Actuator for Cloud {
    async fn count(&self, _: &Look) -> anyhow::Result<Option<Count>> {
        Ok(Some(Count { workers: *self.workers.lock().unwrap(), min: 0, max: 12, others: true }))
    }

    async fn set(&self, _: Option<Count>, workers: u32, _: &Look) -> anyhow::Result<()> {
        self.asked.lock().unwrap().push(workers);
        anyhow::ensure!(!self.refuses.load(Ordering::SeqCst), "no capacity");
        *self.workers.lock().unwrap() = workers;
        Ok(())
    }

    fn fewer(&self) -> Fewer {
        Fewer::IdleFirst
    }

    fn counts_draining(&self) -> bool {
        true
    }

    async fn end(&self) {}
}

/// Refuses every call while it is away.
#[derive(Clone, Debug, Default)]
struct Away(Arc<AtomicBool>);

impl Plan for Away {
    fn next(&self, _: &'static str) -> Option<Fault> {
        self.0.load(Ordering::SeqCst).then_some(Fault::Refuse)
    }
}

/// A worker that began then and speaks now.
fn record(id: &str, running: u32, ending: Ending, started_at: Timestamp, now: Timestamp) -> WorkerRecord {
    WorkerRecord {
        id: WorkerId::new(id),
        host: "h".into(),
        version: "1".into(),
        capacity: 8,
        running,
        room: Some(8 - running),
        cpu_percent: Some(5),
        memory_percent: Some(10),
        launch_ms: Some(20_000),
        idle_since: None,
        bots: serde_json::Value::Null,
        simulated: true,
        ending,
        started_at,
        seen_at: now,
        beat_ms: u64::try_from(HEARTBEAT.as_millis()).ok(),
    }
}

struct World {
    backend: Backend,
    cloud: Cloud,
    now: Arc<AtomicI64>,
    queue_away: Away,
    policy: Policy,
}

impl World {
    fn new(policy: Policy, workers: u32) -> Self {
        let now = Arc::new(AtomicI64::new(1_000_000_000));
        let told = Arc::clone(&now);
        let queue_away = Away::default();
        let queue = FaultyQueue::new(Arc::new(MemoryQueue::new()), Arc::new(queue_away.clone()));
        let cloud = Cloud { workers: Arc::new(Mutex::new(workers)), ..Cloud::default() };
        let clock = Clock::new(move || Timestamp::from_millis(told.load(Ordering::SeqCst)));
        let backend = Backend::new(Arc::new(MemoryStore::new()), JobQueue::new(Arc::new(queue)), clock);
        Self { backend, cloud, now, queue_away, policy }
    }

    /// A process that has just come to lead.
    fn leader(&self) -> Scaler {
        self.leader_of(self.cloud.clone(), None)
    }

    fn leader_of(&self, actuator: impl Actuator + 'static, publisher: Option<Box<dyn Publisher>>) -> Scaler {
        Scaler::new(self.scaling(), Box::new(actuator), publisher)
    }

    fn scaling(&self) -> Scaling {
        Scaling::new(self.backend.clone(), self.policy, "ecs")
    }

    fn advance(&self, by: Duration) {
        self.now.fetch_add(i64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }

    async fn bots_wait(&self, bots: u32) {
        for _ in 0..bots {
            let job = Job::Run { bot: BotId::from_uuid(Uuid::new_v4()), attempt: 1 };
            self.backend.queue.send(&job, Duration::ZERO, None).await.unwrap();
        }
    }

    async fn queue_is_empty(&self) {
        let queue = &self.backend.queue;
        loop {
            let taken = queue.receive(Topic::Jobs, 10, MINUTE, Duration::ZERO).await.unwrap();
            if taken.is_empty() {
                return;
            }
            for job in taken {
                queue.ack(&job.receipt).await.unwrap();
            }
        }
    }

    /// So many workers say that they are there, each with so many bots.
    async fn beat(&self, workers: u32, running: u32) {
        let now = self.backend.clock.now();
        for number in 0..workers {
            self.backend.store.beat(&record(&format!("w{number}"), running, Ending::Stays, now, now)).await.unwrap();
        }
    }

    fn there(&self) -> u32 {
        *self.cloud.workers.lock().unwrap()
    }

    async fn kept(&self) -> Kept {
        Kept::load(&*self.backend.store).await.unwrap()
    }
}

fn guide() -> Policy {
    Policy { min_workers: 1, max_workers: 20, ..Policy::default() }
}

#[tokio::test]
async fn from_nothing_as_many_come_as_wait() {
    let world = World::new(Policy { min_workers: 0, ..guide() }, 0);
    let leader = world.leader();
    leader.step().await.unwrap();
    assert_eq!(world.there(), 0);
    assert!(!world.scaling().status().await.unwrap().is_active());
    world.bots_wait(9).await;
    let status = world.scaling().status().await.unwrap();
    assert_eq!((status.workers_to_add, status.reason.as_str(), status.is_active()), (2, "no_worker", true));
    leader.step().await.unwrap();
    assert_eq!(world.there(), 2, "8 in each");
    for _ in 0..5 {
        leader.step().await.unwrap();
    }
    assert_eq!(*world.cloud.asked.lock().unwrap(), [2], "those that are on their way are not asked for again");
    let kept = world.kept().await;
    assert_eq!(kept.changes.iter().map(|change| (change.from, change.to)).collect::<Vec<_>>(), [(0, 2)]);
    assert!(kept.applied);
}

#[tokio::test]
async fn whoever_leads_next_keeps_the_cooldown() {
    let world = World::new(guide(), 1);
    let first = world.leader();
    world.beat(1, 5).await;
    first.step().await.unwrap();
    world.bots_wait(20).await;
    world.beat(1, 5).await;
    first.step().await.unwrap();
    assert_eq!(world.there(), 4);
    drop(first);
    world.queue_is_empty().await;
    let second = world.leader();
    world.advance(MINUTE * 2);
    world.beat(4, 0).await;
    second.step().await.unwrap();
    assert_eq!(world.there(), 4);
    let told = world.kept().await.decision.unwrap();
    assert_eq!((told.desired, told.reason.as_str()), (4, "cooldown"));
    drop(second);
    let third = world.leader();
    for minutes in 1..=8 {
        world.advance(MINUTE);
        world.beat(4, 0).await;
        third.step().await.unwrap();
        assert_eq!(world.there(), 4 - u32::div_ceil(minutes, 3), "one less in three minutes");
    }
    let launch = world.kept().await.launch().as_secs();
    assert!(
        (114..=126).contains(&launch),
        "two minutes from when they were asked for, not the 20 s they said: {launch}"
    );
}

#[tokio::test]
async fn a_worker_that_comes_back_says_nothing_of_how_long_one_takes() {
    let world = World::new(guide(), 1);
    let leader = world.leader();
    world.beat(1, 5).await;
    leader.step().await.unwrap();
    world.bots_wait(20).await;
    world.beat(1, 5).await;
    leader.step().await.unwrap();
    assert_eq!(world.there(), 4);
    world.queue_is_empty().await;
    world.advance(MINUTE);
    world.beat(4, 5).await;
    leader.step().await.unwrap();
    let launch = world.kept().await.launch();
    // One more by the same asking, as if one of the four had crashed.
    world.advance(MINUTE * 9);
    world.beat(5, 5).await;
    leader.step().await.unwrap();
    assert_eq!(world.kept().await.launch(), launch);
}

#[tokio::test]
async fn what_cannot_be_read_changes_nothing() {
    let world = World::new(Policy { cooldown: Duration::ZERO, ..guide() }, 4);
    let leader = world.leader();
    world.beat(4, 6).await;
    leader.step().await.unwrap();
    world.queue_away.0.store(true, Ordering::SeqCst);
    for _ in 0..10 {
        world.advance(MINUTE);
        world.beat(4, 0).await;
        leader.step().await.unwrap();
        assert!(world.scaling().status().await.unwrap_err().contains("the queue could not be read"));
    }
    assert_eq!(world.there(), 4, "nobody needs them, as far as one can see");
    world.queue_away.0.store(false, Ordering::SeqCst);
    // Now it is the workers that are not heard of: all at once.
    world.advance(HEARTBEAT * 20);
    leader.step().await.unwrap();
    assert_eq!(world.there(), 4);
    assert!(world.scaling().status().await.is_err());
    world.beat(4, 0).await;
    leader.step().await.unwrap();
    assert_eq!(world.there(), 3);
}

#[tokio::test]
async fn what_could_not_be_done_is_done_by_whoever_leads_next() {
    let world = World::new(guide(), 1);
    let first = world.leader();
    world.beat(1, 5).await;
    first.step().await.unwrap();
    world.bots_wait(20).await;
    world.cloud.refuses.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        assert!(format!("{:#}", first.step().await.unwrap_err()).contains("no capacity"));
    }
    let kept = world.kept().await;
    assert_eq!((kept.memory.desired, kept.applied, world.there()), (Some(4), false, 1));
    world.cloud.refuses.store(false, Ordering::SeqCst);
    world.leader().step().await.unwrap();
    assert_eq!(world.there(), 4);
    assert_eq!(world.kept().await.changes.len(), 1, "decided once");
}

#[tokio::test]
async fn somebody_elses_number_is_where_the_policy_goes_on() {
    let world = World::new(guide(), 1);
    let leader = world.leader();
    world.beat(1, 2).await;
    leader.step().await.unwrap();
    *world.cloud.workers.lock().unwrap() = 6;
    for _ in 0..4 {
        world.advance(MINUTE / 2);
        world.beat(6, 0).await;
        leader.step().await.unwrap();
    }
    assert_eq!(world.there(), 6, "it is not undone at once");
    world.advance(MINUTE * 3);
    world.beat(6, 0).await;
    leader.step().await.unwrap();
    assert_eq!(world.there(), 5, "and comes down as any other");
    // Its own bounds hold as well.
    world.bots_wait(500).await;
    world.beat(6, 8).await;
    leader.step().await.unwrap();
    assert_eq!(world.there(), 12);
}
