//! A simulated process: a role over backends that fail as planned, with a clock that is a little off.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use muster_faults::{Fault, Plan, Seeded};
use muster_queue::faulty::FaultyQueue;
use muster_queue::{JobQueue, Queue};
use muster_server::clock::Clock;
use muster_server::config::WorkerConfig;
use muster_server::roles::line::View;
use muster_server::roles::{Backend, Role};
use muster_server::supervise::Shutdown;
use muster_session::{Timestamp, WorkerId};
use muster_store::SessionStore;
use muster_store::faulty::FaultyStore;
use tokio::task::AbortHandle;

use crate::bots::ScriptedBots;
use crate::process::{self, Process};
use crate::receiver::Receiver;
use crate::watch::{WatchedQueue, WatchedStore};
use crate::world::{Life, World};

/// The fleet: what each process does.
pub const FLEET: [Role; 9] = [
    Role::Api,
    Role::Api,
    Role::Worker,
    Role::Worker,
    Role::Worker,
    Role::Hooks,
    Role::Hooks,
    Role::Control,
    Role::Control,
];
/// Most bots of a worker.
pub const SLOTS: u32 = 4;
/// How long a worker holds a session.
const LEASE: Duration = Duration::from_secs(10);
/// How long a leader leads.
const LEAD: Duration = Duration::from_secs(5);
/// Clocks differ by up to this, either way.
const SKEW_MS: u64 = 1_000;

/// A running process. Dropping it changes nothing: [`kill`](Self::kill) it.
#[derive(Debug)]
pub struct Node {
    /// Which run of which process.
    pub life: Life,
    process: AbortHandle,
    shutdown: Shutdown,
}

impl Node {
    /// Starts a process.
    pub fn start(world: &Arc<World>, life: Life) -> Self {
        let role = FLEET[life.node];
        world.tell(|| format!("process {life} ({role}) starts"));
        let parts = Parts::new(world, life);
        world.state().alive.insert(life.node, View::new(parts.backend.clone()));
        let shutdown = parts.shutdown.clone();
        // It is not owned by this handle, as a process is not: the runtime's end ends it.
        let process = tokio::spawn(parts.run(role)).abort_handle();
        Self { life, process, shutdown }
    }

    /// Ends it at once, wherever it is.
    pub fn kill(&self) {
        self.process.abort();
    }

    /// Sends it a signal: it takes no more work, and ends when its bots have, for which it gives them a while.
    pub fn terminate(&self) {
        self.shutdown.terminate();
    }
}

/// What a process is made of.
struct Parts {
    world: Arc<World>,
    life: Life,
    backend: Backend,
    clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    shutdown: Shutdown,
}

impl Parts {
    fn new(world: &Arc<World>, life: Life) -> Self {
        let skew = world.dice(|rng| rng.u64(0..2 * SKEW_MS));
        let clock: Arc<dyn Fn() -> Timestamp + Send + Sync> = {
            let world = Arc::clone(world);
            Arc::new(move || world.now() + Duration::from_millis(skew) - Duration::from_millis(SKEW_MS))
        };
        let plan: Arc<dyn Plan> = Arc::new(Trouble::new(world, life));
        let store: Arc<dyn SessionStore> = Arc::new(WatchedStore::new(Arc::clone(world), life));
        let queue: Arc<dyn Queue> = Arc::new(WatchedQueue::new(Arc::clone(world), life));
        let told = Arc::clone(&clock);
        let backend = Backend::new(
            Arc::new(FaultyStore::new(store, Arc::clone(&plan))),
            JobQueue::new(Arc::new(FaultyQueue::new(queue, plan))),
            Clock::new(move || told()),
        );
        let backend = Backend { tiers: world.tiers().clone(), ..backend };
        Self { world: Arc::clone(world), life, backend, clock, shutdown: Shutdown::default() }
    }

    async fn run(self, role: Role) {
        let (world, life) = (Arc::clone(&self.world), self.life);
        let (told, of_bots) = (Arc::clone(&self.clock), Arc::clone(&self.clock));
        let process = Process {
            worker: worker_id(life),
            config: worker_config(),
            lead: LEAD,
            bots: Arc::new(ScriptedBots::new(Arc::clone(&world), life, of_bots)),
            post: Arc::new(Receiver::new(Arc::clone(&world))),
            clock: Clock::new(move || told()),
            backend: self.backend,
            shutdown: self.shutdown,
        };
        process.run(role).await;
        world.tell(|| format!("process {life} ends"));
    }
}

/// The id of the worker of a life.
#[must_use]
pub fn worker_id(life: Life) -> WorkerId {
    WorkerId::new(format!("worker-{life}"))
}

/// What a new installation has, but quicker.
fn worker_config() -> WorkerConfig {
    WorkerConfig {
        id: None,
        max_concurrent_bots: SLOTS,
        lease: LEASE,
        heartbeat: Duration::from_secs(1),
        launch_deadline: Duration::from_secs(8),
        stop_grace: Duration::from_secs(5),
        stop_deadline: Some(Duration::from_secs(2)),
        ..process::defaults().worker.clone()
    }
}

/// What happens to the calls of one life.
#[derive(Debug)]
struct Trouble {
    world: Arc<World>,
    life: Life,
    rates: Mutex<Seeded>,
}

impl Trouble {
    fn new(world: &Arc<World>, life: Life) -> Self {
        let seed = world.dice(|rng| rng.u64(..));
        Self { world: Arc::clone(world), life, rates: Mutex::new(Seeded::new(seed, world.plot.rates)) }
    }

    fn drawn(&self, operation: &'static str) -> Option<Fault> {
        let now = self.world.elapsed();
        let (frozen, out) = {
            let state = self.world.state();
            let until = |times: &BTreeMap<usize, Duration>| times.get(&self.life.node).copied().unwrap_or_default();
            (until(&state.frozen), until(&state.cut_off).max(state.outage))
        };
        if frozen > now {
            return Some(Fault::Delay(frozen - now));
        }
        if out > now {
            return Some(Fault::Refuse);
        }
        if self.world.is_calm() {
            return None;
        }
        let drawn = self.world.dice(|rng| rng.u32(0..100_000));
        if drawn < self.world.plot.crash_per_100_000 {
            return Some(if drawn.is_multiple_of(2) { Fault::CrashBefore } else { Fault::CrashAfter });
        }
        self.rates.lock().unwrap_or_else(PoisonError::into_inner).next(operation)
    }
}

impl Plan for Trouble {
    fn next(&self, operation: &'static str) -> Option<Fault> {
        let fault = self.drawn(operation);
        if let Some(fault) = fault {
            self.world.tell(|| format!("{} {operation} meets {fault:?}", self.life));
            self.world.count(match fault {
                Fault::Delay(_) => "delays",
                Fault::Duplicate => "duplicates",
                Fault::LostAnswer => "lost answers",
                Fault::Throttle => "throttled",
                Fault::Refuse => "refused",
                Fault::CrashBefore | Fault::CrashAfter => "crashes",
            });
        }
        fault
    }

    fn crashed(&self) {
        self.world.dies(self.life);
    }
}
