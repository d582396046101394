//! Whether the page still tells of its audio. All that is known of a call comes from the page: one that hangs says neither
//! that nobody speaks nor that everybody left. Pure.

use std::time::Duration;

use muster_session::Timestamp;

use super::{Finding, Hearing, PATIENCE};

/// A page tells once a second, and late on a busy machine: less than this is no fault, however short the timeout is.
const LEAST: Duration = Duration::from_secs(10);
/// After this part of the timeout, what the page does not say is no evidence.
const DOUBT: u32 = 4;

/// Watches for the word of the page over time.
#[derive(Clone, Debug)]
pub(crate) struct PageWatch {
    timeout: Duration,
    samples: u64,
    /// When samples last came in.
    heard_at: Option<Timestamp>,
    /// Since when there are tracks, which the page has to tell of.
    tracks_since: Option<Timestamp>,
    repaired_at: Option<Timestamp>,
    in_doubt: bool,
}

impl PageWatch {
    pub(crate) fn new(timeout: Duration) -> Self {
        Self {
            timeout: timeout.max(LEAST),
            samples: 0,
            heard_at: None,
            tracks_since: None,
            repaired_at: None,
            in_doubt: false,
        }
    }

    /// The page has said nothing for longer than it does when all is well.
    pub(crate) const fn is_in_doubt(&self) -> bool {
        self.in_doubt
    }

    /// To be called regularly while in the call.
    pub(crate) fn observe(&mut self, hearing: Hearing, now: Timestamp) -> Option<Finding> {
        if hearing.samples > self.samples {
            self.heard_at = Some(now);
        }
        self.samples = hearing.samples;
        self.tracks_since = (hearing.tracks > 0).then(|| self.tracks_since.unwrap_or(now));
        let quiet = self.quiet_since(hearing).map_or(Duration::ZERO, |since| now.since(since));
        self.in_doubt = quiet >= self.timeout / DOUBT;
        if quiet < self.timeout {
            self.repaired_at = None;
            return None;
        }
        let Some(repaired_at) = self.repaired_at else {
            self.repaired_at = Some(now);
            return Some(Finding::Repair(format!("{}; attaching again", words(quiet))));
        };
        // Counted from there: after a standstill of the whole machine much time has passed, and nothing could be said.
        (now.since(repaired_at) >= self.timeout * (PATIENCE - 1))
            .then(|| Finding::Hangs(format!("{}, also after repair", words(quiet))))
    }

    /// Nothing is owed without tracks, nor by a page that never told.
    fn quiet_since(&self, hearing: Hearing) -> Option<Timestamp> {
        let since = hearing.received_at?.max(self.tracks_since?);
        Some(self.heard_at.map_or(since, |heard| since.max(heard)))
    }
}

fn words(quiet: Duration) -> String {
    format!("the meeting page hangs: it has told nothing of its audio for {} s", quiet.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(20);

    /// What was found in a call of `seconds`, by second. `told` is when the page last told of its audio.
    fn run(seconds: i64, tracks: usize, told: impl Fn(i64) -> Option<i64>) -> Vec<(i64, &'static str)> {
        let mut watch = PageWatch::new(TIMEOUT);
        let mut found = Vec::new();
        for second in 0..=seconds {
            let received_at = told(second).map(at);
            match watch.observe(Hearing { others: 1, tracks, received_at, ..Hearing::default() }, at(second)) {
                Some(Finding::Repair(_)) => found.push((second, "repair")),
                Some(Finding::Hangs(_)) => found.push((second, "hangs")),
                Some(other) => panic!("{other:?}"),
                None => {}
            }
            if matches!(found.last(), Some((_, "hangs"))) {
                break;
            }
        }
        found
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    #[test]
    fn a_page_that_tells_nothing_any_more_is_repaired_and_then_given_up() {
        assert_eq!(run(300, 1, |second| Some(second.min(100))), [(120, "repair"), (160, "hangs")]);
    }

    #[test]
    fn a_page_that_comes_back_is_no_fault_and_the_next_fault_gets_its_own() {
        let told = |second: i64| Some(if second < 150 { second.min(100) } else { second.min(200) });
        assert_eq!(run(400, 1, told), [(120, "repair"), (220, "repair"), (260, "hangs")]);
    }

    #[test]
    fn nothing_is_owed_by_a_page_that_has_nothing_to_tell_of() {
        assert_eq!(run(300, 1, Some), []);
        assert_eq!(run(300, 0, |_| Some(0)), [], "no connection any more");
        assert_eq!(run(300, 1, |_| None), [], "it never told: what is heard counts alone");
    }

    #[test]
    fn a_word_of_an_earlier_document_is_not_held_against_the_next_one() {
        let mut watch = PageWatch::new(TIMEOUT);
        let hearing = Hearing { received_at: Some(at(0)), ..Hearing::default() };
        assert_eq!(watch.observe(hearing, at(600)), None);
        assert_eq!(watch.observe(Hearing { tracks: 1, ..hearing }, at(601)), None);
        assert!(!watch.is_in_doubt());
    }

    #[test]
    fn audio_that_comes_is_word_enough() {
        let mut watch = PageWatch::new(TIMEOUT);
        for second in 0..300 {
            let samples = u64::try_from(second).unwrap() + 1;
            let hearing = Hearing { tracks: 1, samples, received_at: Some(at(0)), ..Hearing::default() };
            assert_eq!(watch.observe(hearing, at(second)), None);
        }
    }

    #[test]
    fn a_standstill_of_everything_costs_a_repair_and_no_call() {
        let told = |second: i64| Some(if second < 3_600 { second.min(100) } else { second });
        let mut watch = PageWatch::new(TIMEOUT);
        let mut found = Vec::new();
        for second in (0..=100).chain(3_599..3_700) {
            let hearing = Hearing { tracks: 1, received_at: told(second).map(at), ..Hearing::default() };
            found.extend(watch.observe(hearing, at(second)));
        }
        assert!(matches!(&found[..], [Finding::Repair(_)]), "{found:?}");
    }
}
