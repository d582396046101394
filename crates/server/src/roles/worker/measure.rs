//! Looks at the machine and measures the bots, so that those leave in time that use too much.

use std::sync::Arc;
use std::time::Duration;

use muster_runtime::ProcessTable;
use tokio::time::MissedTickBehavior;

use super::room::Room;

/// Between two looks at what the machine has left, which is one small file.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Looks between two measurements of every bot: its memory is that of many processes.
const LOOKS: u32 = 5;

/// For ever.
pub(super) async fn keep(room: Arc<Room>) {
    let Some(machine) = room.machine().cloned() else { return std::future::pending().await };
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut looks = 0;
    loop {
        ticks.tick().await;
        looks += 1;
        let looking = machine.clone();
        let available = tokio::task::spawn_blocking(move || looking.available_bytes()).await.ok().flatten();
        // At once: measuring every bot takes a while.
        if let Some(available) = available {
            room.looked(available);
            room.relieve();
        }
        let tight = available.is_some_and(|available| room.is_tight(available));
        if tight || looks >= LOOKS {
            looks = 0;
            measure(&room).await;
            room.enforce();
        }
    }
}

async fn measure(room: &Arc<Room>) {
    let mut gauges = room.take_gauges();
    if gauges.is_empty() {
        return;
    }
    let measured = Arc::clone(room);
    let measuring = tokio::task::spawn_blocking(move || {
        // Read once for all: reading it takes longer than all the rest.
        let table = ProcessTable::read();
        for (number, mut gauge) in gauges.drain(..) {
            let usage = gauge.read(&table);
            measured.measured(number, gauge, usage.pss_bytes, usage.cpu_time);
        }
    });
    if let Err(error) = measuring.await {
        tracing::error!(%error, "bots could not be measured");
    }
}
