//! The bot's clock: wall time that never goes backwards, read at the edge and passed in everywhere else.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use muster_session::Timestamp;

/// Wall time as it was at the start, carried on by the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    epoch: Duration,
    started: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        let epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { epoch, started: Instant::now() }
    }

    /// Microseconds since the epoch.
    pub(crate) fn now_us(&self) -> u64 {
        u64::try_from((self.epoch + self.started.elapsed()).as_micros()).unwrap_or(u64::MAX)
    }

    pub(crate) fn now(&self) -> Timestamp {
        timestamp(self.now_us())
    }
}

/// The millisecond that a time in microseconds falls into.
pub(crate) fn timestamp(us: u64) -> Timestamp {
    Timestamp::from_millis(i64::try_from(us / 1_000).unwrap_or(i64::MAX))
}
