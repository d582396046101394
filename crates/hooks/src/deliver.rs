//! Sends the store's pending webhooks.
//!
//! The ledger in the store is the truth; the queue only says which bot is worth looking at. A message may come twice or
//! late without harm, and a delivery that was made but not recorded is made again with the same id and the same bytes.
//!
//! A bot's deliveries fall into `lanes`, one for each receiver, which go side by side. Each attempt waits for its turn at the
//! `gate`: it has `slots` for hosts and tenants, and a `circuit` for each host and tenant. [`decide`] holds the rules of retries, `attempt`
//! makes one with a [`Sender`], and `endpoints` keeps what is known of how endpoints are doing. `bot` is the step,
//! [`Deliverer::run`] the loop.
//!
//! After a bot was looked at nothing of it is due in the store unless it is being sent this moment: what is held back, sent
//! away, takes long or is tried again is postponed. So a sweep for what is due finds what nobody has looked at, however much there is.

mod attempt;
mod bot;
pub mod circuit;
pub mod decide;
mod endpoints;
mod gate;
mod host;
mod lanes;
mod pace;
mod run;
mod sender;
mod slots;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use muster_queue::{JobQueue, QueueError};
use muster_session::{BotId, Fault, TenantId, Timestamp};
use muster_store::{Delivery, SessionStore, StoreError};

use crate::client::{Post, SetupError};
use crate::guard::Policy;
use crate::sign::{SecretError, Signer};
use bot::Signals;
use endpoints::Endpoints;
use gate::Gate;
use slots::Limits;

pub use sender::{Sender, TestResult};

/// First guess at how many deliveries of one bot are pending.
const PAGE: u32 = 256;

/// How deliveries are made.
#[derive(Clone)]
pub struct Settings {
    /// What may be reached.
    pub guard: Policy,
    /// `whsec_…`, the newest first, separated by blanks: sign webhooks to addresses of bots' own.
    pub signing_secret: Option<String>,
    /// The same for single tenants, instead of `signing_secret`.
    pub tenant_secrets: BTreeMap<TenantId, String>,
    /// Longest wait for one receiver's answer.
    pub timeout: Duration,
    /// Attempts at a time that have not taken a second yet; of those that have there are four times as many. One host gets at
    /// most as many as a quarter of this.
    pub concurrency: usize,
    /// An endpoint that has been failing for so long without a success is disabled.
    pub disable_after: Duration,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("guard", &self.guard).finish_non_exhaustive()
    }
}

/// Why deliveries stopped. A receiver's failure is not among them: it is in the ledger.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The ledger did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The queue did not answer.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// A signing secret is not one.
    #[error("{setting}: {source}")]
    Secret {
        /// Where it was set.
        setting: String,
        /// What is wrong with it.
        #[source]
        source: SecretError,
    },
    /// The client could not be built.
    #[error(transparent)]
    Client(#[from] SetupError),
}

impl Error {
    /// Who can do something about it.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        Fault::Us
    }
}

/// Delivers webhooks. Clones share their limits.
#[derive(Clone)]
pub struct Deliverer(Arc<Inner>);

struct Inner {
    store: Arc<dyn SessionStore>,
    queue: JobQueue,
    sender: Sender,
    signers: Signers,
    endpoints: Endpoints,
    gate: Gate,
    jitter: fn() -> f64,
    clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    timeout: Duration,
    /// A pass that lasts so long postpones in the store what it has in hand.
    park_after: Duration,
    /// Wake-ups of one bot come to several processes at a time, so all that is begun is postponed, not only retries.
    postpone_all: bool,
    limits: Limits,
    busy: run::Busy,
}

impl fmt::Debug for Deliverer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deliverer").field("limits", &self.0.limits).finish_non_exhaustive()
    }
}

/// Who signs webhooks to addresses of bots' own.
#[derive(Debug)]
struct Signers {
    all: Signer,
    tenants: BTreeMap<TenantId, Signer>,
}

impl Signers {
    fn new(settings: &Settings) -> Result<Self, Error> {
        let parse =
            |secret: &str, setting: String| Signer::parse(secret).map_err(|source| Error::Secret { setting, source });
        let all = settings.signing_secret.as_deref().unwrap_or_default();
        let tenants = settings.tenant_secrets.iter().map(|(tenant, secret)| {
            Ok((tenant.clone(), parse(secret, format!("tenants.{tenant}.hooks.signing_secret"))?))
        });
        let tenants = tenants.collect::<Result<_, Error>>()?;
        Ok(Self { all: parse(all, "hooks.signing_secret".to_owned())?, tenants })
    }

    /// A tenant with secrets of its own has no part in those of the others.
    fn of(&self, tenant: &TenantId) -> &Signer {
        self.tenants.get(tenant).unwrap_or(&self.all)
    }
}

impl Deliverer {
    /// A deliverer that reaches customers through the guard and tells the time by `clock`.
    pub fn new(
        store: Arc<dyn SessionStore>,
        queue: JobQueue,
        settings: Settings,
        clock: impl Fn() -> Timestamp + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let sender = Sender::new(settings.guard.clone(), settings.timeout)?;
        Self::build(store, queue, sender, &settings, Arc::new(clock), jitter)
    }

    /// The same over any client, with jitter in `0.0..=1.0` from anywhere. The guard and the timeout are then the client's.
    pub fn over(
        store: Arc<dyn SessionStore>,
        queue: JobQueue,
        client: Arc<dyn Post>,
        settings: Settings,
        clock: impl Fn() -> Timestamp + Send + Sync + 'static,
        jitter: fn() -> f64,
    ) -> Result<Self, Error> {
        Self::build(store, queue, Sender::over(client), &settings, Arc::new(clock), jitter)
    }

    fn build(
        store: Arc<dyn SessionStore>,
        queue: JobQueue,
        sender: Sender,
        settings: &Settings,
        clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
        jitter: fn() -> f64,
    ) -> Result<Self, Error> {
        let limits = Limits::new(settings.concurrency);
        Ok(Self(Arc::new(Inner {
            signers: Signers::new(settings)?,
            endpoints: Endpoints::new(Arc::clone(&store), queue.clone(), settings.disable_after),
            gate: Gate::new(limits, Arc::clone(&clock)),
            postpone_all: !queue.limits().deduplicates,
            store,
            queue,
            sender,
            jitter,
            clock,
            timeout: settings.timeout,
            park_after: bot::PARK_AFTER,
            limits,
            busy: run::Busy::default(),
        })))
    }

    /// Makes every delivery of a bot that is due, those of each receiver one after another in order of their sequence, and
    /// answers when to come back: `None` when nothing is pending any more.
    ///
    /// Not cancel safe: a dropped attempt may have arrived and will be made again.
    pub async fn deliver_bot(&self, bot: BotId) -> Result<Option<Timestamp>, Error> {
        let signals = Signals::default();
        loop {
            let passed = self.pass(bot, &signals).await?;
            if !passed.sent {
                return Ok(passed.wait);
            }
        }
    }

    /// All pending deliveries of a bot. One page is nearly always enough; failed ones at the front must not hide the rest.
    async fn pending(&self, bot: BotId) -> Result<Vec<Delivery>, StoreError> {
        let mut limit = PAGE;
        loop {
            let pending = self.0.store.pending_deliveries(bot, limit).await?;
            if pending.len() < limit as usize || limit == u32::MAX {
                return Ok(pending);
            }
            limit = limit.saturating_mul(8);
        }
    }

    fn now(&self) -> Timestamp {
        (self.0.clock)()
    }
}

/// Uniform in `0.0..1.0`; 0.5 if the system has no randomness to give.
fn jitter() -> f64 {
    getrandom::u32().map_or(0.5, |random| f64::from(random) / (f64::from(u32::MAX) + 1.0))
}
