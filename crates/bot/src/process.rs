//! The process around a bot: its streams, its signals and its exit code.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use tokio::io::BufReader;
use tokio::signal::unix::{SignalKind, signal};

use crate::clock::Clock;
use crate::outside::Outside;
use crate::{page, report, run, simulated, spec, stdio};

/// The supervisor writes the spec right after the start.
const SPEC_WITHIN: Duration = Duration::from_secs(20);
/// For the supervisor to read what was said last.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Runs one bot from its spec on standard input to its last report on standard output; returns when nothing of it is
/// left. To be called once per process, within a tokio runtime; logging is the caller's.
///
/// The first line in is the spec; without a usable one nothing is reported, the reason is logged, and the answer is a
/// failure. From `Ready` on the answer is a success, whatever became of the call: that is what reports say. `SIGTERM`
/// and `SIGINT` ask the bot to leave like a command does; the end of the input means that the supervisor is gone, and
/// the bot leaves in a hurry. So it does when the supervisor does not say in time that it still holds the session.
pub async fn run_from_stdio() -> ExitCode {
    let clock = Clock::start();
    let signal = match end_signal() {
        Ok(signal) => signal,
        Err(error) => {
            tracing::error!(%error, "signals cannot be handled");
            return ExitCode::FAILURE;
        }
    };
    let mut input = BufReader::new(stdio::input());
    let spec = match tokio::time::timeout(SPEC_WITHIN, spec::read(&mut input)).await {
        Ok(Ok(spec)) => spec,
        Ok(Err(error)) => {
            tracing::error!("{error}");
            return ExitCode::FAILURE;
        }
        Err(_) => {
            tracing::error!("no spec came within {} s", SPEC_WITHIN.as_secs());
            return ExitCode::FAILURE;
        }
    };
    let (reporter, writing) = report::start(stdio::output(), clock);
    let mut outside = Outside::new(input, signal, spec.held_until);
    if spec.simulated {
        run::attend(&spec, &simulated::WithoutBrowser, &mut outside, reporter, clock).await;
    } else {
        run::attend(&spec, &page::InBrowser, &mut outside, reporter, clock).await;
    }
    writing.finish(LAST_WORDS).await;
    ExitCode::SUCCESS
}

/// Completes at the first `SIGTERM` or `SIGINT`. Both are caught from now on.
fn end_signal() -> io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
