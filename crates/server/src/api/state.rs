use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use muster_hooks::deliver::Sender;
use muster_hooks::guard::Policy;
use muster_platform::pack::Packs;
use muster_queue::JobQueue;
use muster_store::SessionStore;
use object_store::ObjectStore;
use url::Url;

use super::rate::Rates;
use crate::clock::Clock;
use crate::config::Runtimes;
use crate::engines::Engines;
use crate::inbound::Door;
use crate::roles::Backend;
use crate::roles::autoscale::Scaling;
use crate::roles::line::View;
use crate::supervise::Shutdown;

/// Largest request body, bytes.
pub(crate) const MAX_BODY_BYTES: usize = 1024 * 1024;

/// Largest body of a request that becomes a part of a bot's record, bytes. Records are read many at a time, and parsed they are
/// many times as large.
pub(crate) const MAX_KEPT_BYTES: usize = 64 * 1024;

/// Everything the API works with. Cheap to clone.
#[derive(Clone)]
pub struct ApiState {
    /// Sessions and API keys.
    pub store: Arc<dyn SessionStore>,
    /// Asked for readiness only; jobs reach it through the store's outbox.
    pub queue: JobQueue,
    /// Which links are understood.
    pub packs: Arc<Packs>,
    /// Where recordings are.
    pub storage: Arc<dyn ObjectStore>,
    /// The time.
    pub clock: Clock,
    /// How callers reach this server; media links begin with it.
    pub public_url: Url,
    /// Which addresses a customer's URL may have.
    pub guard: Policy,
    /// Tests endpoints.
    pub sender: Sender,
    /// Signs media links; at least 32 random bytes.
    pub link_secret: Arc<[u8]>,
    /// How long record and media are kept unless the request says otherwise.
    pub retention: Duration,
    /// A bot that is lost after it was let in is sent in again, once.
    pub rejoin: bool,
    /// How many workers there are to be.
    pub scaling: Scaling,
    /// Who makes words of speech.
    pub engines: Arc<Engines>,
    /// Who has how many places, and what writes sessions.
    pub line: View,
    /// How many requests tenants make.
    pub rates: Arc<Rates>,
    /// What takes webhooks.
    pub door: Arc<Door>,
    /// Where bots run.
    pub runtimes: Runtimes,
    /// Readiness ends when it drains.
    pub shutdown: Shutdown,
}

impl ApiState {
    /// The part that writes sessions.
    pub(crate) fn backend(&self) -> &Backend {
        self.line.backend()
    }
}

impl fmt::Debug for ApiState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiState")
            .field("store", &self.store)
            .field("queue", &self.queue)
            .field("public_url", &self.public_url.as_str())
            .field("retention", &self.retention)
            .field("engines", &self.engines)
            .finish_non_exhaustive()
    }
}
