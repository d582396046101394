//! Signals, and what each means.

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::supervise::Shutdown;

/// The signals that ask the process to end. From the first of these on they do nothing else any more, so somebody has to
/// listen until it has ended.
#[derive(Debug)]
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn listen() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("listening for SIGTERM")?,
            interrupt: signal(SignalKind::interrupt()).context("listening for SIGINT")?,
        })
    }

    /// Done when one comes. Cancel safe.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// The first signal drains, unless something else did, and begins `worker.stop_deadline`; the second makes running bots
    /// leave now. Returns when no bot is left, or when a task failed that the server cannot do without.
    pub(super) async fn wait(&mut self, shutdown: &Shutdown, idle: &CancellationToken) -> anyhow::Result<()> {
        let by_signal = tokio::select! {
            () = self.next() => true,
            // An idle worker, or one whose machine is wanted back.
            () = shutdown.drained() => false,
            () = shutdown.ended() => return failed(),
        };
        if !by_signal {
            // The first signal asks for what is done already, though perhaps not for so long.
            tokio::select! {
                () = self.next() => {}
                () = idle.cancelled() => return Ok(()),
                () = shutdown.ended() => return failed(),
            }
        }
        shutdown.terminate();
        tokio::select! {
            () = self.next() => {}
            () = idle.cancelled() => return Ok(()),
            () = shutdown.ended() => return failed(),
        }
        shutdown.hurry();
        tracing::info!("leaving running calls now");
        loop {
            tokio::select! {
                () = idle.cancelled() => return Ok(()),
                () = shutdown.ended() => return failed(),
                // Bots that leave are waited for, whoever asks again: it has a limit.
                () = self.next() => {}
            }
        }
    }

    /// Waits for the end of what ends, or for a signal: somebody does not want to wait for it.
    pub(super) async fn unless(&mut self, ending: impl Future<Output = ()>) -> anyhow::Result<()> {
        tokio::select! {
            biased;
            () = ending => Ok(()),
            () = self.next() => anyhow::bail!("ended by a signal before everything had ended"),
        }
    }
}

fn failed() -> anyhow::Result<()> {
    anyhow::bail!("a part of the server failed; the log says which")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_signal_that_comes_while_the_process_ends_ends_it() {
        let mut signals = Signals::listen().unwrap();
        signals.unless(std::future::ready(())).await.unwrap();
        let ending = async {
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TERM).unwrap();
            std::future::pending().await
        };
        let error = signals.unless(ending).await.unwrap_err();
        assert!(error.to_string().contains("by a signal"), "{error}");
    }
}
