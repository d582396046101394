//! When to try again. Schedules are data; jitter is passed in, so a test can say what it is.

use std::time::Duration;

/// Attempts at joining, over all workers, before a session fails. Coming back after a loss from the call is one more.
pub const MAX_ATTEMPTS: u32 = 3;

/// Pause before attempt `attempt` (2 is the first retry).
#[must_use]
pub const fn attempt_backoff(attempt: u32) -> Duration {
    match attempt {
        0..=1 => Duration::ZERO,
        2 => Duration::from_secs(2),
        _ => Duration::from_secs(10),
    }
}

/// Pauses after each failed delivery of a webhook: 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 10 h.
const DELIVERY_SECONDS: [u64; 7] = [5, 300, 1_800, 7_200, 18_000, 36_000, 36_000];

/// The largest pause that a receiver's `Retry-After` can ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3_600);

/// Pause after failed delivery number `failures` (1 for the first), or `None` when it is given up.
///
/// `jitter` in `0.0..=1.0` moves the pause by up to 20 % either way; 0.5 leaves it as it is. A receiver's
/// `Retry-After` wins over the schedule, clamped to one hour.
#[must_use]
pub fn delivery_backoff(failures: u32, retry_after: Option<Duration>, jitter: f64) -> Option<Duration> {
    let index = usize::try_from(failures.checked_sub(1)?).ok()?;
    let base = Duration::from_secs(*DELIVERY_SECONDS.get(index)?);
    if let Some(asked) = retry_after {
        return Some(asked.min(MAX_RETRY_AFTER));
    }
    Some(base.mul_f64(0.8 + 0.4 * jitter.clamp(0.0, 1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deliveries_follow_the_schedule_and_then_stop() {
        assert_eq!(delivery_backoff(0, None, 0.5), None);
        assert_eq!(delivery_backoff(1, None, 0.5), Some(Duration::from_secs(5)));
        assert_eq!(delivery_backoff(2, None, 0.0), Some(Duration::from_secs(240)));
        assert_eq!(delivery_backoff(2, None, 1.0), Some(Duration::from_secs(360)));
        assert_eq!(delivery_backoff(7, None, 0.5), Some(Duration::from_secs(36_000)));
        assert_eq!(delivery_backoff(8, None, 0.5), None);
    }

    #[test]
    fn retry_after_is_honoured_and_clamped() {
        assert_eq!(delivery_backoff(1, Some(Duration::from_secs(60)), 0.5), Some(Duration::from_secs(60)));
        assert_eq!(delivery_backoff(1, Some(Duration::from_secs(1 << 40)), 0.5), Some(MAX_RETRY_AFTER));
    }
}
