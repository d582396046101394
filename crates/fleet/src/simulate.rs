//! A fleet in virtual time: the same admission, line and scaling as in production, against a trace of meetings.

mod fleet;
mod result;
mod workers;

use std::time::Duration;

use crate::admission::{Budget, Host};
use crate::cost::Cost;
use crate::scaling::{Policy, Preset};
use crate::trace::Trace;
pub use result::{Outcome, Sample};

/// Of the cores that are held for a bot, in percent: what it uses in a silent call, and when people speak.
const SILENT: u64 = 5;
const TALKING: u64 = 95;
/// Of 100 bots, how many are in silent calls.
const SILENT_CALLS: u32 = 25;
/// Spreads them over all bots.
const SCATTER: u32 = 2_654_435_761;

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

    /// Thousandths of a core that a bot uses: what is held for it, but for those in silent calls.
    fn cpu_of(&self, bot: u32) -> u64 {
        let is_silent = bot.wrapping_mul(SCATTER) % 100 < SILENT_CALLS;
        self.cost.cpu_millis * if is_silent { SILENT } else { TALKING } / 100
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

impl Contender {
    /// A preset for hosts of so many slots and about so many bots at the peak. Workers are at least one and as many as are asked
    /// for; the idle slots of that policy are a twentieth of the peak, and at least those of a host. With cores alone goes a scaler that knows nothing of calls.
    #[must_use]
    pub fn of(preset: Preset, slots: u32, peak: u64) -> Self {
        let idle_slots = match preset {
            Preset::IdleSlots => u32::try_from(peak / 20).unwrap_or(u32::MAX).max(slots),
            _ => 0,
        };
        let own = Policy { slots, max_workers: u32::MAX, idle_slots, ..Policy::default() };
        Self { name: preset.as_str(), policy: preset.policy(own), drains: preset != Preset::CpuOnly }
    }

    /// The name of one that is no preset.
    pub const CONFIGURED: &str = "configured";

    /// A policy of one's own for hosts of so many slots; workers are as many as are asked for.
    #[must_use]
    pub fn configured(own: Policy, slots: u32) -> Self {
        Self { name: Self::CONFIGURED, policy: Policy { slots, max_workers: u32::MAX, ..own }, drains: true }
    }
}

/// The presets, the baseline first.
#[must_use]
pub fn contenders(slots: u32, peak: u64) -> [Contender; 4] {
    Preset::ALL.map(|preset| Contender::of(preset, slots, peak))
}

/// Runs the trace under a policy. `progress` is told how much of the time has passed, 0.0 to 1.0, a hundred times or so.
#[must_use]
pub fn run(trace: &Trace, setup: &Setup, contender: &Contender, progress: &mut dyn FnMut(f64)) -> Outcome {
    fleet::Fleet::new(trace, setup, contender).run(progress)
}

#[cfg(test)]
mod tests;
