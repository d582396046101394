//! Numbers that are never used again, without asking anybody.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use muster_session::Timestamp;

use super::item::SHARDS;

/// Below the time: enough that two processes hardly ever choose the same within a millisecond. If they do, the second write
/// is refused and tries another.
const LOW_BITS: u32 = 22;
/// Milliseconds since the epoch until the year 2109.
const HIGHEST_MS: u64 = (1 << (64 - LOW_BITS)) - 1;

/// A source of ids. They sort by the time they are made for.
#[derive(Debug)]
pub(super) struct Ids {
    next: AtomicU32,
    /// The last place in a log.
    place: AtomicU64,
}

impl Ids {
    pub(super) fn new() -> Self {
        // A process without randomness still counts; it only collides more often.
        let start = getrandom::u32().unwrap_or_default() >> (33 - LOW_BITS);
        Self { next: AtomicU32::new(start), place: AtomicU64::new(0) }
    }

    /// An id for this time.
    pub(super) fn at(&self, time: Timestamp) -> u64 {
        let low = self.next.fetch_add(1, Ordering::Relaxed) & ((1 << LOW_BITS) - 1);
        (millis(time) << LOW_BITS) | u64::from(low)
    }

    /// After every place that this process gave before, and after those that others gave at an earlier time.
    pub(super) fn place(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = millis(Timestamp::default() + since) << LOW_BITS;
        let last = self.place.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(now.max(last + 1)));
        now.max(last.unwrap_or_default() + 1)
    }
}

/// The highest id for this time.
pub(super) fn last_at(time: Timestamp) -> u64 {
    (millis(time) << LOW_BITS) | ((1 << LOW_BITS) - 1)
}

fn millis(time: Timestamp) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or_default().min(HIGHEST_MS)
}

const _: () = assert!((1_u64 << LOW_BITS).is_multiple_of(SHARDS as u64), "ids are spread evenly");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_and_sort_by_their_time() {
        let ids = Ids::new();
        let at = Timestamp::from_millis(1_790_000_000_000);
        let made: Vec<u64> = (0..1_000).map(|_| ids.at(at)).collect();
        assert!(made.is_sorted() && made.windows(2).all(|two| two[0] != two[1]));
        assert!(made.iter().all(|id| *id <= last_at(at)));
        let earlier = Timestamp::from_millis(1_789_999_999_999);
        assert!(ids.at(earlier) <= last_at(earlier) && last_at(earlier) < made[0]);
        for odd in [i64::MIN, -1, i64::MAX].map(Timestamp::from_millis) {
            assert!(ids.at(odd) <= last_at(odd));
        }
        assert!(ids.place() < ids.place());
    }
}
