//! When to dial a receiver again, and whether to say so. Pure.

use std::time::Duration;

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A connection that lasted so long was one; a receiver that hangs up sooner is as good as away, whatever it took.
const SETTLED: Duration = Duration::from_secs(10);
/// Each is stored: a receiver that comes and goes for a whole call is told of so often.
const NOTES: u32 = 20;

#[derive(Debug)]
pub(super) struct Retries {
    pause: Duration,
    /// This trouble was told of.
    told: bool,
    notes: u32,
}

impl Default for Retries {
    fn default() -> Self {
        Self { pause: FIRST_PAUSE, told: false, notes: 0 }
    }
}

impl Retries {
    /// A connection was lost that had lasted for so long.
    pub(super) fn lasted(&mut self, time: Duration) {
        if time >= SETTLED {
            (self.pause, self.told) = (FIRST_PAUSE, false);
        }
    }

    /// If the trouble is to be told of: what has to be added.
    pub(super) fn note(&mut self) -> Option<&'static str> {
        if std::mem::replace(&mut self.told, true) || self.notes == NOTES {
            return None;
        }
        self.notes += 1;
        Some(if self.notes == NOTES { "; this is not noted any more" } else { "" })
    }

    /// For how long to wait now. The next pause is longer.
    pub(super) fn pause(&mut self) -> Duration {
        let longer = (self.pause * 2).min(LONGEST_PAUSE);
        std::mem::replace(&mut self.pause, longer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In an hour of connections that last for `lasts` each: how many there were, and how many notes.
    fn hour(lasts: Duration) -> (u32, u32) {
        let (mut retries, mut time, mut connections, mut notes) = (Retries::default(), Duration::ZERO, 0, 0);
        while time < Duration::from_secs(3_600) {
            connections += 1;
            retries.lasted(lasts);
            notes += u32::from(retries.note().is_some());
            time += lasts + retries.pause();
        }
        (connections, notes)
    }

    #[test]
    fn a_receiver_that_hangs_up_at_once_is_dialled_ever_less_often_and_noted_once() {
        let (connections, notes) = hour(Duration::from_millis(100));
        assert!(connections < 370, "{connections}");
        assert_eq!(notes, 1);
    }

    #[test]
    fn one_that_comes_and_goes_is_dialled_at_once_and_not_noted_without_end() {
        let (connections, notes) = hour(SETTLED);
        assert!(connections > 340, "{connections}");
        assert_eq!(notes, NOTES);
    }

    #[test]
    fn the_last_note_says_that_it_is_the_last() {
        let mut retries = Retries::default();
        let notes: Vec<_> = (0..30)
            .filter_map(|_| {
                retries.lasted(SETTLED);
                retries.note()
            })
            .collect();
        assert_eq!(notes.len(), 20);
        assert_eq!(notes.iter().position(|further| !further.is_empty()), Some(19));
    }
}
