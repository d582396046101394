//! What a worker says of itself, and what it hears: that it is to take no more bots.

use std::time::Duration;

use muster_store::{Ending, WorkerRecord};
use serde_json::{Value, json};

use super::room::Outlook;
use super::{Worker, WorkerSetup};
use crate::roles::Backend;

/// Bots that are told of one by one, the largest first.
const TOLD: usize = 32;

/// Says for ever that the worker is there; cancels `asked` once it is to take no more bots.
pub(super) async fn keep(worker: &Worker) {
    let Worker { backend, setup, leases, room, shutdown, asked, .. } = worker;
    let took = u64::try_from(setup.began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let mut record = WorkerRecord {
        id: setup.id.clone(),
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        capacity: setup.config.max_concurrent_bots,
        running: 0,
        room: Some(0),
        cpu_percent: None,
        memory_percent: None,
        launch_ms: Some(took),
        idle_since: None,
        bots: Value::Null,
        simulated: setup.config.simulated,
        ending: worker.ending(),
        started_at: backend.clock.now(),
        seen_at: backend.clock.now(),
        beat_ms: u64::try_from(setup.config.heartbeat.as_millis()).ok(),
    };
    let mut ticks = tokio::time::interval(setup.config.heartbeat.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut told = false;
    loop {
        tokio::select! {
            biased;
            // At once, so that nobody counts on it.
            () = shutdown.drained(), if !told => told = say_draining(backend, setup).await,
            _ = ticks.tick() => {}
        }
        let outlook = room.outlook();
        let draining = shutdown.is_draining() || asked.is_cancelled();
        record.running = leases.count();
        record.room = Some(if draining { 0 } else { outlook.room });
        (record.cpu_percent, record.memory_percent) = (outlook.cpu_percent, outlook.memory_percent);
        record.idle_since = outlook.idle_since;
        record.bots = told_of(&outlook);
        // Whoever stopped it does not count it any more, and replaces it or not whatever is asked for.
        record.ending = if shutdown.is_draining() { Ending::Ends } else { worker.ending() };
        record.seen_at = backend.clock.now();
        match backend.store.beat(&record).await {
            Ok(true) if !draining => {
                tracing::info!(worker = %record.id, "asked to take no more bots; running calls go on");
                asked.cancel();
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "the worker could not be registered; trying again"),
        }
    }
}

/// A worker that drains says so as if an operator had. True once it is known.
async fn say_draining(backend: &Backend, setup: &WorkerSetup) -> bool {
    match backend.store.drain_worker(&setup.id).await {
        Ok(_) => true,
        Err(error) => {
            tracing::warn!(%error, "that the worker drains could not be said; trying again");
            tokio::time::sleep(super::STORE_RETRY).await;
            false
        }
    }
}

/// For people: what keeps the next bot out, or will, and what each costs.
fn told_of(outlook: &Outlook) -> Value {
    let mut bots: Vec<_> = outlook.bots.iter().collect();
    bots.sort_by_key(|(bot, _, cost)| (std::cmp::Reverse(cost.memory_bytes), *bot));
    let bot = |(bot, kind, cost): &&(muster_session::BotId, String, muster_fleet::cost::Cost)| json!({"bot_id": bot, "kind": kind, "memory_bytes": cost.memory_bytes, "cpu_millis": cost.cpu_millis});
    let costs: Vec<Value> = bots.iter().take(TOLD).map(bot).collect();
    json!({"limit": outlook.limit, "costs": costs})
}

/// At the end: an operator need not wonder where it is.
pub(super) async fn leave(backend: &Backend, setup: &WorkerSetup) {
    if let Err(error) = backend.store.forget_worker(&setup.id).await {
        tracing::warn!(%error, "the worker could not sign off; it will be forgotten later");
    }
}
