//! Whether a bot still says how it is. One whose process hangs keeps its lease and its place, and would end hours later with
//! the longest stay.

use std::time::Duration;

use muster_session::protocol::Report;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

/// A bot says how it is every five seconds, whether it has a browser or is simulated, from its start until it leaves.
const LOOK: Duration = Duration::from_secs(15);
/// After so many looks in a row without a word it hangs. Looks and not time, as this process may have stood still itself.
const LOOKS: u32 = 4;
/// What that is together.
pub(super) const SILENCE: Duration = Duration::from_secs(LOOK.as_secs() * LOOKS as u64);

#[derive(Debug)]
pub(super) struct Pulse {
    looks: Interval,
    missed: u32,
    /// The bot has begun to say how it is, and is not on its way out, which has a bound of its own.
    regular: bool,
}

impl Pulse {
    pub(super) fn new() -> Self {
        let mut looks = interval_at(Instant::now() + LOOK, LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { looks, missed: 0, regular: false }
    }

    /// The bot said something.
    pub(super) fn heard(&mut self, report: &Report) {
        match report {
            Report::Health { .. } => self.regular = true,
            Report::Leaving { .. } | Report::Ended { .. } => self.regular = false,
            _ => {}
        }
        self.missed = 0;
        self.looks.reset();
    }

    /// Completes when the bot has said nothing for too long. Cancel safe; to be asked after its reports were.
    pub(super) async fn stopped(&mut self) {
        if !self.regular {
            return std::future::pending().await;
        }
        while self.missed < LOOKS {
            self.looks.tick().await;
            self.missed += 1;
        }
    }
}
