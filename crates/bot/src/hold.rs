//! For how long the bot may be in the call: its supervisor holds the session until a time, and says when that moves on.
//!
//! From the end of the hold on, another worker may send a bot into the same call. So this one begins to leave before, and is
//! gone by then. A supervisor that stands still cannot order it; its silence does.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use muster_session::Timestamp;
use tokio::time::Instant;

/// The part of a hold that is kept for the way out. Less than a third, so that one lost renewal ends no call.
const WAY_OUT: u32 = 6;
const LONGEST_WAY_OUT: Duration = Duration::from_secs(5);

/// The right to be in the call, until a time.
///
/// The end is looked at by the clock of the machine, which goes on while the machine sleeps, and by the monotonic clock,
/// which nobody sets back: whichever ends first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hold {
    end: Timestamp,
    heard: Instant,
    /// Of the hold, when it was heard of.
    span: Duration,
}

impl Hold {
    /// Heard of just now.
    pub(crate) fn until(end: Timestamp) -> Self {
        Self { end, heard: Instant::now(), span: end.since(wall()) }
    }

    /// How long the way out may take.
    pub(crate) fn way_out(&self) -> Duration {
        (self.span / WAY_OUT).min(LONGEST_WAY_OUT)
    }

    /// True if it is time to leave.
    pub(crate) fn is_over_soon(&self) -> bool {
        self.left() <= self.way_out()
    }

    /// Completes when it is time to leave. Cancel safe; to be asked again regularly, as clocks of machines that slept jump.
    pub(crate) async fn leave(&self) {
        wait(self.left().saturating_sub(self.way_out())).await;
    }

    /// Completes when the hold has ended. Cancel safe.
    pub(crate) async fn end(&self) {
        wait(self.left()).await;
    }

    fn left(&self) -> Duration {
        self.end.since(wall()).min(self.span.saturating_sub(self.heard.elapsed()))
    }
}

/// Over at once if there is nothing to wait for, which a timer is not.
async fn wait(left: Duration) {
    if !left.is_zero() {
        tokio::time::sleep(left).await;
    }
}

fn wall() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(now.as_millis()).unwrap_or(i64::MAX))
}
