//! Workers as processes on this machine.
//!
//! Each is `muster serve worker` with the configuration of this process, a directory of its own, and `worker.exit_when_idle`, so
//! that it ends by itself once it was drained. If this process dies they go on without it, in process groups of their own. The
//! next one sees them in the registry, counts them, and has them drain as any other.

mod pause;
mod places;

use std::fs::File;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use muster_session::WorkerId;
use muster_store::SessionStore;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Command;
use tokio::sync::Mutex;
use tokio::time::Instant;
use uuid::Uuid;

use self::pause::Pause;
use self::places::Place;
use super::{Actuator, Count, Fewer};
use crate::config::ProcessConfig;
use crate::roles::autoscale::look::Look;

/// Starts workers on this machine.
#[derive(Debug)]
pub struct ProcessActuator {
    setup: ProcessSetup,
    ours: Mutex<Ours>,
}

/// Those that this process started.
#[derive(Debug, Default)]
struct Ours {
    children: Vec<Child>,
    pause: Pause,
}

/// What workers are started with.
#[derive(Clone, Debug)]
pub struct ProcessSetup {
    /// This program.
    pub program: PathBuf,
    /// `[autoscale.process]`, with the file of this process if it has none of its own.
    pub config: ProcessConfig,
    /// `worker.exit_when_idle` of the workers, whatever their file says: one that did not end by itself would never go.
    pub exit_when_idle: Duration,
    /// They have directories below it.
    pub workers_dir: PathBuf,
    /// Where a worker is asked to drain, so that everybody sees that it does.
    pub store: Arc<dyn SessionStore>,
}

/// A worker that this process started.
#[derive(Debug)]
struct Child {
    id: WorkerId,
    place: Place,
    process: tokio::process::Child,
    began: Instant,
}

impl ProcessActuator {
    /// None runs yet.
    #[must_use]
    pub fn new(setup: ProcessSetup) -> Self {
        Self { setup, ours: Mutex::default() }
    }

    fn start(&self, children: &[Child]) -> anyhow::Result<Child> {
        let place =
            Place::free(&self.setup.workers_dir, |number| children.iter().any(|child| child.place.number == number))?;
        let id = format!("worker-{}", Uuid::new_v4().as_simple());
        let log = File::options().create(true).append(true).open(place.log()).context("opening a worker's log")?;
        let mut command = Command::new(&self.setup.program);
        command.args(["serve", "worker", "--listen", "127.0.0.1:0", "--data-dir"]).arg(&place.directory);
        if let Some(file) = &self.setup.config.config {
            command.arg("--config").arg(file);
        }
        command.args(&self.setup.config.args);
        // The key is for callers of the API.
        command.env_remove("MUSTER_API_KEY").env("MUSTER_WORKER__ID", &id);
        command.env("MUSTER_WORKER__EXIT_WHEN_IDLE", format!("{}s", self.setup.exit_when_idle.as_secs().max(1)));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).process_group(0);
        let process = command.spawn().context("starting a worker")?;
        tracing::info!(worker = id, pid = process.id(), log = %place.log().display(), "started a worker");
        Ok(Child { id: WorkerId::new(id), place, process, began: Instant::now() })
    }

    /// It takes no more bots from now on, and ends after its calls.
    async fn drain(&self, child: &Child) {
        // It hears of it by the signal. In the registry it is for others, who would count on it.
        if let Err(error) = self.setup.store.drain_worker(&child.id).await {
            tracing::warn!(%error, worker = %child.id, "that a worker drains could not be told");
        }
        if let Some(pid) = child.process.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw)
            && let Err(error) = kill_process(pid, Signal::TERM)
        {
            tracing::warn!(%error, worker = %child.id, "a worker could not be told to drain");
        }
        tracing::info!(worker = %child.id, "told a worker to drain");
    }
}

impl Ours {
    /// Takes out those that ended.
    fn reap(&mut self) {
        let Self { children, pause } = self;
        children.retain_mut(|child| match child.process.try_wait() {
            Ok(None) => true,
            Ok(Some(status)) if status.success() => {
                tracing::info!(worker = %child.id, "a worker ended");
                false
            }
            Ok(Some(status)) => {
                let next = pause.failed(child.began.elapsed(), Instant::now());
                let log = child.place.log();
                tracing::warn!(worker = %child.id, %status, log = %log.display(), ?next, "a worker failed; another may start after the pause");
                false
            }
            Err(error) => {
                tracing::warn!(%error, worker = %child.id, "a worker could not be looked at");
                true
            }
        });
    }

    /// Workers that take bots or are coming up, ours and others.
    fn count(&self, look: &Look) -> usize {
        let is_ours = |id: &WorkerId| self.children.iter().any(|child| child.id == *id);
        let others = look.workers.iter().filter(|worker| !worker.draining && !is_ours(&worker.record.id));
        let drains = |id: &WorkerId| look.workers.iter().any(|worker| worker.draining && worker.record.id == *id);
        others.count() + self.children.iter().filter(|child| !drains(&child.id)).count()
    }
}

#[async_trait]
impl Actuator for ProcessActuator {
    async fn count(&self, look: &Look) -> anyhow::Result<Option<Count>> {
        let mut ours = self.ours.lock().await;
        ours.reap();
        // Those of others are known by the registry alone.
        anyhow::ensure!(look.signals.workers.is_some(), "it is not known which workers there are");
        let workers = u32::try_from(ours.count(look)).unwrap_or(u32::MAX);
        Ok(Some(Count { workers, min: 0, max: u32::MAX, others: false }))
    }

    async fn set(&self, there: Option<Count>, workers: u32, _: &Look) -> anyhow::Result<()> {
        let mut ours = self.ours.lock().await;
        if ours.pause.holds(Instant::now()) {
            return Ok(());
        }
        for _ in there.map_or(0, |there| there.workers)..workers {
            let child = self.start(&ours.children)?;
            ours.children.push(child);
        }
        Ok(())
    }

    fn fewer(&self) -> Fewer {
        Fewer::Drained
    }

    fn counts_draining(&self) -> bool {
        false
    }

    async fn end(&self) {
        if !self.setup.config.drain_at_end {
            return;
        }
        for child in &self.ours.lock().await.children {
            self.drain(child).await;
        }
    }
}

#[cfg(test)]
mod tests;
