//! `muster serve`: opens the backend, starts the roles, and ends them in order.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use muster_hooks::guard::Policy;
use muster_platform::pack::Packs;
use muster_queue::JobQueue;
use muster_queue::embedded::EmbeddedQueue;
use muster_session::{TenantId, WorkerId};
use muster_store::SessionStore;
use muster_store::embedded::EmbeddedStore;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use url::Url;
use uuid::Uuid;

use crate::api::{self, ApiState};
use crate::clock::Clock;
use crate::config::Config;
use crate::engines::Engines;
use crate::keys;
use crate::roles::{Backend, control, media, relay, worker};
use crate::supervise::{OnFailure, Shutdown, Supervisor};

/// Recommended descriptor limit for workers; below `DESCRIPTORS_LOW` the server warns.
const DESCRIPTORS_RECOMMENDED: u64 = 1_000_000;
const DESCRIPTORS_LOW: u64 = 65_536;
/// The pack of our own meetings; without them its links are nobody's.
const SANDBOX_PACK: &str = "sandbox";

/// Runs every role until a signal, then drains.
pub async fn serve(config: Config, given_key: Option<String>) -> anyhow::Result<()> {
    raise_descriptors();
    let data = &config.data_dir;
    std::fs::create_dir_all(data).with_context(|| format!("the data directory {} cannot be made", data.display()))?;
    let clock = Clock::system();
    let (store, queue) = open_backend(&config).await?;
    let first_key = ensure_key(store.as_ref(), &clock, given_key).await?;
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("cannot listen on {} (set `listen` or --listen to another address)", config.listen))?;
    let address = listener.local_addr().context("the listening address")?;
    let public_url = match &config.public_url {
        Some(url) => url.clone(),
        None => Url::parse(&format!("http://{address}/")).context("the public URL")?,
    };

    let shutdown = Shutdown::default();
    let mut supervisor = Supervisor::new(shutdown.clone());
    let backend = Backend { store, queue, clock, nudge: Arc::new(Notify::new()) };
    let packs = Arc::new(load_packs(&config)?);
    let guard = Policy::new(config.hooks.allow_private.iter().map(String::as_str)).context("hooks.allow_private")?;
    let storage_url = storage_url(&config)?;
    let storage = muster_recording::storage::open(&storage_url).with_context(|| format!("opening {storage_url}"))?;
    let engines = Arc::new(engines(&config)?);

    start_hooks(&mut supervisor, &config, &backend, &guard, &shutdown)?;
    start_media(&mut supervisor, &backend, &storage, &engines, &shutdown);
    let idle = start_worker(&mut supervisor, &config, &backend, &packs, &storage_url, &engines, &shutdown).await?;
    {
        let (backend, shutdown) = (backend.clone(), shutdown.clone());
        supervisor.run("relay", OnFailure::Restart, move || relay::run(backend.clone(), shutdown.clone()));
    }
    {
        let (backend, storage, shutdown) = (backend.clone(), Arc::clone(&storage), shutdown.clone());
        supervisor.run("control", OnFailure::Restart, move || {
            control::run(backend.clone(), Arc::clone(&storage), shutdown.clone())
        });
    }

    let sandbox = start_sandbox(&config).await?;
    let state = ApiState {
        store: Arc::clone(&backend.store),
        queue: backend.queue.clone(),
        packs,
        storage,
        clock: backend.clock.clone(),
        public_url: public_url.clone(),
        guard,
        link_secret: link_secret(data)?.into(),
        retention: config.retention,
        engines: Arc::clone(&engines),
        nudge: Arc::clone(&backend.nudge),
        shutdown: shutdown.clone(),
    };
    let mut router = api::router(state);
    if let Some(sandbox) = &sandbox {
        router = router.merge(sandbox.router());
    }
    announce(&config, &public_url, first_key.as_deref(), sandbox.is_some(), &engines);
    start_http(&mut supervisor, listener, router, &shutdown);
    wait_for_signals(&shutdown, &idle).await?;
    shutdown.end();
    supervisor.join().await;
    if let Some(sandbox) = sandbox {
        sandbox.shutdown().await;
    }
    tracing::info!("stopped");
    Ok(())
}

async fn open_backend(config: &Config) -> anyhow::Result<(Arc<dyn SessionStore>, JobQueue)> {
    let durability =
        if config.durable { muster_embedded::Durability::Full } else { muster_embedded::Durability::Normal };
    let store = EmbeddedStore::open(&config.data_dir, durability).context("opening the session store")?;
    let queue = EmbeddedQueue::open(&config.data_dir, durability).context("opening the queue")?;
    queue.end_leases().await.context("ending the leases of an earlier run")?;
    Ok((Arc::new(store), JobQueue::new(Arc::new(queue))))
}

/// A given key is made valid; a fresh installation without one gets one, which the caller shows once.
async fn ensure_key(store: &dyn SessionStore, clock: &Clock, given: Option<String>) -> anyhow::Result<Option<String>> {
    let tenant = TenantId::new(keys::DEFAULT_TENANT);
    if let Some(key) = given {
        anyhow::ensure!(key.len() >= 8, "MUSTER_API_KEY: expected at least 8 characters, got {}", key.len());
        store
            .put_key(&keys::record(&key, tenant, "MUSTER_API_KEY", clock.now()))
            .await
            .context("storing the API key")?;
        return Ok(None);
    }
    if !store.keys().await.context("reading the API keys")?.is_empty() {
        return Ok(None);
    }
    let key = keys::generate().context("making an API key")?;
    store.put_key(&keys::record(&key, tenant, "first start", clock.now())).await.context("storing the API key")?;
    Ok(Some(key))
}

fn load_packs(config: &Config) -> anyhow::Result<Packs> {
    let mut packs = Packs::builtin();
    if !config.sandbox_enabled() {
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

fn start_hooks(
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
            concurrency: config.hooks.concurrency as usize,
        },
        move || clock.now(),
    )
    .context("hooks")?;
    let (deliverer, token) = (Arc::new(deliverer), shutdown.ending_token());
    supervisor.run("hooks", OnFailure::Restart, move || {
        let (deliverer, token) = (Arc::clone(&deliverer), token.clone());
        async move { deliverer.run(token).await.context("delivering webhooks") }
    });
    Ok(())
}

fn start_media(
    supervisor: &mut Supervisor,
    backend: &Backend,
    storage: &Arc<dyn object_store::ObjectStore>,
    engines: &Arc<Engines>,
    shutdown: &Shutdown,
) {
    let setup = media::MediaSetup { storage: Arc::clone(storage), engines: Arc::clone(engines), concurrency: 2 };
    let (backend, shutdown) = (backend.clone(), shutdown.clone());
    supervisor.run("media", OnFailure::Restart, move || media::run(backend.clone(), setup.clone(), shutdown.clone()));
}

async fn start_worker(
    supervisor: &mut Supervisor,
    config: &Config,
    backend: &Backend,
    packs: &Arc<Packs>,
    storage: &Url,
    engines: &Arc<Engines>,
    shutdown: &Shutdown,
) -> anyhow::Result<CancellationToken> {
    let state_dir = config.data_dir.join("bots");
    std::fs::create_dir_all(&state_dir).context("the bots' directory")?;
    let state_dir = state_dir.canonicalize().context("the bots' directory")?;
    let swept = muster_runtime::sweep_strays(&state_dir).await.context("ending bots of an earlier run")?;
    if swept > 0 {
        tracing::warn!(bots = swept, "ended bots that an earlier run of this server left behind");
    }
    let program = std::env::current_exe().context("the path of this program")?;
    let launcher = muster_runtime::Launcher {
        program,
        args: vec!["run-bot".to_owned()],
        launch_deadline: config.worker.launch_deadline,
        state_dir: state_dir.clone(),
    };
    let setup = worker::WorkerSetup {
        id: WorkerId::new(format!("worker-{}", Uuid::new_v4().as_simple())),
        config: config.worker.clone(),
        browser: config.browser.clone(),
        launcher: Arc::new(launcher),
        packs: Arc::clone(packs),
        storage: storage.clone(),
        engines: Arc::clone(engines),
        allow_private: config.hooks.allow_private.clone(),
        profile_root: state_dir,
    };
    let idle = CancellationToken::new();
    let (backend, shutdown, drained) = (backend.clone(), shutdown.clone(), idle.clone());
    supervisor.run("worker", OnFailure::Restart, move || {
        let work = worker::run(backend.clone(), setup.clone(), shutdown.clone());
        let drained = drained.clone();
        async move {
            work.await?;
            drained.cancel();
            Ok(())
        }
    });
    Ok(idle)
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

/// The secret that signs media links: made once, readable by the server's user only.
fn link_secret(data: &Path) -> anyhow::Result<Vec<u8>> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let path = data.join("link-secret");
    match std::fs::read(&path) {
        Ok(secret) if secret.len() == 32 => return Ok(secret),
        Ok(_) => anyhow::bail!("{} is damaged: remove it, and links given out before stop working", path.display()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
    }
    let mut secret = vec![0_u8; 32];
    getrandom::fill(&mut secret).context("making the link secret")?;
    let fresh = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&fresh)
        .with_context(|| format!("writing {}", fresh.display()))?;
    file.write_all(&secret).and_then(|()| file.sync_all()).context("writing the link secret")?;
    std::fs::rename(&fresh, &path).context("putting the link secret in place")?;
    Ok(secret)
}

fn start_http(supervisor: &mut Supervisor, listener: TcpListener, router: axum::Router, shutdown: &Shutdown) {
    let listener = Arc::new(listener);
    let shutdown = shutdown.clone();
    // The API answers until the last call has ended: status and webhooks are wanted most while draining.
    supervisor.run("http", OnFailure::ShutDown, move || {
        let (listener, router, shutdown) = (Arc::clone(&listener), router.clone(), shutdown.clone());
        async move {
            let listener = SharedListener(listener);
            axum::serve(listener, router)
                .with_graceful_shutdown(async move { shutdown.ended().await })
                .await
                .context("serving HTTP")
        }
    });
}

/// Lets the HTTP task be started again on the same socket.
#[derive(Debug)]
struct SharedListener(Arc<TcpListener>);

impl axum::serve::Listener for SharedListener {
    type Io = tokio::net::TcpStream;
    type Addr = std::net::SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            match self.0.accept().await {
                Ok((stream, address)) => {
                    // Small answers are sent at once.
                    let _ = stream.set_nodelay(true);
                    return (stream, address);
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

/// The first signal drains, the second makes running bots leave now. Returns when no bot is left, or when a task
/// failed that the server cannot do without.
async fn wait_for_signals(shutdown: &Shutdown, idle: &CancellationToken) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = shutdown.ended() => anyhow::bail!("a part of the server failed; the log says which"),
    }
    shutdown.drain();
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = idle.cancelled() => return Ok(()),
        () = shutdown.ended() => anyhow::bail!("a part of the server failed; the log says which"),
    }
    shutdown.hurry();
    tracing::info!("leaving running calls now");
    tokio::select! {
        () = idle.cancelled() => Ok(()),
        () = shutdown.ended() => anyhow::bail!("a part of the server failed; the log says which"),
    }
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
fn announce(config: &Config, url: &Url, first_key: Option<&str>, sandbox: bool, engines: &Engines) {
    println!("Muster is listening on {url}");
    if let Some(key) = first_key {
        println!("API key (shown once): {key}");
    }
    println!("Data directory: {}", config.data_dir.display());
    if sandbox {
        println!("Sandbox meetings: {url}sandbox");
    }
    if engines.is_empty() {
        println!("Transcripts are off: set transcription.url to an OpenAI-compatible speech-to-text server.");
    }
}
