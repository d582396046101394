//! What comes from outside the call: commands, a signal, or the end of the supervisor.

use std::pin::Pin;
use std::time::Duration;

use muster_session::EndReason;
use muster_session::protocol::Command;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader, Lines};

use crate::call::End;

/// For leaving when somebody waits for our report.
const POLITE: Duration = Duration::from_secs(5);
/// For leaving when nobody does.
const QUICK: Duration = Duration::from_secs(2);

/// An order to leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) end: End,
    /// How long the steps out of the call may take.
    pub(crate) grace: Duration,
}

/// The way out by the decision of the bot itself.
pub(crate) const fn by_itself(end: End) -> Asked {
    Asked { end, grace: POLITE }
}

pub(crate) struct Outside<R, S> {
    commands: Lines<BufReader<R>>,
    signal: Pin<Box<S>>,
}

impl<R: AsyncRead + Unpin, S: Future<Output = ()>> Outside<R, S> {
    /// `signal` completes when the process is asked to end by other means than a command.
    pub(crate) fn new(commands: R, signal: S) -> Self {
        Self { commands: BufReader::new(commands).lines(), signal: Box::pin(signal) }
    }

    /// Waits for an order to leave. Cancel safe. Not to be called again after it answered.
    pub(crate) async fn asked(&mut self) -> Asked {
        tokio::select! {
            asked = next(&mut self.commands) => asked,
            () = &mut self.signal => by_itself(End::plain(EndReason::LeaveRequested)),
        }
    }
}

async fn next<R: AsyncRead + Unpin>(commands: &mut Lines<BufReader<R>>) -> Asked {
    loop {
        match commands.next_line().await {
            Ok(Some(line)) => match serde_json::from_str(&line) {
                Ok(Command::Leave { reason }) => return by_itself(End::plain(reason)),
                Err(error) => tracing::warn!(%error, "a command that is not understood"),
            },
            // Nobody is left to report to; the call is left so that the people in it are not recorded by nobody.
            Ok(None) | Err(_) => {
                let end = End::new(EndReason::WorkerLost, "the supervisor of the bot is gone");
                return Asked { end, grace: QUICK };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn asked(input: &[u8]) -> Asked {
        Outside::new(input, std::future::pending()).asked().await
    }

    #[tokio::test]
    async fn a_command_a_signal_and_the_end_of_the_supervisor() {
        let shutdown = br#"what?
            {"command":"dance"}

            {"command":"leave","reason":"worker_shutdown"}
        "#;
        assert_eq!(asked(shutdown).await.end.reason, EndReason::WorkerShutdown);
        let gone = asked(b"").await;
        assert_eq!((gone.end.reason, gone.grace), (EndReason::WorkerLost, QUICK));
        let (silent, _kept) = tokio::io::duplex(8);
        let signalled = Outside::new(silent, std::future::ready(())).asked().await;
        assert_eq!(signalled, by_itself(End::plain(EndReason::LeaveRequested)));
    }
}
