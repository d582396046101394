//! Every step of a session's start and end, over every backend: made to fail, made twice, and the last thing that its process
//! did.
//!
//! A step is a call that writes. One process does everything; it dies at the planned call and another takes its place. The
//! customer tries again until the create is acknowledged. Whatever the step, the bot attends, is never doubled, and the
//! customer is told the whole story once.

mod backends;
mod bots;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use muster_faults::{Fault, Plan};
use muster_hooks::client::{Answer, CallError, Post};
use muster_queue::faulty::FaultyQueue;
use muster_queue::{JobQueue, Queue};
use muster_server::clock::Clock;
use muster_server::config::WorkerConfig;
use muster_server::roles::admit;
use muster_server::roles::line::View;
use muster_server::roles::nudge::News;
use muster_server::roles::{Backend, Role};
use muster_server::supervise::Shutdown;
use muster_session::leave::LeavePolicy;
use muster_session::{BotId, MediaPlan, Meeting, NewSession, Session, TenantId, TranscriptId, WorkerId};
use muster_sim::process::{Process, defaults};
use muster_store::faulty::FaultyStore;
use muster_store::{Commit, CreateGuard, Created, SessionStore};
use serde_json::{Value, json};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use url::Url;
use uuid::Uuid;

#[cfg(feature = "aws")]
use backends::Aws;
pub(crate) use backends::Memory;
use backends::{Embedded, Pair, Redis};
use bots::QuickBots;

/// The calls that write. What keeps time (leases, leads, beats) is repeated by itself.
const WRITES: [&str; 8] =
    ["create", "commit", "outbox_done", "record_attempt", "enqueue", "enqueue_all", "ack", "release"];
/// Fails, is repeated by a library or by its caller, and is the last thing that happens or nearly was.
const FAULTS: [Fault; 5] = [Fault::Refuse, Fault::Duplicate, Fault::LostAnswer, Fault::CrashBefore, Fault::CrashAfter];
/// Generous: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(150);
/// A customer waits so long for an answer.
const CUSTOMER: Duration = Duration::from_secs(2);

/// One fault at one write, over all lives of the process.
#[derive(Debug)]
pub(crate) struct Step {
    nth: usize,
    fault: Fault,
    made: Mutex<Vec<&'static str>>,
    died: Notify,
}

impl Step {
    pub(crate) fn new(nth: usize, fault: Fault) -> Arc<Self> {
        Arc::new(Self { nth, fault, made: Mutex::default(), died: Notify::new() })
    }

    /// The write that met the fault.
    fn met(&self) -> Option<&'static str> {
        self.made.lock().unwrap().get(self.nth.checked_sub(1)?).copied()
    }
}

impl Plan for Step {
    fn next(&self, operation: &'static str) -> Option<Fault> {
        if !WRITES.contains(&operation) {
            return None;
        }
        let mut made = self.made.lock().unwrap();
        made.push(operation);
        (made.len() == self.nth).then_some(self.fault)
    }

    fn crashed(&self) {
        self.died.notify_one();
    }
}

/// The customer's end: every event, by sequence.
#[derive(Debug)]
struct Inbox(watch::Sender<BTreeMap<u64, Value>>);

#[async_trait]
impl Post for Inbox {
    async fn post(&self, _: &Url, _: HeaderMap, body: Bytes) -> Result<Answer, CallError> {
        let event: Value = serde_json::from_slice(&body).unwrap();
        self.0.send_modify(|events| {
            let known = events.entry(event["sequence"].as_u64().unwrap()).or_insert_with(|| event.clone());
            assert_eq!(*known, event, "the same event each time");
        });
        Ok(Answer { status: StatusCode::OK, headers: HeaderMap::new(), body: Bytes::new() })
    }
}

/// One session from its create to its last webhook, with a fault at one write.
pub(crate) struct Case {
    step: Arc<Step>,
    pub(crate) store: Arc<dyn SessionStore>,
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) bots: Arc<QuickBots>,
    inbox: Arc<Inbox>,
    clock: Clock,
    /// There is no place for it when it is created.
    in_line: bool,
}

impl Case {
    pub(crate) async fn new(pair: &dyn Pair, step: Arc<Step>) -> Self {
        let (store, queue) = pair.open().await;
        let (bots, inbox) = (Arc::new(QuickBots::default()), Arc::new(Inbox(watch::Sender::default())));
        // Goes on as the timers do, so that it is virtual where they are.
        let (started, began) = (Clock::system().now(), Instant::now());
        let clock = Clock::new(move || started + began.elapsed());
        Self { step, store, queue, bots, inbox, clock, in_line: false }
    }

    fn backend(&self) -> Backend {
        let plan: Arc<dyn Plan> = self.step.clone();
        Backend::new(
            Arc::new(FaultyStore::new(Arc::clone(&self.store), Arc::clone(&plan))),
            JobQueue::new(Arc::new(FaultyQueue::new(Arc::clone(&self.queue), plan))),
            self.clock.clone(),
        )
    }

    /// A process that does everything, until it is dropped.
    pub(crate) fn start(&self) -> (Backend, AbortOnDropHandle<()>) {
        let backend = self.backend();
        let config = WorkerConfig {
            max_concurrent_bots: 2,
            lease: Duration::from_secs(3),
            heartbeat: Duration::from_millis(500),
            stop_grace: Duration::from_secs(1),
            ..defaults().worker.clone()
        };
        let process = Process {
            worker: WorkerId::new(format!("worker-{}", Uuid::new_v4())),
            config,
            lead: Duration::from_secs(1),
            backend: backend.clone(),
            clock: self.clock.clone(),
            bots: self.bots.clone(),
            post: self.inbox.clone(),
            shutdown: Shutdown::default(),
        };
        (backend, AbortOnDropHandle::new(tokio::spawn(process.run(Role::All))))
    }

    /// Runs the session to its end, whatever dies meanwhile.
    async fn run(&self) {
        let (backend, process) = self.start();
        let (current, seen) = watch::channel(backend);
        let restarts = async {
            let mut running = process;
            loop {
                self.step.died.notified().await;
                drop(running);
                self.bots.orphaned().await;
                let (backend, again) = self.start();
                running = again;
                current.send_replace(backend);
            }
        };
        let told = async {
            let bot = customer(seen, self.in_line).await;
            let events = self.done().await;
            (bot, events)
        };
        let (bot, events) = tokio::select! {
            () = restarts => unreachable!("processes are started again for ever"),
            told = tokio::time::timeout(PATIENCE, told) => told.unwrap_or_else(|_| {
                panic!("{:?} at write {} ({:?}) is not repaired: {:?}", self.step.fault, self.step.nth, self.step.met(), self.inbox.0.borrow())
            }),
        };
        self.judge(bot, &events);
    }

    /// Creates the session while nothing else is there.
    pub(crate) async fn create(&self) -> BotId {
        create(&self.backend(), false).await.unwrap()
    }

    /// Waits until the customer has everything.
    pub(crate) async fn done(&self) -> BTreeMap<u64, Value> {
        let mut events = self.inbox.0.subscribe();
        let done = |events: &BTreeMap<u64, Value>| {
            events.values().any(|event| event["event"] == "bot.done") && events.len() as u64 == last(events)
        };
        events.wait_for(done).await.unwrap().clone()
    }

    fn judge(&self, bot: BotId, events: &BTreeMap<u64, Value>) {
        let what = format!("{:?} at write {} ({:?})", self.step.fault, self.step.nth, self.step.met());
        assert_eq!(self.bots.most(), 1, "{what}: one bot at a time");
        assert!(events.values().all(|event| event["bot_id"] == json!(bot)), "{what}: one bot");
        let names: Vec<&str> = events.values().map(|event| event["event"].as_str().unwrap()).collect();
        let count = |name| names.iter().filter(|n| **n == name).count();
        assert_eq!((count("bot.stopped"), count("bot.done")), (1, 1), "{what}: {names:?}");
        assert_eq!(names.last(), Some(&"bot.done"), "{what}: {names:?}");
        assert!(count("bot.inmeeting") >= 1, "{what}: {names:?}");
    }
}

fn last(events: &BTreeMap<u64, Value>) -> u64 {
    events.keys().last().copied().unwrap_or_default()
}

/// Asks for a bot with one idempotency key until that is acknowledged by whichever process there is.
async fn customer(backends: watch::Receiver<Backend>, in_line: bool) -> BotId {
    loop {
        let backend = backends.borrow().clone();
        if let Ok(Some(bot)) = tokio::time::timeout(CUSTOMER, create(&backend, in_line)).await {
            return bot;
        }
    }
}

async fn create(backend: &Backend, in_line: bool) -> Option<BotId> {
    let guard = CreateGuard { idempotency_key: Some("once".to_owned()) };
    let created = match in_line {
        false => admit::create(&View::new(backend.clone()), new_session(), guard).await.ok()?,
        true => {
            let now = backend.clock.now();
            let (session, outcome) = Session::create_held(new_session(), now);
            let commit = Commit::new(session, outcome, now);
            let news = News::of(&commit);
            let created = backend.store.create(commit, guard).await.ok()?;
            backend.nudge.say(news);
            created
        }
    };
    match created {
        Created::New(session) | Created::Replayed(session) => Some(session.id),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn new_session() -> NewSession {
    NewSession {
        id: BotId::from_uuid(Uuid::new_v4()),
        tenant: TenantId::new("customer"),
        request: json!({}),
        meeting: Meeting {
            link: "http://127.0.0.1/sandbox/room".to_owned(),
            platform: "sandbox".to_owned(),
            label: "Sandbox".to_owned(),
            join_url: "http://127.0.0.1/sandbox/room".parse().unwrap(),
            key: "sandbox:room".to_owned(),
        },
        bot_name: "Notes".to_owned(),
        callback_url: Some("https://customer.example/hook".parse().unwrap()),
        custom_attributes: serde_json::Map::new(),
        leave: LeavePolicy::default(),
        media: MediaPlan::default(),
        deduplication_key: None,
        rejoin: true,
        remote: None,
        overflow: None,
        join_at: None,
        transcript_id: TranscriptId::from_uuid(Uuid::new_v4()),
        retention: Duration::from_secs(86_400),
    }
}

/// Every `stride`th write meets each fault, each in a session of its own, `parallel` at a time.
async fn walk<P: Pair>(stride: usize, parallel: usize, in_line: bool) {
    let Some(pair) = P::new().await else { return };
    let pair: Arc<dyn Pair> = Arc::new(pair);
    let writes = plain(&*pair, in_line).await;
    let slots = Arc::new(Semaphore::new(parallel));
    let mut cases = JoinSet::new();
    for (nth, fault) in (1..=writes).step_by(stride).flat_map(|nth| FAULTS.map(|fault| (nth, fault))) {
        let (pair, slots) = (Arc::clone(&pair), Arc::clone(&slots));
        cases.spawn(async move {
            let _slot = slots.acquire_owned().await.unwrap();
            let case = Case { in_line, ..Case::new(&*pair, Step::new(nth, fault)).await };
            case.run().await;
            assert!(
                case.store.loads().await.unwrap().is_empty(),
                "{fault:?} at write {nth}: every place is given back"
            );
            case.step.met().map(|write| (format!("{fault:?}"), write))
        });
    }
    let met: BTreeSet<(String, &str)> = cases.join_all().await.into_iter().flatten().collect();
    println!("{writes} writes, every {stride}: {met:?}");
    for fault in FAULTS.map(|fault| format!("{fault:?}")) {
        let kinds = met.iter().filter(|(of, _)| *of == fault).count();
        assert!(kinds >= if stride == 1 { 6 } else { 4 }, "{fault} was met by {kinds} kinds of writes: {met:?}");
    }
}

/// How many writes there are when nothing goes wrong.
async fn plain(pair: &dyn Pair, in_line: bool) -> usize {
    let case = Case { in_line, ..Case::new(pair, Step::new(0, Fault::Refuse)).await };
    case.run().await;
    let writes = case.step.made.lock().unwrap().clone();
    assert!(writes.len() >= 15, "{writes:?}");
    writes.len()
}

/// In virtual time.
#[tokio::test(start_paused = true)]
async fn every_step_in_memory() {
    walk::<Memory>(1, 1, false).await;
}

#[tokio::test(start_paused = true)]
async fn every_step_of_one_that_waits_in_line() {
    walk::<Memory>(1, 1, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_on_embedded() {
    walk::<Embedded>(1, 80, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_on_redis() {
    walk::<Redis>(1, 80, false).await;
}

#[cfg(feature = "aws")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_other_step_on_aws() {
    walk::<Aws>(2, 12, false).await;
}
