//! The parts of the product that a process of a role is made of, but for HTTP and with anybody's bots and webhooks.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use muster_hooks::client::Post;
use muster_hooks::deliver::{Deliverer, Settings};
use muster_hooks::guard::Policy;
use muster_platform::pack::Packs;
use muster_server::clock::Clock;
use muster_server::config::{Config, Sources, WorkerConfig};
use muster_server::engines::Engines;
use muster_server::roles::worker::Bots;
use muster_server::roles::{self, Backend, Role, leader, media, worker};
use muster_server::supervise::{OnFailure, Shutdown, Supervisor};
use muster_session::WorkerId;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use tokio::sync::Notify;
use tokio::time::Instant;
use url::Url;

/// What a process is made of.
#[derive(Debug)]
pub struct Process {
    /// This run of it, as a worker and as a candidate for the lead.
    pub worker: WorkerId,
    /// `[worker]`
    pub config: WorkerConfig,
    /// How long a leader leads.
    pub lead: Duration,
    /// Sessions and jobs.
    pub backend: Backend,
    /// The time.
    pub clock: Clock,
    /// Starts bots.
    pub bots: Arc<dyn Bots>,
    /// Sends webhooks.
    pub post: Arc<dyn Post>,
    /// Ends it in order.
    pub shutdown: Shutdown,
}

/// Longer than any run.
const KEEP_RECEIVED: Duration = Duration::from_secs(7 * 86_400);

impl Process {
    /// Does what `role` does until it is drained and its last bot ended. Dropping the future is the death of the process.
    pub async fn run(self, role: Role) {
        let mut supervisor = Supervisor::new(self.shutdown.clone());
        let idle = Arc::new(Notify::new());
        if role.does(Role::Hooks) {
            self.hooks(&mut supervisor);
            self.media(&mut supervisor);
        }
        match role.does(Role::Worker) {
            true => self.work(&mut supervisor, &idle),
            false => idle.notify_one(),
        }
        let leadership = role.does(Role::Control).then(|| self.control(&mut supervisor));
        let (backend, shutdown) = (self.backend.clone(), self.shutdown.clone());
        supervisor.run("relay", OnFailure::Restart, move || {
            roles::relay::run(backend.clone(), leadership.clone(), shutdown.clone())
        });
        let (backend, shutdown) = (self.backend.clone(), self.shutdown.clone());
        supervisor.run("lessons", OnFailure::Restart, move || {
            roles::lessons::keep_learning(backend.clone(), shutdown.clone())
        });
        self.shutdown.drained().await;
        idle.notified().await;
        self.shutdown.end();
        supervisor.join().await;
    }

    fn hooks(&self, supervisor: &mut Supervisor) {
        let (store, queue, clock) = (Arc::clone(&self.backend.store), self.backend.queue.clone(), self.clock.clone());
        let timeout = Duration::from_secs(10);
        let settings = Settings {
            guard: Policy::default(),
            signing_secret: None,
            tenant_secrets: BTreeMap::new(),
            timeout,
            concurrency: 8,
            disable_after: Duration::from_secs(86_400),
        };
        let deliverer = Deliverer::over(store, queue, Arc::clone(&self.post), settings, move || clock.now(), || 0.5);
        let deliverer = Arc::new(deliverer.expect("there is no secret that could be wrong"));
        let token = self.shutdown.ending_token();
        supervisor.run("hooks", OnFailure::Restart, move || {
            let (deliverer, token) = (Arc::clone(&deliverer), token.clone());
            async move {
                deliverer.run(token).await;
                Ok(())
            }
        });
    }

    fn media(&self, supervisor: &mut Supervisor) {
        let setup = media::MediaSetup { storage: Arc::new(InMemory::new()), engines: engines(), concurrency: 2 };
        let (backend, shutdown) = (self.backend.clone(), self.shutdown.clone());
        supervisor
            .run("media", OnFailure::Restart, move || media::run(backend.clone(), setup.clone(), shutdown.clone()));
    }

    fn work(&self, supervisor: &mut Supervisor, idle: &Arc<Notify>) {
        let setup = worker::WorkerSetup {
            id: self.worker.clone(),
            config: self.config.clone(),
            browser: defaults().browser.clone(),
            bots: Arc::clone(&self.bots),
            packs: packs(),
            storage: Url::parse("file:///nowhere/").expect("a URL"),
            engines: engines(),
            allow_private: Vec::new(),
            profile_root: "/nowhere".into(),
            shared: true,
            machine: None,
            alone: false,
            protections: Vec::new(),
            began: Instant::now(),
        };
        let (backend, shutdown, idle) = (self.backend.clone(), self.shutdown.clone(), Arc::clone(idle));
        supervisor.run("worker", OnFailure::Restart, move || {
            let work = worker::run(backend.clone(), setup.clone(), shutdown.clone());
            let idle = Arc::clone(&idle);
            async move {
                work.await?;
                idle.notify_one();
                Ok(())
            }
        });
    }

    fn control(&self, supervisor: &mut Supervisor) -> leader::Leadership {
        let (seat, leadership) = leader::seat(self.backend.clone(), self.worker.to_string(), self.lead);
        let shutdown = self.shutdown.clone();
        supervisor.run("leader", OnFailure::Restart, move || seat.clone().keep(shutdown.clone()));
        let (backend, leading, shutdown) = (self.backend.clone(), leadership.clone(), self.shutdown.clone());
        supervisor.run("control", OnFailure::Restart, move || {
            roles::control::run(backend.clone(), leading.clone(), shutdown.clone())
        });
        let (backend, leading, shutdown) = (self.backend.clone(), leadership.clone(), self.shutdown.clone());
        let storage: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        supervisor.run("retention", OnFailure::Restart, move || {
            roles::retention::run(
                backend.clone(),
                Arc::clone(&storage),
                leading.clone(),
                KEEP_RECEIVED,
                shutdown.clone(),
            )
        });
        leadership
    }
}

fn engines() -> Arc<Engines> {
    Arc::new(Engines::new(defaults().transcription.clone()))
}

/// The configuration of a new installation. Read once: there are many simulations.
///
/// # Panics
///
/// If the defaults are not valid.
#[must_use]
pub fn defaults() -> &'static Config {
    static CONFIG: OnceLock<Config> = OnceLock::new();
    CONFIG.get_or_init(|| Config::load(&Sources::default()).expect("the defaults are valid"))
}

fn packs() -> Arc<Packs> {
    static PACKS: OnceLock<Arc<Packs>> = OnceLock::new();
    Arc::clone(PACKS.get_or_init(|| Arc::new(Packs::builtin())))
}
