//! Signals, and what each means.

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use crate::supervise::Shutdown;

/// The first signal drains, unless something else did, and begins `worker.stop_deadline`; the second makes running bots
/// leave now. Returns when no bot is left, or when a task failed that the server cannot do without.
pub(super) async fn wait(shutdown: &Shutdown, idle: &CancellationToken) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    let by_signal = tokio::select! {
        _ = terminate.recv() => true,
        _ = interrupt.recv() => true,
        // An idle worker, or one whose machine is wanted back.
        () = shutdown.drained() => false,
        () = shutdown.ended() => anyhow::bail!("a part of the server failed; the log says which"),
    };
    if !by_signal {
        // The first signal asks for what is done already, though perhaps not for so long.
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = idle.cancelled() => return Ok(()),
            () = shutdown.ended() => anyhow::bail!("a part of the server failed; the log says which"),
        }
    }
    shutdown.terminate();
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = idle.cancelled() => return Ok(()),
        () = shutdown.ended() => anyhow::bail!("a part of the server failed; the log says which"),
    }
    shutdown.hurry();
    tracing::info!("leaving running calls now");
    tokio::select! {
        () = idle.cancelled() => Ok(()),
        () = shutdown.ended() => anyhow::bail!("a part of the server failed; the log says which"),
    }
}
