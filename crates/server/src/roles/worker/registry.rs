//! What a worker says of itself, and what it hears: that it is to take no more bots.

use std::time::Duration;

use muster_store::WorkerRecord;
use tokio_util::sync::CancellationToken;

use super::WorkerSetup;
use super::leases::Leases;
use crate::roles::Backend;

/// Says for ever that the worker is there; cancels `asked` once it is to take no more bots.
pub(super) async fn keep(backend: &Backend, setup: &WorkerSetup, leases: &Leases, asked: CancellationToken) {
    let mut record = WorkerRecord {
        id: setup.id.clone(),
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        capacity: setup.config.max_concurrent_bots,
        running: 0,
        room: setup.config.max_concurrent_bots,
        cpu_percent: None,
        memory_percent: None,
        launch_ms: None,
        idle_since: None,
        bots: serde_json::Value::Null,
        simulated: setup.config.simulated,
        started_at: backend.clock.now(),
        seen_at: backend.clock.now(),
    };
    let mut ticks = tokio::time::interval(setup.config.heartbeat.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        record.running = leases.count();
        record.room = record.capacity.saturating_sub(record.running);
        record.seen_at = backend.clock.now();
        match backend.store.beat(&record).await {
            Ok(true) if !asked.is_cancelled() => {
                tracing::info!(worker = %record.id, "asked to take no more bots; running calls go on");
                asked.cancel();
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "the worker could not be registered; trying again"),
        }
    }
}

/// At the end: an operator need not wonder where it is.
pub(super) async fn leave(backend: &Backend, setup: &WorkerSetup) {
    if let Err(error) = backend.store.forget_worker(&setup.id).await {
        tracing::warn!(%error, "the worker could not sign off; it will be forgotten later");
    }
}
