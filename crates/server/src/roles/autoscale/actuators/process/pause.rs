//! Workers that end as soon as they are started are not started for ever at every step.

use std::time::Duration;

use tokio::time::Instant;

/// One that ran for so long did start.
const SOUND: Duration = Duration::from_secs(60);
/// After the first that did not, and at most.
const FIRST: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(300);

/// Between the failure of a worker and the next start of any.
#[derive(Debug, Default)]
pub(super) struct Pause {
    /// How long, and until when.
    last: Option<(Duration, Instant)>,
}

impl Pause {
    /// A worker failed after it lived for so long. Answers how long none is started: twice as long as after the failure before,
    /// unless that is long ago.
    pub(super) fn failed(&mut self, lived: Duration, now: Instant) -> Duration {
        match self.last {
            _ if lived >= SOUND => return Duration::ZERO,
            // Others that were started with it.
            Some((pause, until)) if now < until => return pause,
            _ => {}
        }
        let before = self.last.filter(|(_, until)| now < *until + LONGEST);
        let pause = before.map_or(FIRST, |(pause, _)| (pause * 2).min(LONGEST));
        self.last = Some((pause, now + pause));
        pause
    }

    /// True while none is started.
    pub(super) fn holds(&self, now: Instant) -> bool {
        self.last.is_some_and(|(_, until)| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(50);

    #[test]
    fn each_failure_at_the_start_doubles_the_pause() {
        let (mut pause, mut now) = (Pause::default(), Instant::now());
        assert!(!pause.holds(now));
        let mut pauses = Vec::new();
        for _ in 0..8 {
            let next = pause.failed(SOON, now);
            assert_eq!(pause.failed(SOON, now), next, "of two that were started at once, one counts");
            assert!(pause.holds(now + next - SOON) && !pause.holds(now + next));
            pauses.push(next.as_secs());
            now += next + SOON;
        }
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(pause.failed(SOON, now + LONGEST * 2), FIRST, "that was long ago");
    }

    #[test]
    fn one_that_ran_is_replaced_at_once() {
        let (mut pause, now) = (Pause::default(), Instant::now());
        assert_eq!(pause.failed(SOUND, now), Duration::ZERO);
        assert!(!pause.holds(now));
    }
}
