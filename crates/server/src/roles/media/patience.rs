//! How long a job waits for a storage or a recogniser that is away.

use std::time::Duration;

use muster_session::job::Job;
use muster_session::{Session, Timestamp};

/// Shortest and longest pause; the queue makes up to twice as much of it.
const PAUSE: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(150)];

/// Since when somebody waits for a job, and until when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    since: Timestamp,
    until: Option<Timestamp>,
}

/// What is to be done about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It comes again after this pause, and that was no try.
    Wait(Duration),
    /// It is one of a few tries.
    Again,
    /// It is settled as failed.
    GiveUp,
}

impl Patience {
    /// The artifacts of a call are waited for as long as the session is, a transcript that was asked for later by itself.
    pub(super) fn of(session: &Session, job: &Job) -> Self {
        let added = match job {
            Job::Transcribe { transcript, .. } => session.transcripts.iter().find(|record| record.id == *transcript),
            _ => None,
        };
        match added {
            Some(record) => Self { since: record.created_at, until: record.deadline() },
            None => Self { since: session.since, until: session.deadline() },
        }
    }

    /// Waits for what is away while somebody waits for the job, and not longer: then what failed is a better answer than that
    /// it was not finished.
    pub(super) fn verdict(self, is_transient: bool, is_final: bool, now: Timestamp) -> Verdict {
        match self.pause(now) {
            Some(pause) if is_transient => Verdict::Wait(pause),
            None if is_transient => Verdict::GiveUp,
            _ if is_final => Verdict::GiveUp,
            _ => Verdict::Again,
        }
    }

    /// As long as it was waited for until now, rounded so that all who wait for the same ask for the same moment; none if
    /// nobody waits so long.
    fn pause(self, now: Timestamp) -> Option<Duration> {
        let [shortest, longest] = PAUSE;
        let waited = now.since(self.since);
        let mut pause = shortest;
        while pause < longest && pause * 2 <= waited {
            pause *= 2;
        }
        let pause = pause.min(longest);
        self.until.is_none_or(|until| now + pause * 2 < until).then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SINCE: Timestamp = Timestamp::from_millis(1_790_000_000_000);

    fn patience() -> Patience {
        Patience { since: SINCE, until: Some(SINCE + Duration::from_secs(7_200)) }
    }

    fn after(seconds: u64) -> Timestamp {
        SINCE + Duration::from_secs(seconds)
    }

    #[test]
    fn pauses_grow_with_the_time_that_was_waited_and_end_before_it_does() {
        let pauses = [(0, 5), (9, 5), (10, 10), (39, 20), (40, 40), (100, 80), (160, 150), (6_899, 150)];
        for (waited, pause) in pauses {
            assert_eq!(patience().pause(after(waited)), Some(Duration::from_secs(pause)), "after {waited} s");
        }
        assert_eq!(patience().pause(after(6_900)), None);
        let forever = Patience { until: None, ..patience() };
        assert_eq!(forever.pause(after(100_000)), Some(PAUSE[1]));
    }

    #[test]
    fn what_is_away_is_waited_for_and_what_is_damaged_is_not() {
        let of = |transient, last, waited| patience().verdict(transient, last, after(waited));
        assert_eq!(of(true, true, 0), Verdict::Wait(PAUSE[0]), "whichever try it is");
        assert_eq!(of(true, false, 7_000), Verdict::GiveUp);
        assert_eq!(of(false, false, 0), Verdict::Again);
        assert_eq!(of(false, true, 0), Verdict::GiveUp);
    }
}
