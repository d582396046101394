//! What is due, as a function of the scenario and the time since its zero.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use super::Scenario;

/// Something that a scenario has planned. Indices are those of its lists. At the same time, steps come in the order of
/// this enum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// A participant joins.
    Join(usize),
    /// An action of the timeline.
    Act(usize),
    /// A participant says something.
    Speak {
        /// Index in `participants`.
        participant: usize,
        /// Index in its `speaks`.
        item: usize,
    },
    /// A participant leaves.
    Leave(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Planned {
    at: Duration,
    step: Step,
    /// Repeats with this period while it starts before the end.
    every: Option<(Duration, Option<Duration>)>,
}

/// The steps that are still to come.
#[derive(Clone, Debug, Default)]
pub struct Schedule {
    planned: BinaryHeap<Reverse<Planned>>,
}

impl Schedule {
    /// The plan of a valid scenario.
    #[must_use]
    pub fn new(scenario: &Scenario) -> Self {
        let mut planned = BinaryHeap::new();
        let mut plan = |at: Duration, step, every| planned.push(Reverse(Planned { at, step, every }));
        for (index, participant) in scenario.participants.iter().enumerate() {
            plan(time(participant.joins_at), Step::Join(index), None);
            let leaves_at = participant.leaves_at.map(time);
            if let Some(at) = leaves_at {
                plan(at, Step::Leave(index), None);
            }
            for (item, speech) in participant.speaks.iter().enumerate() {
                let step = Step::Speak { participant: index, item };
                plan(time(speech.at), step, speech.every.map(|every| (time(every), leaves_at)));
            }
        }
        for (index, timed) in scenario.timeline.iter().enumerate() {
            plan(time(timed.at), Step::Act(index), None);
        }
        Self { planned }
    }

    /// Takes out the first step that is due at `elapsed` since the zero, with the time it was planned for.
    pub fn next_due(&mut self, elapsed: Duration) -> Option<(Duration, Step)> {
        let Reverse(first) = self.planned.peek().copied()?;
        if first.at > elapsed {
            return None;
        }
        self.planned.pop();
        if let Some((period, end)) = first.every {
            let at = first.at + period;
            if !period.is_zero() && end.is_none_or(|end| at < end) {
                self.planned.push(Reverse(Planned { at, ..first }));
            }
        }
        Some((first.at, first.step))
    }

    /// When the next step is due, since the zero.
    #[must_use]
    pub fn next_at(&self) -> Option<Duration> {
        self.planned.peek().map(|Reverse(first)| first.at)
    }
}

fn time(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}
