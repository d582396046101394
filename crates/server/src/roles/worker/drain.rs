//! The end of a worker: it takes no more bots, lets calls end, and makes them end at the deadline.

use std::pin::Pin;
use std::time::Duration;

use muster_store::Ending;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep_until};

use super::Worker;
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
    let (began, since) = (tokio::time::Instant::now(), worker.backend.clock.now());
    let deadline = sleep_until(began + config.drain_deadline);
    tokio::pin!(deadline);
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
