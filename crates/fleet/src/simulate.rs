//! A fleet in virtual time: the same admission, line and scaling as in production, against a trace of meetings.

mod fleet;
mod result;

use std::time::Duration;

use crate::admission::{Budget, Host};
use crate::cost::Cost;
use crate::scaling::{Policy, Rule};
use crate::trace::Trace;
pub use result::{Outcome, Sample};

/// What the fleet is made of.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// One host, which is one worker.
    pub budget: Budget,
    /// Its cores, in thousandths, for how much of them is used.
    pub cpu_millis: u64,
    /// What a bot holds.
    pub cost: Cost,
    /// From being asked for until it takes bots.
    pub launch: Duration,
    /// From the claim of a bot until it is in its call, at least and at most.
    pub join: (Duration, Duration),
    /// How often the policy is asked.
    pub every: Duration,
    /// A bot that is later than this has missed its meeting.
    pub patience: Duration,
    /// For what happens by chance.
    pub seed: u64,
}

impl Setup {
    /// On such hosts, with such bots, `headroom` percent of memory left free.
    #[must_use]
    pub fn new(host: Host, cost: Cost, headroom: u8) -> Self {
        Self {
            budget: Budget::of(host, 10_000, headroom, cost),
            cpu_millis: host.cpu_millis,
            cost,
            launch: Duration::from_secs(120),
            join: (Duration::from_secs(5), Duration::from_secs(10)),
            every: Duration::from_secs(10),
            patience: Duration::from_secs(300),
            seed: 1,
        }
    }

    /// Bots of a host.
    #[must_use]
    pub fn slots(&self) -> u32 {
        self.budget.fits(self.cost).0
    }
}

/// A policy with a name, and what becomes of the calls of a worker that goes.
#[derive(Clone, Copy, Debug)]
pub struct Contender {
    /// For people and files.
    pub name: &'static str,
    /// How many workers there are.
    pub policy: Policy,
    /// Workers drain before they go. Where something picks a victim that knows nothing of calls, they do not.
    pub drains: bool,
}

/// The policies that are compared, for hosts of so many slots and a peak of so many bots.
#[must_use]
pub fn contenders(slots: u32, peak: u64) -> [Contender; 4] {
    let most = u32::try_from(peak.div_ceil(u64::from(slots.max(1))) * 2).unwrap_or(u32::MAX).max(4);
    let base = Policy { slots, max_workers: most, ..Policy::default() };
    let idle = u32::try_from(peak / 40).unwrap_or(u32::MAX).max(slots);
    let guide = Policy { prescale: false, ..base };
    [
        Contender { name: "guide", policy: guide, drains: true },
        Contender { name: "idle-slots", policy: Policy { idle_slots: idle, ..guide }, drains: true },
        Contender { name: "predictive", policy: Policy { idle_slots: idle, ..Policy::predictive(base) }, drains: true },
        Contender { name: "cpu-only", policy: Policy { rule: Rule::CpuOnly, ..guide }, drains: false },
    ]
}

/// Runs the trace under a policy. `progress` is told how much of the time has passed, 0.0 to 1.0, a hundred times or so.
#[must_use]
pub fn run(trace: &Trace, setup: &Setup, contender: &Contender, progress: &mut dyn FnMut(f64)) -> Outcome {
    fleet::Fleet::new(trace, setup, contender).run(progress)
}

#[cfg(test)]
mod tests;
