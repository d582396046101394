//! The whole way of many bots of several tenants, in virtual time: whose turn it is, and who is in the call on time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use muster_hooks::client::{Answer, CallError, Post};
use muster_queue::JobQueue;
use muster_queue::memory::MemoryQueue;
use muster_server::clock::Clock;
use muster_server::config::{Tier, Tiers, WorkerConfig};
use muster_server::roles::line::View;
use muster_server::roles::worker::{Bot, Bots};
use muster_server::roles::{Backend, Role, admit};
use muster_server::supervise::Shutdown;
use muster_session::protocol::{BotSpec, Report};
use muster_session::{BotId, EndReason, NewSession, State, TenantId, Timestamp, WorkerId};
use muster_sim::process::{Process, defaults};
use muster_store::memory::MemoryStore;
use muster_store::{CreateGuard, Created};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use url::Url;
use uuid::Uuid;

use crate::steps::new_session;
use crate::told::Told;

/// Bots that take some time to join, and then stay for some time.
#[derive(Debug)]
struct TimedBots {
    launch: Duration,
    join: Duration,
    stay: Duration,
    clock: Clock,
    /// Who was started, in order.
    started: watch::Sender<Vec<(TenantId, BotId, Timestamp)>>,
    present: Arc<Mutex<BTreeMap<TenantId, usize>>>,
}

#[async_trait]
impl Bots for TimedBots {
    async fn launch(&self, spec: &BotSpec) -> Result<Box<dyn Bot>, String> {
        let tenant = spec.tenant.clone();
        self.started.send_modify(|all| all.push((tenant.clone(), spec.bot, self.clock.now())));
        tokio::time::sleep(self.launch).await;
        let (say, reports) = mpsc::unbounded_channel();
        let (clock, join, stay, present) = (self.clock.clone(), self.join, self.stay, Arc::clone(&self.present));
        let story = tokio::spawn(async move {
            let _ = say.send(Report::Joining { at: clock.now(), simulated: false });
            tokio::time::sleep(join).await;
            let _ = say.send(Report::Admitted { at: clock.now() });
            *present.lock().unwrap().entry(tenant.clone()).or_default() += 1;
            tokio::time::sleep(stay).await;
            *present.lock().unwrap().entry(tenant).or_default() -= 1;
            let (reason, message) = (EndReason::HostEnded, "over".to_owned());
            let _ = say.send(Report::Ended { at: clock.now(), reason, message, recorded_ms: 0 });
        });
        Ok(Box::new(Told::new(reports, AbortOnDropHandle::new(story))))
    }
}

/// Takes every webhook.
#[derive(Debug)]
struct Hearsay;

#[async_trait]
impl Post for Hearsay {
    async fn post(&self, _: &Url, _: HeaderMap, _: Bytes) -> Result<Answer, CallError> {
        Ok(Answer { status: StatusCode::OK, headers: HeaderMap::new(), body: Bytes::new() })
    }
}

/// One process that does everything but the API, and an API beside it.
struct Fleet {
    bots: Arc<TimedBots>,
    view: View,
    clock: Clock,
    _process: AbortOnDropHandle<()>,
    _line: AbortOnDropHandle<anyhow::Result<()>>,
}

impl Fleet {
    fn start(slots: u32, tiers: Tiers, stay: Duration) -> Self {
        let (started, began) = (Timestamp::from_millis(1_800_000_000_000), Instant::now());
        let clock = Clock::new(move || started + began.elapsed());
        let queue = JobQueue::new(Arc::new(MemoryQueue::new()));
        let backend = Backend::new(Arc::new(MemoryStore::new()), queue, clock.clone());
        let backend = Backend { tiers, ..backend };
        let bots = Arc::new(TimedBots {
            launch: Duration::from_secs(2),
            join: Duration::from_secs(3),
            stay,
            clock: clock.clone(),
            started: watch::Sender::default(),
            present: Arc::default(),
        });
        let process = Process {
            worker: WorkerId::new("worker"),
            config: WorkerConfig { max_concurrent_bots: slots, ..defaults().worker.clone() },
            lead: Duration::from_secs(10),
            backend: backend.clone(),
            clock: clock.clone(),
            bots: bots.clone(),
            post: Arc::new(Hearsay),
            shutdown: Shutdown::default(),
        };
        let view = View::new(backend);
        let line = AbortOnDropHandle::new(tokio::spawn(view.clone().keep(Shutdown::default())));
        let process = AbortOnDropHandle::new(tokio::spawn(process.run(Role::All)));
        Self { bots, view, clock, _process: process, _line: line }
    }

    /// Waits until the worker is known and the line has been looked at.
    async fn ready(&self) {
        let mut looks = tokio::time::interval(Duration::from_millis(100));
        while self.view.ask(|standing, _| standing.line.capacity).await.unwrap() == 0 {
            looks.tick().await;
        }
    }

    async fn create(&self, tenant: &str, join_at: Option<Timestamp>) -> BotId {
        let (tenant, id) = (TenantId::new(tenant), BotId::from_uuid(Uuid::new_v4()));
        let new = NewSession { tenant, id, join_at, callback_url: None, ..new_session() };
        match admit::create(&self.view, new, CreateGuard::default()).await.unwrap() {
            Created::New(session) => session.id,
            other => panic!("{other:?}"),
        }
    }

    /// Asks for many at once.
    async fn create_all(&self, tenant: &str, count: usize) {
        futures_util::future::join_all((0..count).map(|_| self.create(tenant, None))).await;
    }

    /// Whose bots the first so many are that were started.
    async fn first(&self, count: usize) -> Vec<String> {
        let mut started = self.bots.started.subscribe();
        let started = started.wait_for(|started| started.len() >= count).await.unwrap();
        started.iter().take(count).map(|(tenant, ..)| tenant.to_string()).collect()
    }
}

fn count(of: &[String], tenant: &str) -> usize {
    of.iter().filter(|started| *started == tenant).count()
}

/// One tenant's Monday does not starve another's.
#[tokio::test(start_paused = true)]
async fn a_burst_waits_behind_itself_and_not_before_others() {
    let fleet = Fleet::start(20, Tiers::default(), Duration::from_secs(60));
    fleet.ready().await;
    fleet.create_all("a", 500).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    fleet.create_all("b", 5).await;
    let started = fleet.first(100).await;
    let last = started.iter().rposition(|tenant| tenant == "b").unwrap();
    assert_eq!(count(&started, "b"), 5);
    assert!(count(&started[..last], "a") < 50, "{started:?}");
    fleet.first(505).await;
}

#[tokio::test(start_paused = true)]
async fn who_has_three_times_the_weight_gets_three_times_the_places() {
    let heavy = Tier { weight: 3, ..Tier::default() };
    let tiers = Tiers::new(Tier::default(), [(TenantId::new("heavy"), heavy)]);
    let fleet = Fleet::start(24, tiers, Duration::from_secs(300));
    fleet.ready().await;
    tokio::join!(fleet.create_all("light", 200), fleet.create_all("heavy", 200));
    // What was sent before both were in line is past by then.
    let started = fleet.first(200).await;
    let heavy = count(&started[80..], "heavy");
    assert!((84..=96).contains(&heavy), "{heavy} of 120");
    let present = fleet.bots.present.lock().unwrap().clone();
    let of = |tenant: &str| present[&TenantId::new(tenant)];
    assert!(of("heavy") >= 2 * of("light"), "{present:?}");
}

/// Bots of a call at nine are there at nine, and do not all start at once.
#[tokio::test(start_paused = true)]
async fn scheduled_bots_are_there_on_time() {
    let fleet = Fleet::start(1_000, Tiers::default(), Duration::from_secs(1_800));
    fleet.ready().await;
    // What they need is learned from others.
    fleet.create_all("early", 24).await;
    fleet.first(24).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let join_at = fleet.clock.now() + Duration::from_secs(300);
    let create = |_| fleet.create("scheduled", Some(join_at));
    let bots = futures_util::future::join_all((0..600).map(create)).await;
    tokio::time::sleep(Duration::from_secs(300)).await;
    for bot in bots {
        let session = fleet.view.backend().store.get(bot).await.unwrap().unwrap();
        assert_eq!(session.state, State::InMeeting, "{session:?}");
        assert!(session.admitted_at.is_some_and(|at| at <= join_at), "{session:?}");
    }
    let mut seconds: BTreeMap<u64, usize> = BTreeMap::new();
    for (_, _, at) in fleet.bots.started.borrow().iter().skip(24) {
        *seconds.entry(join_at.since(*at).as_secs()).or_default() += 1;
    }
    assert!(*seconds.keys().last().unwrap() <= 17, "nobody sets out much too early: {seconds:?}");
    assert!(*seconds.keys().next().unwrap() >= 5, "nor too late: {seconds:?}");
    assert!(*seconds.values().max().unwrap() <= 120, "nor all at once: {seconds:?}");
}
