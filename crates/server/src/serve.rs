//! `muster serve`: opens the backend, starts the parts of the role, and ends them in order.

mod actuators;
mod first_key;
mod http;
mod parts;
mod secret;
mod signals;

use std::ffi::OsString;
use std::sync::Arc;

use anyhow::Context;
use muster_hooks::deliver::Sender;
use muster_hooks::guard::Policy;
use muster_platform::pack::Packs;
use object_store::ObjectStore;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::api::bots::request::SANDBOX_PACK;
use crate::api::{self, ApiState};
use crate::backends;
use crate::clock::Clock;
use crate::config::Config;
use crate::engines::Engines;
use crate::inbound::{Door, Intake};
use crate::roles::autoscale::Scaling;
use crate::roles::line::View;
use crate::roles::{Backend, Role};
use crate::serve::signals::Signals;
use crate::supervise::{Shutdown, Supervisor};

/// Recommended descriptor limit for workers; below `DESCRIPTORS_LOW` the server warns.
const DESCRIPTORS_RECOMMENDED: u64 = 1_000_000;
const DESCRIPTORS_LOW: u64 = 65_536;

/// What the parts of a process are made of.
struct Process {
    role: Role,
    config: Config,
    backend: Backend,
    packs: Arc<Packs>,
    guard: Policy,
    storage_url: Url,
    storage: Arc<dyn ObjectStore>,
    engines: Arc<Engines>,
    scaling: Scaling,
    /// Signs links to media, and addresses that we give to services for their webhooks.
    link_secret: Arc<[u8]>,
    shutdown: Shutdown,
    /// When the process did.
    began: Instant,
}

/// Runs the parts of a role until a signal, then drains. `given_key` is the value of MUSTER_API_KEY, for those with the API.
pub async fn serve(config: Config, role: Role, given_key: Option<OsString>) -> anyhow::Result<()> {
    let began = Instant::now();
    raise_descriptors();
    let given_key = first_key::given(given_key.filter(|_| role.does(Role::Api)))?;
    let process = prepare(config, role, began).await?;
    let (listener, public_url) = listen(&process.config).await?;
    let shutdown = process.shutdown.clone();
    let mut supervisor = Supervisor::new(shutdown.clone());
    let idle = start_parts(&process, &public_url, &mut supervisor).await?;
    let sandbox = if role.does(Role::Api) { start_sandbox(&process.config).await? } else { None };
    let mut router = match role.does(Role::Api) {
        true => {
            let state = api_state(&process, &public_url)?;
            parts::line(&mut supervisor, &state.line, &shutdown);
            api::router(state)
        }
        false => api::probes_router(process.backend.store.clone(), process.backend.queue.clone(), shutdown.clone()),
    };
    if let Some(sandbox) = &sandbox {
        router = router.merge(sandbox.router());
    }
    // Last of all that may fail: the store has then no key that nobody was shown.
    let first_key = match role.does(Role::Api) {
        true => first_key::ensure(&*process.backend.store, process.backend.clock.now(), given_key).await?,
        false => None,
    };
    announce(&process, &public_url, first_key.as_deref(), sandbox.is_some());
    http::start(&mut supervisor, listener, router, &shutdown);
    let mut signals = Signals::listen()?;
    signals.wait(&shutdown, &idle).await?;
    shutdown.end();
    let ending = async {
        supervisor.join().await;
        if let Some(sandbox) = sandbox {
            sandbox.shutdown().await;
        }
    };
    signals.unless(ending).await?;
    tracing::info!("stopped");
    Ok(())
}

async fn prepare(config: Config, role: Role, began: Instant) -> anyhow::Result<Process> {
    let data = &config.data_dir;
    std::fs::create_dir_all(data).with_context(|| format!("the data directory {} cannot be made", data.display()))?;
    let (store, queue) = backends::open(&config).await?;
    let tiers = config.tiers.clone();
    let backend = Backend { tiers, ..Backend::new(store, queue, Clock::system()) };
    let packs = Arc::new(load_packs(&config)?);
    let guard = Policy::new(config.hooks.allow_private.iter().map(String::as_str)).context("hooks.allow_private")?;
    let storage_url = storage_url(&config)?;
    let storage = muster_recording::storage::open(&storage_url).with_context(|| format!("opening {storage_url}"))?;
    if config.is_shared() && storage_url.scheme() == "file" {
        tracing::warn!(%storage_url, "recordings go to a directory: every process has to have the same one there");
    }
    let engines = Arc::new(engines(&config)?);
    let scaling = Scaling::new(backend.clone(), config.autoscale.policy, config.autoscale.actuator.as_str());
    let link_secret = match config.is_shared() {
        true => secret::of_storage(&storage).await?,
        false => secret::of_directory(&config.data_dir)?,
    };
    Ok(Process {
        role,
        config,
        backend,
        packs,
        guard,
        storage_url,
        storage,
        engines,
        scaling,
        link_secret: link_secret.into(),
        shutdown: Shutdown::default(),
        began,
    })
}

async fn listen(config: &Config) -> anyhow::Result<(TcpListener, Url)> {
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("cannot listen on {} (set `listen` or --listen to another address)", config.listen))?;
    let address = listener.local_addr().context("the listening address")?;
    let public_url = match &config.public_url {
        Some(url) => url.clone(),
        None => Url::parse(&format!("http://{address}/")).context("the public URL")?,
    };
    Ok((listener, public_url))
}

/// Starts what the role does; answers what is cancelled once a draining process has no bot left.
async fn start_parts(
    process: &Process,
    public_url: &Url,
    supervisor: &mut Supervisor,
) -> anyhow::Result<CancellationToken> {
    let Process { role, config, backend, guard, storage, engines, shutdown, .. } = process;
    if role.does(Role::Hooks) {
        parts::inbound(supervisor, process)?;
        parts::remote(supervisor, process, public_url)?;
        parts::hooks(supervisor, config, backend, guard, shutdown)?;
        parts::media(supervisor, backend, storage, engines, shutdown);
    }
    let idle = match role.does(Role::Worker) {
        true => parts::worker(supervisor, process).await?,
        false => {
            let idle = CancellationToken::new();
            idle.cancel();
            idle
        }
    };
    let leadership = role.does(Role::Control).then(|| parts::control(supervisor, config, backend, storage, shutdown));
    if let Some(leadership) = &leadership {
        parts::autoscale(supervisor, process, leadership).await?;
    }
    parts::relay(supervisor, backend, leadership.as_ref(), shutdown);
    parts::lessons(supervisor, backend, shutdown);
    Ok(idle)
}

fn api_state(process: &Process, public_url: &Url) -> anyhow::Result<ApiState> {
    let Process { config, backend, packs, guard, storage, engines, scaling, link_secret, shutdown, .. } = process;
    Ok(ApiState {
        scaling: scaling.clone(),
        store: Arc::clone(&backend.store),
        queue: backend.queue.clone(),
        packs: Arc::clone(packs),
        storage: Arc::clone(storage),
        clock: backend.clock.clone(),
        public_url: public_url.clone(),
        guard: guard.clone(),
        sender: Sender::new(guard.clone(), config.hooks.timeout)?,
        link_secret: Arc::clone(link_secret),
        retention: config.retention,
        rejoin: config.worker.rejoin,
        engines: Arc::clone(engines),
        line: View::new(backend.clone()),
        rates: Arc::new(api::Rates::new(config.tiers.clone())),
        door: Arc::new(Door {
            sources: config.inbound.sources.clone(),
            intake: Intake::new(Arc::clone(backend.queue.raw()), config.inbound.max_waiting as usize),
            max_body: config.inbound.max_body_bytes as usize,
            link_secret: Arc::clone(link_secret),
            clock: backend.clock.clone(),
        }),
        runtimes: config.runtimes.clone(),
        shutdown: shutdown.clone(),
    })
}

fn load_packs(config: &Config) -> anyhow::Result<Packs> {
    let mut packs = Packs::builtin();
    if !config.sandbox_enabled() {
        // Without our own meetings their links are nobody's.
        packs.forget(SANDBOX_PACK);
    }
    if let Some(dir) = &config.packs_dir {
        packs.load_dir(dir).with_context(|| format!("platform packs in {}", dir.display()))?;
    }
    Ok(packs)
}

fn storage_url(config: &Config) -> anyhow::Result<Url> {
    if let Some(url) = &config.storage_url {
        return Ok(url.clone());
    }
    let dir = config.data_dir.join("media");
    std::fs::create_dir_all(&dir).with_context(|| format!("the media directory {} cannot be made", dir.display()))?;
    let dir = dir.canonicalize().context("the media directory")?;
    Url::from_directory_path(&dir).map_err(|()| anyhow::anyhow!("{} is not a path that a URL can name", dir.display()))
}

/// What cannot be used is told at the start, not at the first call.
fn engines(config: &Config) -> anyhow::Result<Engines> {
    let engines = Engines::new(config.transcription.clone());
    for (key, spec) in engines.all() {
        muster_transcript::speech::open(&spec).with_context(|| format!("{key} cannot be used"))?;
    }
    Ok(engines)
}

async fn start_sandbox(config: &Config) -> anyhow::Result<Option<muster_sandbox::Sandbox>> {
    if !config.sandbox_enabled() {
        return Ok(None);
    }
    let settings = muster_sandbox::SandboxConfig {
        scenario_dir: config.sandbox.scenario_dir.clone(),
        lan: config.sandbox.lan,
        ..muster_sandbox::SandboxConfig::default()
    };
    Ok(Some(muster_sandbox::Sandbox::start(settings).await.context("starting the sandbox")?))
}

fn raise_descriptors() {
    let limits = muster_runtime::limits::raise_descriptor_limit();
    if limits.now < DESCRIPTORS_LOW {
        tracing::warn!(
            limit = limits.now,
            "the descriptor limit is low; workers should have {DESCRIPTORS_RECOMMENDED} (LimitNOFILE= in systemd, or `ulimit -Hn`)"
        );
    }
}

/// What a person needs to know next. The key is shown here and nowhere else.
fn announce(process: &Process, url: &Url, first_key: Option<&str>, sandbox: bool) {
    let Process { role, config, engines, .. } = process;
    println!("Muster is listening on {url}");
    if *role != Role::All {
        println!("Role: {role}");
    }
    if let Some(key) = first_key {
        println!("API key (shown once): {key}");
    }
    println!("Data directory: {}", config.data_dir.display());
    if sandbox {
        println!("Sandbox meetings: {url}sandbox");
    }
    if config.worker.simulated && role.does(Role::Worker) {
        println!("Simulated bots: no browsers, sandbox meetings only, no sound (worker.simulated)");
    }
    if engines.is_empty() && role.does(Role::Hooks) {
        println!("Transcripts are off: set transcription.url to an OpenAI-compatible speech-to-text server.");
    }
}
