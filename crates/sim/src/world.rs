//! What the simulated processes share, and the journal of what happens.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use muster_queue::memory::MemoryQueue;
use muster_server::config::{Tier, Tiers};
use muster_server::roles::line::View;
use muster_session::{BotId, TenantId, Timestamp};
use muster_store::memory::MemoryStore;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use uuid::Uuid;

use crate::plot::{CALM, Plot};
use crate::receiver::Received;
use crate::watch::Seen;
use crate::{Plant, plot};

/// When every simulation begins.
const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// A run of a simulated process: its place in the fleet, and which run of it this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Life {
    /// Index among the processes.
    pub node: usize,
    /// Counts all lives of all processes.
    pub number: u64,
}

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.node, self.number)
    }
}

/// Everything of one simulation.
#[derive(Debug)]
pub struct World {
    /// What is going to happen.
    pub plot: Plot,
    /// The bug that is put in.
    pub plant: Option<Plant>,
    /// Under all processes.
    pub store: MemoryStore,
    /// Under all processes.
    pub queue: MemoryQueue,
    tiers: OnceLock<Tiers>,
    began: Instant,
    rng: Mutex<Rng>,
    journal: Mutex<Journal>,
    state: Mutex<State>,
    broken: Notify,
    deaths: mpsc::UnboundedSender<Life>,
}

/// What is known of the present.
#[derive(Debug, Default)]
pub struct State {
    /// Sessions as they were last written, with what they told.
    pub sessions: BTreeMap<BotId, Seen>,
    /// Bots that are in their meeting, or on the way in or out.
    pub present: BTreeMap<BotId, Vec<Presence>>,
    /// What the processes that are alive work with.
    pub alive: BTreeMap<usize, View>,
    /// What receivers got.
    pub received: BTreeMap<BotId, Received>,
    /// Bots whose create was acknowledged, by meeting.
    pub acknowledged: BTreeMap<usize, BotId>,
    /// Processes that stand still, until then.
    pub frozen: BTreeMap<usize, Duration>,
    /// Processes that cannot reach the backends, until then.
    pub cut_off: BTreeMap<usize, Duration>,
    /// Nobody can, until then.
    pub outage: Duration,
    /// How often something happened, by what it was.
    pub counts: BTreeMap<&'static str, u64>,
}

/// A bot in its meeting.
#[derive(Clone, Debug)]
pub struct Presence {
    /// Which attempt it is.
    pub attempt: u32,
    /// Who started it.
    pub life: Life,
}

#[derive(Debug)]
struct Journal {
    hash: DefaultHasher,
    lines: u64,
    print: bool,
    broken: Option<String>,
}

impl World {
    /// Before anything happened; with the end of the line on which deaths are told.
    #[must_use]
    pub fn new(
        seed: u64,
        nodes: usize,
        plant: Option<Plant>,
        print: bool,
    ) -> (Arc<Self>, mpsc::UnboundedReceiver<Life>) {
        let mut rng = Rng::with_seed(seed);
        let (deaths, told) = mpsc::unbounded_channel();
        let journal = Journal { hash: DefaultHasher::new(), lines: 0, print, broken: None };
        let world = Self {
            plot: Plot::new(&mut rng, nodes),
            plant,
            store: MemoryStore::new(),
            queue: MemoryQueue::new(),
            tiers: OnceLock::new(),
            began: Instant::now(),
            rng: Mutex::new(rng),
            journal: Mutex::new(journal),
            state: Mutex::default(),
            broken: Notify::new(),
            deaths,
        };
        (Arc::new(world), told)
    }

    /// Time since the beginning.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// The true time; the processes' clocks differ from it a little.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        START + self.elapsed()
    }

    /// Waits until this time since the beginning.
    pub async fn until(&self, time: Duration) {
        tokio::time::sleep_until(self.began + time).await;
    }

    /// True once nothing goes wrong any more.
    #[must_use]
    pub fn is_calm(&self) -> bool {
        self.elapsed() >= CALM
    }

    /// Asks the dice.
    pub fn dice<T>(&self, ask: impl FnOnce(&mut Rng) -> T) -> T {
        ask(&mut self.rng.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A time of between nothing and `most`.
    #[must_use]
    pub fn up_to(&self, most: Duration) -> Duration {
        let most = u64::try_from(most.as_millis()).unwrap_or(u64::MAX).max(1);
        Duration::from_millis(self.dice(|rng| rng.u64(0..most)))
    }

    /// An id that is the same in every run of the seed.
    #[must_use]
    pub fn id(&self) -> Uuid {
        Uuid::from_u128(self.dice(|rng| rng.u128(..)))
    }

    /// The meeting of a bot, by what is in its link.
    #[must_use]
    pub fn meeting(&self, key: &str) -> Option<&plot::Meeting> {
        self.plot.meetings.get(key.strip_prefix("sandbox:")?.parse::<usize>().ok()?)
    }

    /// A customer.
    #[must_use]
    pub fn tenant(customer: usize) -> TenantId {
        TenantId::new(format!("customer-{customer}"))
    }

    /// What the customers may have.
    #[must_use]
    pub fn tiers(&self) -> &Tiers {
        self.tiers.get_or_init(|| self.make_tiers())
    }

    fn make_tiers(&self) -> Tiers {
        let tier = |(customer, limit): (usize, &Option<u64>)| {
            (Self::tenant(customer), Tier { concurrency: *limit, ..Tier::default() })
        };
        Tiers::new(Tier::default(), self.plot.limits.iter().enumerate().map(tier))
    }

    /// The present.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts something.
    pub fn count(&self, what: &'static str) {
        *self.state().counts.entry(what).or_default() += 1;
    }

    /// Writes a line into the journal.
    pub fn tell(&self, line: impl FnOnce() -> String) {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        let line = format!("{:>9.3} {}", self.elapsed().as_secs_f64(), line());
        journal.hash.write(line.as_bytes());
        journal.lines += 1;
        if journal.print {
            println!("{line}");
        }
    }

    /// An invariant does not hold. The first one told ends the simulation.
    pub fn violate(&self, what: impl FnOnce() -> String) {
        let what = what();
        self.tell(|| format!("VIOLATION {what}"));
        self.journal.lock().unwrap_or_else(PoisonError::into_inner).broken.get_or_insert(what);
        self.broken.notify_one();
    }

    /// Something panicked: as a violation, unless that is where the journal is being written.
    pub(crate) fn panicked(&self, what: String) {
        if let Ok(mut journal) = self.journal.try_lock() {
            journal.broken.get_or_insert(what);
        }
        self.broken.notify_one();
    }

    /// Done once an invariant does not hold. Cancel safe.
    pub async fn broken(&self) {
        self.broken.notified().await;
    }

    /// What did not hold, the hash of the journal, and how many lines it has.
    #[must_use]
    pub fn verdict(&self) -> (Option<String>, u64, u64) {
        let journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        (journal.broken.clone(), journal.hash.finish(), journal.lines)
    }

    /// A process has come to the call at which it dies.
    pub fn dies(&self, life: Life) {
        let _ = self.deaths.send(life);
    }

    /// A bot opens its meeting. Invariant: there is no other of its session.
    #[must_use]
    pub fn enter(self: &Arc<Self>, bot: BotId, presence: Presence) -> Inside {
        self.tell(|| format!("bot {bot} attempt {} of {} enters", presence.attempt, presence.life));
        let others = self.state().present.get(&bot).cloned().unwrap_or_default();
        if let Some(other) = others.first() {
            self.violate(|| {
                format!(
                    "two live bots of session {bot}: attempt {} of process {} and attempt {} of process {}",
                    other.attempt, other.life, presence.attempt, presence.life
                )
            });
        }
        self.state().present.entry(bot).or_default().push(presence.clone());
        Inside { world: Arc::clone(self), bot, presence }
    }
}

/// A bot's stay; it is out when this is dropped.
#[derive(Debug)]
pub struct Inside {
    world: Arc<World>,
    bot: BotId,
    presence: Presence,
}

impl Drop for Inside {
    fn drop(&mut self) {
        let Presence { attempt, life } = self.presence;
        self.world.tell(|| format!("bot {} attempt {attempt} of {life} is out", self.bot));
        let mut state = self.world.state();
        let there = state.present.entry(self.bot).or_default();
        if let Some(index) = there.iter().position(|p| p.attempt == attempt && p.life == life) {
            there.remove(index);
        }
        if there.is_empty() {
            state.present.remove(&self.bot);
        }
    }
}
