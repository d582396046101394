//! The last words of a bot.

use muster_session::protocol::Report;

use super::Exit;
use crate::call::reservation;
use crate::clock::Clock;
use crate::report::{Level, Reporter};
use crate::watchdog::Hearing;

/// Says why the bot goes, the same way twice.
#[derive(Debug)]
pub(super) struct Farewell {
    pub(super) exit: Exit,
    reporter: Reporter,
    clock: Clock,
}

impl Farewell {
    pub(super) fn new(exit: Exit, reporter: Reporter, clock: Clock) -> Self {
        Self { exit, reporter, clock }
    }

    /// Adds what has to be said about the recording, so that silence is not taken for success.
    pub(super) fn qualify(&mut self, recorded_ms: u64, hearing: Hearing) {
        if let Some(text) = reservation(recorded_ms, hearing.samples, hearing.peak_dbfs) {
            self.reporter.note(Level::Warn, text);
            let message = &mut self.exit.asked.end.message;
            message.push_str("; ");
            message.push_str(text);
        }
    }

    pub(super) fn leaving(&self) {
        let end = self.exit.asked.end.clone();
        tracing::info!(reason = %end.reason, "leaving: {}", end.message);
        self.reporter.say(Report::Leaving { at: self.clock.now(), reason: end.reason, message: end.message });
    }

    pub(super) fn ended(self, recorded_ms: u64) {
        let end = self.exit.asked.end;
        let (at, reason, message) = (self.clock.now(), end.reason, end.message);
        self.reporter.say(Report::Ended { at, reason, message, recorded_ms });
    }

    /// There was no call.
    pub(super) fn without_call(self) {
        self.leaving();
        self.ended(0);
    }
}
