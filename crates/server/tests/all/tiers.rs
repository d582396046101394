//! What tenants may have, on real stores: exact however many ask at once, and free of cost while nothing is due.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use muster_faults::{Fault, Plan};
use muster_queue::JobQueue;
use muster_queue::memory::MemoryQueue;
use muster_redis::testing::Prefix;
use muster_server::clock::Clock;
use muster_server::config::{Beyond, Tier, Tiers};
use muster_server::roles::admit::NotAdmitted;
use muster_server::roles::control::{self, Schedule};
use muster_server::roles::line::View;
use muster_server::roles::{Backend, admit};
use muster_server::supervise::Shutdown;
use muster_session::leave::LeavePolicy;
use muster_session::{BotId, Input, MediaPlan, Meeting, NewSession, State, TenantId, Timestamp, TranscriptId};
use muster_store::embedded::EmbeddedStore;
use muster_store::faulty::FaultyStore;
use muster_store::memory::MemoryStore;
use muster_store::{CreateGuard, Created, RedisStore, SessionStore};
use serde_json::json;
use uuid::Uuid;

pub(crate) const START_MS: i64 = 1_800_000_000_000;
const LIMIT: u64 = 7;

pub(crate) fn new_session(tenant: &str, join_at: Option<Timestamp>) -> NewSession {
    let link = "http://127.0.0.1/sandbox/room".to_owned();
    NewSession {
        id: BotId::from_uuid(Uuid::new_v4()),
        tenant: TenantId::new(tenant),
        request: json!({}),
        meeting: Meeting {
            join_url: link.parse().unwrap(),
            link,
            platform: "sandbox".to_owned(),
            label: "Sandbox".to_owned(),
            key: "sandbox:room".to_owned(),
        },
        bot_name: "Notes".to_owned(),
        callback_url: None,
        custom_attributes: serde_json::Map::new(),
        leave: LeavePolicy::default(),
        media: MediaPlan::default(),
        deduplication_key: None,
        rejoin: true,
        remote: None,
        overflow: None,
        join_at,
        transcript_id: TranscriptId::from_uuid(Uuid::new_v4()),
        retention: Duration::from_secs(86_400),
    }
}

pub(crate) fn backend(store: Arc<dyn SessionStore>, now: &Arc<AtomicI64>) -> Backend {
    let (queue, now) = (JobQueue::new(Arc::new(MemoryQueue::new())), Arc::clone(now));
    let clock = Clock::new(move || Timestamp::from_millis(now.load(Ordering::SeqCst)));
    let tiers = Tiers::new(Tier { concurrency: Some(LIMIT), ..Tier::default() }, []);
    Backend { tiers, ..Backend::new(store, queue, clock) }
}

async fn step(backend: &Backend) {
    control::step(backend, &mut Schedule::default()).await.unwrap();
}

/// Three processes of the API are asked for many bots at once; then the control role gives places away while bots end.
async fn the_limit_is_exact(store: Arc<dyn SessionStore>) {
    const BOTS: usize = 60;
    let backend = backend(store, &Arc::new(AtomicI64::new(START_MS)));
    let views: Vec<View> = (0..3).map(|_| View::new(backend.clone())).collect();
    let create = async |which: usize| {
        let made = admit::create(&views[which % 3], new_session("a", None), CreateGuard::default()).await.unwrap();
        match made {
            Created::New(session) => session,
            other => panic!("{other:?}"),
        }
    };
    let made = join_all((0..BOTS).map(create)).await;
    let sent: Vec<BotId> = made.iter().filter(|session| !session.held).map(|session| session.id).collect();
    assert_eq!(sent.len() as u64, LIMIT);
    let loads = async || {
        let loads = backend.store.loads().await.unwrap();
        loads.first().map_or((0, 0), |load| (load.taken, load.held))
    };
    assert_eq!(loads().await, (LIMIT, BOTS as u64 - LIMIT));
    // Two leaders for a moment do no harm.
    for bot in &sent[..3] {
        backend.apply(*bot, Input::Stop).await.unwrap();
    }
    tokio::join!(step(&backend), step(&backend));
    assert_eq!(loads().await, (LIMIT, BOTS as u64 - LIMIT - 3));
    // All come to their end, and every place is given back.
    join_all(made.iter().map(|session| backend.apply(session.id, Input::Stop))).await;
    assert_eq!(loads().await, (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limit_is_exact_on_embedded() {
    let dir = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(dir.path(), muster_embedded::Durability::Normal).unwrap();
    the_limit_is_exact(Arc::new(store)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limit_is_exact_on_redis() {
    let Some(prefix) = Prefix::new() else { return };
    let (store, _) = RedisStore::open(prefix.settings()).await.unwrap();
    the_limit_is_exact(Arc::new(store)).await;
}

/// A create takes a millisecond, and a look ten from when it is told so, after it has read what tenants have.
#[derive(Debug, Default)]
struct Slow {
    looks: AtomicBool,
}

impl Plan for Slow {
    fn next(&self, operation: &'static str) -> Option<Fault> {
        let time = match operation {
            "create" => 1,
            "workers" if self.looks.load(Ordering::SeqCst) => 10,
            _ => return None,
        };
        Some(Fault::Delay(Duration::from_millis(time)))
    }
}

/// Invariant: where the fleet is full and not the tenant, no more wait than may, however many ask one process at once, and
/// whatever it sees of the line meanwhile.
#[tokio::test(start_paused = true)]
async fn no_more_wait_than_may_of_those_that_ask_at_once() {
    const HALF: u64 = muster_fleet::fair::AHEAD / 2;
    const MAY: u64 = HALF + 4;
    let (slow, now) = (Arc::new(Slow::default()), Arc::new(AtomicI64::new(START_MS)));
    let store = FaultyStore::new(Arc::new(MemoryStore::new()), slow.clone());
    let limited = |tenant: &str, tier: Tier| (TenantId::new(tenant), tier);
    let tiers = Tiers::new(
        Tier::default(),
        [
            limited("a", Tier { concurrency: Some(MAY), beyond: Beyond::Refuse, ..Tier::default() }),
            limited("b", Tier { concurrency: Some(MAY), max_waiting: 3, ..Tier::default() }),
        ],
    );
    let backend = Backend { tiers, ..backend(Arc::new(store), &now) };
    let view = View::new(backend.clone());
    let create = |tenant| admit::create(&view, new_session(tenant, None), CreateGuard::default());
    let ask_at_once = async |tenant: &'static str| {
        let made = join_all((0..40).map(|_| create(tenant))).await;
        let loads = backend.store.loads().await.unwrap();
        let load = loads.iter().find(|load| load.tenant.as_str() == tenant).unwrap();
        (made.iter().filter(|made| made.is_ok()).count() as u64, load.taken, load.held)
    };
    for _ in 0..=muster_fleet::fair::AHEAD {
        create("c").await.unwrap();
    }
    slow.looks.store(true, Ordering::SeqCst);
    let shutdown = Shutdown::default();
    let asked = async {
        assert_eq!(ask_at_once("a").await, (MAY, HALF, 4));
        // The look that began before is over, and what it read is older than they are.
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(matches!(create("a").await, Err(NotAdmitted::Concurrency { limit: MAY, .. })));
        let (made, taken, held) = ask_at_once("b").await;
        assert_eq!((made - taken, held), (3, 3), "in a line that may be so long");
        shutdown.end();
    };
    let (kept, ()) = tokio::join!(view.clone().keep(shutdown.clone()), asked);
    kept.unwrap();
    // A place in line is given back when the bot is not written.
    let place = admit::line_up(&view, &TenantId::new("d"), |_| None).await.unwrap();
    let waiting = async || view.ask(|standing, _| standing.line.tenants[&TenantId::new("d")].held).await.unwrap();
    assert_eq!(waiting().await, 1);
    drop(place);
    assert_eq!(waiting().await, 0);
}

/// Counts calls by their names.
#[derive(Debug, Default)]
struct Calls(Mutex<BTreeMap<&'static str, u64>>);

impl Plan for Calls {
    fn next(&self, operation: &'static str) -> Option<Fault> {
        *self.0.lock().unwrap().entry(operation).or_default() += 1;
        None
    }
}

impl Calls {
    fn take(&self) -> BTreeMap<&'static str, u64> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// Invariant: what is scheduled for later is not read, and nothing is written about it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_scheduled_bots_cost_nothing() {
    const SCHEDULED: u32 = 100_000;
    let dir = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(dir.path(), muster_embedded::Durability::Normal).unwrap();
    let (store, calls): (Arc<dyn SessionStore>, _) = (Arc::new(store), Arc::new(Calls::default()));
    let now = Arc::new(AtomicI64::new(START_MS));
    let backend = backend(Arc::new(FaultyStore::new(Arc::clone(&store), calls.clone())), &now);
    let view = View::new(backend.clone());
    let from = Timestamp::from_millis(START_MS) + Duration::from_secs(3_600);
    for batch in 0..SCHEDULED / 1_000 {
        let create = async |i: u32| {
            let at = from + Duration::from_secs((batch * 1_000 + i).into());
            admit::create(&view, new_session("a", Some(at)), CreateGuard::default()).await.unwrap();
        };
        join_all((0..1_000).map(create)).await;
    }
    let made = calls.take();
    assert!(made.keys().all(|call| ["create", "endpoints"].contains(call)), "nobody asks for the line: {made:?}");
    step(&backend).await;
    let looks = ["document", "due", "lease_expired", "loads", "overdue"].map(|look| (look, 1));
    assert_eq!(calls.take(), BTreeMap::from(looks));
    assert!(
        store.due(backend.clock.now() + Duration::from_secs(3_000), 1).await.unwrap().is_empty(),
        "and nothing is found"
    );
    // One look later the first few are near their time; the others stay where they are.
    now.fetch_add(3_600_000 - 13_000, Ordering::SeqCst);
    step(&backend).await;
    let (calls, left) = (calls.take(), store.count_due(Timestamp::from_millis(i64::MAX)).await.unwrap());
    let near = u64::from(SCHEDULED) - left;
    assert!((1..=13).contains(&near), "{near}: {calls:?}");
    // One that finds no place is written when it takes its place in line.
    assert!((near..=2 * near).contains(&calls["commit"]), "{near}: {calls:?}");
    let counts = store.count_by_state(None).await.unwrap();
    assert!(counts.contains(&(State::Queued, near)), "{counts:?}");
}
