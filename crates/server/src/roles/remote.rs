//! Bots that run in somebody else's cloud: sent there, looked after, and what they bring fetched.
//!
//! Webhooks say what happens there and are not sent again by everybody, so a look now and then makes up for lost ones. All of it
//! is one idempotent step: whatever the session and the service say decides what is next.

mod client;
mod fetch;
mod look;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use muster_hooks::guard::Policy;
use muster_session::job::{Job, Topic};
use muster_session::{BotId, Input, Session, State};
use object_store::ObjectStore;
use tokio::sync::Semaphore;
use url::Url;

use super::jobs::{self, Work};
use super::{ApplyError, Backend};
use crate::inbound::callback;
use crate::supervise::Shutdown;
use client::Trouble;
pub use client::{Client, SetupError};

/// How often a running bot is looked at.
const LOOK: Duration = Duration::from_secs(60);
/// How often what a bot brings is looked for after its call.
const FETCH: Duration = Duration::from_secs(15);
/// When a bot is looked at again that waits because its tenant has as many as it may have.
const AT_LIMIT: Duration = Duration::from_secs(10);
/// Shortest and longest pause before another try at a service in trouble.
const RETRY: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(60)];
const CONCURRENCY: usize = 16;
/// Recordings that are fetched at a time.
const DOWNLOADS: usize = 4;
/// A bot that was not let in before its session ended is looked after for so long: it may be let in yet.
const LINGERS: Duration = Duration::from_secs(3_600);
/// Times that deleting is tried, with growing pauses: about four days.
const FORGET_TRIES: u32 = 100;

/// Everything this role needs besides the backend.
#[derive(Clone, Debug)]
pub struct RemoteSetup {
    /// Name of the source by which the service's webhooks come.
    pub source: String,
    /// The service.
    pub client: Client,
    /// Where recordings go.
    pub storage: Arc<dyn ObjectStore>,
    /// Which addresses the service may name for what is to be fetched, beside its own.
    pub guard: Policy,
    /// Where the service reaches us.
    pub public_url: Url,
    /// Makes addresses that vouch for what is sent to them.
    pub link_secret: Arc<[u8]>,
    /// Bots that no worker takes within the time that their sessions name may be sent there.
    pub overflow: bool,
    /// What this process is at.
    pub at_work: AtWork,
}

/// Keeps one bot from being tended twice at a time, and long downloads from holding up everything else. Clones share it.
#[derive(Clone, Debug)]
pub struct AtWork {
    bots: Arc<Mutex<HashSet<BotId>>>,
    downloads: Arc<Semaphore>,
}

impl Default for AtWork {
    fn default() -> Self {
        Self { bots: Arc::default(), downloads: Arc::new(Semaphore::new(DOWNLOADS)) }
    }
}

/// A bot that is tended; until it is dropped.
struct Tended {
    at_work: AtWork,
    bot: BotId,
}

impl Drop for Tended {
    fn drop(&mut self) {
        self.at_work.bots.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.bot);
    }
}

impl AtWork {
    fn begin(&self, bot: BotId) -> Option<Tended> {
        let fresh = self.bots.lock().unwrap_or_else(PoisonError::into_inner).insert(bot);
        fresh.then(|| Tended { at_work: self.clone(), bot })
    }
}

/// Runs until shutdown; running jobs are finished first.
pub async fn run(backend: Backend, setup: RemoteSetup, shutdown: Shutdown) -> anyhow::Result<()> {
    jobs::run(backend, setup, shutdown).await
}

#[async_trait]
impl Work for RemoteSetup {
    const TOPIC: Topic = Topic::Remote;

    fn concurrency(&self) -> usize {
        CONCURRENCY
    }

    async fn step(&self, backend: &Backend, job: &Job, _last: bool) -> anyhow::Result<()> {
        match job {
            Job::Tend { bot } => self.tend(backend, *bot).await,
            Job::Forget { bot, source, remote, tries } => match self.client.delete(remote).await {
                Err(Trouble::Later { why, .. }) if *tries < FORGET_TRIES => {
                    tracing::warn!(%bot, source, why, "what a service keeps of a bot is not deleted; trying again");
                    let pause = Duration::from_secs(10 << (*tries).min(8)).min(Duration::from_secs(3_600));
                    let (source, remote) = (source.clone(), remote.clone());
                    let again = Job::Forget { bot: *bot, source, remote, tries: tries + 1 };
                    let key = format!("forget:{bot}:{tries}");
                    backend.queue.send(&again, pause, Some(key)).await.context("asking to try again")
                }
                result => result.context("deleting what the service keeps of a bot"),
            },
            _ => Ok(()),
        }
    }

    /// The session's deadline ends what is not looked after.
    async fn give_up(&self, _backend: &Backend, _job: &Job, _reason: &str) {}
}

impl RemoteSetup {
    async fn tend(&self, backend: &Backend, bot: BotId) -> anyhow::Result<()> {
        let Some(_tended) = self.at_work.begin(bot) else {
            // Somebody is at it; what it does not see yet is looked at after.
            return self.come_back(backend, bot, RETRY[0]).await;
        };
        let Some(mut session) = backend.store.get(bot).await.context("reading the session")? else { return Ok(()) };
        if session.state == State::Queued {
            if self.overflow && at_limit(backend, &session).await? {
                return self.come_back(backend, bot, AT_LIMIT).await;
            }
            let input = match &session.remote {
                None if self.overflow => Input::HandOver { source: self.source.clone() },
                Some(_) => Input::Send,
                None => return Ok(()),
            };
            // A worker may have taken it in between, and then it stays here.
            let Some(next) = applied(backend.apply(bot, input).await)? else { return Ok(()) };
            session = next;
        }
        let Some(remote) = session.remote.clone().filter(|remote| remote.ours && remote.source == self.source) else {
            return Ok(());
        };
        let again = match (session.state, &remote.bot) {
            // Handed over just now: its own job comes.
            (State::Scheduled | State::Queued | State::MediaExpired, _) | (State::Done, None) => None,
            // Its webhooks may come before the answer that has its id.
            (_, None) => self.ask(backend, &session).await?,
            (State::Processing, Some(there)) => self.fetch(backend, &session, there).await?,
            (State::Done, Some(there)) => self.left_behind(backend, &session, there).await,
            (_, Some(there)) => self.look(backend, &session, there).await?,
        };
        match again {
            Some(pause) => self.come_back(backend, bot, pause).await,
            None => Ok(()),
        }
    }

    /// Asks for a bot there, under a key that makes asking again harmless.
    async fn ask(&self, backend: &Backend, session: &Session) -> anyhow::Result<Option<Duration>> {
        let callback = callback(&self.public_url, &self.link_secret, &self.source, session.id);
        let input = match self.client.create(session, &callback).await {
            Ok(bot) => {
                tracing::info!(bot = %session.id, remote = bot, source = self.source, "bot sent");
                if applied(backend.apply(session.id, Input::Sent { bot: bot.clone() }).await)?.is_none() {
                    self.superfluous(backend, session.id, &bot).await?;
                }
                return Ok(None);
            }
            Err(Trouble::Refused(why)) => {
                tracing::warn!(bot = %session.id, source = self.source, why, "the service refused a bot");
                Input::NotSent { message: format!("{} refused the bot: {why}", self.source) }
            }
            Err(Trouble::Later { why, after }) => {
                tracing::warn!(bot = %session.id, source = self.source, why, "a bot could not be sent; trying again");
                let [shortest, longest] = RETRY;
                return Ok(Some(after.unwrap_or(shortest).clamp(shortest, longest)));
            }
        };
        applied(backend.apply(session.id, input).await)?;
        Ok(None)
    }

    /// The service has a bot of this session that is not the one we know, and nobody wants it.
    async fn superfluous(&self, backend: &Backend, bot: BotId, there: &str) -> anyhow::Result<()> {
        let session = backend.store.get(bot).await.context("reading the session")?;
        let known = session.and_then(|session| session.remote?.bot);
        if known.as_deref() == Some(there) {
            return Ok(());
        }
        tracing::warn!(%bot, remote = there, "the service made a bot twice, or too late; it is told to leave");
        self.client.remove(there).await.context("removing a bot that nobody wants")
    }

    /// A bot that was not let in before its session ended may be in its call by now, or in the lobby yet.
    async fn left_behind(&self, backend: &Backend, session: &Session, there: &str) -> Option<Duration> {
        let ended = session.ended_at.unwrap_or(session.updated_at);
        if session.was_admitted() || backend.clock.now().since(ended) > LINGERS {
            return None;
        }
        match self.client.details(there).await {
            Ok(details) if fetch::is_running(&details) => {
                if let Err(error) = self.client.remove(there).await {
                    tracing::warn!(bot = %session.id, %error, "a bot that was given up may still be there; trying again");
                }
                Some(LOOK)
            }
            Ok(_) | Err(Trouble::Refused(_)) => None,
            Err(Trouble::Later { .. }) => Some(LOOK),
        }
    }

    async fn come_back(&self, backend: &Backend, bot: BotId, pause: Duration) -> anyhow::Result<()> {
        let name = format!("tend:{bot}");
        jobs::come_back(backend, &Job::Tend { bot }, &name, pause).await.context("asking for another look")
    }
}

/// It waits in line for a place of its own tenant: another cloud is for what the fleet has no place for.
async fn at_limit(backend: &Backend, session: &Session) -> anyhow::Result<bool> {
    let Some(limit) = backend.tiers.of(&session.tenant).concurrency.filter(|_| session.held) else { return Ok(false) };
    let loads = backend.store.loads().await.context("reading what tenants have")?;
    Ok(loads.iter().any(|load| load.tenant == session.tenant && load.taken >= limit))
}

/// The session after an input; none if it was not possible (any more).
fn applied(result: Result<Session, ApplyError>) -> anyhow::Result<Option<Session>> {
    match result {
        Ok(session) => Ok(Some(session)),
        Err(ApplyError::Rejected(_) | ApplyError::Missing) => Ok(None),
        Err(error) => Err(error).context("writing the session"),
    }
}
