//! The end of a worker: it takes no more bots, lets calls end, and makes them end at the deadline.

use std::pin::Pin;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep_until};

use super::Worker;

/// Between two lines that say how far it is.
const PROGRESS: Duration = Duration::from_secs(60);

/// From the moment that no more bots are taken until the last is gone and the process is to end.
pub(super) async fn run(worker: &Worker, bots: &mut JoinSet<()>, mut attending: Pin<&mut impl Future<Output = ()>>) {
    let config = &worker.setup.config;
    let (began, since) = (tokio::time::Instant::now(), worker.backend.clock.now());
    let deadline = sleep_until(began + config.drain_deadline);
    tokio::pin!(deadline);
    let mut progress = interval(PROGRESS);
    progress.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut told, mut alone) = (false, false);
    loop {
        if bots.is_empty() {
            if config.exit_when_idle.is_some() {
                worker.shutdown.drain();
            }
            if worker.shutdown.is_draining() {
                return;
            }
            if !alone {
                tracing::info!("drained: no bot is left; the process stays until it is stopped");
            }
            alone = true;
        }
        tokio::select! {
            biased;
            Some(_) = bots.join_next() => {}
            () = attending.as_mut() => {}
            () = worker.shutdown.drained(), if bots.is_empty() => {}
            () = worker.shutdown.hurried(), if !told => { told = true; worker.leases.stop_all(); }
            () = &mut deadline, if !told => {
                tracing::info!(calls = bots.len(), "worker.drain_deadline is over: leaving running calls now");
                told = true;
                worker.leases.stop_all();
            }
            _ = progress.tick(), if !bots.is_empty() => match told {
                true => tracing::info!(calls = bots.len(), "draining: waiting for bots to leave"),
                false => {
                    let until = (since + config.drain_deadline).to_rfc3339();
                    tracing::info!(calls = bots.len(), until, "draining: waiting for running calls; a second signal ends them now");
                }
            },
        }
    }
}

/// Drains a worker that had no bot for so long, if it is to end then. For ever.
pub(super) async fn when_idle(worker: &Worker) {
    let Some(most) = worker.setup.config.exit_when_idle else { return std::future::pending().await };
    let mut bots = worker.room.bots();
    loop {
        tokio::select! {
            biased;
            changed = bots.changed() => if changed.is_err() { return std::future::pending().await },
            () = tokio::time::sleep(most), if *bots.borrow() == 0 && !worker.shutdown.is_draining() => {
                tracing::info!(idle = ?most, "no bot for worker.exit_when_idle: ending");
                worker.shutdown.drain();
            }
        }
    }
}
