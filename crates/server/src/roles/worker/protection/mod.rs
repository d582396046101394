//! Whoever manages machines, tasks or pods is told which of them have bots, so that others go first.
//!
//! What is told is kept current by a task for each, beside the bots: a bot waits a moment for it before it is launched, and no
//! trouble with it ends one.

#[cfg(feature = "aws")]
mod asg;
mod ecs;
mod kubernetes;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::config::WorkerConfig;
use crate::supervise::Shutdown;

/// Longest that a bot waits for protection before it is launched without.
const PATIENCE: Duration = Duration::from_secs(2);
/// Longest call to one who is told.
const CALL: Duration = Duration::from_secs(5);
/// Between tries: at first, and at most.
const RETRY: Duration = Duration::from_secs(5);
const RETRY_MAX: Duration = Duration::from_secs(60);
/// It is worth something to tell the number of bots, and nothing to tell it each time at once.
const SETTLE: Duration = Duration::from_secs(3);
/// Between signs that calls still run, once the machine was asked for.
const MORE_TIME: Duration = Duration::from_secs(30);
/// Longest wait at the end.
const END: Duration = Duration::from_secs(8);
/// Longest wait until a machine that was given back is to go.
const GIVE_BACK: Duration = Duration::from_secs(120);

/// One who is told.
#[async_trait]
pub trait Protection: Send + Sync + fmt::Debug + 'static {
    /// For people.
    fn name(&self) -> &'static str;

    /// What was told is forgotten after so long.
    fn lasts(&self) -> Option<Duration> {
        None
    }

    /// There are so many bots. None means that it need not be spared.
    async fn tell(&self, bots: u32) -> anyhow::Result<()>;

    /// Returns when it wants the machine back; calls may end before. Cancel safe.
    async fn recalled(&self) {
        std::future::pending().await
    }

    /// Calls still run on the machine that it wants back.
    async fn more_time(&self) -> anyhow::Result<()> {
        Ok(())
    }

    /// No call runs any more on the machine that it wants back.
    async fn let_go(&self) -> anyhow::Result<()> {
        Ok(())
    }

    /// True if it replaces a worker that ended by itself, unless fewer are wanted; as far as it is known by now.
    fn replaces(&self) -> bool {
        false
    }

    /// The worker was drained and ends: its machine is not needed any more.
    async fn give_back(&self) -> anyhow::Result<()> {
        Ok(())
    }
}

/// Who is to be told here, by what the environment says.
///
/// # Errors
///
/// If what it says cannot be used.
pub async fn detect(config: &WorkerConfig) -> anyhow::Result<Vec<Arc<dyn Protection>>> {
    let mut found: Vec<Arc<dyn Protection>> = Vec::new();
    if !config.protect {
        return Ok(found);
    }
    if let Some(ecs) = ecs::Ecs::from_environment().await? {
        found.push(Arc::new(ecs));
    }
    if let Some(kubernetes) = kubernetes::Kubernetes::from_environment()? {
        found.push(Arc::new(kubernetes));
    }
    // In a task or pod the instance is somebody else's to manage.
    #[cfg(feature = "aws")]
    if !is_contained(variable)
        && let Some(asg) = asg::Asg::from_environment(config.instance_id.as_deref()).await?
    {
        found.push(Arc::new(asg));
    }
    for protection in &found {
        tracing::info!(by = protection.name(), "this worker is protected while it has bots");
    }
    Ok(found)
}

/// A client for one who is told, which is beside us: no proxy is asked.
fn client(url: &Url) -> anyhow::Result<reqwest::Client> {
    let builder = muster_hooks::client::unguarded(url).no_proxy().timeout(CALL);
    builder.build().context("the HTTP client cannot be built")
}

/// True in a task or a pod, whether that can be told of bots or not.
#[cfg(feature = "aws")]
fn is_contained(variable: impl Fn(&str) -> Option<String>) -> bool {
    ["KUBERNETES_SERVICE_HOST", "ECS_AGENT_URI"].into_iter().any(|name| variable(name).is_some())
}

/// What an environment variable says, if anything.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Those who are told, for one run of a worker. Dropping it ends the telling.
#[derive(Debug)]
pub(super) struct Protections {
    all: Vec<Arc<dyn Protection>>,
    /// What each was told last; none while it is unknown, or told that there is no bot.
    told: Vec<watch::Receiver<Option<u32>>>,
    ended: CancellationToken,
    _keepers: JoinSet<()>,
}

impl Protections {
    /// Keeps them told of the number of `bots`; drains when one of them wants the machine back.
    pub(super) fn start(all: Vec<Arc<dyn Protection>>, bots: &watch::Receiver<u32>, shutdown: &Shutdown) -> Self {
        let (mut keepers, ended) = (JoinSet::new(), CancellationToken::new());
        let told = all.iter().map(|protection| {
            let (told, seen) = watch::channel(None);
            let keeping = keep(Arc::clone(protection), bots.clone(), told);
            let hearing = hear(Arc::clone(protection), bots.clone(), shutdown.clone());
            let both = async { tokio::join!(keeping, hearing) };
            let ended = ended.clone();
            keepers.spawn(async move {
                ended.run_until_cancelled(both).await;
            });
            seen
        });
        let told = told.collect();
        Self { all, told, ended, _keepers: keepers }
    }

    /// Waits a moment until all were told that there are bots. Cancel safe.
    pub(super) async fn shielded(&self) {
        let shielded = self.told.iter().map(|told| {
            let mut told = told.clone();
            async move { told.wait_for(|told| told.is_some_and(|bots| bots > 0)).await.is_ok() }
        });
        if timeout(PATIENCE, join_all(shielded)).await.is_err() {
            tracing::warn!("a bot starts before its worker is protected");
        }
    }

    /// True if one of them replaces a worker that ended by itself.
    pub(super) fn replace(&self) -> bool {
        self.all.iter().any(|protection| protection.replaces())
    }

    /// The machine is not needed any more, after [`end`](Self::end).
    pub(super) async fn give_back(&self) {
        for protection in self.all.iter().filter(|protection| protection.replaces()) {
            let name = protection.name();
            match timeout(GIVE_BACK, protection.give_back()).await.map_err(Into::into).flatten() {
                Ok(()) => note(name, "let go", within(protection.let_go()).await),
                Err(error) => {
                    tracing::error!(
                        by = name,
                        error = format!("{error:#}"),
                        "what this worker ran on could not be given back, and stays without one"
                    );
                }
            }
        }
    }

    /// There is no bot any more, and there will be none.
    pub(super) async fn end(&self) {
        // So that nothing is told after the last.
        self.ended.cancel();
        let ended = self.all.iter().zip(&self.told).map(|(protection, told)| async move {
            let is_clear = *told.borrow() == Some(0);
            if !is_clear {
                note(protection.name(), "clear", within(protection.tell(0)).await);
            }
            note(protection.name(), "let go", within(protection.let_go()).await);
        });
        if timeout(END, join_all(ended)).await.is_err() {
            tracing::warn!("who protected this worker could not be told of its end in time");
        }
    }
}

async fn within(call: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    timeout(CALL, call).await.map_err(Into::into).flatten()
}

fn note(by: &'static str, what: &'static str, result: anyhow::Result<()>) {
    if let Err(error) = result {
        tracing::warn!(by, what, error = format!("{error:#}"), "protection");
    }
}

/// Tells one of them for ever, from the start: an earlier run may have ended without a word.
async fn keep(protection: Arc<dyn Protection>, mut bots: watch::Receiver<u32>, told: watch::Sender<Option<u32>>) {
    let name = protection.name();
    let mut pause = RETRY;
    loop {
        let now = *bots.borrow_and_update();
        // A bot that comes while this is told is to wait for the next word.
        if now == 0 {
            told.send_replace(None);
        }
        let result = within(protection.tell(now)).await;
        let again = match &result {
            Ok(()) => {
                tracing::debug!(by = name, bots = now, "protection");
                told.send_replace(Some(now));
                pause = RETRY;
                protection.lasts().filter(|_| now > 0).map(|lasts| Instant::now() + lasts / 2)
            }
            Err(_) => {
                let next = Instant::now() + pause;
                pause = (pause * 2).min(RETRY_MAX);
                Some(next)
            }
        };
        let failed = result.is_err();
        note(name, "tell", result);
        tokio::select! {
            biased;
            changed = news(&mut bots, failed.then_some(now)) => {
                if changed.is_err() {
                    return std::future::pending().await;
                }
                // The first bot is told of at once.
                if now > 0 {
                    sleep(SETTLE).await;
                }
            }
            () = until(again) => {}
        }
    }
}

/// Another number of bots; after trouble, only the first or the last one is worth a try before its time.
async fn news(bots: &mut watch::Receiver<u32>, failed: Option<u32>) -> Result<(), watch::error::RecvError> {
    match failed {
        Some(told) => bots.wait_for(|bots| (*bots > 0) != (told > 0)).await.map(drop),
        None => bots.changed().await,
    }
}

async fn until(when: Option<Instant>) {
    match when {
        Some(when) => sleep_until(when).await,
        None => std::future::pending().await,
    }
}

/// Drains when the machine is wanted back, and asks for time for as long as calls run.
async fn hear(protection: Arc<dyn Protection>, bots: watch::Receiver<u32>, shutdown: Shutdown) {
    protection.recalled().await;
    tracing::info!(by = protection.name(), "the machine is wanted back: draining");
    shutdown.drain();
    loop {
        if *bots.borrow() > 0 {
            note(protection.name(), "more time", within(protection.more_time()).await);
        }
        sleep(MORE_TIME).await;
    }
}

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
