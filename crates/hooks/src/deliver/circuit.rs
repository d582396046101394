//! Whether a host is worth calling for a tenant. No I/O, no clock.

use std::time::Duration;

use muster_session::Timestamp;

/// Failures in a row that open a circuit.
const OPENS_AFTER: u32 = 5;
/// The first pause; each failed probe doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// Those who come while a probe is under way come back after this.
const PROBING: Duration = Duration::from_secs(2);
/// Those who were sent away come back one by one, this far apart.
const APART: Duration = Duration::from_millis(4);
const MOST_APART: Duration = Duration::from_secs(60);

/// What an attempt said of its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It answers.
    Up,
    /// No answer, 5xx or 429.
    Down,
    /// Nothing: the attempt did not get so far.
    Unknown,
}

/// What a circuit says to somebody who wants to call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// Go on.
    Free,
    /// Go on, as the only one: what is recorded decides.
    Probe,
    /// Come back then.
    Later(Timestamp),
}

/// The circuit of one host for one tenant. Closed at first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Circuit {
    /// In a row, while closed.
    failures: u32,
    open: Option<Open>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Open {
    pause: Duration,
    until: Timestamp,
    probing: bool,
    sent_away: u32,
}

impl Open {
    fn new(pause: Duration, now: Timestamp) -> Self {
        Self { pause, until: now + pause, probing: false, sent_away: 0 }
    }

    fn send_away(&mut self, from: Timestamp) -> Timestamp {
        self.sent_away = self.sent_away.saturating_add(1);
        from + (APART * (self.sent_away - 1)).min(MOST_APART)
    }
}

impl Circuit {
    /// Asks to call. Whoever gets the probe has to [record](Self::record) what came of it.
    pub(super) fn admit(&mut self, now: Timestamp) -> Admission {
        let Some(open) = &mut self.open else { return Admission::Free };
        // A clock that was set back must not lengthen a pause.
        if now < open.until && open.until.since(now) <= open.pause {
            let until = open.until;
            return Admission::Later(open.send_away(until));
        }
        if open.probing {
            return Admission::Later(open.send_away(now + PROBING));
        }
        open.probing = true;
        Admission::Probe
    }

    /// What came of a call; true if it opened the circuit, or opened it again.
    pub(super) fn record(&mut self, verdict: Verdict, probe: bool, now: Timestamp) -> bool {
        match (verdict, &mut self.open) {
            (Verdict::Up, _) => {
                *self = Self::default();
                false
            }
            (Verdict::Down, Some(open)) if probe => {
                *open = Open::new((open.pause * 2).min(LONGEST_PAUSE), now);
                true
            }
            (Verdict::Unknown, Some(open)) if probe => {
                open.probing = false;
                false
            }
            (Verdict::Down, None) => {
                self.failures += 1;
                if self.failures < OPENS_AFTER {
                    return false;
                }
                self.open = Some(Open::new(FIRST_PAUSE, now));
                true
            }
            (Verdict::Down | Verdict::Unknown, _) => false,
        }
    }

    /// True if nothing is to be remembered of it.
    pub(super) fn is_unmarked(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

    enum Step {
        /// At this time, in seconds, asks, and gets this.
        Ask(u64, Admission),
        /// A call ends: verdict, whether it was the probe, and whether that opens the circuit.
        End(u64, Verdict, bool, bool),
    }
    use Admission::{Free, Probe};
    use Step::{Ask, End};
    use Verdict::{Down, Unknown, Up};

    fn at(seconds: u64) -> Timestamp {
        NOW + Duration::from_secs(seconds)
    }

    fn later(ms: u64) -> Admission {
        Admission::Later(NOW + Duration::from_millis(ms))
    }

    fn play(circuit: &mut Circuit, steps: impl IntoIterator<Item = Step>) {
        for (index, step) in steps.into_iter().enumerate() {
            match step {
                Ask(time, want) => assert_eq!(circuit.admit(at(time)), want, "step {index}"),
                End(time, verdict, probe, opens) => {
                    assert_eq!(circuit.record(verdict, probe, at(time)), opens, "step {index}");
                }
            }
        }
    }

    fn opened() -> Circuit {
        let mut circuit = Circuit::default();
        play(&mut circuit, (0..5).map(|n| End(0, Down, false, n == 4)));
        circuit
    }

    #[test]
    fn only_failures_in_a_row_open_it() {
        let mut circuit = Circuit::default();
        play(&mut circuit, (0..4).map(|_| End(0, Down, false, false)));
        play(&mut circuit, [End(0, Unknown, false, false), Ask(0, Free), End(0, Up, false, false)]);
        assert!(circuit.is_unmarked());
        play(&mut circuit, (0..5).map(|n| End(0, Down, false, n == 4)));
        play(&mut circuit, [Ask(0, later(5_000)), End(1, Down, false, false), Ask(1, later(5_004))]);
        assert!(!circuit.is_unmarked());
    }

    #[test]
    fn one_probe_decides() {
        let mut circuit = opened();
        play(
            &mut circuit,
            [
                Ask(4, later(5_000)),
                Ask(5, Probe),
                Ask(6, later(8_004)),
                // What began before the circuit opened says nothing new.
                End(6, Down, false, false),
                End(7, Down, true, true),
                Ask(7, later(17_000)),
                Ask(16, later(17_004)),
                Ask(17, Probe),
                // A probe that was given up leaves the place to another.
                End(18, Unknown, true, false),
                Ask(18, Probe),
                End(19, Up, true, false),
                Ask(19, Free),
            ],
        );
        assert!(circuit.is_unmarked());
    }

    #[test]
    fn pauses_grow_to_five_minutes() {
        let (mut circuit, mut now, mut pauses) = (opened(), NOW, Vec::new());
        for _ in 0..9 {
            let Admission::Later(until) = circuit.admit(now) else { panic!("{circuit:?}") };
            pauses.push(until.since(now).as_secs());
            now = until;
            assert_eq!(circuit.admit(now), Probe);
            assert!(circuit.record(Down, true, now));
        }
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
    }

    #[test]
    fn any_success_closes_it_and_a_clock_set_back_lengthens_nothing() {
        let mut circuit = opened();
        play(&mut circuit, [End(1, Up, false, false), Ask(1, Free)]);
        let mut circuit = opened();
        assert_eq!(circuit.admit(NOW - Duration::from_secs(1)), Probe);
    }

    #[test]
    fn many_are_sent_away_for_a_minute_more_at_most() {
        let mut circuit = opened();
        let last = (0..100_000).map(|_| circuit.admit(NOW)).last();
        assert_eq!(last, Some(later(65_000)));
    }
}
