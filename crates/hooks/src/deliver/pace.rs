use std::time::Duration;

use muster_session::Timestamp;

/// How long calls are counted for.
const WINDOW: Duration = Duration::from_secs(2);
/// Nobody who is sent away comes back sooner.
const SOONEST: Duration = Duration::from_secs(1);
const LATEST: Duration = Duration::from_secs(120);
/// Calls per second that are reckoned with at least.
const SLOWEST: u32 = 32;

/// How fast calls end, and so when those may come back for whom there is no room to wait: as fast, one after the other.
#[derive(Clone, Debug, Default)]
pub(super) struct Pace {
    since: Timestamp,
    ended: u32,
    per_second: u32,
    last_back: Timestamp,
}

impl Pace {
    /// A call ended.
    pub(super) fn ended(&mut self, now: Timestamp) {
        let window = now.since(self.since);
        if window >= WINDOW || now < self.since {
            let per_second = f64::from(self.ended) / window.as_secs_f64().max(WINDOW.as_secs_f64());
            self.per_second = per_second as u32;
            (self.since, self.ended) = (now, 0);
        }
        self.ended = self.ended.saturating_add(1);
    }

    /// When the next who is sent away may come back.
    pub(super) fn back(&mut self, now: Timestamp) -> Timestamp {
        let soonest = now + SOONEST;
        let latest = now + LATEST;
        if self.last_back > latest {
            // The clock was set back, or very many are away.
            return latest;
        }
        let apart = Duration::from_secs(1) / self.per_second.max(self.ended / 2).max(SLOWEST);
        // Times are in milliseconds.
        let apart = apart.max(Duration::from_millis(1));
        self.last_back = soonest.max(self.last_back + apart);
        self.last_back
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

    #[test]
    fn those_sent_away_come_back_as_fast_as_calls_end() {
        let ms = Duration::from_millis;
        let mut pace = Pace::default();
        let back: Vec<_> = (0..3).map(|_| pace.back(NOW).since(NOW).as_millis()).collect();
        assert_eq!(back, [1_000, 1_031, 1_062]);
        // Two hundred per second.
        (0..600).for_each(|n| pace.ended(NOW + ms(5 * n)));
        let now = NOW + Duration::from_secs(60);
        let back: Vec<_> = (0..3).map(|_| pace.back(now).since(now).as_millis()).collect();
        assert_eq!(back, [1_000, 1_005, 1_010]);
        let last = (0..100_000).map(|_| pace.back(now)).last();
        assert!(last.unwrap().since(now) <= LATEST + ms(5));
    }
}
