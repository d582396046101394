//! The way out of a bot: asked, terminated, killed. Pure: the caller signals.

use std::time::{Duration, Instant};

/// Between SIGTERM and SIGKILL.
const TERMINATE_WAIT: Duration = Duration::from_secs(3);

/// Where a bot process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It runs.
    Running,
    /// It was asked to leave and has its grace period.
    Leaving,
    /// It was sent SIGTERM.
    Terminating,
    /// It was sent SIGKILL.
    Killed,
    /// It is gone, and so is everything it left.
    Ended,
}

/// What to send to the group now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Send {
    Terminate,
    Kill,
}

/// How far the way out has been gone. Only ever forwards.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Escalation {
    pub(crate) phase: Phase,
    pub(crate) since: Instant,
    /// When the next step is due.
    pub(crate) due: Option<Instant>,
}

impl Escalation {
    pub(crate) const fn new(now: Instant) -> Self {
        Self { phase: Phase::Running, since: now, due: None }
    }

    /// Begins the grace period, or shortens the one under way.
    pub(crate) fn ask(&mut self, grace: Duration, now: Instant) {
        let until = now + grace;
        match self.phase {
            Phase::Running => *self = Self { phase: Phase::Leaving, since: now, due: Some(until) },
            Phase::Leaving => self.due = Some(self.due.map_or(until, |due| due.min(until))),
            Phase::Terminating | Phase::Killed | Phase::Ended => {}
        }
    }

    /// Goes straight to the end.
    pub(crate) fn kill(&mut self, now: Instant) -> Option<Send> {
        if matches!(self.phase, Phase::Killed | Phase::Ended) {
            return None;
        }
        *self = Self { phase: Phase::Killed, since: now, due: None };
        Some(Send::Kill)
    }

    /// The step that is due, if one is.
    pub(crate) fn step(&mut self, now: Instant) -> Option<Send> {
        if self.due.is_none_or(|due| now < due) {
            return None;
        }
        match self.phase {
            Phase::Leaving => {
                *self = Self { phase: Phase::Terminating, since: now, due: Some(now + TERMINATE_WAIT) };
                Some(Send::Terminate)
            }
            Phase::Terminating => self.kill(now),
            Phase::Running | Phase::Killed | Phase::Ended => None,
        }
    }

    pub(crate) fn end(&mut self, now: Instant) {
        *self = Self { phase: Phase::Ended, since: now, due: None };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_then_terminates_then_kills() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut way = Escalation::new(start);
        assert_eq!(way.step(at(1_000)), None, "nothing is due while it runs");
        way.ask(Duration::from_secs(10), at(0));
        assert_eq!(way.step(at(9)), None);
        assert_eq!(way.step(at(10)), Some(Send::Terminate));
        assert_eq!(way.step(at(12)), None);
        way.ask(Duration::ZERO, at(12));
        assert_eq!(way.step(at(12)), None, "asking again does not go back");
        assert_eq!(way.step(at(13)), Some(Send::Kill));
        assert_eq!((way.step(at(99)), way.kill(at(99))), (None, None), "killed once");
    }

    #[test]
    fn a_second_request_can_only_shorten_the_grace() {
        let start = Instant::now();
        let mut way = Escalation::new(start);
        way.ask(Duration::from_secs(10), start);
        way.ask(Duration::from_secs(20), start);
        assert_eq!(way.due, Some(start + Duration::from_secs(10)));
        way.ask(Duration::from_secs(1), start);
        assert_eq!(way.due, Some(start + Duration::from_secs(1)));
    }
}
