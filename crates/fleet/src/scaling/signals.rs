//! What is known of a fleet.

use std::time::Duration;

use super::Policy;

/// One worker, as it says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct WorkerSignal {
    /// Bots that it can run at a time, by whatever limit is nearest.
    pub slots: u32,
    /// Bots that it runs.
    pub running: u32,
    /// Use of its cores.
    pub cpu_percent: Option<u8>,
    /// Use of its budget of memory.
    pub memory_percent: Option<u8>,
    /// It takes no more bots.
    pub draining: bool,
}

/// Bots that wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Waiting {
    /// How many more workers would run: in the queue, and in line for nothing but room.
    pub bots: u64,
    /// How long the first of them has waited, if that is known.
    pub oldest: Option<Duration>,
}

/// What is known of the fleet. What could not be read is none.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Signals {
    /// Bots that wait.
    pub waiting: Option<Waiting>,
    /// Every worker that is alive.
    pub workers: Option<Vec<WorkerSignal>>,
    /// Scheduled bots that set out before a worker that is asked for now takes bots.
    pub due: Option<u64>,
    /// How long a worker takes from being asked for until it takes bots.
    pub launch: Duration,
}

/// The fleet in numbers.
pub(super) struct Fleet {
    /// Workers that take bots and are to stay.
    pub(super) workers: u32,
    /// Their bots, and those of workers that are to go.
    pub(super) running: u64,
    /// Their slots.
    pub(super) slots: u64,
    /// Slots of one.
    pub(super) each: u64,
    pub(super) cpu: Use,
    pub(super) memory: Use,
}

impl Fleet {
    /// No more workers than were asked for count. Those beyond have calls, mostly, and are to go when these end: what they run
    /// will be others' to run, and what they have free is nobody's.
    pub(super) fn of(workers: &[WorkerSignal], asked: Option<u32>, policy: &Policy) -> Self {
        let active = || workers.iter().filter(|worker| !worker.draining);
        let count = u32::try_from(active().count()).unwrap_or(u32::MAX);
        let slots: u64 = active().map(|worker| u64::from(worker.slots)).sum();
        let each = match slots.checked_div(u64::from(count)) {
            Some(each) if each > 0 => each,
            _ => u64::from(policy.slots.max(1)),
        };
        let staying = asked.filter(|asked| *asked < count);
        let share = (u64::from(count), u64::from(staying.unwrap_or(count)));
        Self {
            workers: staying.unwrap_or(count),
            running: active().map(|worker| u64::from(worker.running)).sum(),
            slots: staying.map_or(slots, |staying| u64::from(staying) * each),
            each,
            cpu: Use::of(active().map(|worker| worker.cpu_percent), share),
            memory: Use::of(active().map(|worker| worker.memory_percent), share),
        }
    }

    pub(super) const fn free(&self) -> u64 {
        self.slots.saturating_sub(self.running)
    }

    /// Of the slots, those with a bot.
    pub(super) const fn active(&self) -> Use {
        Use { part: self.running * 100, whole: self.slots, all_said: true }
    }

    pub(super) fn workers_for(&self, bots: u64) -> u32 {
        u32::try_from(bots.div_ceil(self.each)).unwrap_or(u32::MAX)
    }
}

/// How much of something is in use: a fraction of a hundred, so that nothing is lost by rounding.
#[derive(Clone, Copy)]
pub(super) struct Use {
    part: u64,
    whole: u64,
    /// It is that of every worker.
    all_said: bool,
}

impl Use {
    /// Of those who say: it asks for more workers even if not all do, and for fewer only if all do. `share` is how many workers
    /// use it, and how many are to.
    fn of(percents: impl Iterator<Item = Option<u8>>, (use_it, are_to): (u64, u64)) -> Self {
        let all = Self { part: 0, whole: 0, all_said: true };
        let sum = percents.fold(all, |sum, percent| match percent {
            Some(percent) => Self { part: sum.part + u64::from(percent), whole: sum.whole + 1, ..sum },
            None => Self { all_said: false, ..sum },
        });
        Self { part: sum.part * use_it, whole: sum.whole * are_to, ..sum }
    }

    /// In percent, rounded up: none if nobody says, or there is nothing to use.
    pub(super) fn percent(self) -> Option<u8> {
        (self.whole > 0).then(|| u8::try_from(self.part.div_ceil(self.whole)).unwrap_or(u8::MAX))
    }

    /// The percentage, if it is more than this one.
    pub(super) fn above(self, percent: u8) -> Option<u8> {
        self.percent().filter(|_| self.part > u64::from(percent) * self.whole)
    }

    /// True if it is known to be less than this percentage.
    pub(super) fn is_below(self, percent: u8) -> bool {
        self.all_said && self.whole > 0 && self.part < u64::from(percent) * self.whole
    }
}
