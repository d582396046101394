//! What comes from outside the call: commands, a signal, or the end or the silence of the supervisor.

use std::pin::Pin;
use std::time::Duration;

use muster_session::protocol::Command;
use muster_session::{EndReason, Timestamp};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader, Lines};

use crate::call::End;
use crate::hold::Hold;

/// For leaving when somebody waits for our report.
const POLITE: Duration = Duration::from_secs(5);
/// A supervisor that holds the session says so right after the start.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(2);
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
    /// None: nobody else can have the session.
    hold: Option<Hold>,
}

/// What a supervisor says.
enum Word {
    Leave(EndReason),
    Hold(Timestamp),
    /// Nothing any more: it is gone.
    Gone,
}

impl<R: AsyncRead + Unpin, S: Future<Output = ()>> Outside<R, S> {
    /// `signal` completes when the process is asked to end by other means than a command. The session is held until
    /// `held`, unless a command says more.
    pub(crate) fn new(commands: R, signal: S, held: Option<Timestamp>) -> Self {
        Self { commands: BufReader::new(commands).lines(), signal: Box::pin(signal), hold: held.map(Hold::until) }
    }

    /// For a bot that just began: if the time to leave has come already, which a slow start may cause, waits for the supervisor
    /// to say that it renewed meanwhile. Answers the order to leave if it does not, or says otherwise. Not cancel safe.
    pub(crate) async fn still_held(&mut self) -> Option<Asked> {
        let hold = self.hold.filter(Hold::is_over_soon)?;
        match tokio::time::timeout(CONFIRMED_WITHIN, next(&mut self.commands)).await {
            Ok(Word::Hold(until)) => {
                self.hold(until);
                None
            }
            Ok(Word::Leave(reason)) => Some(by_itself(End::plain(reason))),
            Ok(Word::Gone) => Some(gone()),
            Err(_) => Some(silent(hold.way_out())),
        }
    }

    /// Waits for an order to leave, or for the time to leave without one. Cancel safe. Not to be called again after it
    /// answered.
    pub(crate) async fn asked(&mut self) -> Asked {
        loop {
            tokio::select! {
                // What was said while this process stood still counts before the time that went by.
                biased;
                word = next(&mut self.commands) => match word {
                    Word::Leave(reason) => return by_itself(End::plain(reason)),
                    Word::Hold(until) => self.hold(until),
                    Word::Gone => return gone(),
                },
                () = &mut self.signal => return by_itself(End::plain(EndReason::LeaveRequested)),
                way_out = leave(self.hold) => return silent(way_out),
            }
        }
    }

    /// On the way out: completes if the session is not held any more. Cancel safe.
    pub(crate) async fn overstayed(&mut self) {
        loop {
            tokio::select! {
                biased;
                word = next(&mut self.commands) => match word {
                    Word::Hold(until) => self.hold(until),
                    Word::Leave(_) => {}
                    Word::Gone => return ended(self.hold).await,
                },
                () = ended(self.hold) => return,
            }
        }
    }

    fn hold(&mut self, until: Timestamp) {
        self.hold = Some(Hold::until(until));
    }
}

/// Nobody is left to report to; the call is left so that the people in it are not recorded by nobody.
fn gone() -> Asked {
    Asked { end: End::new(EndReason::WorkerLost, "the supervisor of the bot is gone"), grace: QUICK }
}

fn silent(way_out: Duration) -> Asked {
    let end = End::new(EndReason::WorkerLost, "the worker did not say in time that it still holds the session");
    Asked { end, grace: way_out / 2 }
}

/// When it is time to leave; answers how long the way out may take.
async fn leave(hold: Option<Hold>) -> Duration {
    let Some(hold) = hold else { return std::future::pending().await };
    hold.leave().await;
    hold.way_out()
}

async fn ended(hold: Option<Hold>) {
    match hold {
        Some(hold) => hold.end().await,
        None => std::future::pending().await,
    }
}

async fn next<R: AsyncRead + Unpin>(commands: &mut Lines<BufReader<R>>) -> Word {
    loop {
        match commands.next_line().await {
            Ok(Some(line)) => match serde_json::from_str(&line) {
                Ok(Command::Leave { reason }) => return Word::Leave(reason),
                Ok(Command::Hold { until }) => return Word::Hold(until),
                Err(error) => tracing::warn!(%error, "a command that is not understood"),
            },
            Ok(None) | Err(_) => return Word::Gone,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    async fn asked(input: &[u8]) -> Asked {
        Outside::new(input, std::future::pending(), None).asked().await
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
        let signalled = Outside::new(silent, std::future::ready(()), None).asked().await;
        assert_eq!(signalled, by_itself(End::plain(EndReason::LeaveRequested)));
    }

    fn in_ms(ms: i64) -> Timestamp {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        Timestamp::from_millis(i64::try_from(now.as_millis()).unwrap() + ms)
    }

    #[tokio::test]
    async fn a_supervisor_that_says_nothing_holds_nothing() {
        let (silent, _kept) = tokio::io::duplex(8);
        let left = Outside::new(silent, std::future::pending(), Some(in_ms(60))).asked().await;
        assert_eq!(left.end.reason, EndReason::WorkerLost);
        assert!(left.grace < Duration::from_millis(10), "what is left of the hold is short: {:?}", left.grace);
    }

    #[tokio::test]
    async fn a_slow_start_is_no_reason_to_leave_if_the_session_was_renewed_meanwhile() {
        let (mut supervisor, input) = tokio::io::duplex(1_024);
        let renewal = serde_json::to_string(&Command::Hold { until: in_ms(3_600_000) }).unwrap();
        supervisor.write_all(format!("{renewal}\n").as_bytes()).await.unwrap();
        assert_eq!(Outside::new(input, std::future::pending(), Some(in_ms(-1_000))).still_held().await, None);
        let (_supervisor, input) = tokio::io::duplex(8);
        assert_eq!(Outside::new(input, std::future::pending(), Some(in_ms(3_600_000))).still_held().await, None);
        let gone = Outside::new(&b""[..], std::future::pending(), Some(in_ms(-1_000))).still_held().await;
        assert_eq!(gone.unwrap().end.reason, EndReason::WorkerLost);
    }

    #[tokio::test]
    async fn a_hold_that_was_renewed_counts_even_if_it_is_heard_late() {
        let renewal = serde_json::to_string(&Command::Hold { until: in_ms(3_600_000) }).unwrap();
        let told = format!("{renewal}\n{{\"command\":\"leave\",\"reason\":\"leave_requested\"}}\n");
        let asked = Outside::new(told.as_bytes(), std::future::pending(), Some(in_ms(-1_000))).asked().await;
        assert_eq!(asked.end.reason, EndReason::LeaveRequested);
    }

    #[tokio::test]
    async fn the_way_out_ends_with_the_hold() {
        let (input, _kept) = tokio::io::duplex(8);
        Outside::new(input, std::future::pending(), Some(in_ms(20))).overstayed().await;
        Outside::new(&b""[..], std::future::pending(), Some(in_ms(20))).overstayed().await;
    }
}
