//! What takes webhooks: our API over a backend, or an empty handler of the same framework.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use axum::Router;
use axum::routing::post;
use muster_embedded::Durability;
use muster_hooks::deliver::Sender;
use muster_hooks::guard::Policy;
use muster_hooks::inbound::{Kind, Source};
use muster_platform::pack::Packs;
use muster_queue::embedded::EmbeddedQueue;
use muster_queue::{JobQueue, Queue, RedisQueue};
use muster_redis::Settings;
use muster_server::api::{self, ApiState, Rates};
use muster_server::clock::Clock;
use muster_server::config::{self, Config, Runtimes};
use muster_server::engines::Engines;
use muster_server::inbound::{Door, Intake, Sources};
use muster_server::roles::Backend;
use muster_server::roles::autoscale::Scaling;
use muster_server::roles::line::View;
use muster_server::supervise::Shutdown;
use muster_session::TenantId;
use muster_store::SessionStore;
use muster_store::embedded::EmbeddedStore;
use object_store::memory::InMemory;
use tokio::net::TcpListener;

/// `whsec_…`, of 24 bytes.
pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// The name of the source.
pub const SOURCE: &str = "bench";

/// Serves until it is killed; says where on standard output. `place` is a directory, or the address of a Redis.
pub async fn taker(backend: &str, place: &str) -> Result<()> {
    let router = match backend {
        "empty" => Router::new().route("/webhooks/{source}", post(|| async {})),
        "embedded" => {
            let dir = Path::new(place);
            let queue = EmbeddedQueue::open(dir, Durability::Full).context("the queue")?;
            api::router(state(Arc::new(queue), dir)?)
        }
        "redis" => {
            let settings = Settings { url: place.to_owned(), prefix: "bench".to_owned(), allow_volatile: false };
            let (queue, _) = RedisQueue::open(&settings).await.context("the queue")?;
            let dir = tempfile::tempdir()?;
            api::router(state(Arc::new(queue), &dir.keep())?)
        }
        other => bail!("no such backend: {other}"),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on {}", listener.local_addr()?);
    axum::serve(NoDelay(listener), router).await.context("serving")
}

/// Small answers are sent at once, as the product does it.
struct NoDelay(TcpListener);

impl axum::serve::Listener for NoDelay {
    type Io = tokio::net::TcpStream;
    type Addr = std::net::SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            if let Ok((stream, address)) = self.0.accept().await {
                let _ = stream.set_nodelay(true);
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

fn state(queue: Arc<dyn Queue>, dir: &Path) -> Result<ApiState> {
    let store: Arc<dyn SessionStore> = Arc::new(EmbeddedStore::open(dir, Durability::Normal).context("the store")?);
    let backend = Backend::new(store, JobQueue::new(queue), Clock::system());
    let config = Config::load(&config::Sources::default())?;
    let day = Duration::from_secs(86_400);
    let source = Source::new(SOURCE, TenantId::new("default"), Kind::Standard, &[SECRET], day)?;
    Ok(ApiState {
        store: Arc::clone(&backend.store),
        queue: backend.queue.clone(),
        packs: Arc::new(Packs::builtin()),
        storage: Arc::new(InMemory::new()),
        clock: backend.clock.clone(),
        public_url: "http://127.0.0.1/".parse()?,
        guard: Policy::default(),
        sender: Sender::new(Policy::default(), config.hooks.timeout)?,
        link_secret: Arc::from(&[7_u8; 32][..]),
        retention: day,
        rejoin: true,
        engines: Arc::new(Engines::new(config.transcription.clone())),
        scaling: Scaling::new(backend.clone(), config.autoscale.policy, config.autoscale.actuator.as_str()),
        line: View::new(backend.clone()),
        rates: Arc::new(Rates::new(backend.tiers.clone())),
        door: Arc::new(Door {
            sources: Sources::new([source]),
            intake: Intake::new(Arc::clone(backend.queue.raw()), config.inbound.max_waiting as usize),
            max_body: config.inbound.max_body_bytes as usize,
            link_secret: Arc::from(&[7_u8; 32][..]),
            clock: backend.clock.clone(),
        }),
        runtimes: Runtimes::default(),
        shutdown: Shutdown::default(),
    })
}
