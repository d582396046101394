//! The clock of the page against that of the bot.

use std::time::Duration;

/// A block that seems to come from the future by more than this shows that the clocks differ.
const FUTURE_US: i64 = 100_000;
/// As does a stretch of this length in which every block is older than ...
const STRETCH_US: i64 = 5_000_000;
/// ... this: more than any way from the page to here takes, unless the machine is hopelessly late. Then it is right too
/// to place audio later, where it can still be recorded.
const OLD_US: i64 = 1_500_000;

/// Moves the page's timestamps to the bot's clock. They come from the same machine, so there is nothing to do unless
/// somebody sets its clock. All tracks move together.
#[derive(Debug, Default)]
pub(super) struct Timing {
    shift_us: i64,
    /// Age of the last block when it came.
    age_us: i64,
    stretch: Option<Stretch>,
}

#[derive(Debug)]
struct Stretch {
    since_us: i64,
    least_age_us: i64,
}

impl Timing {
    /// The time of a block on the bot's clock, and what to note if the clocks turned out to differ.
    pub(super) fn place(&mut self, at_us: u64, samples: usize, now_us: u64) -> (i64, Option<String>) {
        let (stamped, now) = (signed(at_us), signed(now_us));
        let length = i64::try_from(samples).unwrap_or(i64::MAX / 125).saturating_mul(125) / 6;
        let age = now.saturating_sub(stamped.saturating_add(length));
        self.age_us = age.saturating_sub(self.shift_us);
        let stretch = self.stretch.get_or_insert(Stretch { since_us: now, least_age_us: i64::MAX });
        stretch.least_age_us = stretch.least_age_us.min(age);
        let over = now - stretch.since_us >= STRETCH_US;
        let old = over && stretch.least_age_us.saturating_sub(self.shift_us) > OLD_US;
        let shift = if self.age_us < -FUTURE_US {
            Some(age)
        } else if old {
            Some(stretch.least_age_us)
        } else {
            None
        };
        if over || shift.is_some() {
            self.stretch = None;
        }
        let note = shift.map(|shift| {
            let by = shift - self.shift_us;
            (self.shift_us, self.age_us) = (shift, age - shift);
            format!(
                "the clock of the page differs; audio is placed {} ms {}",
                by.abs() / 1_000,
                if by > 0 { "later" } else { "earlier" }
            )
        });
        (stamped.saturating_add(self.shift_us), note)
    }

    /// How old the last block was when it came.
    pub(super) fn age(&self) -> Duration {
        Duration::from_micros(u64::try_from(self.age_us).unwrap_or(0))
    }
}

fn signed(us: u64) -> i64 {
    i64::try_from(us).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: usize = 4_800;
    const NOW: u64 = 1_700_000_000_000_000;

    /// Places blocks of 100 ms that come `age` after their end by the page's clock, which is `ahead`; answers where the
    /// last one is placed relative to when it was heard, and the number of notes.
    fn run(timing: &mut Timing, seconds: u64, age_us: i64, ahead_us: i64) -> (i64, usize) {
        let mut notes = 0;
        let mut offset = 0;
        for block in 0..seconds * 10 {
            let now = NOW + block * 100_000;
            let heard = signed(now) - age_us - 100_000;
            let (placed, note) = timing.place(u64::try_from(heard + ahead_us).unwrap(), BLOCK, now);
            offset = placed - heard;
            notes += usize::from(note.is_some());
        }
        (offset, notes)
    }

    #[test]
    fn clocks_that_agree_are_left_alone() {
        assert_eq!(run(&mut Timing::default(), 60, 40_000, 0), (0, 0));
        assert_eq!(run(&mut Timing::default(), 60, 900_000, 0), (0, 0), "late is not wrong");
    }

    #[test]
    fn a_clock_that_is_ahead_is_noticed_at_once_and_one_behind_soon() {
        let (offset, notes) = run(&mut Timing::default(), 1, 40_000, 3_000_000);
        assert!(notes == 1 && (0..=40_000).contains(&offset), "{offset}");
        let mut timing = Timing::default();
        let (offset, notes) = run(&mut timing, 10, 40_000, -3_000_000);
        assert!(notes == 1 && (0..=40_000).contains(&offset), "{offset}");
        assert!(timing.age() < Duration::from_millis(50));
        let (offset, notes) = run(&mut timing, 1, 40_000, 0);
        assert!(notes == 1 && (0..=40_000).contains(&offset), "and back: {offset}");
    }
}
