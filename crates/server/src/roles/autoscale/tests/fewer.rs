//! A fleet that gets smaller while bots are spread thin.

use std::collections::BTreeMap;

use muster_session::leave::LeavePolicy;
use muster_session::{MediaPlan, Meeting, NewSession, Session, TenantId, TranscriptId};
use muster_store::faulty::FaultyStore;
use muster_store::{Commit, CreateGuard};

use super::super::actuators::Nobody;
use super::*;

/// Tasks of a service that ends those without a bot, and starts others in place of those that ended.
#[derive(Clone, Debug, Default)]
struct Service(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    desired: u32,
    tasks: BTreeMap<String, Task>,
    started: usize,
}

#[derive(Debug)]
struct Task {
    bots: u32,
    started_at: Timestamp,
}

#[async_trait]
impl Actuator for Service {
    async fn count(&self, _: &Look) -> anyhow::Result<Option<Count>> {
        Ok(Some(Count { workers: self.0.lock().unwrap().desired, min: 0, max: 20, others: true }))
    }

    async fn set(&self, _: Option<Count>, workers: u32, _: &Look) -> anyhow::Result<()> {
        let mut state = self.0.lock().unwrap();
        state.desired = workers;
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

impl Service {
    /// Tasks with so many bots, each a second younger than the one before.
    fn new(world: &World, bots: &[u32]) -> Self {
        let service = Self::default();
        for bots in bots {
            world.advance(Duration::from_secs(1));
            service.start(world, *bots);
        }
        service.0.lock().unwrap().desired = u32::try_from(bots.len()).unwrap();
        service
    }

    fn start(&self, world: &World, bots: u32) {
        let mut state = self.0.lock().unwrap();
        let id = format!("t{}", state.started);
        state.started += 1;
        state.tasks.insert(id, Task { bots, started_at: world.backend.clock.now() });
    }

    fn ids(&self) -> Vec<String> {
        self.0.lock().unwrap().tasks.keys().cloned().collect()
    }

    /// Tasks speak; one that was drained ends after its bots, and the service has as many as it was asked for, as far as it may.
    async fn pass(&self, world: &World, time: Duration) {
        world.advance(time);
        let store = &world.backend.store;
        for id in self.ids() {
            let (bots, started_at) = {
                let state = self.0.lock().unwrap();
                (state.tasks[&id].bots, state.tasks[&id].started_at)
            };
            let record = record(&id, bots, Ending::Replaced, started_at, world.backend.clock.now());
            let is_over = store.beat(&record).await.unwrap() && bots == 0;
            let is_ended = bots == 0 && {
                let state = self.0.lock().unwrap();
                state.tasks.len() > state.desired as usize
            };
            if is_over || is_ended {
                self.0.lock().unwrap().tasks.remove(&id);
                store.forget_worker(&record.id).await.unwrap();
            }
        }
        while self.ids().len() < self.0.lock().unwrap().desired as usize {
            self.start(world, 0);
        }
    }

    /// Calls of these end.
    fn hang_up(&self, ids: &[String]) {
        let mut state = self.0.lock().unwrap();
        for id in ids {
            state.tasks.get_mut(id).unwrap().bots = 0;
        }
    }
}

async fn draining(world: &World) -> Vec<String> {
    let known = world.backend.store.workers().await.unwrap();
    let mut ids: Vec<_> =
        known.iter().filter(|worker| worker.draining).map(|worker| worker.record.id.to_string()).collect();
    ids.sort();
    ids
}

#[tokio::test]
async fn the_least_busy_workers_go_and_the_fleet_comes_to_rest() {
    let world = World::new(guide(), 0);
    let service = Service::new(&world, &[3, 1, 2, 1, 3, 1, 2, 1]);
    let leader = world.leader_of(service.clone(), None);
    for minute in 0..30 {
        service.pass(&world, MINUTE).await;
        leader.step().await.unwrap();
        let known = world.backend.store.workers().await.unwrap();
        let active = known.iter().filter(|worker| !worker.draining).count();
        assert_eq!(world.kept().await.memory.desired, u32::try_from(active).ok(), "in minute {minute}");
        if minute == 20 {
            service.hang_up(&draining(&world).await);
        }
    }
    let changes = world.kept().await.changes;
    assert_eq!(changes.iter().map(|change| change.to).collect::<Vec<_>>(), [6, 5, 4], "one in three slots is busy now");
    assert_eq!(service.ids(), ["t0", "t2", "t4", "t6"]);
    assert_eq!(service.0.lock().unwrap().started, 12, "those that came in place of four that ended together have gone");
}

#[tokio::test]
async fn a_worker_that_is_to_stay_is_not_ended_for_those_that_drain() {
    let world = World::new(guide(), 0);
    let service = Service::new(&world, &[1; 4]);
    let leader = world.leader_of(service.clone(), None);
    for minute in 0..30 {
        service.pass(&world, MINUTE).await;
        leader.step().await.unwrap();
        if minute >= 15 {
            let drain = draining(&world).await;
            assert_eq!(drain, ["t0", "t1", "t2"]);
            let active: Vec<_> = service.ids().into_iter().filter(|id| !drain.contains(id)).collect();
            assert_eq!(active, ["t3"], "in minute {minute}");
            service.hang_up(&active);
        }
    }
    assert_eq!(service.0.lock().unwrap().desired, 4, "three that drain, and the one");
    service.hang_up(&draining(&world).await);
    for _ in 0..3 {
        service.pass(&world, MINUTE).await;
        leader.step().await.unwrap();
    }
    let state = service.0.lock().unwrap();
    assert_eq!((state.desired, state.tasks.len()), (1, 1));
}

#[tokio::test]
async fn a_service_that_ends_idle_workers_itself_is_left_them() {
    let world = World::new(guide(), 0);
    let service = Service::new(&world, &[3, 0, 2, 1, 3, 0, 2, 1]);
    let leader = world.leader_of(service.clone(), None);
    service.pass(&world, MINUTE).await;
    leader.step().await.unwrap();
    assert_eq!((draining(&world).await.len(), world.kept().await.spare), (0, 2));
    // One of them gets a bot before it is ended.
    service.0.lock().unwrap().tasks.get_mut("t5").unwrap().bots = 4;
    service.pass(&world, MINUTE).await;
    leader.step().await.unwrap();
    assert_eq!((draining(&world).await, world.kept().await.spare), (vec!["t3".to_owned()], 0));
    // A service that is deployed anew.
    for _ in 0..8 {
        service.start(&world, 0);
    }
    service.0.lock().unwrap().desired = 16;
    service.pass(&world, MINUTE).await;
    service.0.lock().unwrap().desired = 7;
    leader.step().await.unwrap();
    assert_eq!(draining(&world).await, ["t3"]);
}

/// Refuses to have a worker drain.
#[derive(Clone, Debug, Default)]
struct NoDrain(Arc<AtomicBool>);

impl Plan for NoDrain {
    fn next(&self, operation: &'static str) -> Option<Fault> {
        (operation == "drain_worker" && self.0.load(Ordering::SeqCst)).then_some(Fault::Refuse)
    }
}

#[tokio::test]
async fn a_leader_that_dies_after_its_decision_is_followed_by_one_that_goes_on() {
    let mut world = World::new(guide(), 0);
    let no_drain = NoDrain::default();
    no_drain.0.store(true, Ordering::SeqCst);
    world.backend.store = Arc::new(FaultyStore::new(Arc::clone(&world.backend.store), Arc::new(no_drain.clone())));
    let service = Service::new(&world, &[3, 1, 2, 1, 3, 1, 2, 1]);
    service.pass(&world, MINUTE).await;
    let next = async |error: Option<&str>| {
        let step = world.leader_of(service.clone(), None).step().await;
        match error {
            Some(error) => assert!(format!("{:#}", step.unwrap_err()).contains(error)),
            None => step.unwrap(),
        }
        (world.kept().await.memory.desired, world.kept().await.spare, draining(&world).await.len())
    };
    for _ in 0..2 {
        assert_eq!(next(Some("telling a worker to drain")).await, (Some(6), 2, 0));
    }
    assert_eq!(service.0.lock().unwrap().desired, 8, "of fewer it would end any that has no bot meanwhile");
    no_drain.0.store(false, Ordering::SeqCst);
    assert_eq!(next(None).await, (Some(6), 0, 2));
    assert_eq!(draining(&world).await, ["t1", "t3"]);
    assert_eq!(next(None).await, (Some(6), 0, 2), "once");
}

/// So many bots that are to be in their calls then.
async fn booked(world: &World, bots: u32, join_at: Timestamp) {
    let now = world.backend.clock.now();
    for _ in 0..bots {
        let id = BotId::from_uuid(Uuid::new_v4());
        let link = "https://meet.example/a";
        let new = NewSession {
            id,
            tenant: TenantId::new("t"),
            request: serde_json::Value::Null,
            meeting: Meeting {
                link: link.into(),
                platform: "meet".into(),
                label: "GMeet".into(),
                join_url: link.parse().unwrap(),
                key: id.to_string(),
            },
            bot_name: "Notes".into(),
            callback_url: None,
            custom_attributes: serde_json::Map::new(),
            leave: LeavePolicy::default(),
            media: MediaPlan::default(),
            deduplication_key: None,
            rejoin: false,
            remote: None,
            overflow: None,
            join_at: Some(join_at),
            transcript_id: TranscriptId::from_uuid(Uuid::new_v4()),
            retention: Duration::from_secs(86_400),
        };
        let (session, outcome) = Session::create(new, now);
        world.backend.store.create(Commit::new(session, outcome, now), CreateGuard::default()).await.unwrap();
    }
}

#[tokio::test]
async fn an_idle_job_that_bots_are_booked_for_stays() {
    let world = World::new(Policy { min_workers: 0, ..guide() }, 0);
    let leader = world.leader_of(Nobody { tell: false }, None);
    let dry = world.leader_of(Nobody { tell: true }, None);
    booked(&world, 12, world.backend.clock.now() + MINUTE * 10).await;
    let speak = async |ids: &[&str]| {
        world.advance(MINUTE);
        let now = world.backend.clock.now();
        for id in ids {
            world.backend.store.beat(&record(id, 0, Ending::Ends, now, now)).await.unwrap();
        }
    };
    for _ in 0..7 {
        speak(&["a", "b", "c"]).await;
    }
    // 12 bots need two of them.
    dry.step().await.unwrap();
    assert_eq!(draining(&world).await.len(), 0, "of a dry run nobody hears");
    let mut kept = world.kept().await;
    kept.memory.desired = Some(3);
    kept.memory.in_at = None;
    kept.save(&*world.backend.store).await.unwrap();
    leader.step().await.unwrap();
    assert_eq!((draining(&world).await.len(), world.kept().await.memory.desired), (1, Some(2)));
    for id in ["a", "b", "c"] {
        assert!(!spare::leave(&world.backend, &WorkerId::new(id)).await.unwrap());
    }
}
