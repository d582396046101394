//! Reports on their way out. Saying something never waits; what is said in vain is what repeats itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use muster_session::Timestamp;
use muster_session::protocol::Report;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::clock::Clock;

/// From this backlog on, only what changes state is queued: the supervisor does not read.
const BACKLOG: usize = 1_000;

/// Says things to the supervisor. Clones say them in one order.
#[derive(Clone, Debug)]
pub(crate) struct Reporter {
    reports: mpsc::UnboundedSender<Report>,
    waiting: Arc<AtomicUsize>,
    clock: Clock,
}

/// The task that writes reports; ends when every [`Reporter`] is gone.
#[derive(Debug)]
pub(crate) struct Writing(AbortOnDropHandle<()>);

/// Starts writing reports to `output`, one JSON document a line.
pub(crate) fn start(output: impl AsyncWrite + Send + Unpin + 'static, clock: Clock) -> (Reporter, Writing) {
    let (reports, queue) = mpsc::unbounded_channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    let task = tokio::spawn(write(output, queue, Arc::clone(&waiting)));
    (Reporter { reports, waiting, clock }, Writing(AbortOnDropHandle::new(task)))
}

impl Reporter {
    pub(crate) fn say(&self, report: Report) {
        let repeats = matches!(report, Report::Health { .. } | Report::Note { .. });
        if repeats && self.waiting.load(Ordering::Relaxed) >= BACKLOG {
            return;
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _ = self.reports.send(report);
    }

    /// Something worth knowing, now.
    pub(crate) fn note(&self, level: Level, text: impl Into<String>) {
        let text = text.into();
        match level {
            Level::Info => tracing::info!("{text}"),
            Level::Warn => tracing::warn!("{text}"),
        }
        self.say(level.note(self.clock.now(), text));
    }
}

/// Weight of a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Info,
    Warn,
}

impl Level {
    pub(crate) fn note(self, at: Timestamp, text: String) -> Report {
        let level = match self {
            Self::Info => "info",
            Self::Warn => "warn",
        };
        Report::Note { at, level: level.to_owned(), text }
    }
}

impl Writing {
    /// Waits until everything is written, for at most `within`. Every [`Reporter`] must be gone by then.
    pub(crate) async fn finish(self, within: Duration) {
        if tokio::time::timeout(within, self.0).await.is_err() {
            tracing::warn!("the supervisor does not read the last reports");
        }
    }
}

async fn write(
    mut output: impl AsyncWrite + Unpin,
    mut queue: mpsc::UnboundedReceiver<Report>,
    waiting: Arc<AtomicUsize>,
) {
    while let Some(report) = queue.recv().await {
        waiting.fetch_sub(1, Ordering::Relaxed);
        let mut line = serde_json::to_vec(&report).expect("a report has only string keys");
        line.push(b'\n');
        if let Err(error) = async {
            output.write_all(&line).await?;
            output.flush().await
        }
        .await
        {
            // The end of the commands tells the bot to leave; there is nobody left to tell.
            tracing::warn!(%error, "the supervisor is gone");
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_supervisor_that_does_not_read_costs_notes_but_no_transition() {
        let (ours, theirs) = tokio::io::duplex(64);
        let clock = Clock::start();
        let (reporter, writing) = start(ours, clock);
        for n in 0..3 * BACKLOG {
            reporter.note(Level::Info, format!("{n}"));
        }
        reporter.say(Report::Joining { at: clock.now(), simulated: false });
        drop(reporter);
        let reading = tokio::spawn(async move {
            let mut text = String::new();
            let mut theirs = theirs;
            tokio::io::AsyncReadExt::read_to_string(&mut theirs, &mut text).await.unwrap();
            text
        });
        writing.finish(Duration::from_secs(20)).await;
        let text = reading.await.unwrap();
        let reports: Vec<Report> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(reports.len() <= BACKLOG + 2, "{}", reports.len());
        assert!(matches!(reports.last(), Some(Report::Joining { .. })));
    }
}
