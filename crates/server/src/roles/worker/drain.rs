//! The end of a worker: it takes no more bots, lets calls end, and makes them end at the deadline.

use std::pin::Pin;
use std::time::Duration;

use muster_store::Ending;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::Worker;
use crate::config::WorkerConfig;
use crate::roles::autoscale::spare;

/// Between two lines that say how far it is.
const PROGRESS: Duration = Duration::from_secs(60);

/// A worker without a bot that cannot be spared looks again so much sooner than it waited first, and not more often than this.
const SOONER: u32 = 4;
const LEAST: Duration = Duration::from_secs(2);

/// From the moment that no more bots are taken until the last is gone and the process is to end. True if it ends by itself:
/// nobody stopped it.
pub(super) async fn run(
    worker: &Worker,
    bots: &mut JoinSet<()>,
    mut attending: Pin<&mut impl Future<Output = ()>>,
) -> bool {
    let config = &worker.setup.config;
    let (began, since) = (Instant::now(), worker.backend.clock.now());
    let mut terminated = None;
    let mut progress = interval(PROGRESS);
    progress.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut told, mut alone) = (false, false);
    loop {
        if bots.is_empty() {
            if worker.shutdown.is_draining() {
                return false;
            }
            if worker.ending() != Ending::Stays {
                worker.shutdown.drain();
                return true;
            }
            if !alone {
                tracing::info!("drained: no bot is left; the process stays until it is stopped");
            }
            alone = true;
        }
        let (deadline, key) = deadline(config, began, terminated);
        tokio::select! {
            biased;
            Some(_) = bots.join_next() => {}
            () = attending.as_mut() => {}
            () = worker.shutdown.drained(), if bots.is_empty() => {}
            // Before the first line about its progress, or with another one.
            at = worker.shutdown.terminated(), if terminated.is_none() => {
                terminated = Some(at);
                progress.reset_immediately();
            }
            () = worker.shutdown.hurried(), if !told => { told = true; worker.leases.stop_all(); }
            () = sleep_until(deadline), if !told => {
                tracing::info!(calls = bots.len(), "{key} is over: leaving running calls now");
                told = true;
                worker.leases.stop_all();
            }
            _ = progress.tick(), if !bots.is_empty() => match told {
                true => tracing::info!(calls = bots.len(), "draining: waiting for bots to leave"),
                false => {
                    let until = (since + deadline.saturating_duration_since(began)).to_rfc3339();
                    tracing::info!(calls = bots.len(), until, "draining: waiting for running calls; a second signal ends them now");
                }
            },
        }
    }
}

/// When running calls have to end, and by which key: the shorter of both.
fn deadline(config: &WorkerConfig, began: Instant, terminated: Option<Instant>) -> (Instant, &'static str) {
    let drained = (began + config.drain_deadline, "worker.drain_deadline");
    match terminated.zip(config.stop_deadline).map(|(at, most)| at + most) {
        Some(stop) if stop < drained.0 => (stop, "worker.stop_deadline"),
        _ => drained,
    }
}

/// Drains a worker that had no bot for `worker.exit_when_idle` and can be spared. For ever.
pub(super) async fn when_idle(worker: &Worker) {
    let Worker { backend, setup, room, shutdown, asked, .. } = worker;
    let Some(most) = setup.config.exit_when_idle else { return std::future::pending().await };
    let mut bots = room.bots();
    let mut pause = most;
    loop {
        tokio::select! {
            biased;
            () = shutdown.drained() => break,
            () = asked.cancelled() => break,
            changed = bots.changed() => match changed {
                Ok(()) => pause = most,
                Err(_) => break,
            },
            () = tokio::time::sleep(pause), if *bots.borrow() == 0 => {
                match spare::leave(backend, &setup.id).await {
                    Ok(true) => {
                        tracing::info!(idle = ?most, "no bot for worker.exit_when_idle: ending");
                        asked.cancel();
                    }
                    Ok(false) => tracing::debug!("without a bot, and the fleet cannot spare this worker"),
                    Err(error) => tracing::warn!(error = format!("{error:#}"), "whether this worker can be spared is not known: it stays"),
                }
                pause = (most / SOONER).max(LEAST);
            }
        }
    }
    std::future::pending().await
}
