//! How a worker ends, in virtual time.

#[cfg(feature = "aws")]
mod large;

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use muster_queue::{JobQueue, MemoryQueue};
use muster_session::job::Job;
use muster_session::protocol::{BotSpec, Command, HealthFigures, Report};
use muster_session::{BotId, EndReason, Input, Session, State, Timestamp};
use muster_store::memory::MemoryStore;
use muster_store::{Commit, CreateGuard};
use tokio::sync::{mpsc, watch};

use super::leases::{Order, Word};
use super::*;
use crate::clock::Clock;
use crate::config::{Config, Sources};

/// Bots that never become ready.
#[derive(Debug, Default)]
struct Slow {
    begun: watch::Sender<u32>,
    ended: Arc<AtomicBool>,
}

/// Says that it was dropped.
struct Ends(Arc<AtomicBool>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[async_trait]
impl Bots for Slow {
    async fn launch(&self, _: &BotSpec) -> Result<Box<dyn Bot>, String> {
        let _ends = Ends(Arc::clone(&self.ended));
        self.begun.send_modify(|begun| *begun += 1);
        std::future::pending().await
    }
}

fn worker(bots: Arc<dyn Bots>, change: impl FnOnce(&mut WorkerConfig)) -> Worker {
    let all = Config::load(&Sources::default()).unwrap();
    let mut config = all.worker;
    change(&mut config);
    let began = Instant::now();
    let clock = Clock::new(move || Timestamp::from_millis(1_800_000_000_000) + began.elapsed());
    let backend = Backend::new(Arc::new(MemoryStore::new()), JobQueue::new(Arc::new(MemoryQueue::new())), clock);
    let room = Room::new(&config, None, backend.clock.clone());
    let shutdown = Shutdown::default();
    let setup = WorkerSetup {
        id: WorkerId::new("w"),
        config,
        browser: all.browser,
        bots,
        packs: Arc::new(Packs::builtin()),
        storage: "file:///nowhere/".parse().unwrap(),
        engines: Arc::new(Engines::new(all.transcription)),
        allow_private: Vec::new(),
        profile_root: "/nowhere".into(),
        shared: true,
        alone: true,
        machine: None,
        protections: Vec::new(),
        began,
    };
    Worker {
        leases: Leases::new(setup.id.clone(), setup.config.lease),
        protections: Protections::start(Vec::new(), &room.bots(), &shutdown),
        asked: CancellationToken::new(),
        backend,
        setup,
        room,
        shutdown,
    }
}

/// A session that the worker just acquired.
async fn acquired(worker: &Worker) -> Session {
    let Backend { store, clock, .. } = &worker.backend;
    let session = room::tests::session("sandbox", false);
    let bot = session.id;
    let commit = Commit::new(session, muster_session::Outcome::default(), clock.now());
    store.create(commit, CreateGuard::default()).await.unwrap();
    let input = Input::Acquire { owner: worker.setup.id.clone(), ttl: worker.setup.config.lease, attempt: 1 };
    worker.backend.apply(bot, input).await.unwrap()
}

async fn attend(worker: &Worker, session: Session) {
    let holding = worker.leases.hold(session.id, session.fencing, session.lease_until());
    let seat = worker.room.reserve(&session).unwrap();
    attend::bot(worker, holding, seat, session).await;
}

/// It waits for another worker, at once and with all of its attempts.
async fn assert_handed_back(worker: &Worker, bot: BotId) {
    let store = &worker.backend.store;
    let session = store.get(bot).await.unwrap().unwrap();
    assert_eq!((session.state, session.attempt, session.lease), (State::Queued, 0, None));
    let due = store.outbox(worker.backend.clock.now(), 10).await.unwrap();
    assert!(due.iter().any(|entry| entry.job == Job::Run { bot, attempt: 1 }), "{due:?}");
}

/// Whatever makes it take no more bots.
const DRAINS: [fn(&Worker); 3] =
    [|worker| worker.shutdown.drain(), |worker| worker.shutdown.terminate(), |worker| worker.asked.cancel()];

#[tokio::test(start_paused = true)]
async fn what_was_acquired_as_a_drain_began_is_handed_back_and_not_launched() {
    for drain in DRAINS {
        let bots = Arc::new(Slow::default());
        let worker = worker(bots.clone(), |_| {});
        let session = acquired(&worker).await;
        let bot = session.id;
        drain(&worker);
        attend(&worker, session).await;
        assert_eq!(*bots.begun.borrow(), 0);
        assert_handed_back(&worker, bot).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_bot_that_is_being_launched_as_a_drain_begins_is_ended_and_handed_back() {
    for drain in DRAINS {
        let bots = Arc::new(Slow::default());
        let worker = worker(bots.clone(), |_| {});
        let session = acquired(&worker).await;
        let bot = session.id;
        let mut begun = bots.begun.subscribe();
        let drained = async {
            begun.wait_for(|begun| *begun == 1).await.unwrap();
            drain(&worker);
        };
        tokio::join!(attend(&worker, session), drained);
        assert!(bots.ended.load(Ordering::SeqCst));
        assert_handed_back(&worker, bot).await;
    }
}

/// How long a call may go on after `drain`, if a signal comes so long after that.
async fn call_goes_on(stop_deadline: Option<Duration>, drain: fn(&Worker), signal: Option<Duration>) -> Duration {
    let worker = worker(Arc::new(Slow::default()), |config| config.stop_deadline = stop_deadline);
    let session = acquired(&worker).await;
    let mut holding = worker.leases.hold(session.id, session.fencing, session.lease_until());
    let began = Instant::now();
    let (told, mut left) = watch::channel(None);
    let mut bots = JoinSet::new();
    bots.spawn(async move {
        while holding.hear().await != Word::Order(Order::GoingDown) {}
        told.send_replace(Some(began.elapsed()));
    });
    drain(&worker);
    let signals = async {
        let Some(after) = signal else { return };
        tokio::time::sleep(after).await;
        worker.shutdown.terminate();
    };
    let end = async {
        left.wait_for(Option::is_some).await.unwrap();
        // One that was asked to drain stays.
        worker.shutdown.drain();
    };
    let attending = std::future::pending::<()>();
    tokio::pin!(attending);
    tokio::join!(drain::run(&worker, &mut bots, attending), signals, end);
    left.borrow().unwrap()
}

/// Invariant: whoever ends the process by force after a signal finds no call; and without a signal a drain has all its time.
#[tokio::test(start_paused = true)]
async fn after_a_signal_calls_have_the_time_that_is_left_after_one() {
    let seconds = Duration::from_secs;
    let (hours, stop) = (seconds(4 * 3_600), Some(seconds(90)));
    let [recalled, signal, asked] = DRAINS;
    for (name, stop, drain, signal_after, wanted) in [
        ("the machine is wanted back", stop, recalled, None, hours),
        ("an operator asks", stop, asked, None, hours),
        ("a signal", stop, signal, None, seconds(90)),
        ("a signal, and nothing is configured", None, signal, None, hours),
        ("an operator asks, then a signal", stop, asked, Some(seconds(3_600)), seconds(3_690)),
        ("wanted back, then a signal", stop, recalled, Some(seconds(60)), seconds(150)),
        ("a signal short of the end of the drain", stop, recalled, Some(hours - seconds(30)), hours),
        ("a later signal, and nothing is configured", None, asked, Some(seconds(3_600)), hours),
    ] {
        let went_on = call_goes_on(stop, drain, signal_after).await;
        assert_eq!(went_on.as_secs(), wanted.as_secs(), "{name}");
    }
}

/// Bots that say how they are a hundred times, and then, if at all, something else.
#[derive(Debug)]
struct Fading(Option<Report>);

#[derive(Debug)]
struct Faded {
    reports: mpsc::UnboundedReceiver<Report>,
    /// Kept open as long as the process would live.
    life: Option<mpsc::UnboundedSender<Report>>,
}

const WELL: Duration = Duration::from_secs(500);

#[async_trait]
impl Bots for Fading {
    async fn launch(&self, _: &BotSpec) -> Result<Box<dyn Bot>, String> {
        let (life, reports) = mpsc::unbounded_channel();
        let (say, last) = (life.clone(), self.0.clone());
        tokio::spawn(async move {
            let at = Timestamp::from_millis(1_800_000_000_000);
            let mut every = tokio::time::interval(WELL / 100);
            let _ = say.send(Report::Joining { at, simulated: false });
            for _ in 0..=100 {
                every.tick().await;
                let _ = say.send(Report::Health { at, figures: HealthFigures::default() });
            }
            let _ = last.map(|last| say.send(last));
        });
        Ok(Box::new(Faded { reports, life: Some(life) }))
    }
}

#[async_trait]
impl Bot for Faded {
    async fn next_report(&mut self) -> Option<Report> {
        self.reports.recv().await
    }

    fn command(&self, _: Command) {}

    async fn begin_stop(&mut self, _: Command, _: Duration) {}

    async fn kill(&mut self) {
        self.life = None;
    }

    async fn wait(&mut self) -> String {
        "the end of the script".to_owned()
    }
}

/// A bot that hangs neither keeps its place for hours nor ends as if it had been wished for.
#[tokio::test(start_paused = true)]
async fn a_bot_that_says_nothing_any_more_is_ended_and_another_one_sent() {
    let worker = worker(Arc::new(Fading(None)), |_| {});
    let session = acquired(&worker).await;
    let (bot, began) = (session.id, Instant::now());
    tokio::select! {
        () = attend(&worker, session) => {}
        // Its lease is renewed all the while.
        () = worker.leases.clone().keep(worker.backend.clone(), worker.setup.config.heartbeat) => {}
    }
    assert_eq!(began.elapsed().as_secs(), (WELL + pulse::SILENCE).as_secs(), "not as long as it says how it is");
    let session = worker.backend.store.get(bot).await.unwrap().unwrap();
    assert_eq!((session.state, session.attempt), (State::Queued, 1));
    let retry = session.timeline.iter().find(|entry| entry.name == "Retry").unwrap();
    assert!(retry.message.contains("bot_crashed") && retry.message.contains("said nothing for 60 s"), "{retry:?}");
}

#[tokio::test(start_paused = true)]
async fn a_bot_on_its_way_out_has_a_time_of_its_own_for_that() {
    let (at, reason) = (Timestamp::from_millis(1_800_000_000_000), EndReason::HostEnded);
    let leaving = Report::Leaving { at, reason, message: String::new() };
    let worker = worker(Arc::new(Fading(Some(leaving))), |_| {});
    let session = acquired(&worker).await;
    let began = Instant::now();
    let attended = tokio::time::timeout(WELL + 3 * pulse::SILENCE, attend(&worker, session)).await;
    assert!(attended.is_err(), "it ended after {:?}", began.elapsed());
}
