//! The parts of a process, each a supervised task.

use std::fs::{OpenOptions, TryLockError};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use muster_hooks::client::{GuardedClient, Limits};
use muster_hooks::guard::Policy;
use muster_runtime::machine::Machine;
use muster_runtime::{Confinement, Launcher};
use muster_session::WorkerId;
use object_store::ObjectStore;
use tokio_util::sync::CancellationToken;
use url::Url;
use uuid::Uuid;

use super::{Process, actuators};
use crate::config::{Config, MEETSTREAM};
use crate::engines::Engines;
use crate::roles::leader::Leadership;
use crate::roles::line::View;
use crate::roles::{self, Backend};
use crate::supervise::{OnFailure, Shutdown, Supervisor};

/// The only process that can have an embedded store. After a crash it leads again at once.
const ONLY_PROCESS: &str = "embedded";

pub(super) fn hooks(
    supervisor: &mut Supervisor,
    config: &Config,
    backend: &Backend,
    guard: &Policy,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    let clock = backend.clock.clone();
    let deliverer = muster_hooks::deliver::Deliverer::new(
        Arc::clone(&backend.store),
        backend.queue.clone(),
        muster_hooks::deliver::Settings {
            guard: guard.clone(),
            signing_secret: config.hooks.signing_secret.clone(),
            timeout: config.hooks.timeout,
            tenant_secrets: config.hooks.tenant_secrets.clone(),
            concurrency: config.hooks.concurrency as usize,
            disable_after: config.hooks.disable_after,
        },
        move || clock.now(),
    )
    .context("hooks")?;
    let (deliverer, token) = (Arc::new(deliverer), shutdown.ending_token());
    supervisor.run("hooks", OnFailure::Restart, move || {
        let (deliverer, token) = (Arc::clone(&deliverer), token.clone());
        async move {
            deliverer.run(token).await;
            Ok(())
        }
    });
    Ok(())
}

/// What webhooks that came in mean and cause.
pub(super) fn inbound(supervisor: &mut Supervisor, process: &Process) -> anyhow::Result<()> {
    let limits = Limits { total: process.config.hooks.timeout, ..Limits::default() };
    let client = GuardedClient::new(process.guard.clone(), limits).context("hooks")?;
    let setup = roles::inbound::InboundSetup { sources: process.config.inbound.sources.clone(), client };
    let (backend, shutdown) = (process.backend.clone(), process.shutdown.clone());
    supervisor.run("inbound", OnFailure::Restart, move || {
        roles::inbound::run(backend.clone(), setup.clone(), shutdown.clone())
    });
    Ok(())
}

/// Bots in somebody else's cloud, if there is one.
pub(super) fn remote(supervisor: &mut Supervisor, process: &Process, public_url: &Url) -> anyhow::Result<()> {
    let Some(meetstream) = &process.config.meetstream else { return Ok(()) };
    let client = roles::remote::Client::new(meetstream.url.clone(), meetstream.api_key.clone())?;
    let setup = roles::remote::RemoteSetup {
        source: MEETSTREAM.to_owned(),
        client,
        storage: Arc::clone(&process.storage),
        guard: process.guard.clone(),
        public_url: public_url.clone(),
        link_secret: Arc::clone(&process.link_secret),
        overflow: process.config.runtimes.overflow_after.is_some(),
        at_work: roles::remote::AtWork::default(),
    };
    let (backend, shutdown) = (process.backend.clone(), process.shutdown.clone());
    supervisor.run("remote", OnFailure::Restart, move || {
        roles::remote::run(backend.clone(), setup.clone(), shutdown.clone())
    });
    Ok(())
}

pub(super) fn media(
    supervisor: &mut Supervisor,
    backend: &Backend,
    storage: &Arc<dyn object_store::ObjectStore>,
    engines: &Arc<Engines>,
    shutdown: &Shutdown,
) {
    let setup = roles::media::MediaSetup { storage: Arc::clone(storage), engines: Arc::clone(engines), concurrency: 2 };
    let (backend, shutdown) = (backend.clone(), shutdown.clone());
    supervisor
        .run("media", OnFailure::Restart, move || roles::media::run(backend.clone(), setup.clone(), shutdown.clone()));
}

/// Publishes what this process commits, and what was left behind when it leads.
pub(super) fn relay(
    supervisor: &mut Supervisor,
    backend: &Backend,
    leadership: Option<&Leadership>,
    shutdown: &Shutdown,
) {
    let (backend, leadership, shutdown) = (backend.clone(), leadership.cloned(), shutdown.clone());
    supervisor.run("relay", OnFailure::Restart, move || {
        roles::relay::run(backend.clone(), leadership.clone(), shutdown.clone())
    });
}

/// What the API knows of who waits for a place.
pub(super) fn line(supervisor: &mut Supervisor, view: &View, shutdown: &Shutdown) {
    let (view, shutdown) = (view.clone(), shutdown.clone());
    supervisor.run("line", OnFailure::Restart, move || view.clone().keep(shutdown.clone()));
}

/// What this process measures of bots.
pub(super) fn lessons(supervisor: &mut Supervisor, backend: &Backend, shutdown: &Shutdown) {
    let (backend, shutdown) = (backend.clone(), shutdown.clone());
    supervisor
        .run("lessons", OnFailure::Restart, move || roles::lessons::keep_learning(backend.clone(), shutdown.clone()));
}

/// Leads when nobody else does, and then moves on what time alone changes.
pub(super) fn control(
    supervisor: &mut Supervisor,
    config: &Config,
    backend: &Backend,
    storage: &Arc<dyn ObjectStore>,
    shutdown: &Shutdown,
) -> Leadership {
    let owner = if config.is_shared() { Uuid::new_v4().to_string() } else { ONLY_PROCESS.to_owned() };
    let (seat, leadership) = roles::leader::seat(backend.clone(), owner, config.control.lead);
    {
        let shutdown = shutdown.clone();
        supervisor.run("leader", OnFailure::Restart, move || seat.clone().keep(shutdown.clone()));
    }
    {
        let (backend, leading, shutdown) = (backend.clone(), leadership.clone(), shutdown.clone());
        supervisor.run("control", OnFailure::Restart, move || {
            roles::control::run(backend.clone(), leading.clone(), shutdown.clone())
        });
    }
    let (backend, storage, shutdown) = (backend.clone(), Arc::clone(storage), shutdown.clone());
    let (leading, keep) = (leadership.clone(), config.inbound.keep);
    supervisor.run("retention", OnFailure::Restart, move || {
        roles::retention::run(backend.clone(), Arc::clone(&storage), leading.clone(), keep, shutdown.clone())
    });
    leadership
}

/// Decides how many workers there are to be, makes it so, and tells KEDA.
pub(super) async fn autoscale(
    supervisor: &mut Supervisor,
    process: &Process,
    leadership: &Leadership,
) -> anyhow::Result<()> {
    let Process { config, backend, scaling, shutdown, .. } = process;
    let actuator = actuators::actuator(config, backend).await?;
    let publisher = actuators::publisher(config).await;
    let scaler = Arc::new(roles::autoscale::Scaler::new(scaling.clone(), actuator, publisher));
    let (every, leading, ending) = (config.autoscale.every, leadership.clone(), shutdown.clone());
    supervisor.run("autoscale", OnFailure::Restart, move || {
        roles::autoscale::run(Arc::clone(&scaler), every, leading.clone(), ending.clone())
    });
    if let Some(address) = config.autoscale.keda_listen {
        // An address that cannot be had is told at the start.
        roles::autoscale::keda::bind(address).await?;
        let (scaling, shutdown) = (scaling.clone(), shutdown.clone());
        supervisor.run("keda", OnFailure::Restart, move || {
            roles::autoscale::keda::run(address, scaling.clone(), shutdown.clone())
        });
    }
    Ok(())
}

/// Answers what is cancelled once a draining process has no bot left.
pub(super) async fn worker(supervisor: &mut Supervisor, process: &Process) -> anyhow::Result<CancellationToken> {
    let Process { config, backend, .. } = process;
    let state_dir = config.data_dir.join("bots");
    std::fs::create_dir_all(&state_dir).context("the bots' directory")?;
    let state_dir = state_dir.canonicalize().context("the bots' directory")?;
    let lock = lock(&config.data_dir)?;
    let swept = muster_runtime::sweep_strays(&state_dir).await.context("ending bots of an earlier run")?;
    if swept > 0 {
        tracing::warn!(bots = swept, "ended bots that an earlier run of this server left behind");
    }
    // Before this process moves to another control group: what limits it is above both.
    let machine = Machine::here();
    let setup = roles::worker::WorkerSetup {
        id: WorkerId::new(config.worker.id.clone().unwrap_or_else(|| format!("worker-{}", Uuid::new_v4().as_simple()))),
        config: config.worker.clone(),
        browser: config.browser.clone(),
        bots: Arc::new(launcher(config, &state_dir)?),
        packs: Arc::clone(&process.packs),
        storage: process.storage_url.clone(),
        engines: Arc::clone(&process.engines),
        allow_private: config.hooks.allow_private.clone(),
        profile_root: state_dir,
        shared: config.is_shared(),
        machine: Some(machine),
        alone: process.role == roles::Role::Worker,
        protections: roles::worker::protection::detect(&config.worker).await?,
        began: process.began,
    };
    let idle = CancellationToken::new();
    let (backend, shutdown, drained) = (backend.clone(), process.shutdown.clone(), idle.clone());
    supervisor.run("worker", OnFailure::Restart, move || {
        let work = roles::worker::run(backend.clone(), setup.clone(), shutdown.clone());
        let (drained, lock) = (drained.clone(), Arc::clone(&lock));
        async move {
            let _lock = lock;
            work.await?;
            drained.cancel();
            Ok(())
        }
    });
    Ok(idle)
}

fn launcher(config: &Config, state_dir: &Path) -> anyhow::Result<Launcher> {
    let program = std::env::current_exe().context("the path of this program")?;
    let confinement = Confinement::prepare(config.worker.bot_memory_limit);
    match &confinement {
        Ok(_) => tracing::info!("each bot has a control group: the kernel keeps worker.bot_memory_limit"),
        Err(why) => tracing::info!(why, "bots are measured to keep worker.bot_memory_limit"),
    }
    Ok(Launcher {
        program,
        args: vec!["run-bot".to_owned()],
        launch_deadline: config.worker.launch_deadline,
        state_dir: state_dir.to_owned(),
        confinement: confinement.ok(),
    })
}

/// Two workers in one directory would take each other's bots for strays. Let go when the process ends.
fn lock(data: &Path) -> anyhow::Result<Arc<std::fs::File>> {
    let path = data.join("bots.lock");
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
    let file = file.with_context(|| format!("opening {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(Arc::new(file)),
        Err(TryLockError::WouldBlock) => {
            anyhow::bail!("another worker uses {}: give each its own data_dir (--data-dir)", data.display())
        }
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("locking {}", path.display())),
    }
}
