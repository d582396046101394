//! Claims bots it has room for and supervises them.
//!
//! The order is what makes a bot neither lost nor doubled, nor too many: room → receive → a seat for this one → acquire in the
//! store (lease and fencing token) → acknowledge the message → launch. A worker that dies after the acknowledgement leaves a
//! lease that runs out. One without room receives nothing, and a bot that turns out to need more goes back before it is
//! acquired.

mod attend;
mod bots;
mod claim;
pub mod costs;
mod drain;
mod leases;
mod measure;
pub mod protection;
mod pulse;
mod registry;
mod room;
mod spec;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use muster_platform::pack::Packs;
use muster_runtime::machine::Machine;
use muster_session::WorkerId;
use muster_session::job::Topic;
use muster_store::Ending;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use url::Url;

use self::claim::{Claimed, acknowledge, claim, put_back, release, set_aside};
use self::leases::Leases;
use self::protection::{Protection, Protections};
use self::room::Room;
use super::Backend;
use crate::config::{BrowserConfig, WorkerConfig};
use crate::engines::Engines;
use crate::supervise::Shutdown;
pub use bots::{Bot, Bots, Gauge};

/// How long a message is held at a time while its session is acquired: what a worker that dies meanwhile costs.
const MESSAGE_LEASE: Duration = Duration::from_secs(15);
/// Pause after trouble with the queue.
const QUEUE_RETRY: Duration = Duration::from_secs(1);
/// Pause between tries to write to a store that is out of reach.
const STORE_RETRY: Duration = Duration::from_millis(500);
/// For what was learned to be written down at the end.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// Long poll.
const WAIT: Duration = Duration::from_secs(20);

/// Everything a worker needs besides the backend.
#[derive(Clone, Debug)]
pub struct WorkerSetup {
    /// This run of this worker.
    pub id: WorkerId,
    /// `[worker]`
    pub config: WorkerConfig,
    /// `[browser]`
    pub browser: BrowserConfig,
    /// Starts bots.
    pub bots: Arc<dyn Bots>,
    /// What the platform of a session looks like.
    pub packs: Arc<Packs>,
    /// Where recordings go.
    pub storage: Url,
    /// Speech to text for live words, as far as it is configured.
    pub engines: Arc<Engines>,
    /// Private ranges that customer URLs may reach.
    pub allow_private: Vec<String>,
    /// Browser profiles are made here.
    pub profile_root: PathBuf,
    /// Other workers can have the same sessions: a bot must not outstay its lease.
    pub shared: bool,
    /// What bots may use; none in a simulation, where slots are all that counts.
    pub machine: Option<Machine>,
    /// Its process does nothing else, and may end when it does.
    pub alone: bool,
    /// Who is told while there are bots.
    pub protections: Vec<Arc<dyn Protection>>,
    /// When its process began.
    pub began: Instant,
}

/// What the parts of a worker share.
#[derive(Debug)]
struct Worker {
    backend: Backend,
    setup: WorkerSetup,
    leases: Leases,
    room: Arc<Room>,
    protections: Protections,
    shutdown: Shutdown,
    /// It is to take no more bots, and stays.
    asked: CancellationToken,
}

impl Worker {
    /// Done when no more bots are to be taken, for whatever reason. Cancel safe.
    async fn stopped(&self) {
        tokio::select! {
            biased;
            () = self.shutdown.drained() => {}
            () = self.asked.cancelled() => {}
        }
    }

    /// What becomes of it once it was drained.
    fn ending(&self) -> Ending {
        if self.setup.config.exit_when_idle.is_some() {
            Ending::Ends
        } else if self.setup.alone && self.protections.replace() {
            Ending::Replaced
        } else {
            Ending::Stays
        }
    }

    /// What is done beside the bots, for ever.
    async fn attend(&self) {
        let Self { backend, setup, leases, room, .. } = self;
        let renewing = leases.clone().keep(backend.clone(), setup.config.heartbeat);
        let measuring = measure::keep(Arc::clone(room));
        let learning = costs::keep(backend.clone(), Arc::clone(room));
        tokio::join!(renewing, registry::keep(self), measuring, learning, drain::when_idle(self));
    }

    fn announce(&self) {
        let (budget, bots, limit) = self.room.budget();
        let worker = &self.setup.id;
        match self.setup.machine {
            None => tracing::info!(%worker, "this worker takes bots"),
            Some(_) => tracing::info!(%worker, bots, %limit, ?budget, "this worker takes bots"),
        }
        if bots == 0 {
            tracing::error!(%limit, "not one bot fits on this machine; see worker.bot_memory and worker.memory_headroom");
        }
    }
}

/// Runs until it is drained and its last bot ended.
pub async fn run(backend: Backend, setup: WorkerSetup, shutdown: Shutdown) -> anyhow::Result<()> {
    let room = Room::new(&setup.config, setup.machine.clone(), backend.clock.clone());
    let worker = Arc::new(Worker {
        leases: Leases::new(setup.id.clone(), setup.config.lease),
        protections: Protections::start(setup.protections.clone(), &room.bots(), &shutdown),
        asked: CancellationToken::new(),
        backend,
        setup,
        room,
        shutdown,
    });
    worker.announce();
    let mut bots = JoinSet::new();
    let by_itself = {
        let attending = worker.attend();
        tokio::pin!(attending);
        tokio::select! {
            biased;
            () = receive(&worker, &mut bots) => {}
            () = &mut attending => {}
        }
        drain::run(&worker, &mut bots, attending).await
    };
    if tokio::time::timeout(LAST_WORDS, costs::share(&worker.backend, &worker.room)).await.is_err() {
        tracing::warn!("the last of what bots cost was not written down in time");
    }
    worker.protections.end().await;
    registry::leave(&worker.backend, &worker.setup).await;
    if by_itself && worker.ending() == Ending::Replaced {
        worker.protections.give_back().await;
    }
    Ok(())
}

/// Takes bots until no more are to be taken.
async fn receive(worker: &Arc<Worker>, bots: &mut JoinSet<()>) {
    let Worker { backend, .. } = &**worker;
    loop {
        // The room comes first: what is received is what fits.
        tokio::select! {
            biased;
            () = worker.stopped() => return,
            () = worker.room.has_room() => {}
        }
        while bots.try_join_next().is_some() {}
        let received = tokio::select! {
            biased;
            () = worker.stopped() => return,
            received = backend.queue.receive(Topic::Jobs, 1, MESSAGE_LEASE, WAIT) => received,
        };
        // Trouble with the queue is waited out: the calls that run have nothing to do with it.
        let received = match received {
            Ok(received) => received,
            Err(error) => {
                tracing::warn!(%error, "jobs cannot be received; trying again");
                tokio::time::sleep(QUEUE_RETRY).await;
                continue;
            }
        };
        let Some(delivery) = received.into_iter().next() else { continue };
        match claim(worker, &delivery, worker.stopped()).await {
            Claimed::Session(session, seat) => {
                // Held before the task runs, so that an order to everybody reaches this bot too.
                let holding = worker.leases.hold(session.id, session.fencing, session.lease_until());
                acknowledge(backend, &delivery).await;
                let worker = Arc::clone(worker);
                bots.spawn(async move { attend::bot(&worker, holding, seat, *session).await });
            }
            Claimed::NoRoom(cost) => {
                put_back(worker, &delivery, cost).await;
                worker.room.keep_room_for(cost);
            }
            Claimed::Stale => acknowledge(backend, &delivery).await,
            Claimed::Poison(reason) => set_aside(backend, &delivery, &reason).await,
            Claimed::NotNow => release(backend, &delivery).await,
            Claimed::Elsewhere => {}
        }
    }
}

#[cfg(test)]
mod tests;
