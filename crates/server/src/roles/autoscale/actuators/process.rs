//! Workers as processes on this machine.
//!
//! Each is `muster serve worker` with the configuration of this process and a directory of its own. One that is to end is told
//! so as any other: SIGTERM, after which it takes no more bots and ends after its last call. So do all of them if this process
//! dies: they are in process groups of their own, go on without it, and are not adopted by the next. That one sees them in the
//! registry, counts them, and leaves them alone.

mod places;

use std::fs::File;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::Context;
use async_trait::async_trait;
use muster_session::WorkerId;
use muster_store::SessionStore;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Command;
use tokio::sync::Mutex;
use uuid::Uuid;

use self::places::Place;
use super::{Actuator, Count};
use crate::config::ProcessConfig;
use crate::roles::autoscale::look::Look;

/// Starts and drains workers on this machine.
#[derive(Debug)]
pub struct ProcessActuator {
    setup: ProcessSetup,
    children: Mutex<Vec<Child>>,
}

/// What workers are started with.
#[derive(Clone, Debug)]
pub struct ProcessSetup {
    /// This program.
    pub program: PathBuf,
    /// `[autoscale.process]`, with the file of this process if it has none of its own.
    pub config: ProcessConfig,
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
    draining: bool,
}

impl ProcessActuator {
    /// None runs yet.
    #[must_use]
    pub fn new(setup: ProcessSetup) -> Self {
        Self { setup, children: Mutex::default() }
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
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).process_group(0);
        let process = command.spawn().context("starting a worker")?;
        tracing::info!(worker = id, pid = process.id(), log = %place.log().display(), "started a worker");
        Ok(Child { id: WorkerId::new(id), place, process, draining: false })
    }

    /// It takes no more bots from now on, and ends after its calls.
    async fn drain(&self, child: &mut Child) {
        if child.draining {
            return;
        }
        child.draining = true;
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

/// Takes out those that ended.
fn reap(children: &mut Vec<Child>) {
    children.retain_mut(|child| match child.process.try_wait() {
        Ok(None) => true,
        Ok(Some(status)) if child.draining && status.success() => {
            tracing::info!(worker = %child.id, "a worker ended");
            false
        }
        Ok(Some(status)) => {
            let log = child.place.log();
            tracing::warn!(worker = %child.id, %status, log = %log.display(), "a worker ended by itself");
            false
        }
        Err(error) => {
            tracing::warn!(%error, worker = %child.id, "a worker could not be looked at");
            true
        }
    });
}

/// Workers that take bots and were started by somebody else.
fn others(children: &[Child], look: &Look) -> usize {
    let ours = |id: &WorkerId| children.iter().any(|child| child.id == *id);
    look.workers.iter().filter(|worker| !worker.draining && !ours(&worker.record.id)).count()
}

/// Places of those to drain, the one with the fewest bots first, and of these the youngest.
fn order(children: &[Child], look: &Look) -> Vec<usize> {
    let bots = |child: &Child| {
        let known = look.workers.iter().find(|worker| worker.record.id == child.id);
        known.map_or(0, |worker| worker.record.running)
    };
    let mut order: Vec<usize> = (0..children.len()).filter(|place| !children[*place].draining).collect();
    order.sort_by_key(|place| (bots(&children[*place]), usize::MAX - place));
    order
}

#[async_trait]
impl Actuator for ProcessActuator {
    async fn count(&self, look: &Look) -> anyhow::Result<Option<Count>> {
        let mut children = self.children.lock().await;
        reap(&mut children);
        // Those of others are known by the registry alone.
        anyhow::ensure!(look.signals.workers.is_some(), "it is not known which workers there are");
        let ours = children.iter().filter(|child| !child.draining).count();
        let workers = u32::try_from(ours + others(&children, look)).unwrap_or(u32::MAX);
        Ok(Some(Count { workers, min: 0, max: u32::MAX, others: false }))
    }

    async fn set(&self, there: Option<Count>, workers: u32, look: &Look) -> anyhow::Result<()> {
        let mut children = self.children.lock().await;
        let there = there.map_or(0, |there| there.workers);
        for _ in there..workers {
            let child = self.start(&children)?;
            children.push(child);
        }
        for place in order(&children, look).into_iter().take(there.saturating_sub(workers) as usize) {
            self.drain(&mut children[place]).await;
        }
        Ok(())
    }

    async fn end(&self) {
        if !self.setup.config.drain_at_end {
            return;
        }
        for child in self.children.lock().await.iter_mut() {
            self.drain(child).await;
        }
    }
}

#[cfg(test)]
mod tests;
