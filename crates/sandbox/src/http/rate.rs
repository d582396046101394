//! How much a page may say.

use std::time::{Duration, Instant};

/// Messages at once: a page with many candidates.
const BURST: u32 = 120;
/// One more after each of these.
const PERIOD: Duration = Duration::from_millis(50);

/// A bucket of messages.
#[derive(Debug)]
pub(super) struct Rate {
    /// When it was, or will be, empty of what was taken.
    paid_until: Instant,
}

impl Rate {
    pub(super) fn new(now: Instant) -> Self {
        Self { paid_until: now }
    }

    /// Takes one message; false if there is none left.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let paid = self.paid_until.max(now) + PERIOD;
        let allowed = paid <= now + PERIOD * BURST;
        if allowed {
            self.paid_until = paid;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_fine_and_a_flood_is_not() {
        let now = Instant::now();
        let mut rate = Rate::new(now);
        assert_eq!((0..500).filter(|_| rate.take(now)).count(), 120);
        let later = now + Duration::from_secs(1);
        assert_eq!((0..500).filter(|_| rate.take(later)).count(), 20);
    }
}
